//! What runs came to, for people.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use keynudge_core::ids::AccountId;
use keynudge_core::messages::Mode;
use keynudge_core::reckoning::{Checks, Owners, State, Summary, Users};

use super::look::{Queue, Reckoned};
use crate::terminal::{self, grouped, rough};

/// So many accounts that deny the role are named.
const ACCOUNTS_NAMED: usize = 10;

/// A number, and what it is of.
type Part = (u64, &'static str);

/// The runs, a line each. A narrow terminal gets fewer columns: the newest run has all of its numbers below.
pub(crate) fn table(runs: &[Reckoned], width: Option<usize>) -> String {
    let all = columns(runs, &[]);
    let is_too_wide = width.is_some_and(|width| all.lines().any(|line| line.chars().count() > width));
    if is_too_wide {
        terminal::fitted(&columns(runs, &["ACCOUNTS", "LISTED", "CHECKED"]), width)
    } else {
        all
    }
}

fn columns(runs: &[Reckoned], without: &[&str]) -> String {
    let header =
        ["RUN", "MODE", "ACCOUNTS", "LISTED", "CHECKED", "STALE", "MAILED", "WAITING", "FAILED", "STATE"];
    let is_shown: Vec<bool> = header.iter().map(|name| !without.contains(name)).collect();
    let shown = |cells: Vec<String>| {
        let cells = cells.into_iter().zip(&is_shown).filter(|(_, is_shown)| **is_shown);
        cells.map(|(cell, _)| cell).collect::<Vec<_>>()
    };
    let rows = runs.iter().map(|run| {
        let Summary { accounts, users, checks, owners, .. } = &run.summary;
        let mut row = vec![run.run_id.to_string(), mode(run.mode).to_owned()];
        row.extend([accounts.total, users.listed, checks.checked, owners.stale].map(number));
        row.push(mailed(owners, run.mode));
        row.extend([run.summary.waiting(), run.summary.failed()].map(number));
        row.push(state(&run.summary));
        shown(row)
    });
    let header = shown(header.map(str::to_owned).into());
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let numbers: Vec<usize> = (2..header.len() - 1).collect();
    terminal::table(&header, &numbers, rows)
}

/// In parentheses who would have been mailed: a dry run mails nobody.
fn mailed(owners: &Owners, mode: Option<Mode>) -> String {
    if mode == Some(Mode::DryRun) || owners.would_be_mailed > 0 {
        format!("({})", number(owners.would_be_mailed))
    } else {
        number(owners.mailed)
    }
}

/// One run: sums that add up, and what they leave open.
pub(crate) fn detail(run: &Reckoned, now: DateTime<Utc>, width: Option<usize>) -> String {
    let mut about = vec![run.run_id.to_string(), mode(run.mode).to_owned()];
    if let Some(as_of) = run.as_of {
        about.push(format!("as of {}", instant(as_of)));
    }
    if let Some(started_at) = run.started_at {
        about.push(format!("started {} ago", rough(now - started_at)));
    }
    about.push(state(&run.summary));
    let about = terminal::wrapped(&about.join(", "), 0, 2, width);
    let sums = sums(&run.summary);
    let sums = sums.iter().map(|sum| format!("  {}\n", terminal::wrapped(sum, 2, 4, width)));
    format!("{about}\n{}", sums.collect::<String>())
}

/// The sums, and a line for everything that they leave open.
pub(crate) fn sums(summary: &Summary) -> Vec<String> {
    let Summary { accounts, users, checks, owners, .. } = summary;
    // While something waits, who does and who vanished is not told apart.
    let margin = |margin| if summary.waiting() == 0 { margin } else { 0 };
    let mut lines = vec![
        sum(
            &[(accounts.total, if accounts.total == 1 { "account" } else { "accounts" })],
            &[
                (accounts.scanned, "scanned"),
                (accounts.denied, "denied the role"),
                (accounts.dead, "given up"),
                (accounts.waiting, "waiting"),
            ],
            0,
        ),
        users_sum(users),
        checks_sum(checks, margin(checks.margin)),
        owners_sum(owners, margin(owners.margin)),
    ];
    if !accounts.denied_ids.is_empty() {
        let named: Vec<&str> =
            accounts.denied_ids.iter().take(ACCOUNTS_NAMED).map(AccountId::as_str).collect();
        let more = if accounts.denied_ids.len() > ACCOUNTS_NAMED { ", …" } else { "" };
        lines.push(format!("denied the role: {}{more}", named.join(", ")));
    }
    if owners.outcome_unknown > 0 {
        let mails = number(owners.outcome_unknown);
        lines.push(format!("SES's answer to {mails} mails was lost: those it took are among the not due"));
    }
    if margin(checks.margin + owners.margin) > 0 {
        lines.push("±: work that was begun more than once may be counted more than once".to_owned());
    }
    if summary.state == State::Missing {
        lines.push(
            "The queues are empty: what waits was not recorded, or is a dead letter of SQS's own. On AWS, they may say so \
             for a minute: look again"
                .to_owned(),
        );
    }
    lines
}

fn users_sum(users: &Users) -> String {
    sum(
        &[(users.listed, "listed")],
        &[
            (users.enqueued, "enqueued"),
            (users.never_signed_in, "never signed in"),
            (users.outside_path, "outside the path"),
            (users.too_young, "too young"),
            (users.no_password, "without a console password"),
            (users.no_active_key, "without an active key"),
            (users.no_old_key, "without an old key"),
            (users.unreadable, "unreadable"),
        ],
        0,
    )
}

fn checks_sum(checks: &Checks, margin: u64) -> String {
    sum(
        &[
            (checks.enqueued, "enqueued"),
            (checks.ahead, "by scans under way"),
            (checks.again, "by repeated scans"),
            (checks.sent_back, "sent back"),
            (checks.excess, "too many"),
        ],
        &[
            (checks.checked, "checked"),
            (checks.denied, "denied the role"),
            (checks.dead, "given up"),
            (checks.waiting, "waiting"),
        ],
        margin,
    )
}

fn owners_sum(owners: &Owners, margin: u64) -> String {
    sum(
        &[(owners.stale, "stale"), (owners.excess, "too many")],
        &[
            (owners.mailed, "mailed"),
            (owners.would_be_mailed, "would be mailed"),
            (owners.not_due, "not due"),
            (owners.without_contact, "without contact"),
            (owners.exempt, "exempt"),
            (owners.not_tagged, "not tagged"),
            (owners.sent_back, "sent back"),
            (owners.failed, "given up"),
            (owners.waiting, "waiting"),
        ],
        margin,
    )
}

/// `1,000 listed = 860 enqueued + 140 too young`. The first part of each side is there even if it is nothing, and the rest if
/// it is something.
fn sum(whole: &[Part], parts: &[Part], margin: u64) -> String {
    let side = |parts: &[Part], first: Option<usize>| {
        let shown = parts.iter().enumerate().filter(|(place, (n, _))| *n > 0 || Some(*place) == first);
        shown.map(|(_, (n, what))| format!("{} {what}", number(*n))).collect::<Vec<_>>().join(" + ")
    };
    let only = parts.iter().all(|(n, _)| *n == 0).then_some(0);
    let margin = if margin == 0 { String::new() } else { format!(" (±{})", number(margin)) };
    format!("{} = {}{margin}", side(whole, Some(0)), side(parts, only))
}

/// The queues, a line each.
pub(crate) fn queues(queues: &[Queue]) -> String {
    let rows = queues.iter().map(|queue| {
        let depths = match queue.depth {
            Some(depth) => [depth.visible, depth.in_flight, depth.delayed].map(number),
            None => ["-"; 3].map(str::to_owned),
        };
        let [oldest, oldest_letter] =
            [queue.oldest_age_seconds, queue.oldest_dead_letter_age_seconds].map(age);
        let rest = vec![oldest, number(queue.dead_letters), oldest_letter];
        [vec![queue.name.clone()], depths.into(), rest].concat()
    });
    let header = ["QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "OLDEST", "DEAD LETTERS", "OLDEST LETTER"];
    terminal::table(&header, &[1, 2, 3, 4, 5, 6], rows)
}

fn age(seconds: Option<u64>) -> String {
    let age = seconds.and_then(|seconds| TimeDelta::try_seconds(seconds.try_into().ok()?));
    age.map_or_else(|| "-".to_owned(), rough)
}

fn mode(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Live) => "live",
        Some(Mode::DryRun) => "dry run",
        None => "-",
    }
}

fn state(summary: &Summary) -> String {
    match summary.state {
        State::Done => "done".to_owned(),
        State::Inexact => format!("done, ±{}", number(summary.checks.margin.max(summary.owners.margin))),
        State::UnderWay => "under way".to_owned(),
        State::Missing => format!("{} missing", number(summary.waiting())),
    }
}

pub(crate) fn number(n: u64) -> String {
    grouped(usize::try_from(n).unwrap_or(usize::MAX))
}

pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::counting::Metric;
    use keynudge_core::reckoning::{AccountRecord, Queued};

    fn summary(counts: &[(Metric, u64)]) -> Summary {
        let account_id = "123456789012".parse().unwrap();
        let record = AccountRecord { account_id, counts: counts.iter().copied().collect() };
        Summary::of(Some(1), &[record], Some(Queued::default()))
    }

    const SCANNED: [(Metric, u64); 5] = [
        (Metric::ScansCompleted, 1),
        (Metric::UsersListed, 1_000),
        (Metric::UsersSkippedTooYoung, 140),
        (Metric::UsersEnqueued, 860),
        (Metric::ChecksSent, 860),
    ];

    #[test]
    fn sums_show_what_there_is() {
        let counts = [(Metric::UsersChecked, 860), (Metric::StaleOwners, 3), (Metric::MailsSent, 3)];
        let lines = sums(&summary(&[&SCANNED[..], &counts].concat()));
        assert_eq!(
            lines,
            [
                "1 account = 1 scanned",
                "1,000 listed = 860 enqueued + 140 too young",
                "860 enqueued = 860 checked",
                "3 stale = 3 mailed"
            ]
        );
        let nothing = sums(&Summary::of(Some(0), &[], None));
        assert_eq!(nothing[3], "0 stale = 0 mailed");
    }

    #[test]
    fn a_dry_run_is_not_said_to_have_mailed_anybody() {
        let run = |mode, metric| {
            let counts = [(Metric::UsersChecked, 860), (Metric::StaleOwners, 190), (metric, 190)];
            Reckoned {
                run_id: "2026-03-01T06:00:00Z-3f9c".parse().unwrap(),
                mode: Some(mode),
                as_of: None,
                started_at: None,
                summary: summary(&[&SCANNED[..], &counts].concat()),
            }
        };
        let runs = [run(Mode::DryRun, Metric::MailsNotSentDryRun), run(Mode::Live, Metric::MailsSent)];
        let narrow =
            table(&runs, Some(80)) + &detail(&runs[0], "2026-03-01T06:00:00Z".parse().unwrap(), Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(narrow.contains("(190)") && narrow.contains("done"), "{narrow}");
        let runs = table(&runs, None);
        let [_, dry, live] = runs.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(dry.contains(" (190) "), "{dry}");
        assert!(live.contains(" 190 ") && !live.contains("(190)"), "{live}");
    }

    #[test]
    fn what_may_be_too_much_says_so() {
        let counts = [(Metric::UsersChecked, 862), (Metric::ChecksRepeated, 3), (Metric::ChecksReturned, 0)];
        let summary = summary(&[&SCANNED[..], &counts].concat());
        let lines = sums(&summary);
        assert_eq!(lines[2], "860 enqueued + 2 too many = 862 checked (±3)");
        assert!(lines.last().unwrap().starts_with('±'), "{lines:?}");
        assert_eq!(state(&summary), "done, ±3");
    }

    #[test]
    fn what_is_nowhere_is_missing_and_no_margin_is_told_before_the_end() {
        let counts = [(Metric::UsersChecked, 850), (Metric::ChecksRepeated, 3)];
        let summary = summary(&[&SCANNED[..], &counts].concat());
        let lines = sums(&summary);
        assert_eq!(lines[2], "860 enqueued = 850 checked + 10 waiting");
        assert_eq!(state(&summary), "10 missing");
    }
}
