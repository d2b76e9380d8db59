//! Programs that are measured: they run one after another, each as a child process that cannot outlive this one.

use std::ffi::OsStr;
use std::fs::File;
use std::iter::Sum;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::run_directory::RunDirectory;
use crate::{Error, Result};

/// Runs a program, says what it took, and holds a pipe from us while it does.
const MEASURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contenders/measure.py");

/// How long a program may run. As many users as an account holds take the slowest one some minutes at IAM's usual rate.
const LIMIT: Duration = Duration::from_hours(1);

/// What a program took, or several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// From its start to its end.
    pub wall: Duration,
    /// The processor time of all its processes.
    pub cpu: Duration,
    /// The most memory that one of its processes needed.
    pub peak_bytes: u64,
}

impl Sum for Usage {
    /// One after the other.
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |sum, one| Self {
            wall: sum.wall + one.wall,
            cpu: sum.cpu + one.cpu,
            peak_bytes: sum.peak_bytes.max(one.peak_bytes),
        })
    }
}

/// Where programs run: their environment, and files of their own.
#[derive(Debug)]
pub struct Workbench {
    python: PathBuf,
    environment: Vec<(&'static str, String)>,
    run: RunDirectory,
}

impl Workbench {
    /// Makes one, with nothing but this in the programs' environment; no other running one has this name. `python` is the
    /// one that measures.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if its files cannot be made.
    pub fn new(name: &str, python: PathBuf, environment: Vec<(&'static str, String)>) -> Result<Self> {
        Ok(Self { python, environment, run: RunDirectory::create(name)? })
    }

    /// For the programs' files; gone when this is dropped.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.run.temporary()
    }

    /// Runs a command to its end. It ends with us, and when the returned future is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Measured`] with the end of what it printed, if it fails or runs for more than an hour.
    pub async fn run(&self, command: &[&OsStr]) -> Result<Usage> {
        self.run_within(LIMIT, command).await
    }

    async fn run_within(&self, limit: Duration, command: &[&OsStr]) -> Result<Usage> {
        let log = self.open_log()?;
        let mut measure = Command::new(&self.python);
        measure
            .arg(MEASURE)
            .args(command)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("TMPDIR", self.folder())
            .env("PYTHONUTF8", "1")
            .env("PYTHONUNBUFFERED", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A group of its own: Ctrl-C is for us, and the group is ended as a whole.
            .process_group(0);
        let mut measure = measure.spawn().map_err(Error::file("starting", &self.python))?;
        // Dropped when this is over, whichever way: that ends the group.
        let _held = measure.stdin.take();
        let Ok(output) = timeout(limit, measure.wait_with_output()).await else {
            return Err(self.failed(command, &format!("did not end within {} s", limit.as_secs())));
        };
        let output = output.map_err(Error::file("waiting for", &self.python))?;
        self.usage(command, &String::from_utf8_lossy(&output.stdout))
    }

    fn open_log(&self) -> Result<File> {
        let log = self.run.log();
        File::options().create(true).append(true).open(&log).map_err(Error::file("opening", &log))
    }

    fn usage(&self, command: &[&OsStr], said: &str) -> Result<Usage> {
        let measured: Measured =
            serde_json::from_str(said.trim()).map_err(|_| self.failed(command, "could not be measured"))?;
        match measured.status {
            0 => Ok(Usage {
                wall: Duration::from_secs_f64(measured.wall_s),
                cpu: Duration::from_secs_f64(measured.cpu_s),
                peak_bytes: measured.peak_bytes,
            }),
            status => Err(self.failed(command, &format!("ended with status {status}"))),
        }
    }

    fn failed(&self, command: &[&OsStr], how: &str) -> Error {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        let what = format!("`{}` {how}", words.join(" "));
        Error::Measured { what, log: self.run.log(), tail: self.run.log_tail() }
    }
}

/// What `measure.py` says.
#[derive(Deserialize)]
struct Measured {
    status: i32,
    wall_s: f64,
    cpu_s: f64,
    peak_bytes: u64,
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A program that lives on would hang the test.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn workbench(test: &str) -> Workbench {
        Workbench::new(&format!("workbench-{test}"), "python3".into(), Vec::new()).unwrap()
    }

    fn python(program: &str) -> [&OsStr; 3] {
        ["python3".as_ref(), "-c".as_ref(), program.as_ref()]
    }

    #[tokio::test]
    async fn a_program_is_measured() {
        let usage = workbench("measured").run(&python("len('x' * 50_000_000)")).await.unwrap();
        assert!(usage.peak_bytes > 50_000_000 && usage.cpu > Duration::ZERO && usage.wall > Duration::ZERO);
    }

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_with_what_it_said() {
        let failed = workbench("failed").run(&python("import sys; sys.exit('no such luck')")).await;
        let error = failed.unwrap_err().to_string();
        assert!(error.contains("ended with status 1") && error.ends_with("no such luck"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_runs_for_too_long_is_an_error_that_says_how_long_is_too_long() {
        let endless = python("import signal; signal.pause()");
        let late = workbench("late").run_within(Duration::ZERO, &endless).await;
        let error = late.unwrap_err().to_string();
        assert!(error.contains("did not end within 0 s"), "{error}");
    }

    #[tokio::test]
    async fn a_program_ends_when_nobody_waits_for_it_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let program = format!("import socket; socket.create_connection(('127.0.0.1', {port})).recv(1)");
        let (workbench, command) = (workbench("dropped"), python(&program));
        let mut connection = tokio::select! {
            ended = workbench.run(&command) => panic!("{ended:?}"),
            connection = listener.accept() => connection.unwrap().0,
        };
        // The connection breaks when the program ends.
        let mut nothing = Vec::new();
        let broken = timeout(PATIENCE, connection.read_to_end(&mut nothing)).await;
        assert!(broken.is_ok(), "the program goes on");
    }
}
