//! `keynudge scan`: whose keys are too old, and who would be told, without a deployment.

mod budget;
mod csv;
mod html;
mod json;
mod permissions;
pub(crate) mod report;
mod scanner;
mod table;

use std::cmp::Reverse;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use keynudge_aws::iam::Iam;
use keynudge_core::audience::UserFilter;
use keynudge_core::failure::CallFailed;
use keynudge_core::ids::{AccountId, AccountName, UserName};
use keynudge_core::ports::{AccountAliases, UnreadableUser};

use self::report::{Missed, Report};
use self::scanner::{Found, Scanner, Stopped};
use self::table::counted;
use crate::as_of::as_of;
use crate::aws::iam::{RoleArn, iam_failed};
use crate::aws::{Aws, ConnectionArgs, Parameters};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::rules::{Rules, RulesArgs, Settings, one_of};
use crate::terminal::{grouped, remark};
use crate::{Cli, Outcome};

const EXAMPLES: &str = "\
Examples:
  keynudge scan                                         who would be told today, in your own account
  keynudge scan --audience all --days 180 --as-of 2026-12-31
  keynudge scan --from-stack                            by the rules of the deployed stack
  keynudge scan --role-arn arn:aws:iam::111122223333:role/audit --format csv --output keys.csv
  keynudge scan --format json --fail-on-stale           for CI: exits with 3 if there are stale keys

It only reads. Users without stale keys cost one call to IAM, the others three or four, and all calls share the account's \
budget: when IAM throttles, they pause, and fewer are made at once. Ctrl-C prints what there is by then.

Exit codes: 0 all users are in the report; 1 the scan failed or is incomplete; 2 wrong usage; 3 stale keys found, with \
--fail-on-stale.";

/// Tell whose keys are too old, and who would be told, without deploying anything
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Scan {
    #[command(flatten)]
    rules: RulesArgs,
    /// Judge ages at this day's end (UTC), as 2026-12-31, or at an instant, as 2026-12-31T06:00:00Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = as_of)]
    as_of: Option<DateTime<Utc>>,
    /// Leave users out by IAM's credential report, which saves most calls [default: none]
    #[arg(long, value_name = "FILTER", value_parser = one_of::<UserFilter>(&["none", "credential-report"]))]
    user_filter: Option<UserFilter>,
    /// Assume this role first, such as one in another account
    #[arg(long, value_name = "ARN")]
    role_arn: Option<RoleArn>,
    /// What the role wants to be shown
    #[arg(long, value_name = "ID", requires = "role_arn")]
    external_id: Option<String>,
    /// Calls to IAM at once, from 1 to 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// What to write; ids of keys are in all but the table
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file rather than to stdout; one that is there is replaced
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 3 if somebody in the audience has stale keys and is not exempt
    #[arg(long)]
    fail_on_stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One document
    Json,
    /// One row per stale key
    Csv,
    /// One page, to be opened in a browser
    Html,
}

/// The account to scan, and by which rules.
struct Prepared {
    iam: Iam,
    account_id: AccountId,
    account_name: Option<AccountName>,
    /// Where that may be asked.
    users: Option<usize>,
    rules: Rules,
    user_filter: UserFilter,
}

impl Scan {
    /// Does it.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        self.require_a_place_for_html();
        let output = Output::to(self.output.as_deref())?;
        let interrupt = Interrupt::listen()?;
        interrupt.will_leave("The report may be incomplete or missing.");
        let prepared = tokio::select! {
            biased;
            () = interrupt.asked() => {
                remark("Interrupted before anything was found.");
                return Ok(Outcome::Incomplete);
            }
            prepared = self.prepare(connection) => prepared?,
        };
        let as_of = self.as_of.unwrap_or_else(Utc::now);
        let progress = progress_of(prepared.users);
        let scanner = Scanner {
            iam: &prepared.iam,
            rules: &prepared.rules,
            user_filter: prepared.user_filter,
            as_of,
            concurrency: self.concurrency.into(),
            progress: &progress,
        };
        let began = Instant::now();
        let found = scanner.scan(&interrupt).await;
        progress.finish_and_clear();
        let found = found.map_err(|error| iam_failed(error, &format!("account {}", prepared.account_id)))?;
        if let (0, Some(Stopped::Failed(error))) = (found.users.listed, &found.stopped) {
            return Err(iam_failed(error.clone(), &format!("account {}", prepared.account_id)));
        }
        found.remark(prepared.users);
        found.remark_what_to_do(&prepared.account_id);
        if !io::stderr().is_terminal() {
            let done = grouped(found.users.done());
            let seconds = began.elapsed().as_secs_f64();
            remark(&format!("{done} of {} users in {seconds:.1} s.", grouped(found.users.listed)));
        }
        let report = report_of(prepared, as_of, found);
        for missed in &report.missed {
            remark(&format!("Not checked: {}: {}", missed.user_name.as_str(), missed.reason));
        }
        if let Some(said) = report.about_bedrock_api_keys() {
            remark(&format!("Look into {said}."));
        }
        output.write(&self.format.render(&report)?)?;
        Ok(self.outcome(&report))
    }

    /// A page of HTML is of no use on a terminal. Ends the process, as wrong usage.
    fn require_a_place_for_html(&self) {
        if self.format == Format::Html && self.output.is_none() && io::stdout().is_terminal() {
            let message = "HTML is for a browser: add --output FILE, such as --output keynudge-scan.html";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
    }

    async fn prepare(&self, connection: &ConnectionArgs) -> Result<Prepared> {
        // A stack is in a region, IAM in none.
        let mut aws = if self.rules.from_stack {
            Aws::connect(connection).await?
        } else {
            Aws::connect_anywhere(connection).await?
        };
        // The stack is the caller's, whoever's users are scanned.
        let parameters = if self.rules.from_stack { aws.parameters().await? } else { Parameters::default() };
        let rules = self.rules.resolve(&parameters)?;
        let given =
            |name: &str| self.user_filter.filter(|_| name == "USER_FILTER").map(|filter| filter.to_string());
        let user_filter =
            Settings { given: &given, parameters: &parameters }.read(|vars| vars.user_filter())?;
        if let Some(role) = &self.role_arn {
            aws = aws.with_role(role, self.external_id.as_deref()).await?;
        }
        let account_id = aws.account_id().await?;
        let iam = aws.iam_without_retries();
        // Both are courtesies that the account may deny; whoever may not list users hears of that in a moment. One throttled
        // request is no denial.
        let with_retries = aws.iam();
        let (account_name, users) = tokio::join!(with_retries.alias(), with_retries.user_count());
        let account_name = account_name.ok().flatten();
        Ok(Prepared { iam, account_id, account_name, users: users.ok(), rules, user_filter })
    }

    fn outcome(&self, report: &Report) -> Outcome {
        if report.incomplete.is_some() {
            Outcome::Incomplete
        } else if self.fail_on_stale && report.has_stale_owners() {
            Outcome::FoundStale
        } else {
            Outcome::Done
        }
    }
}

impl Format {
    fn render(self, report: &Report) -> Result<String> {
        match self {
            Self::Table => Ok(table::render(report)),
            Self::Json => json::render(report),
            Self::Csv => csv::render(report),
            Self::Html => html::render(report),
        }
    }
}

impl Found {
    /// Why this is not about all users, if it is not.
    fn incomplete(&self) -> Option<String> {
        match &self.stopped {
            Some(Stopped::Interrupted) => Some("interrupted".to_owned()),
            Some(Stopped::Failed(error)) => Some(error.to_string()),
            None => {
                self.check_failed.as_ref().map(ToString::to_string).or_else(|| self.has_unreadable_users())
            }
        }
    }

    fn has_unreadable_users(&self) -> Option<String> {
        let users = self.users.unreadable;
        (users > 0).then(|| format!("{} not readable", counted(users, "user is", "users are")))
    }

    /// Says what the report does not, or not loud enough. `users` is how many the account has, where that is known.
    fn remark(&self, users: Option<usize>) {
        if let Some(reason) = self.incomplete() {
            let missing = self.users.not_checked + self.users.unreadable;
            let unlisted = users.unwrap_or_default().saturating_sub(self.users.listed);
            let missing = match (self.is_listed_whole, unlisted) {
                (true, _) => format!("{} missing", counted(missing, "user is", "users are")),
                (false, 0) => {
                    format!("{} missing, and those not listed yet", counted(missing, "user is", "users are"))
                }
                (false, unlisted) => {
                    format!("{} missing", counted(missing + unlisted, "user is", "users are"))
                }
            };
            remark(&format!("Incomplete, {reason}: {missing}."));
        }
        if let Some(reason) = &self.no_report {
            remark(&format!("Without the credential report, all users were checked: {reason}."));
        }
        if let Some((keys, error)) = &self.last_use_unreadable {
            remark(&format!("The last use of {} is not known: {error}.", counted(*keys, "key", "keys")));
        }
        if self.exemptions_invalid > 0 {
            let owners =
                counted(self.exemptions_invalid, "owner has an exemption tag", "owners have exemption tags");
            remark(&format!("{owners} without a date (YYYY-MM-DD), which exempts nobody."));
        }
    }

    /// Says what to do about what kept it from all users. What concerns one user is said with the user's name.
    fn remark_what_to_do(&self, account_id: &AccountId) {
        let error = match &self.stopped {
            Some(Stopped::Failed(error)) => Some(error),
            Some(Stopped::Interrupted) => None,
            None => self.check_failed.as_ref().filter(|_| !self.is_listed_whole),
        };
        if let Some(error) = error {
            remark(&format!("{:#}", iam_failed(error.clone(), &format!("account {account_id}"))));
        }
    }
}

/// A user who was missed, and what to do about it.
fn missed((user_name, error): (UserName, CallFailed)) -> Missed {
    let reason = format!("{:#}", iam_failed(error, &format!("user {}", user_name.as_str())));
    Missed { user_name: user_name.as_str().to_owned(), reason }
}

/// A user who is not what IAM says its users are.
fn unreadable(UnreadableUser { name, problem, .. }: UnreadableUser) -> Missed {
    let reason = format!("{problem}, as IAM's documentation has it; please report that to Keynudge");
    Missed { user_name: name, reason }
}

fn report_of(prepared: Prepared, as_of: DateTime<Utc>, found: Found) -> Report {
    let incomplete = found.incomplete();
    let mut owners = found.owners;
    // The oldest first, and the same order each time.
    owners.sort_by_cached_key(|owner| {
        (Reverse(owner.keys.first().map(|key| key.age_days)), owner.user_name.clone())
    });
    let mut of_bedrock_api_keys = found.of_bedrock_api_keys;
    of_bedrock_api_keys.sort();
    Report {
        account_id: prepared.account_id,
        account_name: prepared.account_name,
        as_of,
        alert_after_days: prepared.rules.staleness.alert_after_days().get(),
        contact_tag: prepared.rules.contact.tag,
        incomplete,
        listed_whole: found.is_listed_whole,
        users_in_account: prepared.users,
        missed: found
            .missed
            .into_iter()
            .map(missed)
            .chain(found.unreadable.into_iter().map(unreadable))
            .collect(),
        users: found.users,
        ages: found.ages,
        of_bedrock_api_keys,
        owners,
    }
}

/// A bar where it is known how many users there are, else a counter; nothing where stderr is not a terminal.
fn progress_of(users: Option<usize>) -> ProgressBar {
    let (progress, template) = match users {
        Some(users) => {
            (ProgressBar::new(users as u64), "{wide_bar} {pos}/{len} users, {per_sec}, {eta} left")
        }
        None => (ProgressBar::no_length(), "{pos} users, {per_sec}"),
    };
    let style = ProgressStyle::with_template(template);
    progress.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
