//! What a `SendEmail` says about a mail, as far as limits and events go.

use std::collections::BTreeMap;
use std::iter;

/// A request's parameters.
pub(super) type Parameters = BTreeMap<String, String>;

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) source: String,
    pub(super) destination: Vec<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) configuration_set: Option<String>,
}

impl Mail {
    pub(super) fn from_parameters(parameters: &Parameters) -> Self {
        let value = |name: &str| parameters.get(name).cloned();
        let recipients = ["To", "Cc", "Bcc"]
            .iter()
            .flat_map(|kind| numbered(move |n| value(&format!("Destination.{kind}Addresses.member.{n}"))));
        let tags = numbered(|n| {
            Some((value(&format!("Tags.member.{n}.Name"))?, value(&format!("Tags.member.{n}.Value"))?))
        });
        Self {
            source: value("Source").unwrap_or_default(),
            destination: recipients.collect(),
            tags: tags.collect(),
            configuration_set: value("ConfigurationSetName"),
        }
    }
}

/// A list in the Query protocol, whose members are numbered from one.
fn numbered<T>(member: impl Fn(usize) -> Option<T>) -> impl Iterator<Item = T> {
    let mut numbers = 1..;
    iter::from_fn(move || numbers.next().and_then(&member))
}
