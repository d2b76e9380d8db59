//! IAM's calls at the pace that is ours: its budget is the account's, and shared with everybody else in it.

use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, UserName};
use keynudge_core::keys::{AccessKey, LastUsed};
use keynudge_core::ports::KeyStore;
use keynudge_core::tags::Tags;
use keynudge_lambda::pace::Pace;

/// How often a call is made before its record goes back to its queue.
const ATTEMPTS: u32 = 3;

/// A key store, called no faster than `pace` allows. It must not repeat calls by itself: those would have no turn.
pub(crate) struct Paced<K> {
    pub(crate) keys: K,
    pub(crate) pace: Pace,
}

impl<K> Paced<K> {
    async fn call<T>(&self, call: impl AsyncFn(&K) -> Result<T, CallFailed>) -> Result<T, CallFailed> {
        let mut attempts = 1;
        loop {
            self.pace.turn().await;
            let result = call(&self.keys).await;
            self.pace.heed(&result);
            match result {
                Err(error) if error.class == FailureClass::Retry && attempts < ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }
}

impl<K: KeyStore> KeyStore for Paced<K> {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        self.call(async |keys| keys.access_keys(user).await).await
    }

    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed> {
        self.call(async |keys| keys.tags(user).await).await
    }

    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        self.call(async |keys| keys.last_used(key).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use keynudge_testing::MemoryIam;
    use tokio::time::Instant;

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

    fn paced(keys: MemoryIam) -> Paced<MemoryIam> {
        Paced { keys, pace: Pace::share(10.0, 1).unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_of_call_waits_for_its_turn() {
        let last_used = BTreeMap::from([(KEY.parse().unwrap(), LastUsed::Never)]);
        let iam = paced(MemoryIam { last_used, ..MemoryIam::default() });
        let started = Instant::now();
        let jane = "jane".parse().unwrap();
        for _ in 0..10 {
            iam.access_keys(&jane).await.unwrap();
            iam.tags(&jane).await.unwrap();
            iam.last_used(&KEY.parse().unwrap()).await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!(seconds >= 2.9, "30 calls at 10 a second took {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_tried_three_times_with_growing_pauses() {
        let failing = BTreeMap::from([("keys jane", FailureClass::Retry)]);
        let iam = paced(MemoryIam { failing, ..MemoryIam::default() });
        let jane = "jane".parse().unwrap();
        let started = Instant::now();
        iam.access_keys(&jane).await.unwrap_err();
        assert_eq!((iam.keys.calls.borrow().len(), started.elapsed().as_secs()), (3, 3));
        iam.tags(&jane).await.unwrap();
        assert!(started.elapsed().as_secs() >= 7, "the next call waits, too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_refused_is_made_once() {
        let failing = BTreeMap::from([("keys jane", FailureClass::Operator)]);
        let iam = paced(MemoryIam { failing, ..MemoryIam::default() });
        iam.access_keys(&"jane".parse().unwrap()).await.unwrap_err();
        assert_eq!(iam.keys.calls.borrow().len(), 1);
    }
}
