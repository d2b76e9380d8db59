//! What `replay` and `drop` have in common: choose letters, show them, ask.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use futures::future::join_all;
use keynudge_core::ids::{AccountId, UserId};

use crate::dlq::filter::Filter;
use crate::dlq::held::{DeadLetterQueue, HOLD_MINUTES, Held, Unread};
use crate::dlq::letter::Letter;
use crate::interrupt::Interrupt;
use crate::terminal::{self, grouped, letters};
use crate::{Cli, Outcome};

/// Failures after which no more letters are tried: so many are not the letters' own fault.
pub(crate) const MAX_FAILURES: usize = 10;

/// How to get leave.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only show what would be done
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// What came of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Go on.
    Yes,
    /// Do nothing; somebody said so, or interrupted.
    No,
    /// Do nothing, as was asked for from the start.
    DryRun,
}

/// Letters that are held, in the order in which they died.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Each with the position of its queue.
    pub(crate) letters: Vec<(usize, Letter)>,
    /// Whether no more could be taken, although there may be more.
    pub(crate) is_full: bool,
    /// What could not be received.
    pub(crate) unread: Unread,
    /// Why queues could not be read.
    pub(crate) failures: Vec<Error>,
}

/// What was done with letters, and why not.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// What went wrong, and how often.
    problems: BTreeMap<String, usize>,
}

impl Question {
    /// Ends the process, as wrong usage, if a question would have to be asked and nobody is there.
    pub(crate) fn require_answer(&self) {
        if !self.yes && !self.dry_run && !terminal::can_ask() {
            let message = "stdin is not a terminal, so nobody can be asked: add --yes to do it, or --dry-run to see what it is";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
    }

    /// Asks, unless the answer is known.
    pub(crate) async fn ask(&self, question: &str, interrupt: &Interrupt) -> Result<Answer> {
        if self.dry_run {
            return Ok(Answer::DryRun);
        }
        if self.yes {
            return Ok(Answer::Yes);
        }
        Ok(if terminal::confirm(question, interrupt).await? { Answer::Yes } else { Answer::No })
    }
}

/// Reads the queues, each with its label, and keeps the letters that the filter takes. All that is received is held,
/// also where reading failed.
pub(crate) async fn select<Q: DeadLetterQueue>(
    queues: &[(&str, &Held<Q>)],
    filter: &Filter,
    limit: usize,
    now: DateTime<Utc>,
    interrupt: &Interrupt,
) -> Selection {
    let progress = terminal::counter("letters read:");
    let reads = queues.iter().map(|(label, held)| {
        held.read(limit, interrupt, &progress, |received| {
            Some(Letter::read(label, received)).filter(|letter| filter.takes(letter, now))
        })
    });
    let readings = join_all(reads).await;
    progress.finish_and_clear();
    let mut selection =
        Selection { letters: Vec::new(), is_full: false, unread: Unread::default(), failures: Vec::new() };
    for (position, (reading, (label, _))) in readings.into_iter().zip(queues).enumerate() {
        match reading {
            Ok(reading) => {
                selection.letters.extend(reading.kept.into_iter().map(|letter| (position, letter)));
                selection.is_full |= reading.is_full;
                selection.unread.not_given |= reading.unread.not_given;
                selection.unread.held_by_others += reading.unread.held_by_others;
            }
            Err(error) => selection.failures.push(error.context((*label).to_owned())),
        }
    }
    selection.letters.sort_by(|(one_queue, one), (other_queue, other)| {
        (one_queue, one.sent_at, &one.message_id).cmp(&(other_queue, other.sent_at, &other.message_id))
    });
    selection
}

impl Selection {
    /// Itself, if every queue could be read.
    pub(crate) fn of_all_queues(mut self) -> Result<Self> {
        self.failures.pop().map_or(Ok(self), Err)
    }

    /// Says what could not be read, and if nothing was found. That there are too many is for the caller to say.
    pub(crate) fn report(&self) -> Outcome {
        self.failures.iter().for_each(terminal::error);
        self.remarks().iter().for_each(|remark| terminal::remark(remark));
        Outcome::done_if(self.is_all_read())
    }

    fn is_all_read(&self) -> bool {
        let may_have_missed_all = self.is_full && self.letters.is_empty();
        self.failures.is_empty() && self.unread == Unread::default() && !may_have_missed_all
    }

    fn remarks(&self) -> Vec<String> {
        let Unread { not_given, held_by_others } = self.unread;
        let none = if self.is_all_read() {
            "No such letters."
        } else {
            "No such letters among those that could be read."
        };
        let remarks = [
            self.letters.is_empty().then(|| none.to_owned()),
            not_given.then(|| {
                "SQS says that there may be more, but does not give them: try again in a minute.".to_owned()
            }),
            (held_by_others > 0).then(|| {
                let count = grouped(held_by_others);
                format!(
                    "About {count} more are held by another command; they appear within {HOLD_MINUTES} minutes."
                )
            }),
        ];
        remarks.into_iter().flatten().collect()
    }
}

/// The letters by queue and reason; `to` says where those of a queue go.
pub(crate) fn table(selected: &[(usize, Letter)], now: DateTime<Utc>, to: Option<&[String]>) -> String {
    #[derive(Default)]
    struct Group<'a> {
        letters: usize,
        accounts: BTreeSet<&'a str>,
        users: BTreeSet<&'a str>,
        oldest: TimeDelta,
    }
    let mut groups: BTreeMap<(usize, &str, &str), Group> = BTreeMap::new();
    for (queue, letter) in selected {
        let group = groups.entry((*queue, &letter.queue, &letter.failure.reason)).or_default();
        group.letters += 1;
        group.accounts.extend(letter.content.account_id.as_ref().map(AccountId::as_str));
        group.users.extend(letter.content.user_id.as_ref().map(UserId::as_str));
        group.oldest = group.oldest.max(letter.age(now));
    }
    let mut header = vec!["QUEUE", "REASON", "LETTERS", "ACCOUNTS", "USERS", "OLDEST"];
    header.extend(to.map(|_| "BACK TO"));
    let rows = groups.into_iter().map(|((queue, label, reason), group)| {
        let numbers = [group.letters, group.accounts.len(), group.users.len()].map(grouped);
        let mut row = vec![label.to_owned(), reason.to_owned()];
        row.extend(numbers);
        row.push(terminal::rough(group.oldest));
        row.extend(to.and_then(|to| to.get(queue).cloned()));
        row
    });
    terminal::table(&header, &[2, 3, 4, 5], rows)
}

impl Tally {
    /// Counts one letter. `what` was not done with it, if it failed.
    pub(crate) fn count(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => self.done += 1,
            Err(error) => {
                self.failed += 1;
                *self.problems.entry(format!("{what}: {error:#}")).or_default() += 1;
            }
        }
    }

    /// Says what came of it: how many of `of` letters were `done` ("Replayed"), and what happened to the others.
    pub(crate) fn sum_up(
        &self,
        done: &str,
        of: usize,
        is_full: bool,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        for (problem, &count) in &self.problems {
            terminal::remark(&format!("{} {problem}", letters(count)));
        }
        if self.done == of {
            terminal::print(&format!("{done} {}.\n", letters(of)))?;
            if is_full {
                terminal::remark("There may be more than could be read at once: run this again.");
            }
            return Ok(Outcome::done_if(!is_full));
        }
        terminal::print(&format!("{done} {} of {}.\n", grouped(self.done), letters(of)))?;
        let why = match () {
            () if interrupt.is_asked() => "Interrupted. ",
            () if self.failed >= MAX_FAILURES => "Stopped after too many failures. ",
            () => "",
        };
        terminal::remark(&format!("{why}The rest is still in the queue: run this again to go on."));
        Ok(Outcome::Incomplete)
    }
}

/// Says for how many letters putting back failed, if for any.
pub(crate) fn report_not_put_back(count: usize) {
    if count > 0 {
        terminal::remark(&format!(
            "{} could not be put back; they can be seen again in {HOLD_MINUTES} minutes",
            letters(count)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::letter::tests::{check, letter, now};
    use crate::dlq::memory::MemoryQueue;
    use serde_json::json;

    #[tokio::test]
    async fn letters_are_chosen_oldest_first_and_grouped_by_queue_and_reason() {
        let users = [(check("jane"), "crashed"), (check("joe"), "call_failed"), (check("jane"), "crashed")];
        let users = Held::new(MemoryQueue::with(&users));
        let findings = Held::new(MemoryQueue::with(&[(json!("{"), "invalid_message")]));
        let interrupt = Interrupt::never();
        let queues = [("users", &users), ("findings", &findings)];
        let selected = select(&queues, &Filter::default(), usize::MAX, now(), &interrupt).await;
        assert!(selected.is_all_read());
        let ids: Vec<String> =
            selected.letters.iter().map(|(_, letter)| letter.message_id.to_string()).collect();
        assert_eq!(ids, ["m-0", "m-1", "m-2", "m-0"]);

        let to = ["queue users".to_owned(), "queue findings".to_owned()];
        assert_eq!(
            table(&selected.letters, now(), Some(&to)),
            "QUEUE     REASON           LETTERS  ACCOUNTS  USERS  OLDEST  BACK TO\n\
             users     call_failed            1         1      1   2 min  queue users\n\
             users     crashed                2         1      1   3 min  queue users\n\
             findings  invalid_message        1         0      0   1 min  queue findings\n"
        );
    }

    #[test]
    fn what_could_not_be_read_is_told_and_none_found_is_not_none_there() {
        const NONE: &str = "No such letters.";
        const NONE_READ: &str = "No such letters among those that could be read.";
        const NOT_GIVEN: &str =
            "SQS says that there may be more, but does not give them: try again in a minute.";
        const HELD: &str = "About 1,200 more are held by another command; they appear within 10 minutes.";
        let one = || (0, letter(&check("jane"), &[]));
        for (found, is_full, not_given, held_by_others, remarks, all_read) in [
            (0, false, false, 0, &[NONE][..], true),
            (1, false, false, 0, &[], true),
            (1, true, false, 0, &[], true),
            (0, true, false, 0, &[NONE_READ], false),
            (0, false, true, 0, &[NONE_READ, NOT_GIVEN], false),
            (1, false, true, 0, &[NOT_GIVEN], false),
            (0, false, false, 1_200, &[NONE_READ, HELD], false),
            (1, true, false, 1_200, &[HELD], false),
        ] {
            let letters = (0..found).map(|_| one()).collect();
            let unread = Unread { not_given, held_by_others };
            let selection = Selection { letters, is_full, unread, failures: Vec::new() };
            assert_eq!(
                (selection.remarks(), selection.is_all_read()),
                (remarks.iter().map(|remark| (*remark).to_owned()).collect(), all_read)
            );
        }
    }

    #[tokio::test]
    async fn a_queue_that_cannot_be_read_hides_no_other() {
        let users = Held::new(MemoryQueue { failing_receive: Some(1), ..MemoryQueue::default() });
        let findings = Held::new(MemoryQueue::with(&[(json!("{"), "invalid_message")]));
        let interrupt = Interrupt::never();
        let queues = [("users", &users), ("findings", &findings)];
        let selected = select(&queues, &Filter::default(), usize::MAX, now(), &interrupt).await;
        assert_eq!((selected.letters.len(), selected.is_all_read()), (1, false));
        assert_eq!(format!("{:#}", selected.of_all_queues().unwrap_err()), "users: no receive");
    }

    #[test]
    fn equal_problems_are_told_once() {
        let mut tally = Tally::default();
        tally.count("not sent", Ok(()));
        for _ in 0..3 {
            tally.count("not sent", Err(anyhow::anyhow!("access denied").context("sqs:SendMessage")));
        }
        assert_eq!((tally.done, tally.failed), (1, 3));
        assert_eq!(
            tally.problems,
            BTreeMap::from([("not sent: sqs:SendMessage: access denied".to_owned(), 3)])
        );
    }
}
