//! `keynudge doctor` as its user sees it: before anything is deployed, on the real template as the emulator deploys it, and
//! after somebody has had their hands in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_scheduler::types::ScheduleState;
use aws_sdk_sesv2::types::MailType;
use aws_sdk_sqs::types::QueueAttributeName;
use keynudge_testbed::aws::{Client, REGION};
use keynudge_testbed::deployment::{Deployment, Parameters, SesStack, sender};
use keynudge_testbed::emulator::{Emulator, Options};
use keynudge_testbed::functions::Function;
use keynudge_testbed::pipeline::{Patience, Run};
use serde::Deserialize;
use serde_json::json;

use crate::support::{emulator, fresh_account, keynudge, packages, stderr, stdout, terminal};

#[tokio::test]
async fn before_deploying_it_says_who_asks_and_what_is_missing_in_ses() {
    let account = Account::fresh(emulator().await);
    let arguments = ["--sender", "keynudge@mail.example.com", "--expected-mails", "800"];

    let checkup = account.doctor(&arguments);
    assert_eq!(checkup.code, 1);
    assert!(checkup.line("Caller", "credentials").message.contains(account.aws.account().as_str()));
    checkup.line("Caller", "iam:ListUsers").is("ok", "allowed");
    checkup.line("Caller", "iam:ListAccessKeys").is("unknown", "no user");
    checkup.line("Stack", "status").is("unknown", "not deployed yet");
    let line = checkup.line("SES", "sender");
    line.is("failed", "knows neither keynudge@mail.example.com nor its domain in us-east-1");
    line.advises("create-email-identity --region us-east-1 --email-identity mail.example.com");
    checkup.line("SES", "sandbox").is("ok", "out of it");
    checkup.line("SES", "quota").is("ok", "0 of 50000 used in 24 h, 14 a second; 800 mails expected");
    checkup.line("SES", "configuration set").is("warning", "none");
    assert_eq!(checkup.failed(), ["SES: sender"]);

    // A domain above is enough, and a user with a key is enough to try the rest on.
    account.ses(REGION).create_email_identity().email_identity("example.com").send().await.unwrap();
    let iam = aws_sdk_iam::Client::new(&account.config(REGION));
    iam.create_user().user_name("jane").send().await.unwrap();
    iam.create_access_key().user_name("jane").send().await.unwrap();
    let checkup = account.doctor(&arguments);
    assert_eq!(checkup.code, 0, "{checkup:?}");
    checkup
        .line("SES", "sender")
        .is("ok", "keynudge@mail.example.com, as example.com is verified in us-east-1");
    checkup.line("SES", "DKIM").is("warning", "not signed (PENDING)");
    for action in ["ListAccessKeys", "ListUserTags", "GetAccessKeyLastUsed", "GetCredentialReport"] {
        checkup.line("Caller", &format!("iam:{action}")).is("ok", "allowed");
    }
}

#[tokio::test]
async fn a_sender_that_is_verified_in_another_region_is_found_there() {
    let account = Account::fresh(emulator().await);
    account.ses(REGION).create_email_identity().email_identity("example.com").send().await.unwrap();
    let arguments = ["--sender", "keynudge@example.com", "--ses-region", "eu-west-1"];
    let checkup = account.doctor(&arguments);
    let line = checkup.line("SES", "sender");
    line.is("failed", "not verified in eu-west-1, but in us-east-1");
    line.advises("SesRegion=us-east-1");
}

#[tokio::test]
async fn a_stack_that_somebody_names_has_to_be_there() {
    let account = Account::fresh(emulator().await);
    let checkup = account.doctor(&["--stack", "keynudge-test"]);
    assert_eq!((checkup.code, checkup.failed()), (1, vec!["Stack: status".to_owned()]));
}

#[tokio::test]
async fn without_credentials_it_says_how_to_get_some() {
    let account = Account::fresh(emulator().await);
    let mut command = account.command(&["doctor"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.starts_with("Caller\n  ✘ credentials  "), "{said}");
    assert!(said.contains("      → no AWS credentials: give --profile"), "{said}");
    assert!(said.ends_with("Something does not work: see ✘. 0 ✔  1 ✘  0 ⚠  0 –\n"), "{said}");
}

#[tokio::test]
async fn signs_are_in_colour_on_a_terminal_unless_nobody_wants_that() {
    let account = Account::fresh(emulator().await);
    let said = |no_color: &str| {
        let mut command = account.command(&["doctor"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env("NO_COLOR", no_color);
        on_a_terminal(command)
    };
    let coloured = said("");
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31m✘\u{1b}[0m credentials "), "{coloured:?}");
    let plain = said("1");
    assert!(plain.contains("  ✘ credentials ") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[tokio::test]
async fn where_nobody_answers_it_says_so_once() {
    let account = Account::fresh(emulator().await);
    let arguments = ["doctor", "--json", "--endpoint-url", "http://127.0.0.1:9"];
    let output = keynudge(account.aws.account(), &account.home, &arguments).output().unwrap();
    let checkup = Checkup::of(&output);
    assert_eq!((checkup.code, checkup.lines.len()), (1, 1), "{checkup:?}");
    let line = checkup.line("Caller", "credentials");
    line.is("failed", "no answer");
    line.advises("--endpoint-url");
}

#[tokio::test]
async fn a_fresh_deployment_is_healthy_and_its_warnings_are_explained() {
    let Deployed { account, .. } = Deployed::create(|parameters| parameters).await;
    let checkup = account.doctor(&["--expected-mails", "10"]);
    assert_eq!(checkup.failed(), Vec::<String>::new(), "{checkup:?}");
    assert_eq!(checkup.code, 0);
    // The emulator signs nothing, and the testbed's schedule waits for the year 2999.
    let warned = checkup.with_status("warning");
    assert_eq!(warned, ["SES: DKIM", "Schedule: state"], "{checkup:?}");
    assert!(checkup.lines.values().filter(|line| line.status == "warning").all(|line| line.advice.is_some()));
    checkup.line("SES", "events").is("ok", "send, bounce, complaint, reject go to arn:aws:sns:us-east-1:");
    checkup.line("Functions", "worker").is("ok", "Active, provided.al2023");
    checkup.line("Functions", "notifier's queue").is("ok", "2 batches at once");
    checkup.line("Functions", "producer's failures").is("ok", "producer-failures");
    checkup.line("Queues", "users").is("ok", "after 250 receives to");
    checkup.line("Ledger", "table").is("ok", "ACTIVE, keys pk and sk");
    checkup.line("Errors", "producer").is("ok", "none in 1 d");
    // Nobody to try it on.
    assert!(checkup.with_status("unknown").iter().all(|check| check.starts_with("Caller: iam:")));

    // For people: as many lines, in colour nowhere but on a terminal.
    let output = account.command(&["doctor", "--expected-mails", "10"]).output().unwrap();
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    let signs = ["  ✔ ", "  ✘ ", "  ⚠ ", "  – "];
    let lines = said.lines().filter(|line| signs.iter().any(|sign| line.starts_with(sign))).count();
    assert_eq!(lines, checkup.lines.len());
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(said.contains("\nNothing found that does not work. "), "{said}");
}

#[tokio::test]
async fn what_somebody_broke_is_found_and_comes_with_its_remedy() {
    let deployed = Deployed::create(|parameters| parameters.with("NotifierConcurrency", "3")).await;
    let Deployed { account, deployment, ses } = &deployed;
    deployed.switch_schedule_off().await;
    deployment.set_fed(Function::Worker, false).await.unwrap();
    deployed.take_redrive_policy_from(&deployment.outputs.findings_queue_url).await;
    deployed.put_dead_letter().await;
    deployed.log_error().await;
    deployed.take_ses_away().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&account.config(REGION));
    dynamodb.delete_table().table_name(&deployment.outputs.ledger_table_name).send().await.unwrap();

    let checkup = account.doctor(&[]);
    assert_eq!(checkup.code, 1);
    checkup.line("SES", "sender").is("failed", &format!("knows neither {}", sender()));
    let line = checkup.line("SES", "sandbox");
    line.is("failed", "only verified addresses get mail");
    line.advises("RedirectAllTo=");
    checkup.line("SES", "configuration set").is("failed", &ses.configuration_set);
    let line = checkup.line("Schedule", "state");
    line.is("failed", "somebody switched it off");
    line.advises("ScheduleState=ENABLED");
    let line = checkup.line("Functions", "worker's queue");
    line.is("failed", "its messages wait");
    line.advises("aws lambda update-event-source-mapping --region us-east-1 --uuid ");
    checkup.line("Functions", "notifier's queue").is("ok", "3 batches at once");
    let line = checkup.line("Queues", "findings");
    line.is("failed", "a message that crashes its function");
    line.advises("aws sqs set-queue-attributes --region us-east-1 --queue-url ");
    line.advises(&format!(
        "arn:aws:sqs:us-east-1:{}:{}-findings-dead-letters",
        account.aws.account(),
        deployment.stack
    ));
    let line = checkup.line("Queues", "dead letters: users");
    line.is("warning", "1 given up");
    line.advises(&format!("keynudge dlq list users --stack {}", deployment.stack));
    let line = checkup.line("Ledger", "table");
    line.is("failed", "is gone");
    line.advises("restoring-the-ledger");
    let line = checkup.line("Errors", "worker");
    line.is("failed", " in 1 d, the last at ");
    line.advises("infra/RUNBOOK.md#worker-errors");
    assert_eq!(
        checkup.failed(),
        [
            "Errors: worker",
            "Functions: worker's queue",
            "Ledger: table",
            "Queues: findings",
            "SES: configuration set",
            "SES: sandbox",
            "SES: sender",
            "Schedule: state",
        ]
    );
}

/// A pilot's run, as of a day on which keys made just now are old.
#[tokio::test]
async fn the_last_run_says_how_many_mails_to_expect_and_a_pilot_is_called_one() {
    let Deployed { account, deployment, .. } = Deployed::create(|parameters| {
        let parameters = parameters.with("Audience", "all").with("AllowAsOf", "true");
        parameters.with("RedirectAllTo", "pilot@corp.example").with("Timing", "testbed")
    })
    .await;
    let checkup = account.doctor(&[]);
    let line = checkup.line("SES", "quota");
    line.is("unknown", "how many mails there will be is not known");
    line.advises("--expected-mails");

    let iam = aws_sdk_iam::Client::new(&account.config(REGION));
    for user in ["jane", "john"] {
        iam.create_user().user_name(user).send().await.unwrap();
        iam.create_access_key().user_name(user).send().await.unwrap();
    }
    let run = Run { as_of: Some("2099-03-01T06:00:00Z"), ..Run::default() };
    deployment.run_as(run, Patience::default(), |_| ()).await.unwrap_or_else(|error| panic!("{error}"));

    let checkup = account.doctor(&[]);
    checkup.line("SES", "quota").is("ok", "2 mails at most, as of the run 2099-03-01T06:00:00Z");
    checkup.line("Schedule", "recipients").is("warning", "pilot: every mail goes to pilot@corp.example");
    checkup.line("Schedule", "settings").is("warning", "AllowAsOf=true and Timing=testbed");
    // The testbed has changed the schedule for this run.
    checkup.line("Schedule", "state").is("failed", "its only time has passed");
    checkup.line("Schedule", "mode").is("failed", "as of \"2099-03-01T06:00:00Z\"");
}

/// An emulator that judges policies; the user may ask who they are, and what the stack is.
#[tokio::test]
async fn what_the_caller_may_not_ask_is_not_known_and_the_action_is_named() {
    let options = Options { enforce_iam: true, ..Options::default() };
    let emulator = Emulator::start(&options, &|_| ()).await.unwrap_or_else(|error| panic!("{error}"));
    let mut account = Account::fresh(&emulator);
    let (key_id, secret) = account.create_user_who_may(&["cloudformation:DescribeStacks"]).await;
    let doctor = |account: &Account| {
        let mut command = account.command(&["doctor", "--sender", "keynudge@example.com", "--json"]);
        command.env("AWS_ACCESS_KEY_ID", &key_id).env("AWS_SECRET_ACCESS_KEY", &secret);
        Checkup::of(&command.output().unwrap())
    };
    let checkup = doctor(&account);
    assert_eq!(checkup.code, 1);
    let line = checkup.line("Caller", "iam:ListUsers");
    line.is("failed", "denied: you cannot scan");
    line.advises("iam:ListUsers");
    checkup.line("Caller", "iam:ListAccountAliases").is("warning", "denied");
    checkup.line("SES", "sender").is("unknown", "lack the action ses:GetEmailIdentity");
    checkup.line("SES", "account").is("unknown", "lack the action ses:GetAccount");
    assert_eq!(checkup.failed(), ["Caller: iam:ListUsers"]);

    // Keynudge works whatever whoever asks may do.
    let deployment = Deployment::create(account.aws.clone(), packages().await, &Parameters::default()).await;
    account.stack = Some(deployment.unwrap_or_else(|error| panic!("{error}")).stack);
    let checkup = doctor(&account);
    assert_eq!((checkup.code, checkup.failed()), (0, Vec::new()), "{checkup:?}");
    for (section, check, action) in [
        ("Schedule", "state", "scheduler:GetSchedule"),
        ("Functions", "worker", "lambda:GetFunctionConfiguration"),
        ("Functions", "worker's queue", "lambda:ListEventSourceMappings"),
        ("Functions", "producer's failures", "lambda:GetFunctionEventInvokeConfig"),
        ("Queues", "users", "sqs:GetQueueAttributes"),
        ("Queues", "dead letters: schedule", "sqs:GetQueueAttributes"),
        ("Ledger", "table", "dynamodb:DescribeTable"),
        ("Ledger", "expiry", "dynamodb:DescribeTimeToLive"),
        ("Ledger", "point-in-time recovery", "dynamodb:DescribeContinuousBackups"),
        ("Errors", "worker", "logs:FilterLogEvents"),
    ] {
        checkup.line(section, check).is("unknown", &format!("lack the action {action}"));
    }
}

/// An account, and somebody's home in it.
struct Account {
    aws: Client,
    home: PathBuf,
    /// If it is not the usual one.
    stack: Option<String>,
}

impl Account {
    fn fresh(emulator: &Emulator) -> Self {
        let aws = Client::new(emulator.endpoint(), fresh_account());
        let home = format!("doctor-{}-{}", std::process::id(), aws.account());
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(home);
        fs::create_dir_all(&home).unwrap();
        Self { aws, home, stack: None }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = keynudge(self.aws.account(), &self.home, arguments);
        command.args(["--endpoint-url", self.aws.endpoint()]);
        command.args(self.stack.iter().flat_map(|stack| ["--stack", stack]));
        command
    }

    /// What it says to programs, of the account's stack where there is one.
    fn doctor(&self, arguments: &[&str]) -> Checkup {
        Checkup::of(&self.command(&[&["doctor", "--json"], arguments].concat()).output().unwrap())
    }

    fn config(&self, region: &str) -> SdkConfig {
        let key_id = self.aws.account().as_str();
        let credentials = aws_credential_types::Credentials::new(key_id, "any", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .endpoint_url(self.aws.endpoint())
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build()
    }

    fn ses(&self, region: &str) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::new(&self.config(region))
    }

    /// A user with these permissions: the id and the secret of their key.
    async fn create_user_who_may(&self, actions: &[&str]) -> (String, String) {
        let iam = aws_sdk_iam::Client::new(&self.config(REGION));
        iam.create_user().user_name("jane").send().await.unwrap();
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
        });
        let put = iam.put_user_policy().user_name("jane").policy_name("may");
        put.policy_document(policy.to_string()).send().await.unwrap();
        let key = iam.create_access_key().user_name("jane").send().await.unwrap().access_key.unwrap();
        (key.access_key_id, key.secret_access_key)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Keynudge, deployed from its own templates.
struct Deployed {
    account: Account,
    deployment: Deployment,
    ses: SesStack,
}

impl Deployed {
    async fn create(parameters: impl FnOnce(Parameters) -> Parameters) -> Self {
        let mut account = Account::fresh(emulator().await);
        let ses = SesStack::create(&account.aws).await.unwrap_or_else(|error| panic!("{error}"));
        let defaults = Parameters::unpaced()
            .with("ConfigurationSet", ses.configuration_set.clone())
            .with("SesEventsTopicArn", ses.events_topic_arn.clone());
        let deployment =
            Deployment::create(account.aws.clone(), packages().await, &parameters(defaults)).await;
        let deployment = deployment.unwrap_or_else(|error| panic!("{error}"));
        account.stack = Some(deployment.stack.clone());
        Self { account, deployment, ses }
    }

    async fn switch_schedule_off(&self) {
        let scheduler = aws_sdk_scheduler::Client::new(&self.account.config(REGION));
        let schedule =
            scheduler.get_schedule().name(&self.deployment.outputs.schedule_name).send().await.unwrap();
        let update = scheduler
            .update_schedule()
            .name(&self.deployment.outputs.schedule_name)
            .set_schedule_expression(schedule.schedule_expression)
            .set_flexible_time_window(schedule.flexible_time_window)
            .set_target(schedule.target)
            .state(ScheduleState::Disabled);
        update.send().await.unwrap();
    }

    /// Sender and configuration set are gone, and the sandbox is back.
    async fn take_ses_away(&self) {
        let sesv2 = self.account.ses(REGION);
        sesv2.delete_email_identity().email_identity(sender()).send().await.unwrap();
        sesv2
            .delete_configuration_set()
            .configuration_set_name(&self.ses.configuration_set)
            .send()
            .await
            .unwrap();
        sesv2
            .put_account_details()
            .mail_type(MailType::Transactional)
            .website_url("https://example.com")
            .production_access_enabled(false)
            .send()
            .await
            .unwrap();
    }

    async fn take_redrive_policy_from(&self, queue_url: &str) {
        let set = self.sqs().set_queue_attributes().queue_url(queue_url);
        set.attributes(QueueAttributeName::RedrivePolicy, "").send().await.unwrap();
    }

    async fn put_dead_letter(&self) {
        let url = &self.deployment.outputs.users_dead_letter_queue_url;
        self.sqs().send_message().queue_url(url).message_body("{}").send().await.unwrap();
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.account.config(REGION))
    }

    /// The real worker, given what it cannot take for a batch.
    async fn log_error(&self) {
        // The answer tells the failure, too; here, the log has to.
        let _ = self.deployment.invoke(Function::Worker, &json!("no batch")).await;
    }
}

/// What a program prints whose standard output is a terminal.
fn on_a_terminal(mut command: Command) -> String {
    let (mut terminal, other_end) = terminal();
    let mut child = command.stdout(other_end).stderr(Stdio::null()).spawn().unwrap();
    // Ours would keep the terminal open.
    drop(command);
    let mut said = Vec::new();
    // A terminal whose other end was closed ends by an error.
    let _ = terminal.read_to_end(&mut said);
    child.wait().unwrap();
    String::from_utf8(said).unwrap()
}

/// What it said to programs.
#[derive(Debug)]
struct Checkup {
    code: i32,
    /// By section and check.
    lines: BTreeMap<String, Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    section: String,
    check: String,
    status: String,
    message: String,
    advice: Option<String>,
}

impl Checkup {
    fn of(output: &Output) -> Self {
        let lines = stdout(output);
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let named = lines.map(|line: Line| (format!("{}: {}", line.section, line.check), line));
        let checkup = Self { code: output.status.code().unwrap(), lines: named.collect() };
        assert!(!checkup.lines.is_empty() && stderr(output).is_empty(), "{}", stderr(output));
        checkup
    }

    fn line(&self, section: &str, check: &str) -> &Line {
        let line = self.lines.get(&format!("{section}: {check}"));
        line.unwrap_or_else(|| panic!("{section}: {check} is not in {self:#?}"))
    }

    fn with_status(&self, status: &str) -> Vec<String> {
        let lines = self.lines.iter().filter(|(_, line)| line.status == status);
        lines.map(|(name, _)| name.clone()).collect()
    }

    fn failed(&self) -> Vec<String> {
        self.with_status("failed")
    }
}

impl Line {
    #[track_caller]
    fn is(&self, status: &str, message: &str) {
        assert!(self.status == status && self.message.contains(message), "{status}, {message:?}: {self:?}");
    }

    #[track_caller]
    fn advises(&self, advice: &str) {
        assert!(self.advice.as_ref().is_some_and(|given| given.contains(advice)), "{advice:?}: {self:?}");
    }
}
