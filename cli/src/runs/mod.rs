//! Runs: starting one, following it, and what they came to.

pub(crate) mod follow;
pub(crate) mod look;
pub(crate) mod oldest;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod status;
