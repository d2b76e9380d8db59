//! Following a run until nothing of it waits any more.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use keynudge_core::messages::Run;
use keynudge_core::reckoning::{Queued, SETTLED_AFTER, Summary};
use tokio::time::{Instant, sleep};

use super::look::Deployment;
use super::show::number;
use crate::interrupt::Interrupt;
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
    /// The user has seen enough.
    Interrupted,
}

/// Looks at the run until it is over, nothing moves for as long as `patience`, or the user interrupts. `before` is what the run
/// had come to when it was started again.
pub(crate) async fn follow(
    deployment: &Deployment,
    run: &Run,
    accounts: u64,
    before: Option<Summary>,
    patience: Duration,
    interrupt: &Interrupt,
) -> Result<End> {
    let mut view = View::new();
    let following = async {
        let mut course = Course { patience, before, last: None };
        let mut failed = 0;
        loop {
            let began = Instant::now();
            match look(deployment, run, accounts).await {
                Ok((queued, summary)) => {
                    failed = 0;
                    view.show(&summary);
                    if let Some(end) = course.end(&summary, queued, Instant::now()) {
                        return Ok(end);
                    }
                    sleep((began.elapsed() * REST_PER_LOOK).clamp(INTERVAL, REST_MAX)).await;
                }
                Err(error) if failed == FAILED_LOOKS_MAX => return Err(error),
                // A moment without network is no reason to look away from a run of hours.
                Err(_) => {
                    failed += 1;
                    view.say("no answer, trying again".to_owned());
                    sleep(INTERVAL).await;
                }
            }
        }
    };
    let end = tokio::select! {
        () = interrupt.asked() => Ok(End::Interrupted),
        end = following => end,
    };
    view.bar.finish_and_clear();
    end
}

/// Queues before records: what has left its queue is counted.
async fn look(deployment: &Deployment, run: &Run, accounts: u64) -> Result<(Queued, Summary)> {
    let queued = deployment.queued().await?;
    Ok((queued, deployment.summary(&run.run_id, Some(accounts), Some(queued)).await?))
}

/// What was seen of a run.
struct Course {
    patience: Duration,
    /// What the run had come to when it was started again.
    before: Option<Summary>,
    /// The last look that showed something new, and when.
    last: Option<(Instant, Queued, Summary)>,
}

impl Course {
    /// Whether this look is the last, and why.
    ///
    /// SQS's counts are of no use by themselves, since they lag, and not even if they are right: other runs may wait there. So
    /// the records decide. If they have everything, and nothing was ever delivered twice, nothing can be missing; if something
    /// was, one user counted twice may hide one who waits, and only time tells. As it does of a run that is done again: its
    /// records had everything before it began, and while something is queued, that may be all of it.
    fn end(&mut self, summary: &Summary, queued: Queued, now: Instant) -> Option<End> {
        let since = match &self.last {
            Some((since, last_queued, last)) if last == summary && *last_queued == queued => *since,
            _ => {
                self.last = Some((now, queued, summary.clone()));
                now
            }
        };
        let unchanged = now - since;
        let (is_empty, settled) = (queued == Queued::default(), unchanged >= SETTLED_AFTER);
        let is_exact = self.before.is_none() && summary.redelivered == 0;
        let may_not_have_begun = self.before.as_ref() == Some(summary) && !is_empty;
        match summary.waiting() {
            0 if is_empty && is_exact => Some(End::Over),
            0 if settled && !may_not_have_begun => Some(End::Over),
            0 if !may_not_have_begun => None,
            _ if is_empty && settled => Some(End::Missing),
            _ if unchanged >= self.patience => Some(End::Standstill),
            _ => None,
        }
    }
}

/// What people see of it meanwhile.
struct View {
    bar: ProgressBar,
    began: Instant,
    /// How many users were checked when that was last seen to grow, and when. The rate is of the time until then: those few
    /// who wait for hours would make it look as if everything were slow.
    checked: (u64, Instant),
    said: Option<Instant>,
}

impl View {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let now = Instant::now();
        Self { bar: ProgressBar::new_spinner().with_style(style), began: now, checked: (0, now), said: None }
    }

    fn show(&mut self, summary: &Summary) {
        let now = Instant::now();
        if summary.checks.checked != self.checked.0 {
            self.checked = (summary.checks.checked, now);
        }
        self.say(progress(summary, self.checked.1 - self.began));
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

/// How far a run is, on one line. Its users were checked in the time that is given.
fn progress(summary: &Summary, checking: Duration) -> String {
    let Summary { accounts, checks, owners, .. } = summary;
    let done = accounts.total - accounts.waiting;
    let rate = checks.checked / checking.as_secs().max(1);
    let mut parts = vec![
        format!("{} of {} accounts", number(done), number(accounts.total)),
        format!("{} of {} users checked", number(checks.checked), number(checks.to_do())),
        format!("{} stale", number(owners.stale)),
    ];
    let optional = [
        (owners.mailed, "mailed"),
        (owners.would_be_mailed, "would be mailed"),
        (summary.waiting(), "waiting"),
        (summary.failed(), "given up"),
    ];
    parts.extend(optional.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))));
    if rate > 0 {
        parts.push(format!("{} users/s", number(rate)));
    }
    if summary.waiting() == 0 {
        // This may take as long as SQS's counts lag behind, and would look like a hang.
        parts.push("making sure that nothing is left".to_owned());
    }
    parts.join(", ")
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
        end_after(None, looks)
    }

    /// The same of a run that had come to `before` when it was started again.
    fn end_after(before: Option<Summary>, looks: &[(Summary, Queued)]) -> (End, usize) {
        let mut course = Course { patience: Duration::from_mins(10), before, last: None };
        let begin = Instant::now();
        let last = looks.last().unwrap();
        let looks = looks.iter().chain(std::iter::repeat(last)).enumerate();
        for (second, (summary, queued)) in looks.take(100_000) {
            let now = begin + Duration::from_secs(second as u64);
            if let Some(end) = course.end(summary, *queued, now) {
                return (end, second);
            }
        }
        panic!("it does not end");
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
    fn a_run_that_is_done_again_is_not_over_before_it_has_begun() {
        let again = |looks: &[(Summary, Queued)]| end_after(Some(summary(10, 0)), looks);
        let begins = [(summary(10, 0), NOTHING), (summary(9, 0), NOTHING), (summary(10, 0), NOTHING)];
        assert_eq!(again(&begins), (End::Over, 77), "the counts of the queues lag");
        assert_eq!(again(&[(summary(11, 0), ONE_USER)]), (End::Over, 75));
        assert_eq!(again(&[(summary(10, 0), NOTHING)]), (End::Over, 75), "there was nobody to check");
        assert_eq!(again(&[(summary(10, 0), ONE_USER)]), (End::Standstill, 600), "it may wait as a whole");
    }

    #[test]
    fn what_waits_in_the_queues_of_another_run_does_not_keep_a_run_from_its_end() {
        assert_eq!(end(&[(summary(10, 0), ONE_USER)]), (End::Over, 75));
    }

    #[test]
    fn what_does_not_move_is_left_after_a_while() {
        assert_eq!(end(&[(summary(8, 0), ONE_USER), (summary(9, 0), ONE_USER)]), (End::Standstill, 601));
    }

    #[test]
    fn progress_tells_what_there_is() {
        assert_eq!(
            progress(&summary(8, 0), Duration::from_secs(2)),
            "1 of 1 accounts, 8 of 10 users checked, 0 stale, 2 waiting, 4 users/s"
        );
        assert_eq!(
            progress(&summary(10, 1), Duration::from_secs(2)),
            "1 of 1 accounts, 10 of 10 users checked, 0 stale, 5 users/s, making sure that nothing is left"
        );
    }
}
