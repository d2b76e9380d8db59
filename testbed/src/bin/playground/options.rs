//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use keynudge_testbed::deployment::check_parameter;
use keynudge_testbed::estate::USERS_PER_ACCOUNT_MAX;
use keynudge_testbed::functions::Profile;

/// Starts an AWS account on this machine, with IAM users some of whose keys are old, to try Keynudge out on.
///
/// It says what to type next, and stays until Ctrl-C. The first start installs the emulator, which takes a minute. Needs
/// Python 3.10 or newer. Everything it makes is in cargo's target directory.
#[derive(Debug, Parser)]
#[command(
    name = "cargo playground",
    bin_name = "cargo playground",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo playground\n  cargo playground -- --users 5000\n  cargo playground deploy\n  \
                  cargo playground deploy AlertAfterDays=180\n  cargo playground mails --save mails"
)]
pub(crate) struct Options {
    /// How many IAM users there are: 1 to 5,000, which is all that an account holds
    #[arg(long, value_name = "N", default_value = "2000", value_parser = parse_users)]
    pub(crate) users: usize,

    /// The port AWS listens on; 0 finds a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,

    /// Where it leaves word of itself; the tests leave the user's playground alone.
    #[arg(long, value_name = "DIR", global = true, hide = true)]
    pub(crate) directory: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What can be done about a playground that is running.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deploy Keynudge, or update it: what `sam build && sam deploy` do on AWS
    Deploy(Deploy),
    /// Make a mistake in an operator's place: a policy that denies Keynudge the keys of three users
    Break,
    /// Take that policy away again
    Repair,
    /// List the mails that were sent
    Mails(Mails),
}

/// What to deploy.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Parameters of infra/template.yaml, rather than the playground's; in an update, the others keep their values
    #[arg(value_name = "PARAMETER=VALUE", value_parser = parse_parameter)]
    pub(crate) parameters: Vec<(String, String)>,

    /// How the functions are built; the tests would wait minutes for a release.
    #[arg(long, value_enum, default_value_t = Profile::Release, hide = true)]
    pub(crate) profile: Profile,
}

/// Which mails, and where.
#[derive(Debug, Args)]
pub(crate) struct Mails {
    /// Also write each into this folder, as HTML and as text
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
}

impl Options {
    /// Reads the command line. Ends the program if something is wrong with it.
    pub(crate) fn from_command_line() -> Self {
        Self::parse()
    }
}

/// The emulator takes the parameter, and mails in the built-in words.
const NO_LAYERS: &str = "the playground has no Lambda layers: look at your templates with `keynudge preview --templates \
                         FOLDER`, and deploy the layer on AWS";

fn parse_users(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(users @ 1..=USERS_PER_ACCOUNT_MAX) => Ok(users),
        _ => Err(format!("it must be a number from 1 to {USERS_PER_ACCOUNT_MAX}")),
    }
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        // Here, and not in the deployment: the functions take minutes to build.
        Some(("TemplatesLayer", value)) if !value.is_empty() => Err(NO_LAYERS.to_owned()),
        Some((name, value)) if !name.is_empty() => {
            check_parameter(name).map_err(|error| error.to_string())?;
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("it must be a parameter's name, = and its value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["playground"], arguments].concat())
    }

    #[test]
    fn verify_cli() {
        Options::command().debug_assert();
    }

    #[test]
    fn parameters_are_names_and_values() {
        let options = options(&["deploy", "StagesAfterDays=90,120", "RedirectAllTo="]).unwrap();
        let Some(Command::Deploy(Deploy { parameters, .. })) = options.command else { panic!("no deploy") };
        let expected = [("StagesAfterDays", "90,120"), ("RedirectAllTo", "")];
        assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_the_template_or_the_playground_does_not_have_is_named() {
        let refusal = |parameter| options(&["deploy", parameter]).unwrap_err().to_string();
        assert!(refusal("Sendr=a@b.example").contains("it has no parameter called Sendr"));
        let layer = "TemplatesLayer=words:1";
        assert!(refusal(layer).contains("the playground has no Lambda layers"));
        assert!(options(&["deploy", "TemplatesLayer="]).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in
            [["--users=0", ""], ["--users=5001", ""], ["deploy", "90"], ["deploy", "=90"], ["deploy", "No=1"]]
        {
            assert!(options(&wrong).is_err(), "{wrong:?}");
        }
    }
}
