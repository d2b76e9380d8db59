//! The durations in `infra/template.yaml`: they hold one another, and the functions have the time they ask for. A short
//! lease would mail owners twice, and none of the other tests would tell.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The columns of the mapping.
const COLUMNS: [&str; 2] = ["production", "testbed"];

/// Where each duration is used: in which resource or section, and as which of its properties.
const USES: [(&str, &str, &str); 14] = [
    ("ProducerFunction", "Timeout", "ProducerTimeout"),
    ("WorkerFunction", "Timeout", "WorkerTimeout"),
    ("NotifierFunction", "Timeout", "NotifierTimeout"),
    ("FeedbackFunction", "Timeout", "FeedbackTimeout"),
    ("AccountsQueue", "VisibilityTimeout", "AccountsVisibility"),
    ("UsersQueue", "VisibilityTimeout", "UsersVisibility"),
    ("FindingsQueue", "VisibilityTimeout", "FindingsVisibility"),
    ("FeedbackQueue", "VisibilityTimeout", "FeedbackVisibility"),
    ("NotifierFunction", "SES_ATTEMPT_TIMEOUT_SECONDS", "SesAttemptTimeout"),
    ("NotifierFunction", "LEASE_SECONDS", "Lease"),
    ("NotifierFunction", "UNKNOWN_LEASE_SECONDS", "UnknownLease"),
    ("Function", "RETRY_FIRST_DELAY_SECONDS", "RetryFirstDelay"),
    ("Function", "RETRY_LONGEST_DELAY_SECONDS", "RetryLongestDelay"),
    ("Function", "OPERATOR_DELAY_SECONDS", "OperatorDelay"),
];

/// Each function's timeout, and its queue's visibility timeout.
const PAIRS: [(&str, &str); 4] = [
    ("ProducerTimeout", "AccountsVisibility"),
    ("WorkerTimeout", "UsersVisibility"),
    ("NotifierTimeout", "FindingsVisibility"),
    ("FeedbackTimeout", "FeedbackVisibility"),
];

/// A file of the workspace.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// What stands under `name`, whose line is indented by two: everything that is indented further.
fn section<'a>(template: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = template.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "the template has no {name}");
    lines.take_while(|line| line.is_empty() || line.starts_with("   ")).collect()
}

/// The durations of `column`, in seconds.
fn durations(template: &str, column: &str) -> BTreeMap<String, u64> {
    let lines = section(template, "Durations").into_iter().map(str::trim);
    let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let duration = |line: &str| {
        let (name, columns) = line.split_once(':').unwrap();
        let (_, value) = columns.split_once(&format!("{column}: \"")).unwrap();
        (name.to_owned(), value.split('"').next().unwrap().parse().unwrap())
    };
    entries.map(duration).collect()
}

/// The value of a constant in a function's source: a binary gives its constants to nobody.
fn constant_seconds(path: &str, name: &str) -> u64 {
    let source = file(path);
    let (_, value) = source.split_once(&format!("const {name}: Duration = ")).unwrap();
    let (_, value) = value.split_once("Duration::from_secs(").unwrap();
    value.split(')').next().unwrap().parse().unwrap()
}

#[test]
fn an_attempt_to_send_ends_within_its_invocation_its_lease_and_its_finding_s_visibility_timeout() {
    let template = file("infra/template.yaml");
    for column in COLUMNS {
        let durations = durations(&template, column);
        let chain = ["SesAttemptTimeout", "NotifierTimeout", "Lease", "FindingsVisibility"]
            .map(|name| durations[name]);
        assert!(chain.is_sorted_by(|shorter, longer| shorter < longer), "{column}: {chain:?}");
        assert!(durations["UnknownLease"] >= durations["Lease"], "{column}: a lease is prolonged");
    }
}

#[test]
fn a_record_stays_invisible_while_its_function_may_work_on_it() {
    let template = file("infra/template.yaml");
    for (timeout, visibility) in PAIRS {
        // Lambda advises six times the timeout, and accepts no less than the timeout.
        let production = durations(&template, "production");
        assert!(production[visibility] >= 6 * production[timeout], "{visibility}");
        let testbed = durations(&template, "testbed");
        assert!(testbed[visibility] > testbed[timeout], "{visibility}");
    }
}

#[test]
fn each_function_has_the_time_that_it_asks_for_before_it_starts_a_record() {
    let template = file("infra/template.yaml");
    let time_to_answer = constant_seconds("shared/lambda/src/records.rs", "TIME_TO_ANSWER");
    let page = constant_seconds("functions/producer/src/handler.rs", "TIME_FOR_A_PAGE");
    let user = constant_seconds("functions/worker/src/handler.rs", "TIME_FOR_ONE_USER");
    let ledger = constant_seconds("functions/notifier/src/handler.rs", "TIME_FOR_THE_LEDGER");
    let event = constant_seconds("functions/feedback/src/handler.rs", "TIME_FOR_THE_LEDGER");
    for column in COLUMNS {
        let durations = durations(&template, column);
        for (timeout, needed) in [
            ("ProducerTimeout", page),
            ("WorkerTimeout", user),
            ("NotifierTimeout", time_to_answer + ledger + durations["SesAttemptTimeout"]),
            ("FeedbackTimeout", time_to_answer + event),
        ] {
            assert!(needed < durations[timeout], "{column}: {timeout} leaves no time for a record");
        }
    }
}

#[test]
fn every_duration_is_what_its_resource_refers_to() {
    let template = file("infra/template.yaml");
    for (resource, property, duration) in USES {
        let reference = format!("{property}: !FindInMap [Durations, {duration}, !Ref Timing]");
        let lines = section(&template, resource);
        assert!(lines.iter().any(|line| line.trim() == reference), "{resource} has no {reference}");
    }
    for column in COLUMNS {
        let durations = durations(&template, column);
        let unused: Vec<_> =
            durations.keys().filter(|name| USES.iter().all(|use_| use_.2 != *name)).collect();
        assert_eq!((durations.len(), unused), (USES.len(), vec![]), "{column}");
    }
}

#[test]
fn no_timeout_stands_anywhere_but_in_the_mapping() {
    let template = file("infra/template.yaml");
    let timeouts = template
        .lines()
        .map(str::trim)
        .filter(|line| ["Timeout:", "VisibilityTimeout:"].iter().any(|property| line.starts_with(property)));
    let fixed: Vec<&str> = timeouts.filter(|line| !line.contains("!FindInMap [Durations, ")).collect();
    assert_eq!(fixed, Vec::<&str>::new());
}
