//! Users whose keys a policy of the organization keeps to themselves, whoever asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use super::answers::Refusal;
use super::operations::{Parameters, action};
use crate::aws::Account;

const ACTION: &str = "ListAccessKeys";

/// Who they are, by account.
#[derive(Debug, Default)]
pub(super) struct DeniedUsers(RwLock<HashMap<Account, BTreeSet<String>>>);

impl DeniedUsers {
    /// Says who they are, instead of those who were.
    pub(super) fn set(&self, account: &Account, users: BTreeSet<String>) {
        let mut denied = self.0.write().unwrap_or_else(PoisonError::into_inner);
        denied.insert(account.clone(), users);
    }

    /// Refuses to list their keys. All else about them may be read.
    pub(super) fn check(&self, caller: &Account, parameters: &Parameters) -> Result<(), Refusal> {
        let Some(user) = parameters.get("UserName").filter(|_| action(parameters) == ACTION) else {
            return Ok(());
        };
        let denied = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_denied = denied.get(caller).is_some_and(|users| users.contains(user));
        if is_denied { Err(Refusal::call_denied(caller, ACTION, user)) } else { Ok(()) }
    }
}
