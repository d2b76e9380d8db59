//! `keynudge run`: starts a run, and follows it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use keynudge_core::messages::{Mode, Run};
use keynudge_core::reckoning::{StartedRun, Summary};
use serde_json::json;

use super::follow::{self, End};
use super::look::{Deployment, Queue};
use super::show::{self, instant, number};
use crate::as_of::as_of;
use crate::aws::runs::NotInvoked;
use crate::aws::{Aws, ConnectionArgs, Parameters};
use crate::dlq::filter::age;
use crate::interrupt::Interrupt;
use crate::terminal::{self, rough};
use crate::{Cli, Outcome};

/// Start a run now, and follow it
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
#[command(after_help = "Examples:
  keynudge run --dry-run                      # everything but the mails
  keynudge run                                # shows what it is about to do, asks, and mails owners
  keynudge run --dry-run --as-of 2027-01-01   # who will be stale by then?
  keynudge run --yes --no-follow              # for scripts

Exit codes: 0 all is done, nothing was given up, and no account denied the role; 1 otherwise, and where the run was left before its end; 2 wrong \
                  usage.")]
pub(crate) struct Start {
    /// Judge ages at this day's end (UTC), as 2026-12-31, or at an instant, as 2026-12-31T06:00:00Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = as_of)]
    as_of: Option<DateTime<Utc>>,
    /// Mail nobody: count who would be mailed
    #[arg(long)]
    dry_run: bool,
    /// Mail owners although the stack's own runs are dry runs
    #[arg(long, conflicts_with = "dry_run")]
    live: bool,
    /// Do not wait until it is over
    #[arg(long)]
    no_follow: bool,
    /// Do not ask before a run that mails
    #[arg(long)]
    yes: bool,
    /// Leave a run in which nothing has moved for so long (90s, 30m, 2h)
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = age)]
    patience: TimeDelta,
}

impl Start {
    /// Does it.
    pub(crate) async fn run(&self, connection: &ConnectionArgs) -> Result<Outcome> {
        if !self.yes && !self.dry_run && !terminal::can_ask() {
            let message =
                "stdin is not a terminal, so nobody can be asked: add --yes to mail owners, or --dry-run";
            Cli::command().error(ErrorKind::MissingRequiredArgument, message).exit();
        }
        let aws = Aws::connect(connection).await?;
        if !self.dry_run && aws.region().starts_with("cn-") {
            bail!("SES has no region in China, so only dry runs can be started there: add --dry-run");
        }
        let deployment = Deployment::find(&aws).await?;
        let parameters = aws.parameters().await?;
        if !self.dry_run && !self.live && is_for_dry_runs(&parameters) {
            bail!(
                "the stack {:?} has Mode=dry_run, so this would be the one run that mails owners: add --dry-run, or --live to mail \
                 them all the same",
                aws.stack()
            );
        }
        // To the second, as the run's id has it: two runs would be one record otherwise.
        let instant = self.as_of.unwrap_or_else(Utc::now).trunc_subsecs(0);
        let run = Run::at(instant, if self.dry_run { Mode::DryRun } else { Mode::Live });
        let last = deployment.last_runs(1).await?.first().map(|run| run.accounts);
        let before = deployment.started(&run.run_id).await?;
        self.announce(&aws, &deployment, &run, &parameters, last, before.as_ref());
        let interrupt =
            Interrupt::listen("Ended at once. The run goes on; `keynudge status` shows it.".to_owned())?;
        if !self.is_agreed(&interrupt).await? {
            return Ok(Outcome::Incomplete);
        }
        // What it comes to is added to that, and must not be taken for it.
        let before = match before {
            Some(before) => {
                let queued = deployment.queued().await?;
                Some(deployment.summary(&run.run_id, Some(before.accounts), Some(queued)).await?)
            }
            None => None,
        };
        tokio::select! {
            () = interrupt.asked() => {
                terminal::remark("The run may have started: `keynudge status` shows it, if so.");
                return Ok(Outcome::Incomplete);
            }
            started = self.start(&deployment, &run) => started?,
        }
        terminal::remark(&format!("The run {} has started.", run.run_id));
        if self.no_follow {
            terminal::remark("`keynudge status` shows how far it is.");
            return Ok(Outcome::Done);
        }
        self.follow(&deployment, &run, before, &parameters, &interrupt).await
    }

    /// Says what is about to be done.
    fn announce(
        &self,
        aws: &Aws,
        deployment: &Deployment,
        run: &Run,
        parameters: &Parameters,
        last: Option<u64>,
        before: Option<&StartedRun>,
    ) {
        let what = if self.dry_run { "A dry run" } else { "A live run" };
        terminal::remark(&format!(
            "{what} of the stack {:?} in {}, which judges keys as of {}:",
            aws.stack(),
            aws.region(),
            instant(run.as_of)
        ));
        terminal::remark(&format!("  accounts  {}", accounts(parameters, deployment.account(), last)));
        terminal::remark(&format!("  mails     {}", self.mails(parameters)));
        if !self.dry_run && is_for_dry_runs(parameters) {
            terminal::remark("The stack has Mode=dry_run. This run mails all the same, as --live says.");
        }
        if let Some(before) = before {
            let ago = rough(Utc::now() - before.started_at);
            terminal::remark(&format!(
                "This very run was started before, {ago} ago. It will be done again, and what it comes to is added to that."
            ));
        }
    }

    fn mails(&self, parameters: &Parameters) -> String {
        match parameter(parameters, "RedirectAllTo") {
            _ if self.dry_run => "none; who would be mailed is counted".to_owned(),
            Some(pilot) => format!("all of them to {pilot}, as long as this is a pilot"),
            None => "to the owners of stale keys who are due".to_owned(),
        }
    }

    async fn is_agreed(&self, interrupt: &Interrupt) -> Result<bool> {
        if self.yes || self.dry_run {
            return Ok(true);
        }
        tokio::select! {
            () = interrupt.asked() => Ok(false),
            answer = terminal::confirm("Start it?") => answer,
        }
    }

    async fn start(&self, deployment: &Deployment, run: &Run) -> Result<()> {
        let event = json!({"as_of": instant(run.as_of), "mode": run.mode});
        deployment.start(&event).await.map_err(|error| not_started(error, run, deployment.producer()))
    }

    async fn follow(
        &self,
        deployment: &Deployment,
        run: &Run,
        before: Option<Summary>,
        parameters: &Parameters,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        let started = deployment.started(&run.run_id).await?;
        // One at least: a run that is missing in the list of runs has not begun before it has left a record.
        let accounts = started.as_ref().map_or(1, |started| started.accounts);
        let patience = self.patience.to_std().unwrap_or(Duration::MAX);
        let end = follow::follow(deployment, run, accounts, before, patience, interrupt).await;
        let end = end.context("following it; the run goes on, and `keynudge status` shows it")?;
        if end == End::Interrupted {
            terminal::remark("The run goes on: `keynudge status` shows it.");
            return Ok(Outcome::Incomplete);
        }
        let queued = deployment.queued().await?;
        let reckoned = match started {
            Some(started) => deployment.reckon(started, queued).await?,
            None => deployment.reckon_unlisted(run.run_id.clone(), queued).await?.ok_or_else(|| {
                anyhow!(
                    "the run {} has left no record; the log of {} says why",
                    run.run_id,
                    deployment.producer()
                )
            })?,
        };
        terminal::print(&show::detail(&reckoned, Utc::now()))?;
        if end == End::Standstill {
            terminal::remark(&standstill(self.patience, parameters, Utc::now()));
        }
        if reckoned.summary.failed() > 0 {
            terminal::remark(&format!(
                "{} given up: `keynudge dlq list` says why.",
                number(reckoned.summary.failed())
            ));
        } else if end == End::Missing && Queue::dead_letters(&deployment.queues().await?) > 0 {
            terminal::remark("There are dead letters: `keynudge dlq list` says why.");
        }
        let Summary { accounts, checks, .. } = &reckoned.summary;
        let left_out = reckoned.summary.failed() + accounts.denied + checks.denied;
        Ok(Outcome::done_if(end == End::Over && left_out == 0))
    }
}

/// What to do about a run of which nobody said that it was started.
fn not_started(error: NotInvoked, run: &Run, producer: &str) -> anyhow::Error {
    let id = &run.run_id;
    match error {
        NotInvoked::Refused(error) => error.context(format!("the run {id} was not started")),
        // The producer looks at this before anything else.
        NotInvoked::Unknown(error) if error.to_string().contains("24 hours ahead") => error.context(format!(
            "the run {id} was not started; add --dry-run to see who will be mailed by then"
        )),
        NotInvoked::Unknown(error) => error.context(format!(
            "the run {id} may have started: `keynudge status --run {id}` tells, and the log of {producer} what it did"
        )),
    }
}

/// Which accounts a run is of.
fn accounts(parameters: &Parameters, own: Option<&str>, last: Option<u64>) -> String {
    let own = own.map_or_else(|| "the stack's own".to_owned(), |own| format!("the stack's own, {own}"));
    let excluded = parameter(parameters, "ExcludeAccounts").map_or(0, |ids| ids.split(',').count());
    let accounts = match parameter(parameters, "Accounts") {
        None => return own,
        Some("organization") if parameter(parameters, "OrganizationalUnits").is_some() => {
            "those in the organizational units of the stack".to_owned()
        }
        Some("organization") => "all of the organization".to_owned(),
        Some(ids) => format!("{} of them", number(ids.split(',').count() as u64)),
    };
    let excluded = match excluded {
        0 => String::new(),
        n => format!(", without {} that are excluded", number(n as u64)),
    };
    let last = last.map_or_else(String::new, |last| format!("; the last run was of {}", number(last)));
    accounts + &excluded + &last
}

/// What to expect of a run in which nothing moves.
fn standstill(patience: TimeDelta, parameters: &Parameters, now: DateTime<Utc>) -> String {
    let until = |name: &str| {
        let minutes = parameter(parameters, name)?.parse().ok()?;
        Some(instant(now + TimeDelta::try_minutes(minutes)?))
    };
    let until = match (until("GiveUpAfterMinutes"), until("GiveUpFindingsAfterMinutes")) {
        (Some(users), Some(owners)) => {
            format!(" Users are tried until {users} at the latest, owners until {owners}, and then given up.")
        }
        _ => String::new(),
    };
    format!(
        "Nothing has moved for {}. What waits is tried again by itself, some of it hours from now.{until} `keynudge status` \
         tells later what came of it.",
        rough(patience)
    )
}

/// Whether the runs that the stack starts by itself mail nobody.
fn is_for_dry_runs(parameters: &Parameters) -> bool {
    parameter(parameters, "Mode") == Some("dry_run")
}

/// A parameter that is set.
fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(named: &[(&str, &str)]) -> Parameters {
        named.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn it_says_whom_a_run_mails() {
        let mails = |dry_run, pilot: &str| {
            let (as_of, patience) = (None, TimeDelta::zero());
            let start = Start { as_of, dry_run, live: false, no_follow: false, yes: false, patience };
            start.mails(&parameters(&[("RedirectAllTo", pilot)]))
        };
        assert_eq!(mails(false, ""), "to the owners of stale keys who are due");
        assert!(mails(false, "you@example.com").starts_with("all of them to you@example.com,"));
        assert!(mails(true, "you@example.com").starts_with("none;"));
    }

    #[test]
    fn it_says_which_accounts_a_run_is_of() {
        let of = |named: &[(&str, &str)], last| accounts(&parameters(named), Some("123456789012"), last);
        assert_eq!(of(&[("Accounts", "")], Some(1)), "the stack's own, 123456789012");
        assert_eq!(of(&[("Accounts", "1,2")], None), "2 of them");
        assert_eq!(
            of(&[("Accounts", "organization"), ("ExcludeAccounts", "1")], Some(1_200)),
            "all of the organization, without 1 that are excluded; the last run was of 1,200"
        );
    }

    #[test]
    fn only_a_run_that_was_refused_is_said_not_to_have_started() {
        let run = Run::at("2026-03-01T06:00:00Z".parse().unwrap(), Mode::Live);
        let said = |error| format!("{:#}", not_started(error, &run, "producer"));
        let refused = said(NotInvoked::Refused(anyhow!("access denied")));
        assert_eq!(refused, "the run 2026-03-01T06:00:00Z was not started: access denied");
        let unknown = said(NotInvoked::Unknown(anyhow!("Task timed out")));
        assert!(
            unknown.contains("may have started: `keynudge status --run 2026-03-01T06:00:00Z` tells"),
            "{unknown}"
        );
        assert!(unknown.ends_with(": Task timed out"), "{unknown}");
    }

    #[test]
    fn a_standstill_says_until_when_it_is_tried() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let parameters =
            parameters(&[("GiveUpAfterMinutes", "1440"), ("GiveUpFindingsAfterMinutes", "5760")]);
        let said = standstill(TimeDelta::minutes(10), &parameters, at("2026-03-01T06:20:00Z"));
        assert!(said.starts_with("Nothing has moved for 10 min."), "{said}");
        assert!(said.contains("until 2026-03-02T06:20:00Z") && said.contains("until 2026-03-05T06:20:00Z"));
    }
}
