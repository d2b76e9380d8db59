//! IAM as no emulator has it: any number of users with any key ages, real pages and markers, last-used dates, latency,
//! and the throttling of IAM's own token bucket.
//!
//! It speaks IAM's Query protocol on a loopback port, to whichever account's credentials a request carries, and answers
//! what the functions ask: `ListUsers`, `ListAccessKeys`, `ListUserTags`, `GetAccessKeyLastUsed`, `ListAccountAliases`,
//! `GenerateCredentialReport` and `GetCredentialReport`; what the operator's tool asks besides, `GetAccountSummary`; and, for
//! those whom Keynudge is compared with, `GetUser`.
//!
//! On the same port are the ways into an account: STS, which hands out credentials for the roles that accounts have for
//! others, and Organizations, which says what accounts there are.
//!
//! # Layout
//!
//! * [`directory`]: the users.
//! * [`account`]: what else there is to an account.
//! * `denied_users`: those whose keys nobody may list.
//! * `operations`: the operations on them.
//! * `credential_report`: what there is to tell of all users at once.
//! * `roles`: STS's `AssumeRole`, what it handed out, and `GetCallerIdentity`.
//! * `answers`: XML.
//! * `server`: HTTP, credentials, throttling, latency, counting.

pub mod account;
mod answers;
mod credential_report;
mod denied_users;
pub mod directory;
mod operations;
mod roles;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::aws::Account;
use crate::simulated_clock::SimulatedClock;
use crate::simulated_organization::Organization;
use crate::{Result, query_server};
use account::Settings;
use directory::User;
use server::State;

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each answer takes.
    pub latency: Duration,
    /// How many calls each account may make; `None` for as many as it likes.
    pub limit: Option<TokenBucket>,
    /// How long a role's credentials hold.
    pub session: Duration,
    /// What the limits go by.
    pub clock: SimulatedClock,
}

impl Default for Options {
    /// At once and without limits; credentials hold as long as STS's do by default.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            limit: None,
            session: Duration::from_hours(1),
            clock: SimulatedClock::running(),
        }
    }
}

/// What IAM allows at once after a rest, as far as is known: AWS does not say.
pub const BURST: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// IAM's limit for one account.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Calls per second, in the long run.
    pub rate: NonZeroU32,
    /// Calls at once, after a rest.
    pub burst: NonZeroU32,
}

/// How often an operation was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Answered, with users or with an error.
    pub answered: u64,
    /// Throttled.
    pub throttled: u64,
}

/// A running simulated IAM. It ends with the process.
#[derive(Clone)]
pub struct SimulatedIam {
    address: SocketAddr,
    state: Arc<State>,
}

impl SimulatedIam {
    /// Starts it, on a thread and a port of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Start`](crate::Error::Start) if no port or thread is to be had.
    pub fn start(options: &Options) -> Result<Self> {
        let state = Arc::new(State::new(options));
        let address = query_server::serve("simulated IAM", server::router(Arc::clone(&state)))?;
        Ok(Self { address, state })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives an account its users, instead of those it had.
    pub fn set_users(&self, account: &Account, users: Vec<User>) {
        self.state.set_users(account, users);
    }

    /// Says what else there is to an account, instead of what was.
    pub fn set_account(&self, account: &Account, settings: Settings) {
        self.state.set_account(account, settings);
    }

    /// Denies an account the keys of these users, instead of those it was denied before: `AccessDenied`.
    pub fn deny_keys_of(&self, account: &Account, users: BTreeSet<String>) {
        self.state.denied_users.set(account, users);
    }

    /// Adds an organization, to be seen by its management account and those who stand in for it.
    pub fn add_organization(&self, organization: Organization) {
        self.state.add_organization(organization);
    }

    /// How often each operation was called: those of IAM and Organizations by the account, `AssumeRole` for it.
    #[must_use]
    pub fn calls(&self, account: &Account) -> BTreeMap<String, Calls> {
        self.state.calls(account)
    }

    /// How often an account's IAM was called in each second since this was started, seconds without calls left out: what
    /// [`Options::limit`] is about.
    #[must_use]
    pub fn calls_by_second(&self, account: &Account) -> BTreeMap<u64, Calls> {
        self.state.calls_by_second(account)
    }
}
