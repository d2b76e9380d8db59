//! What a run came to: the counts of its records, as sums whose parts add up.
//!
//! * listed = unreadable + skipped, by reason + enqueued
//! * checks to do, which are the enqueued and those that had to be done again, = checked + denied + dead + waiting
//! * stale = mailed + would be mailed + not due + without contact + exempt + not tagged + sent back + failed + waiting
//!
//! What is waiting is counted nowhere: it is what is missing in a sum. Everything is delivered at least once, so that the
//! parts may also come to too much. That is [`Checks::excess`] and [`Owners::excess`], and never a negative number of
//! anybody; and what was delivered twice may have been counted twice without showing in the sum, which is the margin.
//!
//! **The margin** is how many deliveries vanished. When a message comes to its end, it is noted how often it was delivered, and
//! each delivery that gave it back has noted that as well. The difference are those of which nobody knows what they have
//! done and counted: a function that died, an answer that SQS did not hear. It is told of what has come to its end, so it is
//! final when nothing waits any more.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::counting::Metric;
use crate::ids::AccountId;
use crate::messages::Run;

/// A run in the list of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedRun {
    /// The run.
    pub run: Run,
    /// When it was first started.
    pub started_at: DateTime<Utc>,
    /// Of how many accounts.
    pub accounts: u64,
}

/// What the list of runs has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunList {
    /// The runs that were asked for.
    pub runs: Vec<StartedRun>,
    /// How many of the whole list cannot be read.
    pub unreadable: usize,
}

/// What a run came to in one account, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account_id: AccountId,
    /// What was counted.
    pub counts: BTreeMap<Metric, u64>,
}

/// How many messages the queues hold, at most, of this run or another: in each of their states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Queued {
    /// Accounts to scan.
    pub accounts: u64,
    /// Users to check.
    pub users: u64,
    /// Owners to tell.
    pub findings: u64,
}

/// How long SQS's counts may lag behind, which is a minute, and then some.
pub const SETTLED_AFTER: Duration = Duration::from_secs(75);

impl Queued {
    /// The same, if it tells anything of a run that was started then: before, its messages may not show yet.
    #[must_use]
    pub fn settled(self, started_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Self> {
        (now - started_at).to_std().is_ok_and(|age| age >= SETTLED_AFTER).then_some(self)
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How far it is.
    pub state: State,
    /// The accounts.
    pub accounts: Accounts,
    /// Their users.
    pub users: Users,
    /// The checks of these users.
    pub checks: Checks,
    /// Those who have stale keys.
    pub owners: Owners,
    /// How many messages came to their end in a later delivery than their first. Without any, nothing can be in a queue that does
    /// not wait here.
    pub redelivered: u64,
}

/// How far a run is, as its records tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing waits, and nothing was counted twice.
    Done,
    /// Nothing waits, and some of the counts may be too high by the margins.
    Inexact,
    /// Something waits.
    UnderWay,
    /// Something waits, and the queues are empty: what came of it was not recorded, or it died without a function.
    Missing,
}

/// The accounts of a run: `total = scanned + denied + dead + waiting`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounts {
    /// All of them.
    pub total: u64,
    /// Those whose users were all listed, and who still let us in when these were checked.
    pub scanned: u64,
    /// Those that do not let us in.
    pub denied: u64,
    /// Those whose scans were given up.
    pub dead: u64,
    /// Those that are yet to be scanned.
    pub waiting: u64,
    /// Which ones do not let us in.
    pub denied_ids: Vec<AccountId>,
}

/// The users of the accounts that were scanned: `listed` is the sum of the others. Exact, since a scan that is done again
/// sets it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Users {
    /// All of them.
    pub listed: u64,
    /// Those who are not what IAM says its users are.
    pub unreadable: u64,
    /// Skipped: never signed in to the console.
    pub never_signed_in: u64,
    /// Skipped: outside the path prefix.
    pub outside_path: u64,
    /// Skipped: younger than a stale key.
    pub too_young: u64,
    /// Skipped: no console password any more, says the credential report.
    pub no_password: u64,
    /// Skipped: no active key, says the credential report.
    pub no_active_key: u64,
    /// Skipped: no old key, says the credential report.
    pub no_old_key: u64,
    /// To be checked.
    pub enqueued: u64,
}

/// The checks: `enqueued + again + ahead + sent_back + excess = checked + denied + dead + waiting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Checks {
    /// Of users that complete scans enqueued.
    pub enqueued: u64,
    /// More of the same, by scans that were done more than once.
    pub again: u64,
    /// By scans that are not complete yet.
    pub ahead: u64,
    /// Of owners whose finding had grown too old to be mailed.
    pub sent_back: u64,
    /// Done, those of users who were gone by then included.
    pub checked: u64,
    /// Not done, since the account lets us in no more.
    pub denied: u64,
    /// Given up.
    pub dead: u64,
    /// Yet to be done.
    pub waiting: u64,
    /// By how much the parts come to too much.
    pub excess: u64,
    /// By how much any of these may be off.
    pub margin: u64,
}

/// Owners of stale keys: `stale + excess` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Owners {
    /// All of them.
    pub stale: u64,
    /// Mailed.
    pub mailed: u64,
    /// Would have been mailed, were it not a dry run.
    pub would_be_mailed: u64,
    /// Told before, and not due again.
    pub not_due: u64,
    /// Nobody to mail.
    pub without_contact: u64,
    /// Exempt for now.
    pub exempt: u64,
    /// Without the tag that the audience asks for.
    pub not_tagged: u64,
    /// Checked again, since the finding had grown too old to be mailed; they count as stale once more if they still are.
    pub sent_back: u64,
    /// Given up.
    pub failed: u64,
    /// Yet to be mailed.
    pub waiting: u64,
    /// By how much the parts come to too much.
    pub excess: u64,
    /// By how much any of these may be off.
    pub margin: u64,
    /// Mails that SES may have taken: the answer was lost. If it did, their owners are among those not due.
    pub outcome_unknown: u64,
}

impl Checks {
    /// All there were to do.
    #[must_use]
    pub fn to_do(&self) -> u64 {
        self.enqueued + self.again + self.ahead + self.sent_back
    }
}

impl Summary {
    /// Adds up what `records` say of a run that was started for so many accounts, if that is known. `queued` is what the
    /// queues held at most when the records were read; without it, nothing is known to be missing.
    #[must_use]
    pub fn of(accounts: Option<u64>, records: &[AccountRecord], queued: Option<Queued>) -> Self {
        let all = Tally::of_all(records);
        let checks = checks(records, &all);
        let mut summary = Self {
            state: State::Done,
            accounts: self::accounts(accounts, records),
            users: users(&all),
            owners: owners(records, &all, &checks),
            checks,
            redelivered: Tally(&all).sum([
                Metric::ScansRedelivered,
                Metric::ChecksRedelivered,
                Metric::FindingsRedelivered,
            ]),
        };
        summary.state = summary.state(queued);
        summary
    }

    /// What waits: accounts, users, and owners.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.accounts.waiting + self.checks.waiting + self.owners.waiting
    }

    /// What was given up: accounts, users, and owners.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.accounts.dead + self.checks.dead + self.owners.failed
    }

    fn state(&self, queued: Option<Queued>) -> State {
        match self.waiting() {
            0 if self.checks.margin + self.owners.margin == 0 => State::Done,
            0 => State::Inexact,
            _ if queued == Some(Queued::default()) => State::Missing,
            _ => State::UnderWay,
        }
    }
}

/// Counts, of one account or of all.
struct Tally<'a>(&'a BTreeMap<Metric, u64>);

impl Tally<'_> {
    fn of_all(records: &[AccountRecord]) -> BTreeMap<Metric, u64> {
        let mut all = BTreeMap::new();
        for (metric, n) in records.iter().flat_map(|record| &record.counts) {
            *all.entry(*metric).or_default() += n;
        }
        all
    }

    fn get(&self, metric: Metric) -> u64 {
        self.0.get(&metric).copied().unwrap_or(0)
    }

    fn sum<const N: usize>(&self, metrics: [Metric; N]) -> u64 {
        metrics.into_iter().map(|metric| self.get(metric)).sum()
    }

    /// Checks in the dead-letter queue. A check that was replayed and done since counts as done only.
    fn dead_checks(&self) -> u64 {
        self.get(Metric::ChecksGivenUp).saturating_sub(self.get(Metric::ChecksReplayed))
    }

    /// As [`Self::dead_checks`], of findings.
    fn dead_findings(&self) -> u64 {
        self.get(Metric::FindingsGivenUp).saturating_sub(self.get(Metric::FindingsReplayed))
    }

    fn vanished_checks(&self) -> u64 {
        self.get(Metric::ChecksRepeated).saturating_sub(self.get(Metric::ChecksReturned))
    }

    fn vanished_findings(&self) -> u64 {
        self.get(Metric::FindingsRepeated).saturating_sub(self.get(Metric::FindingsReturned))
    }
}

/// What is missing in a sum, and who of that is dead: (dead, waiting, excess).
fn missing(total: u64, parts: u64, given_up: u64) -> (u64, u64, u64) {
    let missing = total.saturating_sub(parts);
    let dead = given_up.min(missing);
    (dead, missing - dead, parts.saturating_sub(total))
}

fn accounts(started: Option<u64>, records: &[AccountRecord]) -> Accounts {
    let mut accounts = Accounts::default();
    for AccountRecord { account_id, counts } in records {
        let counts = Tally(counts);
        if counts.get(Metric::AccountsDenied) > 0 {
            accounts.denied += 1;
            accounts.denied_ids.push(account_id.clone());
        } else if counts.get(Metric::ScansCompleted) > 0 {
            accounts.scanned += 1;
        } else if counts.get(Metric::ScansGivenUp) > 0 {
            accounts.dead += 1;
        }
    }
    let seen = accounts.scanned + accounts.denied + accounts.dead;
    // A record of an account that is not looked after may be there, too: a message may name any.
    accounts.total = started.unwrap_or(records.len() as u64).max(seen);
    accounts.waiting = accounts.total - seen;
    accounts
}

fn users(all: &BTreeMap<Metric, u64>) -> Users {
    let all = Tally(all);
    Users {
        listed: all.get(Metric::UsersListed),
        unreadable: all.get(Metric::UsersUnreadable),
        never_signed_in: all.get(Metric::UsersSkippedNeverSignedIn),
        outside_path: all.get(Metric::UsersSkippedOutsidePath),
        too_young: all.get(Metric::UsersSkippedTooYoung),
        no_password: all.get(Metric::UsersSkippedNoPassword),
        no_active_key: all.get(Metric::UsersSkippedNoActiveKey),
        no_old_key: all.get(Metric::UsersSkippedNoOldKey),
        enqueued: all.get(Metric::UsersEnqueued),
    }
}

fn checks(records: &[AccountRecord], all: &BTreeMap<Metric, u64>) -> Checks {
    let mut checks = records.iter().map(|record| checks_of_one(&Tally(&record.counts))).fold(
        Checks::default(),
        |sum, one| Checks {
            enqueued: sum.enqueued + one.enqueued,
            again: sum.again + one.again,
            ahead: sum.ahead + one.ahead,
            sent_back: sum.sent_back + one.sent_back,
            checked: sum.checked + one.checked,
            denied: sum.denied + one.denied,
            dead: sum.dead + one.dead,
            waiting: sum.waiting + one.waiting,
            excess: sum.excess + one.excess,
            margin: 0,
        },
    );
    let all = Tally(all);
    checks.margin = all.vanished_checks().max(checks.excess);
    // Scans and findings make checks. If one was delivered twice, a function that sent checks may have died
    // before it counted them: more checks came to an end than there were to do.
    let made_again = [Metric::ScansRedelivered, Metric::FindingsRedelivered];
    if all.sum(made_again) > 0 {
        let ended = checks.checked + checks.denied + all.dead_checks();
        checks.margin = checks.margin.max(ended.saturating_sub(checks.to_do()));
    }
    checks
}

/// The checks of one account.
fn checks_of_one(counts: &Tally<'_>) -> Checks {
    let (checked, denied) = (counts.get(Metric::UsersChecked), counts.get(Metric::UsersDenied));
    let (enqueued, sent_back) = (counts.get(Metric::UsersEnqueued), counts.get(Metric::FindingsSentBack));
    let (sent, given_up) = (counts.get(Metric::ChecksSent), counts.dead_checks());
    let (again, ahead) = if counts.get(Metric::ScansCompleted) > 0 {
        (sent.saturating_sub(enqueued), 0)
    } else {
        // The first of them are checked before their scan has counted them.
        let seen = (checked + denied + given_up).saturating_sub(enqueued + sent_back);
        (0, sent.saturating_sub(enqueued).max(seen))
    };
    let to_do = enqueued + again + ahead + sent_back;
    let (dead, waiting, excess) = missing(to_do, checked + denied, given_up);
    Checks { enqueued, again, ahead, sent_back, checked, denied, dead, waiting, excess, margin: 0 }
}

/// What becomes of owners of stale keys, unless they wait or are dead.
const ENDS_OF_OWNERS: [Metric; 7] = [
    Metric::MailsSent,
    Metric::MailsNotSentDryRun,
    Metric::MailsNotDue,
    Metric::WithoutContact,
    Metric::Exempt,
    Metric::UsersSkippedNotTagged,
    Metric::FindingsSentBack,
];

fn owners(records: &[AccountRecord], all: &BTreeMap<Metric, u64>, checks: &Checks) -> Owners {
    let all = Tally(all);
    let stale = all.get(Metric::StaleOwners);
    let mut owners = Owners {
        stale,
        mailed: all.get(Metric::MailsSent),
        would_be_mailed: all.get(Metric::MailsNotSentDryRun),
        not_due: all.get(Metric::MailsNotDue),
        without_contact: all.get(Metric::WithoutContact),
        exempt: all.get(Metric::Exempt),
        not_tagged: all.get(Metric::UsersSkippedNotTagged),
        sent_back: all.get(Metric::FindingsSentBack),
        outcome_unknown: all.get(Metric::MailsOutcomeUnknown),
        ..Owners::default()
    };
    for record in records {
        let counts = Tally(&record.counts);
        let (stale, given_up) = (counts.get(Metric::StaleOwners), counts.dead_findings());
        let (failed, waiting, excess) = missing(stale, counts.sum(ENDS_OF_OWNERS), given_up);
        owners.failed += failed;
        owners.waiting += waiting;
        owners.excess += excess;
    }
    // Whoever is checked twice may be found stale twice.
    let found_twice = (checks.margin + checks.again).min(stale);
    let margin = found_twice + all.vanished_findings() + owners.outcome_unknown;
    owners.margin = margin.max(owners.excess);
    // As with checks: one that was delivered twice may have sent a finding that it has not counted.
    if all.get(Metric::ChecksRedelivered) > 0 {
        let ended = all.sum(ENDS_OF_OWNERS) + all.dead_findings();
        owners.margin = owners.margin.max(ended.saturating_sub(stale));
    }
    owners
}

#[cfg(test)]
mod tests;
