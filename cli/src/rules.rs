//! The rules of a deployment, as far as they decide who is told: given on the command line, or those of a stack.

use std::num::NonZeroU32;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use keynudge_core::audience::{Audience, PathPrefix};
use keynudge_core::contact::{AllowedDomains, ContactRules};
use keynudge_core::ids::{Domain, EmailAddress};
use keynudge_core::keys::StalenessPolicy;

use crate::aws::Parameters;

/// As `infra/template.yaml` has them by default.
const DAYS: NonZeroU32 = NonZeroU32::new(90).unwrap();
const CONTACT_TAG: &str = "keynudge:contact";

/// Whose keys are too old, and whom to tell; each has the default of the template's parameter.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct RulesArgs {
    /// Take what is not given here from the deployed stack, rather than the defaults
    #[arg(long)]
    pub(crate) from_stack: bool,
    /// The age from which an active key is stale [default: 90]
    #[arg(long, value_name = "N")]
    days: Option<NonZeroU32>,
    /// Whose keys count; `tagged` is with the contact tag [default: signed-in-users]
    #[arg(long, value_name = "AUDIENCE", value_parser = one_of::<Audience>(&["signed-in-users", "all", "tagged"]))]
    audience: Option<Audience>,
    /// Only users under this IAM path [default: /]
    #[arg(long, value_name = "PATH")]
    path_prefix: Option<PathPrefix>,
    /// The tag of a user that holds the owner's address [default: keynudge:contact]
    #[arg(long, value_name = "KEY")]
    contact_tag: Option<String>,
    /// Makes username@DOMAIN an address
    #[arg(long, value_name = "DOMAIN")]
    default_domain: Option<Domain>,
    /// Who hears of owners without an address
    #[arg(long, value_name = "ADDRESS")]
    fallback_contact: Option<EmailAddress>,
    /// Domains that may be mailed, separated by commas [default: any; with --from-stack, the stack's]
    #[arg(long, value_name = "DOMAINS")]
    allowed_domains: Vec<AllowedDomains>,
}

/// Reads one of these values, which completions and errors list.
pub(crate) fn one_of<T>(values: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.iter().copied()).try_map(|value| value.parse::<T>())
}

/// Who is checked, whose keys are stale, and who is told.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) staleness: StalenessPolicy,
    pub(crate) audience: Audience,
    pub(crate) path_prefix: PathPrefix,
    pub(crate) contact: ContactRules,
}

impl RulesArgs {
    /// What is given here, else what the stack's `parameters` say, else the default. Without a stack there are none.
    pub(crate) fn resolve(&self, parameters: &Parameters) -> Result<Rules> {
        let days = or_parameter(self.days, parameters, "AlertAfterDays")?.unwrap_or(DAYS);
        let tag = or_parameter(self.contact_tag.clone(), parameters, "ContactTag")?;
        Ok(Rules {
            staleness: StalenessPolicy::without_stages(days),
            audience: or_parameter(self.audience, parameters, "Audience")?.unwrap_or(Audience::SignedInUsers),
            path_prefix: or_parameter(self.path_prefix.clone(), parameters, "PathPrefix")?
                .unwrap_or_default(),
            contact: ContactRules {
                tag: tag.unwrap_or_else(|| CONTACT_TAG.to_owned()),
                default_domain: or_parameter(self.default_domain.clone(), parameters, "DefaultDomain")?,
                fallback: or_parameter(self.fallback_contact.clone(), parameters, "FallbackContact")?,
                allowed: self.allowed_domains(parameters)?,
            },
        })
    }

    /// Those given, else the stack's, which are the sender's where it names none. Without either, nobody is passed over: what is
    /// only reported mails nobody.
    fn allowed_domains(&self, parameters: &Parameters) -> Result<AllowedDomains> {
        let given =
            (!self.allowed_domains.is_empty()).then(|| AllowedDomains::union(self.allowed_domains.clone()));
        if let Some(domains) = or_parameter(given, parameters, "AllowedDomains")? {
            return Ok(domains);
        }
        let sender = parameter::<EmailAddress>(parameters, "Sender")?;
        Ok(sender.map_or_else(AllowedDomains::everywhere, |sender| AllowedDomains::new([sender.domain()])))
    }
}

/// What is given, or else the stack's parameter, where it is set.
pub(crate) fn or_parameter<T: FromStr>(
    given: Option<T>,
    parameters: &Parameters,
    name: &str,
) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    given.map_or_else(|| parameter(parameters, name), |given| Ok(Some(given)))
}

fn parameter<T: FromStr>(parameters: &Parameters, name: &str) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let set = parameters.get(name).filter(|value| !value.is_empty());
    let value = set.map(|value| value.parse()).transpose();
    value.with_context(|| format!("the stack's parameter {name}"))
}
