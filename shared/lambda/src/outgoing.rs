//! Many messages to a queue: in batches, several in flight, repeating just what was refused.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{StreamExt, stream};
use keynudge_core::failure::{CallFailed, FailureClass};
use keynudge_core::ports::{MAX_BATCH, Outbox};

/// Batches in flight. A batch takes SQS about 20 ms, so sixteen send some 8,000 messages a second, and a slow one holds
/// up few others.
const BATCHES_IN_FLIGHT: usize = 16;

/// How often what was refused is sent again before the caller hears of it, and how long after the first time.
const REPETITIONS: usize = 3;
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Sends `messages`. The answer has one result per message, in order.
pub async fn send_all<M>(outbox: &impl Outbox<M>, messages: &[M]) -> Vec<Result<(), CallFailed>> {
    stream::iter(messages.chunks(MAX_BATCH))
        .map(|batch| send_batch(outbox, batch))
        .buffered(BATCHES_IN_FLIGHT)
        .map(stream::iter)
        .flatten()
        .collect()
        .await
}

/// Sends one batch, and again what of it was refused for the moment.
async fn send_batch<M>(outbox: &impl Outbox<M>, batch: &[M]) -> Vec<Result<(), CallFailed>> {
    // Until the queue says so, nothing is sent.
    let mut results: Vec<Result<(), CallFailed>> = vec![Err(unanswered()); batch.len()];
    let mut pending: Vec<usize> = (0..batch.len()).collect();
    let mut delays = delays();
    loop {
        let messages: Vec<&M> = pending.iter().map(|&place| &batch[place]).collect();
        for (&place, result) in pending.iter().zip(outbox.send(&messages).await) {
            results[place] = result;
        }
        pending
            .retain(|&place| results[place].as_ref().is_err_and(|error| error.class == FailureClass::Retry));
        match delays.next() {
            Some(delay) if !pending.is_empty() => tokio::time::sleep(delay).await,
            _ => return results,
        }
    }
}

fn unanswered() -> CallFailed {
    let code = "unanswered".to_owned();
    CallFailed { call: "sqs:SendMessage", class: FailureClass::Retry, code, source: None }
}

fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_DELAY)
        .with_max_times(REPETITIONS)
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};

    /// A queue that answers from a script: per message, how often it is refused first, and how.
    #[derive(Default)]
    struct Scripted {
        refusals: RefCell<Vec<(u32, FailureClass)>>,
        batches: RefCell<Vec<Vec<u32>>>,
        taken: RefCell<Vec<u32>>,
    }

    impl Outbox<u32> for Scripted {
        async fn send(&self, messages: &[&u32]) -> Vec<Result<(), CallFailed>> {
            self.batches.borrow_mut().push(messages.iter().map(|&&message| message).collect());
            let mut refusals = self.refusals.borrow_mut();
            let mut answer = |message: &u32| {
                let Some(place) = refusals.iter().position(|(refused, _)| refused == message) else {
                    self.taken.borrow_mut().push(*message);
                    return None;
                };
                let (_, class) = refusals.remove(place);
                Some(CallFailed { call: "sqs:SendMessage", class, code: "Busy".to_owned(), source: None })
            };
            messages.iter().map(|message| answer(message).map_or(Ok(()), Err)).collect()
        }
    }

    fn failures(results: &[Result<(), CallFailed>]) -> Vec<usize> {
        results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(place, _)| place).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn messages_go_in_batches_of_ten_and_none_is_left_out() {
        let queue = Scripted::default();
        let messages: Vec<u32> = (0..25).collect();
        assert_eq!(failures(&send_all(&queue, &messages).await), Vec::<usize>::new());
        let batches = queue.batches.into_inner();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(batches.concat(), messages);
    }

    #[tokio::test(start_paused = true)]
    async fn just_what_was_refused_is_sent_again() {
        let queue = Scripted {
            refusals: vec![(3, FailureClass::Retry), (3, FailureClass::Retry)].into(),
            ..Scripted::default()
        };
        let results = send_all(&queue, &[1, 2, 3, 4]).await;
        assert_eq!(failures(&results), Vec::<usize>::new());
        assert_eq!(queue.batches.into_inner(), [vec![1, 2, 3, 4], vec![3], vec![3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_refused_is_reported_for_its_message() {
        let queue = Scripted { refusals: vec![(12, FailureClass::Retry); 9].into(), ..Scripted::default() };
        let messages: Vec<u32> = (0..15).collect();
        assert_eq!(failures(&send_all(&queue, &messages).await), [12]);
        assert_eq!(queue.refusals.into_inner().len(), 5, "one try and three repetitions");
    }

    #[tokio::test(start_paused = true)]
    async fn several_batches_are_in_flight_at_a_time_but_not_all() {
        /// Takes every batch once it has been asked ten times, and remembers how many it held at once.
        #[derive(Default)]
        struct Slow {
            held: Cell<usize>,
            most: Cell<usize>,
        }

        impl Outbox<u32> for Slow {
            async fn send(&self, messages: &[&u32]) -> Vec<Result<(), CallFailed>> {
                self.held.set(self.held.get() + 1);
                self.most.set(self.most.get().max(self.held.get()));
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                self.held.set(self.held.get() - 1);
                vec![Ok(()); messages.len()]
            }
        }

        let queue = Slow::default();
        send_all(&queue, &(0..1_000).collect::<Vec<_>>()).await;
        assert_eq!(queue.most.get(), BATCHES_IN_FLIGHT);
    }

    proptest! {
        #[test]
        fn every_message_is_sent_once_or_its_failure_is_reported(
            count in 0_u32..120,
            refusals in prop::collection::vec((0_u32..120, prop::bool::ANY), 0..60),
        ) {
            let refusals: Vec<_> = refusals
                .into_iter()
                .map(|(message, again)| (message, if again { FailureClass::Retry } else { FailureClass::Never }))
                .collect();
            let queue = Scripted { refusals: refusals.into(), ..Scripted::default() };
            let messages: Vec<u32> = (0..count).collect();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let results = runtime.block_on(send_all(&queue, &messages));

            prop_assert_eq!(results.len(), messages.len());
            prop_assert!(queue.batches.borrow().iter().all(|batch| (1..=MAX_BATCH).contains(&batch.len())));
            let taken = queue.taken.into_inner();
            for (message, result) in messages.iter().zip(&results) {
                let times = taken.iter().filter(|taken| *taken == message).count();
                prop_assert_eq!(times, usize::from(result.is_ok()));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_not_sent_again() {
        let queue = Scripted { refusals: vec![(1, FailureClass::Never)].into(), ..Scripted::default() };
        assert_eq!(failures(&send_all(&queue, &[0, 1]).await), [1]);
        assert_eq!(queue.batches.into_inner().len(), 1);
    }
}
