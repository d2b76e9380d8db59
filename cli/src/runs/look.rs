//! A look at a deployment: what its queues hold, and what its runs came to.

use std::collections::BTreeMap;
use std::sync::Once;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use futures::future::try_join_all;
use keynudge_aws::dynamodb::LedgerTable;
use keynudge_core::ids::RunId;
use keynudge_core::messages::{Mode, Run};
use keynudge_core::ports::RunLog;
use keynudge_core::reckoning::{Queued, StartedRun, Summary};
use serde::Serialize;

use super::oldest::Ages;
use crate::aws::Aws;
use crate::aws::oldest::Datapoint;
use crate::aws::runs::{Depth, NotInvoked, table_failed};
use crate::dlq::queues::{Outputs, QueueName, last_part};
use crate::terminal;

/// What a stack has of what runs need.
#[derive(Debug)]
pub(crate) struct Deployment {
    aws: Aws,
    table: String,
    log: LedgerTable,
    producer: String,
    outputs: Outputs,
    /// Said once, however often it is looked.
    said_unreadable: Once,
}

/// A queue, with its dead letters. The last two have nothing but those.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Queue {
    #[serde(rename = "queue")]
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) depth: Option<Depth>,
    /// None if nobody knows, and if there is no message. The same holds for the letters.
    pub(crate) oldest_age_seconds: Option<u64>,
    pub(crate) dead_letters: u64,
    pub(crate) oldest_dead_letter_age_seconds: Option<u64>,
}

/// A run, with what it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Reckoned {
    pub(crate) run_id: RunId,
    pub(crate) mode: Option<Mode>,
    pub(crate) as_of: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

impl Deployment {
    /// Finds it by the outputs of the stack.
    pub(crate) async fn find(aws: &Aws) -> Result<Self> {
        let outputs = aws.outputs().await?;
        let output = |name: &str| {
            outputs.get(name).cloned().with_context(|| {
                let stack = aws.stack();
                format!("the stack {stack:?} has no output {name}: name Keynudge's with --stack, or deploy this version's template")
            })
        };
        let table = output("LedgerTableName")?;
        let (log, producer) = (aws.ledger(&table), output("ProducerFunctionName")?);
        Ok(Self { aws: aws.clone(), table, log, producer, outputs, said_unreadable: Once::new() })
    }

    /// The function that starts runs.
    pub(crate) fn producer(&self) -> &str {
        &self.producer
    }

    /// The account it is deployed in, as its roles name it.
    pub(crate) fn account(&self) -> Option<&str> {
        self.outputs.get("ProducerRoleArn")?.split(':').nth(4)
    }

    /// The last runs, the newest first.
    pub(crate) async fn last_runs(&self, limit: usize) -> Result<Vec<StartedRun>> {
        let list = self.log.last_runs(limit).await.map_err(|error| table_failed(&error, &self.table))?;
        if list.unreadable > 0 {
            self.said_unreadable.call_once(|| {
                let n = list.unreadable;
                terminal::remark(&format!(
                    "In the table {}, {n} in the list of runs cannot be read, and are left out.",
                    self.table
                ));
            });
        }
        Ok(list.runs)
    }

    /// The run of this id, if it is in the list of runs.
    pub(crate) async fn started(&self, run_id: &RunId) -> Result<Option<StartedRun>> {
        let runs = self.last_runs(usize::MAX).await?;
        Ok(runs.into_iter().find(|started| started.run.run_id == *run_id))
    }

    /// What a run came to.
    pub(crate) async fn reckon(&self, started: StartedRun, queued: Queued) -> Result<Reckoned> {
        let StartedRun { run: Run { run_id, as_of, mode, .. }, started_at, accounts } = started;
        let queued = queued.settled(started_at, Utc::now());
        let summary = self.summary(&run_id, Some(accounts), queued).await?;
        let (mode, as_of, started_at) = (Some(mode), Some(as_of), Some(started_at));
        Ok(Reckoned { run_id, mode, as_of, started_at, summary })
    }

    /// What a run came to that is missing in the list of runs, if it left anything.
    pub(crate) async fn reckon_unlisted(&self, run_id: RunId, queued: Queued) -> Result<Option<Reckoned>> {
        let summary = self.summary(&run_id, None, Some(queued)).await?;
        let reckoned = Reckoned { run_id, mode: None, as_of: None, started_at: None, summary };
        Ok((reckoned.summary.accounts.total > 0).then_some(reckoned))
    }

    /// What a run of so many accounts came to.
    pub(crate) async fn summary(
        &self,
        run_id: &RunId,
        accounts: Option<u64>,
        queued: Option<Queued>,
    ) -> Result<Summary> {
        let records = self.log.records(run_id).await.map_err(|error| table_failed(&error, &self.table))?;
        Ok(Summary::of(accounts, &records, queued))
    }

    /// What the queues hold that runs work through. In the order of messages, so that none slips past, and to be asked before
    /// the records: what has left its queue is counted.
    pub(crate) async fn queued(&self) -> Result<Queued> {
        let mut depths = [0; 3];
        for (depth, queue) in
            depths.iter_mut().zip([QueueName::Accounts, QueueName::Users, QueueName::Findings])
        {
            *depth = self.depth(queue).await?.map_or(0, Depth::all);
        }
        let [accounts, users, findings] = depths;
        Ok(Queued { accounts, users, findings })
    }

    /// All queues, and what they hold. How old that is, they do not say.
    pub(crate) async fn queues(&self) -> Result<Vec<Queue>> {
        let one = async |queue: &QueueName| {
            let depth = self.depth(*queue).await?;
            let letters = match self.outputs.get(queue.outputs().0) {
                Some(url) => self.aws.depth(url).await?.all(),
                None => 0,
            };
            anyhow::Ok(Queue { name: queue.label(), depth, dead_letters: letters, ..Queue::default() })
        };
        try_join_all(QueueName::value_variants().iter().map(one)).await
    }

    /// What was told of the queues' oldest messages between the two instants.
    pub(crate) async fn told_of_oldest(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<BTreeMap<String, Vec<Datapoint>>> {
        let names = QueueName::value_variants().iter().flat_map(|queue| <[_; 2]>::from(self.names(*queue)));
        self.aws.told_of_oldest(&names.flatten().collect::<Vec<_>>(), since, until).await
    }

    /// Tells the queues how old their oldest messages are.
    pub(crate) fn set_ages(&self, queues: &mut [Queue], ages: &Ages) {
        let age = |name: Option<String>| ages.get(&name?).copied();
        for (queue, name) in queues.iter_mut().zip(QueueName::value_variants()) {
            let (messages, letters) = self.names(*name);
            queue.set_ages(age(messages), age(letters));
        }
    }

    /// What SQS calls a queue that functions work through, and the one of its dead letters.
    fn names(&self, queue: QueueName) -> (Option<String>, Option<String>) {
        let (letters, messages) = queue.outputs();
        let name = |output| self.outputs.get(output).map(|url| last_part(url).to_owned());
        (name(messages).filter(|_| queue.is_worked_through()), name(letters))
    }

    /// What a queue that functions work through holds.
    async fn depth(&self, queue: QueueName) -> Result<Option<Depth>> {
        let (_, url) = queue.outputs();
        match self.outputs.get(url).filter(|_| queue.is_worked_through()) {
            Some(url) => Ok(Some(self.aws.depth(url).await?)),
            None => Ok(None),
        }
    }

    /// Starts a run, and waits until its accounts are enqueued.
    pub(crate) async fn start(&self, event: &impl Serialize) -> Result<(), NotInvoked> {
        self.aws.invoke(&self.producer, event).await
    }
}

impl Queue {
    /// Whether there is something to work through.
    pub(crate) fn has_messages(&self) -> bool {
        self.depth.is_some_and(|depth| depth.all() > 0)
    }

    /// Ages are told late: what holds nothing any more has none.
    pub(crate) fn set_ages(&mut self, messages: Option<u64>, letters: Option<u64>) {
        self.oldest_age_seconds = messages.filter(|_| self.has_messages());
        self.oldest_dead_letter_age_seconds = letters.filter(|_| self.dead_letters > 0);
    }

    /// What it holds without an age.
    pub(crate) fn without_age(&self) -> impl Iterator<Item = String> {
        let messages = self.has_messages() && self.oldest_age_seconds.is_none();
        let letters = self.dead_letters > 0 && self.oldest_dead_letter_age_seconds.is_none();
        let messages = messages.then(|| self.name.clone());
        messages.into_iter().chain(letters.then(|| format!("{} (dead letters)", self.name)))
    }

    pub(crate) fn dead_letters(queues: &[Self]) -> u64 {
        queues.iter().map(|queue| queue.dead_letters).sum()
    }
}
