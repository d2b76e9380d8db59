//! The benchmarks, each once and small: that they work, and what they say of a run. Never how fast it was.

mod rate;
mod scale;
