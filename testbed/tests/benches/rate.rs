//! `cargo bench-rate`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn fifty_users_are_checked_at_a_rate_and_the_curve_is_drawn() {
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-rate.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_bench_rate"))
        .args(["--profile", "dev", "--users", "50", "--calls-per-second", "100", "--json", "--picture"])
        .arg(&picture)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let printed = String::from_utf8(output.stdout).unwrap();
    let figures: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!((&figures["users"], &figures["calls_per_second"]), (&50.into(), &100.into()));
    let run = &figures["runs"][0];
    for (name, expected) in [("mails", 5), ("lost", 0), ("duplicates", 0), ("dead_letters", 0)] {
        assert_eq!(run[name], expected, "{name}: {run}");
    }
    // 50 users, two more calls for each of five owners of stale keys.
    assert_eq!(run["calls_needed"], 60);
    assert!(run["calls_answered"].as_u64() >= Some(60), "{run}");
    for service in ["lambda", "sqs", "dynamodb", "logs", "ses"] {
        assert!(run["dollars"][service].as_f64() > Some(0.0), "{service}: {run}");
    }
    assert_eq!(run["used_of_aws"]["mails"], 5, "{run}");
    // SES's events go all the way, too.
    assert!(run["used_of_aws"]["invocations"]["feedback"].as_u64() > Some(0), "{run}");
    assert!(fs::read_to_string(picture).unwrap().contains("allowed"));
}
