//! A front of the emulator's SES that has what the emulator lacks: a sending rate and a daily quota with a clock that can
//! be moved on, with SES's own errors; an operator's mistake; and the events that a configuration set publishes.
//!
//! It speaks SES's Query protocol (version 1 of its API) on a loopback port, to whichever account's credentials a request
//! carries. Mails are passed on to the emulator as they came, and so is every other call but `GetSendQuota`.
//!
//! # Layout
//!
//! * `server`: HTTP, credentials, passing on, counting.
//! * `limits`: rate and quota, and the clock they go by.
//! * `mail`: what a `SendEmail` says, as far as it matters here.
//! * `events`: what is published about a mail that was taken.

mod events;
mod limits;
mod mail;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::aws::Account;
use crate::simulated_clock::SimulatedClock;
pub use crate::simulated_iam::TokenBucket;
use crate::{Result, query_server};
use server::State;

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How fast each account may send; `None` for as fast as it likes.
    pub rate: Option<TokenBucket>,
    /// How many recipients each account may mail in any 24 hours; `None` for as many as it likes.
    pub per_day: Option<u32>,
    /// Whether events are published.
    pub events: bool,
    /// What rate and quota go by.
    pub clock: SimulatedClock,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: None, per_day: None, events: true, clock: SimulatedClock::running() }
    }
}

/// What became of an account's mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sends {
    /// Taken.
    pub taken: u64,
    /// Refused because the account was sending too fast.
    pub throttled: u64,
    /// Refused because the account had sent too many in 24 hours.
    pub over_quota: u64,
    /// Refused for another reason, or not passed on.
    pub failed: u64,
    /// Events published about those that were taken.
    pub events: u64,
}

/// A running simulated SES. It ends with the process.
#[derive(Clone)]
pub struct SimulatedSes {
    address: SocketAddr,
    state: Arc<State>,
}

impl SimulatedSes {
    /// Starts it, on a thread and a port of its own. Until it is told where to, by [`pass_on_to`](Self::pass_on_to), it
    /// passes nothing on: the emulator has to be told of it first.
    ///
    /// # Errors
    ///
    /// [`Error::Start`](crate::Error::Start) if no port or thread is to be had.
    pub fn start(options: &Options) -> Result<Self> {
        let state = Arc::new(State::new(options));
        let address = query_server::serve("simulated SES", server::router(Arc::clone(&state)))?;
        Ok(Self { address, state })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says where the emulator is.
    pub fn pass_on_to(&self, emulator: &str) {
        self.state.pass_on_to(emulator);
    }

    /// Has an account's configuration set publish its events to a topic, as an event destination does.
    pub fn publish_to(&self, account: &Account, configuration_set: &str, topic_arn: &str) {
        self.state.publish_to(account, configuration_set, topic_arn);
    }

    /// Refuses every mail as SES does when its sender is not verified, until told otherwise.
    pub fn set_unverified(&self, unverified: bool) {
        self.state.set_unverified(unverified);
    }

    /// Takes the `mail`th mail of an account, counting from 1, and never answers. Only one account may send
    /// meanwhile.
    pub fn leave_unanswered(&self, mail: u64) {
        self.state.leave_unanswered(mail);
    }

    /// Whether that mail was taken.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.state.is_unanswered()
    }

    /// Moves the clock on by which rate and quota go.
    pub fn advance(&self, by: Duration) {
        self.state.limits.clock.advance(by);
    }

    /// By how many mails an account's senders were ahead of its rate at most: 0 if each of them keeps to
    /// its share, however busy the machine is.
    #[must_use]
    pub fn mails_ahead_of_rate(&self, account: &Account) -> u64 {
        self.state.limits.too_many(account)
    }

    /// What became of an account's mails so far.
    #[must_use]
    pub fn sends(&self, account: &Account) -> Sends {
        self.state.sends(account)
    }
}
