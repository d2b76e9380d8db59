//! The wall clock, passed in so that tests can stop it.

use chrono::{DateTime, Utc};

/// Tells the time.
pub type Clock = fn() -> DateTime<Utc>;

/// The real one.
pub const WALL: Clock = Utc::now;
