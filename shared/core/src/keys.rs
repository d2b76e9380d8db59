//! Access keys: their age, which of them are stale, and how far their owner's reminders have come.

use std::fmt;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::ids::{AccessKeyId, Line};
use crate::instant::plausible;

/// An access key as `iam:ListAccessKeys` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The key's id, never its secret.
    pub id: AccessKeyId,
    /// Whether the key can be used.
    pub status: KeyStatus,
    /// When the key was made. IAM never changes it, so it is what age is counted from.
    pub created_at: DateTime<Utc>,
}

/// Whether an access key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// The key works.
    Active,
    /// The key was turned off; nobody needs to be told about it.
    Inactive,
}

/// An active key that reached the age at which its owner is reminded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleKey {
    /// The key's id.
    pub id: AccessKeyId,
    /// When it was made.
    #[serde(deserialize_with = "plausible")]
    pub created_at: DateTime<Utc>,
    /// Its age in whole days at the run's `as_of`.
    pub age_days: u32,
    /// When it was last used; `None` where that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<LastUsed>,
    /// What its owner wrote about it in IAM's console, where anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Line>,
}

/// When and where a key was last used, as `iam:GetAccessKeyLastUsed` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LastUsed {
    /// Not since IAM began to record it (22 April 2015).
    Never,
    /// The latest use that IAM recorded.
    At {
        /// The instant, to within about 15 minutes.
        at: DateTime<Utc>,
        /// The service called, such as `s3`.
        service: Line,
        /// The region called, such as `eu-west-1`; `N/A` for a global service.
        region: Line,
    },
}

/// As it is written: `"never"`, or an object of one field, `at`.
impl<'de> Deserialize<'de> for LastUsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const WANTED: &str = "\"never\", or an object with the field `at` alone";

        #[derive(Deserialize)]
        struct Use {
            #[serde(deserialize_with = "plausible")]
            at: DateTime<Utc>,
            service: Line,
            region: Line,
        }

        struct NeverOrAt;

        impl<'de> Visitor<'de> for NeverOrAt {
            type Value = LastUsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WANTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LastUsed, E> {
                let is_never = text == "never";
                is_never.then_some(LastUsed::Never).ok_or_else(|| E::custom(format_args!("not {WANTED}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LastUsed, A::Error> {
                let not_wanted = || A::Error::custom(format_args!("not {WANTED}"));
                map.next_key::<String>()?.filter(|key| key == "at").ok_or_else(not_wanted)?;
                let Use { at, service, region } = map.next_value()?;
                match map.next_key::<String>()? {
                    None => Ok(LastUsed::At { at, service, region }),
                    Some(_) => Err(not_wanted()),
                }
            }
        }

        deserializer.deserialize_any(NeverOrAt)
    }
}

/// Whole days from `created_at` to `as_of`; 0 for a key made later than that.
#[must_use]
pub fn age_days(created_at: DateTime<Utc>, as_of: DateTime<Utc>) -> u32 {
    u32::try_from((as_of - created_at).num_days()).unwrap_or(0)
}

/// From which age a key is stale, and at which ages its owner's reminders rise a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StalenessPolicy {
    alert_after_days: NonZeroU32,
    stages_after_days: Vec<NonZeroU32>,
}

/// Why a list of stages cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not days in rising order, starting with ALERT_AFTER_DAYS or later")]
pub struct InvalidStages;

impl StalenessPolicy {
    /// Keys are stale from `alert_after_days` on. An empty `stages_after_days` means that one stage alone.
    pub fn new(
        alert_after_days: NonZeroU32,
        stages_after_days: Vec<NonZeroU32>,
    ) -> Result<Self, InvalidStages> {
        let stages_after_days =
            if stages_after_days.is_empty() { vec![alert_after_days] } else { stages_after_days };
        if stages_after_days[0] < alert_after_days || !stages_after_days.is_sorted_by(|a, b| a < b) {
            return Err(InvalidStages);
        }
        Ok(Self { alert_after_days, stages_after_days })
    }

    /// Keys are stale from `alert_after_days` on, and there is that one stage: for those who need no stages.
    #[must_use]
    pub fn without_stages(alert_after_days: NonZeroU32) -> Self {
        Self { alert_after_days, stages_after_days: vec![alert_after_days] }
    }

    /// The age from which an active key is stale.
    #[must_use]
    pub fn alert_after_days(&self) -> NonZeroU32 {
        self.alert_after_days
    }

    /// Whether what was made at `created_at` is too young at `as_of` for a stale key. Where it is true of a user, it is true of
    /// all keys that the user has: none is older than its user.
    ///
    /// A bound and never `==`: after a missed run the next one still finds everybody.
    #[must_use]
    pub fn is_too_young(&self, created_at: DateTime<Utc>, as_of: DateTime<Utc>) -> bool {
        age_days(created_at, as_of) < self.alert_after_days.get()
    }

    /// Those of `keys` that are stale at `as_of`, the oldest first. What they were last used for is filled in later.
    #[must_use]
    pub fn stale_keys(&self, keys: &[AccessKey], as_of: DateTime<Utc>) -> Vec<StaleKey> {
        let mut stale: Vec<StaleKey> = keys
            .iter()
            .filter(|key| key.status == KeyStatus::Active && !self.is_too_young(key.created_at, as_of))
            .map(|key| StaleKey {
                id: key.id.clone(),
                created_at: key.created_at,
                age_days: age_days(key.created_at, as_of),
                last_used: None,
                description: None,
            })
            .collect();
        stale.sort_by_key(|key| key.created_at);
        stale
    }

    /// How many stages the oldest of `stale` has reached.
    #[must_use]
    pub fn stage(&self, stale: &[StaleKey]) -> u32 {
        let oldest = stale.iter().map(|key| key.age_days).max().unwrap_or(0);
        let reached = self.stages_after_days.iter().filter(|days| oldest >= days.get()).count();
        u32::try_from(reached).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn days(days: u32) -> NonZeroU32 {
        NonZeroU32::new(days).unwrap()
    }

    fn policy(alert_after: u32, stages: &[u32]) -> StalenessPolicy {
        StalenessPolicy::new(days(alert_after), stages.iter().map(|&d| days(d)).collect()).unwrap()
    }

    #[test]
    fn a_last_use_of_another_type_is_an_error_that_says_what_is_wanted() {
        for other in ["1", "[]", "true"] {
            let error = serde_json::from_str::<LastUsed>(other).unwrap_err().to_string();
            assert!(error.contains("\"never\", or an object with the field `at` alone"), "{error}");
        }
    }

    #[test]
    fn a_policy_knows_the_age_from_which_keys_are_stale() {
        assert_eq!(policy(90, &[90, 120]).alert_after_days(), days(90));
        assert_eq!(StalenessPolicy::without_stages(days(30)).alert_after_days(), days(30));
    }

    fn as_of() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    fn key(id: char, status: KeyStatus, age: TimeDelta) -> AccessKey {
        AccessKey {
            id: format!("AKIA{}", id.to_string().repeat(16)).parse().unwrap(),
            status,
            created_at: as_of() - age,
        }
    }

    fn stale_ages(policy: &StalenessPolicy, keys: &[AccessKey]) -> Vec<u32> {
        policy.stale_keys(keys, as_of()).iter().map(|key| key.age_days).collect()
    }

    #[test]
    fn a_key_is_stale_from_the_day_it_reaches_the_age_on() {
        let almost = key('A', KeyStatus::Active, TimeDelta::days(90) - TimeDelta::seconds(1));
        let exactly = key('B', KeyStatus::Active, TimeDelta::days(90));
        let long_ago = key('C', KeyStatus::Active, TimeDelta::days(1000));
        assert_eq!(stale_ages(&policy(90, &[]), &[almost, exactly, long_ago]), [1000, 90]);
    }

    #[test]
    fn an_inactive_key_is_never_stale() {
        assert_eq!(
            stale_ages(&policy(90, &[]), &[key('A', KeyStatus::Inactive, TimeDelta::days(400))]),
            [0; 0]
        );
    }

    #[test]
    fn a_stale_key_keeps_its_id_and_date() {
        let key = key('A', KeyStatus::Active, TimeDelta::days(120));
        let stale = policy(90, &[]).stale_keys(std::slice::from_ref(&key), as_of());
        assert_eq!((&stale[0].id, stale[0].created_at), (&key.id, key.created_at));
    }

    #[test]
    fn the_stage_is_that_of_the_oldest_key() {
        let policy = policy(90, &[90, 120, 180]);
        for (ages, stage) in
            [(vec![], 0), (vec![90], 1), (vec![119, 95], 1), (vec![91, 120], 2), (vec![180], 3)]
        {
            let keys: Vec<_> =
                ages.iter().map(|&age| key('A', KeyStatus::Active, TimeDelta::days(age))).collect();
            assert_eq!(policy.stage(&policy.stale_keys(&keys, as_of())), stage, "{ages:?}");
        }
    }

    #[test]
    fn without_stages_there_is_one_at_the_alert_age() {
        let policy = policy(30, &[]);
        let keys = [key('A', KeyStatus::Active, TimeDelta::days(30))];
        assert_eq!(policy.stage(&policy.stale_keys(&keys, as_of())), 1);
    }

    #[test]
    fn stages_rise_and_do_not_start_before_the_alert_age() {
        for bad in [&[89, 120][..], &[90, 90], &[120, 100]] {
            let stages = bad.iter().map(|&d| days(d)).collect();
            assert_eq!(StalenessPolicy::new(days(90), stages), Err(InvalidStages), "{bad:?}");
        }
        assert!(StalenessPolicy::new(days(90), vec![days(100)]).is_ok());
    }

    #[test]
    fn what_is_made_after_the_run_is_young() {
        assert!(policy(1, &[]).is_too_young(as_of() + TimeDelta::days(400), as_of()));
    }

    #[test]
    fn what_was_left_out_of_a_message_reads_as_unknown() {
        let json = r#"{"id":"AKIAAAAAAAAAAAAAAAAA","created_at":"2025-01-01T00:00:00Z","age_days":424}"#;
        let key: StaleKey = serde_json::from_str(json).unwrap();
        assert_eq!((&key.last_used, &key.description), (&None, &None));
        assert_eq!(serde_json::to_string(&key).unwrap(), json);
    }

    proptest! {
        #[test]
        fn age_is_whole_days_and_never_negative(seconds in -10_000_000_i64..1_000_000_000) {
            let age = age_days(as_of() - TimeDelta::seconds(seconds), as_of());
            prop_assert_eq!(i64::from(age), (seconds / 86_400).max(0));
        }

        #[test]
        fn a_user_who_is_too_young_has_no_stale_key(
            user_seconds in -10_000_000_i64..20_000_000,
            later_seconds in 0_i64..30_000_000,
            alert_after in 1_u32..200,
        ) {
            let created_at = as_of() - TimeDelta::seconds(user_seconds);
            let key_age = TimeDelta::seconds(user_seconds - later_seconds);
            let policy = policy(alert_after, &[]);
            let stale = policy.stale_keys(&[key('A', KeyStatus::Active, key_age)], as_of());
            prop_assert!(stale.is_empty() || !policy.is_too_young(created_at, as_of()));
            let oldest = policy.stale_keys(&[key('A', KeyStatus::Active, as_of() - created_at)], as_of());
            prop_assert_eq!(oldest.is_empty(), policy.is_too_young(created_at, as_of()), "and no other user is");
        }

        #[test]
        fn once_stale_always_stale(age in 90_u32..5_000, later in 0_i64..5_000) {
            let keys = [key('A', KeyStatus::Active, TimeDelta::days(age.into()))];
            let found = policy(90, &[]).stale_keys(&keys, as_of() + TimeDelta::days(later));
            prop_assert_eq!(found.len(), 1);
        }

        #[test]
        fn the_stage_never_falls_with_time(age in 0_i64..400, later in 0_i64..400) {
            let policy = policy(90, &[90, 120, 180]);
            let keys = [key('A', KeyStatus::Active, TimeDelta::days(age))];
            let stage_at = |as_of| policy.stage(&policy.stale_keys(&keys, as_of));
            prop_assert!(stage_at(as_of()) <= stage_at(as_of() + TimeDelta::days(later)));
        }
    }
}
