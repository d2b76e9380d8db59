//! The worker's settings.

use std::num::NonZeroU32;
use std::time::Duration;

use keynudge_core::accounts::{MemberRole, RoleSession, Scope};
use keynudge_core::check::OwnerRules;
use keynudge_core::keys::StalenessPolicy;
use keynudge_core::ports::Book;
use keynudge_core::retry::RetryPolicy;
use keynudge_lambda::vars::{AsOfRule, InvalidVar, Vars};

use crate::turns::Rate;

/// All settings. `README.md` describes each variable.
pub(crate) struct Config {
    pub(crate) deployment: String,
    pub(crate) users_queue_url: String,
    pub(crate) users_dead_letter_queue_url: String,
    pub(crate) findings_queue_url: String,
    pub(crate) ledger_table: String,
    pub(crate) retry: RetryPolicy,
    pub(crate) iam_rate: Rate,
    /// How to get at other accounts.
    pub(crate) member_role: Option<MemberRole>,
    pub(crate) rules: Rules,
}

/// The settings that decide about keys and owners.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) staleness: StalenessPolicy,
    pub(crate) owner: OwnerRules,
    pub(crate) told: ToldRules,
    /// How long after an account denied its role the function asks it once more.
    pub(crate) denied_role_delay: Duration,
    pub(crate) as_of: AsOfRule,
}

/// The settings that decide whether an owner was told already. The notifier has the same.
#[derive(Debug)]
pub(crate) struct ToldRules {
    pub(crate) remind_every_days: NonZeroU32,
    pub(crate) book: Book,
}

/// Keys, tags, and the last use of two keys. With many accounts, an instance asks each of them now and then, about one user:
/// about all of it at once, as users of other accounts would wait along.
pub(crate) const CALLS_OF_A_USER_MAX: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// What the accounts see in their own logs.
const SESSION: RoleSession = RoleSession {
    name: "keynudge-worker-checks-access-keys",
    actions: &["iam:ListAccessKeys", "iam:ListUserTags", "iam:GetAccessKeyLastUsed"],
};

impl Config {
    pub(crate) fn from_vars(vars: &Vars<'_>) -> Result<Self, InvalidVar> {
        let scope = vars.scope()?;
        Ok(Self {
            deployment: vars.required("DEPLOYMENT")?,
            users_queue_url: vars.required("USERS_QUEUE_URL")?,
            users_dead_letter_queue_url: vars.required("USERS_DEAD_LETTER_QUEUE_URL")?,
            findings_queue_url: vars.required("FINDINGS_QUEUE_URL")?,
            ledger_table: vars.required("LEDGER_TABLE")?,
            retry: vars.retry_policy()?,
            iam_rate: iam_rate(vars, &scope)?,
            member_role: vars.member_role(&scope, SESSION)?,
            rules: Rules {
                scope,
                staleness: vars.staleness()?,
                owner: vars.owner_rules(vars.allowed_recipients()?)?,
                told: told(vars)?,
                denied_role_delay: vars.seconds("DENIED_ROLE_DELAY_SECONDS")?,
                as_of: vars.as_of_rule()?,
            },
        })
    }
}

/// The calls that may be made to each account's IAM. With less than half a call a second for each instance, the four calls
/// of one user with stale keys would hold up a batch for longer than there is time.
fn iam_rate(vars: &Vars<'_>, scope: &Scope) -> Result<Rate, InvalidVar> {
    let calls_per_second: NonZeroU32 = vars.required("IAM_CALLS_PER_SECOND")?;
    let instances: NonZeroU32 = vars.required("WORKER_CONCURRENCY")?;
    if calls_per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)) < instances {
        let problem = "is less than half a call for each of WORKER_CONCURRENCY";
        return Err(InvalidVar::new("IAM_CALLS_PER_SECOND", problem));
    }
    let at_once_after_a_rest = if scope.leaves_own_account() { CALLS_OF_A_USER_MAX } else { NonZeroU32::MIN };
    Ok(Rate { calls_per_second, instances, at_once_after_a_rest })
}

fn told(vars: &Vars<'_>) -> Result<ToldRules, InvalidVar> {
    Ok(ToldRules {
        remind_every_days: vars.remind_every_days()?,
        book: Book::while_redirected(vars.required("PILOT")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keynudge_core::audience::Audience;
    use keynudge_testing::settings;

    const ALL: [(&str, &str); 32] = [
        ("DEPLOYMENT", "keys"),
        ("USERS_DEAD_LETTER_QUEUE_URL", "https://sqs/users-dead"),
        ("FINDINGS_QUEUE_URL", "https://sqs/findings"),
        ("ACCOUNT_ID", "123456789012"),
        ("ALERT_AFTER_DAYS", "90"),
        ("AUDIENCE", "tagged"),
        ("CONTACT_TAG", "owner"),
        ("USERS_QUEUE_URL", "https://sqs/users"),
        ("LEDGER_TABLE", "keys-ledger"),
        ("GIVE_UP_AFTER_MINUTES", "1440"),
        ("RETRY_FIRST_DELAY_SECONDS", "10"),
        ("RETRY_LONGEST_DELAY_SECONDS", "14400"),
        ("OPERATOR_DELAY_SECONDS", "3600"),
        ("DENIED_ROLE_DELAY_SECONDS", "600"),
        ("IAM_CALLS_PER_SECOND", "10"),
        ("WORKER_CONCURRENCY", "2"),
        ("MAX_EXEMPTION_DAYS", "60"),
        ("SENDER", "keys@example.com"),
        ("STAGES_AFTER_DAYS", "90,120"),
        ("ALLOWED_DOMAINS", "example.com,example.org"),
        ("EXCLUDED_RECIPIENTS", "desk@example.org"),
        ("DEFAULT_DOMAIN", "example.org"),
        ("FALLBACK_CONTACT", "security@example.org"),
        ("ALLOW_AS_OF", "true"),
        ("ACCOUNTS", "organization"),
        ("ORGANIZATIONAL_UNITS", "ou-ab12-11111111"),
        ("EXCLUDE_ACCOUNTS", "210987654321"),
        ("PARTITION", "aws-cn"),
        ("MEMBER_ROLE_NAME", "member"),
        ("EXTERNAL_ID", "fence"),
        ("REMIND_EVERY_DAYS", "5"),
        ("PILOT", "true"),
    ];

    /// What the settings come to, with `name` set to `value` instead.
    fn config_with(name: &str, value: &str) -> Result<Config, String> {
        Config::from_vars(&Vars::new(&settings(&ALL, name, value))).map_err(|error| error.to_string())
    }

    fn error_with(name: &str, value: &str) -> String {
        config_with(name, value).err().expect("an error")
    }

    #[test]
    fn every_setting_arrives_where_it_belongs() {
        let config = config_with("", "").unwrap();
        assert_eq!((config.deployment.as_str(), config.ledger_table.as_str()), ("keys", "keys-ledger"));
        assert_eq!(config.users_queue_url, "https://sqs/users");
        assert_eq!(config.retry.operator_delay.as_secs(), 3_600);
        assert_eq!(config.users_dead_letter_queue_url, "https://sqs/users-dead");
        assert_eq!(config.findings_queue_url, "https://sqs/findings");
        let rules = config.rules;
        assert_eq!((rules.scope.own().as_str(), rules.owner.audience), ("123456789012", Audience::Tagged));
        let days = |days: u32| days.try_into().unwrap();
        assert_eq!(rules.staleness, StalenessPolicy::new(days(90), vec![days(90), days(120)]).unwrap());
        assert_eq!(rules.owner.max_exemption_days, days(60));
        assert_eq!(rules.owner.contact.tag, "owner");
        assert_eq!(rules.owner.contact.default_domain.unwrap().as_str(), "example.org");
        assert_eq!(rules.owner.contact.fallback.unwrap().as_str(), "security@example.org");
        let allows = |address: &str| rules.owner.contact.allowed.allow(&address.parse().unwrap());
        assert!(allows("jane@example.com") && !allows("Desk@example.org"));
        assert_eq!((rules.told.remind_every_days, rules.told.book), (days(5), Book::Pilot));
        assert_eq!((rules.as_of, rules.denied_role_delay), (AsOfRule::Any, Duration::from_mins(10)));
    }

    #[test]
    fn other_accounts_are_asked_by_their_role() {
        let config = config_with("", "").unwrap();
        let role = config.member_role.unwrap();
        assert_eq!((role.partition.as_str(), role.name.as_str()), ("aws-cn", "member"));
        assert_eq!((role.external_id.as_deref(), role.session), (Some("fence"), SESSION));
        assert!(config.rules.scope.excludes(&"210987654321".parse().unwrap()));
        assert_eq!(config.rules.scope.units().len(), 1);
    }

    #[test]
    fn what_is_required_is_asked_for_by_name() {
        for (name, _) in &ALL[..17] {
            assert_eq!(error_with(name, ""), format!("{name}: is not set"));
        }
    }

    #[test]
    fn without_allowed_domains_the_senders_is_asked_for() {
        let all = settings(&ALL, "ALLOWED_DOMAINS", "");
        let lookup = |name: &str| all(name).filter(|_| name != "SENDER");
        let error = Config::from_vars(&Vars::new(&lookup)).err().unwrap();
        assert_eq!(error.to_string(), "SENDER: is not set");
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        for name in ["STAGES_AFTER_DAYS", "DEFAULT_DOMAIN", "FALLBACK_CONTACT", "ALLOW_AS_OF"] {
            assert!(config_with(name, "").is_ok(), "{name}");
        }
    }

    #[test]
    fn contacts_that_no_mail_may_go_to_are_refused() {
        let domain = error_with("DEFAULT_DOMAIN", "example.net");
        assert_eq!(domain, "DEFAULT_DOMAIN: is outside ALLOWED_DOMAINS, or among EXCLUDED_RECIPIENTS");
        let fallback = error_with("FALLBACK_CONTACT", "security@example.net");
        assert_eq!(fallback, "FALLBACK_CONTACT: is outside ALLOWED_DOMAINS, or among EXCLUDED_RECIPIENTS");
    }

    #[test]
    fn stages_that_make_no_sense_are_refused() {
        let error = error_with("STAGES_AFTER_DAYS", "120,90");
        assert!(error.starts_with("STAGES_AFTER_DAYS: "), "{error}");
    }

    #[test]
    fn a_fleet_too_large_for_the_rate_is_refused() {
        assert!(config_with("WORKER_CONCURRENCY", "20").is_ok());
        let error = error_with("WORKER_CONCURRENCY", "21");
        assert_eq!(error, "IAM_CALLS_PER_SECOND: is less than half a call for each of WORKER_CONCURRENCY");
    }
}
