//! Feedback's settings.

use keynudge_core::retry::RetryPolicy;
use keynudge_lambda::vars::{InvalidVar, Vars};

/// All settings. `README.md` describes each variable.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) deployment: String,
    pub(crate) feedback_queue_url: String,
    pub(crate) feedback_dead_letter_queue_url: String,
    pub(crate) ledger_table: String,
    pub(crate) retry: RetryPolicy,
}

impl Config {
    pub(crate) fn from_vars(vars: &Vars<'_>) -> Result<Self, InvalidVar> {
        Ok(Self {
            deployment: vars.required("DEPLOYMENT")?,
            feedback_queue_url: vars.required("FEEDBACK_QUEUE_URL")?,
            feedback_dead_letter_queue_url: vars.required("FEEDBACK_DEAD_LETTER_QUEUE_URL")?,
            ledger_table: vars.required("LEDGER_TABLE")?,
            retry: vars.retry_policy()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_testing::settings;

    const ALL: [(&str, &str); 8] = [
        ("DEPLOYMENT", "keys"),
        ("FEEDBACK_QUEUE_URL", "https://sqs/feedback"),
        ("FEEDBACK_DEAD_LETTER_QUEUE_URL", "https://sqs/feedback-dead"),
        ("LEDGER_TABLE", "keys-ledger"),
        ("GIVE_UP_AFTER_MINUTES", "1440"),
        ("RETRY_FIRST_DELAY_SECONDS", "10"),
        ("RETRY_LONGEST_DELAY_SECONDS", "14400"),
        ("OPERATOR_DELAY_SECONDS", "3600"),
    ];

    /// What the settings come to, with `name` set to `value` instead.
    fn config_with(name: &str, value: &str) -> Result<Config, String> {
        Config::from_vars(&Vars::new(&settings(&ALL, name, value))).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let config = config_with("", "").unwrap();
        assert_eq!((config.deployment.as_str(), config.ledger_table.as_str()), ("keys", "keys-ledger"));
        assert_eq!(config.feedback_queue_url, "https://sqs/feedback");
        assert_eq!(config.feedback_dead_letter_queue_url, "https://sqs/feedback-dead");
        assert_eq!(config.retry.give_up_after.num_days(), 1);
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        for (name, _) in ALL {
            assert_eq!(config_with(name, "").unwrap_err(), format!("{name}: is not set"));
        }
    }
}
