//! A small run of each benchmark, as its user starts it: outcomes, and the shape of what it prints. Never a time.

mod cold_start;
mod pipeline;
mod rate;
mod scale;
mod scan;
