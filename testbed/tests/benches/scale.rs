//! `cargo bench-scale`.

use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn fifty_users_in_two_accounts_are_compared_with_some_in_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench_scale"))
        .args(["--profile", "dev", "--users", "50", "--accounts", "2", "--few-users", "20", "--json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let printed = String::from_utf8(output.stdout).unwrap();
    let figures: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    for (size, users, mails) in [(&figures["sizes"][0], 20, 2), (&figures["sizes"][1], 50, 5)] {
        assert_eq!(size["users"], users, "{size}");
        for (name, expected) in [("mails", mails), ("lost", 0), ("duplicates", 0), ("dead_letters", 0)] {
            assert_eq!(size[name], expected, "{name}: {size}");
        }
        let calls = &size["calls_per_user"];
        // More of them if a message comes twice, which is nobody's fault.
        assert!(calls["ListAccessKeys"].as_f64() >= Some(1.0), "{size}");
        assert!(calls["ListUserTags"].as_f64() >= Some(0.1), "{size}");
        assert_eq!(calls["ses:SendEmail"], 0.1, "{size}");
        assert!(calls["sqs:SendMessageBatch"].as_f64() > Some(0.1), "{size}");
        assert!(calls["sqs:GetQueueAttributes"].is_null(), "the testbed's own calls are none: {size}");
        assert!(size["idle_messages_per_s"].as_f64() > Some(0.0), "{size}");
    }
}
