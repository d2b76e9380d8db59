//! Checks one user's keys per record, and hands owners of stale ones on to the notifier.
//!
//! Checking reads and changes nothing, so it can be repeated. A record is only done once its finding is on the
//! findings queue; a crash before SQS hears of it enqueues the finding a second time, and the notifier decides who
//! is mailed.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use keynudge_core::contact::Recipient;
use keynudge_core::exemption::Exemption;
use keynudge_core::ids::Line;
use keynudge_core::keys::StaleKey;
use keynudge_core::messages::{CheckUser, StaleKeys};
use keynudge_core::ports::{DeadLetters, KeyStore, Outbox, Redelivery, RunRecords};
use keynudge_core::tags::Tags;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::{Metric, Metrics};
use keynudge_lambda::records::{self, Failure, Source};
use lambda_runtime::Error;

use crate::config::Rules;

/// Users of one batch that are checked at a time. Few, since IAM's budget is shared with everybody in the account.
const USERS_AT_A_TIME: usize = 4;

/// A user is started only with this much time left: for their calls to IAM, their turns, and the answer to SQS.
const TIME_FOR_ONE_USER: Duration = Duration::from_secs(14);

/// The worker, over its ports.
pub(crate) struct Worker<K, F, L, R, C> {
    pub(crate) keys: K,
    pub(crate) findings: F,
    pub(crate) source: Source<L, R, C>,
    pub(crate) rules: Rules,
}

/// A user whose keys were looked at.
struct Checked {
    check: CheckUser,
    outcome: Outcome,
    counts: Metrics,
}

/// What checking a user came to.
enum Outcome {
    /// The user was deleted meanwhile.
    Gone,
    /// No stale keys.
    Fresh,
    /// Stale keys, but not in the audience.
    NotTagged,
    /// Stale keys, but left alone for now.
    Exempt,
    /// Stale keys, and nobody to tell.
    WithoutContact,
    /// Stale keys, and their owner is to be told.
    Stale(Box<StaleKeys>),
}

impl<K, F, L, R, C> Worker<K, F, L, R, C>
where
    K: KeyStore,
    F: Outbox<StaleKeys>,
    L: DeadLetters,
    R: Redelivery,
    C: RunRecords,
{
    /// Checks the users of a batch. The answer tells SQS which records are not done.
    pub(crate) async fn handle(
        &self,
        event: SqsEvent,
        deadline: Deadline,
        metrics: &Metrics,
    ) -> Result<SqsBatchResponse, Error> {
        let checks = records::read(event, self.rules.as_of.limit(self.source.clock))?;
        let task = async |check| self.check(check).await;
        let checked = records::work(checks, USERS_AT_A_TIME, deadline, TIME_FOR_ONE_USER, task).await;
        let told = records::forward(checked, &self.findings, deadline, Checked::finding).await;
        for checked in told.iter().filter_map(|record| record.result.as_ref().ok()) {
            checked.conclude(metrics);
        }
        Ok(records::respond(told, &self.source, deadline, metrics).await)
    }

    async fn check(&self, check: CheckUser) -> Result<Checked, Failure> {
        records::check_account(&check, &self.rules.account_id)?;
        let counts = Metrics::default();
        let outcome = self.outcome(&check, &counts).await?;
        Ok(Checked { check, outcome, counts })
    }

    /// What the user's keys come to. Only users with stale keys cost more than one call.
    async fn outcome(&self, check: &CheckUser, counts: &Metrics) -> Result<Outcome, Failure> {
        let user = &check.user.name;
        let Some(keys) = self.keys.access_keys(user).await? else {
            return Ok(Outcome::Gone);
        };
        let stale = self.rules.staleness.stale_keys(&keys, check.run.as_of);
        if stale.is_empty() {
            return Ok(Outcome::Fresh);
        }
        // Tags that cannot be read mean "not known yet", never "not exempt".
        let Some(tags) = self.keys.tags(user).await? else {
            return Ok(Outcome::Gone);
        };
        if self.rules.audience.skips_tagged(&self.rules.contact.tag, &tags).is_some() {
            return Ok(Outcome::NotTagged);
        }
        match Exemption::of(&tags, check.run.as_of) {
            Exemption::Until(_) => return Ok(Outcome::Exempt),
            Exemption::Invalid => {
                counts.count(Metric::ExemptionsInvalid);
                tracing::warn!(user_id = check.user.id.as_str(), "the exemption tag holds no date");
            }
            Exemption::None => {}
        }
        let contact = self.rules.contact.find(user, &tags);
        if contact.passed_over > 0 {
            counts.add(Metric::ContactsPassedOver, contact.passed_over as usize);
            tracing::warn!(user_id = check.user.id.as_str(), "an address was passed over");
        }
        match contact.recipient {
            None => Ok(Outcome::WithoutContact),
            Some(recipient) => {
                let finding = self.finding(check, recipient, stale, &tags, counts).await;
                Ok(Outcome::Stale(Box::new(finding)))
            }
        }
    }

    async fn finding(
        &self,
        check: &CheckUser,
        recipient: Recipient,
        mut keys: Vec<StaleKey>,
        tags: &Tags,
        counts: &Metrics,
    ) -> StaleKeys {
        for key in &mut keys {
            key.description = description(key, tags);
            // A key deleted meanwhile, or whose last use cannot be read, fails nobody: the mail does without.
            match self.keys.last_used(&key.id).await {
                Ok(last_used) => key.last_used = Some(last_used),
                Err(error) => {
                    counts.count(Metric::LastUsedUnreadable);
                    tracing::warn!(user_id = check.user.id.as_str(), %error, "last use not known");
                }
            }
        }
        StaleKeys {
            run: check.run.clone(),
            account_id: check.account_id.clone(),
            user: check.user.clone(),
            recipient,
            stage: self.rules.staleness.stage(&keys),
            keys,
            checked_at: (self.source.clock)(),
            found_at: check.found_at,
        }
    }
}

/// IAM's console keeps what an owner writes about a key in a tag of the user, named by the key's id.
fn description(key: &StaleKey, tags: &Tags) -> Option<Line> {
    tags.get(key.id.as_str()).filter(|text| !text.is_empty()).and_then(|text| text.parse().ok())
}

impl Checked {
    fn finding(&self) -> Option<StaleKeys> {
        match &self.outcome {
            Outcome::Stale(finding) => Some((**finding).clone()),
            _ => None,
        }
    }

    /// Logs and counts a user who is done.
    fn conclude(&self, metrics: &Metrics) {
        let (outcome, counted): (&str, &[Metric]) = match self.outcome {
            Outcome::Gone => ("user_gone", &[Metric::UsersGone]),
            Outcome::Fresh => ("fresh", &[]),
            Outcome::NotTagged => ("not_tagged", &[Metric::StaleOwners, Metric::UsersSkippedNotTagged]),
            Outcome::Exempt => ("exempt", &[Metric::StaleOwners, Metric::Exempt]),
            Outcome::WithoutContact => ("without_contact", &[Metric::StaleOwners, Metric::WithoutContact]),
            Outcome::Stale(_) => ("stale", &[Metric::StaleOwners]),
        };
        records::log_outcome(outcome, &self.check);
        metrics.count_for(&self.check, Metric::UsersChecked);
        for &metric in counted {
            metrics.count_for(&self.check, metric);
        }
        metrics.merge_for(&self.check, &self.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use aws_lambda_events::sqs::SqsEvent;
    use keynudge_core::audience::Audience;
    use keynudge_core::contact::{AllowedDomains, ContactRules, ContactSource};
    use keynudge_core::failure::FailureClass;
    use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed, StalenessPolicy};
    use keynudge_lambda::vars::AsOfRule;
    use keynudge_testing::{
        ACCOUNT, MemoryDeadLetters, MemoryIam, MemoryQueue, MemoryRedelivery, MemoryRunRecords, event,
        given_back, key, no_time, now, plenty_of_time, run, source, user,
    };

    type TestWorker =
        Worker<MemoryIam, MemoryQueue<StaleKeys>, MemoryDeadLetters, MemoryRedelivery, MemoryRunRecords>;

    const STALE: KeyStatus = KeyStatus::Active;

    /// A worker whose IAM holds these users and keys; a stale key is 100 days old.
    fn worker(users: &[(&str, Vec<AccessKey>)]) -> TestWorker {
        let keys = users.iter().map(|(name, keys)| ((*name).to_owned(), keys.clone())).collect();
        Worker {
            keys: MemoryIam { keys, ..MemoryIam::default() },
            findings: MemoryQueue::default(),
            source: source(),
            rules: Rules {
                account_id: ACCOUNT.parse().unwrap(),
                staleness: StalenessPolicy::new(90.try_into().unwrap(), vec![]).unwrap(),
                audience: Audience::All,
                contact: ContactRules {
                    tag: "keynudge:contact".to_owned(),
                    default_domain: Some("example.com".parse().unwrap()),
                    fallback: None,
                    allowed: AllowedDomains::new(["example.com".parse().unwrap()]),
                },
                as_of: AsOfRule::NotAhead,
            },
        }
    }

    fn stale_key(id: &str) -> AccessKey {
        key(id, STALE, 100)
    }

    fn check(name: &str) -> String {
        let check =
            CheckUser { run: run(), account_id: ACCOUNT.parse().unwrap(), user: user(name), found_at: None };
        serde_json::to_string(&check).unwrap()
    }

    fn checks(names: &[&str]) -> SqsEvent {
        event(&names.iter().map(|name| check(name)).collect::<Vec<_>>())
    }

    async fn handle(worker: &TestWorker, names: &[&str], metrics: &Metrics) -> SqsBatchResponse {
        worker.handle(checks(names), plenty_of_time(), metrics).await.unwrap()
    }

    fn told(worker: &TestWorker) -> Vec<String> {
        worker.findings.take().iter().map(|finding| finding.recipient.to.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn the_owner_of_a_stale_key_is_told_with_all_that_is_known_of_it() {
        let mut worker = worker(&[(
            "jane",
            vec![
                key("FRESH", STALE, 89),
                key("OFF", KeyStatus::Inactive, 400),
                stale_key("LATER"),
                key("OLD", STALE, 300),
            ],
        )]);
        let old = key("OLD", STALE, 300);
        worker
            .keys
            .tags
            .insert("jane".to_owned(), [(old.id.as_str(), "laptop"), ("team", "a")].into_iter().collect());
        worker.keys.last_used.insert(old.id.clone(), LastUsed::Never);
        let metrics = Metrics::default();
        assert_eq!(given_back(&handle(&worker, &["jane"], &metrics).await), Vec::<&str>::new());

        let [finding] = worker.findings.take().try_into().unwrap();
        assert_eq!((finding.run, finding.account_id.as_str(), finding.user), (run(), ACCOUNT, user("jane")));
        assert_eq!((finding.stage, finding.checked_at), (1, now()));
        let recipient =
            Recipient { to: "jane@example.com".parse().unwrap(), found_by: ContactSource::DefaultDomain };
        assert_eq!(finding.recipient, recipient);
        let [first, second] = finding.keys.try_into().unwrap();
        assert_eq!((first.id, first.created_at, first.age_days), (old.id, old.created_at, 300));
        assert_eq!(
            (first.last_used, first.description),
            (Some(LastUsed::Never), Some("laptop".parse().unwrap()))
        );
        assert_eq!((second.id, second.age_days), (stale_key("LATER").id, 100));
        assert_eq!((second.last_used, second.description), (None, None));
        assert_eq!((metrics.get(Metric::StaleOwners), metrics.get(Metric::LastUsedUnreadable)), (1, 1));
    }

    #[tokio::test]
    async fn everybody_is_counted_by_what_came_of_them() {
        let mut worker = worker(&[
            ("fresh", vec![key("A", STALE, 1)]),
            ("keyless", vec![]),
            ("exempt", vec![stale_key("B")]),
            ("ended", vec![stale_key("C")]),
            ("slip", vec![stale_key("D")]),
            ("foreign@evil.test", vec![stale_key("E")]),
        ]);
        for (user, until) in [("exempt", "2026-03-01"), ("ended", "2026-02-28"), ("slip", "soon")] {
            worker
                .keys
                .tags
                .insert(user.to_owned(), [("keynudge:exempt-until", until)].into_iter().collect());
        }
        let metrics = Metrics::default();
        let names = ["fresh", "keyless", "exempt", "ended", "slip", "foreign@evil.test", "gone"];
        assert_eq!(given_back(&handle(&worker, &names, &metrics).await), Vec::<&str>::new());
        assert_eq!(worker.findings.calls(), 1, "a batch's findings go in one call");
        assert_eq!(told(&worker), ["ended@example.com", "slip@example.com"]);
        for (metric, count) in [
            (Metric::UsersChecked, 7),
            (Metric::UsersGone, 1),
            (Metric::StaleOwners, 4),
            (Metric::Exempt, 1),
            (Metric::ExemptionsInvalid, 1),
            (Metric::WithoutContact, 1),
            (Metric::ContactsPassedOver, 1),
        ] {
            assert_eq!(metrics.get(metric), count, "{metric:?}");
            assert_eq!(
                worker.source.run_records.get(&run(), metric.name()),
                count,
                "{metric:?} in the record"
            );
        }
    }

    #[tokio::test]
    async fn with_the_tagged_audience_only_tagged_users_are_told() {
        let mut worker = worker(&[("tagged", vec![stale_key("A")]), ("plain", vec![stale_key("B")])]);
        worker.rules.audience = Audience::Tagged;
        let tags = [("keynudge:contact", "team@example.com")].into_iter().collect();
        worker.keys.tags.insert("tagged".to_owned(), tags);
        let metrics = Metrics::default();
        handle(&worker, &["tagged", "plain"], &metrics).await;
        assert_eq!(told(&worker), ["team@example.com"]);
        assert_eq!((metrics.get(Metric::StaleOwners), metrics.get(Metric::UsersSkippedNotTagged)), (2, 1));
    }

    #[tokio::test]
    async fn a_user_without_stale_keys_costs_one_call() {
        let worker = worker(&[("fresh", vec![key("A", STALE, 89)]), ("stale", vec![stale_key("B")])]);
        handle(&worker, &["fresh"], &Metrics::default()).await;
        assert_eq!(*worker.keys.calls.borrow(), ["keys fresh"]);
        handle(&worker, &["stale"], &Metrics::default()).await;
        assert_eq!(worker.keys.calls.borrow()[1..], ["keys stale", "tags stale", "last used"]);
    }

    #[tokio::test]
    async fn an_empty_description_is_none() {
        let mut worker = worker(&[("jane", vec![stale_key("A")])]);
        let tags = [(stale_key("A").id.as_str(), "")].into_iter().collect();
        worker.keys.tags.insert("jane".to_owned(), tags);
        handle(&worker, &["jane"], &Metrics::default()).await;
        assert_eq!(worker.findings.take()[0].keys[0].description, None);
    }

    #[tokio::test(start_paused = true)]
    async fn users_who_cannot_be_checked_in_time_are_given_back_and_the_others_are_done() {
        let mut worker =
            worker(&[("jane", vec![]), ("joe", vec![]), ("jim", vec![]), ("jo", vec![]), ("al", vec![])]);
        worker.keys.latency = Duration::from_secs(20);
        let names = checks(&["jane", "joe", "jim", "jo", "al"]);
        let metrics = Metrics::default();
        let deadline = Deadline::after(Duration::from_secs(40));
        let response = worker.handle(names, deadline, &metrics).await.unwrap();
        assert_eq!(given_back(&response), ["record-4"], "four at a time, and no time for a second round");
        assert_eq!(metrics.get(Metric::UsersChecked), 4);
    }

    #[tokio::test]
    async fn a_live_run_ahead_of_the_clock_checks_nobody() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let ahead = check("jane").replace("\"as_of\":\"2026", "\"as_of\":\"2027");
        worker.handle(event(&[ahead]), plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(told(&worker), Vec::<String>::new());
        assert_eq!(worker.source.dead_letters.take()[0].reason, "invalid_message");
    }

    #[tokio::test]
    async fn tags_that_cannot_be_read_exempt_nobody_and_tell_nobody_yet() {
        let mut worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        worker.keys.failing = BTreeMap::from([("tags jane", FailureClass::Retry)]);
        let metrics = Metrics::default();
        let response = handle(&worker, &["jane", "joe"], &metrics).await;
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(told(&worker), ["joe@example.com"]);
        assert_eq!((metrics.get(Metric::UsersChecked), metrics.get(Metric::RecordsGivenBack)), (1, 1));
    }

    #[tokio::test]
    async fn one_panicking_record_fails_alone() {
        let worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        let response = handle(&worker, &["jane", "panic", "joe"], &Metrics::default()).await;
        assert_eq!(given_back(&response), ["record-1"]);
        assert_eq!(told(&worker), ["jane@example.com", "joe@example.com"]);
    }

    #[tokio::test]
    async fn a_bad_record_is_put_aside_with_its_reason_and_the_good_ones_are_done() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let foreign = check("joe").replace(ACCOUNT, "999999999999");
        let event = event(&["not json".to_owned(), check("jane"), foreign.clone()]);
        let response = worker.handle(event, plenty_of_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), Vec::<&str>::new());
        assert_eq!(told(&worker), ["jane@example.com"]);
        let letters = worker.source.dead_letters.take();
        let reasons: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.body.as_str())).collect();
        assert_eq!(reasons, [("invalid_message", "not json"), ("unknown_account", foreign.as_str())]);
    }

    #[tokio::test]
    async fn a_call_that_will_never_succeed_is_given_up_at_once() {
        let mut worker = worker(&[("jane", vec![])]);
        worker.keys.failing = BTreeMap::from([("keys jane", FailureClass::Never)]);
        let response = handle(&worker, &["jane"], &Metrics::default()).await;
        assert_eq!(given_back(&response), Vec::<&str>::new());
        assert_eq!(worker.source.dead_letters.take()[0].reason, "call_failed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whose_finding_is_not_taken_is_not_done() {
        let mut worker = worker(&[("jane", vec![stale_key("A")]), ("joe", vec![stale_key("B")])]);
        worker.findings = MemoryQueue::refusing(|finding: &StaleKeys| {
            (finding.user.name.as_str() == "jane").then_some(FailureClass::Retry)
        });
        let metrics = Metrics::default();
        let response = handle(&worker, &["jane", "joe"], &metrics).await;
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(told(&worker), ["joe@example.com"]);
        assert_eq!(metrics.get(Metric::StaleOwners), 1);
    }

    #[tokio::test]
    async fn what_there_is_no_time_for_is_given_back() {
        let worker = worker(&[("jane", vec![stale_key("A")])]);
        let response = worker.handle(checks(&["jane"]), no_time(), &Metrics::default()).await.unwrap();
        assert_eq!(given_back(&response), ["record-0"]);
        assert_eq!(told(&worker), Vec::<String>::new());
    }
}
