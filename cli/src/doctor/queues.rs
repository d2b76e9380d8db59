//! Whether the queues are wired as the template has them, and hold dead letters.

use serde::Deserialize;

use super::answer::{Answer, Unanswered};
use super::deployment::{Deployment, Part, lacks, name_in};
use super::line::{Line, Section};

/// Lambda's advice: so many times a function's timeout is how long its queue hides what it gave out.
const TIMEOUTS_ADVISED: u32 = 6;

/// What to do about a queue that is gone.
const GONE: &str = "CloudFormation does not see that it was deleted: delete the stack and deploy it anew. The next run \
                    finds again whoever is due";

/// A queue, as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) messages: u64,
    pub(crate) visibility_timeout_seconds: u32,
    pub(crate) redrive: Option<Redrive>,
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
    lines.extend(all.map(|(label, output, answer)| dead_letters(label, output, answer.as_ref())));
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
            return Line::failed(check, format!("{} is gone", name_in(url)), GONE);
        }
        Some(Err(unanswered)) => return unanswered.line(check),
        None => return lacks(check, outputs[0]),
    };
    wired(check, url, dead_letter_url, part.max_receive_count(), queue)
        .or_else(|| hides(check, url, queue, *function_timeout_seconds, deployment.is_for_testbeds()))
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
fn wired(check: &str, url: &str, dead_letter_url: &str, receives: u32, queue: &Queue) -> Option<Line> {
    let dead_letters = name_in(dead_letter_url);
    let message = match &queue.redrive {
        None => "a message that crashes its function is tried until it is too old, and is lost".to_owned(),
        Some(redrive) if name_in(&redrive.dead_letter_target_arn) != dead_letters => {
            format!("its dead letters go to {}", name_in(&redrive.dead_letter_target_arn))
        }
        Some(redrive) if redrive.max_receive_count != receives => {
            let tries = redrive.max_receive_count;
            let message = format!("messages die after {tries} receives, where the template says {receives}");
            return Some(Line::warning(check, message, set_redrive(url, dead_letters, receives)));
        }
        Some(_) => return None,
    };
    Some(Line::failed(check, message, set_redrive(url, dead_letters, receives)))
}

fn set_redrive(url: &str, dead_letters: &str, receives: u32) -> String {
    let arn = arn_beside(url, dead_letters).unwrap_or_else(|| format!("ARN of {dead_letters}"));
    let policy = format!(r#"{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":{receives}}}"#);
    format!(r#"aws sqs set-queue-attributes --queue-url {url} --attributes '{{"RedrivePolicy":"{policy}"}}'"#)
}

/// The ARN of the queue called `name` in the region and account of the queue at `url`:
/// `https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE`.
fn arn_beside(url: &str, name: &str) -> Option<String> {
    let (host, path) = url.split_once("://")?.1.split_once('/')?;
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?;
    let partition = match region {
        (_, ".cn") => "aws-cn",
        (region, _) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let (account, _) = path.split_once('/')?;
    Some(format!("arn:{partition}:sqs:{}:{account}:{name}", region.0))
}

/// What is wrong with how long it hides what it gave out.
fn hides(check: &str, url: &str, queue: &Queue, timeout: Option<u32>, is_for_testbeds: bool) -> Option<Line> {
    let (hidden, timeout) = (queue.visibility_timeout_seconds, timeout?);
    let advised = timeout * TIMEOUTS_ADVISED;
    let set =
        format!("aws sqs set-queue-attributes --queue-url {url} --attributes VisibilityTimeout={advised}");
    let message = format!("it hides messages for {hidden} s, and its function takes up to {timeout} s");
    if hidden < timeout {
        Some(Line::failed(check, format!("{message}: they are worked on twice"), set))
    } else if hidden < advised && !is_for_testbeds {
        Some(Line::warning(check, format!("{message}: Lambda advises six times that"), set))
    } else {
        None
    }
}

fn dead_letters(label: &str, output: &str, answer: Option<&Answer<Queue>>) -> Line {
    let check = format!("dead letters: {label}");
    match answer {
        None => lacks(check, output),
        Some(Ok(Queue { messages: 0, .. })) => Line::ok(check, "none"),
        Some(Ok(Queue { messages, .. })) => Line::warning(
            check,
            format!("{messages} given up"),
            format!("keynudge dlq list {label}; then `dlq show`, and `dlq replay` or `dlq drop`"),
        ),
        Some(Err(Unanswered::Missing)) => Line::failed(check, "their queue is gone", GONE),
        Some(Err(unanswered)) => unanswered.line(check),
    }
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::deployment;
    use super::super::line::Status;
    use super::*;

    fn redrive(target: &str, max_receive_count: u32) -> Redrive {
        let dead_letter_target_arn = format!("arn:aws:sqs:eu-west-1:123456789012:{target}");
        Redrive { dead_letter_target_arn, max_receive_count }
    }

    fn judged(queue: Queue, timeout: Option<u32>, parameters: &[(&str, &str)]) -> Line {
        let pair = Pair {
            part: Part::Worker,
            queue: Some(Ok(queue)),
            dead_letters: None,
            function_timeout_seconds: timeout,
        };
        working(&deployment(parameters), &pair)
    }

    fn queue() -> Queue {
        Queue {
            messages: 7,
            visibility_timeout_seconds: 360,
            redrive: Some(redrive("UsersDeadLetterQueueUrl", 250)),
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
    fn dead_letters_are_a_warning_and_a_missing_queue_is_a_failure() {
        let line = |answer| dead_letters("users", "UsersDeadLetterQueueUrl", Some(&answer));
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

    #[test]
    fn the_arn_of_a_queue_follows_from_its_neighbours_url() {
        let arn = |url| arn_beside(url, "b");
        assert_eq!(
            arn("https://sqs.us-gov-west-1.amazonaws.com/123456789012/a").as_deref(),
            Some("arn:aws-us-gov:sqs:us-gov-west-1:123456789012:b")
        );
        assert_eq!(
            arn("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/a").as_deref(),
            Some("arn:aws-cn:sqs:cn-north-1:123456789012:b")
        );
        assert_eq!(arn("http://127.0.0.1:4566/123456789012/a"), None);
    }
}
