//! The rules of a deployment, as far as they decide who is told: given on the command line, or those of a stack.

use std::num::NonZeroU32;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use keynudge_core::audience::{Audience, PathPrefix};
use keynudge_core::check::OwnerRules;
use keynudge_core::contact::AllowedRecipients;
use keynudge_core::ids::{Domain, EmailAddress, InvalidId};
use keynudge_core::keys::StalenessPolicy;
use keynudge_core::vars::{InvalidVar, Vars};

use crate::aws::Parameters;
use crate::numbers::whole;

/// What settings are where nobody says otherwise, as `infra/template.yaml` has it.
pub(crate) const DEFAULTS: [(&str, &str); 5] = [
    ("ALERT_AFTER_DAYS", "90"),
    ("AUDIENCE", "signed-in-users"),
    ("CONTACT_TAG", "keynudge:contact"),
    ("MAX_EXEMPTION_DAYS", "90"),
    ("REMIND_EVERY_DAYS", "7"),
];

/// Whose keys are too old, and whom to tell; each has the default of the template's parameter.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rules")]
pub(crate) struct RulesArgs {
    /// Take what is not given here from the deployed stack, rather than the defaults
    #[arg(long)]
    pub(crate) from_stack: bool,
    /// The age from which an active key is stale [default: 90]
    #[arg(long, value_name = "N", value_parser = whole("days", NonZeroU32::MIN..))]
    days: Option<NonZeroU32>,
    /// Ages at which reminders rise a stage, separated by commas [default: the stack's; with --days, that
    /// one]
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = whole("days", NonZeroU32::MIN..))]
    stages_after_days: Vec<NonZeroU32>,
    /// Whose keys count; `tagged` is with the contact tag [default: signed-in-users]
    #[arg(long, value_name = "AUDIENCE", value_parser = one_of::<Audience>(&["signed-in-users", "all", "tagged"]))]
    audience: Option<Audience>,
    /// Only users under this IAM path [default: /]
    #[arg(long, value_name = "PATH")]
    path_prefix: Option<PathPrefix>,
    /// The tag of a user that holds the owner's address [default: keynudge:contact]
    #[arg(long, value_name = "KEY")]
    contact_tag: Option<String>,
    /// How many days ahead an exemption may end [default: 90]
    #[arg(long, value_name = "N", value_parser = whole("days", NonZeroU32::MIN..))]
    max_exemption_days: Option<NonZeroU32>,
    /// Makes username@DOMAIN an address
    #[arg(long, value_name = "DOMAIN")]
    default_domain: Option<Domain>,
    /// Who hears of owners without an address
    #[arg(long, value_name = "ADDRESS")]
    fallback_contact: Option<EmailAddress>,
    /// Domains that may be mailed, separated by commas [default: any; with --from-stack, the stack's]
    #[arg(long, value_name = "DOMAINS", value_parser = domains)]
    allowed_domains: Vec<String>,
}

/// A list of domains, as it was given.
fn domains(text: &str) -> Result<String, InvalidId> {
    text.parse::<AllowedRecipients>().map(|_| text.to_owned())
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
    pub(crate) path_prefix: PathPrefix,
    pub(crate) owner: OwnerRules,
}

impl RulesArgs {
    /// What is given here, else what the stack's `parameters` say, else the default. Without a stack there are none.
    pub(crate) fn resolve(&self, parameters: &Parameters) -> Result<Rules> {
        Rules::read(&Settings { given: &|name| self.given(name), parameters })
    }

    /// What is given here for a setting of the functions. Nothing for one that has no option.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        match name {
            "ALERT_AFTER_DAYS" => text(self.days.as_ref()),
            // The stack's stages are those of its own age.
            "STAGES_AFTER_DAYS" if self.days.is_some() => Some(listed(&self.stages_after_days)),
            "STAGES_AFTER_DAYS" => Some(listed(&self.stages_after_days)).filter(|days| !days.is_empty()),
            "AUDIENCE" => text(self.audience.as_ref()),
            "PATH_PREFIX" => text(self.path_prefix.as_ref()),
            "CONTACT_TAG" => self.contact_tag.clone(),
            "MAX_EXEMPTION_DAYS" => text(self.max_exemption_days.as_ref()),
            "DEFAULT_DOMAIN" => text(self.default_domain.as_ref()),
            "FALLBACK_CONTACT" => self.fallback_contact.as_ref().map(|address| address.as_str().to_owned()),
            "ALLOWED_DOMAINS" => Some(listed(&self.allowed_domains)).filter(|domains| !domains.is_empty()),
            _ => None,
        }
    }
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

fn listed<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Rules {
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method of `Vars<'_>` is of one lifetime alone"
    )]
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self> {
        let allowed = settings.allowed_recipients()?;
        let listing = settings.read(|vars| vars.listing_rules())?;
        Ok(Self {
            staleness: settings.read(|vars| vars.staleness())?,
            path_prefix: listing.path_prefix,
            owner: settings.read(|vars| vars.owner_rules(allowed))?,
        })
    }
}

/// Where the functions' settings come from in this tool: what is `given` on the command line, else a stack's
/// parameter, else the template's default.
pub(crate) struct Settings<'a> {
    pub(crate) given: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) parameters: &'a Parameters,
}

impl Settings<'_> {
    /// Reads as the functions do.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Vars<'_>) -> Result<T, InvalidVar>) -> Result<T> {
        read(&Vars::new(&|name| self.lookup(name))).map_err(|error| {
            let (name, problem) = (error.name(), error.problem());
            match (self.given)(name) {
                Some(_) => anyhow!("--{}: {problem}", name.to_lowercase().replace('_', "-")),
                None => anyhow!("the stack's parameter {}: {problem}", parameter(name)),
            }
        })
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let default =
            || DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        (self.given)(name).or_else(|| self.parameters.get(&parameter(name)).cloned()).or_else(default)
    }

    /// Those named, else the sender's domain. Without either, every address counts, since a report sends no mail.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method of `Vars<'_>` is of one lifetime alone"
    )]
    pub(crate) fn allowed_recipients(&self) -> Result<AllowedRecipients> {
        let is_set = |name| self.lookup(name).is_some_and(|value| !value.is_empty());
        if is_set("ALLOWED_DOMAINS") || is_set("SENDER") {
            self.read(|vars| vars.allowed_recipients())
        } else {
            self.read(|vars| vars.but_for_excluded_recipients(AllowedRecipients::everywhere()))
        }
    }
}

/// The template's parameter that becomes a setting of the functions: `AlertAfterDays` for `ALERT_AFTER_DAYS`.
pub(crate) fn parameter(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_owned() + &rest.to_lowercase()
    });
    words.collect()
}
