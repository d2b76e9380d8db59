//! The notifier's settings.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use keynudge_aws::ses::Sending;
use keynudge_core::accounts::Scope;
use keynudge_core::contact::AllowedRecipients;
use keynudge_core::ledger::LedgerRules;
use keynudge_core::mail::ReminderSettings;
use keynudge_core::mail_limits::MailLimits;
use keynudge_core::retry::RetryPolicy;
use keynudge_lambda::vars::{AsOfRule, InvalidVar, Vars};

/// All settings. `README.md` describes each variable.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) deployment: String,
    pub(crate) findings_queue_url: String,
    pub(crate) findings_dead_letter_queue_url: String,
    pub(crate) users_queue_url: String,
    pub(crate) feedback_queue_url: String,
    pub(crate) ledger_table: String,
    pub(crate) retry: RetryPolicy,
    /// How many notifiers share SES's rate and quota.
    pub(crate) instances: NonZeroU32,
    /// How many mails they may send a second; without a number, half of what SES lets its account send.
    pub(crate) mails_per_second: Option<NonZeroU32>,
    pub(crate) sending: Sending,
    /// Where an organization's own templates are.
    pub(crate) templates: Option<PathBuf>,
    pub(crate) rules: Rules,
}

/// The settings that decide about mails.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) allowed: AllowedRecipients,
    pub(crate) reminder: ReminderSettings,
    pub(crate) ledger: LedgerRules,
    pub(crate) limits: MailLimits,
    /// The unique id of the worker's role, as SQS says it of what the worker sends.
    pub(crate) findings_sender_id: String,
    /// How long SES may take for one mail.
    pub(crate) ses_attempt_timeout: Duration,
    pub(crate) as_of: AsOfRule,
}

impl Config {
    pub(crate) fn from_vars(vars: &Vars<'_>) -> Result<Self, InvalidVar> {
        let allowed = vars.allowed_recipients()?;
        Ok(Self {
            deployment: vars.required("DEPLOYMENT")?,
            findings_queue_url: vars.required("FINDINGS_QUEUE_URL")?,
            findings_dead_letter_queue_url: vars.required("FINDINGS_DEAD_LETTER_QUEUE_URL")?,
            users_queue_url: vars.required("USERS_QUEUE_URL")?,
            feedback_queue_url: vars.required("FEEDBACK_QUEUE_URL")?,
            ledger_table: vars.required("LEDGER_TABLE")?,
            retry: vars.retry_policy()?,
            instances: vars.required("NOTIFIER_CONCURRENCY")?,
            mails_per_second: vars.optional("MAILS_PER_SECOND")?,
            sending: Sending {
                region: vars.optional("SES_REGION")?,
                sender: vars.sender()?,
                reply_to: vars.mailbox("REPLY_TO", &allowed)?,
                configuration_set: vars.optional("CONFIGURATION_SET")?,
            },
            templates: vars.optional("TEMPLATES_DIR")?,
            rules: Rules {
                scope: vars.scope()?,
                reminder: vars.reminder_settings(&allowed)?,
                allowed,
                ledger: LedgerRules {
                    remind_every_days: vars.remind_every_days()?,
                    lease: lease(vars, "LEASE_SECONDS")?,
                    unknown_lease: lease(vars, "UNKNOWN_LEASE_SECONDS")?,
                },
                limits: MailLimits {
                    per_account: vars.required("MAX_MAILS_PER_ACCOUNT")?,
                    per_day: vars.optional("MAILS_PER_DAY")?,
                },
                findings_sender_id: vars.required("FINDINGS_SENDER_ID")?,
                ses_attempt_timeout: vars.seconds("SES_ATTEMPT_TIMEOUT_SECONDS")?,
                as_of: vars.as_of_rule()?,
            },
        })
    }
}

fn lease(vars: &Vars<'_>, name: &'static str) -> Result<TimeDelta, InvalidVar> {
    TimeDelta::from_std(vars.seconds(name)?).map_err(|error| InvalidVar::new(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_testing::settings;

    const ALL: [(&str, &str); 34] = [
        ("DEPLOYMENT", "keys"),
        ("FINDINGS_DEAD_LETTER_QUEUE_URL", "https://sqs/findings-dead"),
        ("SENDER", "keys@example.com"),
        ("ALERT_AFTER_DAYS", "90"),
        ("REMIND_EVERY_DAYS", "7"),
        ("MAX_EXEMPTION_DAYS", "60"),
        ("MAX_MAILS_PER_ACCOUNT", "400"),
        ("FINDINGS_SENDER_ID", "AROAEXAMPLEEXAMPLE"),
        ("FINDINGS_QUEUE_URL", "https://sqs/findings"),
        ("USERS_QUEUE_URL", "https://sqs/users"),
        ("ACCOUNT_ID", "123456789012"),
        ("FEEDBACK_QUEUE_URL", "https://sqs/feedback"),
        ("LEDGER_TABLE", "keys-ledger"),
        ("NOTIFIER_CONCURRENCY", "2"),
        ("GIVE_UP_AFTER_MINUTES", "5760"),
        ("RETRY_FIRST_DELAY_SECONDS", "10"),
        ("RETRY_LONGEST_DELAY_SECONDS", "14400"),
        ("OPERATOR_DELAY_SECONDS", "3600"),
        ("SES_ATTEMPT_TIMEOUT_SECONDS", "10"),
        ("LEASE_SECONDS", "60"),
        ("UNKNOWN_LEASE_SECONDS", "900"),
        ("SES_REGION", "eu-west-1"),
        ("CONFIGURATION_SET", "keynudge"),
        ("ALLOWED_DOMAINS", "example.org,example.com"),
        ("REDIRECT_ALL_TO", "pilot@example.com"),
        ("SUPPORT_CONTACT", "#cloud-help"),
        ("REPLY_TO", "help@example.com"),
        ("ORGANIZATION_NAME", "Example Corp"),
        ("POLICY_LINK", "https://example.com/keys"),
        ("TEMPLATES_DIR", "/opt/keynudge"),
        ("EXCLUDED_RECIPIENTS", "desk@example.org"),
        ("MAILS_PER_SECOND", "3"),
        ("MAILS_PER_DAY", "1000"),
        ("ALLOW_AS_OF", "true"),
    ];

    /// What the settings come to, with `name` set to `value` instead.
    fn config_with(name: &str, value: &str) -> Result<Config, String> {
        Config::from_vars(&Vars::new(&settings(&ALL, name, value))).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let config = config_with("", "").unwrap();
        assert_eq!(
            (config.deployment.as_str(), config.sending.sender.as_str()),
            ("keys", "keys@example.com")
        );
        assert_eq!(config.findings_dead_letter_queue_url, "https://sqs/findings-dead");
        assert_eq!(
            (config.findings_queue_url.as_str(), config.users_queue_url.as_str()),
            ("https://sqs/findings", "https://sqs/users")
        );
        assert_eq!(config.feedback_queue_url, "https://sqs/feedback");
        assert_eq!((config.ledger_table.as_str(), config.instances.get()), ("keys-ledger", 2));
        assert_eq!(config.retry.give_up_after.num_days(), 4);
        assert_eq!(config.rules.scope.own().as_str(), "123456789012");
        let ledger = config.rules.ledger;
        assert_eq!((ledger.remind_every_days.get(), ledger.lease.num_seconds()), (7, 60));
        assert_eq!(
            (ledger.unknown_lease.num_minutes(), config.rules.ses_attempt_timeout.as_secs()),
            (15, 10)
        );
        assert_eq!(config.sending.region.as_deref(), Some("eu-west-1"));
        assert_eq!(config.sending.configuration_set.as_deref(), Some("keynudge"));
        assert_eq!(config.sending.reply_to.unwrap().as_str(), "help@example.com");
        assert_eq!(config.templates.unwrap().to_str(), Some("/opt/keynudge"));
        let reminder = config.rules.reminder;
        assert_eq!((reminder.alert_after_days.get(), reminder.remind_every_days.get()), (90, 7));
        assert_eq!(reminder.max_exemption_days.get(), 60);
        assert_eq!(reminder.redirect_all_to.unwrap().as_str(), "pilot@example.com");
        assert_eq!(reminder.support_contact.unwrap().as_str(), "#cloud-help");
        assert_eq!(reminder.organization_name.unwrap().as_str(), "Example Corp");
        assert_eq!(reminder.policy_link.unwrap().as_str(), "https://example.com/keys");
        assert!(config.rules.allowed.allow(&"jane@example.org".parse().unwrap()));
        assert!(!config.rules.allowed.allow(&"Desk@Example.Org".parse().unwrap()));
        assert_eq!(config.rules.as_of, AsOfRule::Any);
        let limits = config.rules.limits;
        assert_eq!((limits.per_account.get(), limits.per_day.map(NonZeroU32::get)), (400, Some(1_000)));
        assert_eq!(config.mails_per_second.map(NonZeroU32::get), Some(3));
        assert_eq!(config.rules.findings_sender_id, "AROAEXAMPLEEXAMPLE");
    }

    #[test]
    fn a_mailbox_that_no_mail_may_go_to_is_refused_before_any_mail_is() {
        for name in ["REDIRECT_ALL_TO", "REPLY_TO"] {
            for address in ["pilot@example.net", "desk@example.org", "pilot@sub.example.com"] {
                let error = config_with(name, address).unwrap_err();
                let problem = "is outside ALLOWED_DOMAINS, or among EXCLUDED_RECIPIENTS";
                assert_eq!(error, format!("{name}: {problem}"), "{address}");
            }
        }
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        for (name, _) in &ALL[..21] {
            assert_eq!(config_with(name, "").unwrap_err(), format!("{name}: is not set"));
        }
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        for (name, _) in &ALL[21..] {
            assert!(config_with(name, "").is_ok(), "{name}");
        }
    }
}
