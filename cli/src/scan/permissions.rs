//! What IAM lets us do. One user may be denied to us, or all of them: whether to go on depends on it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use keynudge_core::failure::{CallFailed, FailureClass};

/// So often an action is refused, and never allowed, and nobody is to be hoped for who would not be refused. One or two
/// may be protected by a policy of their own, and be the first on the list.
pub(super) const REFUSALS_MAX: usize = 8;

/// Which actions were allowed at least once, and how often others were refused.
#[derive(Debug, Default)]
pub(super) struct Permissions(RefCell<BTreeMap<&'static str, Permission>>);

#[derive(Debug, Default)]
struct Permission {
    was_allowed: bool,
    refusals: usize,
    first: Option<CallFailed>,
}

impl Permissions {
    /// Takes note of how a call of `action` ended.
    pub(super) fn note<T>(&self, action: &'static str, result: &Result<T, CallFailed>) {
        let mut permissions = self.0.borrow_mut();
        let permission = permissions.entry(action).or_default();
        match result {
            Ok(_) => permission.was_allowed = true,
            Err(error) if error.class == FailureClass::Operator => {
                permission.refusals += 1;
                permission.first.get_or_insert_with(|| error.clone());
            }
            Err(_) => {}
        }
    }

    /// Why no user can be scanned: an action that was refused so often and never allowed.
    pub(super) fn missing_after(&self, refusals: usize) -> Option<CallFailed> {
        let permissions = self.0.borrow();
        let missing = permissions.values().find(|one| !one.was_allowed && one.refusals >= refusals);
        missing.and_then(|one| one.first.clone())
    }
}
