//! Reminders about nobody, of every kind there is: to show what a mail looks like, and to try templates out.

use std::fmt;
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_core::contact::{ContactSource, Recipient};
use keynudge_core::exemption::RefusedExemption;
use keynudge_core::keys::{LastUsed, StaleKey};
use keynudge_core::mail::{Reminder, ReminderSettings};
use keynudge_core::messages::{Mode, Run, StaleKeys, User};

/// What somebody may have written about a key who wanted it to be more than text.
const HOSTILE: &str = "<script>alert(\"x\")</script> & 'q' {{ 1 }}";

/// A finding about nobody.
#[derive(Debug, Clone)]
pub struct MadeUp {
    /// What to ask for it by.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// The finding.
    pub finding: StaleKeys,
    /// Whether the mail goes to a pilot's mailbox.
    is_pilot: bool,
}

impl MadeUp {
    fn new(name: &'static str, about: &'static str, finding: StaleKeys) -> Self {
        Self { name, about, finding, is_pilot: false }
    }

    /// What the mail says under `settings`.
    #[must_use]
    pub fn reminder(&self, settings: &ReminderSettings) -> Reminder {
        Reminder::new(&self.finding, &self.settings(settings))
    }

    /// `settings`, and a pilot's mailbox among them where this is about a pilot.
    #[must_use]
    pub fn settings(&self, settings: &ReminderSettings) -> ReminderSettings {
        let given = settings.redirect_all_to.clone();
        let redirect_all_to = given.or_else(|| self.is_pilot.then(|| parsed("pilot@example.com")));
        ReminderSettings { redirect_all_to, ..settings.clone() }
    }
}

/// Findings of every kind, judged as of `as_of`. The first is the most usual.
#[must_use]
pub fn made_up(as_of: DateTime<Utc>) -> Vec<MadeUp> {
    let used = || Some(last_used(as_of, 2, "s3", "eu-west-1"));
    let first = || key("AKIAIOSFODNN7EXAMPLE", as_of, 362, used(), Some("Backup script on my laptop"));
    let second = |last_used| key("AKIAI44QH8DHBEXAMPLE", as_of, 108, last_used, None);
    let with = |last_used| StaleKey { last_used, ..first() };
    let one = |key| finding(as_of, vec![key]);
    let found_by = |found_by| {
        let finding = one(first());
        StaleKeys { recipient: Recipient { found_by, ..finding.recipient }, ..finding }
    };
    let named = |name| StaleKeys { account_name: Some(parsed(name)), ..one(first()) };
    let refused = |refused| StaleKeys { refused_exemption: Some(refused), ..one(first()) };
    let elsewhere = |arn| {
        let finding = one(first());
        StaleKeys { user: User { arn: parsed(arn), ..finding.user }, ..finding }
    };
    let global = || Some(last_used(as_of, 57, "iam", "N/A"));
    let third = |last_used| key("AKIAIOSFODNN7THIRDKY", as_of, 100, last_used, None);
    let by_ses = || Some(last_used(as_of, 1, "ses", "eu-west-1"));
    let smtp = || of_smtp_user(one(StaleKey { description: None, ..with(by_ses()) }));
    vec![
        MadeUp::new("one-key", "one key, in use", one(first())),
        MadeUp::new("two-keys", "two keys, both in use", finding(as_of, vec![first(), second(global())])),
        MadeUp::new(
            "one-unused",
            "two keys, one of them never used",
            finding(as_of, vec![first(), second(Some(LastUsed::Never))]),
        ),
        MadeUp::new(
            "both-unused",
            "two keys, neither ever used",
            finding(as_of, vec![with(Some(LastUsed::Never)), second(Some(LastUsed::Never))]),
        ),
        MadeUp::new("never-used", "one key that was never used", one(with(Some(LastUsed::Never)))),
        MadeUp::new("unknown-use", "one key whose last use could not be read", one(with(None))),
        MadeUp::new(
            "no-description",
            "one key that nobody described",
            one(StaleKey { description: None, ..first() }),
        ),
        MadeUp::new(
            "web-address",
            "a description and an account name with a web address, which the mail leaves out",
            with_web_addresses(one(first())),
        ),
        MadeUp::new(
            "exempt-for-ever",
            "an exemption tag whose date is too far ahead",
            refused(RefusedExemption::TooFarAhead),
        ),
        MadeUp::new(
            "exempt-without-date",
            "an exemption tag that holds no date",
            refused(RefusedExemption::NotADate),
        ),
        MadeUp::new(
            "hostile",
            "a description that tries to be HTML and a template",
            one(StaleKey { description: Some(parsed(HOSTILE)), ..first() }),
        ),
        MadeUp::new(
            "three-keys",
            "three keys in use, as users from before IAM's limit of two may have",
            finding(as_of, vec![first(), second(global()), third(used())]),
        ),
        MadeUp::new(
            "half-known",
            "two keys, the last use of one of them could not be read",
            finding(as_of, vec![first(), second(None)]),
        ),
        MadeUp::new("smtp", "SMTP credentials that the SES console made", smtp()),
        MadeUp::new(
            "ses",
            "one key that was last used by SES, perhaps by its SMTP interface",
            one(with(by_ses())),
        ),
        MadeUp::new("second-stage", "a reminder of the second stage", StaleKeys { stage: 2, ..one(first()) }),
        MadeUp::new("named-account", "an account with a name", named("payments-prod")),
        MadeUp::new("user-name", "a user whose name is an address", found_by(ContactSource::UserName)),
        MadeUp::new(
            "default-domain",
            "an address made of name and domain",
            found_by(ContactSource::DefaultDomain),
        ),
        MadeUp::new(
            "fallback-contact",
            "to the fallback contact, for want of an address",
            found_by(ContactSource::Fallback),
        ),
        MadeUp::new(
            "china",
            "a user in China, with links of its own",
            elsewhere("arn:aws-cn:iam::111122223333:user/jane.doe"),
        ),
        MadeUp::new(
            "other-partition",
            "a user in a partition that has no links",
            elsewhere("arn:aws-other:iam::111122223333:user/jane.doe"),
        ),
        MadeUp { is_pilot: true, ..MadeUp::new("pilot", "redirected to a pilot's mailbox", one(first())) },
    ]
}

/// The same, about a user that the SES console made.
fn of_smtp_user(finding: StaleKeys) -> StaleKeys {
    let name = "ses-smtp-user.20260514-101500";
    let arn = parsed(&format!("arn:aws:iam::111122223333:user/{name}"));
    StaleKeys { user: User { name: parsed(name), arn, ..finding.user }, ..finding }
}

/// The same, in an account and with a description that would lead the owner elsewhere.
fn with_web_addresses(mut finding: StaleKeys) -> StaleKeys {
    finding.account_name = Some(parsed("URGENT renew: https://sso.example/aws"));
    finding.keys[0].description = Some(parsed("Key off - sign in at www.sso.example"));
    finding
}

/// A mail to try templates out on.
pub(crate) struct Trial {
    /// What mail it is, in words.
    pub(crate) about: String,
    pub(crate) reminder: Reminder,
}

/// Mails of every kind: as it is, with all that a mail may have, and with nothing that it may lack. Then a
/// mail that lacks one thing alone, so that whatever a template forgets to ask for is missing beside all that
/// it may ask for; and one of each month, for whose name a template may have words of its own.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let kinds = made_up(middle_of(1));
    let settings = full();
    trials.extend(kinds.iter().map(|kind| Trial::of(kind.name, kind.reminder(&settings))));
    for kind in &kinds {
        trials.push(Trial::of(format!("{}, with all there may be", kind.name), Whole::of(kind).reminder()));
        let mut bare = Whole::of(kind);
        for (_, take_away) in &OPTIONAL {
            take_away(&mut bare);
        }
        trials.push(Trial::of(format!("{}, with nothing that may be left out", kind.name), bare.reminder()));
    }
    if let Some(usual) = kinds.first() {
        trials.extend(OPTIONAL.iter().map(|(thing, take_away)| {
            let mut whole = Whole::of(usual);
            take_away(&mut whole);
            Trial::of(format!("{}, with all there may be but {thing}", usual.name), whole.reminder())
        }));
    }
    for as_of in (2..=12).map(middle_of) {
        for kind in made_up(as_of).iter().take(1) {
            let about = format!("{}, as of {}", kind.name, as_of.date_naive());
            trials.push(Trial::of(about, kind.reminder(&settings)));
        }
    }
    trials
}

impl Trial {
    fn of(about: impl fmt::Display, reminder: Reminder) -> Self {
        Self { about: format!("tried on {about}"), reminder }
    }
}

/// A finding, and the settings of its mail.
struct Whole {
    finding: StaleKeys,
    settings: ReminderSettings,
}

/// Takes something away from a mail.
type TakeAway = fn(&mut Whole);

/// What a mail may lack.
const OPTIONAL: [(&str, TakeAway); 9] = [
    ("account_name", |whole| whole.finding.account_name = None),
    ("descriptions", |whole| whole.finding.keys.iter_mut().for_each(|key| key.description = None)),
    ("refused_exemption", |whole| whole.finding.refused_exemption = None),
    ("links", |whole| {
        let name = whole.finding.user.name.as_str();
        whole.finding.user.arn = parsed(&format!("arn:aws-other:iam::111122223333:user/{name}"));
    }),
    ("support_contact.href", |whole| whole.settings.support_contact = Some(parsed("#cloud-help"))),
    ("support_contact", |whole| whole.settings.support_contact = None),
    ("organization_name", |whole| whole.settings.organization_name = None),
    ("policy_link", |whole| whole.settings.policy_link = None),
    ("redirected_from", |whole| whole.settings.redirect_all_to = None),
];

impl Whole {
    /// `kind`, with all that its mail may have.
    fn of(kind: &MadeUp) -> Self {
        let mut finding = kind.finding.clone();
        finding.account_name.get_or_insert_with(|| parsed("payments-prod"));
        finding.refused_exemption.get_or_insert(RefusedExemption::TooFarAhead);
        for key in &mut finding.keys {
            key.description.get_or_insert_with(|| parsed("Backup script on my laptop"));
        }
        let redirect_all_to = Some(parsed("pilot@example.com"));
        let settings = ReminderSettings { alert_after_days: days(1), redirect_all_to, ..full() };
        Self { finding, settings }
    }

    fn reminder(&self) -> Reminder {
        Reminder::new(&self.finding, &self.settings)
    }
}

/// All settings that there are, but for a pilot's mailbox.
pub(crate) fn full() -> ReminderSettings {
    ReminderSettings {
        support_contact: Some(parsed("cloud-help@example.com")),
        organization_name: Some(parsed("Example & Sons")),
        policy_link: Some(parsed("https://wiki.example.com/access-keys")),
        ..bare()
    }
}

/// No settings that may be left out.
fn bare() -> ReminderSettings {
    ReminderSettings {
        alert_after_days: days(90),
        remind_every_days: days(7),
        max_exemption_days: days(90),
        support_contact: None,
        organization_name: None,
        policy_link: None,
        redirect_all_to: None,
    }
}

/// The middle of a month of 2026, at noon.
fn middle_of(month: u32) -> DateTime<Utc> {
    parsed(&format!("2026-{month:02}-15T12:00:00Z"))
}

fn days(days: u32) -> NonZeroU32 {
    NonZeroU32::new(days).expect("written here, and not 0")
}

fn finding(as_of: DateTime<Utc>, keys: Vec<StaleKey>) -> StaleKeys {
    StaleKeys {
        run: Run::at(as_of, Mode::DryRun),
        account_id: parsed("111122223333"),
        account_name: None,
        user: User {
            name: parsed("jane.doe"),
            id: parsed("AIDACKCEVSQ6C2EXAMPLE"),
            arn: parsed("arn:aws:iam::111122223333:user/jane.doe"),
            created_at: before(as_of, 700),
            password_last_used: None,
        },
        recipient: Recipient { to: parsed("jane.doe@example.com"), found_by: ContactSource::Tag },
        keys,
        stage: 1,
        refused_exemption: None,
        checked_at: as_of,
        found_at: None,
    }
}

fn key(
    id: &str,
    as_of: DateTime<Utc>,
    age_days: u32,
    last_used: Option<LastUsed>,
    description: Option<&str>,
) -> StaleKey {
    StaleKey {
        id: parsed(id),
        created_at: before(as_of, age_days.into()),
        age_days,
        last_used,
        description: description.map(parsed),
    }
}

fn last_used(as_of: DateTime<Utc>, days_ago: i64, service: &str, region: &str) -> LastUsed {
    LastUsed::At { at: before(as_of, days_ago), service: parsed(service), region: parsed(region) }
}

/// As far back as dates go, for a date as far back as dates go.
fn before(as_of: DateTime<Utc>, days: i64) -> DateTime<Utc> {
    as_of.checked_sub_signed(TimeDelta::days(days)).unwrap_or(as_of)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("written here, and well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be missing is so beside everything else that may be there, and everything beside everything:
    /// otherwise a template that asks for one thing and forgets another passes.
    #[test]
    fn templates_are_tried_with_each_thing_missing_beside_every_other() {
        type IsThere = fn(&Reminder) -> bool;
        let things: [(&str, IsThere); 10] = [
            ("account_name", |mail| mail.account_name.is_some()),
            ("description", |mail| mail.keys.iter().all(|key| key.description.is_some())),
            ("refused_exemption", |mail| mail.refused_exemption.is_some()),
            ("links", |mail| mail.links.is_some()),
            ("support_contact", |mail| mail.support_contact.is_some()),
            ("href", |mail| mail.support_contact.as_ref().is_some_and(|contact| contact.href.is_some())),
            ("organization_name", |mail| mail.organization_name.is_some()),
            ("policy_link", |mail| mail.policy_link.is_some()),
            ("redirected_from", |mail| mail.redirected_from.is_some()),
            ("region", |mail| serde_json::to_string(&mail.keys).unwrap().contains(r#""region":null"#)),
        ];
        let trials = trials();
        for (one, has_one) in &things {
            for (other, has_other) in &things {
                for (wanted, is_possible) in [
                    ((true, true), true),
                    ((true, false), one != other && (*one, *other) != ("href", "support_contact")),
                ] {
                    let is_tried = trials
                        .iter()
                        .any(|trial| (has_one(&trial.reminder), has_other(&trial.reminder)) == wanted);
                    assert!(is_tried || !is_possible, "{one} and {other}: {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn made_up_findings_have_a_name_each_and_ages_that_fit_their_dates() {
        let as_of = middle_of(3);
        let kinds = made_up(as_of);
        let mut names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), kinds.len());
        for key in kinds.iter().flat_map(|kind| &kind.finding.keys) {
            assert_eq!((as_of - key.created_at).num_days(), i64::from(key.age_days));
        }
    }

    #[test]
    fn no_date_is_too_far_back_for_made_up_findings() {
        for as_of in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert!(!made_up(as_of).iter().any(|kind| kind.reminder(&full()).keys.is_empty()));
        }
    }
}
