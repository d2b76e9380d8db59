//! Pictures of what benchmarks found, as SVG files for the docs.

pub mod bars;
pub mod lines;
