//! The page that shows a run: figures, flow, the keys' ages, and the mails themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use indicatif::{DecimalBytes, HumanCount};
use keynudge_pages::Figure;
use keynudge_pages::ages::{AgeChart, AgeCounts, KeyState};
use keynudge_testbed::outbox::Mail;
use keynudge_testbed::population::{Contact, Exemption, Keys, Population, Profile, Setting};
use serde::Serialize;

use crate::report::Report;
use keynudge_testbed::estate::Kind;

const TEMPLATE: &str = include_str!("../../../templates/demo.html");

/// More of them would only make the page heavy.
const MAILS_MAX: usize = 12;
const ACCOUNTS_MAX: usize = 50;

/// Writes the page to this file.
pub(crate) fn write(
    path: &Path,
    report: &Report,
    population: &Population,
    setting: &Setting,
    mails: &[Mail],
) -> Result<()> {
    let html = render(&Page::new(report, population, setting, mails))?;
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(fs::write(path, html)?)
}

fn render(page: &Page) -> Result<String> {
    Ok(keynudge_pages::render(TEMPLATE, page)?)
}

#[derive(Serialize)]
struct Page<'a> {
    mails_sent: String,
    users: String,
    made_at: String,
    is_right: bool,
    judgement: String,
    mistakes: &'a [String],
    figures: Vec<Figure>,
    flow: Vec<Step>,
    skipped: Vec<Skipped<'a>>,
    chart: AgeChart,
    mails: Vec<ShownMail<'a>>,
    costs: Vec<ShownCost>,
    accounts: Vec<ShownAccount<'a>>,
    more_accounts: usize,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    what: String,
}

#[derive(Serialize)]
struct Skipped<'a> {
    users: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct ShownMail<'a> {
    to: String,
    subject: &'a str,
    kind: String,
    html: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct ShownCost {
    function: &'static str,
    zip: String,
    memory: String,
}

#[derive(Serialize)]
struct ShownAccount<'a> {
    id: &'a str,
    /// As mails name it.
    name: &'a str,
    treatment: &'static str,
    users: String,
    mails: String,
    seconds: String,
}

impl<'a> Page<'a> {
    fn new(report: &'a Report, population: &Population, setting: &Setting, mails: &'a [Mail]) -> Self {
        Self {
            mails_sent: human(report.figures.mails as u64),
            users: human(report.figures.users),
            made_at: population.made_at.format("%-d %B %Y, %H:%M UTC").to_string(),
            is_right: report.is_right(),
            judgement: report.judgement(),
            mistakes: report.shown_mistakes(),
            figures: figures(report),
            flow: flow(report),
            skipped: skipped(report),
            chart: age_chart(population, setting),
            mails: one_of_each_kind(population, mails),
            costs: costs(report),
            accounts: accounts(report),
            more_accounts: report.accounts.len().saturating_sub(ACCOUNTS_MAX),
        }
    }
}

fn age_chart(population: &Population, setting: &Setting) -> AgeChart {
    let mut counts = AgeCounts::default();
    for key in population.keys() {
        let age_days = (population.made_at - key.created_at).num_days();
        let state = match (key.active, age_days >= setting.alert_after_days) {
            (false, _) => KeyState::Inactive,
            (true, false) => KeyState::Fresh,
            (true, true) => KeyState::Stale,
        };
        counts.add(u32::try_from(age_days).unwrap_or_default(), state);
    }
    AgeChart::new(&counts, u32::try_from(setting.alert_after_days).unwrap_or_default())
}

fn human(number: u64) -> String {
    HumanCount(number).to_string()
}

fn figures(report: &Report) -> Vec<Figure> {
    let figures = &report.figures;
    vec![
        Figure::new("owners with old keys", human(figures.stale_owners)).main(),
        Figure::new("mails", human(figures.mails as u64)).main(),
        Figure::new("without contact", human(figures.without_contact)).main(),
        Figure::new("exempt", human(figures.exempt)),
        Figure::new("dead letters", human(figures.dead_letters as u64)),
        Figure::new("duplicates", human(figures.duplicates as u64)),
        Figure::new("seconds", format!("{:.1}", figures.wall_s)),
        Figure::new("users per second", format!("{:.0}", figures.users_per_second())),
    ]
}

fn flow(report: &Report) -> Vec<Step> {
    let figures = &report.figures;
    let step = |name, what| Step { name, what };
    vec![
        step("Schedule", "starts a run".to_owned()),
        step("Producer", format!("lists {} users", human(figures.users))),
        step(
            "Worker",
            format!("checks {}, finds {} with old keys", human(figures.checked), human(figures.stale_owners)),
        ),
        step("Notifier", format!("writes {} mails", human(figures.mails as u64))),
        step("Owners", "rotate their keys".to_owned()),
    ]
}

fn skipped(report: &Report) -> Vec<Skipped<'_>> {
    let skipped = report.skipped.iter();
    skipped.map(|(reason, users)| Skipped { users: human(*users), reason }).collect()
}

fn costs(report: &Report) -> Vec<ShownCost> {
    let bytes = |bytes| DecimalBytes(bytes).to_string();
    let costs = report.costs.iter().map(|cost| ShownCost {
        function: cost.function,
        zip: bytes(cost.zip_bytes),
        memory: cost.peak_memory_bytes.map_or("n/a".to_owned(), bytes),
    });
    costs.collect()
}

/// The first of the accounts, if there is more than one.
fn accounts(report: &Report) -> Vec<ShownAccount<'_>> {
    let accounts = report.accounts.iter().take(ACCOUNTS_MAX).map(|account| ShownAccount {
        id: &account.id,
        name: account.alias.as_deref().unwrap_or(&account.name),
        treatment: match account.kind {
            Kind::Ordinary => "",
            Kind::Throttled => "allows few calls",
            Kind::Denied => "does not let Keynudge in",
        },
        users: human(account.users as u64),
        mails: human(account.mails as u64),
        seconds: account.seconds.map_or("n/a".to_owned(), |seconds| format!("{seconds:.1}")),
    });
    accounts.collect()
}

/// The first mail to each kind of owner.
fn one_of_each_kind<'a>(population: &Population, mails: &'a [Mail]) -> Vec<ShownMail<'a>> {
    let owner_of_key = population.owner_of_key();
    let mut kinds = BTreeSet::new();
    let profiles = mails.iter().filter_map(|mail| {
        let key = mail.key_ids().into_iter().next()?;
        let owner = owner_of_key.get(key)?;
        Some((mail, owner.profile))
    });
    let first_of_its_kind = profiles.filter(|(_, profile)| kinds.insert(*profile));
    first_of_its_kind.take(MAILS_MAX).map(|(mail, profile)| shown(mail, profile)).collect()
}

fn shown(mail: &Mail, profile: Profile) -> ShownMail<'_> {
    ShownMail {
        to: mail.to.join(", "),
        subject: &mail.subject,
        kind: kind(profile),
        html: mail.html.as_deref().unwrap_or_default(),
        text: &mail.text,
    }
}

fn kind(profile: Profile) -> String {
    let keys = match profile.keys {
        Keys::TwoStale => "two stale keys",
        Keys::StaleNeverUsed => "a stale key that was never used",
        Keys::StaleDescribed => "a stale key with a description",
        Keys::StaleAndFresh => "a stale key beside a fresh one",
        Keys::StaleAndOldInactive => "a stale key beside an inactive one",
        _ => "a stale key",
    };
    let contact = match profile.contact {
        Contact::Tag | Contact::OwnTag | Contact::TagBeforeName => "address from the contact tag",
        Contact::Name | Contact::NameAfterForeignTag => "the user name is an address",
        _ => "user name at the default domain",
    };
    let exemption = match profile.exemption {
        Exemption::Expired => "; was exempt until a while ago",
        Exemption::ForEver => "; its exemption would never end",
        Exemption::None | Exemption::Current => "",
    };
    format!("{keys}; {contact}{exemption}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    fn page_of(report: &Report) -> String {
        let population = Population::mixed(&Setting::default(), 60, 1);
        render(&Page::new(report, &population, &Setting::default(), &[])).unwrap()
    }

    #[test]
    fn a_right_run_is_called_right() {
        let html = page_of(&Report::example());
        assert!(
            html.contains("verdict right") && html.contains("Every owner got exactly the mail"),
            "{html}"
        );
    }

    #[test]
    fn accounts_are_shown_by_the_names_that_mails_have_for_them() {
        let html = page_of(&Report::organization());
        assert!(html.contains("payments-production") && html.contains("does not let Keynudge in"), "{html}");
        assert!(html.contains("verdict right"), "{html}");
        assert!(!page_of(&Report::example()).contains("The accounts"));
    }

    #[test]
    fn a_dead_letter_alone_makes_a_run_wrong() {
        let mut report = Report::example();
        report.figures.dead_letters = 1;
        let html = page_of(&report);
        assert!(html.contains("verdict wrong") && html.contains(&report.judgement()), "{html}");
        assert!(!html.contains("verdict right") && !html.contains("Every owner got"), "{html}");
    }

    #[test]
    fn the_first_mistakes_say_enough() {
        let mistakes = (1..=500).map(|user| format!("mistake-{user}.")).collect();
        let html = page_of(&Report { mistakes, ..Report::example() });
        assert!(html.contains("500 mistakes"), "{html}");
        assert!(html.contains("mistake-10.") && !html.contains("mistake-11."), "{html}");
    }

    /// A mail is shown as it is, but cannot break out of its frame.
    #[test]
    fn mails_are_escaped() {
        let population = Population::mixed(&Setting::default(), 60, 1);
        let stale = population.owners.iter().find(|owner| !owner.keys_to_mail().is_empty()).unwrap();
        let mail = Mail {
            source: "keynudge@corp.example".to_owned(),
            to: vec!["ada@corp.example".to_owned()],
            subject: "<script>alert(1)</script>".to_owned(),
            text: format!("</pre><b>{}</b>", stale.keys_to_mail()[0]),
            html: Some(r#"<p title="x">"><script>alert(1)</script></p>"#.to_owned()),
        };
        let report = Report::example();
        let mails = [mail];
        let page = Page::new(&report, &population, &Setting::default(), &mails);
        let html = render(&page).unwrap();
        assert!(html.contains("ada@corp.example"));
        assert!(!html.contains("<script") && !html.contains("</pre><b>"));
        assert!(html.contains("srcdoc=\"&lt;p title=&quot;x&quot;&gt;"));
    }
}
