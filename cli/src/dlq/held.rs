//! Reading a queue. SQS knows no other way to look into one than to receive its messages, which hides them from
//! everybody else for a time; so whoever reads holds, and puts back what it does not delete.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures::future::join_all;
use futures::{StreamExt, stream};
use indicatif::ProgressBar;

use crate::dlq::letter::{MessageId, Receipt, Received};
use crate::interrupt::Interrupt;

/// How long letters are hidden at a time. They appear again by themselves after it, should this process be killed.
pub(crate) const HOLD_MINUTES: u64 = 10;

const HOLD: Duration = Duration::from_mins(HOLD_MINUTES);

/// How often that is extended: it may fail once.
const EXTEND_EVERY: Duration = Duration::from_mins(4);

/// Receives, and calls to put back, at once.
const CONCURRENCY: usize = 8;

/// How long a receive that is under way may take after an interrupt. Its messages can then be put back.
const LAST_RECEIVES: Duration = Duration::from_secs(3);

/// The most that SQS takes in one call.
pub(crate) const BATCH: usize = 10;

/// Rounds in which nothing new comes before reading is given up although there should be more.
const QUIET_ROUNDS: usize = 5;

/// Letters held at once: a standard queue gives out no more than 120,000.
const MAX_HELD: usize = 100_000;

/// Text kept in memory of one queue: a letter can have a mebibyte of it.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// A queue of dead letters. Every error says what to do about it.
pub(crate) trait DeadLetterQueue {
    /// How many there are.
    async fn counts(&self) -> Result<Counts>;

    /// Some of those that can be seen, at most [`BATCH`], which are then hidden for `hold`. None does not mean that there
    /// are none.
    async fn receive(&self, hold: Duration) -> Result<Vec<Received>>;

    /// Hides letters for `hold` from now on; one result for each of at most [`BATCH`].
    async fn hide(&self, receipts: &[Receipt], hold: Duration) -> Vec<Result<()>>;

    /// Deletes letters; one result for each of at most [`BATCH`].
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>>;
}

/// About how many letters are in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// To be received.
    pub(crate) visible: usize,
    /// Received by somebody, and hidden until they are put back.
    pub(crate) in_flight: usize,
}

/// A queue, and what has been received from it and neither been put back nor deleted.
#[derive(Debug)]
pub(crate) struct Held<Q> {
    queue: Q,
    receipts: RefCell<BTreeMap<MessageId, Receipt>>,
}

/// What was read from a queue.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    /// What was kept of it.
    pub(crate) kept: Vec<T>,
    /// Whether no more could be taken, although there may be more.
    pub(crate) is_full: bool,
    /// What could not be received.
    pub(crate) unread: Unread,
}

/// Letters that a queue has, or says it has, but does not give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Whether there should be more that can be received.
    pub(crate) not_given: bool,
    /// About how many somebody else holds, or has held and was killed.
    pub(crate) held_by_others: usize,
}

impl<Q: DeadLetterQueue> Held<Q> {
    pub(crate) fn new(queue: Q) -> Self {
        Self { queue, receipts: RefCell::default() }
    }

    pub(crate) fn queue(&self) -> &Q {
        &self.queue
    }

    /// Receives every letter once, and keeps what `keep` makes of them, up to `limit` of it. All are held, those that
    /// come twice as well, but kept once.
    ///
    /// An error, or an interrupt, leaves what was received until then to be put back.
    pub(crate) async fn read<T>(
        &self,
        limit: usize,
        interrupt: &Interrupt,
        progress: &ProgressBar,
        mut keep: impl FnMut(Received) -> Option<T>,
    ) -> Result<Reading<T>> {
        let visible = interrupt.or(self.queue.counts()).await?.visible;
        interrupt.will_leave(format!(
            "Messages that it held can be received again within {HOLD_MINUTES} minutes."
        ));
        let readers = visible.div_ceil(BATCH).clamp(1, CONCURRENCY);
        let (mut kept, mut kept_bytes) = (Vec::new(), 0);
        let mut quiet_rounds = 0;
        loop {
            if interrupt.is_asked() {
                bail!("interrupted");
            }
            let letters = tokio::select! {
                letters = self.receive_round(readers) => letters?,
                () = after(interrupt, LAST_RECEIVES) => return Err(anyhow!(
                    "interrupted before SQS answered; messages that it delivered meanwhile can be received \
                     again within {HOLD_MINUTES} minutes"
                )),
            };
            let is_quiet = letters.is_empty();
            for letter in letters {
                progress.inc(1);
                let bytes = letter.body.len();
                let Some(made) = keep(letter) else { continue };
                if kept.len() >= limit || kept_bytes + bytes > MAX_KEPT_BYTES {
                    return Ok(Reading { kept, is_full: true, unread: Unread::default() });
                }
                kept_bytes += bytes;
                kept.push(made);
            }
            let held = self.receipts.borrow().len();
            quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
            if is_quiet {
                let counts = interrupt.or(self.queue.counts()).await?;
                // The count lags behind what was received by up to a minute.
                let all_given = counts.visible == 0 || (quiet_rounds > 1 && held >= visible);
                if all_given || quiet_rounds >= QUIET_ROUNDS {
                    let held_by_others = counts.in_flight.saturating_sub(held);
                    let unread = Unread { not_given: !all_given, held_by_others };
                    return Ok(Reading { kept, is_full: false, unread });
                }
            }
            if held >= MAX_HELD {
                return Ok(Reading { kept, is_full: true, unread: Unread::default() });
            }
        }
    }

    /// Receives `readers` times at once. What one of them got is held even if another failed.
    async fn receive_round(&self, readers: usize) -> Result<Vec<Received>> {
        let receive = async || {
            let letters = self.queue.receive(HOLD).await?;
            anyhow::Ok(letters.into_iter().filter(|letter| self.hold(letter)).collect::<Vec<_>>())
        };
        let received: Result<Vec<_>> = join_all((0..readers).map(|_| receive())).await.into_iter().collect();
        Ok(received?.into_iter().flatten().collect())
    }

    /// Notes the receipt, and whether the letter is a new one. Of a letter that comes again only the last receipt is
    /// sure to work.
    fn hold(&self, letter: &Received) -> bool {
        self.receipts.borrow_mut().insert(letter.id.clone(), letter.receipt.clone()).is_none()
    }

    /// Deletes letters that are held; one result for each of at most [`BATCH`]. Those that cannot be deleted stay held.
    pub(crate) async fn delete(&self, letters: &[&MessageId]) -> Vec<Result<()>> {
        // All are there: only this removes them.
        let receipts: Vec<Receipt> = {
            let held = self.receipts.borrow();
            letters.iter().filter_map(|id| held.get(id).cloned()).collect()
        };
        let results = self.queue.delete(&receipts).await;
        for (id, result) in letters.iter().zip(&results) {
            if result.is_ok() {
                self.receipts.borrow_mut().remove(id);
            }
        }
        results
    }

    /// Makes everything that is held visible again, and says for how many that failed. Those appear again by themselves,
    /// after [`HOLD`].
    pub(crate) async fn put_back(&self) -> usize {
        let failed = self.hide_all(Duration::ZERO).await;
        self.receipts.borrow_mut().clear();
        failed
    }

    async fn hide_all(&self, hold: Duration) -> usize {
        let receipts: Vec<Receipt> = self.receipts.borrow().values().cloned().collect();
        let failed = stream::iter(receipts.chunks(BATCH))
            .map(async |batch| {
                self.queue.hide(batch, hold).await.iter().filter(|hidden| hidden.is_err()).count()
            })
            .buffer_unordered(CONCURRENCY);
        failed.fold(0, async |sum, failed| sum + failed).await
    }
}

/// Does `work` while everything held stays hidden, however long it takes; then puts back what is still held, whatever
/// came of it. The second part of the answer is for how many letters that failed.
pub(crate) async fn holding<Q: DeadLetterQueue, T>(
    held: &[&Held<Q>],
    work: impl Future<Output = T>,
) -> (T, usize) {
    let extending = async {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            for one in held {
                // What cannot be extended may be received by others, too; that is a letter done twice, at worst.
                one.hide_all(HOLD).await;
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = extending => unreachable!("the loop does not end"),
    };
    let not_put_back = join_all(held.iter().map(|one| one.put_back())).await;
    (result, not_put_back.into_iter().sum())
}

/// Waits for an interrupt, and then for so long.
async fn after(interrupt: &Interrupt, time: Duration) {
    interrupt.asked().await;
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::memory::MemoryQueue;
    use serde_json::json;

    /// Nothing unread.
    const ALL: Unread = Unread { not_given: false, held_by_others: 0 };

    fn queue(letters: usize) -> MemoryQueue {
        MemoryQueue::with(&vec![(json!({}), "crashed"); letters])
    }

    async fn read(held: &Held<MemoryQueue>, limit: usize) -> Result<Reading<MessageId>> {
        let interrupt = Interrupt::never();
        held.read(limit, &interrupt, &ProgressBar::hidden(), |letter| Some(letter.id)).await
    }

    #[tokio::test]
    async fn every_letter_is_read_once_and_held() {
        let held = Held::new(queue(173));
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!((reading.kept.len(), reading.is_full, reading.unread), (173, false, ALL));
        assert!(held.queue.visible().is_empty());
        assert_eq!(held.put_back().await, 0);
        assert_eq!(held.queue.visible().len(), 173);
    }

    #[tokio::test]
    async fn a_letter_that_comes_twice_is_kept_once_and_its_last_receipt_works() {
        let held = Held::new(MemoryQueue { gives_twice: true, ..queue(25) });
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!(reading.kept.len(), 25);
        let results = held.delete(&[&reading.kept[0]]).await;
        assert!(results[0].is_ok(), "{results:?}");
        assert_eq!(held.put_back().await, 0);
        assert_eq!((held.queue.len(), held.queue.visible().len()), (24, 24));
    }

    #[tokio::test]
    async fn a_letter_that_somebody_else_received_since_is_left_to_them() {
        let held = Held::new(queue(2));
        let reading = read(&held, usize::MAX).await.unwrap();
        held.queue.show_all();
        held.queue.receive(HOLD).await.unwrap();
        let results = held.delete(&[&reading.kept[0]]).await;
        // SQS takes an old receipt, and may do nothing.
        assert!(results[0].is_ok(), "{results:?}");
        assert_eq!(held.put_back().await, 1);
        assert_eq!((held.queue.len(), held.queue.visible().len()), (2, 0));
    }

    #[tokio::test]
    async fn letters_that_others_hold_are_counted() {
        let held = Held::new(queue(12));
        held.queue.receive(HOLD).await.unwrap();
        let reading = read(&held, usize::MAX).await.unwrap();
        let unread = Unread { held_by_others: 10, ..ALL };
        assert_eq!((reading.kept.len(), reading.is_full, reading.unread), (2, false, unread));
    }

    #[tokio::test]
    async fn an_empty_receive_is_not_taken_for_an_empty_queue() {
        let held = Held::new(MemoryQueue { empty_receives: 3, ..queue(12) });
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!((reading.kept.len(), reading.unread), (12, ALL));
    }

    #[tokio::test]
    async fn a_queue_that_gives_nothing_is_not_asked_for_ever() {
        let held = Held::new(MemoryQueue { empty_receives: usize::MAX - 1, ..queue(3) });
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!((reading.kept.len(), reading.unread), (0, Unread { not_given: true, ..ALL }));
    }

    #[tokio::test]
    async fn a_count_that_lags_behind_is_not_waited_for() {
        let held = Held::new(MemoryQueue { stale_count: Some(12), ..queue(12) });
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!((reading.kept.len(), reading.unread), (12, ALL));
        let held = Held::new(MemoryQueue { stale_count: Some(13), ..queue(12) });
        let reading = read(&held, usize::MAX).await.unwrap();
        assert_eq!((reading.kept.len(), reading.unread), (12, Unread { not_given: true, ..ALL }));
    }

    #[tokio::test]
    async fn a_limit_ends_the_reading() {
        let held = Held::new(queue(100));
        let reading = read(&held, 15).await.unwrap();
        assert_eq!((reading.kept.len(), reading.is_full), (15, true));
        let all = Held::new(queue(15));
        let reading = read(&all, 15).await.unwrap();
        assert_eq!((reading.kept.len(), reading.is_full), (15, false));
    }

    #[tokio::test]
    async fn what_was_received_before_an_error_is_put_back() {
        let held = Held::new(MemoryQueue { failing_receive: Some(4), ..queue(100) });
        let (reading, not_put_back) = holding(&[&held], read(&held, usize::MAX)).await;
        assert_eq!(reading.unwrap_err().to_string(), "no receive");
        assert_eq!(not_put_back, 0);
        assert_eq!(held.queue.visible().len(), 100);
    }

    #[tokio::test]
    async fn an_interrupt_ends_the_reading() {
        let held = Held::new(queue(100));
        let interrupt = Interrupt::never();
        let keep = |letter: Received| {
            interrupt.ask();
            Some(letter)
        };
        let progress = ProgressBar::hidden();
        let read = held.read(usize::MAX, &interrupt, &progress, keep);
        let (reading, _) = holding(&[&held], read).await;
        assert_eq!(reading.unwrap_err().to_string(), "interrupted");
        assert_eq!(held.queue.visible().len(), 100);
    }

    #[tokio::test]
    async fn a_second_interrupt_claims_nothing_before_a_letter_may_be_held() {
        let held = Held::new(queue(3));
        let (interrupt, progress) = (Interrupt::never(), ProgressBar::hidden());
        interrupt.ask();
        let reading = held.read(usize::MAX, &interrupt, &progress, Some).await;
        assert_eq!(reading.unwrap_err().to_string(), "interrupted");
        assert_eq!((interrupt.leaves(), held.queue.visible().len()), (String::new(), 3));
        let interrupt = Interrupt::never();
        held.read(usize::MAX, &interrupt, &progress, Some).await.unwrap();
        assert_eq!(interrupt.leaves(), "Messages that it held can be received again within 10 minutes.");
    }

    #[tokio::test]
    async fn what_cannot_be_put_back_is_counted() {
        let held = Held::new(MemoryQueue { undeletable: vec!["m-1", "m-2"], ..queue(5) });
        let (_, not_put_back) = holding(&[&held], read(&held, usize::MAX)).await;
        assert_eq!(not_put_back, 2);
    }

    /// The paused clock moves on whenever there is nothing to do but wait.
    #[tokio::test(start_paused = true)]
    async fn letters_stay_hidden_however_long_the_work_takes() {
        let held = Held::new(queue(5));
        let work = async {
            read(&held, usize::MAX).await.unwrap();
            held.queue.show_all();
            tokio::time::sleep(EXTEND_EVERY + Duration::from_secs(1)).await;
            held.queue.visible().len()
        };
        assert_eq!(holding(&[&held], work).await, (0, 0));
        assert_eq!(held.queue.visible().len(), 5);
    }
}
