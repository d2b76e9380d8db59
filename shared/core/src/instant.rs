//! Which instants a message may hold: those of the years 1970 to 9999.
//!
//! Others cannot be meant. Their years have more than four digits or a sign, which not everybody reads, and what is
//! added to them may be no instant any more.

use chrono::{DateTime, Datelike, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Whether a message may hold `instant`.
#[must_use]
pub fn is_plausible(instant: DateTime<Utc>) -> bool {
    (1970..=9999).contains(&instant.year())
}

/// Reads a field that holds an instant; with `deserialize_with`.
pub(crate) fn plausible<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let instant = DateTime::deserialize(deserializer)?;
    if is_plausible(instant) { Ok(instant) } else { Err(D::Error::custom("not in the years 1970 to 9999")) }
}

/// The same of a field that may be left out.
pub(crate) fn plausible_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let instant = Option::<DateTime<Utc>>::deserialize(deserializer)?;
    if instant.is_none_or(is_plausible) {
        Ok(instant)
    } else {
        Err(D::Error::custom("not in the years 1970 to 9999"))
    }
}
