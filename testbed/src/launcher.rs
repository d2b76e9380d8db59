//! The testbed's programs, as child processes that cannot outlive this one.
//!
//! `emulator/launch.py` runs them. It holds one end of a pipe, and kills the program and all that the program started as
//! soon as our end is closed. We close it by dropping a [`Launched`]; the kernel does if we are killed.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use crate::run_directory::RunDirectory;
use crate::{Error, Result};

const LAUNCHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/launch.py");

/// A running program. Dropping it ends it, and all that it started.
#[derive(Debug)]
pub(crate) struct Launched {
    launcher: Child,
}

impl Launched {
    /// Starts a program of the folder `emulator`, or another by its whole path, with its output in the run's
    /// log, and with nothing but this in its environment: no AWS profile of the user's, no proxy, no setting
    /// of another emulator.
    pub(crate) fn start(
        python: &Path,
        program: &[&OsStr],
        environment: &[(&str, String)],
        run: &RunDirectory,
    ) -> Result<Self> {
        let log = run.create_log()?;
        let log_of_stderr = log.try_clone().map_err(Error::file("opening", &run.log()))?;
        let launcher = Command::new(python)
            .arg(LAUNCHER)
            .args(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONUTF8", "1")
            // The programs import one another, and nothing is to be left beside them.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TMPDIR", run.temporary())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_of_stderr)
            // A group of its own: Ctrl-C is for us, and the launcher can end the group as a whole.
            .process_group(0)
            .spawn()
            .map_err(Error::file("starting", python))?;
        Ok(Self { launcher })
    }

    /// The process group of the program and all that it started.
    pub(crate) fn group(&self) -> Pid {
        Pid::from_child(&self.launcher)
    }

    /// Whether it is over.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.launcher.try_wait(), Ok(Some(_)))
    }

    /// Asks it to end in its own time.
    pub(crate) fn ask_to_stop(&mut self) -> Result<()> {
        match &mut self.launcher.stdin {
            Some(stdin) => {
                writeln!(stdin, "stop").map_err(Error::file("writing to", Path::new("the launcher")))
            }
            None => Ok(()),
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        // The launcher kills its group, itself included; if it cannot be waited for, it is gone already.
        let _ = self.launcher.wait();
    }
}
