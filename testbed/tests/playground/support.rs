//! A playground of a test's own, and the commands one types at it.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use keynudge_testbed::{processes, workspace};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(5);

/// The program, with its files in a folder of the test's own.
pub(crate) fn playground(directory: &Path, arguments: &[&str]) -> Command {
    let mut playground = Command::new(env!("CARGO_BIN_EXE_playground"));
    playground.args(arguments).arg("--directory").arg(directory).stdin(Stdio::null());
    playground
}

/// Where a test's playground has its files.
pub(crate) fn directory(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("playground-{test}"))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until it holds.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A playground at work. It does not outlive its test.
pub(crate) struct Running {
    process: Child,
    pub(crate) directory: PathBuf,
    pub(crate) endpoint: String,
    /// What it said to type next.
    pub(crate) welcome: String,
}

impl Running {
    /// Returns once it says how it is ended. Without a deadline: it has one for each of its steps.
    pub(crate) fn start(test: &str, users: usize) -> Self {
        let directory = directory(test);
        let mut playground = playground(&directory, &["--users", &users.to_string()]);
        let mut process = playground.stdout(Stdio::piped()).spawn().unwrap();
        let mut welcome = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while !welcome.contains("Ctrl-C") {
            let read = lines.read_line(&mut welcome).unwrap();
            assert!(read > 0, "it ended: {:?}, {welcome}", process.wait());
        }
        let mut running = Self { process, directory, endpoint: String::new(), welcome };
        running.endpoint = stdout(&running.shell(&[OsStr::new("printenv"), OsStr::new("AWS_ENDPOINT_URL")]));
        running.endpoint.truncate(running.endpoint.trim_end().len());
        running
    }

    pub(crate) fn environment(&self) -> PathBuf {
        self.directory.join("env")
    }

    /// Runs a command as in a shell that has read the playground's environment, and beside it has what a shell of somebody
    /// who uses AWS may have.
    pub(crate) fn shell(&self, command: &[&OsStr]) -> Output {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#". "$0" && exec "$@""#])
            .arg(self.environment())
            .args(command)
            .env("AWS_PROFILE", "somebody-elses")
            .env("AWS_SESSION_TOKEN", "of-another-session")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL_SQS", "https://sqs.eu-west-1.amazonaws.com")
            .env("AWS_ENDPOINT_URL_SERVICE_OF_TOMORROW", "https://tomorrow.example")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .stdin(Stdio::null());
        shell.output().unwrap()
    }

    /// Runs another of its commands, which must succeed. Returns what that printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = playground(&self.directory, arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    /// What was killed may take a moment to be gone.
    pub(crate) fn wait_until_gone(&self) {
        let is_gone =
            || TcpStream::connect(self.address()).is_err() && processes::using(&self.endpoint).is_empty();
        eventually("its processes are gone", is_gone);
    }

    fn address(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap()
    }

    pub(crate) fn assert_nothing_is_left(&self) {
        self.wait_until_gone();
        let files = fs::read_dir(&self.directory).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(files.collect::<Vec<_>>(), ["lock"]);
        let (_, port) = self.address().split_once(':').unwrap();
        let runs = fs::read_dir(workspace::testbed_dir().join("runs")).unwrap();
        let of_this_port = |name: &OsString| name.to_string_lossy().starts_with(&format!("{port}-"));
        let left = runs.map(|run| run.unwrap().file_name()).find(of_this_port);
        assert_eq!(left, None, "its log is left");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
