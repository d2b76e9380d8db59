//! The run's figures, and the summary made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{DecimalBytes, HumanCount};
use keynudge_testbed::estate::{Estate, Estates, Kind};
use keynudge_testbed::function_logs::Metrics;
use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::outbox::{Mail, Verdict};
use keynudge_testbed::peak_memory::PeakMemory;
use keynudge_testbed::pipeline::Ran;
use keynudge_testbed::population::{Population, Totals};
use serde::Serialize;

/// What `--json` prints, in this order.
///
/// Mails, duplicates and dead letters are counted where they arrived, not by the functions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) users: u64,
    pub(crate) checked: u64,
    pub(crate) stale_owners: u64,
    pub(crate) mails: usize,
    pub(crate) without_contact: u64,
    pub(crate) exempt: u64,
    pub(crate) dead_letters: usize,
    pub(crate) duplicates: usize,
    /// Until everything was done.
    pub(crate) wall_s: f64,
    pub(crate) accounts: usize,
    /// Those that did not let Keynudge in.
    pub(crate) accounts_denied: usize,
    /// Until the last user of the accounts that neither kept Keynudge out nor held it back was done.
    pub(crate) wall_ordinary_s: f64,
}

/// What one function costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) function: &'static str,
    pub(crate) zip_bytes: u64,
    /// Unknown where the kernel does not tell.
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// What came out of a run, as it was found.
pub(crate) struct Observed {
    pub(crate) mails: Vec<Mail>,
    pub(crate) dead_letters: usize,
    pub(crate) metrics: Metrics,
    pub(crate) accounts_denied: usize,
    /// When the last user of each account came to an end, by the account's id.
    pub(crate) last_outcomes: BTreeMap<String, DateTime<Utc>>,
    pub(crate) peak_memory: PeakMemory,
    pub(crate) ran: Ran,
}

impl Observed {
    /// How long it took until the last user of an account was done; `None` if none was.
    fn seconds_of(&self, estate: &Estate) -> Option<f64> {
        let last = self.last_outcomes.get(estate.account.as_str())?;
        let took = (*last - self.ran.began_at).to_std().unwrap_or_default();
        Some(rounded(took))
    }

    /// The same for all accounts that are nothing special.
    fn ordinary_seconds(&self, estates: &Estates) -> f64 {
        let ordinary = estates.all.iter().filter(|estate| estate.kind == Kind::Ordinary);
        ordinary.filter_map(|estate| self.seconds_of(estate)).fold(0.0, f64::max)
    }
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}

/// What came out of one account.
pub(crate) struct AccountFigures {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) users: usize,
    pub(crate) mails: usize,
    pub(crate) seconds: Option<f64>,
}

/// All there is to say about a run.
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) skipped: Vec<(String, u64)>,
    pub(crate) costs: Vec<Cost>,
    /// One by one, if there is more than one.
    pub(crate) accounts: Vec<AccountFigures>,
    pub(crate) mistakes: Vec<String>,
}

/// More mistakes than these would say no more.
const MISTAKES_SHOWN: usize = 10;

impl Report {
    pub(crate) fn new(
        observed: &Observed,
        estates: &Estates,
        population: &Population,
        packages: &Packages,
    ) -> Self {
        let verdict = Verdict::on(population, &observed.mails);
        let metrics = &observed.metrics;
        let figures = Figures {
            users: metrics.get("UsersListed"),
            checked: metrics.get("UsersChecked"),
            stale_owners: metrics.get("StaleOwners"),
            mails: observed.mails.len(),
            without_contact: metrics.get("WithoutContact"),
            exempt: metrics.get("Exempt"),
            dead_letters: observed.dead_letters,
            duplicates: verdict.duplicates,
            wall_s: rounded(observed.ran.took),
            accounts: estates.all.len(),
            accounts_denied: observed.accounts_denied,
            wall_ordinary_s: observed.ordinary_seconds(estates),
        };
        let skipped = metrics.with_prefix("UsersSkipped").filter(|(_, users)| *users > 0);
        let costs = Function::ALL.map(|function| Cost {
            function: function.binary(),
            zip_bytes: packages.zip(function).len() as u64,
            peak_memory_bytes: observed.peak_memory.of(function),
        });
        let miscounts = miscounts(&figures, &population.totals(), estates.count(Kind::Denied));
        Self {
            skipped: skipped.map(|(reason, users)| (in_words(reason), users)).collect(),
            costs: costs.to_vec(),
            mistakes: miscounts.chain(verdict.mistakes).collect(),
            accounts: by_account(observed, estates),
            figures,
        }
    }

    /// Whether everybody got what they had to get, and nothing else.
    pub(crate) fn is_right(&self) -> bool {
        self.mistakes.is_empty() && self.figures.dead_letters == 0
    }

    /// The same, in a sentence.
    pub(crate) fn judgement(&self) -> String {
        if self.is_right() {
            return "Every owner got exactly the mail that was expected, and nobody else got any.".to_owned();
        }
        let (mistakes, dead_letters) = (self.mistakes.len(), self.figures.dead_letters);
        format!("WRONG: {mistakes} mistakes, {dead_letters} dead letters.")
    }

    /// The first of the mistakes.
    pub(crate) fn shown_mistakes(&self) -> &[String] {
        &self.mistakes[..self.mistakes.len().min(MISTAKES_SHOWN)]
    }
}

impl Figures {
    /// How many users were listed and, if in the audience, checked in a second.
    pub(crate) fn users_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 100,000 users")]
        let users = self.users as f64;
        if self.wall_s > 0.0 { users / self.wall_s } else { 0.0 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        if figures.accounts > 1 {
            writeln!(out, "  {:<16}{:>9}{}", "accounts", figures.accounts, self.special_in_words())?;
        }
        for (name, number, note) in [
            ("users listed", figures.users, String::new()),
            ("checked", figures.checked, self.skipped_in_words()),
            ("stale owners", figures.stale_owners, String::new()),
            ("mails", figures.mails as u64, String::new()),
            ("without contact", figures.without_contact, String::new()),
            ("exempt", figures.exempt, String::new()),
            ("dead letters", figures.dead_letters as u64, String::new()),
            ("duplicates", figures.duplicates as u64, String::new()),
        ] {
            let line = format!("  {name:<16}{:>9}  {note}", HumanCount(number).to_string());
            writeln!(out, "{}", line.trim_end())?;
        }
        let per_second = figures.users_per_second();
        writeln!(
            out,
            "\n  {:.1} s from start to the last empty queue, {per_second:.0} users/s",
            figures.wall_s
        )?;
        if figures.accounts > 1 {
            writeln!(
                out,
                "  {:.1} s of that for the accounts that do not hold it back",
                figures.wall_ordinary_s
            )?;
        }
        writeln!(out, "\n  {:<16}{:>9}{:>15}", "function", "zip", "peak memory")?;
        for cost in &self.costs {
            let zip = DecimalBytes(cost.zip_bytes).to_string();
            let peak =
                cost.peak_memory_bytes.map_or("n/a".to_owned(), |bytes| DecimalBytes(bytes).to_string());
            writeln!(out, "  {:<16}{zip:>9}{peak:>15}", cost.function)?;
        }
        writeln!(out, "\n{}", self.judgement())?;
        self.shown_mistakes().iter().try_for_each(|mistake| writeln!(out, "  {mistake}"))
    }
}

impl Report {
    fn special_in_words(&self) -> String {
        let count = |kind| self.accounts.iter().filter(|account| account.kind == kind).count();
        let special = [(count(Kind::Denied), "denied"), (count(Kind::Throttled), "throttled")];
        let words =
            special.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        let words: Vec<String> = words.collect();
        if words.is_empty() { String::new() } else { format!("  of them {}", words.join(", ")) }
    }

    fn skipped_in_words(&self) -> String {
        let skipped = self.skipped.iter();
        let reasons: Vec<String> =
            skipped.map(|(reason, users)| format!("{} {reason}", HumanCount(*users))).collect();
        if reasons.is_empty() { String::new() } else { format!("skipped: {}", reasons.join(", ")) }
    }
}

/// What came out of each account, if there is more than one.
fn by_account(observed: &Observed, estates: &Estates) -> Vec<AccountFigures> {
    if !estates.is_organization() {
        return Vec::new();
    }
    let account_of_key = estates.account_of_key();
    let mut mails = vec![0; estates.all.len()];
    for mail in &observed.mails {
        let account = mail.key_ids().into_iter().find_map(|key| account_of_key.get(key));
        if let Some(account) = account {
            mails[*account] += 1;
        }
    }
    let figures = estates.all.iter().zip(mails).map(|(estate, mails)| AccountFigures {
        id: estate.account.to_string(),
        name: estate.name.clone(),
        alias: estate.alias.clone(),
        kind: estate.kind,
        users: estate.population.owners.len(),
        mails,
        seconds: observed.seconds_of(estate),
    });
    figures.collect()
}

/// Where the functions' own counts differ from what they had to find.
fn miscounts(figures: &Figures, expected: &Totals, denied: usize) -> impl Iterator<Item = String> + use<> {
    let counts = [
        ("users listed", figures.users, expected.users),
        ("checked", figures.checked, expected.checked),
        ("stale owners", figures.stale_owners, expected.stale_owners),
        ("without contact", figures.without_contact, expected.without_contact),
        ("exempt", figures.exempt, expected.exempt),
        ("accounts denied", figures.accounts_denied as u64, denied),
    ];
    let wrong = counts.into_iter().filter(|(_, counted, expected)| *counted != *expected as u64);
    wrong.map(|(name, counted, expected)| format!("{name}: {counted}, but {expected} were expected"))
}

/// `NeverSignedIn` is "never signed in".
fn in_words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
impl Report {
    pub(crate) fn example() -> Self {
        let figures = Figures {
            users: 5000,
            checked: 4100,
            stale_owners: 500,
            mails: 475,
            without_contact: 15,
            exempt: 10,
            dead_letters: 0,
            duplicates: 0,
            wall_s: 20.5,
            accounts: 1,
            accounts_denied: 0,
            wall_ordinary_s: 20.25,
        };
        Self {
            figures,
            skipped: vec![("never signed in".to_owned(), 900)],
            costs: vec![Cost { function: "worker", zip_bytes: 3_400_000, peak_memory_bytes: None }],
            accounts: vec![],
            mistakes: vec![],
        }
    }

    /// Of two accounts, one of which kept Keynudge out.
    pub(crate) fn organization() -> Self {
        let account = |id: &str, kind, mails, seconds| AccountFigures {
            id: id.to_owned(),
            name: "Payments production".to_owned(),
            alias: (kind == Kind::Ordinary).then(|| "payments-production".to_owned()),
            kind,
            users: 5000,
            mails,
            seconds,
        };
        let example = Self::example();
        let accounts = vec![
            account("100000000001", Kind::Ordinary, 475, Some(20.25)),
            account("100000000002", Kind::Denied, 0, None),
        ];
        let figures = Figures { accounts: 2, accounts_denied: 1, ..example.figures };
        Self { figures, accounts, ..example }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_line_has_these_keys_in_this_order() {
        assert_eq!(
            serde_json::to_string(&Report::example().figures).unwrap(),
            r#"{"users":5000,"checked":4100,"stale_owners":500,"mails":475,"without_contact":15,"exempt":10,"dead_letters":0,"duplicates":0,"wall_s":20.5,"accounts":1,"accounts_denied":0,"wall_ordinary_s":20.25}"#
        );
    }

    #[test]
    fn the_summary_says_it_all() {
        insta::assert_snapshot!(Report::example());
    }

    #[test]
    fn the_summary_of_an_organization_says_which_accounts_are_special() {
        insta::assert_snapshot!(Report::organization());
    }

    #[test]
    fn a_mistake_is_said_loudly() {
        let mistakes = vec!["ada: expected one mail, but got none".to_owned()];
        let report = Report { mistakes, ..Report::example() };
        assert!(report.to_string().contains("WRONG"));
        assert!(!report.is_right());
    }
}
