//! The files of one run of one of the testbed's programs, under cargo's target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, Result, workspace};

const LOG_TAIL_LINES: usize = 30;

/// One run's files: log, temporary files, state.
///
/// The log stays until the next start of any program, for whoever wants to know what happened.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    /// Held as long as this process lives: how others know that the run is not over.
    _lock: File,
}

impl RunDirectory {
    /// Makes one; no other running one has this name.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let runs = runs();
        let _nobody_else_sweeps = sweep_alone(&runs)?;
        let path = runs.join(format!("{name}-{}", std::process::id()));
        for part in ["tmp", "state"] {
            fs::create_dir_all(path.join(part)).map_err(Error::file("creating", &path))?;
        }
        let lock = lock(&path.join("lock")).map_err(Error::file("locking", &path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Its log, empty.
    pub(crate) fn create_log(&self) -> Result<File> {
        File::create(self.log()).map_err(Error::file("creating", &self.log()))
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("output.log")
    }

    /// All of its log so far.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// Removes all of it, its log included.
    pub(crate) fn remove(self) {
        // What cannot be removed now is swept by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }

    /// For temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// For what is kept from one run to the next.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next start.
        let _ = fs::remove_dir_all(self.temporary());
    }
}

/// Removes what ended runs left, those that were killed included.
///
/// # Errors
///
/// [`Error::File`] if the folder cannot be locked.
pub fn sweep_ended() -> Result<()> {
    sweep_alone(&runs()).map(drop)
}

fn runs() -> PathBuf {
    workspace::testbed_dir().join("runs")
}

/// Sweeps, and keeps everybody else from it as long as the answer lives.
fn sweep_alone(runs: &Path) -> Result<File> {
    fs::create_dir_all(runs).map_err(Error::file("creating", runs))?;
    let guard = runs.join("lock");
    let nobody_else_sweeps = lock(&guard).map_err(Error::file("locking", &guard))?;
    sweep(runs);
    Ok(nobody_else_sweeps)
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
