//! `keynudge run`: starts a run, and follows it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use keynudge_core::ids::RunId;
use keynudge_core::messages::{AsOfLimit, Mode, Run};
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
  # Everything but the mails
  keynudge run --dry-run
  # Shows what it is about to do, asks, and mails owners
  keynudge run
  # Who will have old keys by then?
  keynudge run --dry-run --as-of 2027-01-01
  # For scripts
  keynudge run --yes --no-follow

Exit codes: 0 all is done, nothing was given up, and no account denied the role; \
                  1 otherwise, and where the run was left before its end; 2 wrong usage.")]
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
        let run = self.new_run(Utc::now(), fastrand::u16(..));
        may_start(&run, &parameters, Utc::now())?;
        let last = deployment.last_runs(1).await?.first().map(|run| run.accounts);
        self.announce(&aws, &deployment, &run, &parameters, last);
        // Until here, nothing has begun, so an interrupt may end the process as it is.
        let interrupt = Interrupt::listen()?;
        if !self.is_agreed(&interrupt).await? {
            terminal::remark("Nothing was started.");
            return Ok(Outcome::Incomplete);
        }
        interrupt.will_leave("The run may have started: `keynudge status` shows it, if so.");
        let invoked_at = Utc::now();
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
        interrupt.will_leave("The run goes on: `keynudge status` shows it.");
        tokio::select! {
            () = interrupt.asked() => {
                terminal::remark("The run goes on: `keynudge status` shows it.");
                Ok(Outcome::Incomplete)
            }
            followed = self.follow(&deployment, &run, invoked_at, &parameters) => followed,
        }
    }

    /// A run of its own, started `now`: no other is counted together with it, whatever instant they judge.
    fn new_run(&self, now: DateTime<Utc>, random: u16) -> Run {
        let as_of = self.as_of.unwrap_or(now).trunc_subsecs(0);
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Live };
        Run { run_id: RunId::by_hand(now, random), ..Run::at(as_of, mode) }
    }

    /// Says what is about to be done.
    fn announce(
        &self,
        aws: &Aws,
        deployment: &Deployment,
        run: &Run,
        parameters: &Parameters,
        last: Option<u64>,
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
        terminal::confirm("Start it?", interrupt).await
    }

    async fn start(&self, deployment: &Deployment, run: &Run) -> Result<()> {
        let event = json!({"as_of": instant(run.as_of), "mode": run.mode, "run_id": run.run_id});
        deployment.start(&event).await.map_err(|error| not_started(error, run, deployment.producer()))
    }

    async fn follow(
        &self,
        deployment: &Deployment,
        run: &Run,
        invoked_at: DateTime<Utc>,
        parameters: &Parameters,
    ) -> Result<Outcome> {
        let runs = deployment.last_runs(usize::MAX).await?;
        if let Some(other) = renamed(run, invoked_at, &runs) {
            return Err(older_functions(run, other, deployment.producer()));
        }
        let started = runs.into_iter().find(|started| started.run.run_id == run.run_id);
        // One at least: a run that is missing in the list of runs has not begun before it has left a record.
        let accounts = started.as_ref().map_or(1, |started| started.accounts);
        let patience = self.patience.to_std().unwrap_or(Duration::MAX);
        let end = follow::follow(deployment, run, accounts, patience).await;
        let end = end.context("following it; the run goes on, and `keynudge status` shows it")?;
        let queued = deployment.queued().await?;
        let reckoned = match started {
            Some(started) => deployment.reckon(started, queued).await?,
            None => deployment.reckon_unlisted(run.run_id.clone(), queued).await?.ok_or_else(|| {
                anyhow!(
                    "the run {} has left no record: the log of {} says why. If the functions are of an older \
                     version, `keynudge status` lists the run under another id; deploy this version's functions then",
                    run.run_id,
                    deployment.producer()
                )
            })?,
        };
        terminal::print(&show::detail(&reckoned, Utc::now(), terminal::width()))?;
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

/// Whether the producer would take the run, by its own rule: a slip in a date must not mail everybody.
fn may_start(run: &Run, parameters: &Parameters, now: DateTime<Utc>) -> Result<()> {
    let is_for_testbeds = parameter(parameters, "AllowAsOf") == Some("true");
    let limit = if is_for_testbeds { AsOfLimit::None } else { AsOfLimit::From(now) };
    limit.check(run).context("nothing was started; add --dry-run to see who will be mailed by then")
}

/// What to do about a run of which nobody said that it was started.
fn not_started(error: NotInvoked, run: &Run, producer: &str) -> anyhow::Error {
    let id = &run.run_id;
    match error {
        NotInvoked::Refused(error) => error.context(format!("the run {id} was not started")),
        NotInvoked::Unknown(error) => error.context(format!(
            "the run {id} may have started: `keynudge status --run {id}` tells, and the log of {producer} what it did"
        )),
    }
}

/// How far the clocks of this machine and of Lambda may be apart.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// The run that was listed in place of `run`, which was invoked at `invoked_at`. A producer of an earlier
/// version ignores the id that it is given, and derives one from the instant that the run judges.
fn renamed<'a>(run: &Run, invoked_at: DateTime<Utc>, runs: &'a [StartedRun]) -> Option<&'a StartedRun> {
    if runs.iter().any(|listed| listed.run.run_id == run.run_id) {
        return None;
    }
    let derived = Run::at(run.as_of, run.mode).run_id;
    let listed = runs.iter().find(|listed| listed.run.run_id == derived);
    listed.filter(|listed| listed.started_at >= invoked_at - CLOCK_SKEW)
}

/// What to do about a run that the producer gave another id.
fn older_functions(run: &Run, listed: &StartedRun, producer: &str) -> anyhow::Error {
    let id = &listed.run.run_id;
    anyhow!(
        "{producer} listed the run {} as {id}: the deployed functions are of an older version. The run goes \
         on, and `keynudge status --run {id}` shows it; deploy this version's functions before the next one",
        run.run_id
    )
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
pub(crate) fn is_for_dry_runs(parameters: &Parameters) -> bool {
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

    fn start(dry_run: bool, as_of: Option<&str>) -> Start {
        let as_of = as_of.map(|as_of| as_of.parse().unwrap());
        let patience = TimeDelta::zero();
        Start { as_of, dry_run, live: false, no_follow: false, yes: false, patience }
    }

    #[test]
    fn two_runs_of_one_second_or_of_one_day_are_not_counted_together() {
        let now = "2026-03-01T06:00:00.5Z".parse().unwrap();
        for start in [start(true, None), start(true, Some("2030-01-01T23:59:59Z"))] {
            let [one, other] = [start.new_run(now, 1), start.new_run(now, 2)];
            assert_ne!(one.run_id, other.run_id);
            assert_eq!(one.as_of, other.as_of);
            assert!(one.run_id.as_str().starts_with("2026-03-01T06:00:00Z-"), "in the order of their starts");
            assert_ne!(one.run_id, Run::at(one.as_of, one.mode).run_id, "the schedule's");
        }
    }

    #[test]
    fn a_live_run_far_ahead_is_refused_before_anything_is_invoked() {
        let now = "2026-03-01T06:00:00Z".parse().unwrap();
        let refused = |start: Start, allow: &str| {
            let run = start.new_run(now, 0);
            may_start(&run, &parameters(&[("AllowAsOf", allow)]), now).err().map(|error| format!("{error:#}"))
        };
        let said = refused(start(false, Some("2030-01-01T00:00:00Z")), "false").unwrap();
        assert!(said.contains("nothing was started; add --dry-run"), "{said}");
        assert!(said.contains("as_of is more than 24 hours ahead"), "{said}");
        assert_eq!(refused(start(true, Some("2030-01-01T00:00:00Z")), "false"), None);
        assert_eq!(refused(start(false, Some("2026-03-02T06:00:00Z")), "false"), None);
        assert_eq!(refused(start(false, Some("2030-01-01T00:00:00Z")), "true"), None, "a testbed");
    }

    #[test]
    fn it_says_whom_a_run_mails() {
        let mails =
            |dry_run, pilot: &str| start(dry_run, None).mails(&parameters(&[("RedirectAllTo", pilot)]));
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
    fn a_producer_of_an_earlier_version_is_known_by_the_id_it_derives() {
        let now: DateTime<Utc> = "2026-03-01T06:00:00Z".parse().unwrap();
        let run = start(true, None).new_run(now, 7);
        let listed = |run: Run, minutes| StartedRun {
            run,
            started_at: now + TimeDelta::minutes(minutes),
            accounts: 1,
        };
        let derived = Run::at(now, Mode::DryRun);
        let other = Run::at(now - TimeDelta::hours(1), Mode::DryRun);
        let id = |runs: &[StartedRun]| renamed(&run, now, runs).map(|listed| listed.run.run_id.clone());
        assert_eq!(id(&[listed(other.clone(), 1), listed(derived.clone(), 1)]), Some(derived.run_id.clone()));
        assert_eq!(id(&[listed(other, 1)]), None, "another run that began meanwhile");
        assert_eq!(
            id(&[listed(run.clone(), 1), listed(derived.clone(), 1)]),
            None,
            "this version's producer"
        );
        assert_eq!(id(&[listed(derived.clone(), -60)]), None, "an earlier run that judged the same instant");
        let said = older_functions(&run, &listed(derived, 1), "producer").to_string();
        assert!(said.contains("functions are of an older version"), "{said}");
        assert!(said.contains("`keynudge status --run 2026-03-01T06:00:00Z-dry-run` shows it"), "{said}");
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
