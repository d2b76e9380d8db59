//! Several instances at work on one queue, in a world without AWS in which time passes at once: what they come to together.
//! The handler and all that is behind it are the real ones; the queue and IAM are stood in for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures::future::join_all;
use keynudge_core::accounts::Scope;
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ids::{AccessKeyId, AccountId, UserName};
use keynudge_core::keys::{AccessKey, KeyStatus, LastUsed};
use keynudge_core::messages::CheckUser;
use keynudge_core::ports::{IamByAccount, KeyStore};
use keynudge_core::tags::Tags;
use keynudge_lambda::deadline::Deadline;
use keynudge_lambda::metrics::Metrics;
use keynudge_testing::{
    ACCOUNT, MemoryLedger, MemoryQueue, event, failure, given_back, key, run, source, user,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::CALLS_OF_A_USER_MAX;
use crate::handler::Worker;
use crate::handler::tests::rules;
use crate::turns::{Rate, Turns};

const BATCH: usize = 10;
const LATENCY: Duration = Duration::from_millis(50);
/// What an instance needs between two batches: for handing on what it found, and for Lambda to have the next one.
const BETWEEN_BATCHES: Duration = Duration::from_millis(200);
/// How often an instance looks for messages when there are none.
const POLL: Duration = Duration::from_millis(500);
/// As the template has it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// How many calls an account's IAM takes at once.
const BURST: f64 = 30.0;

/// An account's IAM: a token bucket, and one user in ten with a stale key.
struct Bucket {
    calls_per_second: f64,
    tokens: Cell<f64>,
    filled_at: Cell<Instant>,
    throttled: Cell<u32>,
}

impl Bucket {
    fn new(calls_per_second: f64) -> Self {
        Self {
            calls_per_second,
            tokens: Cell::new(BURST),
            filled_at: Cell::new(Instant::now()),
            throttled: Cell::default(),
        }
    }

    async fn call(&self) -> Result<(), CallFailed> {
        sleep(LATENCY).await;
        let now = Instant::now();
        let filled = (now - self.filled_at.replace(now)).as_secs_f64() * self.calls_per_second;
        self.tokens.set((self.tokens.get() + filled).min(BURST));
        if self.tokens.get() < 1.0 {
            self.throttled.set(self.throttled.get() + 1);
            return Err(failure(FailureClass::Retry));
        }
        self.tokens.set(self.tokens.get() - 1.0);
        Ok(())
    }
}

/// The same bucket, whoever asks.
#[derive(Clone)]
struct Iam(Rc<Bucket>);

impl KeyStore for Iam {
    async fn access_keys(&self, user: &UserName) -> Result<Option<Vec<AccessKey>>, CallFailed> {
        self.0.call().await?;
        let age_days = if user.as_str().ends_with('0') { 100 } else { 10 };
        Ok(Some(vec![key("A", KeyStatus::Active, age_days)]))
    }

    async fn tags(&self, _: &UserName) -> Result<Option<Tags>, CallFailed> {
        self.0.call().await.map(|()| Some(Tags::default()))
    }

    async fn last_used(&self, _: &AccessKeyId) -> Result<LastUsed, CallFailed> {
        self.0.call().await.map(|()| LastUsed::Never)
    }
}

/// An account: how many users it has, and how many calls a second it allows.
#[derive(Clone, Copy)]
struct Account {
    users: usize,
    calls_per_second: f64,
}

fn account_id(account: usize) -> AccountId {
    format!("{account:012}").parse().unwrap()
}

#[derive(Clone)]
struct Accounts(Rc<HashMap<AccountId, Iam>>);

impl IamByAccount for Accounts {
    type Iam = Iam;

    async fn iam(&self, account_id: &AccountId) -> Iam {
        self.0[account_id].clone()
    }
}

/// A record on the queue.
struct Message {
    account: usize,
    body: String,
    receives: u32,
}

/// What an account's users came to.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    users: usize,
    receives: u32,
    /// When the last of them was done.
    after: Duration,
    /// How many of their calls were throttled.
    throttled: u32,
}

/// The queue, as far as it is worked off.
struct Queue {
    visible: RefCell<BTreeMap<usize, Vec<Message>>>,
    /// Those who come back at an instant, with a number that tells them apart.
    delayed: RefCell<BTreeMap<(Instant, usize), Message>>,
    in_flight: RefCell<BTreeMap<usize, usize>>,
    done: RefCell<BTreeMap<usize, Done>>,
    rng: RefCell<Rng>,
    started: Instant,
}

impl Queue {
    /// Waits until there are any messages; `None` once all are done.
    async fn receive(&self) -> Option<Vec<Message>> {
        loop {
            let batch = self.take_visible();
            if !batch.is_empty() {
                return Some(batch);
            }
            let next = self.delayed.borrow().first_key_value().map(|((instant, _), _)| *instant);
            match next {
                None if self.in_flight.borrow().values().all(|&count| count == 0) => return None,
                // Whatever is in flight may come back earlier.
                None => sleep(LATENCY).await,
                Some(next) => sleep_until(next.min(Instant::now() + POLL)).await,
            }
        }
    }

    /// In no order, but fair, as SQS's fair queues: first from accounts of which least is in flight.
    fn take_visible(&self) -> Vec<Message> {
        let (mut visible, mut delayed) = (self.visible.borrow_mut(), self.delayed.borrow_mut());
        let still_delayed = delayed.split_off(&(Instant::now() + Duration::from_nanos(1), 0));
        for message in std::mem::replace(&mut *delayed, still_delayed).into_values() {
            visible.entry(message.account).or_default().push(message);
        }
        let (mut in_flight, mut rng) = (self.in_flight.borrow_mut(), self.rng.borrow_mut());
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let accounts = visible.iter_mut().filter(|(_, messages)| !messages.is_empty());
            let least = accounts.min_by_key(|(account, _)| (in_flight.get(account).copied(), rng.u32(..)));
            let Some((account, messages)) = least else { break };
            let place = rng.usize(..messages.len());
            batch.push(messages.swap_remove(place));
            *in_flight.entry(*account).or_default() += 1;
        }
        batch
    }

    fn give_back(&self, message: Message, delay: Duration) {
        let place = (Instant::now() + delay, self.rng.borrow_mut().usize(..));
        self.delayed.borrow_mut().insert(place, message);
    }

    fn conclude(&self, message: &Message) {
        let mut done = self.done.borrow_mut();
        let done = done.entry(message.account).or_default();
        done.users += 1;
        done.receives += message.receives;
        done.after = self.started.elapsed();
    }
}

fn message(account: usize, number: usize) -> Message {
    let check = CheckUser {
        run: run(),
        account_id: account_id(account),
        account_name: None,
        user: user(&format!("user-{number}")),
        found_at: None,
    };
    Message { account, body: serde_json::to_string(&check).unwrap(), receives: 0 }
}

/// One instance, until nothing is left to do.
async fn work(queue: &Queue, accounts: Accounts, rate: Rate) {
    let organization = Some("organization".parse().unwrap());
    let scope = Scope::new(ACCOUNT.parse().unwrap(), organization, [].into(), [].into()).unwrap();
    let rules = rules(scope);
    let worker = Worker {
        iam: accounts,
        turns: Turns::new(rate, rules.denied_role_delay),
        findings: MemoryQueue::default(),
        ledger: MemoryLedger::default(),
        source: source(),
        rules,
    };
    while let Some(mut batch) = queue.receive().await {
        let bodies: Vec<String> = batch.iter().map(|message| message.body.clone()).collect();
        let mut event = event(&bodies);
        for (message, record) in batch.iter_mut().zip(&mut event.records) {
            message.receives += 1;
            record.attributes.insert("ApproximateReceiveCount".to_owned(), message.receives.to_string());
        }
        let response = worker.handle(event, Deadline::after(TIMEOUT), &Metrics::default()).await.unwrap();
        let given_back = given_back(&response);
        for (i, message) in batch.into_iter().enumerate() {
            *queue.in_flight.borrow_mut().entry(message.account).or_default() -= 1;
            if given_back.contains(&&*format!("record-{i}")) {
                queue.give_back(message, worker.source.redelivery.of_record(i).unwrap());
            } else {
                queue.conclude(&message);
            }
        }
        worker.findings.take();
        sleep(BETWEEN_BATCHES).await;
    }
}

/// Has all users of `accounts` checked by so many instances, which may make so many calls a second to each.
async fn check(accounts: &[Account], calls_per_second: u32, instances: u32) -> Vec<Done> {
    check_by_chance(1, accounts, calls_per_second, instances).await
}

/// The same, where `seed` decides all that is left to chance.
async fn check_by_chance(
    seed: u64,
    accounts: &[Account],
    calls_per_second: u32,
    instances: u32,
) -> Vec<Done> {
    fastrand::seed(seed);
    let buckets = accounts.iter().enumerate();
    let buckets =
        buckets.map(|(n, account)| (account_id(n), Iam(Rc::new(Bucket::new(account.calls_per_second)))));
    let iam = Accounts(Rc::new(buckets.collect()));
    let users = accounts.iter().enumerate();
    let users = users.map(|(n, account)| (n, (0..account.users).map(|number| message(n, number)).collect()));
    let queue = Queue {
        visible: RefCell::new(users.collect()),
        delayed: RefCell::default(),
        in_flight: RefCell::default(),
        done: RefCell::default(),
        rng: RefCell::new(Rng::with_seed(seed)),
        started: Instant::now(),
    };
    let number = |number: u32| number.try_into().unwrap();
    let rate = Rate {
        calls_per_second: number(calls_per_second),
        instances: number(instances),
        at_once_after_a_rest: if accounts.len() > 1 { CALLS_OF_A_USER_MAX } else { NonZeroU32::MIN },
    };
    join_all((0..instances).map(|_| work(&queue, iam.clone(), rate))).await;
    let mut done: Vec<Done> = queue.done.take().into_values().collect();
    for (n, done) in done.iter_mut().enumerate() {
        done.throttled = iam.0[&account_id(n)].0.throttled.get();
    }
    assert!(done.iter().zip(accounts).all(|(done, account)| done.users == account.users), "nobody is lost");
    done
}

/// When the last user of these accounts was done.
fn last(done: &[Done]) -> Duration {
    done.iter().map(|done| done.after).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_delays_only_itself() {
    let ordinary = Account { users: 1_000, calls_per_second: 1_000.0 };
    let nine = check(&[ordinary; 9], 1_000, 10).await;
    let ten = check(&[ordinary; 10], 1_000, 10).await;
    let mut accounts = [ordinary; 10];
    accounts[9].calls_per_second = 2.0;
    let with_throttled = check(&accounts, 1_000, 10).await;

    let others = last(&with_throttled[..9]);
    assert!(others <= last(&ten).mul_f64(1.1), "{others:?}, {:?} if it were not throttled", last(&ten));
    assert!(others <= last(&nine).mul_f64(1.2), "{others:?}, {:?} without it", last(&nine));
    let throttled = with_throttled[9];
    let at_least = Duration::from_secs_f64(1_000.0 * 1.2 / 2.0);
    assert!(throttled.after <= at_least * 2, "{:?} of {at_least:?}", throttled.after);
    assert!(throttled.receives <= 20 * 1_000, "{} receives", throttled.receives);
}

#[tokio::test(start_paused = true)]
async fn a_large_account_keeps_no_small_one_waiting() {
    let small = Account { users: 20, calls_per_second: 1_000.0 };
    let large = Account { users: 2_000, ..small };
    let alone = check(&[small; 30], 10, 4).await;
    let beside_large = check(&[&[small; 30][..], &[large]].concat(), 10, 4).await;
    let at_least = Duration::from_secs_f64(2_000.0 * 1.2 / 10.0);
    let small = last(&beside_large[..30]);
    assert!(small <= last(&alone) * 2, "{small:?}, {:?} alone", last(&alone));
    let large = beside_large[30].after;
    assert!(large <= at_least.mul_f64(1.5), "{large:?} of {at_least:?}");
}

/// The rate is there to be used, by one account as by many, and an IAM that allows just that has no reason to throttle.
#[tokio::test(start_paused = true)]
async fn the_allowed_rate_is_used_and_not_exceeded() {
    for (calls_per_second, instances, accounts, users, used_at_least) in [
        (10, 2, 1, 5_000, 0.98),
        (10, 10, 1, 5_000, 0.95),
        (20, 2, 1, 5_000, 0.98),
        (50, 5, 1, 5_000, 0.98),
        // A batch ends with its slowest user, and its other accounts wait along.
        (10, 10, 5, 1_000, 0.85),
    ] {
        let account = Account { users, calls_per_second: f64::from(calls_per_second) };
        let done = check(&vec![account; accounts], calls_per_second, instances).await;
        // One user in ten costs three calls.
        let calls = f64::from(u32::try_from(users * 12 / 10).unwrap());
        let used = calls / account.calls_per_second / last(&done).as_secs_f64();
        assert!(used >= used_at_least, "{calls_per_second} a second, {instances} instances: {used}");
        assert!(done.iter().all(|done| done.throttled == 0), "{done:?}");
    }
}

/// With many accounts, no account's rate keeps the others waiting: ten instances come to more than four together.
#[tokio::test(start_paused = true)]
async fn more_instances_check_more_accounts_at_once() {
    let accounts = [Account { users: 300, calls_per_second: 10.0 }; 100];
    let few = last(&check(&accounts, 10, 4).await);
    let many = last(&check(&accounts, 10, 10).await);
    assert!(many.mul_f64(1.3) <= few, "{many:?} with ten, {few:?} with four");
}

/// Somebody else uses half of the account's rate.
#[tokio::test(start_paused = true)]
async fn an_account_that_has_enough_is_asked_with_care() {
    const SEEDS: u32 = 10;
    let account = Account { users: 1_500, calls_per_second: 5.0 };
    let at_least = Duration::from_secs_f64(1_500.0 * 1.2 / 5.0);
    let (mut after, mut throttled) = (Duration::ZERO, 0);
    for seed in 0..SEEDS {
        let [done] = check_by_chance(seed.into(), &[account], 10, 2).await.try_into().unwrap();
        after += done.after / SEEDS;
        throttled += done.throttled;
    }
    assert!(after <= at_least.mul_f64(1.35), "{after:?} of {at_least:?} on average");
    assert!(throttled <= 120 * SEEDS, "{throttled} of {} calls", 1_800 * SEEDS);
}
