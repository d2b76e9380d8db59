//! Any interleaving of deliveries, crashes, redeliveries, replays, lost answers, SES's events and the clock.
//! SES's events are bounces and complaints, too, and feedback may lose what it writes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    Answer, Delivery, Entry, LedgerRules, MailboxHash, NotReachedReason, Notice, Outcome, SesEvent, Step,
};
use crate::failure::{CallFailed, FailureClass};
use crate::ids::{ClaimId, RunId};

/// How long a function may take; then Lambda ends it. The lease is longer.
const FUNCTION_TIMEOUT: TimeDelta = TimeDelta::seconds(30);

fn rules() -> LedgerRules {
    LedgerRules {
        remind_every_days: 7.try_into().unwrap(),
        lease: TimeDelta::seconds(60),
        unknown_lease: TimeDelta::minutes(15),
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A finding is delivered: for the first time, again, or by a replay.
    Deliver { finding: usize },
    /// A delivery does its next step, and the world does this to it.
    Step { delivery: usize, fate: Fate },
    /// A delivery has no more time.
    CutOff { delivery: usize },
    /// Time passes.
    Clock { seconds: i64 },
    /// SES tells of a mail it took: early, late or once more.
    Feedback { mail: usize, event: SesEvent },
    /// Feedback does its next step, and the world does this to it.
    Hear { hearing: usize, fate: Fate },
}

/// What the world does to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It works.
    Works,
    /// It fails, and nothing was done.
    Fails,
    /// It was done, and the answer is lost.
    AnswerLost,
    /// It fails, nothing was done, and nobody knows.
    NobodyKnows,
    /// The function dies before it.
    DiesBefore,
    /// The function dies after it.
    DiesAfter,
}

struct World {
    now: DateTime<Utc>,
    findings: Vec<Notice>,
    done: Vec<bool>,
    entry: Entry,
    /// The mails SES took: the claims they were sent under, and what they were about.
    taken: Vec<(ClaimId, Notice)>,
    /// Deliveries at work: finding, start, protocol and next step.
    at_work: BTreeMap<usize, (usize, DateTime<Utc>, Delivery, Step)>,
    deliveries: usize,
    /// Events that feedback has not written yet.
    hearings: Vec<Hearing>,
    /// The claims of mails of which feedback has heard to the end that they reached nobody.
    unreached: Vec<ClaimId>,
}

/// An event of SES about the mail of a claim, and the entry as feedback has read it for that.
struct Hearing {
    claim_id: ClaimId,
    event: SesEvent,
    entry: Option<Entry>,
}

impl World {
    /// With findings of these days, each with its stage, which of two keys it is about, and one of some
    /// mailboxes.
    fn new(findings: &[(i64, u32, bool, u8)]) -> Self {
        let start: DateTime<Utc> = "2026-03-01T06:00:00Z".parse().unwrap();
        let notice = |(day, stage, other_key, mailbox): &(i64, u32, bool, u8)| {
            let at = start + TimeDelta::days(*day);
            let key = if *other_key { "AKIAI44QH8DHBEXAMPLE" } else { "AKIAIOSFODNN7EXAMPLE" };
            Notice {
                run_id: RunId::of(at, false),
                as_of_date: at.date_naive(),
                stage: *stage,
                key_ids: vec![key.parse().unwrap()],
                mailbox: Some(MailboxHash::of(&format!("jane{mailbox}@example.com").parse().unwrap())),
            }
        };
        Self {
            now: start,
            findings: findings.iter().map(notice).collect(),
            done: vec![false; findings.len()],
            entry: Entry::default(),
            taken: Vec::new(),
            at_work: BTreeMap::new(),
            deliveries: 0,
            hearings: Vec::new(),
            unreached: Vec::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Deliver { finding } => self.deliver(finding % self.findings.len()),
            Event::Step { delivery, fate } => {
                if let Some(number) = self.number_of(delivery) {
                    self.step(number, fate);
                }
            }
            Event::CutOff { delivery } => {
                if let Some(number) = self.number_of(delivery) {
                    let (finding, _, delivery, _) = self.at_work.remove(&number).unwrap();
                    let outcome = delivery.cut_off();
                    self.conclude(finding, &outcome);
                }
            }
            Event::Clock { seconds } => {
                self.now += TimeDelta::seconds(seconds);
                let now = self.now;
                self.at_work.retain(|_, (_, started, ..)| now - *started < FUNCTION_TIMEOUT);
            }
            Event::Feedback { mail, event } => {
                if let Some((claim_id, _)) = self.taken.get(mail % self.taken.len().max(1)) {
                    self.hearings.push(Hearing { claim_id: claim_id.clone(), event, entry: None });
                }
            }
            Event::Hear { hearing, fate } => {
                if !self.hearings.is_empty() {
                    self.hear(hearing % self.hearings.len(), fate);
                }
            }
        }
    }

    fn number_of(&self, delivery: usize) -> Option<usize> {
        self.at_work.keys().nth(delivery % self.at_work.len().max(1)).copied()
    }

    /// Reads the entry, or writes what was heard into it as it was read. What is lost on the way is delivered
    /// again.
    fn hear(&mut self, number: usize, fate: Fate) {
        let Hearing { claim_id, event, entry } = self.hearings.swap_remove(number);
        let is_done = matches!(fate, Fate::Works | Fate::AnswerLost | Fate::DiesAfter);
        let is_known = fate == Fate::Works;
        let (entry, is_over) = match entry {
            None => (is_known.then(|| self.entry.clone()), false),
            Some(read) => match read.hear(&claim_id, event, self.now) {
                None => (None, is_known),
                Some(written) => {
                    let is_next = written.revision == self.entry.revision + 1;
                    if is_done && is_next {
                        self.entry = written;
                    }
                    (None, is_known && is_next)
                }
            },
        };
        if !is_over {
            self.hearings.push(Hearing { claim_id, event, entry });
        } else if let SesEvent::NotReached(_) = event {
            self.unreached.push(claim_id);
        }
    }

    fn conclude(&mut self, finding: usize, outcome: &Outcome) {
        if let Outcome::NotDue = outcome {
            let notice = &self.findings[finding];
            assert!(!self.is_due(notice), "{notice:?} is due: {:?}", self.entry);
        }
        self.done[finding] |= matches!(outcome, Outcome::Sent | Outcome::SentUnmarked | Outcome::NotDue);
    }

    /// Whether the owner is to hear of `notice` now: the promise in other words than the code's.
    fn is_due(&self, notice: &Notice) -> bool {
        let Some(last) = self.entry.history.first() else { return true };
        is_later(notice, &last.notice)
            || (self.entry.not_reached.is_some() && self.is_repaired(notice, &last.notice))
    }

    /// Whether `notice` goes to a mailbox that the mail before it did not, nor any of its date.
    fn is_repaired(&self, notice: &Notice, last: &Notice) -> bool {
        let marked = self.entry.history.iter().map(|sent| &sent.notice);
        let mut of_its_date = marked.filter(|sent| sent.as_of_date == notice.as_of_date);
        notice.as_of_date >= last.as_of_date
            && notice.mailbox != last.mailbox
            && of_its_date.all(|sent| sent.mailbox != notice.mailbox)
    }

    fn deliver(&mut self, finding: usize) {
        self.deliveries += 1;
        let id = format!("claim-{}", self.deliveries).parse().unwrap();
        let (delivery, step) = Delivery::start(self.findings[finding].clone(), id, rules());
        self.at_work.insert(self.deliveries, (finding, self.now, delivery, step));
    }

    fn step(&mut self, number: usize, fate: Fate) {
        let (finding, started, mut delivery, step) = self.at_work.remove(&number).unwrap();
        if fate == Fate::DiesBefore {
            return;
        }
        let answer = self.answer(finding, &delivery, step, fate);
        if fate == Fate::DiesAfter {
            return;
        }
        match delivery.next(answer, self.now) {
            Step::Done(outcome) => self.conclude(finding, &outcome),
            step => {
                self.at_work.insert(number, (finding, started, delivery, step));
            }
        }
    }

    /// Does `step`, as far as `fate` lets it, and says what the delivery hears of it.
    fn answer(&mut self, finding: usize, delivery: &Delivery, step: Step, fate: Fate) -> Answer {
        let is_done = !matches!(fate, Fate::Fails | Fate::NobodyKnows);
        let failed = |class| {
            Answer::Failed(CallFailed { call: "test:Call", class, code: String::new(), source: None })
        };
        match step {
            Step::Read if is_done => Answer::Entry(self.entry.clone()),
            Step::TakeTurn if is_done => Answer::Turn,
            Step::Write(entry) if is_done => {
                if entry.revision != self.entry.revision + 1 {
                    return Answer::Conflict;
                }
                self.entry = entry;
                if fate == Fate::AnswerLost { failed(FailureClass::Retry) } else { Answer::Written }
            }
            Step::Send if is_done => {
                self.taken.push((delivery.claim_id().clone(), self.findings[finding].clone()));
                if fate == Fate::AnswerLost { failed(FailureClass::Unknown) } else { Answer::Sent }
            }
            Step::Send if fate == Fate::NobodyKnows => failed(FailureClass::Unknown),
            Step::Done(_) => unreachable!("a delivery that is done does no step"),
            _ => failed(FailureClass::Retry),
        }
    }

    /// From now on everything works: what is not done is delivered until it is.
    fn settle(&mut self) {
        self.at_work.clear();
        self.hear_all();
        for finding in 0..self.findings.len() {
            for _ in 0..4 {
                if self.done[finding] {
                    break;
                }
                self.deliver(finding);
                while let Some(&number) = self.at_work.keys().next() {
                    self.step(number, Fate::Works);
                }
                // The longest that any claim is respected.
                self.now += TimeDelta::hours(16);
            }
            assert!(self.done[finding], "finding {finding} is never done: {:?}", self.entry);
        }
    }

    /// Feedback hears everything to its end.
    fn hear_all(&mut self) {
        while !self.hearings.is_empty() {
            self.hear(0, Fate::Works);
        }
    }

    /// What is promised.
    fn check(&self) {
        let entry = &self.entry;
        let marked = entry.history.len();
        let unknown = entry.takeovers as usize + usize::from(entry.claim.is_some());
        assert!(!self.taken.is_empty(), "nobody was told");
        assert!(
            self.taken.len() <= marked + unknown,
            "{} mails, of which {marked} were due and {unknown} had an unknown outcome",
            self.taken.len()
        );
        for sent in &entry.history {
            let mail = (sent.claim_id.clone(), sent.notice.clone());
            assert!(self.taken.contains(&mail), "marked as sent, and never was: {sent:?}");
        }
        for (later, earlier) in entry.history.iter().zip(entry.history.iter().skip(1)) {
            let is_repaired = self.unreached.contains(&earlier.claim_id)
                && later.notice.mailbox != earlier.notice.mailbox
                && later.notice.as_of_date >= earlier.notice.as_of_date;
            assert!(is_repaired || is_later(&later.notice, &earlier.notice), "too soon: {entry:?}");
        }
        let mut mailboxes: Vec<_> = entry
            .history
            .iter()
            .map(|sent| (sent.notice.as_of_date, format!("{:?}", sent.notice.mailbox)))
            .collect();
        mailboxes.sort();
        mailboxes.dedup();
        assert_eq!(mailboxes.len(), marked, "one mailbox was mailed twice on a date: {entry:?}");
        let last = entry.history.first().map(|last| &last.claim_id);
        assert_eq!(
            entry.not_reached.is_some(),
            last.is_some_and(|last| self.unreached.contains(last)),
            "of {:?}, the last mail is what not_reached is about: {entry:?}",
            self.unreached
        );
        for finding in &self.findings {
            let told = self.taken.iter().any(|(_, mail)| !is_later(finding, mail));
            assert!(told, "{finding:?} was due, and nobody was told: {entry:?}");
        }
    }
}

/// Whether `later` is to be told after `earlier` was: the promise in other words than the code's.
fn is_later(later: &Notice, earlier: &Notice) -> bool {
    let days = later.as_of_date.signed_duration_since(earlier.as_of_date).num_days();
    match days {
        ..=0 => false,
        1..=6 => later.stage > earlier.stage || later.key_ids != earlier.key_ids,
        _ => true,
    }
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Works),
        1 => Just(Fate::Fails),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::NobodyKnows),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_usize..4).prop_map(|finding| Event::Deliver { finding }),
        12 => (0_usize..4, fates()).prop_map(|(delivery, fate)| Event::Step { delivery, fate }),
        1 => (0_usize..4).prop_map(|delivery| Event::CutOff { delivery }),
        2 => prop_oneof![0_i64..70, Just(1_000)].prop_map(|seconds| Event::Clock { seconds }),
        2 => (0_usize..8, ses_events()).prop_map(|(mail, event)| Event::Feedback { mail, event }),
        4 => (0_usize..4, fates()).prop_map(|(hearing, fate)| Event::Hear { hearing, fate }),
    ]
}

fn ses_events() -> impl Strategy<Value = SesEvent> {
    let not_reached = |reason| Just(SesEvent::NotReached(reason));
    prop_oneof![
        2 => Just(SesEvent::Send),
        2 => not_reached(NotReachedReason::Bounce),
        1 => not_reached(NotReachedReason::Complaint),
        1 => not_reached(NotReachedReason::Reject),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_happens_nobody_is_forgotten_and_nobody_told_twice_but_for_unknown_outcomes(
        findings in prop::collection::vec((0_i64..20, 1_u32..3, any::<bool>(), 0_u8..3), 1..5),
        events in prop::collection::vec(events(), 0..100),
    ) {
        let mut world = World::new(&findings);
        for event in &events {
            world.happen(event);
        }
        world.settle();
        world.check();
    }

    #[test]
    fn without_crashes_and_lost_answers_each_owner_is_told_exactly_once(
        events in prop::collection::vec(events(), 0..80),
    ) {
        let mut world = World::new(&[(0, 1, false, 0)]);
        for event in &events {
            // A function lives on, and what fails is known to have failed.
            let event = match event {
                Event::Step { fate: Fate::Works | Fate::Fails, .. } => event.clone(),
                Event::Step { delivery, .. } => Event::Step { delivery: *delivery, fate: Fate::Works },
                Event::Clock { .. } | Event::CutOff { .. } => continue,
                _ => event.clone(),
            };
            world.happen(&event);
        }
        while let Some(&number) = world.at_work.keys().next() {
            world.step(number, Fate::Works);
        }
        world.settle();
        prop_assert_eq!((world.taken.len(), world.entry.takeovers), (1, 0));
    }

    /// Two runs of one date, between which somebody has corrected the address.
    #[test]
    fn an_owner_who_was_not_reached_is_mailed_at_the_repaired_address_once(
        event in ses_events(),
        fates in prop::collection::vec(fates(), 0..20),
        redeliveries in prop::collection::vec(0_usize..2, 0..6),
    ) {
        let mut world = World::new(&[(0, 1, false, 0), (0, 1, false, 1)]);
        let at_once = |world: &mut World, finding| {
            world.deliver(finding);
            while let Some(&number) = world.at_work.keys().next() {
                world.step(number, Fate::Works);
            }
        };
        at_once(&mut world, 0);
        world.happen(&Event::Feedback { mail: 0, event });
        for fate in fates {
            world.happen(&Event::Hear { hearing: 0, fate });
        }
        world.hear_all();
        at_once(&mut world, 1);
        let mails = if event == SesEvent::Send { 1 } else { 2 };
        prop_assert_eq!((world.taken.len(), world.entry.not_reached.is_some()), (mails, false));
        // The second mail may bounce, too.
        world.happen(&Event::Feedback { mail: 1, event });
        world.hear_all();
        for finding in redeliveries {
            at_once(&mut world, finding);
        }
        prop_assert_eq!(world.taken.len(), mails);
        world.check();
    }
}
