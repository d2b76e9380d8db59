//! Where a report or a page goes: to stdout, or to a file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::terminal;

/// Where to write.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout,
    /// A pipe, a terminal or `/dev/null`: it stays what it is.
    Device {
        file: File,
        name: PathBuf,
    },
    /// Written beside, and then named like the file. Until then, the file is as it was.
    File {
        part: NamedTempFile,
        name: PathBuf,
    },
}

impl Output {
    /// To `file`, or to stdout without one. What can be known to be wrong is said before the work is done.
    pub(crate) fn to(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(Self::Stdout) };
        let writing = || format!("writing {}", file.display());
        let directory = directory_of(file);
        if !directory.is_dir() {
            bail!("there is no directory {} to write to", directory.display());
        }
        let there = match fs::metadata(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            there => Some(there.with_context(writing)?),
        };
        if file.file_name().is_none() || there.as_ref().is_some_and(fs::Metadata::is_dir) {
            bail!("{} is a directory: name a file in it", file.display());
        }
        let Some(there) = there else {
            if file.is_symlink() {
                bail!("{} is a link to a file that is not there: name that file", file.display());
            }
            let part = beside(file).with_context(writing)?;
            return Ok(Self::File { part, name: file.to_owned() });
        };
        // Whoever may not write into it is not to replace it either.
        let opened = OpenOptions::new().write(true).open(file).with_context(writing)?;
        if !there.is_file() {
            return Ok(Self::Device { file: opened, name: file.to_owned() });
        }
        // The file that a link leads to, rather than the link.
        let name = fs::canonicalize(file).with_context(writing)?;
        let part = beside(&name).with_context(writing)?;
        part.as_file().set_permissions(there.permissions()).with_context(writing)?;
        Ok(Self::File { part, name })
    }

    /// Writes all of it, or leaves a file as it was.
    pub(crate) fn write(self, text: &str) -> Result<()> {
        match self {
            Self::Stdout => terminal::print(text),
            Self::Device { mut file, name } => {
                let written = file.write_all(text.as_bytes()).map_err(terminal::output_failed);
                written.with_context(|| format!("writing {}", name.display()))
            }
            Self::File { part, name } => {
                replace(part, &name, text).with_context(|| format!("writing {}", name.display()))
            }
        }
    }
}

/// A file that only its owner may read: a report names people and their keys. Removed unless it gets the other's name.
fn beside(file: &Path) -> Result<NamedTempFile> {
    let part = tempfile::Builder::new().prefix(".keynudge-").suffix(".part").tempfile_in(directory_of(file));
    Ok(part?)
}

fn replace(mut part: NamedTempFile, file: &Path, text: &str) -> Result<()> {
    part.write_all(text.as_bytes())?;
    part.as_file().sync_all()?;
    part.persist(file)?;
    File::open(directory_of(file))?.sync_all()?;
    Ok(())
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
