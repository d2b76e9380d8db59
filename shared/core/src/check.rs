//! Looking at one user: their keys first, and only where some are stale, what is to be done about their owner.
//!
//! In steps, since each costs calls: whoever looks may know in between that nothing more need be asked.

use std::num::NonZeroU32;

use chrono::{DateTime, NaiveDate, Utc};

use crate::audience::Audience;
use crate::contact::{Contact, ContactRules, Recipient};
use crate::exemption::{Exemption, RefusedExemption};
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

/// The settings that decide about owners of stale keys.
#[derive(Debug, Clone)]
pub struct OwnerRules {
    /// Whose keys count.
    pub audience: Audience,
    /// Whom a reminder goes to.
    pub contact: ContactRules,
    /// How many days ahead an exemption may end.
    pub max_exemption_days: NonZeroU32,
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
    /// Who would be told, also where they are held back.
    pub contact: Contact,
    /// Why they are not told, whatever their address.
    pub held_back: Option<HeldBack>,
    /// Why their exemption tag exempts nobody. Only of those who are not held back.
    pub refused_exemption: Option<RefusedExemption>,
    tags: Tags,
}

/// Why somebody with stale keys is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    /// The audience is those with the contact tag.
    NotTagged,
    /// They are exempt through this day (UTC).
    ExemptUntil(NaiveDate),
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
    rules: &OwnerRules,
    as_of: DateTime<Utc>,
) -> Result<Option<OwnerOfStaleKeys>, CallFailed> {
    let tags = store.tags(user).await?;
    Ok(tags.map(|tags| judge(user, tags, rules, as_of)))
}

fn judge(user: &UserName, tags: Tags, rules: &OwnerRules, as_of: DateTime<Utc>) -> OwnerOfStaleKeys {
    let OwnerRules { audience, contact, max_exemption_days } = rules;
    let (held_back, refused_exemption) = match Exemption::of(&tags, as_of, *max_exemption_days) {
        _ if audience.skips_tagged(&contact.tag, &tags).is_some() => (Some(HeldBack::NotTagged), None),
        Exemption::Until(day) => (Some(HeldBack::ExemptUntil(day)), None),
        Exemption::Refused(refused) => (None, Some(refused)),
        Exemption::None => (None, None),
    };
    OwnerOfStaleKeys { contact: contact.find(user, &tags), held_back, refused_exemption, tags }
}

impl OwnerOfStaleKeys {
    /// What is to be done.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.held_back, &self.contact.recipient) {
            (Some(HeldBack::NotTagged), _) => Verdict::NotTagged,
            (Some(HeldBack::ExemptUntil(day)), _) => Verdict::ExemptUntil(day),
            (None, None) => Verdict::WithoutContact,
            (None, Some(recipient)) => Verdict::Tell(recipient.clone()),
        }
    }

    /// How many addresses were passed over on the way to telling them; of somebody who is held back, none.
    #[must_use]
    pub fn passed_over(&self) -> u32 {
        if self.held_back.is_some() { 0 } else { self.contact.passed_over }
    }

    /// Fills in what they wrote about `keys`, and when those were last used, one call for each. A key that was deleted
    /// meanwhile, or whose last use cannot be read, fails nobody: it does without, and the failures are returned.
    pub async fn fill_in(&self, store: &impl KeyStore, keys: &mut [StaleKey]) -> Vec<CallFailed> {
        let mut unreadable = Vec::new();
        for key in keys {
            key.description = description(key, &self.tags);
            match store.last_used(&key.id).await {
                Ok(last_used) => key.last_used = Some(last_used),
                Err(error) => unreadable.push(error),
            }
        }
        unreadable
    }
}

/// IAM's console keeps what an owner writes about a key in a tag of the user, named by the key's id.
fn description(key: &StaleKey, tags: &Tags) -> Option<Line> {
    tags.get(key.id.as_str()).filter(|text| !text.is_empty()).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::AllowedRecipients;
    use crate::exemption::EXEMPT_UNTIL_TAG;

    const CONTACT_TAG: &str = "keynudge:contact";

    fn judged(audience: Audience, tags: &[(&str, &str)]) -> OwnerOfStaleKeys {
        let contact = ContactRules {
            tag: CONTACT_TAG.to_owned(),
            default_domain: None,
            fallback: None,
            allowed: AllowedRecipients::new(["example.com".parse().unwrap()]),
        };
        let rules = OwnerRules { audience, contact, max_exemption_days: 90.try_into().unwrap() };
        let as_of = "2026-03-01T06:00:00Z".parse().unwrap();
        judge(&"jane".parse().unwrap(), tags.iter().copied().collect(), &rules, as_of)
    }

    #[test]
    fn whoever_is_not_in_the_audience_is_not_exempt_either() {
        let exempt = (EXEMPT_UNTIL_TAG, "2026-05-01");
        assert_eq!(judged(Audience::Tagged, &[exempt]).verdict(), Verdict::NotTagged);
        // A slip in the tag of somebody who is not told either way concerns nobody.
        let slip = judged(Audience::Tagged, &[(EXEMPT_UNTIL_TAG, "soon")]);
        assert_eq!((slip.verdict(), slip.refused_exemption), (Verdict::NotTagged, None));
        let tagged = judged(Audience::Tagged, &[exempt, (CONTACT_TAG, "jane@evil.test")]);
        assert!(matches!(tagged.verdict(), Verdict::ExemptUntil(_)));
        assert_eq!(
            (tagged.passed_over(), tagged.contact.passed_over),
            (0, 1),
            "counts only on the way to a mail"
        );
    }

    #[test]
    fn a_slip_in_the_exemption_tag_exempts_nobody_and_is_told() {
        let owner = judged(Audience::All, &[(EXEMPT_UNTIL_TAG, "soon"), (CONTACT_TAG, "jane@evil.test")]);
        assert_eq!(
            (owner.verdict(), owner.refused_exemption, owner.passed_over()),
            (Verdict::WithoutContact, Some(RefusedExemption::NotADate), 1)
        );
    }
}
