//! An account's IAM, called as often as it allows. Its budget is one for everybody in the account, so whoever is refused makes
//! all calls pause, and fewer are made at once afterwards; until they succeed again, none is lost.

use std::cell::RefCell;
use std::time::Duration;

use keynudge_aws::failure::{Cause, cause, is_throttle};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, UserName};
use keynudge_core::keys::{AccessKey, LastUsed};
use keynudge_core::ports::{CredentialReports, KeyStore, RawReport, ReportState, UserDirectory, UserPage};
use keynudge_core::tags::Tags;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::permissions::Permissions;

/// How long nobody asks after IAM had enough, the first time in a row; doubled each time after that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// So long without a single answer, and IAM is given up.
const PATIENCE: Duration = Duration::from_mins(10);

/// So often a call fails for another reason than IAM's budget, some 90 s, and it is given up: it is about this call. Not while
/// there is no connection at all, which concerns every call.
const FAILURES_MAX: u32 = 8;

/// After so many answers since it was last changed, one call more is made at once.
const ANSWERS_PER_STEP: usize = 50;

/// What IAM allows, as far as it has shown.
pub(super) struct Budget {
    most: usize,
    state: RefCell<State>,
    changed: Notify,
}

struct State {
    /// Calls that may be made at once.
    limit: usize,
    under_way: usize,
    answers_since_change: usize,
    answers: u64,
    last_answer: Instant,
    pause_until: Option<Instant>,
    next_pause: Duration,
}

/// The right to make a call; it ends when this is dropped.
struct Turn<'a>(&'a Budget);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().under_way -= 1;
        self.0.changed.notify_waiters();
    }
}

impl Budget {
    /// One of `most` calls at once.
    pub(super) fn new(most: usize) -> Self {
        let state = State {
            limit: most,
            under_way: 0,
            answers_since_change: 0,
            answers: 0,
            last_answer: Instant::now(),
            pause_until: None,
            next_pause: FIRST_PAUSE,
        };
        Self { most, state: RefCell::new(state), changed: Notify::new() }
    }

    /// Whether nothing is answered any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.state.borrow().last_answer.elapsed() >= PATIENCE
    }

    /// Makes a call, and again until it is answered. An error is an answer, or what there was instead for too long.
    pub(super) async fn call<T>(
        &self,
        call: impl AsyncFn() -> Result<T, CallFailed>,
    ) -> Result<T, CallFailed> {
        let mut failures = 0;
        let mut wait = FIRST_PAUSE;
        let answers_before = self.state.borrow().answers;
        loop {
            let turn = self.turn().await;
            let result = call().await;
            drop(turn);
            match result {
                Err(error) if !is_worth_another_try(&error) || self.is_given_up() => return Err(error),
                Err(error) if is_throttle(&error) => self.begin_pause(),
                Err(error) => {
                    let is_connected = self.state.borrow().answers > answers_before;
                    failures += u32::from(is_connected || !is_about_the_connection(&error));
                    if failures == FAILURES_MAX {
                        return Err(error);
                    }
                    sleep(wait).await;
                    wait = LONGEST_PAUSE.min(2 * wait);
                }
                Ok(answer) => {
                    self.note_answer();
                    return Ok(answer);
                }
            }
        }
    }

    async fn turn(&self) -> Turn<'_> {
        loop {
            let pause_until = self.state.borrow().pause_until.filter(|until| *until > Instant::now());
            if let Some(until) = pause_until {
                sleep_until(until).await;
                continue;
            }
            // Before the look: whatever changes after it wakes this.
            let changed = self.changed.notified();
            {
                let mut state = self.state.borrow_mut();
                if state.under_way < state.limit {
                    state.under_way += 1;
                    return Turn(self);
                }
            }
            changed.await;
        }
    }

    /// IAM had enough. Calls that were under way when a pause began only say so once more.
    fn begin_pause(&self) {
        let mut state = self.state.borrow_mut();
        let now = Instant::now();
        if state.pause_until.is_none_or(|until| until <= now) {
            state.pause_until = Some(now + state.next_pause);
            state.next_pause = LONGEST_PAUSE.min(2 * state.next_pause);
            state.limit = (state.limit / 2).max(1);
            state.answers_since_change = 0;
        }
    }

    fn note_answer(&self) {
        let mut state = self.state.borrow_mut();
        state.answers += 1;
        state.last_answer = Instant::now();
        state.next_pause = FIRST_PAUSE;
        state.answers_since_change += 1;
        if state.answers_since_change == ANSWERS_PER_STEP {
            state.answers_since_change = 0;
            state.limit = self.most.min(state.limit + 1);
        }
    }
}

/// Credentials that are over, or were withdrawn, do not come back by themselves: those that can be renewed were.
pub(super) fn is_about_credentials(error: &CallFailed) -> bool {
    cause(&error.code) == Cause::Credentials
}

fn is_about_the_connection(error: &CallFailed) -> bool {
    matches!(error.code.as_str(), "timeout" | "connection" | "no connection")
}

fn is_worth_another_try(error: &CallFailed) -> bool {
    error.class == FailureClass::Retry && !is_about_credentials(error)
}

/// An IAM that is called within a budget. It must not repeat calls by itself.
pub(super) struct Patient<'a, I> {
    pub(super) iam: &'a I,
    pub(super) budget: &'a Budget,
    pub(super) permissions: &'a Permissions,
}

impl<I> Patient<'_, I> {
    async fn call<T>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, CallFailed>,
    ) -> Result<T, CallFailed> {
        let result = self.budget.call(call).await;
        self.permissions.note(action, &result);
        result
    }
}

impl<I: UserDirectory> UserDirectory for Patient<'_, I> {
    async fn users_page(&self, marker: Option<&str>) -> Result<UserPage, CallFailed> {
        self.call("iam:ListUsers", async || self.iam.users_page(marker).await).await
    }
}

impl<I: KeyStore> KeyStore for Patient<'_, I> {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        self.call("iam:ListAccessKeys", async || self.iam.access_keys(user).await).await
    }

    async fn tags(&self, user: &UserName) -> Result<Option<Tags>, CallFailed> {
        self.call("iam:ListUserTags", async || self.iam.tags(user).await).await
    }

    async fn last_used(&self, key: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        // A report without it is a report all the same: its refusal ends nothing.
        self.budget.call(async || self.iam.last_used(key).await).await
    }
}

/// Whoever waits for the credential report has a patience of their own, but not for credentials that are over.
impl<I: CredentialReports> CredentialReports for Patient<'_, I> {
    async fn generate_report(&self) -> Result<ReportState, CallFailed> {
        self.iam.generate_report().await.map_err(for_good_without_credentials)
    }

    async fn report(&self) -> Result<Option<RawReport>, CallFailed> {
        self.iam.report().await.map_err(for_good_without_credentials)
    }
}

fn for_good_without_credentials(error: CallFailed) -> CallFailed {
    let class = if is_about_credentials(&error) { FailureClass::Never } else { error.class };
    CallFailed { class, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use futures::future::join_all;

    fn failed(class: FailureClass, code: &str) -> CallFailed {
        CallFailed { call: "test:Call", class, code: code.to_owned(), source: None }
    }

    fn throttled() -> CallFailed {
        failed(FailureClass::Retry, "Throttling")
    }

    /// A service that takes 100 ms for an answer, and allows some calls a second.
    struct Service {
        per_second: u32,
        second: Cell<(u64, u32)>,
        started: Instant,
        under_way: Cell<usize>,
        most_under_way: Cell<usize>,
        refused: Cell<u32>,
    }

    impl Service {
        fn allowing(per_second: u32) -> Self {
            Self {
                per_second,
                second: Cell::default(),
                started: Instant::now(),
                under_way: Cell::default(),
                most_under_way: Cell::default(),
                refused: Cell::default(),
            }
        }

        async fn call(&self) -> Result<(), CallFailed> {
            self.under_way.update(|calls| calls + 1);
            self.most_under_way.update(|most| most.max(self.under_way.get()));
            sleep(Duration::from_millis(100)).await;
            self.under_way.update(|calls| calls - 1);
            let now = self.started.elapsed().as_secs();
            let (second, calls) = self.second.get();
            let calls = if now == second { calls + 1 } else { 1 };
            self.second.set((now, calls));
            if calls <= self.per_second {
                return Ok(());
            }
            self.refused.update(|refused| refused + 1);
            Err(throttled())
        }
    }

    async fn answers(budget: &Budget, service: &Service, calls: usize) -> usize {
        let calls = (0..calls).map(|_| budget.call(async || service.call().await));
        join_all(calls).await.into_iter().flatten().count()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_are_made_at_once_than_wanted() {
        let service = Service::allowing(u32::MAX);
        assert_eq!(answers(&Budget::new(7), &service, 100).await, 100);
        assert_eq!((service.most_under_way.get(), service.refused.get()), (7, 0));
        assert_eq!(service.started.elapsed(), Duration::from_millis(1_500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_has_enough_is_asked_less_and_nobody_is_lost() {
        let service = Service::allowing(5);
        let budget = Budget::new(32);
        assert_eq!(answers(&budget, &service, 300).await, 300);
        let (refused, seconds) = (service.refused.get(), service.started.elapsed().as_secs());
        assert!(refused < 200, "{refused} refusals in {seconds} s");
        assert!(seconds < 200, "{seconds} s for 300 calls, 5 a second");
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_pauses_for_longer_and_longer_and_one_refusal_halves_the_calls_once() {
        let budget = Budget::new(32);
        let mut limits = Vec::new();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            // All that were under way are refused.
            (0..8).for_each(|_| budget.begin_pause());
            limits.push(budget.state.borrow().limit);
            let began = Instant::now();
            drop(budget.turn().await);
            pauses.push(began.elapsed().as_secs());
        }
        assert_eq!((limits, pauses), (vec![16, 8, 4, 2, 1, 1, 1], vec![1, 2, 4, 8, 16, 30, 30]));
        budget.call(async || Ok(())).await.unwrap();
        budget.begin_pause();
        let began = Instant::now();
        drop(budget.turn().await);
        assert_eq!(began.elapsed().as_secs(), 1, "it was all right in between");
    }

    #[tokio::test(start_paused = true)]
    async fn the_calls_at_once_grow_back_slowly_and_no_further() {
        let budget = Budget::new(4);
        budget.begin_pause();
        assert_eq!(budget.state.borrow().limit, 2);
        for (answers, limit) in
            [(ANSWERS_PER_STEP - 1, 2), (1, 3), (ANSWERS_PER_STEP, 4), (ANSWERS_PER_STEP, 4)]
        {
            for _ in 0..answers {
                budget.call(async || Ok(())).await.unwrap();
            }
            assert_eq!(budget.state.borrow().limit, limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_given_up_after_ten_minutes() {
        for error in [throttled(), failed(FailureClass::Retry, "timeout")] {
            let budget = Budget::new(4);
            let began = Instant::now();
            let calls = Cell::new(0);
            let refuse = async || {
                calls.update(|calls| calls + 1);
                Err::<(), _>(error.clone())
            };
            budget.call(refuse).await.unwrap_err();
            assert!(budget.is_given_up() && began.elapsed() < PATIENCE + LONGEST_PAUSE);
            assert!((20..30).contains(&calls.get()), "{calls:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_while_others_are_answered_is_given_up_alone() {
        let budget = Budget::new(4);
        let broken = async || {
            sleep(Duration::from_millis(100)).await;
            Err::<(), _>(failed(FailureClass::Retry, "timeout"))
        };
        let broken = budget.call(broken);
        let service = Service::allowing(u32::MAX);
        let others = async {
            for _ in 0..1_000 {
                budget.call(async || service.call().await).await.unwrap();
            }
        };
        let (broken, ()) = futures::join!(broken, others);
        assert_eq!(broken.unwrap_err().code, "timeout");
        assert!(!budget.is_given_up());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_the_service_cannot_answer_holds_nobody_up_for_long() {
        let budget = Budget::new(4);
        let began = Instant::now();
        let broken = budget.call(async || Err::<(), _>(failed(FailureClass::Retry, "InternalFailure"))).await;
        assert_eq!(broken.unwrap_err().code, "InternalFailure");
        assert!(began.elapsed() < Duration::from_mins(2) && !budget.is_given_up());
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_try_does_not_change_is_not_tried_again() {
        let budget = Budget::new(4);
        for (class, code) in [
            (FailureClass::Operator, "AccessDenied"),
            (FailureClass::Never, "ValidationError"),
            (FailureClass::Retry, "ExpiredToken"),
        ] {
            let calls = Cell::new(0);
            let refuse = async || {
                calls.update(|calls| calls + 1);
                Err::<(), _>(failed(class, code))
            };
            budget.call(refuse).await.unwrap_err();
            assert_eq!(calls.get(), 1, "{code}");
        }
    }
}
