//! The producer's settings.

use std::time::Duration;

use keynudge_core::accounts::{MemberRole, RoleSession, Scope};
use keynudge_core::audience::UserFilter;
use keynudge_core::listing::ListingRules;
use keynudge_core::retry::RetryPolicy;
use keynudge_lambda::vars::{AsOfRule, InvalidVar, Vars};

/// All settings. `README.md` describes each variable.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) deployment: String,
    pub(crate) accounts_queue_url: String,
    pub(crate) accounts_dead_letter_queue_url: String,
    pub(crate) users_queue_url: String,
    pub(crate) ledger_table: String,
    pub(crate) retry: RetryPolicy,
    /// How to get at other accounts.
    pub(crate) member_role: Option<MemberRole>,
    pub(crate) rules: Rules,
}

/// The settings that decide about users and runs.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) listing: ListingRules,
    pub(crate) user_filter: UserFilter,
    /// How long after an account denied its role the function asks it once more.
    pub(crate) denied_role_delay: Duration,
    pub(crate) as_of: AsOfRule,
}

/// What the accounts see in their own logs.
const SESSION: RoleSession = RoleSession {
    name: "keynudge-producer-lists-users",
    actions: &["iam:ListUsers", "iam:ListAccountAliases"],
};

/// The same where credential reports are read.
const SESSION_WITH_REPORT: RoleSession = RoleSession {
    actions: &[
        "iam:ListUsers",
        "iam:ListAccountAliases",
        "iam:GenerateCredentialReport",
        "iam:GetCredentialReport",
    ],
    ..SESSION
};

impl Config {
    pub(crate) fn from_vars(vars: &Vars<'_>) -> Result<Self, InvalidVar> {
        let scope = vars.scope()?;
        let user_filter = vars.user_filter()?;
        let session = match user_filter {
            UserFilter::None => SESSION,
            UserFilter::CredentialReport => SESSION_WITH_REPORT,
        };
        Ok(Self {
            deployment: vars.required("DEPLOYMENT")?,
            accounts_queue_url: vars.required("ACCOUNTS_QUEUE_URL")?,
            accounts_dead_letter_queue_url: vars.required("ACCOUNTS_DEAD_LETTER_QUEUE_URL")?,
            users_queue_url: vars.required("USERS_QUEUE_URL")?,
            ledger_table: vars.required("LEDGER_TABLE")?,
            retry: vars.retry_policy()?,
            member_role: vars.member_role(&scope, session)?,
            rules: Rules {
                scope,
                listing: vars.listing_rules()?,
                user_filter,
                denied_role_delay: vars.seconds("DENIED_ROLE_DELAY_SECONDS")?,
                as_of: vars.as_of_rule()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::audience::{Audience, PathPrefix};
    use keynudge_core::keys::StalenessPolicy;
    use keynudge_testing::settings;

    const ALL: [(&str, &str); 22] = [
        ("DEPLOYMENT", "keys"),
        ("ACCOUNTS_QUEUE_URL", "https://sqs/accounts"),
        ("ACCOUNTS_DEAD_LETTER_QUEUE_URL", "https://sqs/accounts-dead"),
        ("USERS_QUEUE_URL", "https://sqs/users"),
        ("ACCOUNT_ID", "123456789012"),
        ("AUDIENCE", "all"),
        ("ALERT_AFTER_DAYS", "60"),
        ("LEDGER_TABLE", "keys-ledger"),
        ("GIVE_UP_AFTER_MINUTES", "1440"),
        ("RETRY_FIRST_DELAY_SECONDS", "10"),
        ("RETRY_LONGEST_DELAY_SECONDS", "14400"),
        ("OPERATOR_DELAY_SECONDS", "3600"),
        ("DENIED_ROLE_DELAY_SECONDS", "600"),
        ("PATH_PREFIX", "/people/"),
        ("USER_FILTER", "credential-report"),
        ("ALLOW_AS_OF", "true"),
        ("ACCOUNTS", "organization"),
        ("ORGANIZATIONAL_UNITS", "ou-ab12-11111111"),
        ("EXCLUDE_ACCOUNTS", "210987654321"),
        ("PARTITION", "aws-cn"),
        ("MEMBER_ROLE_NAME", "member"),
        ("EXTERNAL_ID", "fence"),
    ];

    /// What the settings come to, with `name` set to `value` instead.
    fn config_with(name: &str, value: &str) -> Result<Config, String> {
        Config::from_vars(&Vars::new(&settings(&ALL, name, value))).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let config = config_with("", "").unwrap();
        let urls =
            [&config.accounts_queue_url, &config.accounts_dead_letter_queue_url, &config.users_queue_url];
        assert_eq!(urls, ["https://sqs/accounts", "https://sqs/accounts-dead", "https://sqs/users"]);
        assert_eq!(
            (config.ledger_table.as_str(), config.retry.give_up_after.num_hours()),
            ("keys-ledger", 24)
        );
        assert_eq!((config.deployment.as_str(), config.rules.scope.own().as_str()), ("keys", "123456789012"));
        assert_eq!((config.rules.listing.audience, config.rules.as_of), (Audience::All, AsOfRule::Any));
        assert_eq!(config.rules.listing.path_prefix, "/people/".parse().unwrap());
        assert_eq!(config.rules.listing.staleness, StalenessPolicy::without_stages(60.try_into().unwrap()));
        assert_eq!(config.rules.user_filter, UserFilter::CredentialReport);
        assert_eq!(config.rules.denied_role_delay, Duration::from_mins(10));
    }

    #[test]
    fn a_filter_that_there_is_not_is_refused() {
        assert_eq!(config_with("USER_FILTER", "none").unwrap().rules.user_filter, UserFilter::None);
        let error = config_with("USER_FILTER", "report").unwrap_err();
        assert_eq!(error, "USER_FILTER: not none or credential-report");
    }

    #[test]
    fn other_accounts_are_asked_by_their_role() {
        let config = config_with("", "").unwrap();
        let role = config.member_role.unwrap();
        assert_eq!((role.partition.as_str(), role.name.as_str()), ("aws-cn", "member"));
        assert_eq!((role.external_id.as_deref(), role.session), (Some("fence"), SESSION_WITH_REPORT));
        assert!(config.rules.scope.excludes(&"210987654321".parse().unwrap()));
        assert_eq!(config.rules.scope.units().len(), 1);
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        for (name, _) in &ALL[..13] {
            assert_eq!(config_with(name, "").unwrap_err(), format!("{name}: is not set"));
        }
    }

    #[test]
    fn what_may_be_left_out_has_a_default() {
        assert_eq!(config_with("PATH_PREFIX", "").unwrap().rules.listing.path_prefix, PathPrefix::default());
        assert_eq!(config_with("USER_FILTER", "").unwrap().rules.user_filter, UserFilter::None);
        assert_eq!(config_with("ALLOW_AS_OF", "").unwrap().rules.as_of, AsOfRule::NotAhead);
    }

    #[test]
    fn a_path_prefix_without_a_slash_would_skip_everybody_and_is_refused() {
        assert_eq!(config_with("PATH_PREFIX", "people/").unwrap_err(), "PATH_PREFIX: does not begin with /");
    }
}
