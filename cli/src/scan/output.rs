//! Where a report goes: to stdout, or to a file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};

use crate::terminal;

/// Where to write.
#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Output {
    /// To `file`, or to stdout without one. What can be known to be wrong is said before the work is done.
    pub(super) fn to(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::Stdout) };
        let directory = directory_of(file);
        if !directory.is_dir() {
            bail!("there is no directory {} to write to", directory.display());
        }
        if file.is_dir() || file.file_name().is_none() {
            bail!("{} is a directory: name a file in it", file.display());
        }
        Ok(Self::File(file.to_owned()))
    }

    /// Writes all of it, or leaves a file as it was.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        match self {
            Self::Stdout => terminal::print(text),
            Self::File(file) => replace(file, text).with_context(|| format!("writing {}", file.display())),
        }
    }
}

/// Written beside, and then named like the file.
fn replace(file: &Path, text: &str) -> Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory_of(file).join(format!(".{name}.{}.part", process::id()));
    let mut part = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let renamed = part.write_all(text.as_bytes()).and_then(|()| part.sync_all());
    let renamed = renamed.and_then(|()| fs::rename(&beside, file));
    if renamed.is_err() {
        // It is of no use, and the error that counts is the other one.
        let _ = fs::remove_file(&beside);
    }
    renamed?;
    File::open(directory_of(file))?.sync_all()?;
    Ok(())
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
