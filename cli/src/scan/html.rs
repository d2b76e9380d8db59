//! The report as a page: to be written.

use anyhow::{Result, bail};

use super::report::Report;

/// The page.
pub(crate) fn render(_report: &Report) -> Result<String> {
    bail!("to be written")
}
