//! Whose turn it is. IAM's budget is one for each account, shared with everybody in it, so each account has a pace of its
//! own, and accounts proceed side by side.
//!
//! An account that allows less than its share of the rate must not hold up the others: their users come in the same batches,
//! and there are only so many instances. So nobody waits here for long. A user whose turn is not near goes back to the queue
//! until it is: users who come too early form a line, in which each gets a place behind the one before, as far apart as the
//! account has shown to allow. Instances do not know of one another; what they find is left for them.

use std::cell::{Cell, RefCell};
use std::num::{NonZeroU32, NonZeroUsize};
use std::rc::Rc;
use std::time::Duration;

use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::AccountId;
use keynudge_lambda::pace::{Pace, Pause};
use lru::LruCache;
use tokio::time::{Instant, sleep_until};

/// How much of its share an instance may make up for, after a time in which it did not use it: what is between two batches,
/// in which it waits for the last user of one, hands on what it found, and is given the next. All of them together make up
/// for some calls only: IAM lets an account make some at once, too, but does not say how many.
const BETWEEN_BATCHES: Duration = Duration::from_millis(250);
const MADE_UP_FOR_CALLS_MAX: u32 = 20;

/// Without a refusal for so long, what an account allows is no longer known.
const FORGET_AFTER: Duration = Duration::from_mins(1);

/// Calls that succeeded are counted up to here, and then by half, so that the latest weigh most.
const MAX_SUCCESSES: u32 = 64;

/// No place in line is further away: the account may have recovered by then. Well below SQS's twelve hours.
const LONGEST_LINE: Duration = Duration::from_mins(3);

/// As many accounts as an organization has at most. Beyond, those not asked for longest are forgotten.
const MAX_ACCOUNTS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// How long the worker remembers that an account denied its role, at most. It need not ask again for each of
/// the account's users.
const DENIED_FOR_MAX: Duration = Duration::from_mins(1);

/// The worker remembers it for at most this fraction of the delay before the second try. So the first denial
/// never stands for the second try. A denial shortly before the second try does: it is as good an answer.
const DENIED_FOR_PART: u32 = 10;

/// The turns of all accounts, at one of the instances that share the rate.
pub(crate) struct Turns {
    rate: Rate,
    denied_for: Duration,
    accounts: RefCell<LruCache<AccountId, Rc<AccountTurns>>>,
}

/// The rate that each account's IAM is called at, and how many instances share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) calls_per_second: NonZeroU32,
    pub(crate) instances: NonZeroU32,
    /// The calls that an instance may make at once to an account that it has not asked for a while.
    pub(crate) at_once_after_a_rest: NonZeroU32,
}

impl Rate {
    /// The time between two calls of one instance to one account.
    fn interval(self) -> Duration {
        Duration::from_secs(1) * self.instances.get() / self.calls_per_second.get()
    }

    /// The calls that one instance may make at once to one account, one of which is due anyway.
    fn burst(self) -> NonZeroU32 {
        let made_up_for = BETWEEN_BATCHES.div_duration_f64(self.interval()).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few calls")]
        let made_up_for = (made_up_for as u32).min(MADE_UP_FOR_CALLS_MAX / self.instances);
        self.at_once_after_a_rest.max(NonZeroU32::MIN.saturating_add(made_up_for))
    }

    fn pace(self, burst: NonZeroU32) -> Pace {
        let pace = Pace::share(self.calls_per_second.get().into(), self.instances.get(), burst);
        pace.expect("all are above zero")
    }
}

/// One account's turns.
pub(crate) struct AccountTurns {
    rate: Rate,
    pace: Pace,
    /// The pace for an account that had enough a while ago: nothing is made up for.
    careful_pace: Pace,
    /// When the next user may come, so that their first calls keep to the pace.
    next: Cell<Instant>,
    /// Nobody may come while the account has enough.
    pause: Pause,
    /// How many calls have succeeded since which of the last refusals: what the account allows.
    successes: Cell<(u32, Instant)>,
    /// The last place in line that was given away.
    line_end: Cell<Instant>,
    /// How long to remember a denial.
    denied_for: Duration,
    /// The last denial of the role, and until when to remember it.
    denied: RefCell<Option<(Instant, CallFailed)>>,
}

/// It is not this user's turn, and will not be before this instant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotBefore(pub(crate) Instant);

impl Turns {
    /// Turns at `rate`, where a denied role is tried once more after `denied_role_delay`.
    pub(crate) fn new(rate: Rate, denied_role_delay: Duration) -> Self {
        let denied_for = DENIED_FOR_MAX.min(denied_role_delay / DENIED_FOR_PART);
        Self { rate, denied_for, accounts: RefCell::new(LruCache::new(MAX_ACCOUNTS)) }
    }

    /// The time between two calls of this instance to one account.
    pub(crate) fn interval(&self) -> Duration {
        self.rate.interval()
    }

    pub(crate) fn of(&self, account_id: &AccountId) -> Rc<AccountTurns> {
        let mut accounts = self.accounts.borrow_mut();
        let new = || Rc::new(AccountTurns::new(self.rate, self.denied_for));
        Rc::clone(accounts.get_or_insert(account_id.clone(), new))
    }
}

impl AccountTurns {
    fn new(rate: Rate, denied_for: Duration) -> Self {
        let now = Instant::now();
        Self {
            rate,
            denied_for,
            pace: rate.pace(rate.burst()),
            careful_pace: rate.pace(NonZeroU32::MIN),
            next: Cell::new(now),
            pause: Pause::default(),
            successes: Cell::new((0, now)),
            line_end: Cell::new(now),
            denied: RefCell::default(),
        }
    }

    /// Waits for the turn of one more user, if it is no longer than `patience` away; otherwise gives them a place in line.
    pub(crate) async fn user(&self, patience: Duration) -> Result<(), NotBefore> {
        let now = Instant::now();
        let free_at = self.next.get().max(self.makes_up_since(now));
        if self.pause.is_on() || free_at.saturating_duration_since(now) > patience {
            return Err(self.place_in_line());
        }
        self.next.set(free_at + self.rate.interval());
        sleep_until(free_at).await;
        // The account may have had enough meanwhile.
        if self.pause.is_on() { Err(self.place_in_line()) } else { Ok(()) }
    }

    /// The refusal, if the account has denied its role just now.
    pub(crate) fn denied(&self) -> Option<CallFailed> {
        let denied = self.denied.borrow();
        denied.as_ref().filter(|(until, _)| *until > Instant::now()).map(|(_, error)| error.clone())
    }

    /// Behind the line as it is; somewhere in it if it is too long already.
    pub(crate) fn place_in_line(&self) -> NotBefore {
        let now = Instant::now();
        let front = self.next.get().max(self.pause.until().unwrap_or(now)).max(now);
        let place = self.line_end.get().max(front) + self.allowed_interval(now);
        if place > now + LONGEST_LINE {
            return NotBefore(now + LONGEST_LINE.mul_f64(1.0 - fastrand::f64() / 2.0));
        }
        self.line_end.set(place);
        NotBefore(place)
    }

    /// Waits for the turn of one call about a user whose turn it is. Fails without one where the role was denied just now.
    pub(crate) async fn call(&self) -> Result<(), CallFailed> {
        let is_careful = !self.has_forgotten(Instant::now());
        if is_careful { &self.careful_pace } else { &self.pace }.turn().await;
        self.denied().map_or(Ok(()), Err)
    }

    /// Hears what came of a call.
    pub(crate) fn heed<T>(&self, result: &Result<T, CallFailed>) {
        match result {
            Ok(_) => self.succeeded(),
            Err(error) if error.class == FailureClass::Retry => self.refused(),
            Err(error) if error.is_role_denied() => {
                *self.denied.borrow_mut() = Some((Instant::now() + self.denied_for, error.clone()));
            }
            Err(_) => {}
        }
    }

    /// The first of the turns that were not taken and are made up for.
    fn makes_up_since(&self, now: Instant) -> Instant {
        if !self.has_forgotten(now) {
            return now;
        }
        let made_up_for = self.rate.interval() * (self.rate.burst().get() - 1);
        now.checked_sub(made_up_for).unwrap_or(now)
    }

    fn succeeded(&self) {
        self.pause.reset();
        let (count, since) = self.successes.get();
        self.successes.set(if count < MAX_SUCCESSES {
            (count + 1, since)
        } else {
            (count / 2, since + since.elapsed() / 2)
        });
    }

    fn refused(&self) {
        let now = Instant::now();
        // Before a first refusal, calls tell what was asked for, and not what is allowed.
        if self.has_forgotten(now) {
            self.successes.set((0, now));
        }
        self.pause.begin();
    }

    /// Whether the last refusal was so long ago that it says nothing any more.
    fn has_forgotten(&self, now: Instant) -> bool {
        self.pause.until().is_none_or(|until| now.saturating_duration_since(until) > FORGET_AFTER)
    }

    /// The time between two calls that the account has shown to allow.
    fn allowed_interval(&self, now: Instant) -> Duration {
        if self.has_forgotten(now) {
            return self.rate.interval();
        }
        let (count, since) = self.successes.get();
        ((now - since) / (count + 1)).max(self.rate.interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use keynudge_testing::{failure, role_denied};

    const PATIENCE: Duration = Duration::from_secs(5);
    const ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];

    fn turns(calls_per_second: u32, instances: u32) -> Turns {
        let number = |number: u32| number.try_into().unwrap();
        let rate = Rate {
            calls_per_second: number(calls_per_second),
            instances: number(instances),
            at_once_after_a_rest: number(4),
        };
        Turns::new(rate, Duration::from_mins(10))
    }

    /// For how many seconds nobody may come.
    async fn paused_for(turns: &AccountTurns) -> u64 {
        let since = Instant::now();
        while turns.user(PATIENCE).await.is_err() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        since.elapsed().as_secs()
    }

    fn throttled() -> Result<(), CallFailed> {
        Err(failure(FailureClass::Retry))
    }

    #[test]
    fn an_instance_makes_up_for_a_quarter_of_a_second_and_all_of_them_for_twenty_calls() {
        let number = |number: u32| number.try_into().unwrap();
        for (calls_per_second, instances, expected) in [(100, 1, 21), (10, 5, 2), (1_000, 10, 3)] {
            let rate = Rate {
                calls_per_second: number(calls_per_second),
                instances: number(instances),
                at_once_after_a_rest: NonZeroU32::MIN,
            };
            assert_eq!(rate.burst().get(), expected, "{calls_per_second} a second, {instances} instances");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn users_wait_here_for_their_accounts_pace_and_on_the_queue_for_more() {
        let turns = turns(10, 5).of(&ACCOUNTS[0].parse().unwrap());
        let started = Instant::now();
        let mut waits = Vec::new();
        let mut places = Vec::new();
        for turn in futures::future::join_all((0..14).map(|_| turns.user(PATIENCE))).await {
            match turn {
                Ok(()) => waits.push(started.elapsed()),
                Err(NotBefore(place)) => places.push((place - started).as_millis()),
            }
        }
        assert_eq!(waits.len(), 11, "two a second for five seconds");
        assert_eq!(places, [6_000, 6_500, 7_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_made_up_for_a_little_and_not_where_the_account_had_enough() {
        let turns = turns(10, 5).of(&ACCOUNTS[0].parse().unwrap());
        let at_once = async || {
            let mut users = 0;
            while turns.user(Duration::ZERO).await.is_ok() {
                turns.call().await.unwrap();
                users += 1;
            }
            users
        };
        let started = Instant::now();
        assert_eq!(at_once().await, 1, "an instance that has just started");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(at_once().await, 4, "after a rest");
        turns.heed(&throttled());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(at_once().await, 1, "after a refusal");
        tokio::time::advance(Duration::from_mins(2)).await;
        assert_eq!(at_once().await, 4, "long after it");
        assert_eq!(started.elapsed(), Duration::from_secs(190), "none of these waited");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_had_enough_is_left_alone_for_longer_and_longer_and_no_other_is() {
        let turns = turns(100, 1);
        let [refusing, other] = ACCOUNTS.map(|id| turns.of(&id.parse().unwrap()));
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            refusing.heed(&throttled());
            refusing.heed(&throttled());
            assert_eq!(paused_for(&refusing).await, pause, "what is refused together counts once");
            assert_eq!(paused_for(&other).await, 0);
        }
        refusing.heed(&Ok(()));
        refusing.heed(&throttled());
        assert_eq!(paused_for(&refusing).await, 1, "it was all right in between");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_too_early_gets_a_place_behind_the_one_before_and_never_too_far_away() {
        let turns = turns(100, 1).of(&ACCOUNTS[0].parse().unwrap());
        turns.heed(&throttled());
        for _ in 0..8 {
            tokio::time::advance(Duration::from_secs(10)).await;
            turns.heed(&Ok(()));
            turns.heed(&throttled());
        }
        let now = Instant::now();
        let mut before = now;
        for user in 0..2_000 {
            let NotBefore(place) = turns.user(PATIENCE).await.unwrap_err();
            if user < 15 {
                assert!(place >= before + Duration::from_secs(8), "the account allows one in ten seconds");
            } else {
                assert!((LONGEST_LINE / 2..=LONGEST_LINE).contains(&(place - now)));
            }
            before = place;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_three_minutes_long_to_its_last_place() {
        let turns = turns(1, 1).of(&ACCOUNTS[0].parse().unwrap());
        let now = Instant::now();
        for seconds in 1..=LONGEST_LINE.as_secs() {
            assert_eq!(turns.place_in_line(), NotBefore(now + Duration::from_secs(seconds)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_account_allows_is_what_it_allowed_lately() {
        let turns = turns(100, 1).of(&ACCOUNTS[0].parse().unwrap());
        turns.heed(&throttled());
        for _ in 0..=MAX_SUCCESSES {
            tokio::time::advance(Duration::from_millis(100)).await;
            turns.heed(&Ok(()));
        }
        assert_eq!(turns.successes.get().0, MAX_SUCCESSES / 2, "the older half is forgotten");
        let allowed = turns.allowed_interval(Instant::now()).as_millis();
        assert!((90..=110).contains(&allowed), "ten a second: {allowed} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_forgotten_a_minute_after_its_pause() {
        let turns = turns(100, 1).of(&ACCOUNTS[0].parse().unwrap());
        turns.heed(&throttled());
        let pause_ends = turns.pause.until().unwrap();
        assert!(!turns.has_forgotten(pause_ends + FORGET_AFTER));
        assert!(turns.has_forgotten(pause_ends + FORGET_AFTER + Duration::from_millis(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_was_seldom_asked_is_not_taken_for_a_slow_one() {
        let turns = turns(100, 1).of(&ACCOUNTS[0].parse().unwrap());
        for _ in 0..8 {
            tokio::time::advance(Duration::from_mins(2)).await;
            turns.heed(&Ok(()));
        }
        turns.heed(&throttled());
        let NotBefore(place) = turns.user(PATIENCE).await.unwrap_err();
        assert!(place - Instant::now() <= Duration::from_millis(1_100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_denied_role_says_nothing_about_the_pace() {
        let turns = turns(100, 1).of(&ACCOUNTS[0].parse().unwrap());
        turns.heed(&Err::<(), _>(role_denied()));
        assert_eq!(paused_for(&turns).await, 0);
        assert!(turns.call().await.unwrap_err().is_role_denied());
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_remembered_for_a_minute_at_most_and_for_a_tenth_of_the_delay_before_the_next_try() {
        for (delay, remembered) in [(5_000, 500), (600_000, 60_000), (86_400_000, 60_000)] {
            let [delay, remembered] = [delay, remembered].map(Duration::from_millis);
            let turns = Turns::new(turns(100, 1).rate, delay).of(&ACCOUNTS[0].parse().unwrap());
            turns.heed(&Err::<(), _>(role_denied()));
            tokio::time::advance(remembered.mul_f64(0.99)).await;
            assert!(turns.denied().is_some(), "{delay:?}");
            tokio::time::advance(remembered.mul_f64(0.01)).await;
            assert!(turns.denied().is_none(), "{delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_without_number_are_forgotten_and_the_latest_are_not() {
        let turns = turns(10, 1);
        let id = |n: usize| format!("{n:012}").parse().unwrap();
        turns.of(&id(0)).heed(&throttled());
        turns.of(&id(1)).heed(&throttled());
        for n in 2..MAX_ACCOUNTS.get() {
            turns.of(&id(n));
        }
        turns.of(&id(0));
        turns.of(&id(MAX_ACCOUNTS.get()));
        assert!(turns.of(&id(0)).pause.is_on() && !turns.of(&id(1)).pause.is_on());
    }
}
