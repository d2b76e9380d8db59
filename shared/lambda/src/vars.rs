//! Settings from the environment.

use std::env;

pub use keynudge_core::vars::{AsOfRule, InvalidVar, Vars};

/// The settings of this process.
#[must_use]
pub fn of_environment() -> Vars<'static> {
    Vars::new(&|name| env::var(name).ok())
}
