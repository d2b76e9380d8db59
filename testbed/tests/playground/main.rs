//! `cargo playground` as its user sees it: what it says, what it leaves behind, and a first hour on it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod first_hour;
mod life;
mod support;
