//! Making users from profiles.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use super::profiles::{Contact, Exemption, Keys, Profile};
use super::{DOMAIN, Expectation, FOREIGN_DOMAIN, Owner, Setting};
use crate::simulated_iam::directory::{AccessKey, LastUse, Tag, User};

const FIRST_NAMES: [&str; 16] = [
    "amelie", "bilal", "chiara", "dmitri", "elif", "femi", "greta", "hiro", "ines", "jakub", "kavya", "liam",
    "mei", "noor", "oskar", "priya",
];
const LAST_NAMES: [&str; 16] = [
    "adeyemi", "bauer", "costa", "dubois", "eriksen", "fischer", "garcia", "hansen", "ivanov", "jain",
    "kowalski", "lopez", "moreau", "nakamura", "okafor", "petrov",
];
/// Teams, whose mailbox many users may share. Tag values need not be ASCII.
const TEAMS: [(&str, &str); 5] = [
    ("billing", "Abrechnung Zürich"),
    ("data", "データ基盤"),
    ("platform", "Plate-forme développeur"),
    ("mobile", "Mobile: iOS + Android"),
    ("security", "Sécurité / Безопасность"),
];
const SERVICES: [&str; 5] = ["s3", "sts", "ec2", "dynamodb", "cloudformation"];
const REGIONS: [&str; 4] = ["us-east-1", "eu-central-1", "ap-northeast-1", "sa-east-1"];

/// Tags as the deployment under test knows them.
const CONTACT_TAG: &str = "keynudge:contact";
const EXEMPTION_TAG: &str = "keynudge:exempt-until";

/// Ages between these hours after midnight, so to speak: whole days stay whole days while a run takes its time.
const HOURS_INTO_THE_DAY: std::ops::Range<i64> = 1..18;

/// Makes users, one after another.
pub(super) struct Maker<'a> {
    setting: &'a Setting,
    now: DateTime<Utc>,
    rng: Rng,
    made: usize,
}

impl<'a> Maker<'a> {
    pub(super) fn new(setting: &'a Setting, now: DateTime<Utc>, rng: Rng) -> Self {
        Self { setting, now, rng, made: 0 }
    }

    pub(super) fn owner(&mut self, profile: Profile) -> Owner {
        self.made += 1;
        let name = self.name(profile.contact);
        let contact = self.contact(&name, profile.contact);
        let keys = self.keys(profile.keys);
        let tags = self.tags(profile, contact.tag, &keys);
        let user = User {
            path: self.path(profile.inside_path),
            id: format!("AIDA{}", self.base32(17)),
            created_at: self.created_before(&keys, profile.young),
            password_last_used: profile.signed_in.then(|| self.days_ago(0..60)),
            password_deleted: false,
            name,
            tags,
            keys,
        };
        let expectation = self.expectation(profile, contact.reached_at);
        Owner { user, profile, expectation }
    }

    /// What must happen, in the order in which Keynudge asks.
    fn expectation(&self, profile: Profile, reached_at: Option<String>) -> Expectation {
        let stale = profile.keys.stale();
        if !profile.inside_path && self.setting.path_prefix != "/" {
            Expectation::OutsidePath
        } else if !profile.signed_in && !self.setting.everybody {
            Expectation::NeverSignedIn
        } else if profile.young {
            Expectation::TooYoung
        } else if stale.is_empty() {
            Expectation::NotStale
        } else if profile.exemption == Exemption::Current {
            Expectation::Exempt
        } else if let Some(to) = reached_at {
            Expectation::Mailed { to, keys: stale.to_vec() }
        } else {
            Expectation::WithoutContact
        }
    }

    fn name(&mut self, contact: Contact) -> String {
        let first = self.one_of(&FIRST_NAMES);
        let last = self.one_of(&LAST_NAMES);
        let number = self.made;
        match contact {
            Contact::Name | Contact::NameAfterForeignTag | Contact::TagBeforeName => {
                format!("{first}.{last}{number}@{DOMAIN}")
            }
            Contact::ForeignName | Contact::ForeignNameAndTag => {
                format!("{first}.{last}{number}@{FOREIGN_DOMAIN}")
            }
            // IAM allows commas in user names; addresses do not.
            Contact::Unmailable => format!("{last},{first},{number}"),
            _ => format!("{first}.{last}{number}"),
        }
    }

    /// What the contact tag says, if there is one, and where the mail must go.
    fn contact(&mut self, name: &str, contact: Contact) -> ContactOf {
        let (team, _) = self.one_of(&TEAMS);
        let team_address = format!("team-{team}@{DOMAIN}");
        let foreign_address = format!("{team}@{FOREIGN_DOMAIN}");
        let at_default_domain = format!("{name}@{DOMAIN}");
        let (tag, reached_at) = match contact {
            Contact::OwnTag => (Some(at_default_domain.clone()), Some(at_default_domain)),
            Contact::Tag | Contact::TagBeforeName => (Some(team_address.clone()), Some(team_address)),
            Contact::Name => (None, Some(name.to_owned())),
            Contact::NameAfterForeignTag => (Some(foreign_address), Some(name.to_owned())),
            Contact::DefaultDomain => (None, Some(at_default_domain)),
            Contact::DefaultDomainAfterForeignTag => (Some(foreign_address), Some(at_default_domain)),
            Contact::DefaultDomainAfterBadTag => (Some(format!("team {team}")), Some(at_default_domain)),
            Contact::ForeignNameAndTag => (Some(foreign_address), None),
            Contact::ForeignName | Contact::Unmailable => (None, None),
        };
        ContactOf { tag, reached_at }
    }

    /// The keys, the stale ones where [`Keys::stale`] says they are.
    fn keys(&mut self, keys: Keys) -> Vec<AccessKey> {
        match keys {
            Keys::None => vec![],
            Keys::Fresh => vec![self.fresh_key()],
            Keys::JustFresh => {
                let almost = TimeDelta::days(self.setting.alert_after_days) - TimeDelta::hours(12);
                vec![self.key_created(self.now - almost)]
            }
            Keys::TwoFresh => vec![self.fresh_key(), self.fresh_key()],
            Keys::OldInactive => vec![self.old_inactive_key()],
            Keys::OldInactiveAndFresh => vec![self.old_inactive_key(), self.fresh_key()],
            Keys::Stale | Keys::StaleDescribed => vec![self.stale_key()],
            Keys::JustStale => {
                let just = TimeDelta::days(self.setting.alert_after_days) + TimeDelta::minutes(1);
                vec![self.key_created(self.now - just)]
            }
            Keys::StaleNeverUsed => vec![AccessKey { last_used: None, ..self.stale_key() }],
            Keys::TwoStale => vec![self.stale_key(), self.stale_key()],
            Keys::StaleAndFresh => vec![self.stale_key(), self.fresh_key()],
            Keys::StaleAndOldInactive => vec![self.stale_key(), self.old_inactive_key()],
        }
    }

    fn fresh_key(&mut self) -> AccessKey {
        let created_at = self.days_ago(0..self.setting.alert_after_days - 1);
        self.key_created(created_at)
    }

    /// Most stale keys are not very old, and a few are ancient.
    fn stale_key(&mut self) -> AccessKey {
        let longest = *self.rng.choice(&[60, 60, 60, 200, 200, 600, 2000]).unwrap_or(&60);
        let threshold = self.setting.alert_after_days;
        let created_at = self.days_ago(threshold..threshold + longest);
        self.key_created(created_at)
    }

    fn old_inactive_key(&mut self) -> AccessKey {
        AccessKey { active: false, ..self.stale_key() }
    }

    fn key_created(&mut self, created_at: DateTime<Utc>) -> AccessKey {
        AccessKey {
            id: format!("AKIA{}", self.base32(16)),
            active: true,
            created_at,
            last_used: Some(self.last_use_since(created_at)),
        }
    }

    fn last_use_since(&mut self, created_at: DateTime<Utc>) -> LastUse {
        let since = (self.now - created_at).num_minutes().max(1);
        LastUse {
            at: self.now - TimeDelta::minutes(self.rng.i64(0..since)),
            region: self.one_of(&REGIONS).to_owned(),
            service: self.one_of(&SERVICES).to_owned(),
        }
    }

    fn tags(&mut self, profile: Profile, contact: Option<String>, keys: &[AccessKey]) -> Vec<Tag> {
        let (_, team) = self.one_of(&TEAMS);
        let mut tags = vec![tag("team", team)];
        tags.extend(contact.map(|address| tag(CONTACT_TAG, &address)));
        tags.extend(self.exempt_until(profile.exemption).map(|day| tag(EXEMPTION_TAG, &day)));
        if profile.keys == Keys::StaleDescribed {
            // IAM's console keeps a key's description in a tag named by the key's id.
            let described = keys.iter().map(|key| tag(&key.id, &format!("CI pipeline - {team}")));
            tags.extend(described);
        }
        tags
    }

    fn exempt_until(&mut self, exemption: Exemption) -> Option<String> {
        let days = match exemption {
            Exemption::None => return None,
            Exemption::ForEver => return Some("9999-12-31".to_owned()),
            // At most 90 days, the default of MaxExemptionDays.
            Exemption::Current => self.rng.i64(5..=90),
            Exemption::Expired => -self.rng.i64(2..200),
        };
        let day = self.now + TimeDelta::days(days);
        Some(day.format("%Y-%m-%d").to_string())
    }

    fn path(&mut self, inside: bool) -> String {
        if inside { self.setting.path_prefix.to_owned() } else { "/elsewhere/".to_owned() }
    }

    /// Young users got their first key at once, the others had time to let it grow old.
    fn created_before(&mut self, keys: &[AccessKey], young: bool) -> DateTime<Utc> {
        let first_key = keys.iter().map(|key| key.created_at).min();
        if young {
            return first_key.unwrap_or_else(|| self.days_ago(0..self.setting.alert_after_days - 1));
        }
        let threshold = self.now - TimeDelta::days(self.setting.alert_after_days);
        let latest = first_key.map_or(threshold, |first_key| threshold.min(first_key));
        latest - TimeDelta::days(self.rng.i64(1..400))
    }

    fn days_ago(&mut self, days: std::ops::Range<i64>) -> DateTime<Utc> {
        let hours = self.rng.i64(HOURS_INTO_THE_DAY);
        self.now - TimeDelta::days(self.rng.i64(days)) - TimeDelta::hours(hours)
    }

    fn base32(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let letters = (0..length).map(|_| ALPHABET[self.rng.usize(..ALPHABET.len())]);
        letters.map(char::from).collect()
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: &[T; N]) -> T {
        all[self.rng.usize(..N)]
    }
}

/// A user's contact tag, and the address that must be mailed.
struct ContactOf {
    tag: Option<String>,
    reached_at: Option<String>,
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}
