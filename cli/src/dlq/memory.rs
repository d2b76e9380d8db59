//! A queue in memory, for tests: it hides what it gives out, gives letters out twice, and fails on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::dlq::held::{BATCH, Counts, DeadLetterQueue};
use crate::dlq::letter::tests::received;
use crate::dlq::letter::{MessageId, Receipt, Received};
use crate::dlq::replay::{Destination, Work};

/// The queue. Its letters are hidden until they are put back: no time passes.
#[derive(Debug, Default)]
pub(crate) struct MemoryQueue {
    pub(crate) letters: RefCell<BTreeMap<MessageId, Slot>>,
    pub(crate) receives: Cell<usize>,
    /// Receives that find nothing although there is something, before each that finds some.
    pub(crate) empty_receives: usize,
    /// What it says to be visible, whatever is.
    pub(crate) stale_count: Option<usize>,
    /// The receive, counted from 1, that fails.
    pub(crate) failing_receive: Option<usize>,
    /// Letters that cannot be deleted.
    pub(crate) undeletable: Vec<&'static str>,
    /// Whether each letter is given out twice before it is hidden.
    pub(crate) gives_twice: bool,
}

#[derive(Debug)]
pub(crate) struct Slot {
    letter: Received,
    given: usize,
    hidden: bool,
}

impl MemoryQueue {
    /// With a letter per body, `m-0` on, each a minute older than the next.
    pub(crate) fn with(bodies: &[(Value, &str)]) -> Self {
        let queue = Self::default();
        for (position, (body, reason)) in bodies.iter().enumerate() {
            let age = i64::try_from(bodies.len() - position).unwrap();
            let letter = received(&format!("m-{position}"), age, body, &[("reason", reason)]);
            let slot = Slot { letter, given: 0, hidden: false };
            queue.letters.borrow_mut().insert(slot.letter.id.clone(), slot);
        }
        queue
    }

    pub(crate) fn visible(&self) -> Vec<String> {
        let letters = self.letters.borrow();
        letters.iter().filter(|(_, slot)| !slot.hidden).map(|(id, _)| id.to_string()).collect()
    }

    /// As after the time that they were hidden for.
    pub(crate) fn show_all(&self) {
        self.letters.borrow_mut().values_mut().for_each(|slot| slot.hidden = false);
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.borrow().len()
    }

    /// By the last receipt given out for it, or `with_old` for others, of which SQS promises nothing.
    fn each(
        &self,
        receipts: &[Receipt],
        with_old: impl Fn() -> Result<()>,
        mut act: impl FnMut(&mut BTreeMap<MessageId, Slot>, MessageId),
    ) -> Vec<Result<()>> {
        let mut letters = self.letters.borrow_mut();
        let one = |receipt: &Receipt| {
            let found = letters.values().find(|slot| slot.receipt() == *receipt);
            let Some(id) = found.map(|slot| slot.letter.id.clone()) else { return with_old() };
            if self.undeletable.contains(&id.0.as_str()) {
                bail!("not today");
            }
            act(&mut letters, id);
            Ok(())
        };
        receipts.iter().map(one).collect()
    }
}

impl Slot {
    fn receipt(&self) -> Receipt {
        Receipt(format!("{} of {}", self.given, self.letter.id))
    }
}

impl DeadLetterQueue for MemoryQueue {
    async fn counts(&self) -> Result<Counts> {
        let visible = self.visible().len();
        Ok(Counts { visible: self.stale_count.unwrap_or(visible), in_flight: self.len() - visible })
    }

    async fn receive(&self, _hold: Duration) -> Result<Vec<Received>> {
        self.receives.set(self.receives.get() + 1);
        if self.failing_receive == Some(self.receives.get()) {
            bail!("no receive");
        }
        if !self.receives.get().is_multiple_of(self.empty_receives + 1) {
            return Ok(Vec::new());
        }
        let mut letters = self.letters.borrow_mut();
        let visible = letters.values_mut().filter(|slot| !slot.hidden).take(BATCH);
        let give = |slot: &mut Slot| {
            slot.given += 1;
            slot.hidden = !self.gives_twice || slot.given >= 2;
            Received { receipt: slot.receipt(), ..slot.letter.clone() }
        };
        Ok(visible.map(give).collect())
    }

    async fn hide(&self, receipts: &[Receipt], hold: Duration) -> Vec<Result<()>> {
        let refuse = || bail!("an old receipt");
        self.each(receipts, refuse, |letters, id| {
            if let Some(slot) = letters.get_mut(&id) {
                slot.hidden = !hold.is_zero();
            }
        })
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<()>> {
        let say_done = || Ok(());
        self.each(receipts, say_done, |letters, id| drop(letters.remove(&id)))
    }
}

/// A destination in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryDestination {
    /// What was put there: bodies with their groups, and events.
    pub(crate) taken: RefCell<Vec<String>>,
    /// How many are taken until it refuses everything.
    pub(crate) takes: Option<usize>,
}

impl Destination for MemoryDestination {
    async fn put(&self, work: &Work<'_>) -> Result<()> {
        if self.takes.is_some_and(|takes| self.taken.borrow().len() >= takes) {
            bail!("access denied");
        }
        self.taken.borrow_mut().push(match work {
            Work::Message { body, group, .. } => format!("{} in {body}", group.unwrap_or("no group")),
            Work::Start(start) => serde_json::to_string(start)?,
        });
        Ok(())
    }
}
