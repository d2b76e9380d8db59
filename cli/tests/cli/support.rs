//! What the tests share: the emulator, the program, and how to read what it says.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use keynudge_testbed::aws::{Account, REGION};
use keynudge_testbed::emulator::{Emulator, Options};
use keynudge_testbed::functions::{Packages, Profile};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::sync::OnceCell;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// An account that nobody has used before.
pub(crate) fn fresh_account() -> Account {
    static ACCOUNTS: AtomicU32 = AtomicU32::new(1);
    Account::nth(ACCOUNTS.fetch_add(1, Ordering::Relaxed))
}

/// The program, as `account`, with nothing of the user's own AWS settings, run in `directory`.
pub(crate) fn keynudge(account: &Account, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keynudge"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", directory)
        .env("AWS_ACCESS_KEY_ID", account.as_str())
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

/// The emulator of all tests, which ends with the process.
pub(crate) async fn emulator() -> &'static Emulator {
    static EMULATOR: OnceCell<Emulator> = OnceCell::const_new();
    let start = async || {
        let emulator = Emulator::start(&Options::default(), &|_| ()).await;
        emulator.unwrap_or_else(|error| panic!("{error}"))
    };
    EMULATOR.get_or_init(start).await
}

/// Waits until it holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A command that has asked.
pub(crate) struct Asked {
    pub(crate) child: Child,
    pub(crate) terminal: File,
    pub(crate) question: String,
}

/// Runs it on a terminal until it asks.
pub(crate) fn ask(mut command: Command) -> Asked {
    let (terminal, other_end) = terminal();
    command.stdin(other_end).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut question = Vec::new();
    let mut said = BufReader::new(child.stderr.take().unwrap()).bytes();
    while !question.ends_with(b"[y/N] ") {
        question.push(said.next().unwrap().unwrap());
    }
    // Whatever else it says must find a reader.
    std::thread::spawn(move || said.count());
    Asked { child, terminal, question: String::from_utf8(question).unwrap() }
}

/// The two ends of a terminal: who sits at it, and what runs on it.
pub(crate) fn terminal() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other_end = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(terminal), other_end)
}

pub(crate) fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Builds the functions with the first test that needs them. If they do not build, no test tries again.
pub(crate) async fn packages() -> &'static Packages {
    static PACKAGES: OnceCell<keynudge_testbed::Result<Packages>> = OnceCell::const_new();
    let packages = PACKAGES.get_or_init(async || Packages::build(Profile::Test).await).await;
    packages.as_ref().unwrap_or_else(|error| panic!("{error}"))
}
