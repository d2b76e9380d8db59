//! Keynudge's domain: whose access keys are too old, who is told, and what the mail says.
//!
//! Everything here is pure: no AWS crate, no clock, no I/O. Functions bring the data in through [`ports`].
//!
//! # Layout
//!
//! * [`ids`]: validated identifiers; the only way in for text from outside
//! * [`keys`]: access keys, their age, and which of them are stale
//! * [`audience`]: which users are asked about at all
//! * [`contact`]: which address an owner is reached at
//! * [`exemption`]: who is left alone, and until when
//! * [`tags`]: an IAM user's tags
//! * [`messages`]: what travels on the queues
//! * [`mail`]: what a reminder says
//! * [`ports`]: what the domain needs from the world
//! * [`failure`]: what a failed call means for the message it was made for

pub mod audience;
pub mod contact;
pub mod exemption;
pub mod failure;
pub mod ids;
pub mod keys;
pub mod mail;
pub mod messages;
pub mod ports;
pub mod tags;
