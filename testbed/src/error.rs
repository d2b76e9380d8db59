//! What can go wrong on the testbed. Each message names the thing and says what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The testbed's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the testbed could not do its work.
#[derive(Debug, Error)]
pub enum Error {
    /// The emulator is a Python program, and there is no Python for it.
    #[error("no Python {minimum} or newer (tried {tried}): install one, or put it on the PATH")]
    NoPython {
        /// The oldest version that will do.
        minimum: String,
        /// The commands that were tried, and what they turned out to be.
        tried: String,
    },
    /// Python is there, but not all of it.
    #[error("`{python} -m venv` failed; on Debian and Ubuntu, install the package python3-venv\n{detail}")]
    NoVirtualEnvironment {
        /// The Python that was asked.
        python: String,
        /// What it printed.
        detail: String,
    },
    /// The packages of the emulator could not be installed.
    #[error(
        "pip could not install {}; is the Python package index reachable?\n{detail}",
        requirements.display()
    )]
    Pip {
        /// The list of packages.
        requirements: PathBuf,
        /// What pip printed last.
        detail: String,
    },
    /// Something else listens where the emulator should.
    #[error(
        "port {port} is in use: stop what listens there, or choose another with --port (0 finds a free one)"
    )]
    PortInUse {
        /// The port asked for.
        port: u16,
    },
    /// The emulator may not listen where it should.
    #[error("cannot listen on port {port}")]
    Port {
        /// The port asked for.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The emulator ended, or never answered.
    #[error("the emulator {what}; the end of its log, {}:\n{tail}", log.display())]
    Emulator {
        /// What it did.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// The fault-injecting proxies ended, or never answered.
    #[error("the fault-injecting proxies {what}; the end of their log, {}:\n{tail}", log.display())]
    Faults {
        /// What they did.
        what: String,
        /// Their log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// A program that was to be measured failed.
    #[error("{what}; the end of its log, {}:\n{tail}", log.display())]
    Measured {
        /// What it did.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// The functions do not build.
    #[error("`cargo {arguments}` failed: {detail}")]
    Build {
        /// What cargo was asked.
        arguments: String,
        /// Why it failed; cargo has printed the rest.
        detail: String,
    },
    /// The template is not what the testbed can deploy.
    #[error("{}: {problem}", template.display())]
    Template {
        /// The template's path.
        template: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `CloudFormation` gave up.
    #[error("stack {stack} ended as {status}:\n{events}")]
    Stack {
        /// The stack's name.
        stack: String,
        /// Its last status.
        status: String,
        /// The resources that failed, each with its reason.
        events: String,
    },
    /// An AWS call was refused.
    #[error("{call}: {code}: {message}")]
    Refused {
        /// Service and operation.
        call: String,
        /// The error's code, such as `NoSuchEntity`.
        code: String,
        /// Its message.
        message: String,
    },
    /// An AWS call got no answer that can be read.
    #[error("{call}: unreadable answer: {detail}")]
    Unreadable {
        /// Service and operation.
        call: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// An AWS call got no answer.
    #[error("{call}: no answer")]
    NoAnswer {
        /// Service and operation.
        call: String,
        /// The HTTP client's reason.
        #[source]
        source: reqwest::Error,
    },
    /// The pipeline stopped moving before it was done.
    #[error("the pipeline {what}\n{report}")]
    NotDrained {
        /// How it failed to finish.
        what: String,
        /// What is stuck where, and what the functions said last.
        report: String,
    },
    /// Pages are looked at in a browser, and there is none.
    #[error(
        "no browser for the pages (tried {tried}): on Debian, `apt-get install chromium`, or let {variable} name \
         the Chromium or Chrome to use"
    )]
    NoBrowser {
        /// Where it was looked for.
        tried: String,
        /// The environment variable that can name another.
        variable: &'static str,
    },
    /// The browser failed.
    #[error("the browser {what}; the end of its log, {}:\n{tail}", log.display())]
    Browser {
        /// What it did.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// A part of the testbed could not be started.
    #[error("starting {what}")]
    Start {
        /// Which part.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A picture could not be drawn.
    #[error("drawing a picture: {0}")]
    Picture(String),
    /// A file could not be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was being done to it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Says which file an I/O error was about: `fs::read(path).map_err(Error::file("reading", path))`.
    pub fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { what, path, source }
    }
}
