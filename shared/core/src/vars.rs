//! Settings, read by name: the functions look them up in their environment, the operator's tool among a
//! stack's parameters. Each error names its variable.

use std::fmt::{self, Display};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::accounts::{InvalidScope, MemberRole, RoleSession, Scope};
use crate::audience::{Audience, UserFilter};
use crate::check::OwnerRules;
use crate::contact::{AllowedRecipients, ContactRules};
use crate::ids::{Domain, EmailAddress};
use crate::keys::StalenessPolicy;
use crate::listing::ListingRules;
use crate::mail::ReminderSettings;
use crate::messages::AsOfLimit;
use crate::retry::RetryPolicy;

const NOT_ALLOWED: &str = "is outside ALLOWED_DOMAINS, or among EXCLUDED_RECIPIENTS";

/// Where settings are looked up by name. A setting that is empty counts as not set, so that a template can
/// pass on a parameter that was left out.
pub struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

/// A setting that cannot be used. Its value is not repeated: it may be an address.
#[derive(PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct InvalidVar {
    name: &'static str,
    problem: String,
}

/// As Rust prints the error that ends `main`.
impl fmt::Debug for InvalidVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl InvalidVar {
    /// `name` cannot be used because of `problem`.
    pub fn new(name: &'static str, problem: impl Display) -> Self {
        Self { name, problem: problem.to_string() }
    }

    /// The setting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Why it cannot be used.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl<'a> Vars<'a> {
    /// Looks settings up with `lookup`; a test passes a table.
    #[must_use]
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(lookup)
    }

    /// A setting that may be left out.
    pub fn optional<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<Option<T>, InvalidVar> {
        let value = (self.0)(name).filter(|value| !value.is_empty());
        value.map(|value| value.parse().map_err(|error| InvalidVar::new(name, error))).transpose()
    }

    /// A setting that has to be there.
    pub fn required<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, InvalidVar> {
        self.optional(name)?.ok_or_else(|| InvalidVar::new(name, "is not set"))
    }

    /// A comma-separated list; empty where it is left out.
    pub fn list<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<Vec<T>, InvalidVar> {
        let list: String = self.optional(name)?.unwrap_or_default();
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| entry.parse().map_err(|error| InvalidVar::new(name, error))).collect()
    }

    /// `ACCOUNT_ID`, `ACCOUNTS`, `ORGANIZATIONAL_UNITS` and `EXCLUDE_ACCOUNTS`: whose users are looked after.
    pub fn scope(&self) -> Result<Scope, InvalidVar> {
        let own = self.required("ACCOUNT_ID")?;
        let units = self.list("ORGANIZATIONAL_UNITS")?.into_iter().collect();
        let excluded = self.list("EXCLUDE_ACCOUNTS")?.into_iter().collect();
        Scope::new(own, self.optional("ACCOUNTS")?, units, excluded).map_err(|error| {
            let name = match error {
                InvalidScope::UnitsWithoutOrganization => "ORGANIZATIONAL_UNITS",
                InvalidScope::NobodyLeft => "EXCLUDE_ACCOUNTS",
            };
            InvalidVar::new(name, error)
        })
    }

    /// `PARTITION`, `MEMBER_ROLE_NAME` and `EXTERNAL_ID`: how to get at accounts of `scope` that are not its
    /// own; `None` if there are none.
    pub fn member_role(&self, scope: &Scope, session: RoleSession) -> Result<Option<MemberRole>, InvalidVar> {
        if !scope.leaves_own_account() {
            return Ok(None);
        }
        let partition = self.required("PARTITION")?;
        let name = self.required("MEMBER_ROLE_NAME")?;
        Ok(Some(MemberRole { partition, name, external_id: self.optional("EXTERNAL_ID")?, session }))
    }

    /// `ALERT_AFTER_DAYS`: the age from which a key is stale.
    pub fn alert_after_days(&self) -> Result<NonZeroU32, InvalidVar> {
        self.required("ALERT_AFTER_DAYS")
    }

    /// `SENDER`: the address reminders come from.
    pub fn sender(&self) -> Result<EmailAddress, InvalidVar> {
        self.required("SENDER")
    }

    /// `ALLOWED_DOMAINS` and `EXCLUDED_RECIPIENTS`: whom mail may go to; to the sender's own domain where the former is left out.
    pub fn allowed_recipients(&self) -> Result<AllowedRecipients, InvalidVar> {
        let allowed = match self.optional("ALLOWED_DOMAINS")? {
            Some(domains) => domains,
            None => AllowedRecipients::new([self.sender()?.domain()]),
        };
        self.but_for_excluded_recipients(allowed)
    }

    /// `EXCLUDED_RECIPIENTS`: `allowed` without them.
    pub fn but_for_excluded_recipients(
        &self,
        allowed: AllowedRecipients,
    ) -> Result<AllowedRecipients, InvalidVar> {
        Ok(allowed.without(self.list("EXCLUDED_RECIPIENTS")?))
    }

    /// The mailbox `name`, if it is set. One that mail may not go to is refused: a slip there would have the organization's key
    /// inventory mailed to strangers, or every mail passed over.
    pub fn mailbox(
        &self,
        name: &'static str,
        allowed: &AllowedRecipients,
    ) -> Result<Option<EmailAddress>, InvalidVar> {
        let address: Option<EmailAddress> = self.optional(name)?;
        if address.as_ref().is_some_and(|address| !allowed.allow(address)) {
            return Err(InvalidVar::new(name, NOT_ALLOWED));
        }
        Ok(address)
    }

    /// `ALERT_AFTER_DAYS` and `STAGES_AFTER_DAYS`: which keys are stale, and how far their owner's reminders
    /// have come.
    pub fn staleness(&self) -> Result<StalenessPolicy, InvalidVar> {
        let stages = self.list("STAGES_AFTER_DAYS")?;
        StalenessPolicy::new(self.alert_after_days()?, stages)
            .map_err(|error| InvalidVar::new("STAGES_AFTER_DAYS", error))
    }

    /// `AUDIENCE`: which users are checked.
    pub fn audience(&self) -> Result<Audience, InvalidVar> {
        self.required("AUDIENCE")
    }

    /// `AUDIENCE`, `PATH_PREFIX` and `ALERT_AFTER_DAYS`: which of the listed users are worth a call.
    pub fn listing_rules(&self) -> Result<ListingRules, InvalidVar> {
        Ok(ListingRules {
            audience: self.audience()?,
            path_prefix: self.optional("PATH_PREFIX")?.unwrap_or_default(),
            staleness: StalenessPolicy::without_stages(self.alert_after_days()?),
        })
    }

    /// `USER_FILTER`: how calls to IAM are saved.
    pub fn user_filter(&self) -> Result<UserFilter, InvalidVar> {
        Ok(self.optional("USER_FILTER")?.unwrap_or_default())
    }

    /// `CONTACT_TAG`, `DEFAULT_DOMAIN` and `FALLBACK_CONTACT`: whom a reminder goes to, if `allowed`.
    ///
    /// A default domain outside `allowed` is an error here: Keynudge would ignore it for every owner.
    pub fn contact_rules(&self, allowed: AllowedRecipients) -> Result<ContactRules, InvalidVar> {
        let default_domain: Option<Domain> = self.optional("DEFAULT_DOMAIN")?;
        if default_domain.as_ref().is_some_and(|domain| !allowed.contain(domain)) {
            return Err(InvalidVar::new("DEFAULT_DOMAIN", NOT_ALLOWED));
        }
        let fallback = self.mailbox("FALLBACK_CONTACT", &allowed)?;
        Ok(ContactRules { tag: self.required("CONTACT_TAG")?, default_domain, fallback, allowed })
    }

    /// `AUDIENCE`, `MAX_EXEMPTION_DAYS` and those of [`Self::contact_rules`]: what decides about owners of stale keys.
    pub fn owner_rules(&self, allowed: AllowedRecipients) -> Result<OwnerRules, InvalidVar> {
        Ok(OwnerRules {
            audience: self.audience()?,
            contact: self.contact_rules(allowed)?,
            max_exemption_days: self.max_exemption_days()?,
        })
    }

    /// `MAX_EXEMPTION_DAYS`: how many days ahead an exemption may end.
    pub fn max_exemption_days(&self) -> Result<NonZeroU32, InvalidVar> {
        self.required("MAX_EXEMPTION_DAYS")
    }

    /// `REMIND_EVERY_DAYS`: how many days lie between two reminders.
    pub fn remind_every_days(&self) -> Result<NonZeroU32, InvalidVar> {
        self.required("REMIND_EVERY_DAYS")
    }

    /// What mails say beside the finding; `REDIRECT_ALL_TO`, if `allowed`.
    pub fn reminder_settings(&self, allowed: &AllowedRecipients) -> Result<ReminderSettings, InvalidVar> {
        Ok(ReminderSettings {
            alert_after_days: self.alert_after_days()?,
            remind_every_days: self.remind_every_days()?,
            max_exemption_days: self.max_exemption_days()?,
            support_contact: self.optional("SUPPORT_CONTACT")?,
            organization_name: self.optional("ORGANIZATION_NAME")?,
            policy_link: self.optional("POLICY_LINK")?,
            redirect_all_to: self.mailbox("REDIRECT_ALL_TO", allowed)?,
        })
    }

    /// A number of seconds, at least one.
    pub fn seconds(&self, name: &'static str) -> Result<Duration, InvalidVar> {
        let seconds: NonZeroU32 = self.required(name)?;
        Ok(Duration::from_secs(seconds.get().into()))
    }

    /// `GIVE_UP_AFTER_MINUTES`, `RETRY_FIRST_DELAY_SECONDS`, `RETRY_LONGEST_DELAY_SECONDS` and
    /// `OPERATOR_DELAY_SECONDS`: when what failed is tried again.
    pub fn retry_policy(&self) -> Result<RetryPolicy, InvalidVar> {
        let minutes: NonZeroU32 = self.required("GIVE_UP_AFTER_MINUTES")?;
        Ok(RetryPolicy {
            give_up_after: TimeDelta::minutes(minutes.get().into()),
            first_delay: self.seconds("RETRY_FIRST_DELAY_SECONDS")?,
            longest_delay: self.seconds("RETRY_LONGEST_DELAY_SECONDS")?,
            operator_delay: self.seconds("OPERATOR_DELAY_SECONDS")?,
        })
    }

    /// `ALLOW_AS_OF`: whether a live run may judge keys at any date, as testbeds do.
    pub fn as_of_rule(&self) -> Result<AsOfRule, InvalidVar> {
        Ok(if self.optional("ALLOW_AS_OF")?.unwrap_or(false) { AsOfRule::Any } else { AsOfRule::NotAhead })
    }
}

/// Which instants a live run may judge keys at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOfRule {
    /// At most a day ahead of the clock.
    NotAhead,
    /// Any.
    Any,
}

impl AsOfRule {
    /// The rule's limit now.
    #[must_use]
    pub fn limit(self, clock: fn() -> DateTime<Utc>) -> AsOfLimit {
        match self {
            Self::NotAhead => AsOfLimit::From(clock()),
            Self::Any => AsOfLimit::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(vars: &[(&str, &str)], read: impl FnOnce(Vars<'_>) -> T) -> T {
        let lookup =
            |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        read(Vars::new(&lookup))
    }

    fn error<T>(result: Result<T, InvalidVar>) -> String {
        result.map(drop).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_setting_is_not_set() {
        with(&[("SENDER", ""), ("ALERT_AFTER_DAYS", "")], |vars| {
            assert_eq!(error(vars.sender()), "SENDER: is not set");
            assert_eq!(vars.optional::<u32>("ALERT_AFTER_DAYS"), Ok(None));
        });
    }

    #[test]
    fn an_error_names_the_variable_and_keeps_the_value_to_itself() {
        with(
            &[
                ("SENDER", "jane"),
                ("ALERT_AFTER_DAYS", "0"),
                ("ALLOWED_DOMAINS", "a.test,b"),
                ("ALLOW_AS_OF", "maybe"),
            ],
            |vars| {
                assert_eq!(error(vars.sender()), "SENDER: not a mail address");
                assert_eq!(
                    error(vars.alert_after_days()),
                    "ALERT_AFTER_DAYS: number would be zero for non-zero type"
                );
                assert_eq!(
                    error(vars.allowed_recipients()),
                    "ALLOWED_DOMAINS: not a mail domain, such as example.com"
                );
                assert!(error(vars.as_of_rule()).starts_with("ALLOW_AS_OF: "));
            },
        );
    }

    /// Rust prints it so when it ends `main`.
    #[test]
    fn an_error_tells_its_variable_and_its_problem_each_by_itself() {
        let error = InvalidVar::new("SENDER", "is not set");
        assert_eq!((error.name(), error.problem()), ("SENDER", "is not set"));
        assert_eq!(format!("{error:?}"), "SENDER: is not set");
    }

    #[test]
    fn numbers_are_those_that_are_set() {
        let all = [("REMIND_EVERY_DAYS", "9"), ("WAIT_SECONDS", "90"), ("USER_FILTER", "credential-report")];
        with(&all, |vars| {
            assert_eq!(vars.remind_every_days().map(NonZeroU32::get), Ok(9));
            assert_eq!(vars.seconds("WAIT_SECONDS"), Ok(Duration::from_secs(90)));
            assert_eq!(vars.user_filter(), Ok(UserFilter::CredentialReport));
        });
    }

    #[test]
    fn contacts_that_no_mail_may_go_to_are_refused() {
        let contact = |name, value| {
            let all = [("CONTACT_TAG", "owner"), ("SENDER", "keys@example.com"), (name, value)];
            with(&all, |vars| vars.contact_rules(vars.allowed_recipients().unwrap()).map(drop))
        };
        assert_eq!(contact("DEFAULT_DOMAIN", "example.com"), Ok(()));
        assert_eq!(contact("FALLBACK_CONTACT", "a@example.com"), Ok(()));
        assert!(error(contact("DEFAULT_DOMAIN", "example.org")).starts_with("DEFAULT_DOMAIN: "));
        assert!(error(contact("FALLBACK_CONTACT", "a@example.org")).starts_with("FALLBACK_CONTACT: "));
    }

    #[test]
    fn a_list_forgives_blanks() {
        with(&[("DAYS", "90, 120 ,,180")], |vars| {
            assert_eq!(vars.list::<u32>("DAYS"), Ok(vec![90, 120, 180]));
            assert_eq!(vars.list::<u32>("OTHER"), Ok(vec![]));
        });
    }

    #[test]
    fn mail_may_go_to_the_senders_domain_unless_others_are_named() {
        let own: EmailAddress = "a@example.com".parse().unwrap();
        let other: EmailAddress = "a@example.org".parse().unwrap();
        with(&[("SENDER", "keys@example.com")], |vars| {
            let allowed = vars.allowed_recipients().unwrap();
            assert_eq!((allowed.allow(&own), allowed.allow(&other)), (true, false));
        });
        with(&[("SENDER", "keys@example.com"), ("ALLOWED_DOMAINS", "Example.Org, example.net")], |vars| {
            let allowed = vars.allowed_recipients().unwrap();
            assert_eq!((allowed.allow(&own), allowed.allow(&other)), (false, true));
        });
    }

    #[test]
    fn accounts_that_cannot_be_meant_are_refused_by_the_setting_to_change() {
        let own = ("ACCOUNT_ID", "123456789012");
        with(&[own, ("ORGANIZATIONAL_UNITS", "ou-ab12-11111111")], |vars| {
            assert!(error(vars.scope()).starts_with("ORGANIZATIONAL_UNITS: "));
        });
        with(&[own, ("EXCLUDE_ACCOUNTS", "123456789012")], |vars| {
            assert_eq!(error(vars.scope()), "EXCLUDE_ACCOUNTS: every account is excluded");
        });
        with(&[own, ("ACCOUNTS", "everybody")], |vars| {
            assert!(error(vars.scope()).starts_with("ACCOUNTS: "));
        });
    }

    #[test]
    fn other_accounts_need_a_role_and_ones_own_does_not() {
        let own = ("ACCOUNT_ID", "123456789012");
        let session = RoleSession { name: "why", actions: &[] };
        let role = |vars: Vars<'_>| vars.member_role(&vars.scope().unwrap(), session);
        with(&[own, ("ACCOUNTS", "123456789012")], |vars| assert_eq!(role(vars), Ok(None)));
        let of_organization = [own, ("ACCOUNTS", "organization"), ("PARTITION", "aws")];
        with(&of_organization, |vars| assert_eq!(error(role(vars)), "MEMBER_ROLE_NAME: is not set"));
        let named = [&of_organization[..], &[("MEMBER_ROLE_NAME", "member"), ("EXTERNAL_ID", "")]].concat();
        with(&named, |vars| assert_eq!(role(vars).unwrap().unwrap().external_id, None));
    }

    #[test]
    fn only_a_testbed_judges_ahead() {
        with(&[], |vars| assert_eq!(vars.as_of_rule(), Ok(AsOfRule::NotAhead)));
        with(&[("ALLOW_AS_OF", "true")], |vars| assert_eq!(vars.as_of_rule(), Ok(AsOfRule::Any)));
    }
}
