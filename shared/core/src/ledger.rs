//! The promise about mail: no reminder is lost, and an owner gets one mail per stage and cadence period, except where
//! SES may have taken a mail and its answer was lost.
//!
//! Everything here is pure. An [`Entry`] is what is remembered of one owner, and each of its methods is one step from
//! an entry to the next. A [`Delivery`] is the protocol between ledger and mailer for one finding: it says what to do,
//! hears what came of it, and holds whatever is lost, repeated, delayed or crashes in between; its tests interleave all of
//! that. What the world is asked for is [`crate::ports::Ledger`]: read one entry, and write it if nobody else did.

mod delivery;
mod entry;
#[cfg(test)]
mod interleavings;

pub use delivery::{Answer, Delivery, Outcome, Step};
pub use entry::{
    Claim, Claiming, Entry, LedgerRules, MAX_HISTORY, MailboxHash, NotReached, NotReachedReason, Notice,
    Sent, SesEvent,
};
