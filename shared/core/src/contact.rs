//! Which address an owner is reached at.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use crate::ids::{Domain, EmailAddress, InvalidId, UserName};
use crate::tags::Tags;
use crate::wire::Text;

/// Where the owner's address is looked for. The first source that yields an allowed address wins.
#[derive(Debug, Clone)]
pub struct ContactRules {
    /// The tag that holds an address.
    pub tag: String,
    /// Makes `username@domain` an address, where user names are mailbox names.
    pub default_domain: Option<Domain>,
    /// Who hears of owners that nothing else leads to.
    pub fallback: Option<EmailAddress>,
    /// Whom mail may go to.
    pub allowed: AllowedRecipients,
}

/// Whom a reminder may be sent to: addresses of some domains, but for some addresses. Subdomains are domains of their own.
///
/// People who may tag users could otherwise have the company's key inventory mailed to themselves.
#[derive(Debug, Clone)]
pub struct AllowedRecipients {
    /// All domains, where there are none.
    domains: Option<BTreeSet<Domain>>,
    /// In lower case.
    excluded: BTreeSet<String>,
}

/// Whom a reminder is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The owner's address.
    pub to: EmailAddress,
    /// Which source gave it.
    pub found_by: ContactSource,
}

/// A source of addresses, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactSource {
    /// The contact tag.
    Tag,
    /// The user name, where it is an address.
    UserName,
    /// The user name at the default domain.
    DefaultDomain,
    /// The fallback contact.
    Fallback,
}

impl<'de> Deserialize<'de> for ContactSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text {
            "tag" => Some(Self::Tag),
            "user_name" => Some(Self::UserName),
            "default_domain" => Some(Self::DefaultDomain),
            "fallback" => Some(Self::Fallback),
            _ => None,
        };
        deserializer.deserialize_str(Text { wanted: "tag, user_name, default_domain or fallback", read })
    }
}

/// What looking for an owner's address came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Whom to mail; `None` where no source led anywhere.
    pub recipient: Option<Recipient>,
    /// How many candidates were passed over: no address at all in the contact tag, or a domain that is not allowed.
    pub passed_over: u32,
}

impl AllowedRecipients {
    /// Allows exactly these domains.
    #[must_use]
    pub fn new(domains: impl IntoIterator<Item = Domain>) -> Self {
        Self { domains: Some(domains.into_iter().collect()), excluded: BTreeSet::new() }
    }

    /// Allows all domains: only for reports of whom a deployment would find, which mail nobody.
    #[must_use]
    pub fn everywhere() -> Self {
        Self { domains: None, excluded: BTreeSet::new() }
    }

    /// The same but for `addresses`, however their letters are written: a service desk's, for example, which would make a
    /// ticket of each mail.
    #[must_use]
    pub fn without(self, addresses: impl IntoIterator<Item = EmailAddress>) -> Self {
        let excluded = addresses.into_iter().map(|address| address.as_str().to_lowercase()).collect();
        Self { excluded, ..self }
    }

    /// Whether mail may go to `address`.
    #[must_use]
    pub fn allow(&self, address: &EmailAddress) -> bool {
        self.contain(&address.domain()) && !self.excluded.contains(&address.as_str().to_lowercase())
    }

    /// Whether mail may go to addresses at `domain`.
    #[must_use]
    pub fn contain(&self, domain: &Domain) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.contains(domain))
    }
}

impl FromStr for AllowedRecipients {
    type Err = InvalidId;

    /// At least one domain; several are separated by commas. Blanks around them are forgiven.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut domains: Vec<&str> =
            text.split(',').map(str::trim).filter(|domain| !domain.is_empty()).collect();
        if domains.is_empty() {
            domains.push(text);
        }
        domains.into_iter().map(str::parse).collect::<Result<Vec<_>, _>>().map(Self::new)
    }
}

impl ContactRules {
    /// Finds the address of the owner of `user`.
    #[must_use]
    pub fn find(&self, user: &UserName, tags: &Tags) -> Contact {
        let mut passed_over = 0;
        for (found_by, address) in self.candidates(user, tags) {
            match address {
                Some(to) if self.allowed.allow(&to) => {
                    let to = to.with_domain_in_lower_case();
                    return Contact { recipient: Some(Recipient { to, found_by }), passed_over };
                }
                _ => passed_over += 1,
            }
        }
        Contact { recipient: None, passed_over }
    }

    /// The sources that say something about this user; `None` is a tag that holds no address.
    fn candidates(&self, user: &UserName, tags: &Tags) -> Vec<(ContactSource, Option<EmailAddress>)> {
        let tag = tags.get(&self.tag).map(|value| (ContactSource::Tag, value.trim().parse().ok()));
        let name: Option<EmailAddress> = user.as_str().parse().ok();
        // No address if the name is one already.
        let at_domain = self
            .default_domain
            .as_ref()
            .and_then(|domain| format!("{}@{domain}", user.as_str()).parse().ok());
        [
            tag,
            name.map(|address| (ContactSource::UserName, Some(address))),
            at_domain.map(|address| (ContactSource::DefaultDomain, Some(address))),
            self.fallback.clone().map(|address| (ContactSource::Fallback, Some(address))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(default_domain: Option<&str>, fallback: Option<&str>) -> ContactRules {
        ContactRules {
            tag: "keynudge:contact".to_owned(),
            default_domain: default_domain.map(|domain| domain.parse().unwrap()),
            fallback: fallback.map(|address| address.parse().unwrap()),
            allowed: AllowedRecipients::new(["example.com".parse().unwrap(), "example.org".parse().unwrap()]),
        }
    }

    fn find(rules: &ContactRules, user: &str, tag: Option<&str>) -> (Option<(String, ContactSource)>, u32) {
        let tags = tag.map(|value| ("keynudge:contact", value)).into_iter().collect();
        let contact = rules.find(&user.parse().unwrap(), &tags);
        let recipient = contact.recipient.map(|r| (r.to.as_str().to_owned(), r.found_by));
        (recipient, contact.passed_over)
    }

    fn found(address: &str, by: ContactSource, passed_over: u32) -> (Option<(String, ContactSource)>, u32) {
        (Some((address.to_owned(), by)), passed_over)
    }

    #[test]
    fn sources_are_asked_in_order() {
        let all = rules(Some("example.org"), Some("security@example.com"));
        assert_eq!(
            find(&all, "jane@example.com", Some("team@example.com")),
            found("team@example.com", ContactSource::Tag, 0)
        );
        assert_eq!(
            find(&all, "jane@example.com", None),
            found("jane@example.com", ContactSource::UserName, 0)
        );
        assert_eq!(find(&all, "jane", None), found("jane@example.org", ContactSource::DefaultDomain, 0));
        let no_domain = rules(None, Some("security@example.com"));
        assert_eq!(find(&no_domain, "jane", None), found("security@example.com", ContactSource::Fallback, 0));
        assert_eq!(find(&rules(None, None), "jane", None), (None, 0));
    }

    #[test]
    fn every_source_survives_its_way_through_a_queue() {
        for (source, name) in [
            (ContactSource::Tag, "tag"),
            (ContactSource::UserName, "user_name"),
            (ContactSource::DefaultDomain, "default_domain"),
            (ContactSource::Fallback, "fallback"),
        ] {
            let written = serde_json::to_value(source).unwrap();
            assert_eq!(
                (written.as_str(), serde_json::from_value(written.clone()).unwrap()),
                (Some(name), source)
            );
        }
    }

    #[test]
    fn a_foreign_address_is_passed_over_and_counted() {
        let rules = rules(None, Some("security@example.com"));
        assert_eq!(
            find(&rules, "jane@evil.test", Some("jane@evil.test")),
            found("security@example.com", ContactSource::Fallback, 2)
        );
    }

    #[test]
    fn exactly_the_named_domains_are_allowed() {
        let allowed = rules(None, None).allowed;
        let allowed =
            ["example.com", "example.org", "example.net"].map(|d| allowed.contain(&d.parse().unwrap()));
        assert_eq!(allowed, [true, true, false]);
    }

    #[test]
    fn allowed_domains_are_written_as_people_write_lists() {
        for list in ["example.com,example.org", " Example.COM , example.org ", "example.com,,example.org,"] {
            let allowed: AllowedRecipients = list.parse().unwrap();
            let allowed =
                ["example.com", "example.org", "example.net"].map(|d| allowed.contain(&d.parse().unwrap()));
            assert_eq!(allowed, [true, true, false], "{list}");
        }
        for bad in ["", " , ", "example.com example.org", "example.com;example.org", "example.com,*"] {
            assert!(bad.parse::<AllowedRecipients>().is_err(), "{bad}");
        }
    }

    #[test]
    fn subdomains_and_lookalikes_are_foreign() {
        for address in ["a@mail.example.com", "a@notexample.com", "a@example.com.evil.test"] {
            assert_eq!(find(&rules(None, None), "jane", Some(address)), (None, 1), "{address}");
        }
    }

    /// IAM's policy for the notifier tells capital letters from small ones.
    #[test]
    fn a_domain_is_allowed_whatever_its_case_and_is_written_in_small_letters() {
        assert_eq!(
            find(&rules(None, None), "jane", Some("Jane@Example.COM")),
            found("Jane@example.com", ContactSource::Tag, 0)
        );
    }

    #[test]
    fn an_excluded_recipient_is_passed_over_however_it_is_written() {
        let mut rules = rules(Some("example.com"), None);
        rules.allowed = rules.allowed.without(["Service-Desk@example.com".parse().unwrap()]);
        assert_eq!(
            find(&rules, "jane", Some("service-desk@Example.com")),
            found("jane@example.com", ContactSource::DefaultDomain, 1)
        );
    }

    #[test]
    fn a_tag_without_an_address_is_passed_over_and_counted() {
        for tag in ["", "jane", "a@example.com, b@example.com", "Jane <jane@example.com>", "a@example.com/x"]
        {
            assert_eq!(find(&rules(None, None), "jane", Some(tag)), (None, 1), "{tag}");
        }
    }

    #[test]
    fn blanks_around_a_tags_address_are_forgiven() {
        assert_eq!(
            find(&rules(None, None), "jane", Some(" jane@example.com ")),
            found("jane@example.com", ContactSource::Tag, 0)
        );
    }

    #[test]
    fn a_name_that_is_a_foreign_address_gets_no_second_domain() {
        assert_eq!(find(&rules(Some("example.org"), None), "jane@evil.test", None), (None, 1));
    }

    #[test]
    fn a_name_that_makes_no_address_is_no_candidate() {
        assert_eq!(find(&rules(Some("example.org"), None), ".jane.", None), (None, 0));
    }

    proptest! {
        #[test]
        fn mail_never_leaves_the_allowed_domains(
            user in "[a-z@.+]{1,20}",
            tag in proptest::option::of("([a-z ]{0,6}@(example\\.com|evil\\.test|a\\.example\\.com)|.{0,20})"),
            domain in proptest::option::of("(example\\.org|evil\\.test)"),
        ) {
            let rules = rules(domain.as_deref(), Some("fallback@evil.test"));
            let tags = tag.map(|value| ("keynudge:contact", value)).into_iter().collect();
            if let Some(recipient) = rules.find(&user.parse().unwrap(), &tags).recipient {
                let domain = recipient.to.domain();
                prop_assert!(["example.com", "example.org"].contains(&domain.as_str()));
            }
        }
    }
}
