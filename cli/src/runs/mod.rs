//! Runs: starting one, following it, and what they came to.

pub(crate) mod start;
pub(crate) mod status;
