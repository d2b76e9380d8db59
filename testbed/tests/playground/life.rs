//! Its start, its end, and what stands in its way.

use std::net::{Ipv4Addr, TcpListener};

use crate::support::{Running, directory, playground, stderr};

#[test]
fn a_busy_port_is_an_error_that_names_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = playground(&directory("busy"), &["--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("port {port} is in use")), "{}", stderr(&output));
}

#[test]
fn commands_need_a_playground() {
    for command in ["deploy", "break", "repair", "mails"] {
        let output = playground(&directory("none"), &[command]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        let expected = "no playground is running: start one with `cargo playground`, in another terminal\n";
        assert_eq!(stderr(&output), expected, "{command}");
    }
}

#[test]
fn a_playground_is_there_once_until_ctrl_c_and_then_nothing_is_left() {
    let mut running = Running::start("life", 20);
    assert!(running.welcome.contains("with 20 IAM users"), "{}", running.welcome);
    assert!(
        running.welcome.contains(&format!(". {}", running.environment().display())),
        "{}",
        running.welcome
    );
    assert_eq!(running.command(&["mails"]), "");
    assert_eq!(running.command(&["repair"]), "There is nothing to repair.\n");

    let second = playground(&running.directory, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).starts_with("a playground is running already"), "{}", stderr(&second));
    assert!(running.environment().exists(), "the second one has taken the first one's files");

    running.signal("INT");
    assert_eq!(running.exit_code(), Some(0));
    running.assert_nothing_is_left();
}

/// It cannot take its files back, but nobody is sent to what is not there.
#[test]
fn a_killed_playground_leaves_no_process_and_is_known_to_be_gone() {
    let mut running = Running::start("killed", 20);
    running.signal("KILL");
    assert_eq!(running.exit_code(), None);
    let output = playground(&running.directory, &["mails"]).output().unwrap();
    assert!(stderr(&output).starts_with("no playground is running"), "{}", stderr(&output));

    let mut next = Running::start("killed", 20);
    assert_ne!(next.endpoint, running.endpoint);
    next.signal("TERM");
    assert_eq!(next.exit_code(), Some(0));
    next.assert_nothing_is_left();
}
