//! `keynudge scan` as its user sees it, on the simulated IAM alone. What must be found, the generated users know themselves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::num::NonZeroU32;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keynudge_testbed::aws::Account;
use keynudge_testbed::population::{DOMAIN, Expectation, Population, Setting};
use keynudge_testbed::simulated_iam::account::{ReportReady, ReportSettings, Role, Settings};
use keynudge_testbed::simulated_iam::directory::{AccessKey, LastUse, Tag, User};
use keynudge_testbed::simulated_iam::{Options, SimulatedIam, TokenBucket};
use serde_json::Value;

use crate::support::{eventually, fresh_account, interrupt, keynudge, stderr, stdout, terminal};

/// An account on a simulated IAM of its own.
struct World {
    iam: SimulatedIam,
    account: Account,
    directory: PathBuf,
}

impl World {
    fn with(options: &Options, users: Vec<User>) -> Self {
        let iam = SimulatedIam::start(options).unwrap();
        let account = fresh_account();
        iam.set_users(&account, users);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scan-{account}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self { iam, account, directory }
    }

    fn of(population: &Population) -> Self {
        Self::with(&Options::default(), population.users())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = keynudge(&self.account, &self.directory, &[&["scan"], arguments].concat());
        for service in ["IAM", "STS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), self.iam.endpoint());
        }
        command
    }

    fn scan(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The report as JSON, of a scan that has to end with this exit code.
    fn report(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.scan(&[&["--format", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The rules that the generated users are made for.
const RULES: [&str; 4] = ["--default-domain", DOMAIN, "--allowed-domains", DOMAIN];

/// What must be found of each owner: outcome, address and ids of keys, by name.
fn truth(population: &Population) -> BTreeMap<String, (String, String, Vec<String>)> {
    let stale = |owner: &&keynudge_testbed::population::Owner| {
        matches!(
            owner.expectation,
            Expectation::Mailed { .. } | Expectation::WithoutContact | Expectation::Exempt
        )
    };
    let owners = population.owners.iter().filter(stale).map(|owner| {
        let mut keys: Vec<&AccessKey> = owner
            .user
            .keys
            .iter()
            .filter(|key| key.active && population.made_at - key.created_at >= TimeDelta::days(90))
            .collect();
        keys.sort_by_key(|key| key.created_at);
        let keys = keys.into_iter().map(|key| key.id.clone()).collect();
        let (outcome, to) = match &owner.expectation {
            Expectation::Mailed { to, .. } => ("mailed", to.as_str()),
            Expectation::WithoutContact => ("without_contact", ""),
            _ => ("exempt", ""),
        };
        (owner.user.name.clone(), (outcome.to_owned(), to.to_owned(), keys))
    });
    owners.collect()
}

fn found(report: &Value) -> BTreeMap<String, (String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let owners = report["owners"].as_array().unwrap().iter().map(|owner| {
        let keys = owner["keys"].as_array().unwrap().iter().map(|key| text(&key["id"])).collect();
        (text(&owner["user_name"]), (text(&owner["outcome"]), text(&owner["recipient"]["to"]), keys))
    });
    owners.collect()
}

fn sum(counts: &Value) -> u64 {
    match counts {
        Value::Object(counts) => counts.values().map(sum).sum(),
        count => count.as_u64().unwrap(),
    }
}

fn assert_adds_up(report: &Value) {
    let listed = report["users"]["listed"].as_u64().unwrap();
    assert_eq!(sum(&report["users"]), 2 * listed, "{}", report["users"]);
    let total = report["stale_owners"]["total"].as_u64().unwrap();
    assert_eq!(sum(&report["stale_owners"]), 2 * total, "{}", report["stale_owners"]);
    let owners = report["owners"].as_array().unwrap();
    assert_eq!(owners.len() as u64, total);
    let keys: usize = owners.iter().map(|owner| owner["keys"].as_array().unwrap().len()).sum();
    assert_eq!(report["stale_keys"], keys);
}

#[tokio::test]
async fn exactly_those_are_found_whom_the_generated_users_say() {
    for population in [
        Population::typical(&Setting::default(), 2_500, 250, 1),
        Population::mixed(&Setting { path_prefix: "/people/", ..Setting::default() }, 350, 2),
    ] {
        let world = World::of(&population);
        let path = ["--path-prefix", if population.owners.len() == 350 { "/people/" } else { "/" }];
        let report = world.report(&[&RULES[..], &path].concat(), 0);
        assert_adds_up(&report);
        assert_eq!(found(&report), truth(&population));
        let totals = population.totals();
        let users = &report["users"];
        assert_eq!(
            [&users["listed"], &users["checked"], &users["not_checked"]].map(|n| n.as_u64().unwrap()),
            [totals.users as u64, totals.checked as u64, 0]
        );
        let skipped = ["never_signed_in", "outside_path", "too_young", "no_active_key", "no_old_key"]
            .map(|reason| users["skipped"][reason].as_u64().unwrap());
        let expected = [totals.never_signed_in, totals.outside_path, totals.too_young, 0, 0];
        assert_eq!(skipped, expected.map(|n| n as u64));
        assert_eq!(
            (&report["complete"], &report["account_id"]),
            (&true.into(), &world.account.as_str().into())
        );
        let ages: Vec<u64> = report["owners"].as_array().unwrap().iter().map(oldest).collect();
        assert!(ages.is_sorted_by(|a, b| a >= b), "the oldest first");
    }
}

fn oldest(owner: &Value) -> u64 {
    owner["keys"][0]["age_days"].as_u64().unwrap()
}

#[tokio::test]
async fn only_reading_calls_are_made_and_one_page_is_asked_for_once() {
    let population = Population::typical(&Setting::default(), 2_500, 100, 3);
    let world = World::of(&population);
    world.report(&RULES, 0);
    let calls = world.iam.calls(&world.account);
    let names: Vec<&str> = calls.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "GetAccessKeyLastUsed",
            "GetAccountSummary",
            "ListAccessKeys",
            "ListAccountAliases",
            "ListUserTags",
            "ListUsers"
        ]
    );
    assert_eq!((calls["ListUsers"].answered, calls["GetAccountSummary"].answered), (3, 1));
    assert_eq!(calls["ListAccessKeys"].answered, population.totals().checked as u64);
    assert_eq!(calls["ListUserTags"].answered, 100, "of those with stale keys alone");
}

#[tokio::test]
async fn a_throttled_iam_loses_nobody() {
    let population = Population::typical(&Setting::default(), 250, 40, 4);
    let [rate, burst] = [100, 30].map(|calls| NonZeroU32::new(calls).unwrap());
    let limit = Some(TokenBucket { rate, burst });
    let world = World::of(&population);
    // How many calls the limit throttles depends on how fast they come; some are throttled in any case.
    let settings = Settings { limit, throttled_at_first: 4, ..Settings::default() };
    world.iam.set_account(&world.account, settings);
    let report = world.report(&[&RULES[..], &["--concurrency", "32"]].concat(), 0);
    assert_eq!(found(&report), truth(&population));
    let calls = world.iam.calls(&world.account);
    for action in ["ListUsers", "ListAccessKeys", "ListUserTags", "GetAccessKeyLastUsed"] {
        assert!(calls[action].throttled >= 4, "{calls:?}");
    }
}

#[tokio::test]
async fn an_interrupted_scan_writes_what_it_has_and_says_what_is_missing() {
    let population = Population::typical(&Setting::default(), 1_500, 1_200, 5);
    let world = World::with(
        // It takes half a minute as a whole, and is interrupted after two seconds.
        &Options { latency: Duration::from_millis(250), ..Options::default() },
        population.users(),
    );
    let mut command = world.command(&[&RULES[..], &["--format", "json", "--output", "scan.json"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("some are checked", async || {
        let calls = world.iam.calls(&world.account);
        calls.get("GetAccessKeyLastUsed").is_some_and(|calls| calls.answered > 30)
    })
    .await;
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value =
        serde_json::from_str(&fs::read_to_string(world.directory.join("scan.json")).unwrap()).unwrap();
    assert_adds_up(&report);
    assert_eq!((&report["complete"], &report["incomplete_because"]), (&false.into(), &"interrupted".into()));
    let owners = found(&report);
    let truth = truth(&population);
    assert!(!owners.is_empty() && owners.len() < truth.len(), "{}", owners.len());
    assert!(owners.iter().all(|(name, found)| truth[name] == *found), "what it has is right");
    let listed = report["users"]["listed"].as_u64().unwrap();
    let whole = listed == 1_500;
    assert_eq!((&report["listed_whole"], &report["users_in_account"]), (&whole.into(), &1_500.into()));
    let missing = report["users"]["not_checked"].as_u64().unwrap() + 1_500 - listed;
    let grouped = format!("{},{:03}", missing / 1_000, missing % 1_000);
    let missing = if missing < 1_000 { missing.to_string() } else { grouped };
    assert!(stderr(&output).contains(&format!("Incomplete, interrupted: {missing} users are missing.")));
    assert_eq!(world.files(), ["scan.json"]);
}

#[tokio::test]
async fn what_is_denied_is_named_at_once() {
    let population = Population::typical(&Setting::default(), 100, 10, 6);
    for (action, arguments) in [
        ("ListUsers", &[][..]),
        ("ListAccessKeys", &[]),
        ("ListUserTags", &[]),
        ("GenerateCredentialReport", &["--user-filter", "credential-report"]),
    ] {
        let world = World::of(&population);
        let denied = [action.to_owned()].into();
        world.iam.set_account(&world.account, Settings { denied, ..Settings::default() });
        let output = world.scan(arguments);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
        let error = stderr(&output);
        let advice =
            format!("error: access denied: these credentials need the action iam:{action} on account");
        assert!(error.contains(&advice), "{error}");
        assert!(error.contains("no identity-based policy allows"), "IAM's own words: {error}");
    }
}

#[tokio::test]
async fn whom_it_may_not_look_at_is_named_with_what_to_do_and_costs_nobody_else() {
    let world = few();
    world.iam.deny_keys_of(&world.account, ["jane@corp.example".to_owned()].into());
    let output = world.scan(&[&AS_OF[..], &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_adds_up(&report);
    assert_eq!((&report["users"]["not_checked"], &report["stale_owners"]["total"]), (&1.into(), &4.into()));
    assert_eq!((&report["listed_whole"], &report["users_in_account"]), (&true.into(), &7.into()));
    assert_eq!(report["missed"].as_array().unwrap().len(), 1);
    assert_eq!(report["missed"][0]["user_name"], "jane@corp.example");
    let advice = "these credentials need the action iam:ListAccessKeys on user jane@corp.example";
    assert!(report["missed"][0]["reason"].as_str().unwrap().contains(advice), "{report}");
    assert!(stderr(&output).contains(advice), "{}", stderr(&output));
}

#[tokio::test]
async fn what_is_a_courtesy_may_be_denied() {
    let population = Population::typical(&Setting::default(), 100, 10, 7);
    let world = World::of(&population);
    let denied =
        ["GetAccountSummary", "ListAccountAliases", "GetAccessKeyLastUsed"].map(str::to_owned).into();
    world.iam.set_account(&world.account, Settings { denied, ..Settings::default() });
    let output = world.scan(&RULES);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("not known"), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("keys is not known: iam:GetAccessKeyLastUsed failed: AccessDenied."),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn the_credential_report_saves_calls_and_loses_no_owner() {
    let population = Population::typical(&Setting::default(), 1_200, 100, 8);
    let world = World::of(&population);
    let report = world.report(&[&RULES[..], &["--user-filter", "credential-report"]].concat(), 0);
    assert_adds_up(&report);
    assert_eq!(found(&report), truth(&population));
    let skipped = &report["users"]["skipped"];
    assert!(sum(&skipped["no_active_key"]) > 50 && sum(&skipped["no_old_key"]) > 300, "{skipped}");
    let calls = world.iam.calls(&world.account);
    assert_eq!(calls["ListAccessKeys"].answered, sum(&report["users"]["checked"]));
}

#[tokio::test]
async fn a_report_that_expires_unread_is_made_anew() {
    let population = Population::typical(&Setting::default(), 60, 10, 9);
    let world = World::of(&population);
    let report = ReportSettings { ready: ReportReady::AfterPolls(0), expire_unread: 1 };
    world.iam.set_account(&world.account, Settings { report, ..Settings::default() });
    let report = world.report(&[&RULES[..], &["--user-filter", "credential-report"]].concat(), 0);
    assert_eq!(found(&report), truth(&population));
}

/// Users for the snapshots: as of 1 March 2026, with names and tags that want to do harm.
fn few_users() -> Vec<User> {
    let as_of: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let key = |id: &str, days: i64, used: Option<i64>| AccessKey {
        id: format!("AKIA{id:0>16}"),
        active: true,
        created_at: as_of - TimeDelta::days(days),
        last_used: used.map(|days| LastUse {
            at: as_of - TimeDelta::days(days),
            region: "eu-central-1".to_owned(),
            service: "s3".to_owned(),
        }),
    };
    let user = |name: &str, keys: Vec<AccessKey>, tags: &[(&str, &str)]| User {
        name: name.to_owned(),
        path: "/".to_owned(),
        id: format!("AIDA{:0>16}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "").to_uppercase()),
        created_at: as_of - TimeDelta::days(2_000),
        password_last_used: Some(as_of - TimeDelta::days(1)),
        password_deleted: false,
        tags: tags
            .iter()
            .map(|(key, value)| Tag { key: (*key).to_owned(), value: (*value).to_owned() })
            .collect(),
        keys,
    };
    vec![
        user("jane@corp.example", vec![key("A", 1_241, Some(3)), key("B", 95, None)], &[]),
        user("=cmd@corp.example", vec![key("C", 200, None)], &[("AKIA000000000000000C", "=1+1, \"quoted\"")]),
        user("robot", vec![key("D", 90, Some(400))], &[("keynudge:contact", "x@\u{9b}2Jevil.test")]),
        user("joe", vec![key("E", 500, None)], &[("keynudge:exempt-until", "2026-05-01")]),
        user(
            "ann",
            vec![key("F", 120, None)],
            &[("AKIA000000000000000F", "\u{202e}txt.exe"), ("keynudge:contact", "team@corp.example")],
        ),
        user("fresh", vec![key("G", 89, None)], &[]),
        User { password_last_used: None, ..user("ci", vec![key("H", 700, Some(0))], &[]) },
    ]
}

const AS_OF: [&str; 2] = ["--as-of", "2026-03-01T12:00:00Z"];

fn few() -> World {
    let world = World::with(&Options::default(), few_users());
    let alias = Some("corp-payments".to_owned());
    world.iam.set_account(&world.account, Settings { alias, ..Settings::default() });
    world
}

/// The output, with the account that each test has of its own made the same.
fn text(world: &World, arguments: &[&str]) -> String {
    let output = world.scan(&[&AS_OF, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).replace(world.account.as_str(), "123456789012")
}

#[tokio::test]
async fn people_read_a_table_with_the_oldest_keys_first() {
    let table = text(&few(), &[]);
    assert!(!table.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')));
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn spreadsheets_read_a_row_per_key_and_run_nothing() {
    let csv = text(&few(), &["--format", "csv"]);
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 6, "{csv}");
    assert!(csv.contains(",'=cmd@corp.example,") && csv.contains("\"'=1+1, \"\"quoted\"\"\""), "{csv}");
    insta::assert_snapshot!(csv.replace("\r\n", "\n"));
}

#[tokio::test]
async fn scripts_read_one_document() {
    let json = text(&few(), &["--format", "json"]);
    assert!(!json.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')));
    insta::assert_snapshot!(json);
}

#[tokio::test]
async fn a_path_may_hold_all_that_iam_lets_it() {
    let mut users = few_users();
    users.retain(|user| user.name == "jane@corp.example");
    users[0].path = "/!\u{7f}~/".to_owned();
    let report = World::with(&Options::default(), users).report(&AS_OF, 0);
    assert_eq!((&report["complete"], &report["stale_owners"]["mailed"]), (&true.into(), &1.into()));
}

/// IAM has none; a defect of ours would look like that.
#[tokio::test]
async fn a_user_who_cannot_be_read_makes_a_scan_incomplete_and_is_named() {
    let mut users = few_users();
    users.push(User { id: "short".to_owned(), ..users[0].clone() });
    users.last_mut().unwrap().name = "odd\u{202e}name".to_owned();
    let world = World::with(&Options::default(), users);
    let report = world.report(&AS_OF, 1);
    assert_adds_up(&report);
    assert_eq!((&report["complete"], &report["users"]["unreadable"]), (&false.into(), &1.into()));
    assert_eq!(report["incomplete_because"], "1 user is not readable");
    assert_eq!(report["missed"][0]["user_name"], "odd\u{202e}name");
    let output = world.scan(&AS_OF);
    let remarks = stderr(&output);
    assert!(remarks.contains("Incomplete, 1 user is not readable: 1 user is missing."), "{remarks}");
    assert!(remarks.contains("Not checked: odd\\u{202e}name: not an IAM user name"), "{remarks}");
}

#[tokio::test]
async fn an_owner_of_three_old_keys_has_all_of_them_in_the_report() {
    let mut users = few_users();
    users.retain(|user| user.name == "jane@corp.example");
    let third = AccessKey { id: "AKIA000000000000000Z".to_owned(), ..users[0].keys[0].clone() };
    users[0].keys.push(third);
    let report = World::with(&Options::default(), users).report(&AS_OF, 0);
    assert_eq!((&report["stale_keys"], &report["stale_owners"]["mailed"]), (&3.into(), &1.into()));
}

/// Somebody's password was deleted years ago, and the user is a service's today.
#[tokio::test]
async fn who_has_no_password_any_more_is_no_person_where_the_report_is_read() {
    let now = Utc::now();
    let mut users = few_users();
    users.retain(|user| ["jane@corp.example", "joe", "ann"].contains(&user.name.as_str()));
    for user in &mut users {
        user.password_deleted = user.name != "joe";
        user.password_last_used = Some(now - TimeDelta::days(2_000));
        user.tags.clear();
    }
    // The report is as old as its account's scan.
    let ann = users.iter_mut().find(|user| user.name == "ann").unwrap();
    ann.password_last_used = Some(now + TimeDelta::hours(1));
    let world = World::with(&Options::default(), users);
    let rules = ["--as-of", "2026-03-01T12:00:00Z", "--default-domain", DOMAIN];
    let with_report = [&rules[..], &["--user-filter", "credential-report"]].concat();
    let names = |report: &Value| found(report).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&world.report(&rules, 0)), ["ann", "jane@corp.example", "joe"]);

    let report = world.report(&with_report, 0);
    assert_adds_up(&report);
    assert_eq!(names(&report), ["ann", "joe"], "ann signed in since");
    assert_eq!(report["users"]["skipped"]["no_password"], 1);
    let table = stdout(&world.scan(&with_report));
    assert!(table.contains("1   without a console password, by the credential report\n"), "{table}");
    let everybody = [&with_report[..], &["--audience", "all"]].concat();
    assert_eq!(names(&world.report(&everybody, 0)), ["ann", "jane@corp.example", "joe"]);
}

/// Bedrock makes a user for each API key, which never signs in, and has no access key.
#[tokio::test]
async fn an_access_key_of_a_bedrock_user_is_pointed_out_in_every_format_whatever_the_audience() {
    let mut users = few_users();
    users.retain(|user| ["joe", "fresh", "jane@corp.example"].contains(&user.name.as_str()));
    for (user, name) in users.iter_mut().skip(1).zip(["BedrockAPIKey-x1y2", "BedrockAPIKey-new"]) {
        user.name = name.to_owned();
        user.password_last_used = None;
        user.tags.clear();
    }
    let mut off = User { id: "AIDA00000000000000OFF".to_owned(), ..users[1].clone() };
    off.name = "BedrockAPIKey-off".to_owned();
    off.keys =
        vec![AccessKey { id: "AKIA00000000000000FF".to_owned(), active: false, ..off.keys[0].clone() }];
    users.push(off);
    let world = World::with(&Options::default(), users);
    let report = world.report(&AS_OF, 0);
    assert_adds_up(&report);
    let named = vec!["BedrockAPIKey-new".into(), "BedrockAPIKey-x1y2".into()];
    assert_eq!(report["bedrock_api_key_users_with_access_keys"], Value::Array(named));
    assert_eq!((&report["users"]["checked"], &report["stale_owners"]["total"]), (&1.into(), &1.into()));

    let everybody = [&AS_OF[..], &["--audience", "all", "--default-domain", DOMAIN]].concat();
    for format in ["table", "csv", "html"] {
        let output = world.scan(&[&everybody[..], &["--format", format]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = "on purpose: BedrockAPIKey-new, BedrockAPIKey-x1y2.";
        for text in [stdout(&output), stderr(&output)] {
            assert!(text.contains(said), "{format}: {text}");
        }
        let of_the_owner = stdout(&output).contains("made by Bedrock for an API key, with an access key");
        assert_eq!(of_the_owner, format == "csv");
    }
    let owners = &world.report(&everybody, 0)["owners"];
    let flagged = |name: &str| {
        let owner = owners.as_array().unwrap().iter().find(|owner| owner["user_name"] == name);
        owner.unwrap()["is_bedrock_api_key_user"].clone()
    };
    assert_eq!((flagged("BedrockAPIKey-x1y2"), flagged("jane@corp.example")), (true.into(), false.into()));
}

#[tokio::test]
async fn a_list_of_domains_is_written_as_people_write_lists() {
    let world = few();
    let mailed = |domains: &str| {
        let arguments = [&AS_OF[..], &["--allowed-domains", domains]].concat();
        world.report(&arguments, 0)["stale_owners"]["mailed"].clone()
    };
    assert_eq!(mailed("example.com, Corp.Example"), 3);
    assert_eq!(mailed("example.com"), 0);
    let output = world.scan(&["--allowed-domains", "corp.example;example.com"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a mail domain, such as example.com"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_date_is_judged_at_its_end() {
    let world = few();
    let stale = |as_of: &str| {
        let report = world.report(&["--as-of", as_of], 0);
        (report["as_of"].clone(), report["stale_owners"]["total"].as_u64().unwrap())
    };
    assert_eq!(stale("2026-03-01"), ("2026-03-01T23:59:59Z".into(), 5));
    assert_eq!(stale("2026-03-02"), ("2026-03-02T23:59:59Z".into(), 6));
    assert_eq!(stale("2026-03-02T11:59:59Z"), ("2026-03-02T11:59:59Z".into(), 5));
}

#[tokio::test]
async fn the_exit_code_tells_of_stale_keys_if_asked_to() {
    let world = few();
    let code = |arguments: &[&str]| world.scan(&[&AS_OF, arguments].concat()).status.code();
    assert_eq!((code(&[]), code(&["--fail-on-stale"])), (Some(0), Some(3)));
    assert_eq!(code(&["--fail-on-stale", "--days", "2000"]), Some(0));
    // Joe alone is left, who is exempt.
    let users = few_users().into_iter().filter(|user| user.name == "joe").collect();
    let exempt = World::with(&Options::default(), users);
    let output = exempt.scan(&[&AS_OF[..], &["--fail-on-stale"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("no: exempt until 2026-05-01"), "{}", stdout(&output));
}

#[tokio::test]
async fn wrong_usage_is_told_before_anything_is_asked() {
    let world = few();
    for wrong in [
        &["--concurrency", "0"][..],
        &["--concurrency", "65"],
        &["--as-of", "yesterday"],
        &["--format", "pdf"],
        &["--external-id", "fence"],
        &["--role-arn", "audit"],
        &["--user-filter", "report"],
        &["--path-prefix", "people"],
    ] {
        let output = world.scan(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
    let output = world.scan(&["--output", "no/such/directory.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no directory no/such"), "{}", stderr(&output));
    assert!(world.iam.calls(&world.account).is_empty());
}

#[tokio::test]
async fn a_file_is_replaced_whole_and_stdout_stays_empty() {
    let world = few();
    fs::write(world.directory.join("keys.csv"), "yesterday's").unwrap();
    let output = world.scan(&[&AS_OF[..], &["--format", "csv", "-o", "keys.csv"]].concat());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""), "{}", stderr(&output));
    let written = fs::read_to_string(world.directory.join("keys.csv")).unwrap();
    assert!(written.starts_with("account_id,") && written.ends_with("\r\n"), "{written}");
    assert_eq!(world.files(), ["keys.csv"], "nothing is left beside it");
}

/// Somebody who gets a report by mail has not seen what stderr said when it was made.
#[tokio::test]
async fn every_remark_of_stderr_is_in_every_format() {
    let mut users = few_users();
    for (user, date) in [(0, "soon"), (1, "next year")] {
        users[user].tags.push(Tag { key: "keynudge:exempt-until".to_owned(), value: date.to_owned() });
    }
    let world = World::with(&Options::default(), users);
    let denied = ["GetAccessKeyLastUsed".to_owned()].into();
    world.iam.set_account(&world.account, Settings { denied, ..Settings::default() });
    world.iam.deny_keys_of(&world.account, ["robot".to_owned()].into());
    let scan = |file: &str| {
        let output = world.scan(&[&AS_OF[..], &["-o", file]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let said = stderr(&output);
        let remarks: Vec<String> =
            said.lines().filter(|line| !line.contains(" users in ")).map(str::to_owned).collect();
        assert_eq!(remarks.len(), 4, "{said}");
        (remarks, fs::read_to_string(world.directory.join(file)).unwrap())
    };

    let (remarks, json) = scan("a.json");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["remarks"], Value::from(remarks.clone()));
    let owners = json["owners"].as_array().unwrap().iter();
    let flagged: Vec<&Value> = owners
        .filter(|owner| owner["refused_exemption"] == "not_a_date")
        .map(|owner| &owner["user_name"])
        .collect();
    assert_eq!(flagged, ["jane@corp.example", "=cmd@corp.example"]);
    assert!(remarks[3].ends_with("exempts nobody: jane@corp.example, =cmd@corp.example."), "{remarks:?}");

    let (remarks, csv) = scan("a.csv");
    let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
    for (remark, row) in remarks.iter().zip(&rows[rows.len() - 4..]) {
        let cell = remark.replace('"', "\"\"");
        assert!(row.contains(",remark,,,,") && row.contains(&cell), "{remark}: {row}");
    }
    let flagged =
        rows.iter().filter(|row| row.ends_with(",exemption tag without a date; last use not readable"));
    assert_eq!(flagged.count(), 3, "jane has two keys: {csv}");

    let (remarks, html) = scan("a.html");
    let html =
        [("&#x2f;", "/"), ("&#x27;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
            .iter()
            .fold(html, |html, (escaped, plain)| html.replace(escaped, plain));
    assert!(remarks.iter().all(|remark| html.contains(remark.as_str())), "{remarks:?}");
    assert_eq!(html.matches("<strong>exemption tag without a date</strong>").count(), 2);

    let (remarks, table) = scan("a.txt");
    assert!(remarks.iter().all(|remark| table.contains(&format!("\n{remark}\n"))), "{table}");
    assert_eq!(table.matches("; exemption tag without a date\n").count(), 2, "{table}");
}

#[tokio::test]
async fn on_a_terminal_no_line_is_too_wide_and_a_long_table_ends_with_its_counts() {
    let world = World::of(&Population::typical(&Setting::default(), 300, 40, 10));
    let (mut screen, other_end) = terminal();
    let size = ["cols", "80", "rows", "24"];
    let sized = Command::new("stty").args(size).stdin(other_end.try_clone().unwrap()).status().unwrap();
    assert!(sized.success());
    let child = world.command(&RULES).stdout(other_end).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = Vec::new();
    // On Linux, reading from a terminal that no process has open any more is an error.
    let _ = screen.read_to_end(&mut shown);
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let rows = shown.lines().filter(|line| line.contains('@')).count();
    assert!(rows > 24, "{shown}");
    let too_wide: Vec<&str> = shown.lines().filter(|line| line.chars().count() > 80).collect();
    assert_eq!(too_wide, [""; 0]);
    let said = stderr(&output);
    assert!(said.lines().last().unwrap().starts_with("40 owners with old keys: "), "{said}");
}

#[tokio::test]
async fn the_format_follows_the_ending_of_the_file() {
    let world = few();
    for (file, begins) in [
        ("a.html", "<!doctype html>"),
        ("a.HTM", "<!doctype html>"),
        ("a.json", "{\n"),
        ("a.csv", "account_id,"),
        ("a.txt", "Account "),
        ("a", "Account "),
    ] {
        let output = world.scan(&["-o", file]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let written = fs::read_to_string(world.directory.join(file)).unwrap();
        assert!(written.starts_with(begins), "{file}: {written}");
    }
    world.scan(&["-o", "b.html", "--format", "csv"]);
    let written = fs::read_to_string(world.directory.join("b.html")).unwrap();
    assert!(written.starts_with("account_id,"), "what is asked for wins: {written}");
}

#[tokio::test]
async fn iam_is_in_no_region() {
    let world = few();
    let scan = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").output().unwrap()
    };
    let output = scan(&AS_OF);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = scan(&["--from-stack"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no region: give --region"), "{}", stderr(&output));
}

#[tokio::test]
async fn what_is_no_file_and_who_may_read_one_stay_as_they_are() {
    let world = few();
    let [old, link, new] = ["old.csv", "link.csv", "new.csv"].map(|name| world.directory.join(name));
    fs::write(&old, "yesterday's").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old.csv", &link).unwrap();
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    for output in ["link.csv", "new.csv"] {
        let output = world.scan(&[&AS_OF[..], &["--format", "csv", "-o", output]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    assert!(link.is_symlink() && fs::read_to_string(&old).unwrap().starts_with("account_id,"));
    assert_eq!((mode(&old), mode(&new)), (0o640, 0o600));

    symlink("/dev/stdout", world.directory.join("out")).unwrap();
    let output = world.scan(&[&AS_OF[..], &["--format", "csv", "-o", "out"]].concat());
    assert!(stdout(&output).starts_with("account_id,"), "{}", stderr(&output));
    assert!(world.directory.join("out").is_symlink());

    symlink("nowhere.csv", world.directory.join("dangling")).unwrap();
    let output = world.scan(&["-o", "dangling"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("a link to a file that is not there"), "{}", stderr(&output));
    assert_eq!(world.files().len(), 5, "{:?}", world.files());
}

#[tokio::test]
async fn without_a_terminal_stderr_has_one_remark_and_no_bar() {
    let world = few();
    let output = world.scan(&AS_OF);
    let remarks = stderr(&output);
    assert_eq!(remarks.lines().count(), 1, "{remarks}");
    assert!(remarks.starts_with("7 of 7 users in "), "{remarks}");
}

#[tokio::test]
async fn a_role_leads_to_another_account() {
    let world = few();
    let caller = fresh_account();
    let role =
        Role { name: "audit".to_owned(), external_id: Some("fence".to_owned()), trusts: caller.clone() };
    world.iam.set_account(&world.account, Settings { role: Some(role), ..Settings::default() });
    let arn = format!("arn:aws:iam::{}:role/audit", world.account);
    let scan = |arguments: &[&str]| {
        let mut command = world.command(&[&AS_OF, &["--format", "json"], arguments].concat());
        command.env("AWS_ACCESS_KEY_ID", caller.as_str()).output().unwrap()
    };
    let output = scan(&["--role-arn", &arn, "--external-id", "fence"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["account_id"], world.account.as_str());
    assert_eq!(report["stale_owners"]["total"], 5);

    let output = scan(&["--role-arn", &arn]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    let error = stderr(&output);
    assert!(error.contains("--external-id") && error.contains(&arn), "{error}");
    assert!(error.contains("need the action sts:AssumeRole"), "{error}");
}

#[tokio::test]
async fn an_account_without_stale_keys_or_users_is_good_news() {
    let world = World::with(&Options::default(), vec![]);
    let output = world.scan(&["--fail-on-stale"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Owners    none with old keys\n"), "{}", stdout(&output));
}
