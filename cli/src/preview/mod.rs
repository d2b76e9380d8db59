//! `keynudge preview`: the mail that an owner would get.

mod owner;
mod settings;
mod show;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use keynudge_core::ids::{EmailAddress, UserName};
use keynudge_core::mail::{Mail, Reminder, ReminderSettings};
use keynudge_core::messages::StaleKeys;
use keynudge_mail::{MadeUp, Templates, made_up};

use self::owner::Looked;
use self::settings::{MailArgs, MailSettings};
use self::show::{Header, ShowArgs};
use crate::as_of::as_of;
use crate::aws::{Aws, ConnectionArgs, Parameters};
use crate::interrupt::Interrupt;
use crate::rules::{Rules, RulesArgs};
use crate::{Cli, Outcome, terminal};

/// Show the mail that an owner would get
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  # A made-up one
  keynudge preview
  # Jane's, as the stack writes it
  keynudge preview jane --from-stack
  # Hers on that day, in the browser
  keynudge preview jane --as-of 2026-12-01 --open
  keynudge preview --from-stack --send-test-to me@example.com
  # The built-in words, to change
  keynudge preview --write-templates keynudge
  # What is wrong with them
  keynudge preview --templates keynudge")]
pub(crate) struct Preview {
    /// The IAM user whose keys the mail is about; without, they are made up
    #[arg(value_name = "USER")]
    user: Option<UserName>,
    /// The made-up mail to show [default: one-key]
    #[arg(long, value_name = "KIND", conflicts_with = "user", value_parser = kinds(), hide_possible_values = true)]
    made_up: Option<String>,
    /// Name the made-up mails there are
    #[arg(long, conflicts_with_all = ["user", "made_up"])]
    list_made_up: bool,
    /// Judge ages at this day's end (UTC), as 2026-12-31, or at an instant, as 2026-12-31T06:00:00Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = as_of)]
    as_of: Option<DateTime<Utc>>,
    #[command(flatten)]
    show: ShowArgs,
    /// Use the templates of a directory, once nothing is wrong with them
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Write the built-in templates into a directory, to change them there
    #[arg(long, value_name = "DIR", exclusive = true)]
    write_templates: Option<PathBuf>,
    /// Send the mail to an address, through SES
    #[arg(long, value_name = "ADDRESS")]
    send_test_to: Option<EmailAddress>,
    /// Send it without asking
    #[arg(long, requires = "send_test_to")]
    yes: bool,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    mail: MailArgs,
}

impl Preview {
    /// Does it.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        if let Some(directory) = &self.write_templates {
            words::write(directory)?;
            return Ok(Outcome::Done);
        }
        if self.list_made_up {
            return list();
        }
        self.require_answer();
        let templates = match &self.templates {
            Some(directory) => words::check(directory),
            None => Some(Templates::built_in()),
        };
        let Some(templates) = templates else {
            return Ok(Outcome::Incomplete);
        };
        // A made-up mail needs no AWS, and nobody's credentials.
        let needs_aws = self.user.is_some() || self.rules.from_stack || self.send_test_to.is_some();
        let aws = if needs_aws { Some(Aws::connect(connection).await?) } else { None };
        let parameters = match &aws {
            Some(aws) if self.rules.from_stack => aws.parameters().await?,
            _ => Parameters::new(),
        };
        let rules = self.rules.resolve(&parameters)?;
        let settings = self.mail.resolve(&self.rules, &parameters)?;
        if settings.templates_layer.is_some() && self.templates.is_none() {
            terminal::remark(
                "The stack has templates of its own (TemplatesLayer), and this is the built-in mail: see yours with --templates.",
            );
        }
        let Some((finding, reminder)) = self.finding(aws.as_ref(), &rules, &settings).await? else {
            return Ok(Outcome::Incomplete);
        };
        let mail = templates.render(&Reminder::new(&finding, &reminder))?.mail;
        let to = reminder.redirect_all_to.as_ref().unwrap_or(&finding.recipient.to);
        let header = Header { sender: settings.sender.as_ref(), to, reply_to: settings.reply_to.as_ref() };
        self.show.show(&header, &mail)?;
        match (&aws, &self.send_test_to) {
            (Some(aws), Some(to)) => self.send_test(aws, &settings, to, mail).await,
            _ => Ok(Outcome::Done),
        }
    }

    /// What the mail is about, and the settings it is written under. `None` if there is nothing to write about.
    async fn finding(
        &self,
        aws: Option<&Aws>,
        rules: &Rules,
        settings: &MailSettings,
    ) -> Result<Option<(StaleKeys, ReminderSettings)>> {
        let as_of = self.as_of.unwrap_or_else(Utc::now);
        let (Some(aws), Some(name)) = (aws, &self.user) else {
            let mut made_up = self.chosen(as_of)?;
            let stage = rules.staleness.stage(&made_up.finding.keys);
            made_up.finding.stage = made_up.finding.stage.max(stage);
            let reminder = made_up.settings(&settings.reminder);
            return Ok(Some((made_up.finding, reminder)));
        };
        match owner::look(aws, name, rules, as_of).await? {
            Looked::Nothing(reasons) => {
                for reason in reasons {
                    terminal::remark(&reason);
                }
                Ok(None)
            }
            Looked::Mail(finding, objections) => {
                for objection in objections {
                    terminal::remark(&objection);
                }
                Ok(Some((*finding, settings.reminder.clone())))
            }
        }
    }

    fn chosen(&self, as_of: DateTime<Utc>) -> Result<MadeUp> {
        let mut kinds = made_up(as_of).into_iter();
        let Some(name) = &self.made_up else {
            return kinds.next().context("nothing is made up");
        };
        kinds
            .find(|kind| kind.name == name)
            .with_context(|| format!("no made-up mail is called {name:?}; --list-made-up names them"))
    }

    /// Sends exactly this mail, but for its subject, which says that it is a test.
    async fn send_test(
        &self,
        aws: &Aws,
        settings: &MailSettings,
        to: &EmailAddress,
        mail: Mail,
    ) -> Result<Outcome> {
        let sending = settings.sending()?;
        let region = sending.region.as_deref().unwrap_or_else(|| aws.region());
        let question = format!(
            "Send this mail as {} through SES in {region} to {}?",
            sending.sender.as_str(),
            to.as_str()
        );
        // Nothing has begun, so Ctrl-C may end the process as it is.
        if !self.yes && !terminal::confirm(&question, &Interrupt::default()).await? {
            terminal::remark("Nothing was sent.");
            return Ok(Outcome::Incomplete);
        }
        let mail = Mail { subject: format!("[Test] {}", mail.subject), ..mail };
        aws.send_test_mail(sending, to, &mail).await?;
        terminal::remark(&format!("SES took the mail to {}.", to.as_str()));
        Ok(Outcome::Done)
    }

    /// Ends the process, as wrong usage, if a question would have to be asked and nobody is there.
    fn require_answer(&self) {
        if self.send_test_to.is_some() && !self.yes && !terminal::can_ask() {
            let message = "stdin is not a terminal, so nobody can be asked: add --yes to send the mail";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
    }
}

/// What the made-up mails are called.
fn kinds() -> PossibleValuesParser {
    made_up(DateTime::UNIX_EPOCH).into_iter().map(|kind| kind.name).collect::<Vec<_>>().into()
}

fn list() -> Result<Outcome> {
    let rows = made_up(Utc::now()).into_iter().map(|kind| vec![kind.name.to_owned(), kind.about.to_owned()]);
    terminal::print(&terminal::table(&["KIND", "WHAT IT IS"], &[], rows))?;
    Ok(Outcome::Done)
}
