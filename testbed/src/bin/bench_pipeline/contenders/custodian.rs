//! Cloud Custodian: a policy whose findings go to a queue, and the mailer that takes them from there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use keynudge_testbed::aws::{REGION, SQS};
use keynudge_testbed::workbench::{Usage, Workbench};
use serde_json::json;

use super::{FOLDER, Stage};

/// The queue the policies notify.
const QUEUE: &str = "custodian";
/// Stands for the account's number in the mailer's configuration.
const ACCOUNT: &str = "ACCOUNT";

/// How the policy learns of old keys.
#[derive(Clone, Copy)]
pub(super) enum Policy {
    AccessKey,
    Credential,
}

impl Policy {
    fn file(self) -> &'static str {
        match self {
            Self::AccessKey => "custodian-access-key.yml",
            Self::Credential => "custodian-credential.yml",
        }
    }
}

pub(super) async fn run(stage: &Stage<'_>, policy: Policy) -> Result<Usage> {
    stage.aws().json(SQS, "CreateQueue", &json!({ "QueueName": QUEUE })).await?;
    let workbench = stage.workbench().await?;
    let usages = [find(stage, &workbench, policy).await?, mail(stage, &workbench).await?];
    Ok(usages.into_iter().sum())
}

/// Runs the policy, without metrics, and without what it may remember of other accounts.
async fn find(stage: &Stage<'_>, workbench: &Workbench, policy: Policy) -> Result<Usage> {
    let custodian = stage.python.with_file_name("custodian");
    let policy = Path::new(FOLDER).join(policy.file());
    let output = workbench.folder().join("custodian");
    Ok(workbench
        .run(&[
            custodian.as_os_str(),
            "run".as_ref(),
            "--region".as_ref(),
            REGION.as_ref(),
            "--cache-period".as_ref(),
            "0".as_ref(),
            "--output-dir".as_ref(),
            output.as_os_str(),
            policy.as_os_str(),
        ])
        .await?)
}

/// Mails what is in the queue. One at a time: with `--max-num-processes`, whatever the number, the mailer hands messages
/// to its processes in a way that fails, takes them for done all the same, and mails nobody.
async fn mail(stage: &Stage<'_>, workbench: &Workbench) -> Result<Usage> {
    let mailer = stage.python.with_file_name("c7n-mailer");
    let template = Path::new(FOLDER).join("custodian-mailer.yml");
    let config = fs::read_to_string(&template).context("reading the mailer's configuration")?;
    let configured = workbench.folder().join("mailer.yml");
    fs::write(&configured, config.replace(ACCOUNT, stage.account.as_str()))
        .context("writing the mailer's configuration")?;
    let templates = Path::new(FOLDER).join("templates");
    Ok(workbench
        .run(&[
            mailer.as_os_str(),
            "--run".as_ref(),
            "--config".as_ref(),
            configured.as_os_str(),
            "--templates".as_ref(),
            templates.as_os_str(),
        ])
        .await?)
}
