//! A whole AWS on one machine, for the demo and the end-to-end tests.
//!
//! # Layout
//!
//! What it stands on:
//!
//! * [`venv`]: the testbed's own Python, made once and kept under cargo's target directory.
//! * [`emulator`]: MiniStack as a child process that cannot outlive this one.
//! * [`simulated_iam`]: IAM as no emulator has it: real pages, real ages, throttling.
//! * [`simulated_organization`]: which accounts there are. The simulated IAM serves it, and the way into them.
//! * [`simulated_ses`]: what the emulator's SES lacks: rate, daily quota, a configuration set's events.
//! * [`simulated_clock`]: the time that the simulated services go by.
//! * [`https_fronts`]: HTTPS in front of services that speak HTTP.
//! * [`aws`]: a client for the few AWS calls the testbed makes.
//! * [`second_emulator`]: another AWS, moto as a child process, for what the first one may get wrong.
//! * [`lambda_runtime`]: what moto lacks: functions that are fed from queues.
//!
//! What runs on it:
//!
//! * [`functions`]: builds the functions and packs them the way Lambda takes them.
//! * [`deployment`]: the real template, as one `CloudFormation` stack in one account.
//! * [`pipeline`]: fires the schedule and waits until every queue is empty.
//! * [`messages`]: what functions are given that are not part of a run.
//! * [`outbox`]: what came out of it: mails and dead letters.
//! * [`function_logs`]: what the functions printed, their metrics included.
//! * [`processes`]: the emulator's and the functions' processes.
//! * [`peak_memory`]: what the functions' processes needed.
//! * [`processor_time`]: what all of them took.
//!
//! What goes wrong in it:
//!
//! * [`faults`]: calls to AWS fail, in every way in which they can.
//! * [`killer`]: functions die while they work.
//! * [`hostile`]: messages nobody meant to send.
//! * [`ledger`]: what the notifier has written down about outcomes it does not know.
//! * [`scenarios`]: all of that on one deployment, and what must be true afterwards.
//!
//! What it measures:
//!
//! * [`stage`]: Keynudge set up to be measured.
//! * [`measurement`]: what benchmarks make of several runs.
//! * [`workbench`]: other programs, and what they took.
//! * [`charts`]: pictures of it.
//! * [`cost`]: what a run would cost on AWS.
//!
//! For the programs that run it, the demo and the faults:
//!
//! * [`interrupt`]: how they are ended.
//! * [`run_directory`]: their files.
//! * [`share`]: a number or a percentage on the command line.
//!
//! For tests of the pages that it makes:
//!
//! * [`browser`]: headless Chromium, which says what is wrong with a page.
//!
//! Who is mailed:
//!
//! * [`population`]: generated users, each with what must happen to them.
//! * [`estate`]: the accounts they are in: one, or an organization.
//! * [`emulator_iam`]: the same users in the emulator's own IAM.

pub mod aws;
pub mod browser;
pub mod charts;
pub mod cost;
pub mod deployment;
pub mod emulator;
pub mod emulator_iam;
mod error;
pub mod estate;
pub mod faults;
pub mod function_logs;
pub mod functions;
pub mod hostile;
pub mod https_fronts;
pub mod interrupt;
pub mod killer;
pub mod lambda_runtime;
mod launcher;
pub mod ledger;
pub mod measurement;
pub mod messages;
pub mod outbox;
pub mod peak_memory;
pub mod pipeline;
pub mod population;
pub mod processes;
pub mod processor_time;
mod query_server;
pub mod run_directory;
pub mod scenarios;
pub mod second_emulator;
pub mod share;
pub mod simulated_clock;
pub mod simulated_iam;
pub mod simulated_organization;
pub mod simulated_ses;
pub mod stage;
pub mod venv;
pub mod web_pages;
pub mod workbench;
pub mod workspace;

pub use error::{Error, Result};
