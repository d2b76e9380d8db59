//! An organization's own templates: checking them, and writing the built-in ones to start from.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use keynudge_core::mail::Part;
use keynudge_mail::{Problem, Templates, file_name, source, unknown_files};

use crate::terminal;

/// The templates of `directory`, if nothing is wrong there. All that is wrong is told.
pub(crate) fn check(directory: &Path) -> Option<Templates> {
    // Perhaps a README, perhaps a slip in a name. The notifier does not mind either.
    for name in &unknown_files(directory) {
        let known = Part::ALL.map(file_name).join(", ");
        let path = directory.join(name);
        terminal::remark(&format!("{}: nobody reads this file; the names are {known}", path.display()));
    }
    match Templates::own(directory) {
        Ok(templates) => {
            let names = |parts: &[Part]| parts.iter().copied().map(file_name).collect::<Vec<_>>().join(", ");
            let own = templates.own_parts();
            let rest: Vec<Part> = Part::ALL.into_iter().filter(|part| !own.contains(part)).collect();
            let built_in =
                if rest.is_empty() { String::new() } else { format!("; built in: {}", names(&rest)) };
            terminal::remark(&format!("Nothing is wrong with {}{built_in}.", names(own)));
            Some(templates)
        }
        Err(problems) => {
            for problem in &problems {
                terminal::remark(&problem.to_string());
                if let Some(line) = quoted(problem) {
                    terminal::remark(&format!("    {line}"));
                }
            }
            None
        }
    }
}

/// The line that a problem is about.
fn quoted(problem: &Problem) -> Option<String> {
    const SHOWN: usize = 100;
    let text = fs::read_to_string(&problem.path).ok()?;
    let line = text.lines().nth(problem.line?.checked_sub(1)?)?.trim();
    let cut = line.chars().count() > SHOWN;
    Some(line.chars().take(SHOWN).collect::<String>() + if cut { "…" } else { "" })
}

/// Writes the built-in templates into `directory`, and over nothing.
pub(crate) fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    for part in Part::ALL {
        let path = directory.join(file_name(part));
        if path.exists() {
            bail!("{} is there already, and nothing was written", path.display());
        }
    }
    for part in Part::ALL {
        let path = directory.join(file_name(part));
        let written = write_new(&path, source(part));
        written.with_context(|| format!("writing {}", path.display()))?;
        terminal::print(&format!("{}\n", terminal::printable(&path.display().to_string())))?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
