//! `keynudge run` and `keynudge status` as their user sees them, on the deployed template with the real functions.
//!
//! All tests share an emulator, each with an account of its own, whose users are known.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::{fs, num::NonZeroU32};

use chrono::{TimeDelta, Utc};
use keynudge_testbed::aws::{Client, SQS};
use keynudge_testbed::deployment::{Deployment, Parameters};
use keynudge_testbed::emulator::{self, Emulator, Iam, Ses};
use keynudge_testbed::functions::Function;
use keynudge_testbed::outbox::{self, Verdict};
use keynudge_testbed::pipeline::Patience;
use keynudge_testbed::population::{Population, Setting, Totals};
use keynudge_testbed::simulated_iam::account::Settings;
use keynudge_testbed::simulated_iam::{self, SimulatedIam, TokenBucket};
use keynudge_testbed::simulated_ses::{self, SimulatedSes};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{
    ask, eventually, fresh_account, interrupt, keynudge, packages, stderr, stdout, terminal,
};

/// The same users see a dry run, a run that mails them, and another on the same day, whose owners are not due.
#[tokio::test]
async fn runs_are_followed_to_their_end_and_add_up_to_the_truth() {
    let stack = Stack::deploy(&Population::mixed(&Setting::default(), 300, 1)).await;
    let Totals { users, checked, mails, stale_owners, without_contact, exempt, .. } = stack.totals();

    let output = stack.keynudge(&["run", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("A dry run of the stack") && said.contains("none; who would be mailed"), "{said}");
    assert!(said.contains(stack.deployment.aws.account().as_str()), "{said}");
    let shown = stdout(&output);
    assert!(shown.contains("  1 account = 1 scanned\n"), "{shown}");
    assert!(shown.contains(&format!("  {users} listed = {checked} enqueued + ")), "{shown}");
    assert!(shown.contains(&format!("  {checked} enqueued = {checked} checked\n")), "{shown}");
    assert!(shown.contains(&format!("  {stale_owners} stale = {mails} would be mailed + ")), "{shown}");
    assert_eq!(outbox::mails(&stack.deployment.aws).await.unwrap().len(), 0);

    let output = stack.keynudge(&["run", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("to the owners of stale keys"), "{}", stderr(&output));
    stack.assert_expected_mails().await;

    let later = instant(Utc::now() + TimeDelta::seconds(1));
    let output = stack.keynudge(&["run", "--yes", "--as-of", &later]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let status = stack.status();
    let [third, second, first] = status["runs"].as_array().unwrap().as_slice() else { panic!("{status}") };
    for run in [first, second, third] {
        stack.assert_adds_up(run);
        assert_eq!(run["state"], "done", "{run}");
    }
    assert_eq!((&first["mode"], &second["mode"]), (&json!("dry_run"), &json!("live")));
    assert_eq!(third["as_of"], later);
    let ids = BTreeSet::from([first, second, third].map(|run| run["run_id"].as_str().unwrap()));
    assert_eq!(ids.len(), 3, "each run has an id of its own: {ids:?}");
    let owners = |run: &Value, name: &str| usize::try_from(run["owners"][name].as_u64().unwrap()).unwrap();
    assert_eq!((owners(first, "would_be_mailed"), owners(first, "mailed")), (mails, 0));
    assert_eq!((owners(second, "mailed"), owners(second, "not_due")), (mails, 0));
    assert_eq!((owners(third, "mailed"), owners(third, "not_due")), (0, mails));
    assert_eq!((owners(second, "without_contact"), owners(second, "exempt")), (without_contact, exempt));
    assert_eq!(outbox::mails(&stack.deployment.aws).await.unwrap().len(), mails);

    let table = stdout(&stack.keynudge(&["status", "--runs", "2"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "RUN MODE ACCOUNTS LISTED CHECKED STALE MAILED WAITING FAILED STATE");
    let row = |mails: usize| format!("live 1 {users} {checked} {stale_owners} {mails} 0 0 done");
    assert_eq!((rows[1][1..].join(" "), rows[2][1..].join(" ")), (row(0), row(mails)));
    assert!(rows[3].is_empty(), "two runs: {table}");

    let one = stdout(&stack.keynudge(&["status", "--run", second["run_id"].as_str().unwrap()]));
    assert!(one.contains(&format!("  {stale_owners} stale = {mails} mailed + ")), "{one}");
    let none = stack.keynudge(&["status", "--run", "2020-01-01T00:00:00Z"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("has no run 2020-01-01T00:00:00Z"), "{}", stderr(&none));
}

#[tokio::test]
async fn what_waits_is_told_and_so_is_what_was_given_up() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 40, 5, 2)).await;
    let checked = stack.totals().checked;
    stack.deployment.set_fed(Function::Worker, false).await.unwrap();
    let output = stack.keynudge(&["run", "--yes", "--no-follow"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    eventually("the account is scanned", async || stack.status()["runs"][0]["accounts"]["scanned"] == 1)
        .await;

    let status = stack.status();
    let run = &status["runs"][0];
    stack.assert_adds_up(run);
    assert_eq!((&run["state"], &run["checks"]["waiting"]), (&json!("under_way"), &json!(checked)));
    let users = status["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "users").unwrap();
    let depth = ["visible", "in_flight", "delayed"].map(|name| users[name].as_u64().unwrap());
    assert_eq!(depth.iter().sum::<u64>(), checked as u64, "{users}");
    assert!(users["oldest_age_seconds"].is_u64(), "{users}");
    assert_eq!(users["oldest_dead_letter_age_seconds"], Value::Null, "{users}");
    let output = stack.keynudge(&["status"]);
    let shown = stdout(&output);
    assert!(shown.contains(&format!("  {checked} enqueued = {checked} waiting\n")), "{shown}");
    let header = "QUEUE VISIBLE IN FLIGHT DELAYED OLDEST DEAD LETTERS OLDEST LETTER";
    let lines: Vec<String> = shown.lines().map(one_spaced).collect();
    assert!(lines.iter().any(|line| line == header), "{shown}");
    let of_users = lines.iter().find(|line| line.starts_with("users ")).unwrap();
    assert!(of_users.ends_with(" s 0 -") || of_users.ends_with(" min 0 -"), "{shown}");
    assert!(lines.contains(&"accounts 0 0 0 - 0 -".to_owned()), "{shown}");
    assert_eq!(stderr(&output), "");

    // A user of an account that this deployment does not look after.
    stack.send_foreign_check(run["run_id"].as_str().unwrap()).await;
    stack.deployment.set_fed(Function::Worker, true).await.unwrap();
    stack.drain().await;
    let status = stack.status();
    let run = &status["runs"][0];
    stack.assert_adds_up(run);
    let checks = &run["checks"];
    assert_eq!(
        (&checks["checked"], &checks["dead"], &checks["waiting"]),
        (&json!(checked), &json!(1), &json!(0))
    );
    let users = status["queues"].as_array().unwrap().iter().find(|queue| queue["queue"] == "users").unwrap();
    assert_eq!(users["oldest_age_seconds"], Value::Null, "{users}");
    assert!(users["oldest_dead_letter_age_seconds"].is_u64(), "{users}");
    let output = stack.keynudge(&["status"]);
    assert!(stdout(&output).contains(" checked + 1 given up\n"), "{}", stdout(&output));
    assert!(stdout(&output).contains("1 letter given up: `keynudge dlq list` says why.\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_run_that_is_no_longer_followed_goes_on() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 30, 5, 3)).await;
    stack.deployment.set_fed(Function::Worker, false).await.unwrap();
    let mut follower = stack.spawn(&["run", "--yes"]);
    follower.wait_for("1 of 1 accounts");
    interrupt(&follower.child);
    let said = follower.rest();
    assert_eq!(follower.child.wait().unwrap().code(), Some(1));
    assert!(said.contains("The run goes on: `keynudge status` shows it."), "{said}");

    stack.deployment.set_fed(Function::Worker, true).await.unwrap();
    stack.drain().await;
    assert_eq!(stack.status()["runs"][0]["state"], "done");
    stack.assert_expected_mails().await;
}

#[tokio::test]
async fn a_run_in_which_nothing_moves_is_left() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 20, 5, 4)).await;
    let checked = stack.totals().checked;
    stack.deployment.set_fed(Function::Worker, false).await.unwrap();
    let output = stack.keynudge(&["run", "--dry-run", "--patience", "30s"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("Nothing has moved for 30 s. What waits is tried again"),
        "{}",
        stderr(&output)
    );
    assert!(
        stdout(&output).contains(&format!("  {checked} enqueued = {checked} waiting\n")),
        "{}",
        stdout(&output)
    );
}

#[tokio::test]
async fn a_stack_without_runs_says_so_and_is_watched_until_interrupted() {
    let stack = Stack::deploy(&Population::plain(1, 0, 5)).await;
    let output = stack.keynudge(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("No runs yet."), "{}", stdout(&output));
    assert_eq!(stack.status()["runs"], json!([]));

    let mut command = stack.command(&["status", "--watch", "1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let looks = BufReader::new(child.stdout.take().unwrap()).lines();
    for look in looks.take(2) {
        let look: Value = serde_json::from_str(&look.unwrap()).unwrap();
        assert_eq!(look["queues"].as_array().unwrap().len(), 6);
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_date_ahead_is_for_dry_runs() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 20, 5, 6)).await;
    let ahead = (Utc::now() + TimeDelta::days(365)).date_naive().to_string();
    let output = stack.keynudge(&["run", "--yes", "--as-of", &ahead]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("nothing was started; add --dry-run to see who will be mailed by then"), "{said}");
    assert!(said.contains("as_of is more than 24 hours ahead, which only a dry run may ask for"), "{said}");

    assert_eq!(stack.deployment.log(Function::Producer).await.unwrap(), [], "nothing was invoked");

    // The same day twice, which are two runs.
    for _ in 0..2 {
        let output = stack.keynudge(&["run", "--dry-run", "--as-of", &ahead]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let shown = stdout(&output);
        assert!(shown.contains(&format!(", dry run, as of {ahead}T23:59:59Z, ")), "{shown}");
    }
    let status = stack.status();
    let [second, first] = status["runs"].as_array().unwrap().as_slice() else { panic!("{status}") };
    assert_ne!(first["run_id"], second["run_id"]);
    assert_eq!(first["checks"], second["checks"], "neither is counted together with the other");
    let table = stdout(&stack.keynudge(&["status"]));
    let would_be_mailed = &first["owners"]["would_be_mailed"];
    assert_eq!(table.matches(&format!("  ({would_be_mailed})  ")).count(), 2, "{table}");
}

#[tokio::test]
async fn nobody_is_mailed_by_a_run_that_nobody_agreed_to() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 20, 5, 7)).await;
    let output = stack.keynudge(&["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("add --yes"), "{}", stderr(&output));
    let output = stack.keynudge(&["run", "--yes", "--as-of", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    let output = stack.keynudge(&["run", "--yes", "--region", "cn-north-1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("only dry runs can be started there"), "{}", stderr(&output));
    assert_eq!(stack.status()["runs"], json!([]));
}

#[tokio::test]
async fn a_stack_of_dry_runs_mails_nobody_by_accident() {
    let parameters = Parameters::unpaced().with("Mode", "dry_run");
    let population = Population::typical(&Setting::default(), 20, 5, 10);
    let stack = Stack::deploy_with(&population, &parameters).await;
    let output = stack.keynudge(&["run", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("has Mode=dry_run"), "{}", stderr(&output));
    assert_eq!(stack.status()["runs"], json!([]));

    let output = stack.keynudge(&["run", "--yes", "--live"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("This run mails all the same"), "{}", stderr(&output));
    stack.assert_expected_mails().await;
}

#[tokio::test]
async fn whoever_is_asked_decides_and_a_terminal_is_drawn_anew() {
    let stack = Stack::deploy(&Population::typical(&Setting::default(), 20, 5, 8)).await;
    for answer in ["\n", "no\n"] {
        let mut asked = ask(stack.command(&["run"]));
        assert!(asked.question.contains("to the owners of stale keys who are due"), "{}", asked.question);
        asked.terminal.write_all(answer.as_bytes()).unwrap();
        assert_eq!(asked.child.wait().unwrap().code(), Some(1), "{answer:?}");
    }
    assert_eq!(stack.status()["runs"], json!([]));
    let mut asked = ask(stack.command(&["run"]));
    asked.terminal.write_all(b"y\n").unwrap();
    assert_eq!(asked.child.wait().unwrap().code(), Some(0));
    stack.assert_expected_mails().await;

    let (mut screen, other_end) = terminal();
    let mut command = stack.command(&["status", "--watch", "1"]);
    let mut child = command.stdout(other_end).spawn().unwrap();
    drop(command);
    let mut seen = Vec::new();
    // Twice from the corner of the screen to the end of the report.
    while seen.windows(3).filter(|bytes| bytes == b"\x1b[H").count() < 2 || !seen.ends_with(b"\x1b[J") {
        let mut byte = [0];
        screen.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Throttled users are checked again and again, by which none of the numbers is further from the truth than it says.
#[tokio::test]
async fn a_throttled_run_is_as_exact_as_it_says() {
    let limit = TokenBucket { rate: NonZeroU32::new(50).unwrap(), burst: NonZeroU32::new(2).unwrap() };
    let population = Population::typical(&Setting::default(), 30, 5, 9);
    let parameters = Parameters::unpaced().with("Timing", "testbed");
    let stack = Stack::deploy_with(&population, &parameters).await;
    // How many calls the limit throttles depends on how fast they come; some are throttled in any case.
    let settings = Settings { limit: Some(limit), throttled_at_first: 8, ..Settings::default() };
    Cloud::shared().await.iam.set_account(stack.deployment.aws.account(), settings);
    let output = stack.keynudge(&["run", "--yes", "--no-follow"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    eventually("it is over", async || {
        stack.drain().await;
        stack.status()["runs"][0]["state"] != "under_way"
    })
    .await;

    stack.assert_expected_mails().await;
    let run = &stack.status()["runs"][0];
    stack.assert_adds_up(run);
    assert!(run["redelivered"].as_u64().unwrap() > 0, "{run}");
    let margin = run["checks"]["margin"].as_u64().unwrap();
    let checked = run["checks"]["checked"].as_u64().unwrap();
    assert!(checked.abs_diff(stack.totals().checked as u64) <= margin, "{run}");
    let margin = run["owners"]["margin"].as_u64().unwrap();
    let mailed = run["owners"]["mailed"].as_u64().unwrap();
    assert!(mailed.abs_diff(stack.totals().mails as u64) <= margin, "{run}");
}

/// An emulator, and the IAM and SES its functions ask.
struct Cloud {
    emulator: Emulator,
    iam: SimulatedIam,
    _ses: SimulatedSes,
}

impl Cloud {
    /// The one of all tests, which ends with the process.
    async fn shared() -> &'static Self {
        static CLOUD: OnceCell<Cloud> = OnceCell::const_new();
        CLOUD.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let iam = SimulatedIam::start(&simulated_iam::Options::default()).unwrap();
        let ses = SimulatedSes::start(&simulated_ses::Options::default()).unwrap();
        let options = emulator::Options {
            iam: Iam::At(iam.endpoint()),
            ses: Ses::At(ses.endpoint()),
            ..emulator::Options::default()
        };
        let emulator = Emulator::start(&options, &|_| ()).await.unwrap_or_else(|error| panic!("{error}"));
        ses.pass_on_to(&emulator.endpoint());
        Self { emulator, iam, _ses: ses }
    }
}

/// A deployed stack, and the users it looks after.
struct Stack {
    deployment: Deployment,
    population: Population,
    directory: PathBuf,
}

impl Stack {
    /// Deploys into an account of its own of the emulator that the tests share.
    async fn deploy(population: &Population) -> Self {
        Self::deploy_with(population, &Parameters::unpaced()).await
    }

    async fn deploy_with(population: &Population, parameters: &Parameters) -> Self {
        let cloud = Cloud::shared().await;
        let packages = packages().await;
        let aws = Client::new(cloud.emulator.endpoint(), fresh_account());
        cloud.iam.set_users(aws.account(), population.users());
        let directory = format!("runs-{}-{}", std::process::id(), aws.account());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
        fs::create_dir_all(&directory).unwrap();
        let deployment = Deployment::create(aws, packages, parameters).await;
        let deployment = deployment.unwrap_or_else(|error| panic!("{error}"));
        Self { deployment, population: population.clone(), directory }
    }

    fn totals(&self) -> Totals {
        self.population.totals()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let aws = &self.deployment.aws;
        let connection = ["--endpoint-url", aws.endpoint(), "--stack", &self.deployment.stack];
        keynudge(aws.account(), &self.directory, &[&connection, arguments].concat())
    }

    fn keynudge(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn spawn(&self, arguments: &[&str]) -> Follower {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Follower { child, said: Box::new(said) }
    }

    /// What `status --json` says.
    fn status(&self) -> Value {
        let output = self.keynudge(&["status", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    /// Waits until there is nothing left to do.
    async fn drain(&self) {
        let drained = self.deployment.wait_until_empty(Patience::default(), |_| ()).await;
        drained.unwrap_or_else(|error| panic!("{error}"));
    }

    async fn assert_expected_mails(&self) {
        let mails = outbox::mails(&self.deployment.aws).await.unwrap();
        let verdict = Verdict::on(&self.population, &mails);
        assert!(verdict.mistakes.is_empty(), "{}", verdict.mistakes.join("\n"));
    }

    /// Whoever was listed is who there is, and each sum is what its parts come to.
    fn assert_adds_up(&self, run: &Value) {
        let totals = self.totals();
        let number = |part: &str, name: &str| run[part][name].as_u64().unwrap();
        let sum = |part: &str, names: &[&str]| names.iter().map(|name| number(part, name)).sum::<u64>();
        for (name, is) in [
            ("listed", totals.users),
            ("enqueued", totals.checked),
            ("never_signed_in", totals.never_signed_in),
            ("outside_path", totals.outside_path),
            ("too_young", totals.too_young),
        ] {
            assert_eq!(number("users", name), is as u64, "{name}: {run}");
        }
        let skipped = ["never_signed_in", "outside_path", "too_young", "no_active_key", "no_old_key"];
        let parts = sum("users", &skipped) + sum("users", &["unreadable", "enqueued"]);
        assert_eq!(number("users", "listed"), parts);
        let whole = sum("checks", &["enqueued", "again", "ahead", "sent_back", "excess"]);
        assert_eq!(whole, sum("checks", &["checked", "denied", "dead", "waiting"]), "{run}");
        let ends = ["mailed", "would_be_mailed", "not_due", "without_contact", "exempt", "not_tagged"];
        let parts = sum("owners", &ends) + sum("owners", &["sent_back", "failed", "waiting"]);
        assert_eq!(sum("owners", &["stale", "excess"]), parts, "{run}");
    }

    async fn send_foreign_check(&self, run_id: &str) {
        let user = json!({
            "name": "jane", "id": "AIDAAAAAAAAAAAAAAAAAA", "created_at": "2024-01-01T00:00:00Z",
            "arn": "arn:aws:iam::999999999999:user/jane"
        });
        let check = json!({
            "v": 1, "run_id": run_id, "as_of": instant(Utc::now()), "mode": "live", "account_id": "999999999999",
            "user": user
        });
        let url = &self.deployment.outputs.users_queue_url;
        let message = json!({"QueueUrl": url, "MessageBody": check.to_string()});
        self.deployment.aws.json(SQS, "SendMessage", &message).await.unwrap();
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A command that follows a run.
struct Follower {
    child: Child,
    said: Box<dyn BufRead>,
}

impl Follower {
    /// Reads what it says until a line that holds `text`.
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it ended without {text}");
        }
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// The words of a line, whatever is between its columns.
fn one_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn instant(at: chrono::DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
