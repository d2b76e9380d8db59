//! `keynudge dlq` as its user sees it, on the emulator's queues.
//!
//! All tests share one emulator, each with an account and a stack of its own: the template's queues and outputs, and a
//! producer that prints what it is invoked with.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use keynudge_testbed::aws::{CLOUDFORMATION, Client, LOGS, SQS};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Asked, ask, emulator, eventually, fresh_account, interrupt, keynudge, stderr, stdout};

const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

#[tokio::test]
async fn queues_are_listed_with_their_letters_by_reason() {
    let stack = Stack::deploy().await;
    for reason in ["call_failed", "panicked", "call_failed"] {
        stack.put("users-dead-letters", &check("jane"), Some(reason)).await;
    }
    stack.put("findings-dead-letters", &json!("{"), None).await;

    let output = stack.keynudge(&["dlq", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    let row = |queue: &str| {
        let line = lines.iter().find(|line| line.starts_with(queue)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(row("users").starts_with("users 3 0 ") && row("users").ends_with(" call_failed 2, panicked 1"));
    assert!(row("findings").starts_with("findings 1 0 ") && row("findings").ends_with(" crashed 1"));
    assert_eq!(row("feedback"), "feedback 0 0 -");
    assert_eq!(stack.visible("users-dead-letters").await, 3);

    let output = stack.keynudge(&["dlq", "list", "users", "--json"]);
    let listed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(listed["reasons"], json!({"call_failed": 2, "panicked": 1}));
    assert_eq!((&listed["visible"], &listed["complete"]), (&json!(3), &json!(true)));
    assert!(listed["oldest_age_seconds"].is_u64());
}

#[tokio::test]
async fn letters_are_shown_and_put_back() {
    let stack = Stack::deploy().await;
    for number in 0..25 {
        stack.put("users-dead-letters", &check(&format!("user-{number}")), Some("call_failed")).await;
    }
    let hostile = json!({"account_id": "123456789012", "text": "\u{9b}2J\u{202e}"});
    stack.put("users-dead-letters", &hostile, Some("invalid_message")).await;

    let output = stack.keynudge(&["dlq", "show", "users", "--body"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for number in 0..25 {
        assert!(shown.contains(&format!(", user user-{number},")), "{shown}");
    }
    assert!(shown.contains("unreadable, account 123456789012\n"), "{shown}");
    assert!(!shown.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')));
    assert_eq!(stack.visible("users-dead-letters").await, 26);

    let output = stack.keynudge(&["dlq", "show", "--json", "--user", "user-7"]);
    let letter: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&letter["queue"], &letter["kind"]), (&json!("users"), &json!("check")));
    assert_eq!((&letter["reason"], &letter["function"]), (&json!("call_failed"), &json!("worker")));
    assert_eq!(letter["body"], check("user-7").to_string());

    let output = stack.keynudge(&["dlq", "show", "users", "--limit", "3"]);
    assert_eq!(stdout(&output).lines().filter(|line| line.starts_with("users")).count(), 3);
    assert!(stderr(&output).contains("--limit"), "{}", stderr(&output));
    assert_eq!(stack.visible("users-dead-letters").await, 26);
}

#[tokio::test]
async fn a_replay_sends_letters_back_in_their_group_and_marked_as_replayed() {
    let stack = Stack::deploy().await;
    for number in 0..12 {
        stack.put("users-dead-letters", &check(&format!("user-{number:02}")), Some("call_failed")).await;
    }
    stack.put("findings-dead-letters", &json!({"any": "body"}), None).await;
    let mut named = check("jane");
    named["account_name"] = json!("Zahlungen & Löhne");
    stack.put("accounts-dead-letters", &named, Some("call_failed")).await;

    let output = stack.keynudge(&["dlq", "replay", "--yes", "--rate", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("\nReplayed 14 letters.\n"), "{}", stdout(&output));
    for queue in ["users-dead-letters", "findings-dead-letters"] {
        assert_eq!(stack.count(queue).await, 0);
    }

    let mut messages = stack.receive_all("users", 12).await;
    messages.sort_by_key(|message| message["Body"].to_string());
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(message["Body"], check(&format!("user-{number:02}")).to_string());
        assert_eq!(message["Attributes"]["MessageGroupId"], "123456789012");
        assert_eq!(message["Attributes"].get("AWSTraceHeader"), None, "{message}");
        let attributes = message["MessageAttributes"].as_object().unwrap();
        assert_eq!(attributes.keys().collect::<Vec<_>>(), ["replayed"], "{message}");
    }
    let moved_by_sqs = stack.receive_all("findings", 1).await.remove(0);
    assert_eq!(moved_by_sqs["Body"], json!({"any": "body"}).to_string());
    assert!(moved_by_sqs["MessageAttributes"].as_object().is_none_or(serde_json::Map::is_empty));
    assert_eq!(stack.receive_all("accounts", 1).await[0]["Body"], named.to_string());

    let again = stack.keynudge(&["dlq", "replay", "--yes"]);
    assert_eq!((again.status.code(), stderr(&again).as_str()), (Some(0), "No such letters.\n"));
}

#[tokio::test]
async fn only_what_the_filters_take_is_replayed() {
    let stack = Stack::deploy().await;
    for (user, reason) in [("jane", "call_failed"), ("joe", "call_failed"), ("jane", "panicked")] {
        stack.put("users-dead-letters", &check(user), Some(reason)).await;
    }
    let replay = ["dlq", "replay", "users", "--yes", "--reason", "call_failed"];
    let output = stack.keynudge(&[&replay[..], &["--older-than", "1d"]].concat());
    assert_eq!(stderr(&output), "No such letters.\n");
    let output = stack.keynudge(&[&replay[..], &["--user", "jane", "--account", "123456789012"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stack.visible("users-dead-letters").await, 2);
    assert_eq!(stack.receive_all("users", 1).await[0]["Body"], check("jane").to_string());
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    for command in [&["dlq", "replay", "--dry-run"][..], &["dlq", "drop", "users", "--dry-run"]] {
        let output = stack.keynudge(command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("call_failed"), "{}", stdout(&output));
        assert!(stderr(&output).contains("A dry run: nothing was"), "{}", stderr(&output));
        assert_eq!((stack.visible("users-dead-letters").await, stack.count("users").await), (1, 0));
        assert_eq!(stack.files(), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn nobody_to_ask_is_wrong_usage_and_does_not_hang() {
    let stack = Stack::deploy().await;
    for command in [&["dlq", "replay"][..], &["dlq", "drop", "users"]] {
        let output = stack.keynudge(command);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("add --yes"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn whoever_is_asked_decides() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    for (answer, code, replayed) in [("\n", 1, 0), ("n\n", 1, 0), ("maybe\n", 1, 0), ("y\n", 0, 1)] {
        let mut asked = stack.ask(&["dlq", "replay"]);
        assert!(asked.question.contains("Replay 1 letter, at most 10 a second"), "{}", asked.question);
        asked.terminal.write_all(answer.as_bytes()).unwrap();
        assert_eq!(asked.child.wait().unwrap().code(), Some(code), "{answer:?}");
        assert_eq!(stack.visible("users-dead-letters").await, 1 - replayed);
        assert_eq!(stack.count("users").await, replayed);
    }
}

#[tokio::test]
async fn an_interrupt_at_the_question_puts_everything_back() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let mut asked = stack.ask(&["dlq", "drop", "users"]);
    assert_eq!(stack.visible("users-dead-letters").await, 0);
    interrupt(&asked.child);
    assert_eq!(asked.child.wait().unwrap().code(), Some(1));
    assert_eq!(stack.visible("users-dead-letters").await, 1);
    assert_eq!(stack.files(), [] as [&str; 0]);
}

#[tokio::test]
async fn an_interrupted_replay_puts_the_rest_back_and_can_be_repeated() {
    let stack = Stack::deploy().await;
    for number in 0..15 {
        stack.put("users-dead-letters", &check(&format!("user-{number:02}")), Some("call_failed")).await;
    }
    let mut command = stack.command(&["dlq", "replay", "users", "--yes", "--rate", "2"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("some are replayed", async || stack.count("users").await >= 2).await;
    interrupt(&child);
    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("Interrupted."), "{}", stderr(&output));
    let replayed = stack.count("users").await;
    assert!((2..15).contains(&replayed), "{replayed}");
    assert!(
        stdout(&output).ends_with(&format!("Replayed {replayed} of 15 letters.\n")),
        "{}",
        stdout(&output)
    );
    assert_eq!(stack.visible("users-dead-letters").await, 15 - replayed);

    let output = stack.keynudge(&["dlq", "replay", "users", "--yes", "--rate", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let messages = stack.receive_all("users", 15).await;
    let mut bodies: Vec<&str> = messages.iter().map(|message| message["Body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), 15);
}

#[tokio::test]
async fn failed_starts_are_started_again() {
    let stack = Stack::deploy().await;
    let invocation = json!({
        "version": "1.0", "timestamp": "2026-03-01T06:03:05.123Z",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "requestPayload": {"as_of": "2026-03-01T06:00:00Z", "mode": "dry_run"},
        "responsePayload": {"errorMessage": "sqs:SendMessage failed: AccessDenied"}
    });
    stack.put("producer-failures", &invocation, None).await;
    let schedule = json!({"as_of": "2026-03-02T06:00:00Z", "mode": "live"});
    stack.put("schedule-dead-letters", &schedule, None).await;

    let shown = stdout(&stack.keynudge(&["dlq", "show", "producer"]));
    assert!(shown.contains("the start of a run, dry run, as of 2026-03-01T06:00:00Z\n"), "{shown}");
    assert!(shown.contains("sqs:SendMessage failed: AccessDenied"), "{shown}");

    let output = stack.keynudge(&["dlq", "replay", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for started in [&invocation["requestPayload"], &schedule] {
        eventually("the producer is started", async || {
            stack.producer_log().await.contains(&started.to_string())
        })
        .await;
    }
    assert_eq!(stack.count("producer-failures").await + stack.count("schedule-dead-letters").await, 0);
}

/// It asks for the mode of the day on which it failed, or for one that somebody wrote into the queue.
#[tokio::test]
async fn a_start_that_mails_is_not_replayed_on_a_stack_for_dry_runs() {
    let stack = Stack::deploy_for("dry_run").await;
    stack.put("schedule-dead-letters", &json!({"as_of": "2026-03-02T06:00:00Z", "mode": "live"}), None).await;
    let output = stack.keynudge(&["dlq", "replay", "schedule", "--yes"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("Starts a run: live, as of 2026-03-02T06:00:00Z.") && said.contains("--live"),
        "{said}"
    );
    assert_eq!(stack.visible("schedule-dead-letters").await, 1);
    let output = stack.keynudge(&["dlq", "replay", "schedule", "--yes", "--live"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stack.count("schedule-dead-letters").await, 0);
}

#[tokio::test]
async fn what_starts_nothing_stays_and_is_told() {
    let stack = Stack::deploy().await;
    stack.put("producer-failures", &check("jane"), None).await;
    let output = stack.keynudge(&["dlq", "replay", "producer", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 letter cannot be replayed"), "{}", stderr(&output));
    assert_eq!(stack.visible("producer-failures").await, 1);

    let dry = stack.keynudge(&["dlq", "replay", "producer", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", stderr(&dry));

    stack.put("producer-failures", &json!({"as_of": "2026-03-02T06:00:00Z", "mode": "live"}), None).await;
    let output = stack.keynudge(&["dlq", "replay", "producer", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("\nReplayed 1 letter.\n"), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(said.contains("1 letter cannot be replayed") && !said.contains("to go on"), "{said}");
    assert_eq!(stack.visible("producer-failures").await, 1);
}

#[tokio::test]
async fn letters_that_another_command_holds_are_told() {
    let stack = Stack::deploy().await;
    let findings = "findings-dead-letters";
    stack.put(findings, &json!({"any": "body"}), None).await;
    let hold = json!({"QueueUrl": stack.url(findings), "VisibilityTimeout": 600});
    stack.aws.json(SQS, "ReceiveMessage", &hold).await.unwrap();

    let told = "About 1 more are held by another command; they appear within 10 minutes.\n";
    for command in [
        &["dlq", "show"][..],
        &["dlq", "replay", "--yes"],
        &["dlq", "replay", "--dry-run"],
        &["dlq", "drop", "findings", "--yes"],
    ] {
        let output = stack.keynudge(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let none = "No such letters among those that could be read.\n";
        assert_eq!(stderr(&output), format!("{none}{told}"));
    }

    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let output = stack.keynudge(&["dlq", "replay", "--yes"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), told));
    assert!(stdout(&output).ends_with("\nReplayed 1 letter.\n"), "{}", stdout(&output));
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_hides_no_other() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let feedback = json!({"QueueUrl": stack.url("feedback-dead-letters")});
    stack.aws.json(SQS, "DeleteQueue", &feedback).await.unwrap();
    for (command, lines) in [(["dlq", "list"], 6), (["dlq", "show"], 4)] {
        let output = stack.keynudge(&command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let (shown, said) = (stdout(&output), stderr(&output));
        assert!(shown.contains("call_failed") && shown.lines().count() == lines, "{shown}");
        assert!(
            said.starts_with("error: feedback: there is no queue ") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[tokio::test]
async fn an_interrupt_before_anything_is_held_ends_it_at_once_and_claims_nothing() {
    let stack = Stack::deploy().await;
    // It never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let queue = format!("{endpoint}/1/users");
    let by_signal = (None, Some(Signal::INT.as_raw()));
    // While it looks for the stack, Ctrl-C ends it as any process. While it looks at a queue, it ends by itself.
    for (arguments, ended, said) in [
        (&["dlq", "list"][..], by_signal, ""),
        (&["dlq", "show", "--queue-url", &queue], (Some(1), None), "error: users: interrupted\n"),
    ] {
        let child = stack.command_at(&endpoint, arguments).stderr(Stdio::piped()).spawn().unwrap();
        let connection = listener.accept().unwrap();
        interrupt(&child);
        // A process that does not end by the interrupt ends by this, and fails the test.
        drop(connection);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.status.signal()), ended, "{}", stderr(&output));
        assert!(stderr(&output).starts_with(said), "{}", stderr(&output));
        assert!(!stderr(&output).contains("minutes"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn what_is_dropped_is_in_a_file_first() {
    let stack = Stack::deploy().await;
    for number in 0..12 {
        stack.put("users-dead-letters", &check(&format!("user-{number:02}")), Some("panicked")).await;
    }
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let drop = ["dlq", "drop", "users", "--yes", "--reason", "panicked"];

    let existing = stack.directory.join("existing");
    fs::write(&existing, "precious").unwrap();
    let output = stack.keynudge(&[&drop[..], &["--save", existing.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nothing was dropped: File exists"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&existing).unwrap(), "precious");
    assert_eq!(stack.visible("users-dead-letters").await, 13);
    fs::remove_file(existing).unwrap();

    let output = stack.keynudge(&drop);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("\nDropped 12 letters.\n"), "{}", stdout(&output));
    assert_eq!((stack.visible("users-dead-letters").await, stack.count("users-dead-letters").await), (1, 1));
    let [file] = stack.files().try_into().unwrap();
    assert!(file.starts_with("keynudge-dropped-users-2"), "{file}");
    let saved = fs::read_to_string(stack.directory.join(file)).unwrap();
    let saved: Vec<Value> = saved.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut bodies: Vec<&str> = saved.iter().map(|letter| letter["body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    let expected: Vec<String> =
        (0..12).map(|number| check(&format!("user-{number:02}")).to_string()).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_queue_can_be_named_by_its_url() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let (from, to) = (stack.url("users-dead-letters"), stack.url("findings"));
    let output = stack.keynudge(&["dlq", "list", "--stack", "none", "--queue-url", &from]);
    assert!(stdout(&output).contains("call_failed 1"), "{}", stdout(&output));

    let output = stack.keynudge(&["dlq", "replay", "--yes", "--queue-url", &from]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--to-queue-url"), "{}", stderr(&output));

    let output = stack.keynudge(&["dlq", "replay", "--yes", "--queue-url", &from, "--to-queue-url", &to]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stack.receive_all("findings", 1).await[0]["Body"], check("jane").to_string());
}

#[tokio::test]
async fn an_error_says_what_to_do() {
    let stack = Stack::deploy().await;
    let nowhere = stack.url("none");
    for (command, advice) in [
        (&["dlq", "list", "--stack", "none"][..], "there is no stack \"none\" in us-east-1 from http://"),
        (&["dlq", "list", "--queue-url", &nowhere], "there is no queue "),
        (
            &["dlq", "list", "--profile", "none"],
            "there is no profile \"none\" in ~/.aws/config or ~/.aws/credentials",
        ),
    ] {
        let output = stack.keynudge(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = stderr(&output);
        assert!(said.starts_with("error: ") && said.contains(advice), "{said}");
        assert_eq!(stdout(&output), "");
    }
    let output = stack.command(&["dlq", "list"]).env_remove("AWS_REGION").output().unwrap();
    assert!(stderr(&output).contains("no region: give --region"), "{}", stderr(&output));
    let output = stack.command(&["dlq", "list"]).env_remove("AWS_ACCESS_KEY_ID").output().unwrap();
    assert!(stderr(&output).contains("no AWS credentials: give --profile"), "{}", stderr(&output));
}

#[tokio::test]
async fn letters_that_cannot_be_sent_stay() {
    let stack = Stack::deploy().await;
    stack.put("users-dead-letters", &check("jane"), Some("call_failed")).await;
    let (from, to) = (stack.url("users-dead-letters"), stack.url("none"));
    let output = stack.keynudge(&["dlq", "replay", "--yes", "--queue-url", &from, "--to-queue-url", &to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("1 letter not replayed: there is no queue "), "{}", stderr(&output));
    assert_eq!(stack.visible("users-dead-letters").await, 1);
}

/// A stack in an account nobody has used before, and a directory to run in.
struct Stack {
    aws: Client,
    directory: PathBuf,
}

impl Stack {
    async fn deploy() -> Self {
        Self::deploy_for("live").await
    }

    /// One whose schedule starts runs of this mode.
    async fn deploy_for(mode: &str) -> Self {
        let aws = Client::new(emulator().await.endpoint(), fresh_account());
        let directory = format!("dlq-{}-{}", std::process::id(), aws.account());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
        fs::create_dir_all(&directory).unwrap();
        let stack = Self { aws, directory };
        let template = stack.template().to_string();
        let parameters = [
            ("StackName", "keynudge"),
            ("TemplateBody", &template),
            ("Parameters.member.1.ParameterKey", "Mode"),
            ("Parameters.member.1.ParameterValue", mode),
        ];
        stack.aws.query::<serde::de::IgnoredAny>(CLOUDFORMATION, "CreateStack", &parameters).await.unwrap();
        eventually("the stack is there", async || stack.status().await == "CREATE_COMPLETE").await;
        stack
    }

    /// The queues and outputs of the real template. The emulator mixes up functions of one name.
    fn template(&self) -> Value {
        let mut resources = json!({
            "ProducerRole": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"
                }]
            }}},
            "ProducerFunction": {"Type": "AWS::Lambda::Function", "Properties": {
                "FunctionName": self.producer(), "Runtime": "python3.12", "Handler": "index.handler",
                "Role": {"Fn::GetAtt": ["ProducerRole", "Arn"]},
                "Code": {"ZipFile": "import json\ndef handler(event, _):\n    print(json.dumps(event, separators=(',', ':')))\n"}
            }}
        });
        let mut outputs = json!({"ProducerFunctionName": {"Value": {"Ref": "ProducerFunction"}}});
        for (output, queue) in [
            ("AccountsQueueUrl", "accounts"),
            ("AccountsDeadLetterQueueUrl", "accounts-dead-letters"),
            ("UsersQueueUrl", "users"),
            ("UsersDeadLetterQueueUrl", "users-dead-letters"),
            ("FindingsQueueUrl", "findings"),
            ("FindingsDeadLetterQueueUrl", "findings-dead-letters"),
            ("FeedbackQueueUrl", "feedback"),
            ("FeedbackDeadLetterQueueUrl", "feedback-dead-letters"),
            ("ScheduleDeadLetterQueueUrl", "schedule-dead-letters"),
            ("ProducerFailuresQueueUrl", "producer-failures"),
        ] {
            let name = format!("keynudge-{queue}");
            resources[output] = json!({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}});
            outputs[output] = json!({"Value": {"Ref": output}});
        }
        let parameters = json!({"Mode": {"Type": "String"}});
        json!({"Parameters": parameters, "Resources": resources, "Outputs": outputs})
    }

    fn producer(&self) -> String {
        format!("keynudge-{}-producer", self.aws.account())
    }

    async fn status(&self) -> String {
        #[derive(Deserialize)]
        struct Response {
            #[serde(rename = "DescribeStacksResult")]
            result: StacksResult,
        }
        #[derive(Deserialize)]
        struct StacksResult {
            #[serde(rename = "Stacks")]
            stacks: Members,
        }
        #[derive(Deserialize)]
        struct Members {
            member: StackStatus,
        }
        #[derive(Deserialize)]
        struct StackStatus {
            #[serde(rename = "StackStatus")]
            status: String,
        }
        let parameters = [("StackName", "keynudge")];
        let answer: Response = self.aws.query(CLOUDFORMATION, "DescribeStacks", &parameters).await.unwrap();
        answer.result.stacks.member.status
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/{}/keynudge-{queue}", self.aws.endpoint(), self.aws.account())
    }

    /// Puts a letter in a queue, as our functions do if there is a reason, and as SQS does if there is none.
    async fn put(&self, queue: &str, body: &Value, reason: Option<&str>) {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let mut message = json!({
            "QueueUrl": self.url(queue), "MessageBody": body, "MessageGroupId": "123456789012",
            "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
        });
        if let Some(reason) = reason {
            let text = |text: &str| json!({"DataType": "String", "StringValue": text});
            message["MessageAttributes"] =
                json!({"reason": text(reason), "function": text("worker"), "attempts": text("3")});
        }
        self.aws.json(SQS, "SendMessage", &message).await.unwrap();
    }

    /// How many letters can be received.
    async fn visible(&self, queue: &str) -> usize {
        self.attribute(queue, "ApproximateNumberOfMessages").await
    }

    /// How many letters there are, visible or not.
    async fn count(&self, queue: &str) -> usize {
        self.visible(queue).await + self.attribute(queue, "ApproximateNumberOfMessagesNotVisible").await
    }

    async fn attribute(&self, queue: &str, name: &str) -> usize {
        let request = json!({"QueueUrl": self.url(queue), "AttributeNames": [name]});
        let answer = self.aws.json(SQS, "GetQueueAttributes", &request).await.unwrap();
        answer["Attributes"][name].as_str().unwrap().parse().unwrap()
    }

    /// Receives until there are so many messages, which are all.
    async fn receive_all(&self, queue: &str, count: usize) -> Vec<Value> {
        let request = json!({
            "QueueUrl": self.url(queue), "MaxNumberOfMessages": 10,
            "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]
        });
        let mut messages = Vec::new();
        while self.visible(queue).await > 0 {
            let answer = self.aws.json(SQS, "ReceiveMessage", &request).await.unwrap();
            messages.extend(answer["Messages"].as_array().cloned().unwrap_or_default());
        }
        assert_eq!(messages.len(), count);
        messages
    }

    async fn producer_log(&self) -> String {
        let request = json!({"logGroupName": format!("/aws/lambda/{}", self.producer())});
        // There is none before the first start.
        let answer = self.aws.json(LOGS, "FilterLogEvents", &request).await.unwrap_or_default();
        answer["events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|event| event["message"].as_str())
            .collect()
    }

    /// The program, on the emulator.
    fn command(&self, arguments: &[&str]) -> Command {
        self.command_at(self.aws.endpoint(), arguments)
    }

    /// The program, with nothing of the user's own AWS settings.
    fn command_at(&self, endpoint: &str, arguments: &[&str]) -> Command {
        keynudge(self.aws.account(), &self.directory, &[&["--endpoint-url", endpoint], arguments].concat())
    }

    fn keynudge(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ask(&self, arguments: &[&str]) -> Asked {
        ask(self.command(arguments))
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn check(user: &str) -> Value {
    json!({
        "v": 1, "run_id": "2026-03-01T06:00:00Z", "as_of": "2026-03-01T06:00:00Z", "mode": "live",
        "account_id": "123456789012",
        "user": {
            "name": user, "id": "AIDAAAAAAAAAAAAAAAAAA", "created_at": "2024-01-01T00:00:00Z",
            "arn": format!("arn:aws:iam::123456789012:user/{user}")
        }
    })
}
