//! The run's figures, and the summary made of them.

use std::fmt;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use keynudge_testbed::function_logs::Metrics;
use keynudge_testbed::functions::{Function, Packages};
use keynudge_testbed::outbox::{Mail, Verdict};
use keynudge_testbed::peak_memory::PeakMemory;
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
    pub(crate) wall_s: f64,
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
    pub(crate) peak_memory: PeakMemory,
    pub(crate) wall: Duration,
}

/// All there is to say about a run.
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) skipped: Vec<(String, u64)>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) mistakes: Vec<String>,
}

/// More mistakes than these would say no more.
const MISTAKES_SHOWN: usize = 10;

impl Report {
    pub(crate) fn new(observed: &Observed, population: &Population, packages: &Packages) -> Self {
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
            wall_s: (observed.wall.as_secs_f64() * 100.0).round() / 100.0,
        };
        let skipped = metrics.with_prefix("UsersSkipped").filter(|(_, users)| *users > 0);
        let costs = Function::ALL.map(|function| Cost {
            function: function.binary(),
            zip_bytes: packages.zip(function).len() as u64,
            peak_memory_bytes: observed.peak_memory.of(function),
        });
        let miscounts = miscounts(&figures, &population.totals());
        Self {
            skipped: skipped.map(|(reason, users)| (in_words(reason), users)).collect(),
            costs: costs.to_vec(),
            mistakes: miscounts.chain(verdict.mistakes).collect(),
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
    fn skipped_in_words(&self) -> String {
        let skipped = self.skipped.iter();
        let reasons: Vec<String> =
            skipped.map(|(reason, users)| format!("{} {reason}", HumanCount(*users))).collect();
        if reasons.is_empty() { String::new() } else { format!("skipped: {}", reasons.join(", ")) }
    }
}

/// Where the functions' own counts differ from what they had to find.
fn miscounts(figures: &Figures, expected: &Totals) -> impl Iterator<Item = String> + use<> {
    let counts = [
        ("users listed", figures.users, expected.users),
        ("checked", figures.checked, expected.checked),
        ("stale owners", figures.stale_owners, expected.stale_owners),
        ("without contact", figures.without_contact, expected.without_contact),
        ("exempt", figures.exempt, expected.exempt),
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
        };
        Self {
            figures,
            skipped: vec![("never signed in".to_owned(), 900)],
            costs: vec![Cost { function: "worker", zip_bytes: 3_400_000, peak_memory_bytes: None }],
            mistakes: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_line_has_these_keys_in_this_order() {
        assert_eq!(
            serde_json::to_string(&Report::example().figures).unwrap(),
            r#"{"users":5000,"checked":4100,"stale_owners":500,"mails":475,"without_contact":15,"exempt":10,"dead_letters":0,"duplicates":0,"wall_s":20.5}"#
        );
    }

    #[test]
    fn the_summary_says_it_all() {
        insta::assert_snapshot!(Report::example());
    }

    #[test]
    fn a_mistake_is_said_loudly() {
        let mistakes = vec!["ada: expected one mail, but got none".to_owned()];
        let report = Report { mistakes, ..Report::example() };
        assert!(report.to_string().contains("WRONG"));
        assert!(!report.is_right());
    }
}
