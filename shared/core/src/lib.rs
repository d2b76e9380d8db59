//! Keynudge's domain: whose access keys are too old, who is told, and what the mail says.
//!
//! Everything here is pure: no AWS crate, no clock, no I/O. Functions bring the data in through [`ports`].
//!
//! # Layout
//!
//! * [`ids`]: validated identifiers; the only way in for text from outside
//! * [`accounts`]: which accounts are looked after
//! * [`keys`]: access keys, their age, and which of them are stale
//! * [`audience`]: which users are asked about at all
//! * [`listing`]: who of them is worth a call, as the list of users shows it
//! * [`credential_report`]: who of them has no old active key, as IAM's own report shows it
//! * [`contact`]: which address an owner is reached at
//! * [`exemption`]: who is left alone, and until when
//! * [`check`]: one user, looked at: what is stale, and what is to be done about it
//! * [`tags`]: an IAM user's tags
//! * [`ledger`]: who was told when, and who is telling them now: nobody is forgotten, nobody told twice
//! * [`counting`]: what is counted, and under which names
//! * [`reckoning`]: what a run came to: sums that add up, and by how much they may be off
//! * [`retry`]: when what failed is tried again, and when it is given up
//! * [`messages`]: what travels on the queues
//! * `wire`: how their fields are read
//! * [`mail`]: what a reminder says
//! * [`mail_limits`]: how many mails may go out
//! * [`ports`]: what the domain needs from the world
//! * [`feedback`]: what SES tells about mails, as it arrives
//! * [`failure`]: what a failed call means for the message it was made for
//! * [`vars`]: settings, read by name

pub mod accounts;
pub mod audience;
pub mod check;
pub mod contact;
pub mod counting;
pub mod credential_report;
pub mod exemption;
pub mod failure;
pub mod feedback;
pub mod ids;
pub mod instant;
pub mod keys;
pub mod ledger;
pub mod listing;
pub mod mail;
pub mod mail_limits;
pub mod messages;
pub mod ports;
pub mod reckoning;
pub mod retry;
pub mod tags;
pub mod vars;

mod wire;
