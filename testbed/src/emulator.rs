//! MiniStack as a child process.
//!
//! It cannot outlive us, and neither can the functions it runs.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::launcher::Launched;
use crate::run_directory::RunDirectory;
use crate::{Error, Result, venv};

/// How long the emulator may take to answer; it takes about a second on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// How long it may take to write its state and leave.
const STOP_TIMEOUT: Duration = Duration::from_mins(3);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A port that was free a moment ago may be taken by the time the emulator binds it.
const START_ATTEMPTS: usize = 3;

/// Which IAM the functions ask, and so which STS and which Organizations.
#[derive(Clone, Debug)]
pub enum Iam {
    /// The emulator's own.
    Emulator,
    /// Others, all at this endpoint.
    At(String),
}

/// Which SES the functions ask.
#[derive(Clone, Debug)]
pub enum Ses {
    /// The emulator's own.
    Emulator,
    /// Another, at this endpoint.
    At(String),
}

/// Where the functions find everything else of AWS.
#[derive(Clone, Debug)]
pub enum Aws {
    /// At the emulator.
    Emulator,
    /// At this endpoint, which is in front of the emulator.
    Behind(String),
}

/// The variable that tells an emulator's processes from those of others: it holds where the emulator listens.
pub(crate) const EMULATOR_VARIABLE: &str = "TESTBED_EMULATOR";

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port to listen on, 0 for any that is free.
    pub port: u16,
    /// Which IAM the functions ask.
    pub iam: Iam,
    /// Which SES the functions ask.
    pub ses: Ses,
    /// Where the functions find everything else.
    pub aws: Aws,
    /// How often each message in a queue is delivered at least.
    pub deliveries_per_message: u32,
    /// Whether the functions' roles are enforced, and the signatures of their calls checked.
    pub enforce_iam: bool,
    /// The content of its IAM at the start, as [`Emulator::stop`] left it.
    pub iam_state: Option<IamState>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            iam: Iam::Emulator,
            ses: Ses::Emulator,
            aws: Aws::Emulator,
            deliveries_per_message: 1,
            enforce_iam: false,
            iam_state: None,
        }
    }
}

/// The content of a stopped emulator's IAM: its `iam.json`.
#[derive(Clone, Debug)]
pub struct IamState(pub serde_json::Value);

/// A running emulator. Dropping it ends it, and the functions it runs.
#[derive(Debug)]
pub struct Emulator {
    program: Launched,
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
        let python = venv::python(venv::EMULATOR, report).await?;
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
        let run = RunDirectory::create(&port.to_string())?;
        if let Some(state) = &options.iam_state {
            write_iam_state(&run, state)?;
        }
        let program =
            Launched::start(python, &["serve.py".as_ref()], &environment(port, options, &run), &run)?;
        Ok(Self { program, port, run })
    }

    async fn wait_until_it_answers(&mut self) -> Result<()> {
        let health = format!("{}/_ministack/ready", self.endpoint());
        let http = crate::aws::http_client();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.program.has_ended() {
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
        self.program.ask_to_stop()?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if self.program.has_ended() {
                return read_iam_state(&self.run);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(self.failed("did not stop in time"))
    }

    /// Ends it, and leaves nothing, not even its log.
    pub fn end(self) {
        let Self { program, run, port: _ } = self;
        drop(program);
        run.remove();
    }

    fn failed(&self, what: &str) -> Error {
        Error::Emulator { what: what.to_owned(), log: self.run.log(), tail: self.run.log_tail() }
    }
}

/// The port asked for, if it is free, or any free one.
pub(crate) fn free_port(wanted: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => Error::PortInUse { port: wanted },
        _ => Error::Port { port: wanted, source },
    })
}

/// The emulator's settings, and those of the functions, which inherit them.
fn environment(port: u16, options: &Options, run: &RunDirectory) -> Vec<(&'static str, String)> {
    let endpoint = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
    let aws = match &options.aws {
        Aws::Emulator => endpoint.clone(),
        Aws::Behind(front) => front.clone(),
    };
    let mut environment = vec![
        (EMULATOR_VARIABLE, endpoint),
        ("GATEWAY_PORT", port.to_string()),
        // By default it listens on every interface.
        ("BIND_HOST", Ipv4Addr::LOCALHOST.to_string()),
        ("AUTH", options.enforce_iam.to_string()),
        ("PERSIST_STATE", "1".to_owned()),
        ("STATE_DIR", run.state().display().to_string()),
        // Listeners on ports of their own, which nobody here needs.
        ("IOT_MTLS_ENABLED", "0".to_owned()),
        ("SFTP_ENABLED", "0".to_owned()),
        ("DELIVERIES_PER_MESSAGE", options.deliveries_per_message.to_string()),
        // For the functions: where AWS is, and the log format that Lambda sets for the template's JSON logs.
        ("AWS_ENDPOINT_URL", aws),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
    ];
    if let Iam::At(endpoint) = &options.iam {
        for service in ["AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_ORGANIZATIONS"] {
            environment.push((service, endpoint.clone()));
        }
    }
    if let Ses::At(endpoint) = &options.ses {
        environment.push(("AWS_ENDPOINT_URL_SES", endpoint.clone()));
    }
    environment
}

fn iam_state_file(run: &RunDirectory) -> PathBuf {
    run.state().join("iam.json")
}

fn write_iam_state(run: &RunDirectory, IamState(content): &IamState) -> Result<()> {
    let path = iam_state_file(run);
    fs::write(&path, content.to_string()).map_err(Error::file("writing", &path))
}

fn read_iam_state(run: &RunDirectory) -> Result<IamState> {
    let path = iam_state_file(run);
    let text = fs::read_to_string(&path).map_err(Error::file("reading", &path))?;
    let content = serde_json::from_str(&text)
        .map_err(|error| Error::Unreadable { call: path.display().to_string(), detail: error.to_string() })?;
    Ok(IamState(content))
}
