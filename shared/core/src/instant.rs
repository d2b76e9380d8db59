//! Which instants a message may hold: those of the years 1970 to 9999.
//!
//! Nobody means an instant outside these years. Its year has more than four digits or a sign, which many
//! parsers refuse, and adding a duration to it may overflow.

use std::fmt;

use chrono::{DateTime, Datelike, Utc};
use serde::de::{Deserializer, Error, Visitor};

use crate::wire::Text;

/// Whether a message may hold `instant`.
#[must_use]
pub fn is_plausible(instant: DateTime<Utc>) -> bool {
    (1970..=9999).contains(&instant.year())
}

/// Reads a field that holds an instant; with `deserialize_with`.
pub(crate) fn plausible<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let wanted = "an instant such as 2026-03-01T06:00:00Z, in the years 1970 to 9999";
    let read = |text: &str| text.parse().ok().filter(|instant| is_plausible(*instant));
    deserializer.deserialize_str(Text { wanted, read })
}

/// The same of a field that may be left out.
pub(crate) fn plausible_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    struct IfAny;

    impl<'de> Visitor<'de> for IfAny {
        type Value = Option<DateTime<Utc>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an instant, or null")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            plausible(deserializer).map(Some)
        }
    }

    deserializer.deserialize_option(IfAny)
}
