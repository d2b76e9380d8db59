//! Which users are asked about at all.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::tags::Tags;

/// Whose keys are looked at, beside the path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Users who have signed in to the console: people, who can be told. IAM keeps the date of the last
    /// sign-in when a password is deleted. Only the credential report shows who has a password today.
    SignedInUsers,
    /// Every user.
    All,
    /// Users who carry the contact tag. Asked last, since reading tags costs a call.
    Tagged,
}

/// The IAM path that users are under who are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix(String);

/// Why a text is no path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not begin with /")]
pub struct InvalidPathPrefix;

impl Default for PathPrefix {
    /// All paths.
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for PathPrefix {
    type Err = InvalidPathPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPathPrefix> {
        if text.starts_with('/') { Ok(Self(text.to_owned())) } else { Err(InvalidPathPrefix) }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a user's keys are not looked at, or their owner is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// The audience is those who signed in, and this user never did.
    NeverSignedIn,
    /// The user's path does not start with the prefix.
    OutsidePath,
    /// The user is younger than a stale key, and so is every key of theirs.
    TooYoung,
    /// The audience is those who signed in, and the account's credential report shows no console password any
    /// more.
    NoPassword,
    /// The account's credential report shows no active key.
    NoActiveKey,
    /// The account's credential report shows active keys, and that they are too young.
    NoOldKey,
    /// The audience is those with the contact tag, and this user has none.
    NotTagged,
}

impl SkipReason {
    /// For which users are not enqueued. For the others, they are checked first.
    pub const NOT_ENQUEUED: [Self; 6] = [
        Self::NeverSignedIn,
        Self::OutsidePath,
        Self::TooYoung,
        Self::NoPassword,
        Self::NoActiveKey,
        Self::NoOldKey,
    ];
}

/// By what users are left out, beside what the list of users shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserFilter {
    /// By nothing.
    #[default]
    None,
    /// By the account's credential report.
    CredentialReport,
}

/// Why a text names no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not none or credential-report")]
pub struct InvalidUserFilter;

impl FromStr for UserFilter {
    type Err = InvalidUserFilter;

    fn from_str(text: &str) -> Result<Self, InvalidUserFilter> {
        match text {
            "none" => Ok(Self::None),
            "credential-report" => Ok(Self::CredentialReport),
            _ => Err(InvalidUserFilter),
        }
    }
}

/// As settings name it.
impl fmt::Display for UserFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::CredentialReport => "credential-report",
        })
    }
}

/// As settings name it.
impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignedInUsers => "signed-in-users",
            Self::All => "all",
            Self::Tagged => "tagged",
        })
    }
}

/// Why a text names no audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not signed-in-users, all or tagged")]
pub struct InvalidAudience;

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(text: &str) -> Result<Self, InvalidAudience> {
        match text {
            "signed-in-users" => Ok(Self::SignedInUsers),
            "all" => Ok(Self::All),
            "tagged" => Ok(Self::Tagged),
            _ => Err(InvalidAudience),
        }
    }
}

impl Audience {
    /// Whether a user is skipped for what `iam:ListUsers` shows: path and last sign-in.
    #[must_use]
    pub fn skips_listed(
        self,
        path_prefix: &PathPrefix,
        path: &str,
        password_last_used: Option<DateTime<Utc>>,
    ) -> Option<SkipReason> {
        if !path.starts_with(&path_prefix.0) {
            return Some(SkipReason::OutsidePath);
        }
        (self == Self::SignedInUsers && password_last_used.is_none()).then_some(SkipReason::NeverSignedIn)
    }

    /// Whether a user with stale keys is skipped for their tags.
    #[must_use]
    pub fn skips_tagged(self, contact_tag: &str, tags: &Tags) -> Option<SkipReason> {
        (self == Self::Tagged && tags.get(contact_tag).is_none()).then_some(SkipReason::NotTagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn path(prefix: &str) -> PathPrefix {
        prefix.parse().unwrap()
    }

    #[test]
    fn a_path_prefix_begins_with_a_slash_and_is_everything_by_default() {
        assert_eq!("people/".parse::<PathPrefix>(), Err(InvalidPathPrefix));
        assert_eq!(PathPrefix::default(), path("/"));
    }

    #[test]
    fn audiences_have_the_names_of_the_setting() {
        assert_eq!("signed-in-users".parse(), Ok(Audience::SignedInUsers));
        assert_eq!("all".parse(), Ok(Audience::All));
        assert_eq!("tagged".parse(), Ok(Audience::Tagged));
        assert_eq!("everyone".parse::<Audience>(), Err(InvalidAudience));
    }

    #[test]
    fn what_was_read_from_a_setting_is_shown_as_it_was_written() {
        for name in ["signed-in-users", "all", "tagged"] {
            assert_eq!(name.parse::<Audience>().unwrap().to_string(), name);
        }
        for (name, filter) in
            [("none", UserFilter::None), ("credential-report", UserFilter::CredentialReport)]
        {
            assert_eq!((name.parse(), filter.to_string().as_str()), (Ok(filter), name));
        }
        assert_eq!("report".parse::<UserFilter>(), Err(InvalidUserFilter));
        assert_eq!(path("/people/").to_string(), "/people/");
    }

    #[test]
    fn only_the_signed_in_audience_asks_for_a_sign_in() {
        assert_eq!(
            Audience::SignedInUsers.skips_listed(&path("/"), "/", None),
            Some(SkipReason::NeverSignedIn)
        );
        assert_eq!(Audience::SignedInUsers.skips_listed(&path("/"), "/", Some(signed_in())), None);
        assert_eq!(Audience::All.skips_listed(&path("/"), "/", None), None);
        assert_eq!(Audience::Tagged.skips_listed(&path("/"), "/", None), None);
    }

    #[test]
    fn a_path_prefix_leaves_the_rest_out() {
        assert_eq!(Audience::All.skips_listed(&path("/people/"), "/people/ops/", None), None);
        assert_eq!(Audience::All.skips_listed(&path("/people/"), "/", None), Some(SkipReason::OutsidePath));
        let both = Audience::SignedInUsers.skips_listed(&path("/people/"), "/robots/", None);
        assert_eq!(both, Some(SkipReason::OutsidePath));
    }

    #[test]
    fn only_the_tagged_audience_asks_for_the_contact_tag() {
        let tagged = Tags::from_iter([("keynudge:contact", "")]);
        assert_eq!(Audience::Tagged.skips_tagged("keynudge:contact", &tagged), None);
        assert_eq!(
            Audience::Tagged.skips_tagged("keynudge:contact", &Tags::default()),
            Some(SkipReason::NotTagged)
        );
        assert_eq!(Audience::All.skips_tagged("keynudge:contact", &Tags::default()), None);
        assert_eq!(Audience::SignedInUsers.skips_tagged("keynudge:contact", &Tags::default()), None);
    }
}
