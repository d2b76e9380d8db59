//! What mails say beside the finding, and how they are sent: given on the command line, or those of a stack.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use clap::Args;
use keynudge_aws::ses::Sending;
use keynudge_core::ids::{EmailAddress, HttpsLink, Line};
use keynudge_core::mail::ReminderSettings;

use crate::aws::Parameters;
use crate::numbers::whole;
use crate::rules::{RulesArgs, Settings};

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
    #[arg(long, value_name = "N", value_parser = whole("days", NonZeroU32::MIN..))]
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
    /// The layer with the stack's own templates.
    pub(crate) templates_layer: Option<String>,
    ses_region: Option<String>,
    configuration_set: Option<String>,
}

impl MailArgs {
    /// What is given here and by `rules`, else what the stack's `parameters` say, else the default. Without a
    /// stack there are none.
    pub(crate) fn resolve(&self, rules: &RulesArgs, parameters: &Parameters) -> Result<MailSettings> {
        let given = |name: &str| self.given(name).or_else(|| rules.given(name));
        MailSettings::read(&Settings { given: &given, parameters })
    }

    /// What is given here for a setting of the functions. Nothing for one that has no option.
    fn given(&self, name: &str) -> Option<String> {
        let address = |address: Option<&EmailAddress>| Some(address?.as_str().to_owned());
        let line = |line: Option<&Line>| Some(line?.as_str().to_owned());
        match name {
            "SENDER" => address(self.sender.as_ref()),
            "REPLY_TO" => address(self.reply_to.as_ref()),
            "SUPPORT_CONTACT" => line(self.support_contact.as_ref()),
            "ORGANIZATION_NAME" => line(self.organization_name.as_ref()),
            "POLICY_LINK" => Some(self.policy_link.as_ref()?.as_str().to_owned()),
            "REDIRECT_ALL_TO" => address(self.redirect_all_to.as_ref()),
            "REMIND_EVERY_DAYS" => Some(self.remind_every_days?.to_string()),
            "SES_REGION" => self.ses_region.clone(),
            "CONFIGURATION_SET" => self.configuration_set.clone(),
            _ => None,
        }
    }
}

impl MailSettings {
    fn read(settings: &Settings<'_>) -> Result<Self> {
        let allowed = settings.allowed_recipients()?;
        settings.read(|vars| {
            Ok(Self {
                reminder: vars.reminder_settings(&allowed)?,
                sender: vars.optional("SENDER")?,
                reply_to: vars.mailbox("REPLY_TO", &allowed)?,
                templates_layer: vars.optional("TEMPLATES_LAYER")?,
                ses_region: vars.optional("SES_REGION")?,
                configuration_set: vars.optional("CONFIGURATION_SET")?,
            })
        })
    }

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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::rules::{DEFAULTS, Rules, parameter};

    const TEMPLATE: &str = include_str!("../../../infra/template.yaml");

    /// Parameters that change neither who is found nor what a mail says or how it is sent.
    const OF_NO_EFFECT: [&str; 28] = [
        // Which accounts a run looks at. The tool looks at the one whose credentials it has.
        "Accounts",
        "OrganizationalUnits",
        "ExcludeAccounts",
        "MemberRoleName",
        "ExternalId",
        // When runs start, and whether they mail.
        "Mode",
        "ScheduleExpression",
        "ScheduleTimezone",
        "ScheduleState",
        "AllowAsOf",
        // How many mails go out.
        "MaxMailsPerAccount",
        "MailsPerSecond",
        "MailsPerDay",
        // Who may do what with the stack's own resources, and how they are encrypted.
        "OperatorRoleArns",
        "PermissionsBoundaryArn",
        "RolesPath",
        "KmsKeyArn",
        // What becomes of failures, and who hears of them.
        "GiveUpAfterMinutes",
        "GiveUpFindingsAfterMinutes",
        "SesEventsTopicArn",
        "AlarmTopicArn",
        "DidNotRunAfterHours",
        "LogRetentionDays",
        // How fast it works.
        "Architecture",
        "IamCallsPerSecond",
        "ProducerConcurrency",
        "WorkerConcurrency",
        "NotifierConcurrency",
    ];
    const FOR_TESTBEDS: &str = "Timing";

    /// The settings that the tool asks for where it can: `AlertAfterDays` and its like.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method of `Vars<'_>` is of one lifetime alone"
    )]
    fn asked_for() -> BTreeSet<String> {
        let asked = RefCell::new(BTreeSet::new());
        let given = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            (name == "SENDER").then(|| "keys@example.com".to_owned())
        };
        let settings = Settings { given: &given, parameters: &Parameters::new() };
        Rules::read(&settings).unwrap();
        MailSettings::read(&settings).unwrap();
        settings.read(|vars| vars.user_filter()).unwrap();
        asked.into_inner()
    }

    #[test]
    fn no_parameter_of_the_stack_is_forgotten() {
        let (_, section) = TEMPLATE.split_once("\nParameters:\n").unwrap();
        let (section, _) = section.split_once("\nMappings:\n").unwrap();
        let there = section.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let there: BTreeSet<_> = there.filter(|name| !name.starts_with(' ')).map(str::to_owned).collect();
        let of_no_effect = OF_NO_EFFECT.into_iter().chain([FOR_TESTBEDS]).map(str::to_owned);
        let known: BTreeSet<_> = asked_for().iter().map(|name| parameter(name)).chain(of_no_effect).collect();
        assert_eq!(known, there, "read it in Rules or MailSettings, or say above why it is of no effect");
    }

    #[test]
    fn defaults_are_the_templates() {
        for (name, value) in DEFAULTS {
            let (_, of_parameter) = TEMPLATE.split_once(&format!("\n  {}:\n", parameter(name))).unwrap();
            let default = of_parameter.lines().find_map(|line| line.strip_prefix("    Default: "));
            assert_eq!(default, Some(value), "{name}");
        }
    }

    #[test]
    fn each_setting_is_the_functions_own_by_its_name() {
        for name in asked_for() {
            // A layer becomes a directory.
            let variable = if name == "TEMPLATES_LAYER" { "TEMPLATES_DIR" } else { &name };
            assert!(TEMPLATE.contains(&format!("\n          {variable}: !")), "{variable}");
        }
    }
}
