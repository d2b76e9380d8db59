//! End to end: the real functions, deployed from the real template, on a whole AWS.
//!
//! All tests share one emulator and run at once, each in an account of its own; those that need another kind of
//! emulator start it. Nothing here uses Keynudge's own code: messages are written by hand, and the generated users say
//! themselves what must happen to them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod credential_report;
mod emulator_iam;
mod faults;
mod hostile_values;
mod ledger;
mod lifecycle;
mod malformed;
mod organization;
mod permissions;
mod population;
mod privacy;
mod schedule;
mod second_emulator;
mod senders;
mod support;
mod templates;
mod throttling;
mod timeouts;
mod web_pages;
