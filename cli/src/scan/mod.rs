//! `keynudge scan`: whose keys are too old, and who would be told, without a deployment.

mod budget;
mod csv;
mod html;
mod json;
mod permissions;
mod remarks;
pub(crate) mod report;
mod scanner;
mod table;

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use keynudge_aws::iam::Iam;
use keynudge_core::audience::UserFilter;
use keynudge_core::ids::{AccountId, AccountName};
use keynudge_core::ports::AccountAliases;

use self::report::Report;
use self::scanner::{Found, Scanner, Stopped};
use crate::as_of::as_of;
use crate::aws::iam::{RoleArn, iam_failed};
use crate::aws::{Aws, ConnectionArgs, Parameters};
use crate::interrupt::Interrupt;
use crate::numbers::whole;
use crate::output::Output;
use crate::rules::{Rules, RulesArgs, Settings, one_of};
use crate::terminal::{self, grouped, remark};
use crate::{Cli, Outcome};

const EXAMPLES: &str = "\
Examples:
  # People with old keys in your own account, and who would be mailed today
  keynudge scan
  # Users who never signed in to the console, too, such as service users
  keynudge scan --audience all
  keynudge scan --days 180 --as-of 2026-12-31
  # By the rules of the deployed stack
  keynudge scan --from-stack
  # A page for people who decide
  keynudge scan --output scan.html
  keynudge scan --role-arn arn:aws:iam::111122223333:role/audit -o keys.csv
  # For CI: exits with 3 if there are old keys
  keynudge scan --format json --fail-on-stale

It only reads. A user without old keys costs one call to IAM, the others three or four. All calls share the \
account's budget: when IAM throttles them, they pause, and fewer are made at once. Ctrl-C prints what was found \
by then.

Exit codes: 0 all users are in the report; 1 the scan failed or is incomplete; 2 wrong usage; 3 old keys found, \
with --fail-on-stale.";

/// List users with old access keys and who would be mailed. Deploys nothing
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
    /// External ID that the role requires
    #[arg(long, value_name = "ID", requires = "role_arn")]
    external_id: Option<String>,
    /// Calls to IAM at once, from 1 to 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole("calls", 1..=64_u8))]
    concurrency: u8,
    /// What to write; ids of keys are in all but the table [default: as FILE ends (.json, .csv, .html), else
    /// table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to FILE instead of stdout; overwrites
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
        if !io::stderr().is_terminal() {
            let done = grouped(found.users.done());
            let seconds = began.elapsed().as_secs_f64();
            remark(&format!("{done} of {} users in {seconds:.1} s.", grouped(found.users.listed)));
        }
        let report = report_of(prepared, as_of, found);
        let terminal = terminal::size().filter(|_| self.output.is_none());
        let text = self.format().render(&report, terminal)?;
        let is_long = terminal.is_some_and(|terminal| text.lines().count() >= terminal.lines);
        let written = output.write(&text);
        // Below what was written, where they are still to be seen.
        report.remarks.iter().for_each(|said| remark(said));
        if is_long && self.format() == Format::Table {
            remark(&table::summary(&report));
        }
        written.map(|()| self.outcome(&report))
    }

    /// The one given, else that of the file's ending.
    fn format(&self) -> Format {
        let ending = self.output.as_deref().and_then(Path::extension).and_then(OsStr::to_str);
        self.format.unwrap_or_else(|| match ending.unwrap_or_default().to_ascii_lowercase().as_str() {
            "json" => Format::Json,
            "csv" => Format::Csv,
            "html" | "htm" => Format::Html,
            _ => Format::Table,
        })
    }

    /// A page of HTML is of no use on a terminal. Ends the process, as wrong usage.
    fn require_a_place_for_html(&self) {
        if self.format() == Format::Html && self.output.is_none() && io::stdout().is_terminal() {
            let message = "HTML is for a browser: add --output FILE, such as --output keynudge-scan.html";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method of `Vars<'_>` is of one lifetime alone"
    )]
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
    /// For this terminal, if it goes to one.
    fn render(self, report: &Report, terminal: Option<terminal::Size>) -> Result<String> {
        match self {
            Self::Table => Ok(table::render(report, terminal.map(|terminal| terminal.columns))),
            Self::Json => json::render(report),
            Self::Csv => csv::render(report),
            Self::Html => html::render(report),
        }
    }
}

fn report_of(prepared: Prepared, as_of: DateTime<Utc>, mut found: Found) -> Report {
    // The oldest first, and the same order each time.
    found.owners.sort_by_cached_key(|owner| {
        (Reverse(owner.keys.first().map(|key| key.age_days)), owner.user_name.clone())
    });
    let mut of_bedrock_api_keys = found.of_bedrock_api_keys.clone();
    of_bedrock_api_keys.sort();
    let remarks = remarks::of(&found, prepared.users, &prepared.account_id);
    Report {
        account_id: prepared.account_id,
        account_name: prepared.account_name,
        as_of,
        alert_after_days: prepared.rules.staleness.alert_after_days().get(),
        contact_tag: prepared.rules.owner.contact.tag,
        incomplete: found.incomplete(),
        remarks,
        listed_whole: found.is_listed_whole,
        users_in_account: prepared.users,
        missed: remarks::all_missed(&found),
        users: found.users,
        ages: found.ages,
        of_bedrock_api_keys,
        owners: found.owners,
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
