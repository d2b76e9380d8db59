//! The protocol between ledger and mailer for one finding, without the I/O: a [`Delivery`] says what to do next, and
//! hears what came of it.
//!
//! ```text
//! Read ─► not due: done              ┌─ taken ──────► write: marked as sent ───► done
//!      ─► held by another: later     │
//!      ─► TakeTurn ─► Write: claimed ─► Send ─ proven not taken ─► write: released ──► failed
//!                                    └─ nobody knows ─► write: lease prolonged ─► later
//! ```

use chrono::{DateTime, Utc};

use super::entry::{Claiming, Entry, LedgerRules, Notice};
use crate::failure::{CallFailed, FailureClass};
use crate::ids::ClaimId;

/// How often a claim is tried before the record goes back: another function is at work on the same owner.
const CLAIM_ATTEMPTS: u32 = 3;

/// One attempt to tell an owner.
#[derive(Debug)]
pub struct Delivery {
    notice: Notice,
    claim_id: ClaimId,
    rules: LedgerRules,
    state: State,
    claims_tried: u32,
    /// Whether the claim that is written next ends another one.
    takes_over: bool,
    took_over: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Read the owner's entry.
    Read,
    /// Wait for a turn to send. Before the claim, so that waiting does not use up its lease.
    TakeTurn,
    /// Write the entry, if it is the next revision of what is there.
    Write(Entry),
    /// Send the mail, once.
    Send,
    /// Nothing: this is what it came to.
    Done(Outcome),
}

/// What came of a step.
#[derive(Debug)]
pub enum Answer {
    /// The entry that was read; the default where there is none.
    Entry(Entry),
    /// It is this delivery's turn.
    Turn,
    /// The entry is written.
    Written,
    /// Somebody else wrote the entry first, or this very write was done before and its answer was lost.
    Conflict,
    /// SES took the mail.
    Sent,
    /// The call failed. Where it was a write, nobody knows whether it was done.
    Failed(CallFailed),
}

/// What a delivery came to.
#[derive(Debug)]
pub enum Outcome {
    /// SES took the mail, and the ledger knows.
    Sent,
    /// SES took the mail, and the ledger could not be told. To be told later, by another way: repeating the delivery would
    /// mail the owner twice.
    SentUnmarked,
    /// The owner was told before, and is not due again.
    NotDue,
    /// Somebody else is mailing the owner, or may have.
    Held {
        /// When to try again.
        until: DateTime<Utc>,
    },
    /// There was no time for it.
    NoTime,
    /// Nothing was sent.
    Failed(CallFailed),
    /// SES may have taken the mail.
    Unknown {
        /// Why that is not known.
        error: CallFailed,
        /// When to try again.
        until: DateTime<Utc>,
    },
}

#[derive(Debug)]
enum State {
    Reading,
    TakingTurn(Entry),
    Claiming(Entry),
    Sending(Entry),
    Concluding(Verdict),
    Over,
}

/// What came of the mail, on the way into the ledger.
#[derive(Debug)]
enum Verdict {
    Taken,
    NotTaken(CallFailed),
    Unknown { error: CallFailed, until: DateTime<Utc> },
}

impl Delivery {
    /// An attempt to tell an owner of `notice`, under a claim of its own. Returns its first step.
    #[must_use]
    pub fn start(notice: Notice, claim_id: ClaimId, rules: LedgerRules) -> (Self, Step) {
        let state = State::Reading;
        let (takes_over, took_over) = (false, false);
        (Self { notice, claim_id, rules, state, claims_tried: 0, takes_over, took_over }, Step::Read)
    }

    /// The claim the mail is sent under.
    #[must_use]
    pub fn claim_id(&self) -> &ClaimId {
        &self.claim_id
    }

    /// Whether the claim of somebody whose outcome is unknown was taken over.
    #[must_use]
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// What to do after `answer` to the last step. An answer that does not belong to that step fails the delivery.
    pub fn next(&mut self, answer: Answer, now: DateTime<Utc>) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), answer) {
            (State::Reading, Answer::Entry(entry)) => self.ask(entry, now, |delivery, entry, _| {
                delivery.state = State::TakingTurn(entry);
                Step::TakeTurn
            }),
            (State::TakingTurn(entry), Answer::Turn) => self.ask(entry, now, |delivery, entry, claimed| {
                delivery.takes_over = claimed.takeovers > entry.takeovers;
                delivery.state = State::Claiming(claimed.clone());
                Step::Write(claimed)
            }),
            (State::Claiming(entry), Answer::Written) => self.send(entry),
            (State::Claiming(_), Answer::Conflict) => self.read_again(now),
            (State::Claiming(_), Answer::Failed(error)) if error.class == FailureClass::Retry => {
                self.read_again(now)
            }
            (State::Reading | State::TakingTurn(_) | State::Claiming(_), Answer::Failed(error)) => {
                Step::Done(Outcome::Failed(error))
            }
            (State::Sending(entry), Answer::Sent) => self.conclude(Verdict::Taken, &entry, now),
            (State::Sending(entry), Answer::Failed(error)) => {
                let verdict = match &entry.claim {
                    Some(claim) if error.class == FailureClass::Unknown => {
                        Verdict::Unknown { error, until: claim.unknown_until(now, &self.rules) }
                    }
                    _ => Verdict::NotTaken(error),
                };
                self.conclude(verdict, &entry, now)
            }
            (State::Concluding(verdict), Answer::Entry(entry)) => self.conclude(verdict, &entry, now),
            (State::Concluding(verdict), Answer::Written) => Step::Done(verdict.outcome()),
            // Again, until the time is up: see `cut_off`.
            (State::Concluding(verdict), Answer::Conflict | Answer::Failed(_)) => {
                self.state = State::Concluding(verdict);
                Step::Read
            }
            _ => Step::Done(Outcome::Held { until: now }),
        }
    }

    /// What it comes to if there is no time for another step. A mail that was being sent is of unknown outcome, and its
    /// claim stays as it is.
    #[must_use]
    pub fn cut_off(self) -> Outcome {
        match self.state {
            State::Concluding(Verdict::Taken) => Outcome::SentUnmarked,
            State::Concluding(verdict) => verdict.outcome(),
            State::Sending(Entry { claim: Some(claim), .. }) => Outcome::Held { until: claim.lease_until },
            _ => Outcome::NoTime,
        }
    }

    /// Asks `entry` for the claim; `free` goes on with it, and gets the entry as it is and with the claim.
    fn ask(
        &mut self,
        entry: Entry,
        now: DateTime<Utc>,
        free: impl FnOnce(&mut Self, Entry, Entry) -> Step,
    ) -> Step {
        match entry.claim(&self.notice, &self.claim_id, now, &self.rules) {
            Claiming::NotDue => Step::Done(Outcome::NotDue),
            Claiming::Held { until } => Step::Done(Outcome::Held { until }),
            Claiming::Mine => self.send(entry),
            Claiming::Free(claimed) => free(self, entry, claimed),
        }
    }

    fn read_again(&mut self, now: DateTime<Utc>) -> Step {
        self.claims_tried += 1;
        if self.claims_tried == CLAIM_ATTEMPTS {
            return Step::Done(Outcome::Held { until: now });
        }
        self.state = State::Reading;
        Step::Read
    }

    fn send(&mut self, entry: Entry) -> Step {
        self.took_over = self.takes_over;
        self.state = State::Sending(entry);
        Step::Send
    }

    /// Writes what came of the mail, unless the claim is no longer this delivery's.
    fn conclude(&mut self, verdict: Verdict, entry: &Entry, now: DateTime<Utc>) -> Step {
        let id = &self.claim_id;
        let written = match &verdict {
            Verdict::Taken => entry.mark_sent(id, now),
            Verdict::NotTaken(_) => entry.release(id),
            Verdict::Unknown { until, .. } => entry.prolong(id, *until),
        };
        match written {
            // SES's event was quicker, and tells more than a lost answer.
            None if entry.history.iter().any(|sent| sent.claim_id == *id) => Step::Done(Outcome::Sent),
            None => Step::Done(verdict.outcome()),
            Some(written) => {
                self.state = State::Concluding(verdict);
                Step::Write(written)
            }
        }
    }
}

impl Verdict {
    fn outcome(self) -> Outcome {
        match self {
            Self::Taken => Outcome::Sent,
            Self::NotTaken(error) => Outcome::Failed(error),
            Self::Unknown { error, until } => Outcome::Unknown { error, until },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    use crate::ids::RunId;
    use crate::ledger::Claim;

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn notice() -> Notice {
        let key_ids = vec!["AKIAIOSFODNN7EXAMPLE".parse().unwrap()];
        let (run_id, as_of_date) = (RunId::of(now(), false), now().date_naive());
        Notice { run_id, as_of_date, stage: 1, key_ids, mailbox: None }
    }

    fn failed(class: FailureClass) -> Answer {
        Answer::Failed(CallFailed { call: "test:Call", class, code: String::new(), source: None })
    }

    /// Answers each step with the next of `answers`, and returns the delivery and the step after the last.
    fn after(answers: Vec<Answer>) -> (Delivery, Step) {
        let rules = LedgerRules {
            remind_every_days: 7.try_into().unwrap(),
            lease: TimeDelta::seconds(60),
            unknown_lease: TimeDelta::minutes(15),
        };
        let (mut delivery, mut step) = Delivery::start(notice(), "mine".parse().unwrap(), rules);
        for answer in answers {
            step = delivery.next(answer, now());
        }
        (delivery, step)
    }

    /// As far as the mail: read, took a turn, claimed.
    fn claimed_and(answers: Vec<Answer>) -> (Delivery, Step) {
        let claimed = vec![Answer::Entry(Entry::default()), Answer::Turn, Answer::Written];
        after(claimed.into_iter().chain(answers).collect())
    }

    fn claim_of_another(lease_until: DateTime<Utc>) -> Entry {
        let id = "another".parse().unwrap();
        let claim = Claim { id, lease_until, unknown_before: 0, notice: notice() };
        Entry { revision: 3, claim: Some(claim), ..Entry::default() }
    }

    #[test]
    fn a_turn_is_taken_before_the_claim_and_the_mail_is_sent_after_it() {
        assert!(matches!(after(vec![]).1, Step::Read));
        assert!(matches!(after(vec![Answer::Entry(Entry::default())]).1, Step::TakeTurn));
        let (_, step) = after(vec![Answer::Entry(Entry::default()), Answer::Turn]);
        let Step::Write(entry) = step else { panic!("{step:?}") };
        let claim = entry.claim.unwrap();
        assert_eq!((entry.revision, claim.id.as_str()), (1, "mine"));
        assert_eq!(claim.lease_until, now() + TimeDelta::seconds(60));
        assert!(matches!(claimed_and(vec![]).1, Step::Send));
    }

    #[test]
    fn what_came_of_the_mail_is_written_before_it_is_over() {
        let (_, marked) = claimed_and(vec![Answer::Sent]);
        assert!(matches!(marked, Step::Write(entry) if entry.history.len() == 1 && entry.claim.is_none()));
        assert!(matches!(claimed_and(vec![Answer::Sent, Answer::Written]).1, Step::Done(Outcome::Sent)));

        let (_, released) = claimed_and(vec![failed(FailureClass::Never)]);
        assert!(matches!(released, Step::Write(entry) if entry.history.is_empty() && entry.claim.is_none()));
        let (_, over) = claimed_and(vec![failed(FailureClass::Never), Answer::Written]);
        assert!(matches!(over, Step::Done(Outcome::Failed(error)) if error.class == FailureClass::Never));

        let in_15_minutes = now() + TimeDelta::minutes(15);
        let (_, prolonged) = claimed_and(vec![failed(FailureClass::Unknown)]);
        let Step::Write(entry) = prolonged else { panic!("{prolonged:?}") };
        assert_eq!(entry.claim.unwrap().lease_until, in_15_minutes);
        let (_, over) = claimed_and(vec![failed(FailureClass::Unknown), Answer::Written]);
        assert!(matches!(over, Step::Done(Outcome::Unknown { until, .. }) if until == in_15_minutes));
    }

    #[test]
    fn what_came_of_the_mail_is_written_again_until_it_is() {
        for answer in [Answer::Conflict, failed(FailureClass::Operator)] {
            let (_, step) = claimed_and(vec![Answer::Sent, answer]);
            assert!(matches!(step, Step::Read), "{step:?}");
        }
        let read_failed = vec![Answer::Sent, Answer::Conflict, failed(FailureClass::Retry)];
        assert!(matches!(claimed_and(read_failed).1, Step::Read));
    }

    #[test]
    fn a_mail_whose_claim_was_taken_over_meanwhile_is_sent_all_the_same() {
        let other = Answer::Entry(claim_of_another(now() + TimeDelta::seconds(60)));
        let (_, step) = claimed_and(vec![Answer::Sent, Answer::Conflict, other]);
        assert!(matches!(step, Step::Done(Outcome::Sent)), "{step:?}");
    }

    /// Whether SES took the mail is not for the other claim to say.
    #[test]
    fn a_mail_that_was_not_taken_stays_so_though_its_claim_was_taken_over_meanwhile() {
        let other = || Answer::Entry(claim_of_another(now() + TimeDelta::seconds(60)));
        let and_then = |class| claimed_and(vec![failed(class), Answer::Conflict, other()]).1;
        let refused = and_then(FailureClass::Never);
        assert!(
            matches!(refused, Step::Done(Outcome::Failed(ref error)) if error.class == FailureClass::Never),
            "{refused:?}"
        );
        let unknown = and_then(FailureClass::Unknown);
        assert!(matches!(unknown, Step::Done(Outcome::Unknown { .. })), "{unknown:?}");
    }

    #[test]
    fn a_claim_that_others_win_again_and_again_is_tried_three_times() {
        let try_once = || vec![Answer::Entry(Entry::default()), Answer::Turn, Answer::Conflict];
        let twice: Vec<Answer> = try_once().into_iter().chain(try_once()).collect();
        assert!(matches!(after(twice).1, Step::Read));
        let three_times = [try_once(), try_once(), try_once()].into_iter().flatten().collect();
        assert!(matches!(after(three_times).1, Step::Done(Outcome::Held { until }) if until == now()));
    }

    #[test]
    fn a_claim_is_tried_again_after_a_bad_moment_and_not_after_a_refusal() {
        let claim = |class| vec![Answer::Entry(Entry::default()), Answer::Turn, failed(class)];
        assert!(matches!(after(claim(FailureClass::Retry)).1, Step::Read));
        let (_, refused) = after(claim(FailureClass::Operator));
        assert!(
            matches!(refused, Step::Done(Outcome::Failed(error)) if error.class == FailureClass::Operator)
        );
    }

    #[test]
    fn an_entry_that_cannot_be_read_and_a_turn_that_does_not_come_fail_the_delivery() {
        let unread = vec![failed(FailureClass::Retry)];
        let no_turn = vec![Answer::Entry(Entry::default()), failed(FailureClass::Operator)];
        for answers in [unread, no_turn] {
            assert!(matches!(after(answers).1, Step::Done(Outcome::Failed(_))));
        }
    }

    #[test]
    fn a_takeover_is_told_if_it_came_about() {
        let ended = || Answer::Entry(claim_of_another(now()));
        assert!(after(vec![ended(), Answer::Turn, Answer::Written]).0.took_over());
        assert!(!claimed_and(vec![]).0.took_over());
        let live = Answer::Entry(claim_of_another(now() + TimeDelta::seconds(9)));
        assert!(!after(vec![ended(), Answer::Turn, Answer::Conflict, live]).0.took_over());
        assert!(!after(vec![ended(), Answer::Turn, failed(FailureClass::Operator)]).0.took_over());
    }

    #[test]
    fn a_lost_answer_that_ses_s_event_settled_meanwhile_is_a_mail_that_was_sent() {
        let (delivery, _) = claimed_and(vec![]);
        let State::Sending(entry) = delivery.state else { panic!("{delivery:?}") };
        let settled = entry.mark_sent(&"mine".parse().unwrap(), now()).unwrap();
        let event_was_quicker = vec![failed(FailureClass::Unknown), Answer::Conflict, Answer::Entry(settled)];
        assert!(matches!(claimed_and(event_was_quicker).1, Step::Done(Outcome::Sent)));
    }

    #[test]
    fn a_delivery_that_is_cut_off_says_what_is_known() {
        let cut_off = |(delivery, _): (Delivery, Step)| delivery.cut_off();
        assert!(matches!(cut_off(after(vec![])), Outcome::NoTime));
        let lease_end = now() + TimeDelta::seconds(60);
        assert!(matches!(cut_off(claimed_and(vec![])), Outcome::Held { until } if until == lease_end));
        assert!(matches!(cut_off(claimed_and(vec![Answer::Sent])), Outcome::SentUnmarked));
        let refused = claimed_and(vec![failed(FailureClass::Retry)]);
        assert!(matches!(cut_off(refused), Outcome::Failed(error) if error.class == FailureClass::Retry));
    }
}
