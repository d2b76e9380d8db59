//! Thousands of messages that nobody meant to send, on every queue, among those of a run.

use std::collections::HashSet;

use chrono::{SecondsFormat, Utc};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::world::{Plan, World, quick};
use super::{Outcome, Scenario, Size};
use crate::Result;
use crate::aws::SQS;
use crate::deployment::Deployment;
use crate::functions::Packages;
use crate::hostile::{self, MESSAGE_BYTES_MAX};
use crate::outbox::{Message, Queues, queue_name};
use crate::pipeline::Patience;
use crate::population::DOMAIN;

/// What SQS takes at once.
const BATCH_MESSAGES_MAX: usize = 10;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// What may be written on a dead letter here. Whatever else there is would mean that a function came to harm.
const REASONS: [&str; 2] = ["invalid_message", "unknown_account"];

/// The run's owners are mailed as ever; each hostile message is a dead letter of its own queue, with its reason.
pub(super) async fn run(size: &Size, packages: &Packages, report: &impl Fn(&str)) -> Result<Outcome> {
    let plan = Plan { parameters: quick().with("ProducerConcurrency", "10"), ..Plan::default() };
    let world = World::start(&plan, size, packages, report).await?;
    let deployment = &world.deployment;
    let mut targets = targets(deployment);
    for (target, seed) in targets.iter_mut().zip(size.seed..) {
        report(&format!("sending hostile messages to {}", target.queue_url));
        target.messages = hostile::messages(&target.good, size.messages, seed);
        send(deployment, target.queue_url, &target.messages).await?;
    }

    world.run(Patience::default(), report).await?;

    let mut outcome = world.outcome(Scenario::Hostile, 0).await?;
    outcome.promise_that_nothing_is_lost();
    outcome.promise_that_nobody_is_mailed_twice();
    let queues = Queues::of(&deployment.aws).await?;
    let mut given_up = 0;
    for target in &targets {
        let letters = queues.messages(target.dead_letter_queue_url);
        let name = queue_name(target.queue_url);
        given_up += letters.len();
        let kept = target.not_given_up(letters);
        outcome.promise(kept == 0, format!("{kept} hostile messages on {name} are not given up"));
        for (reason, letter) in unexpected_reasons(letters) {
            let excerpt: String = letter.body.chars().take(200).collect();
            outcome.promise(false, format!("no dead letter says {reason:?}: {excerpt}"));
        }
        let unknown = letters.iter().filter(|letter| !target.has_sent(letter)).count();
        outcome.promise(unknown == 0, format!("{unknown} letters of {name} are not as they were sent"));
    }
    outcome.promise(outcome.dead_letters == given_up, "nothing else is given up");
    Ok(outcome)
}

/// A queue, what a good message on it looks like, and where its bad ones go.
struct Target<'a> {
    queue_url: &'a str,
    dead_letter_queue_url: &'a str,
    good: Value,
    /// Which of the messages the function must give up.
    is_unusable: fn(&str) -> bool,
    messages: Vec<String>,
}

impl Target<'_> {
    /// How many messages must be dead letters and are not. One that is delivered twice may be given up twice.
    fn not_given_up(&self, letters: &[Message]) -> usize {
        let (cut, whole): (Vec<&Message>, Vec<&Message>) = letters.iter().partition(|letter| is_cut(letter));
        let whole: HashSet<&str> = whole.iter().map(|letter| &*letter.body).collect();
        let is_letter =
            |sent: &str| whole.contains(sent) || cut.iter().any(|letter| sent.starts_with(&*letter.body));
        self.messages.iter().filter(|sent| (self.is_unusable)(sent) && !is_letter(sent)).count()
    }

    /// Whether the letter is one of the messages, word for word, or the beginning of one that was too large for its reason.
    fn has_sent(&self, letter: &Message) -> bool {
        let is_cut = is_cut(letter);
        self.messages.iter().any(|sent| *sent == letter.body || is_cut && sent.starts_with(&letter.body))
    }
}

/// Whether a letter is the beginning of a message that was too large for its reason.
fn is_cut(letter: &Message) -> bool {
    letter.attribute("detail").is_some_and(|detail| detail.contains("cut from"))
}

/// Every message on a queue of Keynudge's own is unusable after its one change.
fn any(_: &str) -> bool {
    true
}

/// Whether a message cannot be an event, from SES or anybody else. SES publishes events that Keynudge has no use for, so many
/// a changed event is acknowledged like those: one of an unknown type, without tags, or about an owner
/// without a mail.
fn is_no_event(body: &str) -> bool {
    body.len() > MESSAGE_BYTES_MAX || serde_json::from_str::<IgnoredAny>(body).is_err()
}

/// The good ones would do what they say: one is about a user who is not there, the other mails somebody.
fn targets(deployment: &Deployment) -> [Target<'_>; 4] {
    let outputs = &deployment.outputs;
    let account = deployment.aws.account().as_str();
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let scan = json!({ "v": 1, "run_id": "by-hand", "as_of": now, "mode": "live", "account_id": account });
    let mut check = scan.clone();
    check["user"] = json!({
        "name": "mallory",
        "id": "AIDAMALLORYMALLORYMAL",
        "arn": format!("arn:aws:iam::{account}:user/mallory"),
        "created_at": "2024-01-01T00:00:00Z",
    });
    let mut finding = check.clone();
    finding["recipient"] = json!({ "to": format!("mallory@{DOMAIN}"), "found_by": "default_domain" });
    finding["keys"] = json!([{
        "id": "AKIAMALLORYMALLORYMA",
        "created_at": "2024-01-01T00:00:00Z",
        "age_days": 900,
        "description": "laptop",
    }]);
    finding["stage"] = json!(1);
    finding["checked_at"] = json!(now);
    let event = json!({
        "eventType": "Send",
        "mail": {
            "messageId": "by-hand",
            "tags": {
                "account_id": [account],
                "user_id": ["AIDAMALLORYMALLORYMAL"],
                "claim_id": ["by-hand"],
                "ledger": ["live"],
            },
        },
    });
    let target = |queue_url, dead_letter_queue_url, good, is_unusable| Target {
        queue_url,
        dead_letter_queue_url,
        good,
        is_unusable,
        messages: Vec::new(),
    };
    [
        target(&outputs.accounts_queue_url, &outputs.accounts_dead_letter_queue_url, scan, any),
        target(&outputs.users_queue_url, &outputs.users_dead_letter_queue_url, check, any),
        target(&outputs.findings_queue_url, &outputs.findings_dead_letter_queue_url, finding, any),
        target(&outputs.feedback_queue_url, &outputs.feedback_dead_letter_queue_url, event, is_no_event),
    ]
}

async fn send(deployment: &Deployment, queue_url: &str, bodies: &[String]) -> Result<()> {
    for batch in batches(bodies) {
        let entries = batch.iter().enumerate();
        let entries: Vec<Value> =
            entries.map(|(id, body)| json!({ "Id": id.to_string(), "MessageBody": body })).collect();
        let request = json!({ "QueueUrl": queue_url, "Entries": entries });
        deployment.aws.json(SQS, "SendMessageBatch", &request).await?;
    }
    Ok(())
}

/// As many messages at once as SQS takes.
fn batches(bodies: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let mut rest = bodies;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(BATCH_MESSAGES_MAX).take_while(|body| {
            bytes += body.len();
            bytes <= BATCH_BYTES_MAX
        });
        let (batch, others) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

/// The letters with a reason that none of these messages should have; the first few will do.
fn unexpected_reasons(letters: &[Message]) -> impl Iterator<Item = (Option<&str>, &Message)> {
    const EXCERPTS: usize = 5;
    let reasons = letters.iter().map(|letter| (letter.attribute("reason"), letter));
    let expected = |reason: Option<&str>| reason.is_some_and(|reason| REASONS.contains(&reason));
    reasons.filter(move |(reason, _)| !expected(*reason)).take(EXCERPTS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn target(messages: &[String]) -> Target<'_> {
        Target {
            queue_url: "feedback",
            dead_letter_queue_url: "feedback-dead-letters",
            good: Value::Null,
            is_unusable: is_no_event,
            messages: messages.to_vec(),
        }
    }

    fn letter(body: &str) -> Message {
        Message {
            body: body.to_owned(),
            message_attributes: BTreeMap::new(),
            is_visible: true,
            receive_count: 1,
        }
    }

    #[test]
    fn an_event_that_cannot_be_read_must_be_a_dead_letter_and_another_need_not() {
        let padded = json!({ "eventType": "Send", "padding": "x".repeat(MESSAGE_BYTES_MAX) }).to_string();
        let sent = [r#"{"eventType":"Se"#.to_owned(), padded.clone(), r#"{"eventType":"Open"}"#.to_owned()];
        let target = target(&sent);
        assert_eq!(target.not_given_up(&[]), 2);
        assert_eq!(target.not_given_up(&[letter(&padded)]), 1);
        assert_eq!(target.not_given_up(&[letter(&padded), letter(&sent[0])]), 0);
    }

    #[test]
    fn a_batch_holds_as_much_as_sqs_takes_and_no_message_is_left_out() {
        let small = vec!["x".to_owned(); 12];
        assert_eq!(batches(&small).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [10, 2]);
        let large = vec!["x".repeat(BATCH_BYTES_MAX / 2); 3];
        assert_eq!(batches(&large).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
