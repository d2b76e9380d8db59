//! The program as its user sees it: what it prints, its exit codes, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod connection;
mod dlq;
mod doctor;
mod preview;
mod report;
mod runs;
mod scan;
mod support;
