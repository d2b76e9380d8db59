//! The emulator comes and goes with whoever started it.

use std::io::{self, BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, future, thread};

use keynudge_testbed::Error;
use keynudge_testbed::deployment::Parameters;
use keynudge_testbed::emulator::{self, Emulator};
use keynudge_testbed::processes;
use tokio::task::spawn_blocking;

use crate::support::{deploy, fresh_account, packages, run, shared, start};

/// Far more than it takes, on whatever machine.
const DEADLINE: Duration = Duration::from_mins(3);
/// For a start of the emulator, a deployment and a run, on a machine that is busy with all the other tests.
const VICTIM_DEADLINE: Duration = Duration::from_mins(15);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Makes the test below play the part of the one who is killed.
const VICTIM: &str = "KEYNUDGE_E2E_VICTIM";

/// This test's own executable is started a second time, runs the pipeline there, and is killed in a way it cannot
/// notice.
#[tokio::test]
async fn no_process_outlives_one_that_was_killed() {
    if env::var_os(VICTIM).is_some() {
        return play_the_victim().await;
    }
    // Not to be built with the victim's deadline running.
    packages().await;
    let mut victim = Victim::spawn();
    let endpoint = victim.endpoint();
    assert!(answers(&endpoint));
    if cfg!(target_os = "linux") {
        let processes = processes::using(&endpoint);
        assert!(processes.iter().any(|process| process.function_name.is_some()), "{processes:?}");
        assert!(processes.iter().any(|process| process.function_name.is_none()), "{processes:?}");
    }

    victim.kill();

    eventually("the emulator is gone", || !answers(&endpoint));
    eventually("no process has it as its AWS", || processes::using(&endpoint).is_empty());
}

#[tokio::test]
async fn a_busy_port_is_an_error_that_says_so() {
    let endpoint = shared().await.emulator.endpoint();
    let port = endpoint.rsplit(':').next().unwrap().parse().unwrap();
    let options = emulator::Options { port, ..emulator::Options::default() };
    let error = Emulator::start(&options, &|_| ()).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains(&port.to_string()));
}

/// Has functions running, says where, and waits for its end; it comes at the latest when the test goes away.
async fn play_the_victim() {
    let work = async {
        let emulator = start(&emulator::Options::default()).await;
        let deployment = deploy(fresh_account(&emulator), &Parameters::unpaced()).await;
        run(&deployment).await;
        announce(&emulator.endpoint());
        future::pending::<()>().await;
    };
    let test_goes_away = spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        () = work => (),
        _ = test_goes_away => (),
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn announce(endpoint: &str) {
    // The test harness writes in front of it otherwise.
    println!("\n{endpoint}");
}

/// The second process. It does not outlive its test.
struct Victim {
    process: Child,
    /// What it prints.
    lines: Receiver<String>,
}

impl Victim {
    fn spawn() -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "lifecycle::no_process_outlives_one_that_was_killed", "--nocapture"])
            .env(VICTIM, "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // On a thread, because reading knows no deadline. It ends with the process, or with the receiver.
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Where its emulator is, once functions have run there.
    fn endpoint(&self) -> String {
        let deadline = Instant::now() + VICTIM_DEADLINE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.expect("the victim says where its emulator is, in time");
            if line.starts_with("http://") {
                return line;
            }
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It is dead already, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answers(endpoint: &str) -> bool {
    TcpStream::connect(endpoint.trim_start_matches("http://")).is_ok()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}
