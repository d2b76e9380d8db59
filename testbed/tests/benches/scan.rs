//! `cargo bench-scan`.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn fifty_users_are_scanned_and_nobody_is_missed() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench_scan"))
        .args([
            "--profile",
            "dev",
            "--users",
            "50",
            "--users",
            "20",
            "--runs",
            "1",
            "--latency-ms",
            "0",
            "--json",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let printed = String::from_utf8(output.stdout).unwrap();
    let figures: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    for (account, users, stale_owners) in [(&figures["accounts"][0], 50, 5), (&figures["accounts"][1], 20, 2)]
    {
        assert_eq!(account["users"], users, "{account}");
        assert_eq!(account["stale_owners"], stale_owners, "{account}");
        // A list of keys for each user, and two calls more for whoever has a stale one.
        assert!(account["calls"].as_u64() >= Some(users + 2 * stale_owners), "{account}");
        assert_eq!(account["right"], true, "{account}");
        assert!(account["peak_mb"].as_f64() > Some(0.0), "{account}");
    }
}
