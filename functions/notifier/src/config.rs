//! The notifier's settings.

use keynudge_core::contact::AllowedDomains;
use keynudge_core::ids::EmailAddress;
use keynudge_core::mail::ReminderSettings;
use keynudge_lambda::vars::{AsOfRule, InvalidVar, Vars};

/// All settings. `README.md` describes each variable.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) deployment: String,
    pub(crate) findings_dead_letter_queue_url: String,
    pub(crate) ses_region: Option<String>,
    pub(crate) configuration_set: Option<String>,
    pub(crate) sender: EmailAddress,
    pub(crate) rules: Rules,
}

/// The settings that decide about mails.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) allowed_domains: AllowedDomains,
    pub(crate) reminder: ReminderSettings,
    pub(crate) as_of: AsOfRule,
}

impl Config {
    pub(crate) fn from_vars(vars: &Vars<'_>) -> Result<Self, InvalidVar> {
        Ok(Self {
            deployment: vars.required("DEPLOYMENT")?,
            findings_dead_letter_queue_url: vars.required("FINDINGS_DEAD_LETTER_QUEUE_URL")?,
            ses_region: vars.optional("SES_REGION")?,
            configuration_set: vars.optional("CONFIGURATION_SET")?,
            sender: vars.sender()?,
            rules: Rules {
                allowed_domains: vars.allowed_domains()?,
                reminder: ReminderSettings {
                    alert_after_days: vars.alert_after_days()?,
                    remind_every_days: vars.required("REMIND_EVERY_DAYS")?,
                    support_contact: vars.optional("SUPPORT_CONTACT")?,
                    redirect_all_to: vars.optional("REDIRECT_ALL_TO")?,
                },
                as_of: vars.as_of_rule()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_testing::settings;

    const ALL: [(&str, &str); 11] = [
        ("DEPLOYMENT", "keys"),
        ("FINDINGS_DEAD_LETTER_QUEUE_URL", "https://sqs/findings-dead"),
        ("SENDER", "keys@example.com"),
        ("ALERT_AFTER_DAYS", "90"),
        ("REMIND_EVERY_DAYS", "7"),
        ("SES_REGION", "eu-west-1"),
        ("CONFIGURATION_SET", "keynudge"),
        ("ALLOWED_DOMAINS", "example.org"),
        ("REDIRECT_ALL_TO", "pilot@example.net"),
        ("SUPPORT_CONTACT", "#cloud-help"),
        ("ALLOW_AS_OF", "true"),
    ];

    /// What the settings come to, with `name` set to `value` instead.
    fn config_with(name: &str, value: &str) -> Result<Config, String> {
        Config::from_vars(&Vars::new(&settings(&ALL, name, value))).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let config = config_with("", "").unwrap();
        assert_eq!((config.deployment.as_str(), config.sender.as_str()), ("keys", "keys@example.com"));
        assert_eq!(config.findings_dead_letter_queue_url, "https://sqs/findings-dead");
        assert_eq!(config.ses_region.as_deref(), Some("eu-west-1"));
        assert_eq!(config.configuration_set.as_deref(), Some("keynudge"));
        let reminder = config.rules.reminder;
        assert_eq!((reminder.alert_after_days.get(), reminder.remind_every_days.get()), (90, 7));
        assert_eq!(reminder.redirect_all_to.unwrap().as_str(), "pilot@example.net");
        assert_eq!(reminder.support_contact.unwrap().as_str(), "#cloud-help");
        assert!(config.rules.allowed_domains.allow(&"jane@example.org".parse().unwrap()));
        assert_eq!(config.rules.as_of, AsOfRule::Any);
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        for (name, _) in &ALL[..5] {
            assert_eq!(config_with(name, "").unwrap_err(), format!("{name}: is not set"));
        }
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        for (name, _) in &ALL[5..] {
            assert!(config_with(name, "").is_ok(), "{name}");
        }
    }
}
