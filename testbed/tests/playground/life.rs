//! Its start, its end, and what stands in its way.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};

use crate::support::{Running, directory, playground, stderr, stdout};

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

/// What somebody who uses AWS may have set by themselves, whether this program knows the service or not.
#[test]
fn no_endpoint_of_the_user_s_own_shows_through() {
    let running = Running::start("endpoints", 20);
    let shown = stdout(&running.shell(&["env"].map(OsStr::new)));
    let mut services = shown.lines().filter_map(|line| line.strip_prefix("AWS_ENDPOINT_URL_"));
    let ours = |setting: &str| setting.starts_with("IAM=http://127") || setting.starts_with("SES=http://127");
    assert!(services.clone().count() == 2 && services.all(ours), "{shown}");
}

#[test]
fn what_cannot_be_deployed_is_said_before_a_playground_is_asked_for() {
    for (parameter, reason) in [
        ("Foo=bar", "it has no parameter called Foo"),
        ("TemplatesLayer=words:1", "the playground has no Lambda layers"),
    ] {
        let output = playground(&directory("none"), &["deploy", parameter]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{parameter}");
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

/// It cannot take its files back. The next command says so, and does.
#[test]
fn a_killed_playground_leaves_no_process_and_is_known_to_be_gone() {
    let mut running = Running::start("killed", 20);
    running.signal("KILL");
    assert_eq!(running.exit_code(), None);
    running.wait_until_gone();
    let output = playground(&running.directory, &["mails"]).output().unwrap();
    assert!(stderr(&output).starts_with("the playground was killed"), "{}", stderr(&output));
    running.assert_nothing_is_left();
    let output = playground(&running.directory, &["mails"]).output().unwrap();
    assert!(stderr(&output).starts_with("no playground is running"), "{}", stderr(&output));

    let mut next = Running::start("killed", 20);
    assert_ne!(next.endpoint, running.endpoint);
    next.signal("TERM");
    assert_eq!(next.exit_code(), Some(0));
    next.assert_nothing_is_left();
}
