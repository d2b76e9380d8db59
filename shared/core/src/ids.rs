//! Validated identifiers. A value of one of these types is well-formed; [`FromStr`] is the only way to make one,
//! and deserialization goes through it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use email_address::Options;
use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::Text;

/// Why a text is not the identifier it was taken for. Never repeats the text: it may be personal, or hostile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct InvalidId {
    expected: &'static str,
}

/// Declares identifiers: a private `String`, which `valid` checks on the way in, and which `canonical`, if
/// given, brings into one form.
macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident: $expected:literal, $valid:expr $(, $canonical:expr)?;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                $(let canonical: fn(&str) -> String = $canonical;
                let text = canonical(&text);)?
                if valid(&text) { Ok(Self(text)) } else { Err(InvalidId { expected: $expected }) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text { wanted: $expected, read: |text| text.parse().ok() })
            }
        }
    )+};
}

/// Lets identifiers that are safe in a log be printed.
macro_rules! printable {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

/// Keeps identifiers that must not reach a log from being printed: no `Display`, and a `Debug` without the value.
macro_rules! unprintable {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

identifiers! {
    /// An AWS account: 12 digits.
    AccountId: "an AWS account id (12 digits)",
        |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());

    /// A root or an organizational unit of an organization (Organizations API, `ParentId`).
    UnitId: "the id of an organizational unit or root (ou-…, r-…)", is_unit_id;

    /// The name of an IAM role, without its path (IAM API, `Role`).
    RoleName: "the name of a role (1 to 64 letters, digits or _+=,.@-)", is_iam_name;

    /// A group of AWS regions, as ARNs name it, such as `aws` or `aws-us-gov`.
    PartitionName: "a partition, such as aws", is_partition;

    /// An IAM user's stable id (`AIDA…`), which outlives a rename. IAM's API allows 16 to 128 word characters.
    UserId: "an IAM unique id (16 to 128 letters, digits or _)", is_iam_unique_id;

    /// An IAM user name: 1 to 64 letters, digits or `_+=,.@-` (IAM API, `User`). It may be a mail address.
    UserName: "an IAM user name (1 to 64 letters, digits or _+=,.@-)", is_iam_name;

    /// An IAM user's ARN, `arn:PARTITION:iam::ACCOUNT:user/PATH/NAME`.
    UserArn: "the ARN of an IAM user", is_user_arn;

    /// An access key's id (`AKIA…`), never the secret. IAM's API allows 16 to 128 word characters.
    AccessKeyId: "an access key id (16 to 128 letters, digits or _)", is_iam_unique_id;

    /// The address of a page, `https://…`, of printable ASCII without blanks, quotes and angle brackets.
    HttpsLink: "an https:// address of at most 200 characters", is_https_link;

    /// A mail address, `local@domain`, without a display name. The domain must be valid in the DNS, because
    /// SES refuses any other.
    EmailAddress: "a mail address", is_mail_address;

    /// A mail domain, such as `example.com`, in lower case; capital letters are read as small ones.
    Domain: "a mail domain, such as example.com", is_mail_domain, str::to_ascii_lowercase;

    /// One run. The schedule's is derived from its instant ([`RunId::of`]), an operator's is its own
    /// ([`RunId::by_hand`]). For people to follow a run, not for correctness.
    RunId: "a run id (1 to 64 letters, digits, - or :)", |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:".contains(&b))
    };

    /// One attempt to mail an owner; random. It travels as the value of an SES tag.
    ClaimId: "a claim's id (1 to 64 letters, digits or -)", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };

    /// The id that SES gives a mail.
    SesMessageId: "a message id of SES (1 to 128 letters, digits, -, _ or .)", |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };

    /// What an account is called: an alias (at most 63 characters; IAM API, `CreateAccountAlias`), or a name in an organization
    /// (at most 50). Other people give it, and it stands in mails to owners.
    AccountName: "an account's name (1 to 63 characters, none of them a control character)", |text| {
        (1..=63).contains(&text.chars().count()) && !text.trim().is_empty() && !text.chars().any(steers)
    };

    /// One line of text by somebody else, such as a key's description: at most 256 characters (the length of an
    /// IAM tag's value).
    Line: "a line of at most 256 characters, none of them a control character", |text| {
        text.chars().count() <= 256 && !text.chars().any(steers)
    };
}

printable!(AccountId, UnitId, RoleName, PartitionName, UserId, Domain, RunId, ClaimId, SesMessageId);
unprintable!(AccountName, UserName, UserArn, AccessKeyId, EmailAddress, HttpsLink, Line);

fn is_iam_unique_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_iam_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

/// Whether a character steers how others are shown: a control character, a line break, or what turns the
/// direction of text (Unicode's `Bidi_Control`). No text that other people write may have one.
#[must_use]
pub fn steers(c: char) -> bool {
    let breaks_lines = matches!(c, '\u{2028}' | '\u{2029}');
    let turns = matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || breaks_lines || turns
}

/// At most 254 characters, of which 64 are in front of the `@` (RFC 5321, section 4.5.3.1).
fn is_mail_address(text: &str) -> bool {
    let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
    let is_one = email_address::EmailAddress::parse_with_options(text, options).is_ok();
    let domain = text.rsplit_once('@').map_or("", |(_, domain)| domain);
    // A quoted local part may hold anything, another address included.
    is_one && text.len() <= 254 && text.is_ascii() && !text.contains('"') && is_mail_domain(domain)
}

/// A host's name of two labels or more: letters, digits, and hyphens within; 63 of them in a label, and 253
/// in all (RFC 1123, section 2.1). The last label begins with a letter: one of digits alone would be part of
/// an IP address (RFC 3696, section 2).
fn is_mail_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_top = |label: &str| label.len() >= 2 && label.starts_with(|c: char| c.is_ascii_alphabetic());
    text.len() <= 253
        && text.split('.').all(is_label)
        && text.rsplit_once('.').is_some_and(|(_, top)| is_top(top))
}

fn is_unit_id(text: &str) -> bool {
    let part = |text: &str, at_least: usize| {
        (at_least..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    match text.strip_prefix("ou-") {
        Some(unit) => unit.split_once('-').is_some_and(|(root, unit)| part(root, 4) && part(unit, 8)),
        None => text.strip_prefix("r-").is_some_and(|root| part(root, 4)),
    }
}

/// What a browser opens, and what breaks out of no attribute and no line.
fn is_https_link(text: &str) -> bool {
    let host = text.strip_prefix("https://").unwrap_or_default();
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= 200
        && host.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b))
}

fn is_partition(text: &str) -> bool {
    text.starts_with("aws") && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

fn is_user_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &[arn, partition, service, region, account, resource] = parts.as_slice() else {
        return false;
    };
    let path_and_name = resource.strip_prefix("user/").unwrap_or_default();
    arn == "arn"
        && is_partition(partition)
        && (service, region) == ("iam", "")
        && account.parse::<AccountId>().is_ok()
        && (1..=576).contains(&path_and_name.len())
        // A path may hold U+0021 to U+007F, the last of which, DEL, is a control character (IAM API,
        // `CreateUser`, `Path`).
        && path_and_name.bytes().all(|b| (0x21..=0x7f).contains(&b))
}

impl UnitId {
    /// Whether it is a root, in which all of an organization is.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.starts_with("r-")
    }
}

impl UserName {
    /// Whether Amazon Bedrock's console made the user, which it does for each long-term API key. Such a user
    /// has no access key unless somebody makes one, which is probably a mistake.
    #[must_use]
    pub fn is_of_bedrock_api_key(&self) -> bool {
        self.0.starts_with("BedrockAPIKey-")
    }
}

impl UserArn {
    /// The partition the user lives in.
    #[must_use]
    pub fn partition(&self) -> Partition {
        match self.0.split(':').nth(1) {
            Some("aws") => Partition::Aws,
            Some("aws-cn") => Partition::AwsCn,
            Some("aws-us-gov") => Partition::AwsUsGov,
            _ => Partition::Other,
        }
    }
}

impl EmailAddress {
    /// The same mailbox. IAM tells capital letters from small ones in the recipients that its policies allow.
    #[must_use]
    pub fn with_domain_in_lower_case(&self) -> Self {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or_default();
        Self(format!("{local}@{}", domain.to_ascii_lowercase()))
    }

    /// The part behind the `@`, in lower case.
    #[must_use]
    pub fn domain(&self) -> Domain {
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        Domain(domain.to_ascii_lowercase())
    }
}

impl ClaimId {
    /// The id made of these bits, which are to be random.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }
}

impl RunId {
    /// The id of the run that judges ages as of `as_of`. A dry run is another one than the live run of the same instant.
    #[must_use]
    pub fn of(as_of: DateTime<Utc>, is_dry_run: bool) -> Self {
        let suffix = if is_dry_run { "-dry-run" } else { "" };
        Self(format!("{}{suffix}", as_of.format("%Y-%m-%dT%H:%M:%SZ")))
    }

    /// The id of a run that an operator starts at `at`, whatever instant it judges. `random` keeps two runs
    /// apart that start in one second.
    #[must_use]
    pub fn by_hand(at: DateTime<Utc>, random: u16) -> Self {
        Self(format!("{}-{random:04x}", at.format("%Y-%m-%dT%H:%M:%SZ")))
    }
}

/// A group of AWS regions with its own accounts, endpoints and console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// The commercial regions.
    Aws,
    /// China.
    AwsCn,
    /// AWS GovCloud (US).
    AwsUsGov,
    /// A partition whose console and documentation Keynudge knows no links to.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts<T: FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }

    #[test]
    fn an_account_id_is_exactly_twelve_digits() {
        assert!(accepts::<AccountId>("012345678901"));
        for bad in ["", "12345678901", "1234567890123", "12345678901a", "１23456789012"] {
            assert!(!accepts::<AccountId>(bad), "{bad}");
        }
    }

    #[test]
    fn an_accounts_name_is_short_and_steers_nothing() {
        assert!(accepts::<AccountName>("Zahlungen & Löhne") && accepts::<AccountName>(&"x".repeat(63)));
        for bad in ["", "  ", &"x".repeat(64)] {
            assert!(!accepts::<AccountName>(bad), "{bad:?}");
        }
    }

    /// Control characters, line breaks, and all of Unicode's `Bidi_Control` (PropList.txt).
    #[test]
    fn no_text_by_other_people_steers_how_it_is_shown() {
        let steering = "\0\n\r\t\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\
            \u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for c in steering.chars() {
            let text = format!("a{c}b");
            assert!(!accepts::<AccountName>(&text) && !accepts::<Line>(&text), "{text:?}");
        }
        // What is written from right to left, and signs that are made of several.
        for text in
            ["שלום", "a\u{200d}b", "می\u{200c}خواهم", "\u{2027}\u{202f}\u{2065}\u{206a}\u{200d}\u{2010}"]
        {
            assert!(accepts::<AccountName>(text) && accepts::<Line>(text), "{text:?}");
        }
    }

    #[test]
    fn a_unit_is_a_root_or_an_organizational_unit() {
        let root: UnitId = "r-ab12".parse().unwrap();
        let unit: UnitId = "ou-ab12-cd34ef56".parse().unwrap();
        assert!(root.is_root() && !unit.is_root());
        for bad in ["", "r-", "r-AB12", "ou-ab12", "ou-ab12-short", "o-a1b2c3d4e5", "123456789012"] {
            assert!(!accepts::<UnitId>(bad), "{bad}");
        }
    }

    #[test]
    fn a_user_name_is_what_iam_allows() {
        for good in ["a", "jane.doe@example.com", "a_b+c=d,e-f", &"x".repeat(64)] {
            assert!(accepts::<UserName>(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a;b", "a\nb", "é", "<b>", &"x".repeat(65)] {
            assert!(!accepts::<UserName>(bad), "{bad}");
        }
    }

    #[test]
    fn users_of_bedrock_api_keys_are_known_by_their_names() {
        let is_one = |name: &str| name.parse::<UserName>().unwrap().is_of_bedrock_api_key();
        assert!(
            is_one("BedrockAPIKey-x1y2") && !is_one("BedrockAPIKeys") && !is_one("my-BedrockAPIKey-x1y2")
        );
    }

    #[test]
    fn unique_ids_and_key_ids_are_16_to_128_word_characters() {
        for (text, good) in [
            ("AKIAIOSFODNN7EXAMPLE", true),
            ("A_AIOSFODNN7EXAM", true),
            (&"A".repeat(16), true),
            (&"A".repeat(128), true),
            (&"A".repeat(15), false),
            (&"A".repeat(129), false),
            ("AKIAIOSFODNN7-XAMPLE", false),
        ] {
            assert_eq!(accepts::<AccessKeyId>(text), good, "{text}");
            assert_eq!(accepts::<UserId>(text), good, "{text}");
        }
    }

    #[test]
    fn a_user_arn_tells_its_partition() {
        for (arn, partition) in [
            ("arn:aws:iam::123456789012:user/jane", Partition::Aws),
            ("arn:aws-cn:iam::123456789012:user/team/a/jane", Partition::AwsCn),
            ("arn:aws-us-gov:iam::123456789012:user/jane", Partition::AwsUsGov),
            ("arn:aws-eusc:iam::123456789012:user/jane", Partition::Other),
            // All that a path may be made of.
            ("arn:aws:iam::123456789012:user/!\u{7f}~/jane", Partition::Aws),
        ] {
            assert_eq!(arn.parse::<UserArn>().unwrap().partition(), partition);
        }
    }

    #[test]
    fn what_is_not_a_users_arn_is_refused() {
        let long = format!("arn:aws:iam::123456789012:user/{}", "x".repeat(577));
        for bad in [
            "",
            "arn:aws:iam::123456789012:user",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:role/jane",
            "arn:aws:iam::12345678901:user/jane",
            "arn:aws:iam:us-east-1:123456789012:user/jane",
            "arn:aws:sts::123456789012:user/jane",
            "urn:aws:iam::123456789012:user/jane",
            "arn:azure:iam::123456789012:user/jane",
            "arn:aws<b>:iam::123456789012:user/jane",
            "arn:aws:iam::123456789012:user/jane doe",
            "arn:aws:iam::123456789012:user/a\u{1f}b/jane",
            "arn:aws:iam::123456789012:user/é/jane",
            &long,
        ] {
            assert!(!accepts::<UserArn>(bad), "{bad}");
        }
        assert!(accepts::<UserArn>(&long[..long.len() - 1]));
    }

    #[test]
    fn a_mail_address_is_bare_ascii_with_a_domain_of_the_dns() {
        let label = "x".repeat(63);
        let domain = format!("{label}.{label}.example");
        for good in [
            "jane@example.com",
            "jane.doe+keys@mail.example.co.uk",
            "o'neil@example.com",
            "jane@3com.example",
            "jane@a-b.xn--p1ai",
            &format!("{}@{domain}", "j".repeat(64)),
            &format!("{}@{label}.{domain}", "j".repeat(254 - 64 - 1 - domain.len())),
        ] {
            assert!(accepts::<EmailAddress>(good), "{good}");
        }
        for bad in [
            "",
            "jane",
            "jane@",
            "@example.com",
            "jane@example",
            "jane@[127.0.0.1]",
            "Jane <jane@example.com>",
            "jane@example.com\r\nBcc: all@example.com",
            "jane@example.com,all@example.com",
            "jänë@example.com",
            "\"jane@evil.test\"@example.com",
            "\"<jane@evil.test>\"@example.com",
            "jane@example.com/x",
            "jane@exa_mple.com",
            "jane@example.com.",
            "jane@.example.com",
            "jane@example..com",
            "jane@-example.com",
            "jane@example-.com",
            "jane@example.-com",
            "jane@10.0.0.1",
            "jane@example.1",
            "jane@example.c",
            "jane@example.com:25",
            "jane@exam!ple.com",
            &format!("jane@{label}x.example"),
            &format!("{}@example.com", "j".repeat(65)),
            &format!("{}@{label}.{domain}", "j".repeat(254 - 64 - domain.len())),
            &format!("j@{label}.{label}.{label}.{label}"),
        ] {
            assert!(!accepts::<EmailAddress>(bad), "{bad}");
        }
    }

    #[test]
    fn a_link_is_an_https_address_without_surprises() {
        for good in
            ["https://example.com", "https://wiki.example.com/a/b?c=d&e=%20#f", "https://x.test:8443/~a"]
        {
            assert!(accepts::<HttpsLink>(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///a",
            "http://example.com",
            "javascript:alert(1)",
            "https://a b",
            "https://a\"onclick=",
            "https://a/<b>",
            "https://exämple.com",
            "https://example.com\nBcc: all@example.com",
            &format!("https://example.com/{}", "x".repeat(181)),
        ] {
            assert!(!accepts::<HttpsLink>(bad), "{bad}");
        }
    }

    #[test]
    fn an_addresss_domain_is_compared_in_lower_case() {
        let address: EmailAddress = "Jane@Example.COM".parse().unwrap();
        assert_eq!(address.domain(), "example.com".parse().unwrap());
        assert_eq!("Corp.Example".parse::<Domain>().unwrap().as_str(), "corp.example");
        for bad in
            ["", "example", "@example.com", "*.example.com", "example.com.", " example.com", "exa_mple.com"]
        {
            assert!(!accepts::<Domain>(bad), "{bad}");
        }
    }

    #[test]
    fn a_run_id_names_the_instant_it_judges() {
        let as_of = "2026-03-01T06:00:00Z".parse().unwrap();
        assert_eq!(RunId::of(as_of, false).as_str(), "2026-03-01T06:00:00Z");
        assert_eq!(RunId::of(as_of, true).as_str(), "2026-03-01T06:00:00Z-dry-run");
        assert!(accepts::<RunId>(RunId::of(as_of, true).as_str()));
        assert_eq!(RunId::by_hand(as_of, 0x3f).as_str(), "2026-03-01T06:00:00Z-003f");
        assert!(accepts::<RunId>(RunId::by_hand(as_of, u16::MAX).as_str()));
        for bad in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(!accepts::<RunId>(bad), "{bad}");
        }
    }

    #[test]
    fn a_line_has_no_breaks_and_at_most_256_characters() {
        assert!(accepts::<Line>(""));
        assert!(accepts::<Line>(&"é".repeat(256)));
        assert!(!accepts::<Line>(&"é".repeat(257)) && !accepts::<Line>("a\nb"));
    }

    #[test]
    fn personal_values_do_not_show_when_printed() {
        let address: EmailAddress = "jane@example.com".parse().unwrap();
        let key: AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
        let line: Line = "laptop".parse().unwrap();
        let name: UserName = "jane@example.com".parse().unwrap();
        let arn: UserArn = "arn:aws:iam::123456789012:user/jane@example.com".parse().unwrap();
        assert_eq!(format!("{address:?} {key:?} {line:?}"), "EmailAddress(…) AccessKeyId(…) Line(…)");
        assert_eq!(format!("{name:?} {arn:?}"), "UserName(…) UserArn(…)", "a name may be an address");
        let error = "jane".parse::<EmailAddress>().unwrap_err();
        assert_eq!(error.to_string(), "not a mail address");
    }

    #[test]
    fn ids_that_operators_search_for_are_printed_whole() {
        let account: AccountId = "123456789012".parse().unwrap();
        assert_eq!(format!("{account} {account:?}"), "123456789012 AccountId(123456789012)");
    }

    proptest! {
        #[test]
        fn json_is_no_way_around_validation(text in ".{0,80}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<AccountId>(&json).is_ok(), accepts::<AccountId>(&text));
            prop_assert_eq!(serde_json::from_str::<UserName>(&json).is_ok(), accepts::<UserName>(&text));
            prop_assert_eq!(serde_json::from_str::<EmailAddress>(&json).is_ok(), accepts::<EmailAddress>(&text));
        }

        #[test]
        fn an_identifier_survives_json(name in "[a-zA-Z0-9_+=,.@-]{1,64}") {
            let name: UserName = name.parse().unwrap();
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<UserName>(&json).unwrap(), name);
        }

        #[test]
        fn no_accepted_address_can_break_a_header(address in r#"[a-z"<>,;: \r\n]{1,4}@(example\.com|[a-z.> \n]{1,8})"#) {
            if let Ok(address) = address.parse::<EmailAddress>() {
                prop_assert!(!address.as_str().contains(['\r', '\n', '<', '>', '"', ' ', ',']));
            }
        }
    }
}
