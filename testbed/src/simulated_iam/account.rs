//! What there is to an account beside its users.

use std::collections::BTreeSet;
use std::time::Duration;

use super::TokenBucket;
use crate::aws::Account;

/// What is special about an account; by default nothing, and nobody gets in.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The role that lets another account in.
    pub role: Option<Role>,
    /// How many calls it may make; `None` for as many as any account.
    pub limit: Option<TokenBucket>,
    /// How many calls of each operation are throttled before the first is answered: throttling that does
    /// not depend on how fast calls come on this machine.
    pub throttled_at_first: u64,
    /// What its administrators call it.
    pub alias: Option<String>,
    /// What becomes of its credential reports.
    pub report: ReportSettings,
    /// The operations of IAM that nobody in it may call.
    pub denied: BTreeSet<String>,
}

/// What becomes of an account's credential reports. A report says how things were when it was begun, and is the account's
/// for as long as this runs: IAM's own are made anew after four hours at the earliest.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportSettings {
    /// When one is ready.
    pub ready: ReportReady,
    /// How many expire before anybody fetches them.
    pub expire_unread: u32,
}

/// When a credential report is ready that was begun.
#[derive(Clone, Copy, Debug)]
pub enum ReportReady {
    /// After so many calls, to generate or to get it, that were told to wait.
    AfterPolls(u32),
    /// After this time.
    After(Duration),
    /// Never.
    Never,
}

impl Default for ReportReady {
    /// A small account's report is ready when one asks for the second time.
    fn default() -> Self {
        Self::AfterPolls(1)
    }
}

/// A role for another account.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What whoever assumes it has to know.
    pub external_id: Option<String>,
    /// The account that may assume it.
    pub trusts: Account,
}
