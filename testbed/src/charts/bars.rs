//! Bars: how several compare.
