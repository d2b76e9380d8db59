//! What every function does around its handler.
//!
//! * [`log`]: what is logged, and how
//! * [`function`]: one invocation after the other
//! * [`vars`]: settings from the environment, each error naming its variable
//! * [`deadline`]: how much time an invocation has left
//! * [`records`]: a batch of queue records, each done, given back or given up by itself
//! * [`outgoing`]: many messages to a queue, repeating just what was refused
//! * [`pace`]: keeping to a rate that is shared with others
//! * [`metrics`]: what is counted, as CloudWatch's embedded metric format
//! * [`ledger`]: entries of the ledger, without what cannot be true
//! * [`clock`]: the wall clock, passed in so that tests can stop it

pub mod clock;
pub mod deadline;
pub mod function;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod outgoing;
pub mod pace;
pub mod records;
pub mod vars;
