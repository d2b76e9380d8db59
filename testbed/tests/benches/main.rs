//! A small run of each benchmark, as its user starts it: outcomes, and the shape of what it prints. Never a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod cold_start;
