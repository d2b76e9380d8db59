//! The README's first hour, with the real `keynudge`: from the first scan to the last replay.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Output;

use keynudge_testbed::functions::{Packages, Profile};
use keynudge_testbed::population::{Expectation, Population, Setting, Totals};
use serde_json::Value;

use crate::support::{Running, eventually, stderr, stdout};

const USERS: usize = 100;
/// How many users somebody's mistake is about.
const DENIED: usize = 3;
/// No run but those that are started here.
const NEVER: &str = "ScheduleExpression=at(2999-12-31T00:00:00)";
/// By which rules the playground deploys Keynudge, as far as they are not the defaults.
const RULES: [&str; 4] = ["--default-domain", "corp.example", "--allowed-domains", "corp.example"];

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
        let (said, remarked) = (stdout(&output), stderr(&output));
        assert!(output.status.success(), "keynudge {arguments:?}: {said}{remarked}");
        said
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.keynudge(arguments)).unwrap()
    }

    /// What a scan by these rules says how many would be mailed.
    fn would_be_mailed(&self, rules: &[&str]) -> usize {
        let report = self.json(&[&["scan", "--format", "json"], rules].concat());
        assert_eq!(report["complete"], true, "{report}");
        number(&report["stale_owners"]["mailed"])
    }

    /// What the newest run came to.
    fn last_run(&self) -> Value {
        self.json(&["status", "--runs", "1", "--json"])["runs"][0].clone()
    }

    /// How many dead letters there are about users.
    fn dead_letters(&self) -> usize {
        number(&self.json(&["dlq", "list", "users", "--json"])["visible"])
    }

    /// How many mails there are. None says what another one says.
    fn mails(&self) -> usize {
        let mails = self.playground.command(&["mails"]);
        let mut lines: Vec<&str> = mails.lines().collect();
        let all = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), all, "somebody is mailed twice: {mails}");
        all
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}")).try_into().unwrap()
}

#[test]
fn a_first_hour() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let packages = runtime.block_on(Packages::build(Profile::Test)).unwrap();
    let playground = Running::start("first-hour", USERS);
    let terminal = Terminal { playground: &playground, tool: packages.operators_tool().unwrap() };
    let population = Population::typical(&Setting::default(), USERS, USERS / 10, 1);
    let totals = population.totals();

    scans(&terminal, &totals);
    previews(&terminal, &population);
    is_told_what_is_missing(&terminal);

    let deployed = playground.command(&["deploy", "--profile", "dev", NEVER]);
    assert!(deployed.contains("The stack keynudge is there"), "{deployed}");
    assert!(deployed.contains(NEVER) && deployed.contains("Sender=keynudge@"), "{deployed}");
    let checked = terminal.keynudge(&["doctor"]);
    assert!(checked.contains("  0 ✘"), "{checked}");
    assert_eq!(terminal.would_be_mailed(&RULES), totals.mails);

    runs(&terminal, &totals);
    replays(&terminal, &totals);
    updates(&playground);
    ends(playground, &packages);
}

/// Who would be mailed? As a table, and as a page.
fn scans(terminal: &Terminal<'_>, totals: &Totals) {
    let table = terminal.keynudge(&[&["scan"], &RULES[..]].concat());
    for line in [
        format!("Users     {USERS} listed"),
        format!("{:>7}   checked", totals.checked),
        format!("Owners    {} with old keys", totals.stale_owners),
        format!("{:>7}   would be mailed", totals.mails),
    ] {
        assert!(table.contains(&format!("\n{line}\n")), "{line}: {table}");
    }
    assert_eq!(terminal.would_be_mailed(&RULES), totals.mails);

    let page = terminal.playground.directory.join("scan.html");
    let said = terminal.keynudge(&[&["scan", "--output", page.to_str().unwrap()], &RULES[..]].concat());
    assert_eq!(said, "");
    assert!(fs::read_to_string(&page).unwrap().contains("</html>"));
    fs::remove_file(page).unwrap();
}

/// What would they read?
fn previews(terminal: &Terminal<'_>, population: &Population) {
    let made_up = terminal.keynudge(&["preview"]);
    assert!(made_up.contains("aws iam "), "{made_up}");
    let mailed = population.owners.iter().find_map(|owner| match &owner.expectation {
        Expectation::Mailed { to, .. } => Some((&owner.user.name, to)),
        _ => None,
    });
    let (name, to) = mailed.unwrap();
    let mail =
        terminal.keynudge(&[&["preview", name, "--sender", "keynudge@corp.example"], &RULES[..]].concat());
    assert!(
        mail.contains("keynudge@corp.example") && mail.contains(&**to) && mail.contains(&**name),
        "{mail}"
    );
}

/// Before it is deployed, nothing is, and that is no fault.
fn is_told_what_is_missing(terminal: &Terminal<'_>) {
    let checked = terminal.keynudge(&["doctor", "--sender", "keynudge@corp.example"]);
    assert!(checked.contains("is verified") && checked.contains("  0 ✘"), "{checked}");
    for command in [&["dlq", "list"][..], &["status"], &["run", "--dry-run"], &["scan", "--from-stack"]] {
        let too_early = terminal.try_keynudge(command);
        assert_eq!(too_early.status.code(), Some(1), "{command:?}");
        assert!(stderr(&too_early).contains("there is no stack \"keynudge\""), "{}", stderr(&too_early));
    }
}

/// A dry run, and one that ends with dead letters about those whose keys somebody denies meanwhile.
fn runs(terminal: &Terminal<'_>, totals: &Totals) {
    terminal.keynudge(&["run", "--dry-run"]);
    let dry = terminal.last_run();
    assert_eq!((&dry["state"], number(&dry["owners"]["would_be_mailed"])), (&"done".into(), totals.mails));
    assert_eq!(terminal.mails(), 0);

    assert!(terminal.playground.command(&["break"]).contains("the keys of 3 users now"));
    let live = terminal.try_keynudge(&["run", "--yes"]);
    let (said, remarked) = (stdout(&live), stderr(&live));
    assert_eq!(live.status.code(), Some(1), "{said}{remarked}");
    assert!(remarked.contains("3 given up: `keynudge dlq list` says why."), "{remarked}");
    assert_eq!(number(&terminal.last_run()["checks"]["dead"]), DENIED);
    assert_eq!((terminal.mails(), terminal.dead_letters()), (totals.mails - DENIED, DENIED));
}

/// What was given up is tried again, once it is repaired.
fn replays(terminal: &Terminal<'_>, totals: &Totals) {
    let letters = terminal.keynudge(&["dlq", "show", "users"]);
    assert_eq!(letters.matches("iam:ListAccessKeys failed: AccessDenied").count(), DENIED, "{letters}");
    assert!(terminal.playground.command(&["repair"]).ends_with("the keys of 3 users.\n"));
    assert!(terminal.keynudge(&["dlq", "replay", "users", "--yes"]).contains("Replayed 3 letters."));
    assert_eq!(terminal.dead_letters(), 0);
    eventually("their owners are mailed", || terminal.mails() == totals.mails);
    eventually("the run is whole", || terminal.last_run()["state"] == "done");
    let run = terminal.last_run();
    assert_eq!(
        (number(&run["checks"]["checked"]), number(&run["checks"]["dead"])),
        (totals.checked, 0),
        "{run}"
    );
    let owners = &run["owners"];
    assert_eq!(number(&owners["stale"]), totals.stale_owners, "{run}");
    assert_eq!(number(&owners["mailed"]), totals.mails, "{run}");
    assert_eq!(number(&owners["without_contact"]), totals.without_contact, "{run}");
    assert_eq!(number(&owners["exempt"]), totals.exempt, "{run}");

    // A second run on the same day mails nobody again.
    terminal.keynudge(&["run", "--yes"]);
    assert_eq!(terminal.mails(), totals.mails);
}

/// In the second terminal, nothing is asked of what is not there.
fn ends(mut playground: Running, packages: &Packages) {
    let environment = fs::read_to_string(playground.environment()).unwrap();
    playground.signal("INT");
    assert_eq!(playground.exit_code(), Some(0));
    fs::write(playground.environment(), environment).unwrap();
    let tool = packages.operators_tool().unwrap();
    let terminal = Terminal { playground: &playground, tool };
    let too_late = terminal.try_keynudge(&["status"]);
    assert_eq!(too_late.status.code(), Some(1));
    assert!(stderr(&too_late).contains("the playground of this shell has ended"), "{}", stderr(&too_late));
    fs::remove_file(playground.environment()).unwrap();
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
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("it has no parameter called No"), "{}", stderr(&unknown));
}
