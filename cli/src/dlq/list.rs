//! `keynudge dlq list`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use futures::future::join_all;
use serde::Serialize;

use crate::Outcome;
use crate::aws::Aws;
use crate::dlq::held::{Counts, DeadLetterQueue, Held, holding};
use crate::dlq::letter::Letter;
use crate::dlq::queues::{Place, Queues};
use crate::dlq::selection::report_not_put_back;
use crate::interrupt::Interrupt;
use crate::numbers::whole;
use crate::terminal::{self, grouped, printable_json, rough};

/// Count the letters in each queue, by reason.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keynudge dlq list
  keynudge dlq list findings --json")]
pub(crate) struct List {
    #[command(flatten)]
    queues: Queues,
    /// Read at most so many letters of each queue for their reasons and ages
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = whole("letters", 1_usize..))]
    limit: usize,
    /// Print one JSON object per queue
    #[arg(long)]
    json: bool,
}

/// A queue, as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    queue: String,
    url: String,
    visible: usize,
    in_flight: usize,
    /// Of those read.
    oldest_sent_at: Option<DateTime<Utc>>,
    oldest_age_seconds: Option<i64>,
    /// How many of those read there are by reason.
    reasons: BTreeMap<String, usize>,
    read: usize,
    /// Whether all that could be seen were read.
    complete: bool,
}

impl List {
    pub(crate) async fn run(&self, aws: &Aws) -> Result<Outcome> {
        let places = self.queues.locate(aws).await?;
        let interrupt = Interrupt::listen()?;
        let held: Vec<_> = places.iter().map(|place| Held::new(aws.dead_letters(place))).collect();
        let now = Utc::now();
        let listing = async {
            let one = async |(place, held): (&Place, _)| {
                list(&place.label, &place.url, held, self.limit, now, &interrupt).await
            };
            join_all(places.iter().zip(&held).map(one)).await
        };
        let (listed, not_put_back) = holding(&held.iter().collect::<Vec<_>>(), listing).await;
        report_not_put_back(not_put_back);
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for (one, place) in listed.into_iter().zip(&places) {
            match one {
                Ok(row) => rows.push(row),
                Err(error) => failures.push(error.context(place.label.clone())),
            }
        }
        if !rows.is_empty() {
            let table = || terminal::fitted(&table(&rows), terminal::width());
            terminal::print(&if self.json { json(&rows)? } else { table() })?;
        }
        failures.iter().for_each(terminal::error);
        Ok(Outcome::done_if(failures.is_empty()))
    }
}

async fn list(
    label: &str,
    url: &str,
    held: &Held<impl DeadLetterQueue>,
    limit: usize,
    now: DateTime<Utc>,
    interrupt: &Interrupt,
) -> Result<Listed> {
    let Counts { visible, in_flight } = interrupt.or(held.queue().counts()).await?;
    let progress = terminal::no_progress();
    let reading = held
        .read(limit, interrupt, &progress, |received| {
            let letter = Letter::read(label, received);
            Some((letter.failure.reason, letter.sent_at))
        })
        .await?;
    let mut reasons = BTreeMap::new();
    for (reason, _) in &reading.kept {
        *reasons.entry(reason.clone()).or_default() += 1;
    }
    let oldest_sent_at = reading.kept.iter().map(|(_, sent_at)| *sent_at).min();
    Ok(Listed {
        queue: label.to_owned(),
        url: url.to_owned(),
        // SQS's own count lags behind what it gave out.
        visible: visible.max(reading.kept.len()),
        in_flight,
        oldest_sent_at,
        oldest_age_seconds: oldest_sent_at.map(|sent_at| (now - sent_at).num_seconds().max(0)),
        reasons,
        read: reading.kept.len(),
        complete: !reading.is_full && !reading.unread.not_given,
    })
}

fn json(listed: &[Listed]) -> Result<String> {
    listed.iter().map(|one| Ok(printable_json(&serde_json::to_string(one)?) + "\n")).collect()
}

fn table(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|one| {
        let mut counts: Vec<_> = one.reasons.iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(**count));
        let mut reasons: Vec<String> =
            counts.iter().map(|(reason, count)| format!("{reason} {}", grouped(**count))).collect();
        let at_least = if one.complete { "" } else { "≥ " };
        if !one.complete {
            reasons.push(format!("… (of {} read)", grouped(one.read)));
        }
        let age = one.oldest_age_seconds.map(|seconds| rough(TimeDelta::seconds(seconds)));
        let oldest = age.map_or_else(|| "-".to_owned(), |age| format!("{at_least}{age}"));
        vec![one.queue.clone(), grouped(one.visible), grouped(one.in_flight), oldest, reasons.join(", ")]
    });
    terminal::table(&["QUEUE", "VISIBLE", "IN FLIGHT", "OLDEST", "REASONS"], &[1, 2, 3], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(reasons: &[(&str, usize)], complete: bool) -> Listed {
        Listed {
            queue: "users".to_owned(),
            url: "https://sqs/users".to_owned(),
            visible: 1_234,
            in_flight: 5,
            oldest_sent_at: None,
            oldest_age_seconds: (!reasons.is_empty()).then_some(7_200),
            reasons: reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            read: 1_000,
            complete,
        }
    }

    #[test]
    fn the_most_frequent_reason_comes_first() {
        let table = table(&[listed(&[("call_failed", 2), ("crashed", 7)], true), listed(&[], true)]);
        assert_eq!(
            table,
            "QUEUE  VISIBLE  IN FLIGHT  OLDEST  REASONS\n\
             users    1,234          5     2 h  crashed 7, call_failed 2\n\
             users    1,234          5       -\n"
        );
    }

    #[test]
    fn what_was_not_read_to_its_end_says_so() {
        let table = table(&[listed(&[("crashed", 7)], false)]);
        assert!(table.contains("≥ 2 h  crashed 7, … (of 1,000 read)\n"), "{table}");
    }
}
