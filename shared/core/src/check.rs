//! Looking at one user: their keys first, and only where some are stale, what is to be done about their owner.
//!
//! In steps, since each costs calls: whoever looks may know in between that nothing more need be asked.

use chrono::{DateTime, NaiveDate, Utc};

use crate::audience::Audience;
use crate::contact::{ContactRules, Recipient};
use crate::exemption::Exemption;
use crate::failure::CallFailed;
use crate::ids::{Line, UserName};
use crate::keys::{AccessKey, StaleKey, StalenessPolicy};
use crate::ports::KeyStore;
use crate::tags::Tags;

/// A user's keys.
#[derive(Debug, Clone, Default)]
pub struct UserKeys {
    /// All of them.
    pub all: Vec<AccessKey>,
    /// Those who are stale, the oldest first; last uses and descriptions are filled in by [`OwnerOfStaleKeys::fill_in`].
    pub stale: Vec<StaleKey>,
}

/// What is to be done about somebody with stale keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the audience is those with the contact tag.
    NotTagged,
    /// Nothing through this day (UTC).
    ExemptUntil(NaiveDate),
    /// Nothing: no address leads to them.
    WithoutContact,
    /// Tell them.
    Tell(Recipient),
}

/// Somebody with stale keys, as their tags show them.
pub struct OwnerOfStaleKeys {
    /// What is to be done.
    pub verdict: Verdict,
    /// The exemption tag holds no date, and exempts nobody.
    pub exemption_is_invalid: bool,
    /// How many addresses were passed over.
    pub passed_over: u32,
    tags: Tags,
}

/// The user's keys at `as_of`; `None` for a user who is gone. One call.
pub async fn keys_of(
    store: &impl KeyStore,
    user: &UserName,
    staleness: &StalenessPolicy,
    as_of: DateTime<Utc>,
) -> Result<Option<UserKeys>, CallFailed> {
    let Some(all) = store.access_keys(user).await? else {
        return Ok(None);
    };
    let stale = staleness.stale_keys(&all, as_of);
    Ok(Some(UserKeys { all, stale }))
}

/// What is to be done at `as_of` about a user with stale keys; `None` for a user who is gone. One call. Tags that cannot be
/// read are an error: they mean "not known yet", never "not exempt".
pub async fn owner_of(
    store: &impl KeyStore,
    user: &UserName,
    audience: Audience,
    contact: &ContactRules,
    as_of: DateTime<Utc>,
) -> Result<Option<OwnerOfStaleKeys>, CallFailed> {
    let tags = store.tags(user).await?;
    Ok(tags.map(|tags| judge(user, tags, audience, contact, as_of)))
}

fn judge(
    user: &UserName,
    tags: Tags,
    audience: Audience,
    contact: &ContactRules,
    as_of: DateTime<Utc>,
) -> OwnerOfStaleKeys {
    let exemption = Exemption::of(&tags, as_of);
    let unasked =
        |verdict, tags| OwnerOfStaleKeys { verdict, exemption_is_invalid: false, passed_over: 0, tags };
    if audience.skips_tagged(&contact.tag, &tags).is_some() {
        return unasked(Verdict::NotTagged, tags);
    }
    if let Exemption::Until(day) = exemption {
        return unasked(Verdict::ExemptUntil(day), tags);
    }
    let contact = contact.find(user, &tags);
    OwnerOfStaleKeys {
        verdict: contact.recipient.map_or(Verdict::WithoutContact, Verdict::Tell),
        exemption_is_invalid: exemption == Exemption::Invalid,
        passed_over: contact.passed_over,
        tags,
    }
}

impl OwnerOfStaleKeys {
    /// [`fill_in`] by their tags.
    pub async fn fill_in(&self, store: &impl KeyStore, keys: &mut [StaleKey]) -> Vec<CallFailed> {
        fill_in(store, keys, &self.tags).await
    }
}

/// Fills in what their owner wrote about `keys`, by the user's `tags`, and when they were last used, one call for each. A key
/// that was deleted meanwhile, or whose last use cannot be read, fails nobody: it does without, and the failures are returned.
pub async fn fill_in(store: &impl KeyStore, keys: &mut [StaleKey], tags: &Tags) -> Vec<CallFailed> {
    let mut unreadable = Vec::new();
    for key in keys {
        key.description = description(key, tags);
        match store.last_used(&key.id).await {
            Ok(last_used) => key.last_used = Some(last_used),
            Err(error) => unreadable.push(error),
        }
    }
    unreadable
}

/// IAM's console keeps what an owner writes about a key in a tag of the user, named by the key's id.
fn description(key: &StaleKey, tags: &Tags) -> Option<Line> {
    tags.get(key.id.as_str()).filter(|text| !text.is_empty()).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::AllowedDomains;
    use crate::exemption::EXEMPT_UNTIL_TAG;

    const CONTACT_TAG: &str = "keynudge:contact";

    fn judged(audience: Audience, tags: &[(&str, &str)]) -> OwnerOfStaleKeys {
        let contact = ContactRules {
            tag: CONTACT_TAG.to_owned(),
            default_domain: None,
            fallback: None,
            allowed: AllowedDomains::new(["example.com".parse().unwrap()]),
        };
        let as_of = "2026-03-01T06:00:00Z".parse().unwrap();
        let tags = tags.iter().copied().collect();
        judge(&"jane".parse().unwrap(), tags, audience, &contact, as_of)
    }

    #[test]
    fn whoever_is_not_in_the_audience_is_neither_exempt_nor_looked_for() {
        let exempt = (EXEMPT_UNTIL_TAG, "2026-12-31");
        assert_eq!(judged(Audience::Tagged, &[exempt]).verdict, Verdict::NotTagged);
        let tagged = judged(Audience::Tagged, &[exempt, (CONTACT_TAG, "jane@evil.test")]);
        assert!(matches!(tagged.verdict, Verdict::ExemptUntil(_)));
        assert_eq!(tagged.passed_over, 0, "nobody looked for an address");
    }

    #[test]
    fn a_slip_in_the_exemption_tag_exempts_nobody_and_is_told() {
        let owner = judged(Audience::All, &[(EXEMPT_UNTIL_TAG, "soon"), (CONTACT_TAG, "jane@evil.test")]);
        assert_eq!(
            (owner.verdict, owner.exemption_is_invalid, owner.passed_over),
            (Verdict::WithoutContact, true, 1)
        );
    }
}
