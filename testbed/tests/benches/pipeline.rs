//! `cargo bench-pipeline`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const CONTENDERS: [&str; 5] =
    ["keynudge", "keynudge credential-report", "script", "custodian access-key", "custodian credential"];

/// It fails by itself if anybody mails anybody else than the five who have to be mailed.
#[test]
fn everybody_does_the_job_both_ways_and_the_figures_are_told() {
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-pipeline.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_bench_pipeline"))
        .args(["--profile", "dev", "--users", "50", "--runs", "1", "--iam-latency-ms", "5"])
        .args(["--iam-rate", "1000", "--json", "--picture"])
        .arg(&picture)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let printed = String::from_utf8(output.stdout).unwrap();
    let last = printed.lines().last().unwrap();
    let start = r#"{"users":50,"iam_latency_ms":5,"contenders":[{"name":"keynudge","wall_s":"#;
    assert!(last.starts_with(start), "{last}");
    let figures: Value = serde_json::from_str(last).unwrap();
    assert_eq!(figures["throttled"]["iam_rate"], 1000, "{last}");
    for comparison in [&figures, &figures["throttled"]] {
        let contenders = comparison["contenders"].as_array().unwrap();
        let names: Vec<&Value> = contenders.iter().map(|contender| &contender["name"]).collect();
        assert_eq!(json!(names), json!(CONTENDERS));
        for contender in contenders {
            for figure in ["wall_s", "users_per_s", "iam_calls", "cpu_s", "peak_mb"] {
                assert!(contender[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {contender}");
            }
        }
        assert!(comparison["ratio_script"].is_f64() && comparison["ratio_custodian"].is_f64(), "{last}");
    }
    let drawn = fs::read_to_string(picture).unwrap();
    assert!(CONTENDERS.iter().all(|name| drawn.contains(name)), "{drawn}");
}
