//! What mails say beside the finding, and how they are sent: given on the command line, or those of a stack.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use clap::Args;
use keynudge_aws::ses::Sending;
use keynudge_core::ids::{EmailAddress, HttpsLink, Line};
use keynudge_core::mail::ReminderSettings;

use crate::aws::Parameters;
use crate::rules::{Rules, or_parameter};

/// As `infra/template.yaml` has it by default.
const REMIND_EVERY_DAYS: NonZeroU32 = NonZeroU32::new(7).unwrap();

/// The settings of mails; each has the default of the template's parameter.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mail")]
pub(crate) struct MailArgs {
    /// The address mails come from
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<EmailAddress>,
    /// Where answers to a mail go
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<EmailAddress>,
    /// Whom owners may ask: an address, an https address, or words
    #[arg(long, value_name = "WHO")]
    support_contact: Option<Line>,
    /// What owners call your organization
    #[arg(long, value_name = "NAME")]
    organization_name: Option<Line>,
    /// The page that says how old a key may be
    #[arg(long, value_name = "URL")]
    policy_link: Option<HttpsLink>,
    /// A pilot's mailbox, which gets every mail instead of its owner
    #[arg(long, value_name = "ADDRESS")]
    redirect_all_to: Option<EmailAddress>,
    /// Days between two reminders [default: 7]
    #[arg(long, value_name = "N")]
    remind_every_days: Option<NonZeroU32>,
    /// The region whose SES knows the sender [default: the stack's]
    #[arg(long, value_name = "REGION")]
    ses_region: Option<String>,
    /// The configuration set of SES to send a test with
    #[arg(long, value_name = "NAME")]
    configuration_set: Option<String>,
}

/// What is given here, else what the stack says.
#[derive(Debug)]
pub(crate) struct MailSettings {
    pub(crate) reminder: ReminderSettings,
    pub(crate) sender: Option<EmailAddress>,
    pub(crate) reply_to: Option<EmailAddress>,
    ses_region: Option<String>,
    configuration_set: Option<String>,
}

impl MailArgs {
    /// What is given here, else what the stack's `parameters` say. Without a stack there are none.
    pub(crate) fn resolve(&self, rules: &Rules, parameters: &Parameters) -> Result<MailSettings> {
        let remind_every_days = or_parameter(self.remind_every_days, parameters, "RemindEveryDays")?;
        Ok(MailSettings {
            reminder: ReminderSettings {
                alert_after_days: rules.staleness.alert_after_days(),
                remind_every_days: remind_every_days.unwrap_or(REMIND_EVERY_DAYS),
                support_contact: or_parameter(self.support_contact.clone(), parameters, "SupportContact")?,
                organization_name: or_parameter(
                    self.organization_name.clone(),
                    parameters,
                    "OrganizationName",
                )?,
                policy_link: or_parameter(self.policy_link.clone(), parameters, "PolicyLink")?,
                redirect_all_to: or_parameter(self.redirect_all_to.clone(), parameters, "RedirectAllTo")?,
            },
            sender: or_parameter(self.sender.clone(), parameters, "Sender")?,
            reply_to: or_parameter(self.reply_to.clone(), parameters, "ReplyTo")?,
            ses_region: or_parameter(self.ses_region.clone(), parameters, "SesRegion")?,
            configuration_set: or_parameter(self.configuration_set.clone(), parameters, "ConfigurationSet")?,
        })
    }
}

impl MailSettings {
    /// How a mail is sent.
    pub(crate) fn sending(&self) -> Result<Sending> {
        let sender = self.sender.clone();
        Ok(Sending {
            region: self.ses_region.clone(),
            sender: sender.context("who is the mail from? Give --sender, or --from-stack")?,
            reply_to: self.reply_to.clone(),
            configuration_set: self.configuration_set.clone(),
        })
    }
}
