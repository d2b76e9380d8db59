//! Who does the job, and how each of them is started. One file each.

mod custodian;
mod keynudge;
mod script;

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use keynudge_testbed::aws::{Account, Client, REGION, SES};
use keynudge_testbed::deployment::sender;
use keynudge_testbed::functions::Packages;
use keynudge_testbed::workbench::{Usage, Workbench};
use serde::de::IgnoredAny;

use crate::verdict::Named;
use custodian::Policy;

/// Where what is no part of Keynudge is kept.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contenders");

/// Somebody who does the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// The deployed template
    Keynudge,
    /// The deployed template, which asks only about those whom the credential report does not clear
    KeynudgeCredentialReport,
    /// A Lambda function that goes through the users one by one, in Python
    Script,
    /// Cloud Custodian and its mailer, by a policy that asks for each user's keys
    CustodianAccessKey,
    /// Cloud Custodian and its mailer, by a policy that asks for the credential report
    CustodianCredential,
}

/// An account to look after, and what there is to do it with.
pub(crate) struct Stage<'a> {
    pub(crate) account: Account,
    pub(crate) emulator: &'a str,
    pub(crate) iam: &'a str,
    pub(crate) ses: &'a str,
    /// How many calls a second IAM allows; `None` for as many as one likes.
    pub(crate) iam_rate: Option<NonZeroU32>,
    pub(crate) packages: &'a Packages,
    /// The Python of all contenders that need one.
    pub(crate) python: &'a Path,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keynudge => "keynudge",
            Self::KeynudgeCredentialReport => "keynudge credential-report",
            Self::Script => "script",
            Self::CustodianAccessKey => "custodian access-key",
            Self::CustodianCredential => "custodian credential",
        }
    }

    pub(crate) fn is_keynudge(self) -> bool {
        matches!(self, Self::Keynudge | Self::KeynudgeCredentialReport)
    }

    pub(crate) fn is_custodian(self) -> bool {
        matches!(self, Self::CustodianAccessKey | Self::CustodianCredential)
    }

    /// What its mails say of what they are about. The credential report knows no key's id.
    pub(crate) fn mails_name(self) -> Named {
        match self {
            Self::CustodianCredential => Named::User,
            _ => Named::Keys,
        }
    }

    /// Does the job, and says what it took.
    pub(crate) async fn run(self, stage: &Stage<'_>) -> Result<Usage> {
        match self {
            Self::Keynudge => keynudge::run(stage, "none").await,
            Self::KeynudgeCredentialReport => keynudge::run(stage, "credential-report").await,
            Self::Script => script::run(stage).await,
            Self::CustodianAccessKey => custodian::run(stage, Policy::AccessKey).await,
            Self::CustodianCredential => custodian::run(stage, Policy::Credential).await,
        }
    }
}

impl Stage<'_> {
    pub(crate) fn aws(&self) -> Client {
        Client::new(self.emulator.to_owned(), self.account.clone())
    }

    /// A workbench whose programs find AWS here, and a sender that may send.
    async fn workbench(&self) -> Result<Workbench> {
        let sender = [("EmailAddress", &*sender())];
        let _: IgnoredAny = self.aws().query(SES, "VerifyEmailIdentity", &sender).await?;
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", self.account.to_string()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL", self.emulator.to_owned()),
            ("AWS_ENDPOINT_URL_IAM", self.iam.to_owned()),
            ("AWS_ENDPOINT_URL_SES", self.ses.to_owned()),
        ];
        Ok(Workbench::new(&format!("bench-{}", self.account), self.python.to_owned(), environment)?)
    }
}
