//! Whether SES would send the mails.

use super::answer::{Answer, Unanswered};
use super::line::{Line, Section};

/// SES's word for a quota without an end.
const UNLIMITED: f64 = -1.0;

/// For so many days a finding waits for the quota before it becomes a dead letter.
const DAYS_OF_PATIENCE: f64 = 4.0;

/// What `infra/ses.yaml` has SES tell of.
const EVENTS: [&str; 4] = ["SEND", "BOUNCE", "COMPLAINT", "REJECT"];

const REQUEST_PRODUCTION: &str =
    "have it lifted: https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html";

/// What is to be found in SES.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// The region whose SES is to send.
    pub(super) region: String,
    pub(super) sender: Option<String>,
    pub(super) configuration_set: Option<String>,
    /// The topic that the stack listens to.
    pub(super) topic: Option<String>,
    /// Whether mails go to owners, and not to a pilot's mailbox alone, or nowhere.
    pub(super) mails_owners: bool,
    /// Whether there is a stack.
    pub(super) is_deployed: bool,
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) account: Answer<Account>,
    /// The sender's identities there may be in the region: the address, its domain, and the domains above.
    pub(crate) identities: Vec<(String, Answer<Identity>)>,
    /// Other regions in which one of them is verified.
    pub(crate) verified_in: Vec<String>,
    pub(crate) configuration_set: Option<Answer<ConfigurationSet>>,
    pub(crate) destinations: Option<Answer<Vec<Destination>>>,
}

/// The account's SES in a region.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Account {
    pub(crate) has_production_access: bool,
    /// Whether AWS has been asked for it, and has not answered yet.
    pub(crate) is_access_under_review: bool,
    pub(crate) may_send: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`.
    pub(crate) enforcement: String,
    pub(crate) quota: Option<Quota>,
}

/// What the account may send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quota {
    pub(crate) a_day: f64,
    pub(crate) a_second: f64,
    pub(crate) sent_today: f64,
}

/// An address or domain that SES knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) is_verified: bool,
    /// Whether its mails are signed, and what SES says of the keys for it.
    pub(crate) is_signed: bool,
    pub(crate) dkim_status: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigurationSet {
    pub(crate) may_send: bool,
}

/// Where a configuration set's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) is_enabled: bool,
    /// `None` if it is not a topic.
    pub(crate) topic: Option<String>,
    /// In SES's words, `BOUNCE` and so on.
    pub(crate) events: Vec<String>,
}

/// How many mails the next run may come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The user said so.
    Told(u64),
    /// The last run found so many owners of stale keys.
    LastRun { run_id: String, owners: u64 },
    /// There has been no run.
    NoRunYet,
    /// Nothing is deployed.
    NotDeployed,
    /// The records do not say.
    Unanswered(Unanswered),
}

/// Whoever SES may know a sender as: the address, its domain, and each domain above that is not a top-level one.
pub(super) fn identities_of(sender: &str) -> Vec<String> {
    let Some((_, domain)) = sender.rsplit_once('@') else { return vec![sender.to_owned()] };
    let mut identities = vec![sender.to_owned()];
    let mut rest = domain;
    while rest.contains('.') {
        identities.push(rest.to_owned());
        rest = rest.split_once('.').map_or("", |(_, parent)| parent);
    }
    identities
}

/// All that is said of SES.
pub(super) fn section(wanted: &Wanted, found: &Found, expected: &Expected) -> Section {
    let mut lines = vec![sender(wanted, found)];
    lines.extend(dkim(found, &wanted.region));
    match &found.account {
        Ok(account) => {
            lines.extend([
                sandbox(account, wanted),
                sending(account, &wanted.region),
                quota(account, expected),
            ]);
        }
        Err(unanswered) => lines.push(unanswered.line("account")),
    }
    lines.push(configuration_set(wanted, found));
    lines.extend(events(wanted, found));
    Section { title: "SES", lines }
}

/// What is said of SES where there is none.
pub(super) fn section_without_ses(region: &str) -> Section {
    let line = Line::unknown("account", format!("{region} has no SES: a stack there only makes dry runs"));
    Section { title: "SES", lines: vec![line] }
}

fn sender(wanted: &Wanted, found: &Found) -> Line {
    let Some(sender) = &wanted.sender else {
        return Line::unknown("sender", "which one is not known").advising("name it with --sender ADDRESS");
    };
    let region = &wanted.region;
    let verified = found.identities.iter().find(|(_, one)| one.as_ref().is_ok_and(|one| one.is_verified));
    if let Some((identity, _)) = verified {
        let through = if identity == sender { String::new() } else { format!(", as {identity}") };
        return Line::ok("sender", format!("{sender}{through} is verified in {region}"));
    }
    // A domain above that may not be asked about could be the verified one.
    let untold = found.identities.iter().find_map(|(_, one)| match one {
        Err(unanswered) if *unanswered != Unanswered::Missing => Some(unanswered),
        _ => None,
    });
    if let Some(unanswered) = untold {
        return unanswered.line("sender");
    }
    if let Some(other) = found.verified_in.first() {
        let message = format!("{sender} is not verified in {region}, but in {other}");
        return Line::failed(
            "sender",
            message,
            format!("deploy with SesRegion={other} (here: --ses-region {other}), or verify it in {region}"),
        );
    }
    if let Some((identity, _)) = found.identities.iter().find(|(_, one)| one.is_ok()) {
        let advice = if identity.contains('@') {
            "open the link in the mail that SES sent to that address".to_owned()
        } else {
            format!("put the DNS records in place that `{}` shows", show_identity(identity, region))
        };
        return Line::failed("sender", format!("{identity} is not verified yet in {region}"), advice);
    }
    let advice = format!(
        "verify its domain: {}; if it is verified in another region, name that with --ses-region",
        create_identity(sender, region)
    );
    Line::failed("sender", format!("SES knows neither {sender} nor its domain in {region}"), advice)
}

/// Of the domain of an address.
fn create_identity(address: &str, region: &str) -> String {
    let domain = address.rsplit('@').next().unwrap_or(address);
    format!("aws sesv2 create-email-identity --region {region} --email-identity {domain}")
}

fn show_identity(identity: &str, region: &str) -> String {
    format!("aws sesv2 get-email-identity --region {region} --email-identity {identity}")
}

/// Of the identity that SES signs with: the nearest verified one that has keys.
fn dkim(found: &Found, region: &str) -> Option<Line> {
    let verified = || {
        found
            .identities
            .iter()
            .filter_map(|(name, one)| one.as_ref().ok().map(|one| (name, one)))
            .filter(|(_, one)| one.is_verified)
    };
    if let Some((name, _)) = verified().find(|(_, one)| one.is_signed && one.dkim_status == "SUCCESS") {
        return Some(Line::ok("DKIM", format!("mails are signed as {name}")));
    }
    let (name, identity) = verified().next()?;
    let advice = if name.contains('@') {
        format!(
            "verify its domain as well, and put the DNS records in place that `{}` shows",
            create_identity(name, region)
        )
    } else {
        format!(
            "put the CNAME records in place that `{}` shows, and switch signing on",
            show_identity(name, region)
        )
    };
    let message =
        format!("mails as {name} are not signed ({}): many will take them for spam", identity.dkim_status);
    Some(Line::warning("DKIM", message, advice))
}

/// In the sandbox, owners get nothing: SES rejects whom it has not verified.
fn sandbox(account: &Account, wanted: &Wanted) -> Line {
    if account.has_production_access {
        return Line::ok("sandbox", format!("{} is out of it", wanted.region));
    }
    let message = format!("{} is in it: only verified addresses get mail, 200 a day", wanted.region);
    let lift = if account.is_access_under_review {
        "AWS is looking at the request to lift it"
    } else {
        REQUEST_PRODUCTION
    };
    if wanted.is_deployed && wanted.mails_owners {
        let advice = format!("{lift}; until then, deploy with RedirectAllTo=you@…");
        Line::failed("sandbox", message, advice)
    } else {
        Line::warning("sandbox", message, format!("before owners are to be mailed: {lift}"))
    }
}

fn sending(account: &Account, region: &str) -> Line {
    match account.enforcement.as_str() {
        "SHUTDOWN" => Line::failed(
            "sending",
            "AWS has switched it off",
            "answer AWS's mail about it: https://docs.aws.amazon.com/ses/latest/dg/faqs-enforcement.html",
        ),
        _ if !account.may_send => Line::failed(
            "sending",
            "it is paused",
            format!(
                "once you know why: aws sesv2 put-account-sending-attributes --region {region} --sending-enabled; \
                 findings wait four days"
            ),
        ),
        "PROBATION" => Line::warning(
            "sending",
            "AWS reviews the account, and may switch it off",
            "answer AWS's mail about it: bounces and complaints are too many",
        ),
        _ => Line::ok("sending", "on"),
    }
}

fn quota(account: &Account, expected: &Expected) -> Line {
    let Some(quota) = &account.quota else {
        return Line::unknown("quota", "cannot tell: SES does not say it");
    };
    let used = described(quota);
    let (owners, source) = match expected {
        Expected::Told(mails) => (*mails, "expected".to_owned()),
        Expected::LastRun { run_id, owners } => (*owners, format!("at most, as of the run {run_id}")),
        // Of a table that is gone, the ledger's section says so.
        Expected::NoRunYet | Expected::NotDeployed | Expected::Unanswered(Unanswered::Missing) => {
            return Line::unknown("quota", format!("{used}; how many mails there will be is not known"))
                .advising("ask `keynudge scan`, and say it with --expected-mails N");
        }
        Expected::Unanswered(unanswered) => {
            let Line { message, .. } = unanswered.line("quota");
            return Line::unknown("quota", format!("{used}; how many mails there will be, {message}"))
                .advising("say it with --expected-mails N");
        }
    };
    compared(quota, owners, &format!("{used}; {} mails {source}", grouped(owners)))
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts mails beyond 2^52")]
fn compared(quota: &Quota, mails: u64, message: &str) -> Line {
    const MORE: &str = "ask AWS for more: Service Quotas, Amazon SES, \"Sending quota\"";
    let mails = mails as f64;
    let is_unlimited = quota.a_day <= UNLIMITED;
    if !is_unlimited && mails > quota.a_day * DAYS_OF_PATIENCE {
        let advice = format!("findings wait four days for the quota, and then become dead letters: {MORE}");
        return Line::failed("quota", message, advice);
    }
    if !is_unlimited && mails > quota.a_day - quota.sent_today {
        let advice = format!("some of them wait until the next day: live with it, or {MORE}");
        return Line::warning("quota", message, advice);
    }
    let hours = mails / quota.a_second.max(f64::MIN_POSITIVE) / 3_600.0;
    if hours > 12.0 {
        let advice = format!("sending them takes {hours:.0} h: live with it, or {MORE}");
        return Line::warning("quota", message, advice);
    }
    Line::ok("quota", message)
}

fn described(quota: &Quota) -> String {
    let a_day =
        if quota.a_day <= UNLIMITED { "any number".to_owned() } else { format!("{:.0}", quota.a_day) };
    // SES gives more digits than mean anything.
    let a_second = if quota.a_second < 1.0 { quota.a_second } else { quota.a_second.floor() };
    format!("{:.0} of {a_day} used in 24 h, {a_second} a second", quota.sent_today)
}

fn grouped(number: u64) -> String {
    crate::terminal::grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

fn configuration_set(wanted: &Wanted, found: &Found) -> Line {
    const CHECK: &str = "configuration set";
    let Some(name) = &wanted.configuration_set else {
        return Line::warning(
            CHECK,
            "none: bounces and complaints of these mails are not told from others",
            "deploy infra/ses.yaml in SES's region, and give its outputs to the stack",
        );
    };
    match &found.configuration_set {
        Some(Ok(set)) if set.may_send => Line::ok(CHECK, format!("{name} is there")),
        Some(Ok(_)) => Line::failed(
            CHECK,
            format!("{name} does not send"),
            format!(
                "once you know why: aws sesv2 put-configuration-set-sending-options --region {} \
                 --configuration-set-name {name} --sending-enabled",
                wanted.region
            ),
        ),
        Some(Err(Unanswered::Missing)) => Line::failed(
            CHECK,
            format!("there is none called {name} in {}: mail waits for it", wanted.region),
            "deploy infra/ses.yaml there, or take the name out of the stack's parameter ConfigurationSet",
        ),
        Some(Err(unanswered)) => unanswered.line(CHECK),
        None => Line::unknown(CHECK, "cannot tell"),
    }
}

/// Whether SES tells the stack what became of mails. Before there is a stack, there is no topic to compare with.
fn events(wanted: &Wanted, found: &Found) -> Option<Line> {
    const CHECK: &str = "events";
    let name = wanted.configuration_set.as_ref()?;
    let destinations = match found.destinations.as_ref()? {
        Ok(destinations) => destinations,
        // Said of the set already.
        Err(Unanswered::Missing) => return None,
        Err(unanswered) => return Some(unanswered.line(CHECK)),
    };
    let deploy =
        "deploy infra/ses.yaml, and give its output EventsTopicArn to the stack as SesEventsTopicArn";
    let of_topic = |destination: &&Destination| match &wanted.topic {
        Some(topic) => destination.topic.as_ref() == Some(topic),
        None => destination.topic.is_some(),
    };
    let topic = wanted.topic.as_deref().unwrap_or("a topic");
    if wanted.topic.is_none() && wanted.is_deployed {
        let message = "the stack listens to no topic: nobody hears of mails that bounce";
        return Some(Line::warning(CHECK, message, deploy));
    }
    let Some(destination) = destinations.iter().find(of_topic) else {
        return Some(Line::failed(CHECK, format!("{name} tells {topic} nothing"), deploy));
    };
    let missing: Vec<&str> =
        EVENTS.into_iter().filter(|event| !destination.events.iter().any(|one| one == event)).collect();
    Some(if !destination.is_enabled {
        let message = format!("{name}'s event destination is switched off");
        Line::failed(CHECK, message, "switch it on, or deploy infra/ses.yaml anew")
    } else if missing.is_empty() {
        Line::ok(CHECK, format!("{} go to {topic}", EVENTS.join(", ").to_lowercase()))
    } else {
        let message = format!("{name} does not tell of {}", missing.join(", ").to_lowercase());
        Line::failed(CHECK, message, "have its event destination match them, or deploy infra/ses.yaml anew")
    })
}

#[cfg(test)]
mod tests {
    use super::super::line::Status;
    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:keynudge-ses-events";

    fn wanted() -> Wanted {
        Wanted {
            region: "eu-west-1".to_owned(),
            sender: Some("keynudge@mail.example.com".to_owned()),
            configuration_set: Some("keynudge-ses".to_owned()),
            topic: Some(TOPIC.to_owned()),
            mails_owners: true,
            is_deployed: true,
        }
    }

    fn account() -> Account {
        Account {
            has_production_access: true,
            is_access_under_review: false,
            may_send: true,
            enforcement: "HEALTHY".to_owned(),
            quota: Some(Quota { a_day: 1_000.0, a_second: 10.0, sent_today: 100.0 }),
        }
    }

    fn identity(is_verified: bool, is_signed: bool) -> Identity {
        let dkim_status = if is_signed { "SUCCESS" } else { "NOT_STARTED" };
        Identity { is_verified, is_signed, dkim_status: dkim_status.to_owned() }
    }

    fn found(identities: &[(&str, Answer<Identity>)]) -> Found {
        let destination = Destination {
            is_enabled: true,
            topic: Some(TOPIC.to_owned()),
            events: EVENTS.map(str::to_owned).to_vec(),
        };
        Found {
            account: Ok(account()),
            identities: identities.iter().map(|(name, one)| ((*name).to_owned(), one.clone())).collect(),
            verified_in: Vec::new(),
            configuration_set: Some(Ok(ConfigurationSet { may_send: true })),
            destinations: Some(Ok(vec![destination])),
        }
    }

    #[test]
    fn a_sender_is_known_by_address_domain_or_a_domain_above() {
        assert_eq!(
            identities_of("keynudge@mail.example.com"),
            ["keynudge@mail.example.com", "mail.example.com", "example.com"]
        );
    }

    #[test]
    fn one_verified_identity_is_enough() {
        let missing = Err(Unanswered::Missing);
        let all = found(&[
            ("k@a.example.com", Ok(identity(false, false))),
            ("a.example.com", missing),
            ("example.com", Ok(identity(true, true))),
        ]);
        let line = sender(&wanted(), &all);
        assert_eq!(line.status, Status::Ok);
        assert!(line.message.ends_with(", as example.com is verified in eu-west-1"), "{}", line.message);
        assert_eq!(dkim(&all, "eu-west-1").unwrap().status, Status::Ok);
    }

    #[test]
    fn an_unverified_sender_is_told_what_to_do() {
        let pending = found(&[("example.com", Ok(identity(false, false)))]);
        let line = sender(&wanted(), &pending);
        assert_eq!(line.status, Status::Failed);
        assert!(line.advice.unwrap().contains("DNS records"));
        assert_eq!(dkim(&pending, "eu-west-1"), None);

        let unknown = found(&[("example.com", Err(Unanswered::Missing))]);
        let line = sender(&wanted(), &unknown);
        assert_eq!(line.status, Status::Failed);
        assert!(
            line.advice
                .unwrap()
                .contains("create-email-identity --region eu-west-1 --email-identity mail.example.com")
        );

        let elsewhere = Found { verified_in: vec!["us-east-1".to_owned()], ..unknown };
        let line = sender(&wanted(), &elsewhere);
        assert_eq!(line.status, Status::Failed);
        assert!(line.advice.unwrap().contains("SesRegion=us-east-1"));
    }

    #[test]
    fn an_identity_that_may_not_be_asked_about_may_be_verified() {
        let denied = Err(Unanswered::Denied { action: "ses:GetEmailIdentity" });
        let all = found(&[("k@example.com", Err(Unanswered::Missing)), ("example.com", denied)]);
        assert_eq!(sender(&wanted(), &all).status, Status::Unknown);
    }

    #[test]
    fn mails_that_are_not_signed_are_a_warning() {
        let line = dkim(&found(&[("k@example.com", Ok(identity(true, false)))]), "eu-west-1").unwrap();
        assert_eq!(line.status, Status::Warning);
    }

    #[test]
    fn the_sandbox_keeps_mail_from_owners_only_where_owners_are_mailed() {
        let account = Account { has_production_access: false, ..account() };
        let pilot = Wanted { mails_owners: false, ..wanted() };
        let planned = Wanted { is_deployed: false, ..wanted() };
        assert_eq!(sandbox(&account, &wanted()).status, Status::Failed);
        assert_eq!(sandbox(&account, &pilot).status, Status::Warning);
        assert_eq!(sandbox(&account, &planned).status, Status::Warning);
        let asked = Account { is_access_under_review: true, ..account };
        assert!(sandbox(&asked, &wanted()).advice.unwrap().starts_with("AWS is looking at the request"));
    }

    #[test]
    fn sending_is_off_where_anybody_switched_it_off() {
        let with = |may_send, enforcement: &str| {
            let account = Account { may_send, enforcement: enforcement.to_owned(), ..account() };
            sending(&account, "eu-west-1").status
        };
        assert_eq!(with(true, "HEALTHY"), Status::Ok);
        assert_eq!(with(true, "PROBATION"), Status::Warning);
        assert_eq!(with(false, "HEALTHY"), Status::Failed);
        assert_eq!(with(true, "SHUTDOWN"), Status::Failed);
    }

    #[test]
    fn mails_are_compared_with_what_is_left_of_the_quota() {
        let status = |mails| quota(&account(), &Expected::Told(mails)).status;
        assert_eq!(
            [900, 901, 4_000, 4_001].map(status),
            [Status::Ok, Status::Warning, Status::Warning, Status::Failed]
        );
        assert_eq!(quota(&account(), &Expected::NoRunYet).status, Status::Unknown);
        let unlimited = Quota { a_day: -1.0, a_second: 10.0, sent_today: 100.0 };
        let account = Account { quota: Some(unlimited), ..account() };
        assert_eq!(quota(&account, &Expected::Told(100_000)).status, Status::Ok);
        // Twelve hours of ten a second.
        assert_eq!(quota(&account, &Expected::Told(432_001)).status, Status::Warning);
    }

    #[test]
    fn a_configuration_set_that_is_gone_holds_mail_up() {
        let found = Found { configuration_set: Some(Err(Unanswered::Missing)), ..found(&[]) };
        assert_eq!(configuration_set(&wanted(), &found).status, Status::Failed);
        let none = Wanted { configuration_set: None, ..wanted() };
        assert_eq!(configuration_set(&none, &found).status, Status::Warning);
        let off = Found { configuration_set: Some(Ok(ConfigurationSet { may_send: false })), ..found };
        assert_eq!(configuration_set(&wanted(), &off).status, Status::Failed);
    }

    #[test]
    fn all_events_go_to_the_topic_that_the_stack_listens_to() {
        let with = |change: fn(&mut Destination)| {
            let mut found = found(&[]);
            if let Some(Ok(destinations)) = &mut found.destinations {
                change(&mut destinations[0]);
            }
            events(&wanted(), &found).unwrap()
        };
        assert_eq!(with(|_| ()).status, Status::Ok);
        assert_eq!(with(|one| one.is_enabled = false).status, Status::Failed);
        assert_eq!(
            with(|one| one.topic = Some("arn:aws:sns:eu-west-1:123456789012:other".to_owned())).status,
            Status::Failed
        );
        let line = with(|one| one.events.retain(|event| event != "BOUNCE"));
        assert_eq!(line.message, "keynudge-ses does not tell of bounce");

        let deaf = Wanted { topic: None, ..wanted() };
        assert_eq!(events(&deaf, &found(&[])).unwrap().status, Status::Warning);
        let planned = Wanted { is_deployed: false, ..deaf };
        assert_eq!(events(&planned, &found(&[])).unwrap().status, Status::Ok);
    }

    #[test]
    fn the_events_are_those_that_the_template_asks_for() {
        let template = include_str!("../../../infra/ses.yaml");
        let events = format!("MatchingEventTypes: [{}]", EVENTS.join(", ").to_lowercase());
        assert!(template.contains(&events), "{events}");
    }
}
