//! One run of the pipeline, from the schedule to the last empty queue.

use std::iter;
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::json;

use crate::aws::SQS;
use crate::deployment::Deployment;
use crate::functions::Function;
use crate::outbox::{Message, Queues, queue_name};
use crate::{Error, Result};

/// How often the queues are looked at, unless looking takes long.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long to look away, in times of how long the look took: where there are many messages, looking costs the emulator
/// time that it needs for them.
const REST_PER_LOOK: u32 = 10;
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// A message is in one queue or the next, but queues are looked at one after another, so that it can slip from one not
/// yet seen to one seen already. In as many looks as there are queues, it is seen.
const EMPTY_LOOKS: usize = 4;
/// How much of a stuck message, and how many of them and of the last log lines, an error shows.
const EXCERPT_CHARS: usize = 300;
const EXCERPTS: usize = 3;

/// How long a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// As a whole.
    pub overall: Duration,
    /// Without anything moving.
    pub standstill: Duration,
}

impl Default for Patience {
    /// The schedule fires within ten seconds, and a record that has to wait for something waits seconds; the rest is for
    /// slow machines.
    fn default() -> Self {
        Self { overall: Duration::from_mins(20), standstill: Duration::from_mins(3) }
    }
}

/// A run to be started.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// How many accounts it is about, those among them that do not let Keynudge in.
    pub accounts: usize,
    /// What stands in for the scheduled time, if anything.
    pub as_of: Option<&'a str>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self { accounts: 1, as_of: None }
    }
}

/// When a run took place, to the precision of the looks at it: rather too long than too short.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// When the schedule fired.
    pub began_at: DateTime<Utc>,
    /// How long it was from then to the last empty queue.
    pub took: Duration,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Accounts that are yet to be scanned.
    pub accounts: usize,
    /// Users that are yet to be checked.
    pub users: usize,
    /// Owners who are yet to be mailed.
    pub findings: usize,
    /// Events of SES that are yet to be written down.
    pub feedback: usize,
    /// What was given up.
    pub dead_letters: usize,
}

impl Progress {
    /// All that is yet to be done.
    #[must_use]
    pub fn to_do(&self) -> usize {
        self.accounts + self.users + self.findings + self.feedback
    }

    fn nothing_to_do(&self) -> bool {
        self.to_do() == 0
    }
}

impl Deployment {
    /// Starts a run of one account by the schedule, and waits until it is over. `on_progress` hears of each look at the
    /// queues. Returns when it took place.
    ///
    /// # Errors
    ///
    /// [`Error::NotDrained`], with what is stuck where, if the run does not end in time.
    pub async fn run(&self, patience: Patience, on_progress: impl FnMut(Progress)) -> Result<Ran> {
        self.run_as(Run::default(), patience, on_progress).await
    }

    /// The same, of more accounts, or as of another time.
    ///
    /// # Errors
    ///
    /// [`Error::NotDrained`], with what is stuck where, if the run does not end in time.
    pub async fn run_as(
        &self,
        run: Run<'_>,
        patience: Patience,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Ran> {
        // To the millisecond, as logs are.
        let since = Utc::now().trunc_subsecs(3);
        self.fire(run.as_of).await?;
        let fired_at = self.wait_until_begun(patience, since).await?;
        loop {
            // Asked before the queues are looked at: what follows from a scan that was completed by then is in them. Other
            // messages may have been at work, and be done before the schedule has fired.
            let is_scanned = self.accounts_done(since).await?.len() >= run.accounts;
            let empty_at = self.wait_until_empty(patience, &mut on_progress).await?;
            if is_scanned {
                let took = empty_at - fired_at;
                return Ok(Ran { began_at: Utc::now() - fired_at.elapsed(), took });
            }
            if fired_at.elapsed() > patience.overall {
                return Err(self.not_drained("did not scan all accounts").await);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the first run, which the schedule starts by itself, is over.
    ///
    /// # Errors
    ///
    /// [`Error::NotDrained`], with what is stuck where, if it does not begin and end in time.
    pub async fn wait_for_first_run(&self, patience: Patience) -> Result<()> {
        self.wait_until_begun(patience, DateTime::UNIX_EPOCH).await?;
        self.wait_until_empty(patience, |_| ()).await.map(drop)
    }

    /// Waits until a run is at work, or has been: until then, its queues are as empty as after it. Returns when it was
    /// last seen not to have begun.
    async fn wait_until_begun(&self, patience: Patience, since: DateTime<Utc>) -> Result<Instant> {
        let waiting_since = Instant::now();
        let mut idle_at = waiting_since;
        loop {
            let looked_at = Instant::now();
            let is_at_work = !self.progress().await?.nothing_to_do();
            if is_at_work || !self.accounts_done(since).await?.is_empty() {
                return Ok(idle_at);
            }
            idle_at = looked_at;
            if waiting_since.elapsed() > patience.standstill {
                return Err(self.not_drained("was not started by the schedule").await);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until there is nothing in any queue, neither visible nor in flight. `on_progress` hears of each look. Returns
    /// since when that is so.
    ///
    /// A message leaves its queue only when what follows from it is in the next: as long as there is work, there is a
    /// message somewhere.
    ///
    /// # Errors
    ///
    /// [`Error::NotDrained`], with what is stuck where, if that does not come in time.
    pub async fn wait_until_empty(
        &self,
        patience: Patience,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Instant> {
        let started_at = Instant::now();
        let mut empty_at = started_at;
        let mut moved_at = started_at;
        let mut last_seen = Progress::default();
        let mut empty_looks = 0;
        while empty_looks < EMPTY_LOOKS {
            let looked_at = Instant::now();
            let progress = self.progress().await?;
            let rest = looked_at.elapsed() * REST_PER_LOOK;
            on_progress(progress);
            empty_looks = if progress.nothing_to_do() { empty_looks + 1 } else { 0 };
            if empty_looks == 1 {
                empty_at = Instant::now();
            }
            if progress != last_seen {
                (last_seen, moved_at) = (progress, Instant::now());
            }
            if moved_at.elapsed() > patience.standstill {
                return Err(self.not_drained("stands still").await);
            }
            if started_at.elapsed() > patience.overall {
                return Err(self.not_drained("takes too long").await);
            }
            tokio::time::sleep(rest.clamp(POLL_INTERVAL, POLL_INTERVAL_MAX)).await;
        }
        Ok(empty_at)
    }

    /// Looks at all queues. Their messages are counted and left where they are: there may be many, and large ones.
    ///
    /// # Errors
    ///
    /// Whatever the calls to SQS answer.
    pub async fn progress(&self) -> Result<Progress> {
        let [accounts, users, findings, feedback] = self.outputs.queue_urls();
        let mut dead_letters = 0;
        for url in self.outputs.dead_letter_queue_urls() {
            dead_letters += self.messages_in(url).await?;
        }
        Ok(Progress {
            accounts: self.messages_in(accounts).await?,
            users: self.messages_in(users).await?,
            findings: self.messages_in(findings).await?,
            feedback: self.messages_in(feedback).await?,
            dead_letters,
        })
    }

    /// How many messages a queue holds: visible, in flight and delayed.
    async fn messages_in(&self, queue_url: &str) -> Result<usize> {
        const COUNTS: [&str; 3] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let wanted = json!({ "QueueUrl": queue_url, "AttributeNames": COUNTS });
        let answer = self.aws.json(SQS, "GetQueueAttributes", &wanted).await?;
        let count = |name: &&str| answer["Attributes"][name].as_str()?.parse::<usize>().ok();
        let counts: Option<Vec<usize>> = COUNTS.iter().map(count).collect();
        counts.map(|counts| counts.iter().sum()).ok_or_else(|| Error::Unreadable {
            call: "sqs:GetQueueAttributes".to_owned(),
            detail: answer.to_string(),
        })
    }

    async fn not_drained(&self, what: &str) -> Error {
        let report = match Queues::of(&self.aws).await {
            Ok(queues) => self.report(&queues).await,
            Err(error) => error.to_string(),
        };
        Error::NotDrained { what: what.to_owned(), report }
    }

    /// What is in which queue, and what the functions said last.
    pub async fn report(&self, queues: &Queues) -> String {
        let mut report = String::new();
        let outputs = &self.outputs;
        for url in outputs.queue_urls().iter().chain(&outputs.dead_letter_queue_urls()) {
            report += &report_on_queue(queue_name(url), queues.messages(url));
        }
        for function in Function::ALL {
            report += &self.report_on_log(function).await;
        }
        report
    }

    async fn report_on_log(&self, function: Function) -> String {
        let events = self.log(function).await.unwrap_or_default();
        let last = &events[events.len().saturating_sub(EXCERPTS)..];
        let lines = last.iter().map(|event| format!("    {}\n", excerpt(&event.message)));
        format!("  log of the {}:\n{}", function.binary(), lines.collect::<String>())
    }
}

/// How much is in a queue, and what; nothing about an empty one.
fn report_on_queue(name: &str, messages: &[Message]) -> String {
    if messages.is_empty() {
        return String::new();
    }
    let in_flight = messages.iter().filter(|message| !message.is_visible).count();
    let heading = format!("  {name}: {} messages, {in_flight} in flight\n", messages.len());
    let bodies = messages
        .iter()
        .take(EXCERPTS)
        .map(|message| format!("    received {} times: {}\n", message.receive_count, excerpt(&message.body)));
    iter::once(heading).chain(bodies).collect()
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}
