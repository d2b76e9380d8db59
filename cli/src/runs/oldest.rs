//! How old the oldest messages of queues are. SQS itself does not say; it tells CloudWatch once a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::look::{Deployment, Queue};
use crate::aws::oldest::Datapoint;
use crate::terminal;

/// Older than this, an age says nothing of what is in the queue now.
const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// CloudWatch has nothing newer before, and takes money for each question.
const ASKED_EVERY: Duration = Duration::from_mins(1);

/// Seconds, by queue.
pub(crate) type Ages = BTreeMap<String, u64>;

/// What CloudWatch said last, or why it did not.
#[derive(Debug, Default)]
pub(crate) struct Oldest {
    last: Option<(Instant, Result<Ages, String>)>,
    remarked: Option<String>,
}

impl Oldest {
    /// What CloudWatch says of the queues, or said less than a minute ago.
    pub(crate) async fn look(&mut self, deployment: &Deployment) -> &Result<Ages, String> {
        let last = match self.last.take() {
            Some(last) if last.0.elapsed() < ASKED_EVERY => last,
            _ => (Instant::now(), ages(deployment).await.map_err(|error| error.to_string())),
        };
        &self.last.insert(last).1
    }

    /// Says it beside the data, unless that was said last.
    pub(crate) fn remark(&mut self, text: Option<&str>) {
        if let Some(text) = text.filter(|text| self.remarked.as_deref() != Some(text)) {
            terminal::remark(text);
            self.remarked = Some(text.to_owned());
        }
    }
}

async fn ages(deployment: &Deployment) -> Result<Ages> {
    let now = Utc::now();
    let told = deployment.told_of_oldest(now - WINDOW, now).await?;
    Ok(told.into_iter().filter_map(|(queue, told)| Some((queue, newest(&told, now)?))).collect())
}

/// The age that was told last, if that was not too long ago.
fn newest(told: &[Datapoint], now: DateTime<Utc>) -> Option<u64> {
    let last = told.iter().max_by_key(|datapoint| datapoint.at)?;
    (now - last.at <= WINDOW).then_some(last.age_seconds)
}

/// Why the age of something that is there is not.
pub(crate) fn missing(queues: &[Queue], ages: &Result<Ages, String>) -> Option<String> {
    let without: Vec<String> = queues.iter().flat_map(Queue::without_age).collect();
    match ages {
        _ if without.is_empty() => None,
        Ok(_) => Some(format!(
            "CloudWatch does not know yet how old the oldest message is of: {}.",
            without.join(", ")
        )),
        Err(why) => Some(format!("How old the oldest messages are is not known: {why}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::runs::Depth;

    fn told(minutes_ago: i64, age_seconds: u64) -> Datapoint {
        Datapoint { at: now() - TimeDelta::minutes(minutes_ago), age_seconds }
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T06:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_age_told_last_counts_in_whatever_order_they_come() {
        assert_eq!(newest(&[told(4, 600), told(2, 30), told(3, 660)], now()), Some(30));
    }

    #[test]
    fn nothing_told_or_only_long_ago_is_no_age() {
        assert_eq!(newest(&[], now()), None);
        assert_eq!(newest(&[told(15, 600)], now()), Some(600));
        assert_eq!(newest(&[told(16, 600), told(17, 540)], now()), None);
    }

    fn queue(visible: u64, dead_letters: u64) -> Queue {
        let depth = Some(Depth { visible, ..Depth::default() });
        Queue { name: "users".to_owned(), depth, dead_letters, ..Queue::default() }
    }

    #[test]
    fn what_holds_nothing_has_no_age_whatever_was_told() {
        let mut queue = queue(0, 0);
        queue.set_ages(Some(600), Some(900));
        assert_eq!((queue.oldest_age_seconds, queue.oldest_dead_letter_age_seconds), (None, None));
        let no_answer = Err("access denied".to_owned());
        assert_eq!(missing(&[queue], &no_answer), None);
    }

    #[test]
    fn an_age_that_is_missing_is_said_once_with_its_reason() {
        let mut queues = [queue(1, 2), queue(3, 0)];
        queues[0].set_ages(None, Some(900));
        assert_eq!(queues[0].oldest_dead_letter_age_seconds, Some(900));
        let denied = Err("access denied: these credentials need the action A".to_owned());
        assert_eq!(
            missing(&queues, &denied).unwrap(),
            "How old the oldest messages are is not known: access denied: these credentials need the action A."
        );
        queues[1].set_ages(Some(0), None);
        assert_eq!(
            missing(&queues, &Ok(Ages::new())).unwrap(),
            "CloudWatch does not know yet how old the oldest message is of: users."
        );
        queues[0].set_ages(Some(60), None);
        assert_eq!(
            missing(&queues, &Ok(Ages::new())).unwrap(),
            "CloudWatch does not know yet how old the oldest message is of: users (dead letters)."
        );
        queues[0].set_ages(Some(60), Some(900));
        assert_eq!(missing(&queues, &Ok(Ages::new())), None);
    }
}
