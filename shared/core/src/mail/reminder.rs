//! What a reminder says: the facts of a finding, and what its owner should do about them.

use std::num::NonZeroU32;

use chrono::{DateTime, Days, NaiveDate, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::contact::ContactSource;
use crate::exemption::RefusedExemption;
use crate::ids::{AccessKeyId, AccountId, AccountName, EmailAddress, HttpsLink, Line, Partition, UserName};
use crate::keys::{LastUsed, StaleKey};
use crate::messages::StaleKeys;

/// Everything a mail template may say. Its fields, as serialized, are the templates' variables; `docs/MAIL.md` lists them.
/// Days are dates, and not yet words: how a date is written depends on the language.
///
/// Computed from a finding and the settings alone: the same finding always makes the same reminder.
#[derive(Clone, Serialize)]
pub struct Reminder {
    /// The account the user is in.
    pub account_id: AccountId,
    /// What people call that account: its alias, or its name in the organization; `None` where it has neither, or where that
    /// holds a web address.
    pub account_name: Option<AccountName>,
    /// The user whose keys these are.
    pub user_name: UserName,
    /// The stale keys, the oldest first.
    pub keys: Vec<KeyFacts>,
    /// How many stale keys there are.
    pub key_count: usize,
    /// The age from which keys are stale.
    pub alert_after_days: NonZeroU32,
    /// How many stages the oldest key has reached: 1 is the first.
    pub stage: u32,
    /// Why the user's exemption tag exempts nobody; `None` without such a tag.
    pub refused_exemption: Option<RefusedExemption>,
    /// How many days ahead an exemption may end.
    pub max_exemption_days: NonZeroU32,
    /// The day (UTC) as of which the keys' ages are told.
    pub as_of: NaiveDate,
    /// What to do, one task per key, in the order in which it works.
    pub tasks: Vec<Task>,
    /// Commands about the user as a whole.
    pub commands: UserCommands,
    /// Pages to go to; `None` where Keynudge knows none for the user's partition.
    pub links: Option<Links>,
    /// Whom to ask.
    pub support_contact: Option<SupportContact>,
    /// What the owner's organization is called.
    pub organization_name: Option<Line>,
    /// Where the organization says how old a key may be.
    pub policy_link: Option<HttpsLink>,
    /// How the recipient's address was found, which is why the mail goes to them.
    pub found_by: ContactSource,
    /// In a pilot, whom the mail would have gone to.
    pub redirected_from: Option<EmailAddress>,
    /// The day (UTC) of the next reminder, if the keys are still there.
    pub next_reminder_on: NaiveDate,
}

/// What a reminder says beside the finding itself.
#[derive(Debug, Clone)]
pub struct ReminderSettings {
    /// The age from which keys are stale.
    pub alert_after_days: NonZeroU32,
    /// How many days lie between two reminders.
    pub remind_every_days: NonZeroU32,
    /// How many days ahead an exemption may end.
    pub max_exemption_days: NonZeroU32,
    /// Whom owners may ask: a mail address, an `https://` address, or words such as `#cloud-help on Slack`.
    pub support_contact: Option<Line>,
    /// What the owners' organization is called.
    pub organization_name: Option<Line>,
    /// Where the organization says how old a key may be.
    pub policy_link: Option<HttpsLink>,
    /// In a pilot, the one mailbox that all mails go to instead of to their owners; each then says whom it was for.
    pub redirect_all_to: Option<EmailAddress>,
}

/// What is known of a stale key.
#[derive(Clone, Serialize)]
pub struct KeyFacts {
    /// The key's id.
    pub id: AccessKeyId,
    /// The day (UTC) the key was made.
    pub created_on: NaiveDate,
    /// The key's age in whole days.
    pub age_days: u32,
    /// When the key was last used.
    pub last_use: LastUse,
    /// What somebody wrote about the key in the console: anybody who may tag the user. `None` where it could lead the owner to
    /// a web page, or is long.
    pub description: Option<Line>,
    /// Whether there is a description that the mail leaves out.
    pub is_description_left_out: bool,
}

/// When a key was last used; templates ask for `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LastUse {
    /// It could not be read.
    Unknown,
    /// Not since IAM began to record it.
    Never,
    /// The latest use that IAM recorded.
    Used {
        /// The day (UTC).
        on: NaiveDate,
        /// The service called, such as `s3`.
        service: Line,
        /// The region called; `None` for a global service.
        region: Option<Line>,
    },
}

/// What to do about one key.
#[derive(Clone, Serialize)]
pub struct Task {
    /// The key.
    pub key_id: AccessKeyId,
    /// What to do about it; templates ask for `action`.
    #[serde(flatten)]
    pub action: Action,
    /// The commands that do it.
    pub commands: KeyCommands,
}

/// What to do about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Delete it: nothing ever used it, so nothing needs a new one.
    DeleteUnused,
    /// Delete it to make room for a new key: as a rule IAM allows two per user.
    MakeRoom {
        /// Another key of the user, which works in its place in the meantime.
        use_instead: AccessKeyId,
    },
    /// Make a new key, use that one instead, and delete the old one.
    Rotate,
    /// Make new SMTP credentials in the SES console, use them instead, and delete the key. A new access key
    /// would not help: the SMTP password is computed from a key's secret.
    ReplaceSmtp,
}

/// AWS CLI commands about the user.
#[derive(Clone, Serialize)]
pub struct UserCommands {
    /// Shows the user's keys; what a careful reader checks the mail with.
    pub list_keys: String,
    /// Makes a new key.
    pub create_key: String,
}

/// AWS CLI commands about one key.
#[derive(Clone, Serialize)]
pub struct KeyCommands {
    /// Turns the key off. With `Active` in place of `Inactive` it turns the key on again.
    pub deactivate: String,
    /// Shows when the key was last used.
    pub last_used: String,
    /// Deletes the key for good.
    pub delete: String,
}

/// Pages to go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Links {
    /// The user's security credentials in the IAM console.
    pub console: String,
    /// The page about updating access keys in IAM's guide.
    pub guide: String,
    /// The page about SMTP credentials in SES's guide; `None` where there is no SES.
    pub smtp_guide: Option<String>,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SupportContact {
    /// The contact as configured.
    pub text: Line,
    /// Where a click on it leads, if it is a mail address or an `https://` address.
    pub href: Option<String>,
}

impl Reminder {
    /// What to tell the owner of the keys in `finding`.
    #[must_use]
    pub fn new(finding: &StaleKeys, settings: &ReminderSettings) -> Self {
        let user = &finding.user;
        let as_of = finding.run.as_of.date_naive();
        let next = as_of.checked_add_days(Days::new(settings.remind_every_days.get().into()));
        Self {
            account_id: finding.account_id.clone(),
            account_name: finding.account_name.clone().filter(|name| !holds_web_address(name.as_str())),
            user_name: user.name.clone(),
            keys: finding.keys.iter().map(KeyFacts::of).collect(),
            key_count: finding.keys.len(),
            alert_after_days: settings.alert_after_days,
            stage: finding.stage,
            refused_exemption: finding.refused_exemption,
            max_exemption_days: settings.max_exemption_days,
            as_of,
            tasks: tasks(&user.name, &finding.keys),
            commands: UserCommands::for_user(&user.name),
            links: Links::for_user(&user.name, user.arn.partition()),
            support_contact: settings.support_contact.clone().map(SupportContact::new),
            organization_name: settings.organization_name.clone(),
            policy_link: settings.policy_link.clone(),
            found_by: finding.recipient.found_by,
            redirected_from: settings.redirect_all_to.as_ref().map(|_| finding.recipient.to.clone()),
            next_reminder_on: next.unwrap_or(NaiveDate::MAX),
        }
    }
}

impl KeyFacts {
    fn of(key: &StaleKey) -> Self {
        let description = key.description.clone().filter(|text| !text.as_str().trim().is_empty());
        let (description, left_out) = match description {
            Some(text) if is_fit_for_a_mail(text.as_str()) => (Some(text), false),
            left_out => (None, left_out.is_some()),
        };
        Self {
            id: key.id.clone(),
            created_on: key.created_at.date_naive(),
            age_days: key.age_days,
            last_use: LastUse::of(key.last_used.as_ref()),
            description,
            is_description_left_out: left_out,
        }
    }
}

/// The longest description in a mail, in characters. A longer one is more likely a letter to the reader than a note on a key.
const DESCRIPTION_MAX: usize = 80;

fn is_fit_for_a_mail(description: &str) -> bool {
    description.chars().count() <= DESCRIPTION_MAX && !holds_web_address(description)
}

/// Whether a mail program may make a link of a part of `text`: it holds the name of a scheme or of a host. Other people write
/// such texts, and a reminder is signed in the organization's name and asks its reader to act.
fn holds_web_address(text: &str) -> bool {
    let is_top = |label: &str| {
        label.starts_with("xn--") || label.chars().count() >= 2 && label.chars().all(char::is_alphabetic)
    };
    let is_host = |word: &str| {
        let mut labels = word.trim_matches(['.', '-']).rsplit('.');
        is_top(labels.next().unwrap_or_default()) && labels.next().is_some_and(|label| !label.is_empty())
    };
    // Whatever else there is ends a host: a path, a port, a mailbox, a sentence.
    let text = text.to_lowercase();
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
    text.contains("://") || text.contains("www.") || words.any(is_host)
}

impl LastUse {
    fn of(last_used: Option<&LastUsed>) -> Self {
        match last_used {
            None => Self::Unknown,
            Some(LastUsed::Never) => Self::Never,
            Some(LastUsed::At { at, service, region }) => Self::Used {
                on: at.date_naive(),
                service: service.clone(),
                region: Some(region.clone()).filter(|region| region.as_str() != "N/A"),
            },
        }
    }
}

/// How the SES console names the users that it makes for SMTP.
/// <https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html>
const SMTP_USER_PREFIX: &str = "ses-smtp-user.";

/// What to do about `keys`, so that each step can be done when it is its turn.
///
/// As a rule IAM allows two keys per user. So unused keys go first, which makes room for a new one. Where
/// more than one is in use, all but one have to go before the new one can be made, and their users take the
/// remaining one meanwhile. That is the one used last, since it probably has the most users, and they have to
/// move twice. Unknown use counts as the latest.
///
/// Users made for SES's SMTP interface need no room: the SES console gives new SMTP credentials a new user.
fn tasks(user: &UserName, keys: &[StaleKey]) -> Vec<Task> {
    let (unused, mut in_use): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| key.last_used == Some(LastUsed::Never));
    in_use.sort_by_key(|key| (key.last_used.is_none(), last_use(key)));
    let task = |key: &StaleKey, action| Task {
        key_id: key.id.clone(),
        action,
        commands: KeyCommands::for_key(user, &key.id),
    };
    let mut tasks: Vec<_> = unused.iter().map(|key| task(key, Action::DeleteUnused)).collect();
    if user.as_str().starts_with(SMTP_USER_PREFIX) {
        tasks.extend(in_use.iter().map(|key| task(key, Action::ReplaceSmtp)));
    } else if let Some((kept, outgoing)) = in_use.split_last() {
        let make_room = Action::MakeRoom { use_instead: kept.id.clone() };
        tasks.extend(outgoing.iter().map(|key| task(key, make_room.clone())));
        tasks.push(task(kept, Action::Rotate));
    }
    tasks
}

/// The instant of the latest use that IAM recorded.
fn last_use(key: &StaleKey) -> Option<DateTime<Utc>> {
    match key.last_used {
        Some(LastUsed::At { at, .. }) => Some(at),
        Some(LastUsed::Never) | None => None,
    }
}

impl UserCommands {
    fn for_user(user: &UserName) -> Self {
        let user = user_option(user);
        Self {
            list_keys: format!("aws iam list-access-keys {user}"),
            create_key: format!("aws iam create-access-key {user}"),
        }
    }
}

impl KeyCommands {
    fn for_key(user: &UserName, key: &AccessKeyId) -> Self {
        let (user, key) = (user_option(user), key.as_str());
        Self {
            deactivate: format!("aws iam update-access-key {user} --access-key-id {key} --status Inactive"),
            last_used: format!("aws iam get-access-key-last-used --access-key-id {key}"),
            delete: format!("aws iam delete-access-key {user} --access-key-id {key}"),
        }
    }
}

/// The option that names the user, safe to paste into any shell.
///
/// Of what IAM allows in a name, a comma makes a list in PowerShell, `=` and `@` in front are read by zsh and
/// PowerShell, and `-` in front makes an option of it. Quoting right behind a `=` helps against all of them.
fn user_option(user: &UserName) -> String {
    let name = user.as_str();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.contains([',', '=']) {
        format!("--user-name {name}")
    } else {
        format!("--user-name=\"{name}\"")
    }
}

impl Links {
    fn for_user(user: &UserName, partition: Partition) -> Option<Self> {
        // IAM is the same everywhere, but China has its own console and its own copy of the documentation.
        let (console, guide) = match partition {
            Partition::Aws => ("console.aws.amazon.com", "docs.aws.amazon.com"),
            Partition::AwsCn => ("console.amazonaws.cn", "docs.amazonaws.cn/en_us"),
            Partition::AwsUsGov => ("console.amazonaws-us-gov.com", "docs.aws.amazon.com"),
            Partition::Other => return None,
        };
        let has_ses = partition != Partition::AwsCn;
        let user = encoded(user.as_str());
        Some(Self {
            console: format!("https://{console}/iam/home#/users/details/{user}?section=security_credentials"),
            guide: format!("https://{guide}/IAM/latest/UserGuide/id-credentials-access-keys-update.html"),
            smtp_guide: has_ses.then(|| format!("https://{guide}/ses/latest/dg/smtp-credentials.html")),
        })
    }
}

impl SupportContact {
    fn new(text: Line) -> Self {
        let href = if let Ok(address) = text.as_str().parse::<EmailAddress>() {
            let (local, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
            Some(format!("mailto:{}@{domain}", encoded(local)))
        } else {
            let link = text.as_str();
            let is_link = link.starts_with("https://") && !link.contains(char::is_whitespace);
            is_link.then(|| link.to_owned())
        };
        Self { text, href }
    }
}

/// `text` as part of a URL, with all but the unreserved characters of RFC 3986 encoded.
fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::contact::Recipient;
    use crate::ledger::{MailboxHash, Notice};
    use crate::messages::{Mode, Run, User};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const OLD: &str = "AKIAIOSFODNN7EXAMPLE";
    const YOUNG: &str = "AKIAI44QH8DHBEXAMPLE";

    /// A finding of 1 March 2026 about `jane` with these keys.
    pub(in crate::mail) fn finding(keys: Vec<StaleKey>) -> StaleKeys {
        let as_of: DateTime<Utc> = "2026-03-01T23:30:00Z".parse().unwrap();
        StaleKeys {
            run: Run::at(as_of, Mode::Live),
            account_id: "111122223333".parse().unwrap(),
            account_name: None,
            user: User {
                name: "jane".parse().unwrap(),
                id: "AIDACKCEVSQ6C2EXAMPLE".parse().unwrap(),
                arn: "arn:aws:iam::111122223333:user/people/jane".parse().unwrap(),
                created_at: "2024-01-01T00:00:00Z".parse().unwrap(),
                password_last_used: None,
            },
            recipient: Recipient {
                to: "jane.doe@example.com".parse().unwrap(),
                found_by: ContactSource::Tag,
            },
            keys,
            stage: 1,
            refused_exemption: None,
            checked_at: as_of,
            found_at: None,
        }
    }

    pub(in crate::mail) fn settings() -> ReminderSettings {
        ReminderSettings {
            alert_after_days: NonZeroU32::new(90).unwrap(),
            remind_every_days: NonZeroU32::new(7).unwrap(),
            max_exemption_days: NonZeroU32::new(90).unwrap(),
            support_contact: None,
            organization_name: None,
            policy_link: None,
            redirect_all_to: None,
        }
    }

    pub(in crate::mail) fn key(id: &str, created_at: &str, last_used: Option<LastUsed>) -> StaleKey {
        StaleKey {
            id: id.parse().unwrap(),
            created_at: created_at.parse().unwrap(),
            age_days: 424,
            last_used,
            description: None,
        }
    }

    fn old(last_used: Option<LastUsed>) -> StaleKey {
        key(OLD, "2025-01-01T00:00:00Z", last_used)
    }

    fn young(last_used: Option<LastUsed>) -> StaleKey {
        key(YOUNG, "2025-11-03T23:59:59Z", last_used)
    }

    fn used(at: &str) -> LastUsed {
        used_in(at, "eu-west-1")
    }

    fn used_in(at: &str, region: &str) -> LastUsed {
        let (at, service, region) = (at.parse().unwrap(), "s3".parse().unwrap(), region.parse().unwrap());
        LastUsed::At { at, service, region }
    }

    fn remind(keys: Vec<StaleKey>) -> Reminder {
        Reminder::new(&finding(keys), &settings())
    }

    /// What to do, as `action key-id`, in order.
    fn plan(keys: Vec<StaleKey>) -> Vec<String> {
        plan_of("jane", keys)
    }

    fn plan_of(user: &str, keys: Vec<StaleKey>) -> Vec<String> {
        let mut finding = finding(keys);
        finding.user.name = user.parse().unwrap();
        let tasks = serde_json::to_value(Reminder::new(&finding, &settings()).tasks).unwrap();
        let in_words = |task: &Value| {
            let instead = task.get("use_instead").map(|id| format!(", use {}", id.as_str().unwrap()));
            let words = ["action", "key_id"].map(|field| task[field].as_str().unwrap()).join(" ");
            words + &instead.unwrap_or_default()
        };
        tasks.as_array().unwrap().iter().map(in_words).collect()
    }

    fn named(name: &str) -> Reminder {
        let mut finding = finding(vec![old(None)]);
        finding.user.name = name.parse().unwrap();
        Reminder::new(&finding, &settings())
    }

    fn in_partition(partition: &str, name: &str) -> Option<Links> {
        let mut finding = finding(vec![old(None)]);
        finding.user.name = name.parse().unwrap();
        finding.user.arn = format!("arn:{partition}:iam::111122223333:user/{name}").parse().unwrap();
        Reminder::new(&finding, &settings()).links
    }

    fn contact(text: &str) -> SupportContact {
        let support_contact = Some(text.parse().unwrap());
        let settings = ReminderSettings { support_contact, ..settings() };
        Reminder::new(&finding(vec![old(None)]), &settings).support_contact.unwrap()
    }

    /// The ledger tells by it whether a reminder that bounced would go to another mailbox now.
    #[test]
    fn the_notice_of_a_finding_knows_the_mailbox_that_is_mailed() {
        let to = "pilot@example.com".parse().unwrap();
        let notice = Notice::of(&finding(vec![old(None)]), &to);
        assert_eq!(notice.mailbox, Some(MailboxHash::of(&to)));
        assert_eq!((notice.stage, notice.key_ids.len()), (1, 1));
    }

    #[test]
    fn a_reminder_names_the_user_the_account_and_the_age_that_is_too_old() {
        let reminder = remind(vec![old(None), young(None)]);
        assert_eq!(reminder.user_name.as_str(), "jane");
        assert_eq!(reminder.account_id.as_str(), "111122223333");
        assert_eq!((reminder.key_count, reminder.alert_after_days.get()), (2, 90));
        assert_eq!(remind(vec![old(None)]).key_count, 1);
        assert_eq!(reminder.found_by, ContactSource::Tag);
    }

    #[test]
    fn the_account_is_named_where_it_has_a_name() {
        let finding = StaleKeys { account_name: "payments".parse().ok(), ..finding(vec![old(None)]) };
        assert_eq!(Reminder::new(&finding, &settings()).account_name, finding.account_name);
        assert!(remind(vec![old(None)]).account_name.is_none());
    }

    #[test]
    fn each_key_is_shown_with_its_date_and_age_in_the_order_of_the_finding() {
        let mut second = young(None);
        second.age_days = 117;
        let keys = remind(vec![old(None), second]).keys;
        let shown = keys.iter().map(|key| (key.id.as_str(), key.created_on.to_string(), key.age_days));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [(OLD, "2025-01-01".to_owned(), 424), (YOUNG, "2025-11-03".to_owned(), 117)]
        );
    }

    #[test]
    fn the_last_use_is_unknown_never_or_a_day_with_service_and_region() {
        let last_use =
            |last_used| serde_json::to_value(&remind(vec![old(last_used)]).keys[0].last_use).unwrap();
        assert_eq!(last_use(None), json!({"state": "unknown"}));
        assert_eq!(last_use(Some(LastUsed::Never)), json!({"state": "never"}));
        assert_eq!(
            last_use(Some(used("2026-02-09T00:00:00Z"))),
            json!({"state": "used", "on": "2026-02-09", "service": "s3", "region": "eu-west-1"})
        );
        assert_eq!(
            last_use(Some(used_in("2026-02-09T00:00:00Z", "N/A"))),
            json!({"state": "used", "on": "2026-02-09", "service": "s3", "region": null})
        );
    }

    #[test]
    fn a_description_is_shown_unless_it_is_blank() {
        let described = |text: &str| {
            let description = Some(text.parse().unwrap());
            let keys = remind(vec![StaleKey { description, ..old(None) }]).keys;
            keys[0].description.as_ref().map(|line| line.as_str().to_owned())
        };
        assert_eq!(described("laptop <b>"), Some("laptop <b>".to_owned()));
        assert_eq!(described(" "), None);
        assert!(remind(vec![old(None)]).keys[0].description.is_none());
    }

    /// Mail programs make links of names of hosts, too.
    #[test]
    fn what_leads_the_reader_elsewhere_or_is_a_letter_is_no_description_or_name() {
        let shown = |text: &str| {
            let described = StaleKey { description: Some(text.parse().unwrap()), ..old(None) };
            let key = &remind(vec![described]).keys[0];
            assert_eq!(key.is_description_left_out, key.description.is_none(), "{text}");
            let named = StaleKeys { account_name: text.parse().ok(), ..finding(vec![old(None)]) };
            let has_name = Reminder::new(&named, &settings()).account_name.is_some();
            (key.description.is_some(), has_name)
        };
        for text in ["Backup script v1.2", "CI: deploys at 5.30 p.m.", "a/b@c", "It ends with a dot."] {
            assert_eq!(shown(text), (true, true), "{text}");
        }
        for text in [
            "https://corp-sso.example/aws",
            "see ftp://10.0.0.1/a",
            "sign in at www.sso.example",
            "SSO.EXAMPLE:443/x",
            "(corp.example)",
            "it@corp.example",
            "b\u{fc}cher.example",
            "Sign in at sso.example.com.",
            "sso.example.com+renew",
            "sso.example_x",
            "sso.example&a",
            "sso.xn--p1ai",
            "WWW.1.2.3.4",
        ] {
            assert_eq!(shown(text), (false, false), "{text}");
        }
        assert_eq!((shown(&"a ".repeat(40)).0, shown(&"a".repeat(81)).0), (true, false));
    }

    #[test]
    fn a_key_that_is_used_or_may_be_is_rotated() {
        assert_eq!(plan(vec![old(Some(used("2026-02-09T00:00:00Z")))]), [format!("rotate {OLD}")]);
        assert_eq!(plan(vec![old(None)]), [format!("rotate {OLD}")]);
    }

    #[test]
    fn a_key_that_was_never_used_is_deleted_and_not_rotated() {
        assert_eq!(plan(vec![old(Some(LastUsed::Never))]), [format!("delete_unused {OLD}")]);
        assert_eq!(
            plan(vec![old(Some(LastUsed::Never)), young(Some(LastUsed::Never))]),
            [format!("delete_unused {OLD}"), format!("delete_unused {YOUNG}")]
        );
    }

    #[test]
    fn an_unused_key_makes_room_for_the_new_one() {
        let rotated = Some(used("2026-02-09T00:00:00Z"));
        assert_eq!(
            plan(vec![old(rotated.clone()), young(Some(LastUsed::Never))]),
            [format!("delete_unused {YOUNG}"), format!("rotate {OLD}")]
        );
        assert_eq!(
            plan(vec![old(Some(LastUsed::Never)), young(rotated)]),
            [format!("delete_unused {OLD}"), format!("rotate {YOUNG}")]
        );
    }

    #[test]
    fn of_two_used_keys_the_one_used_longer_ago_makes_room() {
        let (earlier, later) = (Some(used("2025-12-24T00:00:00Z")), Some(used("2026-02-09T00:00:00Z")));
        let old_first = [format!("make_room {OLD}, use {YOUNG}"), format!("rotate {YOUNG}")];
        let young_first = [format!("make_room {YOUNG}, use {OLD}"), format!("rotate {OLD}")];
        assert_eq!(plan(vec![old(earlier.clone()), young(later.clone())]), old_first);
        assert_eq!(plan(vec![old(later.clone()), young(earlier)]), young_first);
        assert_eq!(plan(vec![old(None), young(None)]), old_first, "in doubt, the older");
    }

    #[test]
    fn a_key_of_unknown_use_is_not_the_one_that_makes_room() {
        let used = || Some(used("2026-02-09T00:00:00Z"));
        let old_first = [format!("make_room {OLD}, use {YOUNG}"), format!("rotate {YOUNG}")];
        let young_first = [format!("make_room {YOUNG}, use {OLD}"), format!("rotate {OLD}")];
        assert_eq!(plan(vec![old(used()), young(None)]), old_first);
        assert_eq!(plan(vec![old(None), young(used())]), young_first);
        assert_eq!(
            plan(vec![old(None), young(Some(LastUsed::Never))]),
            [format!("delete_unused {YOUNG}"), format!("rotate {OLD}")]
        );
    }

    #[test]
    fn of_three_keys_all_but_one_go_before_a_new_one_is_made() {
        const THIRD: &str = "AKIAIOSFODNN7THIRDKY";
        let third = |last_used| key(THIRD, "2025-11-20T00:00:00Z", last_used);
        let (first, second, last) = ("2025-12-24T00:00:00Z", "2026-01-24T00:00:00Z", "2026-02-09T00:00:00Z");
        assert_eq!(
            plan(vec![old(Some(used(second))), young(Some(used(last))), third(Some(used(first)))]),
            [
                format!("make_room {THIRD}, use {YOUNG}"),
                format!("make_room {OLD}, use {YOUNG}"),
                format!("rotate {YOUNG}")
            ]
        );
        assert_eq!(
            plan(vec![old(Some(LastUsed::Never)), young(None), third(Some(used(last)))]),
            [
                format!("delete_unused {OLD}"),
                format!("make_room {THIRD}, use {YOUNG}"),
                format!("rotate {YOUNG}")
            ]
        );
    }

    #[test]
    fn a_user_made_for_smtp_gets_new_smtp_credentials_for_each_key_in_use() {
        let by_ses = |at| LastUsed::At {
            at: format!("{at}T00:00:00Z").parse().unwrap(),
            service: "ses".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
        };
        let smtp = "ses-smtp-user.20260514-101500";
        assert_eq!(plan_of(smtp, vec![old(Some(by_ses("2026-02-09")))]), [format!("replace_smtp {OLD}")]);
        assert_eq!(
            plan_of(smtp, vec![old(None), young(Some(by_ses("2026-02-09")))]),
            [format!("replace_smtp {YOUNG}"), format!("replace_smtp {OLD}")]
        );
        assert_eq!(
            plan_of(smtp, vec![old(Some(LastUsed::Never))]),
            [format!("delete_unused {OLD}")],
            "nothing needs new credentials"
        );
        // The API signs with the key itself; the mail adds what holds if it is SMTP all the same.
        assert_eq!(plan_of("jane", vec![old(Some(by_ses("2026-02-09")))]), [format!("rotate {OLD}")]);
    }

    #[test]
    fn commands_name_the_user_and_the_key() {
        let reminder = remind(vec![old(None)]);
        assert_eq!(reminder.commands.list_keys, "aws iam list-access-keys --user-name jane");
        assert_eq!(reminder.commands.create_key, "aws iam create-access-key --user-name jane");
        let commands = &reminder.tasks[0].commands;
        assert_eq!(
            [&commands.deactivate, &commands.last_used, &commands.delete],
            [
                "aws iam update-access-key --user-name jane --access-key-id AKIAIOSFODNN7EXAMPLE --status Inactive",
                "aws iam get-access-key-last-used --access-key-id AKIAIOSFODNN7EXAMPLE",
                "aws iam delete-access-key --user-name jane --access-key-id AKIAIOSFODNN7EXAMPLE",
            ]
        );
    }

    #[test]
    fn a_name_that_a_shell_would_read_otherwise_is_quoted() {
        for plain in ["jane", "0jane", "jane.doe+keys@example.com", "a-b_c"] {
            let command = named(plain).commands.list_keys;
            assert_eq!(command, format!("aws iam list-access-keys --user-name {plain}"));
        }
        for special in ["-jane", "=jane", "@jane", "+jane", ".jane", "_jane", ",jane", "a,b", "a=b"] {
            let command = named(special).commands.list_keys;
            assert_eq!(command, format!("aws iam list-access-keys --user-name=\"{special}\""));
        }
    }

    #[test]
    fn links_lead_into_the_users_partition() {
        let link = |partition| in_partition(partition, "jane").map(|links| (links.console, links.guide));
        let guide = "IAM/latest/UserGuide/id-credentials-access-keys-update.html";
        let page = "iam/home#/users/details/jane?section=security_credentials";
        for (partition, console_host, guide_host) in [
            ("aws", "console.aws.amazon.com", "docs.aws.amazon.com"),
            ("aws-cn", "console.amazonaws.cn", "docs.amazonaws.cn/en_us"),
            ("aws-us-gov", "console.amazonaws-us-gov.com", "docs.aws.amazon.com"),
        ] {
            let expected =
                (format!("https://{console_host}/{page}"), format!("https://{guide_host}/{guide}"));
            assert_eq!(link(partition), Some(expected), "{partition}");
        }
        assert_eq!(link("aws-eusc"), None);
        let smtp_guide = |partition| in_partition(partition, "jane").and_then(|links| links.smtp_guide);
        let page = "https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html";
        assert_eq!(smtp_guide("aws").as_deref(), Some(page));
        assert_eq!(smtp_guide("aws-cn"), None, "China has no SES");
    }

    #[test]
    fn a_user_name_is_encoded_in_a_link() {
        let links = in_partition("aws", "a.b-c_d+e=f,g@h").unwrap();
        assert!(links.console.contains("/details/a.b-c_d%2Be%3Df%2Cg%40h?section"), "{}", links.console);
    }

    #[test]
    fn an_address_as_support_contact_can_be_written_to_and_a_page_opened() {
        assert_eq!(contact("cloud@example.com").text.as_str(), "cloud@example.com");
        assert_eq!(contact("cloud@example.com").href.as_deref(), Some("mailto:cloud@example.com"));
        assert_eq!(contact("a?b&c@example.com").href.as_deref(), Some("mailto:a%3Fb%26c@example.com"));
        assert_eq!(contact("https://help.example.com/x").href.as_deref(), Some("https://help.example.com/x"));
        for words in ["#cloud-help on Slack", "https://a b", "http://example.com", "javascript:alert(1)"] {
            assert_eq!(contact(words), SupportContact { text: words.parse().unwrap(), href: None });
        }
        assert!(remind(vec![old(None)]).support_contact.is_none());
    }

    #[test]
    fn an_organization_may_give_its_name_and_its_policy() {
        let reminder = remind(vec![old(None)]);
        assert!(reminder.organization_name.is_none() && reminder.policy_link.is_none());
        let settings = ReminderSettings {
            organization_name: Some("Example Corp".parse().unwrap()),
            policy_link: Some("https://example.com/keys".parse().unwrap()),
            ..settings()
        };
        let reminder = Reminder::new(&finding(vec![old(None)]), &settings);
        assert_eq!(reminder.organization_name.unwrap().as_str(), "Example Corp");
        assert_eq!(reminder.policy_link.unwrap().as_str(), "https://example.com/keys");
    }

    #[test]
    fn only_a_redirected_reminder_says_whom_it_was_for() {
        assert!(remind(vec![old(None)]).redirected_from.is_none());
        let settings =
            ReminderSettings { redirect_all_to: Some("pilot@example.org".parse().unwrap()), ..settings() };
        let pilot = Reminder::new(&finding(vec![old(None)]), &settings);
        assert_eq!(pilot.redirected_from.unwrap().as_str(), "jane.doe@example.com");
    }

    #[test]
    fn the_next_reminder_is_counted_from_the_runs_day() {
        let next = |days| {
            let remind_every_days = NonZeroU32::new(days).unwrap();
            let reminder = Reminder::new(
                &finding(vec![old(None)]),
                &ReminderSettings { remind_every_days, ..settings() },
            );
            reminder.next_reminder_on.to_string()
        };
        assert_eq!(next(7), "2026-03-08");
        assert_eq!(next(31), "2026-04-01");
        assert!(!next(u32::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn every_key_has_one_task_and_each_can_be_done_in_its_turn(
            uses in prop::collection::vec(
                prop::sample::select(vec![None, Some(LastUsed::Never), Some(used("2026-02-09T00:00:00Z"))]),
                1..=5,
            )
        ) {
            let with = |(number, last_used)| {
                key(&format!("AKIA{number:016}"), "2025-01-01T00:00:00Z", last_used)
            };
            let keys: Vec<_> = (0..).zip(uses).map(with).collect();
            let tasks = remind(keys.clone()).tasks;
            prop_assert_eq!(tasks.len(), keys.len());
            for key in &keys {
                prop_assert_eq!(tasks.iter().filter(|task| task.key_id == key.id).count(), 1);
            }
            // A new key is made at most once, and last, when at most one other is left.
            for task in &tasks[..tasks.len() - 1] {
                prop_assert_ne!(&task.action, &Action::Rotate);
            }
        }
    }
}
