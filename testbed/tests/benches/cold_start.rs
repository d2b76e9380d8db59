//! `cargo bench-cold-start`.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Whether each function did its first work, the program checks itself: a mail that does not arrive is an error.
#[test]
fn every_function_does_its_first_work_as_its_counterpart_in_python_does() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench_cold_start"));
    bench.args(["--profile", "dev", "--runs", "1", "--json"]).stdin(Stdio::null());
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let printed = String::from_utf8(output.stdout).unwrap();
    let figures: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(figures["runs"], 1);
    let functions = figures["functions"].as_array().unwrap();
    let names: Vec<&str> = functions.iter().filter_map(|function| function["function"].as_str()).collect();
    assert_eq!(names, ["producer", "worker", "notifier", "feedback"]);
    for function in functions {
        for contender in ["keynudge", "python"] {
            let figures = &function[contender];
            assert!(
                figures["first_poll_ms"].as_f64() < figures["first_invocation_ms"].as_f64(),
                "{function}"
            );
        }
        for figure in ["zip_mb", "ratio_first_poll", "ratio_first_invocation"] {
            assert!(function[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure}: {function}");
        }
    }
}
