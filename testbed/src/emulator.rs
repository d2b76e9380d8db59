//! MiniStack as a child process.
//!
//! It is started through `emulator/launch.py`, which holds one end of a pipe and kills the emulator and every function
//! process as soon as our end is closed. We close it by dropping an [`Emulator`]; the kernel does if we are killed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, Result, venv, workspace};

const LAUNCHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/launch.py");

/// How long the emulator may take to answer; it takes about a second on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long it may take to write its state and leave.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A port that was free a moment ago may be taken by the time the emulator binds it.
const START_ATTEMPTS: usize = 3;
const LOG_TAIL_LINES: usize = 30;

/// Which IAM the functions ask.
#[derive(Clone, Debug)]
pub enum Iam {
    /// The emulator's own.
    Emulator,
    /// Another, at this endpoint.
    At(String),
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port to listen on, 0 for any that is free.
    pub port: u16,
    /// Which IAM the functions ask.
    pub iam: Iam,
    /// Whether the functions' roles are enforced, and the signatures of their calls checked.
    pub enforce_iam: bool,
    /// The content of its IAM at the start, as [`Emulator::stop`] left it.
    pub iam_state: Option<IamState>,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 0, iam: Iam::Emulator, enforce_iam: false, iam_state: None }
    }
}

/// The content of a stopped emulator's IAM: its `iam.json`.
#[derive(Clone, Debug)]
pub struct IamState(pub serde_json::Value);

/// A running emulator. Dropping it ends it, and the functions it runs.
#[derive(Debug)]
pub struct Emulator {
    launcher: Child,
    port: u16,
    run: RunDirectory,
}

impl Emulator {
    /// Starts an emulator and waits until it answers. `report` hears of the steps that take time.
    ///
    /// # Errors
    ///
    /// [`Error::PortInUse`] or [`Error::Port`] if the given port cannot be had, [`Error::Emulator`] if it does not come
    /// up, and whatever [`venv::python`] says.
    pub async fn start(options: &Options, report: &impl Fn(&str)) -> Result<Self> {
        // Before the virtual environment, which may take a minute.
        free_port(options.port)?;
        let python = venv::python(report).await?;
        report("starting the emulator");
        let mut attempt = 1;
        loop {
            let mut emulator = Self::spawn(&python, options)?;
            match emulator.wait_until_it_answers().await {
                Ok(()) => return Ok(emulator),
                Err(_) if options.port == 0 && attempt < START_ATTEMPTS => attempt += 1,
                Err(error) => {
                    drop(emulator);
                    return Err(free_port(options.port).err().unwrap_or(error));
                }
            }
        }
    }

    fn spawn(python: &Path, options: &Options) -> Result<Self> {
        let port = free_port(options.port)?;
        let run = RunDirectory::create(port)?;
        if let Some(state) = &options.iam_state {
            run.write_iam_state(state)?;
        }
        let log = run.create_log()?;
        let log_of_stderr = log.try_clone().map_err(Error::file("opening", &run.log()))?;
        let launcher = Command::new(python)
            .arg(LAUNCHER)
            .env_clear()
            .envs(environment(port, options, &run))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_of_stderr)
            // A group of its own: Ctrl-C is for us, and the launcher can end the group as a whole.
            .process_group(0)
            .spawn()
            .map_err(Error::file("starting", python))?;
        Ok(Self { launcher, port, run })
    }

    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let health = format!("{}/_ministack/ready", self.endpoint());
        let http = crate::aws::http_client();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if matches!(self.launcher.try_wait(), Ok(Some(_))) {
                return Err(self.failed("ended at its start"));
            }
            if let Ok(answer) = http.get(&health).send().await
                && answer.status().is_success()
                && self.is_listening()
            {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(self.failed("did not answer in time"))
    }

    /// Whether the answer is its own. Another emulator may have taken the port in the meantime, but only one can listen
    /// there, and it says so in its log.
    fn is_listening(&self) -> bool {
        let log = fs::read_to_string(self.run.log()).unwrap_or_default();
        log.contains(&format!("Running on {} ", self.endpoint()))
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Ends it the way that lets it write its state, and returns what its IAM held.
    ///
    /// # Errors
    ///
    /// [`Error::Emulator`] if it does not leave in time.
    pub async fn stop(mut self) -> Result<IamState> {
        if let Some(stdin) = &mut self.launcher.stdin {
            writeln!(stdin, "stop").map_err(Error::file("writing to", Path::new("the launcher")))?;
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if matches!(self.launcher.try_wait(), Ok(Some(_))) {
                return self.run.read_iam_state();
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(self.failed("did not stop in time"))
    }

    fn failed(&self, what: &str) -> Error {
        let log = self.run.log();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        Error::Emulator { what: what.to_owned(), log, tail }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        // The launcher kills its group, itself included; if it cannot be waited for, it is gone already.
        let _ = self.launcher.wait();
        self.run.remove_temporary_files();
    }
}

/// The port asked for, if it is free, or any free one.
fn free_port(wanted: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => Error::PortInUse { port: wanted },
        _ => Error::Port { port: wanted, source },
    })
}

/// All that the emulator sees of this machine. The functions inherit it.
///
/// Nothing else of the user's environment gets there: no AWS profile, no proxy, no setting of another emulator.
fn environment(port: u16, options: &Options, run: &RunDirectory) -> Vec<(&'static str, String)> {
    let endpoint = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
    let mut environment = vec![
        ("PATH", std::env::var("PATH").unwrap_or_default()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PYTHONUTF8", "1".to_owned()),
        ("TMPDIR", run.temporary().display().to_string()),
        ("GATEWAY_PORT", port.to_string()),
        // By default it listens on every interface.
        ("BIND_HOST", Ipv4Addr::LOCALHOST.to_string()),
        ("AUTH", options.enforce_iam.to_string()),
        ("PERSIST_STATE", "1".to_owned()),
        ("STATE_DIR", run.state().display().to_string()),
        // Listeners on ports of their own, which nobody here needs.
        ("IOT_MTLS_ENABLED", "0".to_owned()),
        ("SFTP_ENABLED", "0".to_owned()),
        // For the functions: where AWS is, and the log format that Lambda sets for the template's JSON logs.
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
    ];
    if let Iam::At(endpoint) = &options.iam {
        environment.push(("AWS_ENDPOINT_URL_IAM", endpoint.clone()));
    }
    environment
}

/// One run's files: log, temporary files, state.
///
/// The log stays until the next start of any emulator, for whoever wants to know what happened.
#[derive(Debug)]
struct RunDirectory {
    path: PathBuf,
    /// Held as long as this process lives: how others know that the run is not over.
    _lock: File,
}

impl RunDirectory {
    fn create(port: u16) -> Result<Self> {
        let runs = workspace::testbed_dir().join("runs");
        fs::create_dir_all(&runs).map_err(Error::file("creating", &runs))?;
        let guard = runs.join("lock");
        let _nobody_else_sweeps = lock(&guard).map_err(Error::file("locking", &guard))?;
        sweep(&runs);

        let path = runs.join(format!("{port}-{}", std::process::id()));
        for part in ["tmp", "state"] {
            fs::create_dir_all(path.join(part)).map_err(Error::file("creating", &path))?;
        }
        let lock = lock(&path.join("lock")).map_err(Error::file("locking", &path))?;
        Ok(Self { path, _lock: lock })
    }

    fn create_log(&self) -> Result<File> {
        File::create(self.log()).map_err(Error::file("creating", &self.log()))
    }

    fn log(&self) -> PathBuf {
        self.path.join("emulator.log")
    }

    fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    fn iam_state(&self) -> PathBuf {
        self.state().join("iam.json")
    }

    fn write_iam_state(&self, IamState(content): &IamState) -> Result<()> {
        let path = self.iam_state();
        fs::write(&path, content.to_string()).map_err(Error::file("writing", &path))
    }

    fn read_iam_state(&self) -> Result<IamState> {
        let path = self.iam_state();
        let text = fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
        let content = serde_json::from_str(&text).map_err(|error| Error::Unreadable {
            call: path.display().to_string(),
            detail: error.to_string(),
        })?;
        Ok(IamState(content))
    }

    fn remove_temporary_files(&self) {
        // What cannot be removed now is swept by the next start.
        let _ = fs::remove_dir_all(self.temporary());
    }
}

fn lock(path: &Path) -> std::io::Result<File> {
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}

/// Removes what ended runs left. A run whose lock is taken is not over.
fn sweep(runs: &Path) {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    for run in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let over = File::open(run.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if over {
            // Left for the next sweep if it cannot be removed now.
            let _ = fs::remove_dir_all(&run);
        }
    }
}
