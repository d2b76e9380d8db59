//! Writes one event of SES per record into the ledger.
//!
//! Safe to repeat, and in any order: an event only changes the entry whose current claim or last mail it names, and an
//! entry that it has changed is not changed by it again. So SNS and SQS may deliver it any number of times, before or
//! after the claim's own function could mark it, and a function may die before or after the write. What a crash after
//! the write costs is one count, never the fact.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::NaiveTime;
use keynudge_core::feedback::Feedback;
use keynudge_core::ids::ClaimId;
use keynudge_core::ledger::{Entry, SesEvent};
use keynudge_core::messages::{Mode, Run, Version};
use keynudge_core::ports::{DeadLetters, Ledger, MailCounters, Owner, Redelivery, RunRecords, WriteFailed};
use keynudge_core::retry::WaitFor;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Reason, Source, TIME_TO_ANSWER};
use lambda_runtime::Error;

/// Events of one batch that are heard at a time: all of them. No two have anything in common but the table.
const EVENTS_AT_A_TIME: usize = 10;

/// For reading and writing the ledger. An event is started only with this much time left, and that to answer SQS.
const TIME_FOR_THE_LEDGER: Duration = Duration::from_secs(2);

/// How often an entry is read again because somebody else wrote it. An owner has one mail at a time, and few events.
const MAX_TRIES: usize = 5;

/// Feedback, over its ports.
pub(crate) struct Listener<D, L, R, C> {
    pub(crate) ledger: D,
    pub(crate) source: Source<L, R, C>,
}

impl<D, L, R, C> Listener<D, L, R, C>
where
    D: Ledger,
    L: DeadLetters,
    R: Redelivery,
    C: RunRecords + MailCounters,
{
    /// Hears the events of a batch. The answer tells SQS which records are not done.
    pub(crate) async fn handle(
        &self,
        event: SqsEvent,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<SqsBatchResponse, Error> {
        let events = records::read_with(event, Feedback::read)?;
        metrics.add(Metric::SesEvents, events.len());
        let task = async |feedback| self.hear(feedback, metrics).await;
        let time_for_one = TIME_TO_ANSWER + TIME_FOR_THE_LEDGER;
        let heard = records::work(events, EVENTS_AT_A_TIME, deadline, time_for_one, task).await;
        Ok(records::respond(heard, &self.source, deadline, metrics).await)
    }

    async fn hear(&self, feedback: Feedback, metrics: &Metrics) -> Result<(), Failure> {
        match feedback {
            Feedback::Reminder { owner, claim_id, event } => {
                if let Some((before, after)) = self.write(&owner, &claim_id, event).await? {
                    conclude(&owner, event, &before, &after, metrics);
                    self.count_not_reached(event, &after, metrics).await;
                }
            }
            Feedback::UntaggedNotReached { message_id } => {
                metrics.count(Metric::OwnersNotReached);
                let ses_message_id = message_id.as_str();
                tracing::warn!(outcome = "not_reached", ses_message_id, "a mail without tags reached nobody");
            }
            Feedback::Nothing => {}
        }
        Ok(())
    }

    /// Counts a mail that reached nobody among those of its day, which stop further mails when they are too many.
    async fn count_not_reached(&self, event: SesEvent, after: &Entry, metrics: &Metrics) {
        let (SesEvent::NotReached(_), Some(mail)) = (event, after.history.first()) else { return };
        if let Err(error) = self.source.run_records.mail_not_reached(mail.sent_at.date_naive()).await {
            metrics.count(Metric::CountsNotRecorded);
            tracing::warn!(%error, "missing among the day's mails that reached nobody");
        }
    }

    /// Writes what SES says into the owner's entry. Returns the entry before and after, unless that changes nothing: it
    /// was heard already, is about an earlier mail, or the ledger knows nothing of it.
    async fn write(
        &self,
        owner: &Owner,
        claim_id: &ClaimId,
        event: SesEvent,
    ) -> Result<Option<(Entry, Entry)>, Failure> {
        let at = (self.source.clock)();
        let mut refused: Option<(Entry, Entry)> = None;
        for _ in 0..MAX_TRIES {
            let before = self.ledger.read(owner).await?;
            if refused.as_ref().is_some_and(|(_, after)| *after == before) {
                // It was not refused: it was done, the answer was lost, and its repetition was refused.
                return Ok(refused);
            }
            let Some(after) = before.hear(claim_id, event, at) else { return Ok(None) };
            match self.ledger.write(owner, &after).await {
                Ok(()) => return Ok(Some((before, after))),
                Err(WriteFailed::Conflict) => refused = Some((before, after)),
                Err(WriteFailed::Call(error)) => return Err(error.into()),
            }
        }
        Err(Failure::GiveBack(Reason::new("entry_contended", ""), WaitFor::Service))
    }
}

/// Counts and logs what an event has changed.
fn conclude(owner: &Owner, event: SesEvent, before: &Entry, after: &Entry, metrics: &Metrics) {
    // Any event is about the last mail, or it would have changed nothing.
    let Some(mail) = after.history.first() else { return };
    let run = Run {
        v: Version,
        run_id: mail.notice.run_id.clone(),
        // Of the instant, an entry keeps the day. The run's record says it to the second already.
        as_of: mail.notice.as_of_date.and_time(NaiveTime::MIN).and_utc(),
        // A dry run has no mails.
        mode: Mode::Live,
    };
    let count_and_log = |metric, outcome| {
        metrics.count_in(&run, &owner.account_id, metric);
        tracing::info!(
            outcome,
            run_id = run.run_id.as_str(),
            account_id = owner.account_id.as_str(),
            user_id = owner.user_id.as_str(),
            "{outcome}"
        );
    };
    if before.claim.is_some() && after.claim.is_none() {
        count_and_log(Metric::ClaimsSettledByEvent, "settled_by_event");
    }
    if let SesEvent::NotReached(_) = event {
        count_and_log(Metric::OwnersNotReached, "not_reached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;

    use chrono::TimeDelta;
    use keynudge_core::failure::{CallFailed, FailureClass};
    use keynudge_core::ledger::{Claim, Claiming, LedgerRules, NotReachedReason, Notice};
    use keynudge_core::ports::Book;
    use keynudge_core::ports::LedgerReader;
    use keynudge_testing::{
        ACCOUNT, Fate, LedgerCall, MemoryDeadLetters, MemoryLedger, MemoryRedelivery, MemoryRunRecords,
        event, given_back, no_time, now, plenty_of_time, run, source, user,
    };
    use serde_json::{Value, json};

    type TestListener<D> = Listener<D, MemoryDeadLetters, MemoryRedelivery, MemoryRunRecords>;

    fn listener<D>(ledger: D) -> TestListener<D> {
        Listener { ledger, source: source() }
    }

    fn owner(name: &str, book: Book) -> Owner {
        Owner { account_id: ACCOUNT.parse().unwrap(), user_id: user(name).id, book }
    }

    fn jane() -> Owner {
        owner("jane", Book::Live)
    }

    /// An entry whose claim `id` waits for SES's answer.
    fn claimed(entry: &Entry, id: &str, days: i64) -> Entry {
        let rules = LedgerRules {
            remind_every_days: 7.try_into().unwrap(),
            lease: TimeDelta::seconds(60),
            unknown_lease: TimeDelta::minutes(15),
        };
        let notice = Notice {
            run_id: run().run_id,
            as_of_date: now().date_naive() + TimeDelta::days(days),
            stage: 1,
            key_ids: vec!["AKIAIOSFODNN7EXAMPLE".parse().unwrap()],
            mailbox: None,
        };
        match entry.claim(&notice, &id.parse().unwrap(), now() + TimeDelta::days(days), &rules) {
            Claiming::Free(entry) => entry,
            other => panic!("{other:?}"),
        }
    }

    /// An entry whose claim `id` was marked by its own function.
    fn marked(id: &str) -> Entry {
        claimed(&Entry::default(), id, 0).mark_sent(&id.parse().unwrap(), now()).unwrap()
    }

    fn ledger_with(entry: Entry) -> MemoryLedger {
        let ledger = MemoryLedger::default();
        ledger.put(jane(), entry);
        ledger
    }

    /// What SES says of the mail about `owner` that was sent under the claim `id`.
    fn ses(kind: &str, owner: &Owner, id: &str) -> Value {
        json!({
            "eventType": kind,
            "bounce": {"bounceType": "Permanent", "bounceSubType": "General"},
            "complaint": {},
            "mail": {
                "messageId": "0100-0000", "destination": ["jane@example.com"],
                "tags": {
                    "account_id": [owner.account_id.as_str()], "user_id": [owner.user_id.as_str()],
                    "claim_id": [id], "ledger": [owner.book.as_str()]
                }
            }
        })
    }

    fn about_jane(kind: &str, id: &str) -> String {
        ses(kind, &jane(), id).to_string()
    }

    /// The ids of the records given back, and the counts.
    async fn handle<D: Ledger>(listener: &TestListener<D>, bodies: &[String]) -> (Vec<String>, Metrics) {
        let metrics = Metrics::default();
        let response = listener.handle(event(bodies), plenty_of_time(), &metrics).await.unwrap();
        (given_back(&response).into_iter().map(str::to_owned).collect(), metrics)
    }

    /// Events heard, claims settled, owners not reached.
    fn counts(metrics: &Metrics) -> [u64; 3] {
        [Metric::SesEvents, Metric::ClaimsSettledByEvent, Metric::OwnersNotReached]
            .map(|metric| metrics.get(metric))
    }

    fn recorded<D>(listener: &TestListener<D>, name: &str) -> u64 {
        listener.source.run_records.get(&run(), name)
    }

    #[tokio::test]
    async fn a_mail_that_ses_took_settles_a_claim_whose_outcome_was_unknown() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let (given_back, metrics) = handle(&listener, &[about_jane("Send", "a")]).await;
        assert!(given_back.is_empty());
        let entry = listener.ledger.entry(&jane());
        assert_eq!((entry.claim, entry.takeovers, entry.history.len()), (None, 0, 1));
        assert_eq!((entry.history[0].claim_id.as_str(), entry.history[0].sent_at), ("a", now()));
        assert_eq!(counts(&metrics), [1, 1, 0]);
        assert_eq!(recorded(&listener, "ClaimsSettledByEvent"), 1);
    }

    #[tokio::test]
    async fn a_mail_that_was_marked_already_changes_nothing() {
        let listener = listener(ledger_with(marked("a")));
        let (given_back, metrics) = handle(&listener, &[about_jane("Send", "a")]).await;
        assert_eq!((given_back.len(), listener.ledger.entry(&jane())), (0, marked("a")));
        assert_eq!(counts(&metrics), [1, 0, 0]);
    }

    #[tokio::test]
    async fn an_owner_whose_mail_bounced_is_not_reached_and_operators_see_it() {
        for (kind, reason) in [
            ("Bounce", NotReachedReason::Bounce),
            ("Complaint", NotReachedReason::Complaint),
            ("Reject", NotReachedReason::Reject),
        ] {
            let listener = listener(ledger_with(marked("a")));
            let (_, metrics) = handle(&listener, &[about_jane(kind, "a")]).await;
            let not_reached = listener.ledger.entry(&jane()).not_reached.unwrap();
            assert_eq!((not_reached.reason, not_reached.at), (reason, now()));
            assert_eq!(counts(&metrics), [1, 0, 1]);
            assert_eq!(recorded(&listener, "OwnersNotReached"), 1);
            let of_the_day = listener.source.run_records.mails_of(now().date_naive());
            assert_eq!(of_the_day.not_reached_today, 1, "what stops further mails");
        }
    }

    #[tokio::test]
    async fn a_bounce_that_comes_before_the_claim_is_marked_settles_it_too() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let (_, metrics) = handle(&listener, &[about_jane("Bounce", "a")]).await;
        let entry = listener.ledger.entry(&jane());
        assert_eq!((entry.claim, entry.history.len(), entry.not_reached.is_some()), (None, 1, true));
        assert_eq!(counts(&metrics), [1, 1, 1]);
    }

    #[tokio::test]
    async fn events_that_come_again_or_in_another_order_count_once() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let (bounce, send) = (about_jane("Bounce", "a"), about_jane("Send", "a"));
        let (given_back, metrics) =
            handle(&listener, &[bounce.clone(), send.clone(), bounce.clone(), send]).await;
        assert!(given_back.is_empty());
        assert_eq!(counts(&metrics), [4, 1, 1]);
        assert_eq!(listener.ledger.entry(&jane()).history.len(), 1);
        assert_eq!(counts(&handle(&listener, &[bounce]).await.1), [1, 0, 0]);
    }

    #[tokio::test]
    async fn an_event_about_another_mail_touches_no_claim() {
        let entry = claimed(&marked("a"), "b", 7);
        let listener = listener(ledger_with(entry.clone()));
        for (kind, id) in [("Send", "a"), ("Send", "z"), ("Bounce", "z")] {
            let (given_back, metrics) = handle(&listener, &[about_jane(kind, id)]).await;
            assert_eq!((given_back.len(), counts(&metrics)), (0, [1, 0, 0]), "{kind} {id}");
        }
        assert_eq!(listener.ledger.entry(&jane()), entry);
    }

    /// What SES published for real mails; here about jane's mail under the claim `a`.
    fn seen(case: &str) -> String {
        let file = format!("{}/../../shared/core/src/feedback/cases/{case}.json", env!("CARGO_MANIFEST_DIR"));
        let event = fs::read_to_string(file).unwrap();
        event.replace("AIDAAAAAAAAAAAAAAAAA", jane().user_id.as_str()).replace("0123456789abcdef", "a")
    }

    #[tokio::test]
    async fn an_owner_whose_address_does_not_exist_is_not_reached_whatever_ses_calls_the_bounce() {
        for case in [
            "transient-general-5.4.4",
            "transient-general-5.3.0",
            "transient-general-4.4.7",
            "eventbridge-envelope-bounce",
        ] {
            let listener = listener(ledger_with(marked("a")));
            let (_, metrics) = handle(&listener, &[seen(case)]).await;
            let not_reached =
                listener.ledger.entry(&jane()).not_reached.map(|not_reached| not_reached.reason);
            assert_eq!(not_reached, Some(NotReachedReason::Bounce), "{case}");
            assert_eq!(counts(&metrics), [1, 0, 1], "{case}");
        }
    }

    #[tokio::test]
    async fn an_owner_who_is_absent_counts_as_reached() {
        let listener = listener(ledger_with(marked("a")));
        let absent = seen("transient-general-5.4.4").replace("5.4.4", "");
        let (_, metrics) = handle(&listener, &[absent]).await;
        assert_eq!((listener.ledger.entry(&jane()), counts(&metrics)), (marked("a"), [1, 0, 0]));
    }

    #[tokio::test]
    async fn a_subscription_that_waits_to_be_confirmed_is_put_aside_with_that_reason() {
        let listener = listener(MemoryLedger::default());
        let (given_back, _) = handle(&listener, &[seen("sns-subscription-confirmation")]).await;
        let [letter] = listener.source.dead_letters.take().try_into().unwrap();
        assert_eq!((given_back.len(), letter.reason), (0, "subscription_unconfirmed"));
        assert!(letter.detail.contains("waits to be confirmed"), "{}", letter.detail);
    }

    /// The owner was mailed twice, and the mail that SES speaks of last is the first.
    #[tokio::test]
    async fn a_bounce_of_an_earlier_mail_says_nothing_of_the_one_that_was_sent_since() {
        let entry = claimed(&marked("a"), "b", 7).mark_sent(&"b".parse().unwrap(), now()).unwrap();
        let listener = listener(ledger_with(entry.clone()));
        for kind in ["Bounce", "Complaint", "Reject", "Send"] {
            let (given_back, metrics) = handle(&listener, &[about_jane(kind, "a")]).await;
            assert_eq!((given_back.len(), counts(&metrics)), (0, [1, 0, 0]), "{kind}");
        }
        assert_eq!(listener.ledger.entry(&jane()), entry);
    }

    #[tokio::test]
    async fn a_late_bounce_of_the_last_mail_leaves_the_claim_of_the_next_alone() {
        let listener = listener(ledger_with(claimed(&marked("a"), "b", 7)));
        let (_, metrics) = handle(&listener, &[about_jane("Bounce", "a")]).await;
        let entry = listener.ledger.entry(&jane());
        assert_eq!((entry.claim.unwrap().id.as_str(), entry.not_reached.is_some()), ("b", true));
        assert_eq!(counts(&metrics), [1, 0, 1]);
    }

    #[tokio::test]
    async fn an_owner_of_whom_the_ledger_knows_nothing_is_done() {
        let listener = listener(MemoryLedger::default());
        let (given_back, metrics) =
            handle(&listener, &[about_jane("Send", "a"), about_jane("Bounce", "a")]).await;
        assert_eq!((given_back.len(), listener.ledger.is_empty()), (0, true));
        assert_eq!(counts(&metrics), [2, 0, 0]);
    }

    #[tokio::test]
    async fn a_pilot_s_event_is_about_the_pilot_s_ledger() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let pilot = owner("jane", Book::Pilot);
        listener.ledger.put(pilot.clone(), claimed(&Entry::default(), "a", 0));
        handle(&listener, &[ses("Send", &pilot, "a").to_string()]).await;
        assert_eq!(listener.ledger.entry(&pilot).claim, None);
        assert!(listener.ledger.entry(&jane()).claim.is_some());
    }

    #[tokio::test]
    async fn an_untagged_mail_that_reached_nobody_is_counted_and_no_entry_is_touched() {
        let entry = claimed(&Entry::default(), "a", 0);
        let listener = listener(ledger_with(entry.clone()));
        let mut bounce = ses("Bounce", &jane(), "a");
        bounce["mail"].as_object_mut().unwrap().remove("tags");
        let (given_back, metrics) = handle(&listener, &[bounce.to_string()]).await;
        assert_eq!((given_back.len(), counts(&metrics)), (0, [1, 0, 1]));
        assert_eq!(listener.ledger.entry(&jane()), entry);
        assert_eq!(recorded(&listener, "OwnersNotReached"), 0, "of which run is not known");
    }

    #[tokio::test]
    async fn an_event_that_is_none_is_put_aside_and_the_others_are_heard() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let mut hostile = ses("Send", &jane(), "a");
        hostile["mail"]["tags"]["user_id"] = json!(["jane@example.com"]);
        let bodies = ["{".to_owned(), hostile.to_string(), about_jane("Send", "a")];
        let (given_back, metrics) = handle(&listener, &bodies).await;
        assert!(given_back.is_empty());
        let letters = listener.source.dead_letters.take();
        let why: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.detail.as_str())).collect();
        assert_eq!(
            why,
            [("invalid_message", "not JSON"), ("invalid_message", "mail.tags.user_id is invalid")]
        );
        assert_eq!(letters[1].body, bodies[1]);
        assert_eq!(counts(&metrics), [3, 1, 0]);
    }

    #[tokio::test]
    async fn a_ledger_that_fails_gives_the_event_back() {
        for failing in [LedgerCall::Read, LedgerCall::Mark] {
            let ledger = match failing {
                LedgerCall::Read => MemoryLedger::with(|call| fail(call, LedgerCall::Read)),
                _ => MemoryLedger::with(|call| fail(call, LedgerCall::Mark)),
            };
            ledger.put(jane(), claimed(&Entry::default(), "a", 0));
            let listener = listener(ledger);
            let (given_back, metrics) = handle(&listener, &[about_jane("Send", "a")]).await;
            assert_eq!(
                (given_back, counts(&metrics)),
                (vec!["record-0".to_owned()], [1, 0, 0]),
                "{failing:?}"
            );
            assert!(listener.ledger.entry(&jane()).claim.is_some());
        }
    }

    fn fail(call: LedgerCall, failing: LedgerCall) -> Fate {
        if call == failing { Fate::Failed(FailureClass::Retry) } else { Fate::Done }
    }

    #[tokio::test]
    async fn without_time_an_event_is_not_even_started() {
        let listener = listener(ledger_with(claimed(&Entry::default(), "a", 0)));
        let event = event(&[about_jane("Send", "a")]);
        let response = listener.handle(event, no_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), ["record-0"]);
        assert!(listener.ledger.entry(&jane()).claim.is_some());
    }

    /// A ledger in which somebody else writes before each of the first `interferences` writes; or, where `is_echo`, in
    /// which the first write is done and refused, as when its answer was lost and the client repeated it.
    struct Contended {
        ledger: MemoryLedger,
        interferences: Cell<usize>,
        is_echo: bool,
    }

    impl Contended {
        fn new(interferences: usize, is_echo: bool) -> Self {
            let ledger = ledger_with(claimed(&Entry::default(), "a", 0));
            Self { ledger, interferences: Cell::new(interferences), is_echo }
        }
    }

    impl LedgerReader for Contended {
        async fn read(&self, owner: &Owner) -> Result<Entry, CallFailed> {
            self.ledger.read(owner).await
        }
    }

    impl Ledger for Contended {
        async fn write(&self, owner: &Owner, entry: &Entry) -> Result<(), WriteFailed> {
            if self.interferences.get() > 0 {
                self.interferences.set(self.interferences.get() - 1);
                let there = self.ledger.entry(owner);
                let prolonged = there.claim.clone().map(|claim| Claim { lease_until: now(), ..claim });
                let others = Entry { revision: there.revision + 1, claim: prolonged, ..there };
                self.ledger.put(owner.clone(), if self.is_echo { entry.clone() } else { others });
            }
            self.ledger.write(owner, entry).await
        }
    }

    #[tokio::test]
    async fn an_entry_that_somebody_else_wrote_meanwhile_is_read_again() {
        let listener = listener(Contended::new(4, false));
        let (given_back, metrics) = handle(&listener, &[about_jane("Send", "a")]).await;
        assert_eq!((given_back.len(), counts(&metrics)), (0, [1, 1, 0]));
        let entry = listener.ledger.ledger.entry(&jane());
        assert_eq!((entry.claim, entry.history.len()), (None, 1));
    }

    #[tokio::test]
    async fn an_entry_that_is_written_all_the_time_is_left_for_later() {
        let listener = listener(Contended::new(5, false));
        let (given_back, metrics) = handle(&listener, &[about_jane("Send", "a")]).await;
        assert_eq!((given_back, counts(&metrics)), (vec!["record-0".to_owned()], [1, 0, 0]));
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_counts_once() {
        let listener = listener(Contended::new(1, true));
        let (given_back, metrics) = handle(&listener, &[about_jane("Bounce", "a")]).await;
        assert_eq!((given_back.len(), counts(&metrics)), (0, [1, 1, 1]));
    }
}
