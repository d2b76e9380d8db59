//! `keynudge dlq replay`: send, then delete.
//!
//! At least once: what is interrupted between the two is still in its queue, and is sent again by the next replay. The
//! functions take every message twice without harm, and whether an owner is mailed is the ledger's to say.

use std::cell::RefCell;
use std::num::NonZeroU32;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{ArgGroup, Args};
use futures::{StreamExt, future, stream};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use keynudge_core::ports::was_counted_as_given_up;

use crate::Outcome;
use crate::aws::Aws;
use crate::dlq::filter::Filter;
use crate::dlq::held::{DeadLetterQueue, Held, holding};
use crate::dlq::letter::{Letter, Start};
use crate::dlq::queues::{Origin, Place, Queues};
use crate::dlq::selection::{self, Answer, MAX_FAILURES, Question, Tally, select};
use crate::interrupt::Interrupt;
use crate::numbers::whole;
use crate::runs::start::is_for_dry_runs;
use crate::terminal::{self, letters};

/// Letters under way at once. The rate is kept all the same.
const CONCURRENCY: usize = 8;

/// Send letters back to where they failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  # What a replay of all queues would do
  keynudge dlq replay --dry-run
  keynudge dlq replay findings --reason call_failed
  # One account's, without asking, at fifty a second
  keynudge dlq replay users --account 123456789012 --rate 50 --yes")]
#[command(group = ArgGroup::new("elsewhere").arg("queue_url").requires("to_queue_url"))]
pub(crate) struct Replay {
    #[command(flatten)]
    queues: Queues,
    /// Where the letters of --queue-url go
    #[arg(long, value_name = "URL", requires = "queue_url")]
    to_queue_url: Option<String>,
    /// Letters per second, at most
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole("letters", NonZeroU32::MIN..))]
    rate: NonZeroU32,
    /// Start runs that mail owners although the stack's own runs are dry runs
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    pub(crate) question: Question,
    // Last, since its heading is for all that follows.
    #[command(flatten)]
    filter: Filter,
}

/// Where letters go.
pub(crate) trait Destination {
    /// Hands it over. Once this is `Ok`, the letter may be deleted.
    async fn put(&self, work: &Work<'_>) -> Result<()>;
}

/// What a letter asks for, without what its death left on it: its attributes, but for the one that says that
/// it is a replay, and the trace header, by which Lambda would take a replay for a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work<'a> {
    /// A message, in its group if it was in one, and whether a function gave it up, and counted that.
    Message { body: &'a str, group: Option<&'a str>, was_given_up: bool },
    /// A start of the producer.
    Start(&'a Start),
}

impl<'a> Work<'a> {
    fn start(&self) -> Option<&'a Start> {
        match self {
            Self::Start(start) => Some(start),
            Self::Message { .. } => None,
        }
    }
}

/// A queue of letters on the way back to where they came from.
struct Lane<Q, D> {
    label: String,
    held: Held<Q>,
    origin: Origin,
    destination: D,
}

impl Replay {
    pub(crate) async fn run(&self, aws: &Aws) -> Result<Outcome> {
        let places = self.queues.locate(aws).await?.into_iter().map(|place| self.with_origin(place));
        let interrupt = Interrupt::listen()?;
        let lane = |place: Place| Lane {
            held: Held::new(aws.dead_letters(&place)),
            destination: aws.destination(&place.origin),
            label: place.label,
            origin: place.origin,
        };
        let lanes: Vec<_> = places.map(lane).collect();
        let held: Vec<_> = lanes.iter().map(|lane| &lane.held).collect();
        let may_start = async || self.may_start_live_runs(aws).await;
        let replayed = self.replay(&lanes, may_start, Utc::now(), &interrupt);
        let (result, not_put_back) = holding(&held, replayed).await;
        selection::report_not_put_back(not_put_back);
        result
    }

    fn with_origin(&self, place: Place) -> Place {
        match &self.to_queue_url {
            Some(url) => Place { origin: Origin::Queue(url.clone()), ..place },
            None => place,
        }
    }

    /// A start that failed asks for the mode of its time, or for one that somebody else wrote into its queue.
    async fn may_start_live_runs(&self, aws: &Aws) -> Result<()> {
        if !self.live && is_for_dry_runs(&aws.parameters().await?) {
            bail!(
                "the stack {:?} has Mode=dry_run, and a message would start a run that mails owners: `keynudge dlq drop` takes it \
                 out, and --live starts it all the same",
                aws.stack()
            );
        }
        Ok(())
    }

    /// Reads, shows, asks, acts, sums up.
    async fn replay<Q: DeadLetterQueue, D: Destination>(
        &self,
        lanes: &[Lane<Q, D>],
        may_start_live_runs: impl AsyncFn() -> Result<()>,
        now: DateTime<Utc>,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        let queues: Vec<_> = lanes.iter().map(|lane| (lane.label.as_str(), &lane.held)).collect();
        let selected = select(&queues, &self.filter, usize::MAX, now, interrupt).await;
        let selected = selected.of_all_queues()?;
        let reading = selected.report();
        if selected.letters.is_empty() {
            return Ok(reading);
        }
        let to: Vec<String> = lanes.iter().map(|lane| lane.origin.to_string()).collect();
        terminal::print(&terminal::fitted(
            &selection::table(&selected.letters, now, Some(&to)),
            terminal::width(),
        ))?;

        let letters_of_lanes = selected.letters.iter().map(|(lane, letter)| (&lanes[*lane], letter));
        let work: Vec<_> = letters_of_lanes
            .filter_map(|(lane, letter)| Some((lane, letter, work_of(letter, &lane.origin)?)))
            .collect();
        let without_work = selected.letters.len() - work.len();
        if without_work > 0 {
            terminal::remark(&format!(
                "{} cannot be replayed, for want of a run to start: see `keynudge dlq show`, then `drop`.",
                letters(without_work)
            ));
        }
        if work.is_empty() && !self.question.dry_run {
            return Ok(Outcome::Incomplete);
        }
        let starts: Vec<&Start> = work.iter().filter_map(|(_, _, work)| work.start()).collect();
        for start in &starts {
            terminal::remark(&format!("Starts a run: {start}."));
        }
        if starts.iter().any(|start| start.is_live()) && !self.question.dry_run {
            may_start_live_runs().await?;
        }
        match self.question.ask(&self.question_of(work.len()), interrupt).await? {
            Answer::Yes => {}
            Answer::No => {
                terminal::remark("Nothing was replayed.");
                return Ok(Outcome::Incomplete);
            }
            Answer::DryRun => {
                terminal::remark("A dry run: nothing was replayed.");
                return Ok(reading);
            }
        }
        let tally = replay_all(&work, self.rate, interrupt).await;
        let replayed = tally.sum_up("Replayed", work.len(), selected.is_full, interrupt)?;
        Ok(reading.and(Outcome::done_if(without_work == 0)).and(replayed))
    }

    fn question_of(&self, count: usize) -> String {
        let rate = self.rate.get();
        let seconds = i64::try_from(count).unwrap_or(i64::MAX) / i64::from(rate);
        let time = terminal::rough(TimeDelta::seconds(seconds));
        format!("Replay {}, at most {rate} a second ({time} or more)?", letters(count))
    }
}

/// What a letter asks for where it came from; `None` if there is nothing in it that could be sent there.
fn work_of<'a>(letter: &'a Letter, origin: &Origin) -> Option<Work<'a>> {
    match origin {
        Origin::Queue(_) => Some(Work::Message {
            body: &letter.body,
            group: letter.message_group_id.as_deref(),
            was_given_up: was_counted_as_given_up(|name| letter.attributes.get(name).map(String::as_str)),
        }),
        Origin::Function(_) => letter.content.start.as_ref().map(Work::Start),
        Origin::Unknown => None,
    }
}

/// Replays in the order given, until it is done, interrupted or has failed too often. What is under way then is
/// brought to its end.
async fn replay_all<Q: DeadLetterQueue, D: Destination>(
    work: &[(&Lane<Q, D>, &Letter, Work<'_>)],
    rate: NonZeroU32,
    interrupt: &Interrupt,
) -> Tally {
    let one = NonZeroU32::MIN;
    let limiter: DefaultDirectRateLimiter = RateLimiter::direct(Quota::per_second(rate).allow_burst(one));
    let progress = terminal::bar("replaying", work.len());
    let tally = RefCell::new(Tally::default());
    stream::iter(work)
        .then(async |work| {
            limiter.until_ready().await;
            work
        })
        .take_until(interrupt.asked())
        .take_while(|_| future::ready(tally.borrow().failed < MAX_FAILURES))
        .map(async |(lane, letter, work)| replay_one(lane, letter, work).await)
        .buffer_unordered(CONCURRENCY)
        .for_each(async |(what, result)| {
            tally.borrow_mut().count(what, result);
            progress.inc(1);
        })
        .await;
    progress.finish_and_clear();
    tally.into_inner()
}

/// Sends one letter, then deletes it; with what was not done if it failed.
async fn replay_one<Q: DeadLetterQueue, D: Destination>(
    lane: &Lane<Q, D>,
    letter: &Letter,
    work: &Work<'_>,
) -> (&'static str, Result<()>) {
    let sent = lane.destination.put(work).await;
    if sent.is_err() {
        return ("not replayed", sent);
    }
    let deleted = lane.held.delete(&[&letter.message_id]).await.into_iter().collect();
    ("replayed, but still in the queue, from which it would be replayed again", deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use crate::dlq::letter::tests::{check, failed_invocation, now, received};
    use crate::dlq::memory::{MemoryDestination, MemoryQueue};

    type TestLane = Lane<MemoryQueue, MemoryDestination>;

    const FAST: NonZeroU32 = NonZeroU32::MAX;

    fn lane(queue: MemoryQueue, destination: MemoryDestination) -> TestLane {
        Lane {
            label: "users".to_owned(),
            held: Held::new(queue),
            origin: Origin::Queue("https://sqs/users".to_owned()),
            destination,
        }
    }

    fn queue(letters: usize) -> MemoryQueue {
        MemoryQueue::with(&vec![(check("jane"), "call_failed"); letters])
    }

    /// Replays everything in the lane's queue.
    async fn replay(lane: &TestLane, rate: NonZeroU32, interrupt: &Interrupt) -> Tally {
        let work = async {
            let queues = [("users", &lane.held)];
            let selected = select(&queues, &Filter::default(), usize::MAX, now(), interrupt).await;
            let work: Vec<_> = selected
                .letters
                .iter()
                .map(|(_, letter)| (lane, letter, work_of(letter, &lane.origin).unwrap()))
                .collect();
            replay_all(&work, rate, interrupt).await
        };
        holding(&[&lane.held], work).await.0
    }

    fn work(origin: &Origin, body: &Value) -> Option<String> {
        let letter = Letter::read("users", received("m-1", 5, body, &[("reason", "call_failed")]));
        work_of(&letter, origin).map(|work| match work {
            Work::Message { body, group, .. } => format!("{body} in {group:?}"),
            Work::Start(start) => serde_json::to_string(start).unwrap(),
        })
    }

    /// Only what a function gave up is in its count: SQS moves messages by itself, and counts none.
    #[test]
    fn a_replay_says_whether_a_function_had_given_it_up() {
        let queue = Origin::Queue("https://sqs/users".to_owned());
        for (attributes, expected) in [
            (&[("reason", "call_failed")][..], true),
            (&[][..], false),
            (&[("replayed", "true")][..], true),
            // It could not be read, so that no run counted it.
            (&[("reason", "invalid_message")][..], false),
        ] {
            let letter = Letter::read("users", received("m-1", 5, &check("jane"), attributes));
            let Some(Work::Message { was_given_up, .. }) = work_of(&letter, &queue) else {
                panic!("no message")
            };
            assert_eq!(was_given_up, expected, "{attributes:?}");
        }
    }

    #[tokio::test]
    async fn every_letter_is_sent_in_its_group_and_then_deleted() {
        let lane = lane(queue(25), MemoryDestination::default());
        let interrupt = Interrupt::never();
        let tally = replay(&lane, FAST, &interrupt).await;
        assert_eq!((tally.done, tally.failed), (25, 0));
        assert_eq!(lane.held.queue().len(), 0);
        let taken = lane.destination.taken.take();
        assert_eq!(taken, vec![format!("123456789012 in {}", check("jane")); 25]);
    }

    #[tokio::test]
    async fn a_letter_that_is_not_taken_is_not_deleted() {
        let lane = lane(queue(15), MemoryDestination { takes: Some(12), ..MemoryDestination::default() });
        let interrupt = Interrupt::never();
        let tally = replay(&lane, FAST, &interrupt).await;
        assert_eq!((tally.done, tally.failed), (12, 3));
        assert_eq!(lane.held.queue().visible().len(), 3);
    }

    #[tokio::test]
    async fn so_many_failures_are_not_the_letters_fault() {
        let lane = lane(queue(100), MemoryDestination { takes: Some(0), ..MemoryDestination::default() });
        let interrupt = Interrupt::never();
        let tally = replay(&lane, FAST, &interrupt).await;
        assert_eq!(tally.done, 0);
        assert!((MAX_FAILURES..MAX_FAILURES + CONCURRENCY).contains(&tally.failed), "{}", tally.failed);
        assert_eq!(lane.held.queue().visible().len(), 100);
    }

    #[tokio::test]
    async fn a_letter_that_was_sent_but_not_deleted_is_told_and_seen_again() {
        let lane = lane(MemoryQueue { undeletable: vec!["m-1"], ..queue(3) }, MemoryDestination::default());
        let interrupt = Interrupt::never();
        let tally = replay(&lane, FAST, &interrupt).await;
        assert_eq!((tally.done, tally.failed), (2, 1));
        assert_eq!(lane.destination.taken.borrow().len(), 3);
        assert_eq!(lane.held.queue().len(), 1);
    }

    /// Twenty a second: the first at once, and each of the next a twentieth of a second later.
    #[tokio::test]
    async fn an_interrupt_stops_it_and_a_second_replay_does_the_rest() {
        let lane = lane(queue(20), MemoryDestination::default());
        let interrupt = Interrupt::never();
        let slow = NonZeroU32::new(20).unwrap();
        let interrupting = async {
            while lane.destination.taken.borrow().len() < 3 {
                tokio::task::yield_now().await;
            }
            interrupt.ask();
        };
        let (tally, ()) = tokio::join!(replay(&lane, slow, &interrupt), interrupting);
        assert!((3..20).contains(&tally.done), "{}", tally.done);
        assert_eq!(lane.held.queue().visible().len(), 20 - tally.done);

        let interrupt = Interrupt::never();
        let rest = replay(&lane, FAST, &interrupt).await;
        assert_eq!(tally.done + rest.done, 20);
        assert_eq!(lane.destination.taken.borrow().len(), 20);
    }

    #[test]
    fn a_message_goes_back_as_it_is_and_a_failed_start_as_the_start() {
        let queue = Origin::Queue("https://sqs/users".to_owned());
        let producer = Origin::Function("keynudge-producer".to_owned());
        let start = json!({"as_of": "2026-03-01T06:00:00Z", "mode": "live"});
        assert_eq!(
            work(&queue, &check("jane")).unwrap(),
            format!("{} in Some(\"123456789012\")", check("jane"))
        );
        assert_eq!(work(&queue, &json!("{")).unwrap(), "{ in Some(\"123456789012\")");
        for body in [failed_invocation(&start), start.clone()] {
            let event: Value = serde_json::from_str(&work(&producer, &body).unwrap()).unwrap();
            assert_eq!(event, start);
        }
        assert_eq!(work(&producer, &check("jane")), None);
        assert_eq!(work(&Origin::Unknown, &check("jane")), None);
    }
}
