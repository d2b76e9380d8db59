//! What is remembered of one owner, and the steps from one state of it to the next.

use std::num::NonZeroU32;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{AccessKeyId, ClaimId, EmailAddress, RunId};
use crate::keys::StaleKey;
use crate::messages::{Run, StaleKeys};

/// How many reminders an entry remembers, for people. The rules ask for the last one alone.
pub const MAX_HISTORY: usize = 24;

/// How long an entry is kept beyond twice the cadence. Nothing rests on it: an entry that old would be due anyway.
const KEPT_FOR: TimeDelta = TimeDelta::days(400);

/// From 15 minutes to 16 hours.
const MAX_DOUBLINGS: u32 = 6;

/// The longest that a claim may still have to go. The longest that is ever written is 16 hours.
const LONGEST_LEASE: TimeDelta = TimeDelta::hours(24);

/// How far ahead of the clock a mail may be dated: a live run may judge keys a day ahead, and dates are whole days.
const AHEAD_MAX: TimeDelta = TimeDelta::days(2);

/// More writes than an entry ever sees. From there on, the next revision would be none.
const REVISIONS_MAX: u64 = u64::MAX / 2;

fn countable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let revision = u64::deserialize(deserializer)?;
    if revision < REVISIONS_MAX { Ok(revision) } else { Err(D::Error::custom("no revision is as large")) }
}

/// What is remembered of one owner. No entry is the same as [`Entry::default`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts the entry's writes. A write is refused unless it is the next one, so that no step overwrites another.
    #[serde(deserialize_with = "countable")]
    pub revision: u64,
    /// Who is mailing the owner now, or was when the answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The latest reminders that SES took, newest first.
    #[serde(default)]
    pub history: Vec<Sent>,
    /// Claims that ended without anybody knowing whether SES took the mail: each may have been a mail too many.
    #[serde(default)]
    pub takeovers: u32,
    /// Why the last reminder did not reach the owner, if SES said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_reached: Option<NotReached>,
    /// When the table may forget the entry, in seconds since 1970.
    #[serde(default)]
    pub expires_at: i64,
}

/// What an owner is to be told, as far as it decides whether they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The run that found the keys.
    pub run_id: RunId,
    /// The day (UTC) at which the keys were judged.
    pub as_of_date: NaiveDate,
    /// How many stages the oldest key has reached.
    pub stage: u32,
    /// The stale keys.
    pub key_ids: Vec<AccessKeyId>,
    /// The mailbox. None where it is not known yet, and in entries of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxHash>,
}

/// Tells one mailbox from another, so that the ledger need not hold addresses: half of the SHA-256 of the
/// address in lower case. Anybody who knows an address can tell whether it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxHash(String);

/// Somebody's right to mail the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Random, and on the mail: only its holder marks or releases it, and SES's events tell which mail they are about.
    pub id: ClaimId,
    /// When others may take the claim over.
    pub lease_until: DateTime<Utc>,
    /// How many claims in a row were taken over before this one.
    #[serde(default)]
    pub unknown_before: u32,
    /// What the mail is about.
    pub notice: Notice,
}

/// A reminder that SES took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The claim it was sent under.
    pub claim_id: ClaimId,
    /// When that was known.
    pub sent_at: DateTime<Utc>,
    /// What it was about.
    pub notice: Notice,
}

/// A reminder that SES took and could not deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReached {
    /// Why.
    pub reason: NotReachedReason,
    /// When SES said so.
    pub at: DateTime<Utc>,
}

/// Why a reminder did not reach its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReachedReason {
    /// The address does not exist or is on the suppression list, or its server refuses such mail for good.
    Bounce,
    /// The owner marked it as spam, which stops further mail.
    Complaint,
    /// SES found something in it and did not send it.
    Reject,
}

/// What SES tells about a mail it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SesEvent {
    /// It took the mail.
    Send,
    /// It took the mail, and the owner did not get it.
    NotReached(NotReachedReason),
}

/// The rules of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerRules {
    /// How many days lie between two reminders about the same keys.
    pub remind_every_days: NonZeroU32,
    /// How long a claim is respected. Longer than any function lives, so that its holder is done or dead.
    pub lease: TimeDelta,
    /// How long a claim is respected from when SES's answer was lost: time for SES's event to tell.
    pub unknown_lease: TimeDelta,
}

/// What asking for a claim comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Claiming {
    /// The owner was told already.
    NotDue,
    /// Somebody else is mailing the owner, or may have; ask again then.
    Held {
        /// When the claim's lease ends.
        until: DateTime<Utc>,
    },
    /// The claim is one's own already: it was written, and the answer was lost.
    Mine,
    /// The entry with the claim, to be written.
    Free(Entry),
}

impl Notice {
    /// What `finding` asks to tell, by a mail to `to`.
    #[must_use]
    pub fn of(finding: &StaleKeys, to: &EmailAddress) -> Self {
        let about = Self::about(&finding.run, finding.stage, &finding.keys);
        Self { mailbox: Some(MailboxHash::of(to)), ..about }
    }

    /// What a run reports about these keys. The mailbox is not known yet.
    #[must_use]
    pub fn about(run: &Run, stage: u32, keys: &[StaleKey]) -> Self {
        Self {
            run_id: run.run_id.clone(),
            as_of_date: run.as_of.date_naive(),
            stage,
            key_ids: keys.iter().map(|key| key.id.clone()).collect(),
            mailbox: None,
        }
    }

    /// Whether this is to be told after `last` was. Dates are compared, never instants: a run that is an hour early
    /// must not turn 7 days into 8.
    fn is_due_after(&self, last: &Self, remind_every_days: NonZeroU32) -> bool {
        let days = (self.as_of_date - last.as_of_date).num_days();
        let other_keys = || self.key_ids.iter().all(|id| !last.key_ids.contains(id));
        days > 0 && (self.stage > last.stage || other_keys() || days >= i64::from(remind_every_days.get()))
    }
}

impl MailboxHash {
    /// The hash of `address`.
    #[must_use]
    pub fn of(address: &EmailAddress) -> Self {
        let hash = Sha256::digest(address.as_str().to_lowercase());
        let half = hash[..16].iter().fold(0_u128, |half, byte| half << 8 | u128::from(*byte));
        Self(format!("{half:032x}"))
    }
}

impl Claim {
    /// How long to respect the claim if SES's answer is lost now. Each time in a row twice as long, so that an owner does
    /// not get mail after mail while SES's answers are lost.
    #[must_use]
    pub fn unknown_until(&self, now: DateTime<Utc>, rules: &LedgerRules) -> DateTime<Utc> {
        now + rules.unknown_lease * (1 << self.unknown_before.min(MAX_DOUBLINGS))
    }
}

impl Entry {
    /// The entry without what cannot be true at `now`, and whether there was any: mails dated ahead of the clock, and a claim that
    /// lasts longer than any. Such an entry was written by somebody else, and would keep its owner from being told for ever.
    /// Testbeds judge keys `at_any_date`, and date their mails so.
    #[must_use]
    pub fn without_implausible(self, now: DateTime<Utc>, at_any_date: bool) -> (Self, bool) {
        let last_day = now.checked_add_signed(AHEAD_MAX).unwrap_or(DateTime::<Utc>::MAX_UTC).date_naive();
        let is_plausible = |sent: &Sent| at_any_date || sent.notice.as_of_date <= last_day;
        let is_possible = |claim: &Claim| claim.lease_until.signed_duration_since(now) <= LONGEST_LEASE;
        let history: Vec<Sent> = self.history.iter().filter(|sent| is_plausible(sent)).cloned().collect();
        let claim = self.claim.clone().filter(is_possible);
        let is_changed = history.len() < self.history.len() || claim.is_some() != self.claim.is_some();
        (Self { claim, history, ..self }, is_changed)
    }

    /// Whether `notice` is due, judged by the last mail to the owner. A notice that has no mailbox yet counts
    /// as due if any mailbox could make it due.
    #[must_use]
    pub fn is_due(&self, notice: &Notice, remind_every_days: NonZeroU32) -> bool {
        self.history.first().is_none_or(|last| {
            notice.is_due_after(&last.notice, remind_every_days) || self.is_repaired(notice, &last.notice)
        })
    }

    /// Whether the `last` mail did not reach the owner and `notice` goes to another mailbox. Such a mail is
    /// due at once.
    ///
    /// The exception is a mailbox that Keynudge mailed on the same date. Otherwise, where two addresses both
    /// bounce, findings that SQS delivers twice would mail the two in turn.
    fn is_repaired(&self, notice: &Notice, last: &Notice) -> bool {
        let was_mailed = |sent: &Sent| {
            sent.notice.as_of_date == notice.as_of_date && sent.notice.mailbox == notice.mailbox
        };
        self.not_reached.is_some()
            && notice.as_of_date >= last.as_of_date
            && last.mailbox.is_some()
            && last.mailbox != notice.mailbox
            && !self.history.iter().any(was_mailed)
    }

    /// Asks for the right to tell the owner of `notice`. A claim whose lease ended is taken over, and counts as one
    /// unknown outcome: its holder may have died on either side of SES's answer.
    #[must_use]
    pub fn claim(&self, notice: &Notice, id: &ClaimId, now: DateTime<Utc>, rules: &LedgerRules) -> Claiming {
        if !self.is_due(notice, rules.remind_every_days) {
            return Claiming::NotDue;
        }
        match &self.claim {
            Some(claim) if claim.lease_until > now && claim.id == *id => return Claiming::Mine,
            Some(claim) if claim.lease_until > now => return Claiming::Held { until: claim.lease_until },
            _ => {}
        }
        let unknown_before = self.claim.as_ref().map_or(0, |claim| claim.unknown_before.saturating_add(1));
        // In seconds, since a cadence may be millions of years long and end at no date that chrono has.
        let kept_from = now.max(notice.as_of_date.and_time(NaiveTime::MIN).and_utc()).timestamp();
        let two_cadences = TimeDelta::days(2 * i64::from(rules.remind_every_days.get()));
        Claiming::Free(Self {
            claim: Some(Claim {
                id: id.clone(),
                lease_until: now + rules.lease,
                unknown_before,
                notice: notice.clone(),
            }),
            takeovers: self.takeovers.saturating_add(self.claim.is_some().into()),
            expires_at: kept_from + (KEPT_FOR + two_cadences).num_seconds(),
            ..self.next()
        })
    }

    /// SES took the mail of claim `id`. `None` if that claim is not the current one: it was marked already, or taken
    /// over.
    #[must_use]
    pub fn mark_sent(&self, id: &ClaimId, now: DateTime<Utc>) -> Option<Self> {
        let claim = self.claim_of(id)?;
        let sent = Sent { claim_id: id.clone(), sent_at: now, notice: claim.notice.clone() };
        let history = [sent].into_iter().chain(self.history.iter().cloned()).take(MAX_HISTORY).collect();
        Some(Self { claim: None, history, not_reached: None, ..self.next() })
    }

    /// SES certainly did not take the mail of claim `id`: somebody may claim the owner at once.
    #[must_use]
    pub fn release(&self, id: &ClaimId) -> Option<Self> {
        self.claim_of(id).map(|_| Self { claim: None, ..self.next() })
    }

    /// Nobody knows whether SES took the mail of claim `id`: its lease is prolonged, so that SES's event can tell.
    #[must_use]
    pub fn prolong(&self, id: &ClaimId, until: DateTime<Utc>) -> Option<Self> {
        let claim = Claim { lease_until: until, ..self.claim_of(id)?.clone() };
        Some(Self { claim: Some(claim), ..self.next() })
    }

    /// SES tells about the mail of claim `id`: any of its events proves that it took the mail. `None` if that changes
    /// nothing, as with an event that comes twice.
    #[must_use]
    pub fn hear(&self, id: &ClaimId, event: SesEvent, at: DateTime<Utc>) -> Option<Self> {
        let marked = self.mark_sent(id, at);
        let SesEvent::NotReached(reason) = event else {
            return marked;
        };
        let entry = marked.unwrap_or_else(|| self.next());
        let is_last = entry.history.first().is_some_and(|last| last.claim_id == *id);
        (is_last && entry.not_reached.is_none())
            .then_some(Self { not_reached: Some(NotReached { reason, at }), ..entry })
    }

    fn claim_of(&self, id: &ClaimId) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.id == *id)
    }

    fn next(&self) -> Self {
        Self { revision: self.revision + 1, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn rules() -> LedgerRules {
        LedgerRules {
            remind_every_days: 7.try_into().unwrap(),
            lease: TimeDelta::seconds(60),
            unknown_lease: TimeDelta::minutes(15),
        }
    }

    fn id(name: &str) -> ClaimId {
        name.parse().unwrap()
    }

    fn notice(day: i64, stage: u32, keys: &[&str]) -> Notice {
        let at = now() + TimeDelta::days(day);
        let key = |key: &&str| format!("AKIA{key:0>16}").parse().unwrap();
        Notice {
            run_id: RunId::of(at, false),
            as_of_date: at.date_naive(),
            stage,
            key_ids: keys.iter().map(key).collect(),
            mailbox: Some(mailbox("jane@example.com")),
        }
    }

    fn mailbox(address: &str) -> MailboxHash {
        MailboxHash::of(&address.parse().unwrap())
    }

    fn to(address: &str, notice: Notice) -> Notice {
        Notice { mailbox: Some(mailbox(address)), ..notice }
    }

    fn claimed(entry: &Entry, notice: &Notice, name: &str, now: DateTime<Utc>) -> Entry {
        match entry.claim(notice, &id(name), now, &rules()) {
            Claiming::Free(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    /// An entry whose owner was told on day 0 of stage 1 of the key A.
    fn told() -> Entry {
        claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now()).mark_sent(&id("a"), now()).unwrap()
    }

    fn is_due(entry: &Entry, notice: &Notice) -> bool {
        entry.claim(notice, &id("b"), now(), &rules()) != Claiming::NotDue
    }

    #[test]
    fn an_owner_who_was_never_told_is_due() {
        assert!(is_due(&Entry::default(), &notice(0, 1, &["A"])));
    }

    #[test]
    fn the_same_keys_are_due_when_the_cadence_has_passed_and_not_before() {
        for (day, due) in [(-1, false), (0, false), (1, false), (6, false), (7, true), (30, true)] {
            assert_eq!(is_due(&told(), &notice(day, 1, &["A"])), due, "day {day}");
        }
    }

    #[test]
    fn dates_are_compared_and_not_instants() {
        let mut early = notice(7, 1, &["A"]);
        early.as_of_date = (now() + TimeDelta::days(7) - TimeDelta::hours(6)).date_naive();
        assert!(is_due(&told(), &early), "six hours early is still a week later");
    }

    #[test]
    fn a_higher_stage_is_due_the_next_day_but_not_the_same_day() {
        assert!(is_due(&told(), &notice(1, 2, &["A"])));
        assert!(!is_due(&told(), &notice(0, 2, &["A"])));
        assert!(!is_due(&told(), &notice(1, 0, &["A"])), "a lower stage");
    }

    #[test]
    fn other_keys_are_due_the_next_day_unless_one_was_told_of() {
        assert!(is_due(&told(), &notice(1, 1, &["B"])));
        assert!(!is_due(&told(), &notice(1, 1, &["A", "B"])));
        assert!(!is_due(&told(), &notice(0, 1, &["B"])));
    }

    #[test]
    fn a_live_claim_is_respected_and_its_end_named() {
        let notice = notice(0, 1, &["A"]);
        let held = claimed(&Entry::default(), &notice, "a", now());
        let until = now() + TimeDelta::seconds(60);
        let ask = |name, at| held.claim(&notice, &id(name), at, &rules());
        assert_eq!(ask("b", now()), Claiming::Held { until });
        assert_eq!(ask("b", until - TimeDelta::milliseconds(1)), Claiming::Held { until });
        assert_eq!(ask("a", now()), Claiming::Mine);
        let Claiming::Free(taken_over) = ask("b", until) else { panic!("the lease has ended") };
        assert_eq!((taken_over.takeovers, taken_over.claim.unwrap().id), (1, id("b")));
    }

    #[test]
    fn a_claim_whose_lease_ended_is_nobodys_own() {
        let notice = notice(0, 1, &["A"]);
        let held = claimed(&Entry::default(), &notice, "a", now());
        let late = held.claim(&notice, &id("a"), now() + TimeDelta::seconds(60), &rules());
        assert!(matches!(late, Claiming::Free(entry) if entry.takeovers == 1));
    }

    #[test]
    fn a_released_claim_is_free_and_no_unknown_outcome() {
        let notice = notice(0, 1, &["A"]);
        let released = claimed(&Entry::default(), &notice, "a", now()).release(&id("a")).unwrap();
        assert_eq!(claimed(&released, &notice, "b", now()).takeovers, 0);
    }

    #[test]
    fn a_prolonged_claim_is_held_for_longer() {
        let notice = notice(0, 1, &["A"]);
        let until = now() + TimeDelta::minutes(15);
        let held = claimed(&Entry::default(), &notice, "a", now()).prolong(&id("a"), until).unwrap();
        let ask = held.claim(&notice, &id("b"), now() + TimeDelta::minutes(14), &rules());
        assert_eq!(ask, Claiming::Held { until });
    }

    #[test]
    fn while_answers_are_lost_again_and_again_an_owner_is_mailed_less_and_less_often() {
        let notice = notice(0, 1, &["A"]);
        let mut entry = Entry::default();
        let mut now = now();
        let mut waits = Vec::new();
        for attempt in 0..9 {
            let name = format!("c{attempt}");
            entry = claimed(&entry, &notice, &name, now);
            let until = entry.claim.as_ref().unwrap().unknown_until(now, &rules());
            entry = entry.prolong(&id(&name), until).unwrap();
            waits.push((until - now).num_minutes());
            now = until;
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 960, 960]);
        let settled = entry.mark_sent(&id("c8"), now).unwrap();
        let again = claimed(&settled, &self::notice(7, 1, &["A"]), "d", now);
        assert_eq!(again.claim.unwrap().unknown_before, 0, "an answer in between");
    }

    #[test]
    fn only_the_holder_of_a_claim_marks_releases_or_prolongs_it() {
        let held = claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now());
        assert_eq!(held.mark_sent(&id("b"), now()), None);
        assert_eq!(held.release(&id("b")), None);
        assert_eq!(held.prolong(&id("b"), now()), None);
        assert_eq!(told().mark_sent(&id("a"), now()), None, "marked already");
    }

    #[test]
    fn the_history_is_newest_first_and_bounded() {
        let mut entry = Entry::default();
        for week in 0..30 {
            let claim = format!("c{week}");
            entry = claimed(&entry, &notice(7 * week, 1, &["A"]), &claim, now());
            entry = entry.mark_sent(&id(&claim), now()).unwrap();
        }
        assert_eq!(entry.history.len(), MAX_HISTORY);
        assert_eq!((&entry.history[0].claim_id, &entry.history[23].claim_id), (&id("c29"), &id("c6")));
    }

    #[test]
    fn an_entry_outlives_two_cadences_by_a_year() {
        let entry = claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now());
        assert_eq!(
            entry.expires_at,
            (now().date_naive() + TimeDelta::days(414)).and_hms_opt(6, 0, 0).unwrap().and_utc().timestamp()
        );
        let ahead = claimed(&Entry::default(), &notice(1_000, 1, &["A"]), "a", now());
        assert_eq!((ahead.expires_at - now().timestamp()) / 86_400, 1_413, "counted from the run's own date");
    }

    #[test]
    fn no_setting_is_too_large_for_a_claim() {
        let largest = NonZeroU32::MAX;
        let lease = TimeDelta::seconds(largest.get().into());
        let rules = LedgerRules { remind_every_days: largest, lease, unknown_lease: lease };
        let mut last_day = notice(0, 1, &["A"]);
        last_day.as_of_date = "9999-12-31".parse().unwrap();
        let free = Entry::default().claim(&last_day, &id("a"), now(), &rules);
        let Claiming::Free(mut entry) = free else { panic!("{free:?}") };
        assert!(entry.expires_at > now().timestamp());
        let claim = entry.claim.as_mut().unwrap();
        claim.unknown_before = u32::MAX;
        assert!(claim.unknown_until(now(), &rules) > now());
        let taken_over = entry.claim(&last_day, &id("b"), now() + lease + lease, &rules);
        assert!(matches!(taken_over, Claiming::Free(_)), "{taken_over:?}");
    }

    #[test]
    fn ses_saying_that_it_took_a_mail_settles_the_claim() {
        let held = claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now());
        let settled = held.hear(&id("a"), SesEvent::Send, now()).unwrap();
        assert_eq!((settled.claim.as_ref(), settled.history.len()), (None, 1));
        assert_eq!(settled.hear(&id("a"), SesEvent::Send, now()), None, "said twice");
        assert_eq!(held.hear(&id("b"), SesEvent::Send, now()), None, "about another mail");
    }

    #[test]
    fn an_owner_who_was_not_reached_is_one_until_the_next_mail() {
        let bounce = SesEvent::NotReached(NotReachedReason::Bounce);
        let held = claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now());
        let bounced = held.hear(&id("a"), bounce, now()).unwrap();
        assert_eq!(bounced.history.len(), 1, "a mail that bounced was taken");
        assert_eq!(bounced.not_reached, Some(NotReached { reason: NotReachedReason::Bounce, at: now() }));
        assert_eq!(bounced.hear(&id("a"), bounce, now()), None, "said twice");
        assert_eq!(told().hear(&id("other"), bounce, now()), None, "about an earlier mail");
        let again = claimed(&bounced, &notice(7, 1, &["A"]), "b", now());
        assert!(again.not_reached.is_some());
        assert_eq!(again.mark_sent(&id("b"), now()).unwrap().not_reached, None);
    }

    #[test]
    fn a_bounce_of_an_earlier_mail_says_nothing_of_the_one_that_was_sent_since() {
        let second = claimed(&told(), &notice(7, 1, &["A"]), "b", now()).mark_sent(&id("b"), now()).unwrap();
        assert_eq!(second.history.len(), 2);
        for reason in [NotReachedReason::Bounce, NotReachedReason::Complaint, NotReachedReason::Reject] {
            assert_eq!(second.hear(&id("a"), SesEvent::NotReached(reason), now()), None);
            assert!(second.hear(&id("b"), SesEvent::NotReached(reason), now()).is_some());
        }
    }

    /// The same owner, whose mail bounced.
    fn bounced() -> Entry {
        told().hear(&id("a"), SesEvent::NotReached(NotReachedReason::Bounce), now()).unwrap()
    }

    #[test]
    fn an_owner_whose_mail_bounced_is_due_at_once_at_another_mailbox() {
        for (days, due) in [(-1, false), (0, true), (1, true), (6, true)] {
            let repaired = to("jane.doe@example.com", notice(days, 1, &["A"]));
            assert_eq!(is_due(&bounced(), &repaired), due, "day {days}");
            assert!(!is_due(&told(), &repaired), "the mail arrived");
        }
        assert!(!is_due(&bounced(), &notice(1, 1, &["A"])), "the same mailbox");
        assert!(
            !is_due(&bounced(), &to("JANE@Example.com", notice(1, 1, &["A"]))),
            "no other for its spelling"
        );
        let unknown = Notice { mailbox: None, ..notice(0, 1, &["A"]) };
        assert!(bounced().is_due(&unknown, rules().remind_every_days), "it may be another one");
        assert!(!told().is_due(&unknown, rules().remind_every_days));
    }

    #[test]
    fn a_mail_to_a_mailbox_that_is_not_known_any_more_waits_for_the_cadence() {
        let mut entry = bounced();
        entry.history[0].notice.mailbox = None;
        assert!(!is_due(&entry, &to("jane.doe@example.com", notice(1, 1, &["A"]))));
        assert!(is_due(&entry, &to("jane.doe@example.com", notice(7, 1, &["A"]))));
    }

    #[test]
    fn no_mailbox_is_mailed_twice_on_a_date_however_many_bounce() {
        let second = to("jane.doe@example.com", notice(0, 1, &["A"]));
        let entry = claimed(&bounced(), &second, "b", now()).mark_sent(&id("b"), now()).unwrap();
        assert!(!is_due(&entry, &notice(0, 1, &["A"])), "the second mail arrived");
        let entry = entry.hear(&id("b"), SesEvent::NotReached(NotReachedReason::Complaint), now()).unwrap();
        assert!(!is_due(&entry, &notice(0, 1, &["A"])), "the first finding, delivered again");
        assert!(!is_due(&entry, &second));
        assert!(is_due(&entry, &to("j.doe@example.com", notice(0, 1, &["A"]))), "a third mailbox");
        assert!(is_due(&entry, &notice(1, 1, &["A"])), "the first mailbox on the next date");
    }

    #[test]
    fn the_ledger_holds_no_address() {
        let entry = serde_json::to_string(&told()).unwrap();
        assert!(
            !entry.contains('@') && entry.contains("\"mailbox\":\"8c87b489ce35cf2e2f39f80e282cb2e8\""),
            "{entry}"
        );
    }

    #[test]
    fn every_step_is_the_next_revision() {
        let held = claimed(&Entry::default(), &notice(0, 1, &["A"]), "a", now());
        let bounced = held.hear(&id("a"), SesEvent::NotReached(NotReachedReason::Bounce), now());
        let steps =
            [held.mark_sent(&id("a"), now()), held.release(&id("a")), held.prolong(&id("a"), now()), bounced];
        assert_eq!(held.revision, 1);
        assert!(steps.iter().all(|step| step.as_ref().unwrap().revision == 2));
    }

    /// By hand, or by a live run that judged keys years ahead.
    #[test]
    fn an_entry_that_cannot_be_true_silences_nobody() {
        let sent = |days| Sent { claim_id: id("a"), sent_at: now(), notice: notice(days, 1, &["1"]) };
        let claim = |lease| Claim {
            id: id("b"),
            lease_until: now() + lease,
            unknown_before: 0,
            notice: notice(0, 1, &["1"]),
        };
        let entry = |days, lease| Entry {
            history: vec![sent(days), sent(-7)],
            claim: Some(claim(lease)),
            ..Entry::default()
        };
        let kept = entry(2, TimeDelta::hours(24));
        assert_eq!(kept.clone().without_implausible(now(), false), (kept, false));
        let (ahead, is_changed) = entry(3, TimeDelta::hours(24)).without_implausible(now(), false);
        assert_eq!((ahead.history, is_changed), (vec![sent(-7)], true));
        let ahead = entry(3, TimeDelta::hours(24));
        assert_eq!(ahead.clone().without_implausible(now(), true), (ahead, false), "a testbed");
        let (claimed, is_changed) = entry(0, TimeDelta::hours(25)).without_implausible(now(), true);
        assert_eq!((claimed.claim, is_changed), (None, true));
    }

    #[test]
    fn a_revision_that_has_no_next_one_is_unreadable() {
        let read =
            |revision: u64| serde_json::from_value::<Entry>(serde_json::json!({ "revision": revision }));
        assert!(read(1_000_000).is_ok());
        for revision in [u64::MAX / 2, u64::MAX] {
            assert!(read(revision).is_err(), "{revision}");
        }
    }

    proptest! {
        /// An entry may say anything. An owner of stale keys is still told within one cadence, and the days that a run may be
        /// ahead.
        #[test]
        fn whatever_an_entry_says_its_owner_is_told_in_time(
            mails in proptest::collection::vec((-4_000_i64..2_000_000, 0_u32..5), 0..4),
            lease in proptest::option::of(-100_000_i64..100_000_000),
            not_reached in any::<bool>(),
        ) {
            let sent = |(days, stage)| Sent { claim_id: id("a"), sent_at: now(), notice: notice(days, stage, &["1"]) };
            let entry = Entry {
                history: mails.into_iter().map(sent).collect(),
                claim: lease.map(|minutes| Claim {
                    id: id("b"),
                    lease_until: now() + TimeDelta::minutes(minutes),
                    unknown_before: 0,
                    notice: notice(0, 1, &["1"]),
                }),
                not_reached: not_reached.then_some(NotReached { reason: NotReachedReason::Bounce, at: now() }),
                ..Entry::default()
            };
            let days_until_due = AHEAD_MAX.num_days() + 7;
            let (entry, _) = entry.without_implausible(now(), false);
            let later = now() + TimeDelta::days(days_until_due);
            let claimed = entry.claim(&notice(days_until_due, 1, &["1"]), &id("c"), later, &rules());
            prop_assert!(matches!(claimed, Claiming::Free(_)), "{claimed:?}");
        }
    }
}
