//! Whether the queues are wired as the template has them, and hold dead letters.

use serde::Deserialize;

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, Part, lacks, name_in};
use super::line::{Line, Section};

/// Lambda's advice: so many times a function's timeout is how long its queue hides what it gave out.
const TIMEOUTS_ADVISED: u32 = 6;

/// A queue, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) arn: String,
    pub(crate) messages: u64,
    pub(crate) visibility_timeout_seconds: u32,
    pub(crate) redrive: Option<Redrive>,
    /// Whom it lets in beside its account, as JSON.
    pub(crate) policy: Option<String>,
}

/// Where a queue moves what was received too often.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Redrive {
    /// An ARN.
    pub(crate) dead_letter_target_arn: String,
    #[serde(deserialize_with = "number")]
    pub(crate) max_receive_count: u32,
}

/// SQS gives it back the way it was written, as a number or as text.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A part's two queues, and how long its function may take.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) part: Part,
    pub(super) queue: Option<Answer<Queue>>,
    pub(super) dead_letters: Option<Answer<Queue>>,
    pub(super) function_timeout_seconds: Option<u32>,
}

/// What there is to say of the queues; `further` are those of dead letters that belong to no other queue, with what
/// `keynudge dlq` calls them and their outputs.
pub(super) fn section(
    deployment: &Deployment,
    pairs: &[Pair],
    further: &[(&'static str, &'static str, Option<Answer<Queue>>)],
) -> Section {
    let mut lines: Vec<Line> = pairs.iter().map(|pair| working(deployment, pair)).collect();
    let of_pairs = pairs
        .iter()
        .map(|pair| (pair.part.queue_label(), pair.part.dead_letter_queue_output(), &pair.dead_letters));
    let all = of_pairs.chain(further.iter().map(|(label, output, answer)| (*label, *output, answer)));
    lines.extend(all.map(|(label, output, answer)| dead_letters(label, output, answer.as_ref(), deployment)));
    Section { title: "Queues", lines }
}

fn working(deployment: &Deployment, pair: &Pair) -> Line {
    let Pair { part, queue: answer, function_timeout_seconds, .. } = pair;
    let check = part.queue_label();
    let outputs = [part.queue_output(), part.dead_letter_queue_output()];
    let [Some(url), Some(dead_letter_url)] = outputs.map(|output| deployment.output(output)) else {
        return lacks(check, outputs[0]);
    };
    let queue = match answer {
        Some(Ok(queue)) => queue,
        Some(Err(Unanswered::Missing)) => {
            return Line::failed(
                check,
                format!("{} is gone", name_in(url)),
                make_again(&deployment.region, name_in(url)),
            );
        }
        Some(Err(unanswered)) => return unanswered.line(check),
        None => return lacks(check, outputs[0]),
    };
    let dead_letter_arn = match &pair.dead_letters {
        Some(Ok(Queue { arn, .. })) => arn.clone(),
        _ => format!("ARN of {}", name_in(dead_letter_url)),
    };
    let repair = set_redrive(&deployment.region, url, &dead_letter_arn, part.max_receive_count());
    wired(check, name_in(dead_letter_url), part.max_receive_count(), queue, repair)
        .or_else(|| shuts_out(*part, check, deployment, queue))
        .or_else(|| hides(check, url, queue, *function_timeout_seconds, deployment))
        .unwrap_or_else(|| {
            let (dead_letters, hidden) = (name_in(dead_letter_url), queue.visibility_timeout_seconds);
            Line::ok(
                check,
                format!(
                    "after {} receives to {dead_letters}; hides for {hidden} s",
                    part.max_receive_count()
                ),
            )
        })
}

/// What is wrong with where its crashed messages go.
fn wired(check: &str, dead_letters: &str, receives: u32, queue: &Queue, repair: String) -> Option<Line> {
    match &queue.redrive {
        None => {
            let message = "a message that crashes its function is tried until it is too old, and is lost";
            Some(Line::failed(check, message, repair))
        }
        Some(redrive) if name_in(&redrive.dead_letter_target_arn) != dead_letters => {
            let message = format!("its dead letters go to {}", name_in(&redrive.dead_letter_target_arn));
            Some(Line::failed(check, message, repair))
        }
        Some(Redrive { max_receive_count, .. }) if *max_receive_count != receives => {
            let message = format!(
                "messages die after {max_receive_count} receives, where the template says {receives}"
            );
            Some(Line::warning(check, message, repair))
        }
        Some(_) => None,
    }
}

/// What is wrong with whom the queue of SES's events lets in: the topic on which SES publishes them.
fn shuts_out(part: Part, check: &str, deployment: &Deployment, queue: &Queue) -> Option<Line> {
    let topic = deployment.parameter("SesEventsTopicArn").filter(|_| part == Part::Feedback)?;
    let lets_in = queue.policy.as_ref().is_some_and(|policy| policy.contains(topic));
    (!lets_in).then(|| {
        let advice = "deploy with SesEventsTopicArn=\"\", then with the topic: CloudFormation does not see what was \
                      changed behind its back";
        Line::failed(check, format!("it does not let {topic} in: nobody hears of mails that bounce"), advice)
    })
}

fn set_redrive(region: &str, url: &str, dead_letter_arn: &str, receives: u32) -> String {
    let policy =
        format!(r#"{{\"deadLetterTargetArn\":\"{dead_letter_arn}\",\"maxReceiveCount\":{receives}}}"#);
    format!("{} --attributes '{{\"RedrivePolicy\":\"{policy}\"}}'", set_attributes(region, url))
}

/// A deployment does not see that it was deleted. What else the queue needs, the next look at it says.
fn make_again(region: &str, name: &str) -> String {
    format!("aws sqs create-queue --region {region} --queue-name {name}, and then keynudge doctor again")
}

fn set_attributes(region: &str, url: &str) -> String {
    format!("aws sqs set-queue-attributes --region {region} --queue-url {url}")
}

/// What is wrong with how long it hides what it gave out.
fn hides(
    check: &str,
    url: &str,
    queue: &Queue,
    timeout: Option<u32>,
    deployment: &Deployment,
) -> Option<Line> {
    let (hidden, timeout) = (queue.visibility_timeout_seconds, timeout?);
    let advised = timeout * TIMEOUTS_ADVISED;
    let set = format!("{} --attributes VisibilityTimeout={advised}", set_attributes(&deployment.region, url));
    let message = format!("it hides messages for {hidden} s, and its function takes up to {timeout} s");
    if hidden < timeout {
        Some(Line::failed(check, format!("{message}: they are worked on twice"), set))
    } else if hidden < advised && !deployment.is_for_testbeds() {
        Some(Line::warning(check, format!("{message}: Lambda advises six times that"), set))
    } else {
        None
    }
}

fn dead_letters(label: &str, output: &str, answer: Option<&Answer<Queue>>, deployment: &Deployment) -> Line {
    let check = format!("dead letters: {label}");
    match answer {
        None => lacks(check, output),
        Some(Ok(Queue { messages: 0, .. })) => Line::ok(check, "none"),
        Some(Ok(Queue { messages, .. })) => Line::warning(
            check,
            format!("{messages} given up"),
            format!(
                "keynudge dlq list {label}{}; then `dlq show`, and `dlq replay` or `dlq drop`",
                deployment.stack_argument()
            ),
        ),
        Some(Err(Unanswered::Missing)) => {
            let name = deployment.output(output).map(name_in).unwrap_or_default();
            Line::failed(check, "their queue is gone", make_again(&deployment.region, name))
        }
        Some(Err(unanswered)) => unanswered.line(check),
    }
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::deployment;
    use super::super::line::Status;
    use super::*;

    const DEAD_LETTERS: &str = "arn:aws:sqs:eu-west-1:123456789012:UsersDeadLetterQueueUrl";

    fn redrive(target: &str, max_receive_count: u32) -> Redrive {
        let dead_letter_target_arn = format!("arn:aws:sqs:eu-west-1:123456789012:{target}");
        Redrive { dead_letter_target_arn, max_receive_count }
    }

    fn judged(queue: Queue, timeout: Option<u32>, parameters: &[(&str, &str)]) -> Line {
        let pair = Pair {
            part: Part::Worker,
            queue: Some(Ok(queue)),
            dead_letters: Some(Ok(Queue { arn: DEAD_LETTERS.to_owned(), ..Queue::default() })),
            function_timeout_seconds: timeout,
        };
        working(&deployment(parameters), &pair)
    }

    fn queue() -> Queue {
        Queue {
            arn: "arn:aws:sqs:eu-west-1:123456789012:UsersQueueUrl".to_owned(),
            messages: 7,
            visibility_timeout_seconds: 360,
            redrive: Some(redrive("UsersDeadLetterQueueUrl", 250)),
            policy: None,
        }
    }

    #[test]
    fn crashed_messages_have_to_go_to_the_queues_own_dead_letters() {
        assert_eq!(judged(queue(), Some(60), &[]).status, Status::Ok);
        let line = judged(Queue { redrive: None, ..queue() }, Some(60), &[]);
        assert_eq!(line.status, Status::Failed);
        let advice = line.advice.unwrap();
        assert!(
            advice.ends_with(
                r#"'{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:123456789012:UsersDeadLetterQueueUrl\",\"maxReceiveCount\":250}"}'"#
            ),
            "{advice}"
        );
        let elsewhere = Queue { redrive: Some(redrive("other", 250)), ..queue() };
        assert_eq!(judged(elsewhere, Some(60), &[]).status, Status::Failed);
        let sooner = Queue { redrive: Some(redrive("UsersDeadLetterQueueUrl", 3)), ..queue() };
        assert_eq!(judged(sooner, Some(60), &[]).status, Status::Warning);
    }

    #[test]
    fn a_message_is_hidden_for_longer_than_its_function_takes() {
        assert_eq!(judged(queue(), Some(361), &[]).status, Status::Failed);
        assert_eq!(judged(queue(), Some(61), &[]).status, Status::Warning);
        assert_eq!(judged(queue(), Some(61), &[("Timing", "testbed")]).status, Status::Ok);
        assert_eq!(judged(queue(), None, &[]).status, Status::Ok);
    }

    #[test]
    fn the_queue_of_events_lets_their_topic_in() {
        let topic = "arn:aws:sns:eu-west-1:123456789012:keynudge-ses-events";
        let deployment = deployment(&[("SesEventsTopicArn", topic)]);
        let status = |part, policy: Option<&str>| {
            let queue = Queue { policy: policy.map(str::to_owned), ..queue() };
            shuts_out(part, "feedback", &deployment, &queue).map(|line| line.status)
        };
        let policy = format!(r#"{{"Condition":{{"ArnEquals":{{"aws:SourceArn":"{topic}"}}}}}}"#);
        assert_eq!(status(Part::Feedback, Some(&policy)), None);
        assert_eq!(status(Part::Feedback, Some("{}")), Some(Status::Failed));
        assert_eq!(status(Part::Feedback, None), Some(Status::Failed));
        assert_eq!(status(Part::Worker, None), None);
    }

    #[test]
    fn dead_letters_are_a_warning_and_a_missing_queue_is_a_failure() {
        let deployment = deployment(&[]);
        let line = |answer| dead_letters("users", "UsersDeadLetterQueueUrl", Some(&answer), &deployment);
        assert_eq!(line(Ok(Queue::default())).status, Status::Ok);
        let waiting = line(Ok(queue()));
        assert_eq!(waiting.status, Status::Warning);
        assert!(waiting.advice.unwrap().starts_with("keynudge dlq list users"));
        assert_eq!(line(Err(Unanswered::Missing)).status, Status::Failed);
        let denied = Unanswered::Denied { action: "sqs:GetQueueAttributes" };
        assert_eq!(line(Err(denied)).status, Status::Unknown);
    }

    #[test]
    fn a_redrive_policy_is_read_with_its_number_written_either_way() {
        for count in ["250", r#""250""#] {
            let policy = format!(r#"{{"deadLetterTargetArn":"arn","maxReceiveCount":{count}}}"#);
            let policy: Redrive = serde_json::from_str(&policy).unwrap();
            assert_eq!(policy.max_receive_count, 250);
        }
    }
}
