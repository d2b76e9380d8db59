//! Following a run until nothing of it waits any more.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use keynudge_core::messages::Run;
use keynudge_core::reckoning::{Queued, SETTLED_AFTER, State, Summary};
use tokio::time::{Instant, sleep};

use super::look::Deployment;
use super::show::number;
use crate::terminal;

/// How often to look; and how long to look away, in times of how long a look took: the records of 10,000 accounts are 10 MB.
const INTERVAL: Duration = Duration::from_secs(1);
const REST_PER_LOOK: u32 = 10;
const REST_MAX: Duration = Duration::from_secs(30);

/// How often to say how far the run is, where stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// So many looks in a row may fail.
const FAILED_LOOKS_MAX: u32 = 5;

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing waits.
    Over,
    /// Something waits, and nothing has moved for long.
    Standstill,
    /// Something waits, and in no queue.
    Missing,
}

/// Looks at the run until it is over, or until nothing of it has moved for as long as `patience`.
pub(crate) async fn follow(
    deployment: &Deployment,
    run: &Run,
    accounts: u64,
    patience: Duration,
) -> Result<End> {
    let mut view = View::new();
    let mut course = Course::new(patience);
    let mut failed = 0;
    loop {
        let began = Instant::now();
        match look(deployment, run, accounts).await {
            Ok((queued, summary)) => {
                failed = 0;
                match course.look(&summary, queued, Instant::now()) {
                    Look::Last(end) => return Ok(end),
                    Look::Waiting { left } => view.show(&summary, left),
                }
                sleep((began.elapsed() * REST_PER_LOOK).clamp(INTERVAL, REST_MAX)).await;
            }
            Err(error) if failed == FAILED_LOOKS_MAX => return Err(error),
            // A run takes hours: following it survives a moment without network.
            Err(_) => {
                failed += 1;
                view.say("no answer, trying again".to_owned());
                sleep(INTERVAL).await;
            }
        }
    }
}

/// Queues before records: what has left its queue is counted.
async fn look(deployment: &Deployment, run: &Run, accounts: u64) -> Result<(Queued, Summary)> {
    let queued = deployment.queued().await?;
    Ok((queued, deployment.summary(&run.run_id, Some(accounts), Some(queued)).await?))
}

/// What was seen of a run.
struct Course {
    patience: Duration,
    /// The last look at the run's records that showed something new, and when.
    last: Option<(Instant, Summary)>,
    /// Since when the queues have been empty, if they are.
    empty_since: Option<Instant>,
}

/// What a look comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is the last, and why.
    Last(End),
    /// There will be others. If nothing changes, they end after this time.
    Waiting {
        /// How long.
        left: Duration,
    },
}

impl Course {
    fn new(patience: Duration) -> Self {
        Self { patience, last: None, empty_since: None }
    }

    /// What this look at the run's records and at the queues comes to.
    ///
    /// The run's own records show whether it moves. The queues do not: SQS's counts lag, and they include the
    /// messages of other runs. The queues only show whether anything waits at all.
    ///
    /// The run is over once its records count every user, no message was delivered twice, and the queues are
    /// empty. After a redelivery, a user who was counted twice may hide another who still waits. Then, and
    /// while messages wait, it is watched until its records have not changed for [`SETTLED_AFTER`].
    fn look(&mut self, summary: &Summary, queued: Queued, now: Instant) -> Look {
        // The state depends on the queues, too.
        let records = Summary { state: State::UnderWay, ..summary.clone() };
        let since = match &self.last {
            Some((since, last)) if *last == records => *since,
            _ => {
                self.last = Some((now, records));
                now
            }
        };
        let is_empty = queued == Queued::default();
        self.empty_since = is_empty.then(|| self.empty_since.unwrap_or(now));
        let is_everything_counted = summary.waiting() == 0;
        if is_everything_counted && is_empty && summary.redelivered == 0 {
            return Look::Last(End::Over);
        }
        let (end, at) = match self.empty_since {
            _ if is_everything_counted => (End::Over, since + SETTLED_AFTER),
            Some(empty_since) => (End::Missing, since.max(empty_since) + SETTLED_AFTER),
            None => (End::Standstill, since.checked_add(self.patience).unwrap_or(now + REST_MAX)),
        };
        if now >= at { Look::Last(end) } else { Look::Waiting { left: at - now } }
    }
}

/// What people see of it meanwhile.
struct View {
    bar: ProgressBar,
    began: Instant,
    /// How many users were checked at the last look that saw the count grow, and when that was. The rate
    /// covers the time until then: a few users who are retried for hours would otherwise lower it.
    checked: (u64, Instant),
    said: Option<Instant>,
}

impl View {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let now = Instant::now();
        // Also where an interrupt ends it.
        let bar = ProgressBar::new_spinner().with_style(style).with_finish(ProgressFinish::AndClear);
        Self { bar, began: now, checked: (0, now), said: None }
    }

    fn show(&mut self, summary: &Summary, left: Duration) {
        let now = Instant::now();
        if summary.checks.checked != self.checked.0 {
            self.checked = (summary.checks.checked, now);
        }
        self.say(progress(summary, self.checked.1 - self.began, left));
    }

    fn say(&mut self, line: String) {
        let now = Instant::now();
        if !self.bar.is_hidden() {
            self.bar.set_message(line);
            self.bar.tick();
        } else if self.said.is_none_or(|said| now - said >= LINE_INTERVAL) {
            self.said = Some(now);
            terminal::remark(&line);
        }
    }
}

/// How far a run is, on one line. The step it is at comes first, because a narrow terminal cuts the end off.
/// `checking` is the time in which its users were checked, `left` the time to the last look if nothing
/// changes.
fn progress(summary: &Summary, checking: Duration, left: Duration) -> String {
    let Summary { accounts, checks, owners, .. } = summary;
    let rate = checks.checked / checking.as_secs().max(1);
    let mut parts = match () {
        // It waits as long as SQS's counts lag behind.
        () if summary.waiting() == 0 => {
            vec![format!("making sure that nothing is left, {} s", seconds(left))]
        }
        () if accounts.waiting > 0 => vec!["listing users".to_owned()],
        () if checks.waiting > 0 && rate > 0 => {
            vec!["checking users".to_owned(), format!("{} a second", number(rate))]
        }
        () if checks.waiting > 0 => vec!["checking users".to_owned()],
        () => vec!["mailing owners".to_owned()],
    };
    let done = accounts.total - accounts.waiting;
    parts.extend([
        format!("{} of {} accounts", number(done), number(accounts.total)),
        format!("{} of {} users checked", number(checks.checked), number(checks.to_do())),
        format!("{} stale", number(owners.stale)),
    ]);
    let optional = [
        (owners.mailed, "mailed"),
        (owners.would_be_mailed, "would be mailed"),
        (summary.waiting(), "waiting"),
        (summary.failed(), "given up"),
    ];
    parts.extend(optional.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))));
    parts.join(", ")
}

/// Rounded up: what is left is never 0.
fn seconds(left: Duration) -> u64 {
    left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::counting::Metric;
    use keynudge_core::reckoning::AccountRecord;

    fn summary(checked: u64, redelivered: u64) -> Summary {
        let counts = [
            (Metric::ScansCompleted, 1),
            (Metric::UsersListed, 10),
            (Metric::UsersEnqueued, 10),
            (Metric::ChecksSent, 10),
            (Metric::UsersChecked, checked),
            (Metric::ChecksRedelivered, redelivered),
            (Metric::ChecksRepeated, redelivered),
            (Metric::ChecksReturned, redelivered),
        ];
        let account_id = "123456789012".parse().unwrap();
        Summary::of(Some(1), &[AccountRecord { account_id, counts: counts.into() }], None)
    }

    const ONE_USER: Queued = Queued { accounts: 0, users: 1, findings: 0 };
    const NOTHING: Queued = Queued { accounts: 0, users: 0, findings: 0 };

    /// How the run ends that looks like this, second by second, and then always like its last look; and in which second.
    fn end(looks: &[(Summary, Queued)]) -> (End, usize) {
        let last = looks.last().unwrap();
        end_of(looks.iter().chain(std::iter::repeat(last)).cloned())
    }

    fn end_of(looks: impl Iterator<Item = (Summary, Queued)>) -> (End, usize) {
        let mut course = Course::new(Duration::from_mins(10));
        let begin = Instant::now();
        for (second, (summary, queued)) in looks.enumerate().take(100_000) {
            let now = begin + Duration::from_secs(second as u64);
            if let Look::Last(end) = course.look(&summary, queued, now) {
                return (end, second);
            }
        }
        panic!("it does not end");
    }

    /// What the queues hold while another run is still moving: something else with each look, and nothing now
    /// and then.
    fn queues_of_another_run() -> impl Iterator<Item = Queued> {
        (0..).map(|second| Queued { users: if second % 50 == 49 { 0 } else { 100_000 - second }, ..NOTHING })
    }

    #[test]
    fn a_run_without_repetitions_is_over_when_everybody_is_counted_and_the_queues_are_empty() {
        assert_eq!(end(&[(summary(9, 0), ONE_USER), (summary(10, 0), NOTHING)]), (End::Over, 1));
    }

    #[test]
    fn empty_queues_alone_end_nothing_before_their_counts_can_be_trusted() {
        assert_eq!(end(&[(summary(9, 0), NOTHING)]), (End::Missing, 75));
        assert_eq!(end(&[(summary(9, 0), NOTHING), (summary(10, 0), NOTHING)]), (End::Over, 1));
    }

    #[test]
    fn where_somebody_may_have_been_counted_twice_it_is_watched_for_longer() {
        assert_eq!(end(&[(summary(10, 1), NOTHING)]), (End::Over, 75));
        let hidden = [(summary(10, 1), NOTHING), (summary(11, 1), NOTHING)];
        assert_eq!(end(&hidden), (End::Over, 76), "one that waited shows, and is waited for");
    }

    #[test]
    fn a_run_ends_however_much_moves_in_the_queues_of_another() {
        let beside_another =
            |summary: Summary| end_of(queues_of_another_run().map(|queued| (summary.clone(), queued)));
        assert_eq!(
            beside_another(summary(10, 0)),
            (End::Over, 49),
            "as soon as the queues are empty for once"
        );
        assert_eq!(beside_another(summary(10, 1)), (End::Over, 75));
        assert_eq!(beside_another(summary(9, 0)), (End::Standstill, 600), "it keeps its patience");
        assert_eq!(end(&[(summary(10, 0), ONE_USER)]), (End::Over, 75));
    }

    #[test]
    fn queues_that_have_just_become_empty_are_no_proof_that_something_is_missing() {
        let looks: Vec<_> =
            std::iter::repeat_n((summary(9, 0), ONE_USER), 200).chain([(summary(9, 0), NOTHING)]).collect();
        assert_eq!(end(&looks), (End::Missing, 275));
    }

    #[test]
    fn what_does_not_move_is_left_after_a_while() {
        assert_eq!(end(&[(summary(8, 0), ONE_USER), (summary(9, 0), ONE_USER)]), (End::Standstill, 601));
    }

    #[test]
    fn progress_says_first_what_a_run_is_at_and_no_rate_once_all_are_checked() {
        let second = Duration::from_secs(1);
        assert_eq!(
            progress(&summary(8, 0), 2 * second, 600 * second),
            "checking users, 4 a second, 1 of 1 accounts, 8 of 10 users checked, 0 stale, 2 waiting"
        );
        assert_eq!(
            progress(&summary(10, 1), 2 * second, Duration::from_millis(71_200)),
            "making sure that nothing is left, 72 s, 1 of 1 accounts, 10 of 10 users checked, 0 stale"
        );
        let unlisted = Summary::of(Some(3), &[], None);
        assert!(progress(&unlisted, second, second).starts_with("listing users, 0 of 3 accounts, "));
    }
}
