//! The functions' logs, as CloudWatch Logs keeps them.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{PATIENCE, ask};
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::errors::{JSON_PATTERN, Log, LogLine, TEXT_PATTERN};

/// A page has up to 10,000 lines, or none although more follow.
const PAGES_MAX: usize = 20;

impl Aws {
    /// The lines of a function's log since then that may be complaints, oldest first.
    pub(crate) async fn complaints(&self, function: &str, since: DateTime<Utc>) -> Answer<Log> {
        let logs = Logs {
            client: aws_sdk_cloudwatchlogs::Client::new(&self.config),
            group: format!("/aws/lambda/{function}"),
            since,
        };
        // A pattern is for lines of JSON, or for others.
        let (json, text) = futures::join!(logs.matching(JSON_PATTERN), logs.matching(TEXT_PATTERN));
        let (mut json, text) = (json?, text?);
        // Some may match both.
        let further = text.lines.into_iter().filter(|line| !json.lines.contains(line)).collect::<Vec<_>>();
        json.lines.extend(further);
        json.lines.sort_by_key(|line| line.at);
        Ok(Log { is_cut: json.is_cut || text.is_cut, ..json })
    }
}

struct Logs {
    client: aws_sdk_cloudwatchlogs::Client,
    group: String,
    since: DateTime<Utc>,
}

impl Logs {
    async fn matching(&self, pattern: &str) -> Answer<Log> {
        let call = self
            .client
            .filter_log_events()
            .log_group_name(&self.group)
            .start_time(self.since.timestamp_millis())
            .filter_pattern(pattern);
        let mut lines = Vec::new();
        let mut next = None;
        let started = Instant::now();
        for _ in 0..PAGES_MAX {
            if started.elapsed() > PATIENCE {
                break;
            }
            let page = ask("logs:FilterLogEvents", call.clone().set_next_token(next).send()).await?;
            lines.extend(page.events.unwrap_or_default().into_iter().filter_map(|event| {
                let at = DateTime::from_timestamp_millis(event.timestamp?)?;
                Some(LogLine { at, text: event.message? })
            }));
            next = page.next_token;
            if next.is_none() {
                return Ok(Log { lines, is_cut: false });
            }
        }
        Ok(Log { lines, is_cut: true })
    }
}
