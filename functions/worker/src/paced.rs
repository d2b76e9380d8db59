//! An account's IAM, called when it is our turn.

use std::rc::Rc;
use std::time::Duration;

use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, UserName};
use keynudge_core::keys::{AccessKey, LastUsed};
use keynudge_core::ports::KeyStore;
use keynudge_core::tags::Tags;
use tokio::time::sleep;

use crate::turns::AccountTurns;

/// How often a call is made about a user who has cost one already. The first is made once: a user who was refused has lost
/// nothing by going back to the queue, and would hold up the others here.
const FURTHER_ATTEMPTS: u32 = 2;

/// How long to wait before trying again.
const PAUSE: Duration = Duration::from_secs(1);

/// A key store, called no faster than `turns` allow. It must not repeat calls by itself: those would have no turn.
pub(crate) struct Paced<K> {
    pub(crate) keys: K,
    pub(crate) turns: Rc<AccountTurns>,
}

impl<K> Paced<K> {
    async fn call<T>(
        &self,
        most_attempts: u32,
        call: impl AsyncFn(&K) -> Result<T, CallFailed>,
    ) -> Result<T, CallFailed> {
        let mut attempts = 1;
        loop {
            self.turns.call().await?;
            let result = call(&self.keys).await;
            self.turns.heed(&result);
            match result {
                Err(error) if error.class == FailureClass::Retry && attempts < most_attempts => {
                    sleep(PAUSE).await;
                    attempts += 1;
                }
                result => return result,
            }
        }
    }
}

impl<K: KeyStore> KeyStore for Paced<K> {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        self.call(1, async |keys| keys.access_keys(user).await).await
    }

    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed> {
        self.call(FURTHER_ATTEMPTS, async |keys| keys.tags(user).await).await
    }

    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        self.call(FURTHER_ATTEMPTS, async |keys| keys.last_used(key).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use keynudge_testing::{ACCOUNT, MemoryIam, role_denied};
    use tokio::time::Instant;

    use crate::turns::{Rate, Turns};

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

    fn paced(keys: MemoryIam) -> Paced<MemoryIam> {
        let one = std::num::NonZeroU32::MIN;
        let rate =
            Rate { calls_per_second: 10.try_into().unwrap(), instances: one, at_once_after_a_rest: one };
        Paced { keys, turns: Turns::new(rate, Duration::from_mins(10)).of(&ACCOUNT.parse().unwrap()) }
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_of_call_waits_for_its_turn() {
        let last_used = BTreeMap::from([(KEY.parse().unwrap(), LastUsed::Never)]);
        let iam = paced(MemoryIam { last_used, ..MemoryIam::default() });
        let started = Instant::now();
        let jane = "jane".parse().unwrap();
        for _ in 0..20 {
            iam.access_keys(&jane).await.unwrap();
            iam.tags(&jane).await.unwrap();
            iam.last_used(&KEY.parse().unwrap()).await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((5.8..6.0).contains(&seconds), "60 calls at 10 a second took {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_whose_keys_are_known_is_worth_a_little_patience_and_no_other_is() {
        let failing =
            BTreeMap::from([("keys jane", FailureClass::Retry), ("tags jane", FailureClass::Retry)]);
        let iam = paced(MemoryIam { failing, ..MemoryIam::default() });
        let jane = "jane".parse().unwrap();
        iam.access_keys(&jane).await.unwrap_err();
        assert_eq!(iam.keys.calls.take().len(), 1);
        let started = Instant::now();
        iam.tags(&jane).await.map(drop).unwrap_err();
        assert_eq!((iam.keys.calls.take().len(), started.elapsed().as_secs()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_refused_is_made_once() {
        let failing = BTreeMap::from([("keys jane", FailureClass::Operator)]);
        let iam = paced(MemoryIam { failing, ..MemoryIam::default() });
        iam.access_keys(&"jane".parse().unwrap()).await.unwrap_err();
        assert_eq!(iam.keys.calls.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_denies_its_role_is_not_asked_for_each_user() {
        let iam = paced(MemoryIam { refusal: Some(role_denied()), ..MemoryIam::default() });
        for _ in 0..10 {
            let error = iam.access_keys(&"jane".parse().unwrap()).await.unwrap_err();
            assert!(error.is_role_denied());
        }
        assert_eq!(iam.keys.calls.borrow().len(), 1);
        tokio::time::advance(Duration::from_mins(2)).await;
        iam.access_keys(&"jane".parse().unwrap()).await.unwrap_err();
        assert_eq!(iam.keys.calls.borrow().len(), 2, "it may have been repaired");
    }
}
