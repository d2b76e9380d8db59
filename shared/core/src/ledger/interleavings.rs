//! Any interleaving of deliveries, crashes, redeliveries, replays, lost answers, SES's events and the clock.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{Answer, Delivery, Entry, LedgerRules, Notice, Outcome, SesEvent, Step};
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
    Feedback { mail: usize },
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
}

impl World {
    /// With findings of these days, each with its stage and which of two keys it is about.
    fn new(findings: &[(i64, u32, bool)]) -> Self {
        let start: DateTime<Utc> = "2026-03-01T06:00:00Z".parse().unwrap();
        let notice = |(day, stage, other_key): &(i64, u32, bool)| {
            let at = start + TimeDelta::days(*day);
            let key = if *other_key { "AKIAI44QH8DHBEXAMPLE" } else { "AKIAIOSFODNN7EXAMPLE" };
            Notice {
                run_id: RunId::of(at, false),
                as_of_date: at.date_naive(),
                stage: *stage,
                key_ids: vec![key.parse().unwrap()],
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
            Event::Feedback { mail } => {
                if let Some((id, _)) = self.taken.get(mail % self.taken.len().max(1))
                    && let Some(entry) = self.entry.hear(id, SesEvent::Send, self.now)
                {
                    self.entry = entry;
                }
            }
        }
    }

    fn number_of(&self, delivery: usize) -> Option<usize> {
        self.at_work.keys().nth(delivery % self.at_work.len().max(1)).copied()
    }

    fn conclude(&mut self, finding: usize, outcome: &Outcome) {
        self.done[finding] |= matches!(outcome, Outcome::Sent | Outcome::SentUnmarked | Outcome::NotDue);
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
            assert!(is_later(&later.notice, &earlier.notice), "too soon: {entry:?}");
        }
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
        1 => (0_usize..8).prop_map(|mail| Event::Feedback { mail }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_happens_nobody_is_forgotten_and_nobody_told_twice_but_for_unknown_outcomes(
        findings in prop::collection::vec((0_i64..20, 1_u32..3, any::<bool>()), 1..4),
        events in prop::collection::vec(events(), 0..80),
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
        let mut world = World::new(&[(0, 1, false)]);
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
}
