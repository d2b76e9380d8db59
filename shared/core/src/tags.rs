//! An IAM user's tags.

/// The tags of one IAM user. Keys are found whatever their case: IAM takes `Contact` and `contact` for one key.
#[derive(Clone, Default)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// The value of the tag `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(tags: I) -> Self {
        Self(tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_whatever_the_case_of_its_key() {
        let tags = Tags::from_iter([("Keynudge:Contact", "jane@example.com"), ("team", "a")]);
        assert_eq!(tags.get("keynudge:contact"), Some("jane@example.com"));
        assert_eq!(tags.get("keynudge"), None);
    }
}
