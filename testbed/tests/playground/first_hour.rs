//! The README's first hour, with the real `keynudge`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

use keynudge_testbed::aws::{Account, Client, INVOKE};
use keynudge_testbed::functions::{Packages, Profile};
use keynudge_testbed::population::{Population, Setting};
use serde_json::{Value, json};

use crate::support::{Running, eventually, stderr, stdout};

const USERS: usize = 100;
/// No run but those that are started here.
const NEVER: &str = "ScheduleExpression=at(2999-12-31T00:00:00)";

/// What one types.
struct Terminal<'a> {
    playground: &'a Running,
    tool: &'a Path,
}

impl Terminal<'_> {
    fn try_keynudge(&self, arguments: &[&str]) -> Output {
        let words: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.playground.shell(&[&[self.tool.as_os_str()], &*words].concat())
    }

    fn keynudge(&self, arguments: &[&str]) -> String {
        let output = self.try_keynudge(arguments);
        assert!(output.status.success(), "keynudge {arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// How many dead letters there are about users.
    fn dead_letters(&self) -> u64 {
        let queue: Value = serde_json::from_str(&self.keynudge(&["dlq", "list", "users", "--json"])).unwrap();
        queue["visible"].as_u64().unwrap()
    }

    fn mails(&self) -> Vec<String> {
        self.playground.command(&["mails"]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_first_hour() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let packages = runtime.block_on(Packages::build(Profile::Test)).unwrap();
    let playground = Running::start("first-hour", USERS);
    let terminal = Terminal { playground: &playground, tool: packages.operators_tool().unwrap() };
    let population = Population::typical(&Setting::default(), USERS, USERS / 10, 1);
    let expected = population.totals().mails;

    let too_early = terminal.try_keynudge(&["dlq", "list"]);
    assert_eq!(too_early.status.code(), Some(1));
    assert!(stderr(&too_early).contains("there is no stack \"keynudge\""), "{}", stderr(&too_early));

    let deployed = playground.command(&["deploy", "--profile", "dev", NEVER]);
    assert!(deployed.contains("The stack keynudge is there"), "{deployed}");
    assert!(deployed.contains(NEVER) && deployed.contains("Sender=keynudge@"), "{deployed}");
    let queues = terminal.keynudge(&["dlq", "list"]);
    assert_eq!(queues.lines().count(), 7, "{queues}");

    let account: Account = "100000000001".parse().unwrap();
    let aws = Client::new(playground.endpoint.clone(), account);
    let producer = "/2015-03-31/functions/keynudge-producer/invocations";
    runtime.block_on(aws.rest(INVOKE, producer, Some(&json!({ "mode": "live" })))).unwrap();
    eventually("three users are given up", || terminal.dead_letters() == 3);
    assert_eq!(terminal.mails().len(), expected - 3);
    let letters = terminal.keynudge(&["dlq", "show", "users"]);
    assert_eq!(letters.matches("iam:ListAccessKeys failed: AccessDenied").count(), 3, "{letters}");

    assert!(playground.command(&["repair"]).ends_with("the keys of 3 users.\n"));
    assert!(terminal.keynudge(&["dlq", "replay", "users", "--yes"]).contains("Replayed 3 letters."));
    eventually("their owners are mailed", || terminal.mails().len() == expected);
    assert_eq!(terminal.dead_letters(), 0);

    updates(&playground);
}

/// Parameters that are not given keep their values, and what is repaired stays so.
fn updates(playground: &Running) {
    let again = playground.command(&["deploy", "--profile", "dev"]);
    assert_eq!(again, "The stack keynudge is as it would be deployed: nothing to update.\n");
    let other = playground.command(&["deploy", "--profile", "dev", "AlertAfterDays=180"]);
    assert_eq!(other, "The stack keynudge is updated.\n");
    assert_eq!(playground.command(&["repair"]), "There is nothing to repair.\n");
    let unknown = crate::support::playground(&playground.directory, &["deploy", "--profile", "dev", "No=1"]);
    let unknown = { unknown }.output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("it has no parameter called No"), "{}", stderr(&unknown));
}
