//! The script everyone writes.

use std::path::Path;

use anyhow::Result;
use keynudge_testbed::workbench::Usage;

use super::{FOLDER, Stage};

pub(super) async fn run(stage: &Stage<'_>) -> Result<Usage> {
    let script = Path::new(FOLDER).join("script.py");
    let workbench = stage.workbench().await?;
    Ok(workbench.run(&[stage.python.as_os_str(), script.as_os_str()]).await?)
}
