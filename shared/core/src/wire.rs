//! Reading the fields of messages. An error says what a field wants, and never what it held: it goes into
//! logs.

use std::fmt;

use serde::de::{Error, Visitor};

/// Reads a string as a `T`. Serde's own readers quote what they cannot read, and those of enums call a field
/// of another type a mistake in the JSON.
pub(crate) struct Text<T> {
    /// What is wanted, as in "not …".
    pub(crate) wanted: &'static str,
    /// The value of a text; `None` where it has none.
    pub(crate) read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::custom(format_args!("not {}", self.wanted)))
    }
}
