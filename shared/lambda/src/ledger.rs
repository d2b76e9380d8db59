//! Reading the ledger, to which others may have written.

use chrono::{DateTime, Utc};
use keynudge_core::ledger::Entry;
use keynudge_core::ports::Owner;

use crate::vars::AsOfRule;

/// The owner's `entry` without what cannot be true ([`Entry::without_implausible`]), and whether there was any, which is
/// logged.
#[must_use]
pub fn without_implausible(
    entry: Entry,
    owner: &Owner,
    as_of: AsOfRule,
    now: DateTime<Utc>,
) -> (Entry, bool) {
    let (entry, is_changed) = entry.without_implausible(now, as_of == AsOfRule::Any);
    if is_changed {
        tracing::warn!(
            reason = "ledger_implausible",
            account_id = owner.account_id.as_str(),
            user_id = owner.user_id.as_str(),
            "the ledger's entry cannot be true, and counts as none"
        );
    }
    (entry, is_changed)
}
