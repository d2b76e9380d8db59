//! Showing a mail: its text in the terminal, its HTML in a file or a browser.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use keynudge_core::ids::EmailAddress;
use keynudge_core::mail::Mail;

use crate::output::Output;
use crate::terminal::{self, printable};

/// How a mail is shown.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Print the text, also where the HTML is written or opened
    #[arg(long)]
    text: bool,
    /// Write the HTML into a file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Open the HTML in the browser
    #[arg(long)]
    open: bool,
}

impl ShowArgs {
    /// Shows `mail`.
    pub(crate) fn show(&self, header: &Header<'_>, mail: &Mail) -> Result<()> {
        if self.text || !(self.html.is_some() || self.open) {
            text(header, mail)?;
        }
        if let Some(file) = &self.html {
            html(file, mail)?;
        }
        match (&self.html, self.open) {
            (_, false) => Ok(()),
            (Some(file), true) => open(file),
            (None, true) => open(&html_somewhere(mail)?),
        }
    }
}

/// What a mail's reader sees above it.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) sender: Option<&'a EmailAddress>,
    pub(crate) to: &'a EmailAddress,
    pub(crate) reply_to: Option<&'a EmailAddress>,
}

/// Prints header and text.
fn text(header: &Header<'_>, mail: &Mail) -> Result<()> {
    let from = header.sender.map_or("(give --sender, or --from-stack)", EmailAddress::as_str);
    let reply_to = header.reply_to.map(|address| format!("Reply-To: {}\n", address.as_str()));
    let header = format!(
        "From: {from}\nTo: {}\n{}Subject: {}\n",
        header.to.as_str(),
        reply_to.unwrap_or_default(),
        mail.subject
    );
    let lines = format!("{header}\n{}", mail.text);
    // What was filled in may come from anybody.
    terminal::print(&lines.lines().map(|line| printable(line) + "\n").collect::<String>())
}

/// Writes the HTML into `file`.
fn html(file: &Path, mail: &Mail) -> Result<()> {
    Output::to(Some(file))?.write(&mail.html)?;
    terminal::remark(&format!("The HTML is in {}.", file.display()));
    Ok(())
}

const PREFIX: &str = "keynudge-preview-";
const SUFFIX: &str = ".html";

/// Writes the HTML into a file that only its owner may read: it names a person and their keys. A browser reads it after this
/// program has ended, so the next preview removes it.
fn html_somewhere(mail: &Mail) -> Result<PathBuf> {
    remove_earlier_files();
    let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile();
    let mut file = file.context("making a file for the HTML")?;
    file.write_all(mail.html.as_bytes()).context("writing the HTML")?;
    let (_, path) = file.keep().context("keeping the file with the HTML")?;
    Ok(path)
}

/// Those of other people cannot be removed, and stay.
fn remove_earlier_files() {
    let entries = fs::read_dir(env::temp_dir()).into_iter().flatten().filter_map(Result::ok);
    let is_ours = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)) {
        let _ = fs::remove_file(entry.path());
    }
}

/// Opens a file in the browser, where there is one to open it in. Says where the file is in any case.
fn open(file: &Path) -> Result<()> {
    let file = fs::canonicalize(file).with_context(|| format!("finding {}", file.display()))?;
    if !has_display() {
        terminal::remark(&format!("There is no display to open {} on.", file.display()));
        return Ok(());
    }
    match opener::open_browser(&file) {
        Ok(()) => terminal::remark(&format!("Opening {}.", file.display())),
        Err(error) => terminal::remark(&format!("No browser could open {}: {error}.", file.display())),
    }
    Ok(())
}

/// Whether a browser can show itself. `BROWSER` may name one that needs no display.
fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(target_os = "macos", windows))
        || ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set)
}
