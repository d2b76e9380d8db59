//! `keynudge dlq drop`: write to a file, then delete.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use futures::{StreamExt, future, stream};

use crate::Outcome;
use crate::aws::Aws;
use crate::dlq::filter::Filter;
use crate::dlq::held::{BATCH, DeadLetterQueue, Held, holding};
use crate::dlq::letter::{Letter, MessageId};
use crate::dlq::queues::Queues;
use crate::dlq::selection::{self, Answer, MAX_FAILURES, Question, Tally, select};
use crate::dlq::show;
use crate::interrupt::Interrupt;
use crate::terminal::{self, letters, printable};

/// Calls at once.
const CONCURRENCY: usize = 8;

/// Write letters to a file, and delete them.
///
/// What died so delays reminders until the next run, which finds whoever is still due.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  keynudge dlq drop accounts --reason invalid_message
  keynudge dlq drop accounts --reason invalid_message --save dropped.jsonl --yes")]
#[command(group = ArgGroup::new("one").args(["queue", "queue_url"]).required(true))]
pub(crate) struct Drop {
    #[command(flatten)]
    queues: Queues,
    /// The file to write them to first, which must not exist; one JSON object per letter. By default a name with the
    /// queue and the time, in the current directory
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) question: Question,
    // Last, since its heading is for all that follows.
    #[command(flatten)]
    filter: Filter,
}

impl Drop {
    pub(crate) async fn run(&self, aws: &Aws) -> Result<Outcome> {
        // One, as the usage demands: it takes a single word to drop what was not meant.
        let place = self.queues.locate_named(aws).await?.context("name the queue to drop letters from")?;
        let interrupt = Interrupt::listen()?;
        let held = Held::new(aws.dead_letters(&place));
        let dropping = self.drop(&place.label, &held, Utc::now(), &interrupt);
        let (result, not_put_back) = holding(&[&held], dropping).await;
        selection::report_not_put_back(not_put_back);
        result
    }

    /// Reads, shows, asks, writes, acts, sums up.
    async fn drop(
        &self,
        label: &str,
        held: &Held<impl DeadLetterQueue>,
        now: DateTime<Utc>,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        let selected = select(&[(label, held)], &self.filter, usize::MAX, now, interrupt).await;
        let selected = selected.of_all_queues()?;
        let reading = selected.report();
        if selected.letters.is_empty() {
            return Ok(reading);
        }
        terminal::print(&terminal::fitted(
            &selection::table(&selected.letters, now, None),
            terminal::width(),
        ))?;
        let file = self.save.clone().unwrap_or_else(|| default_file(label, now));
        let count = selected.letters.len();
        let question =
            format!("Drop {}, after writing to {}?", letters(count), printable(&file.display().to_string()));
        match self.question.ask(&question, interrupt).await? {
            Answer::Yes => {}
            Answer::No => {
                terminal::remark("Nothing was dropped.");
                return Ok(Outcome::Incomplete);
            }
            Answer::DryRun => {
                terminal::remark("A dry run: nothing was dropped.");
                return Ok(reading);
            }
        }
        let selected_letters: Vec<&Letter> = selected.letters.iter().map(|(_, letter)| letter).collect();
        save(&file, &selected_letters)
            .with_context(|| format!("writing {} failed, so nothing was dropped", file.display()))?;
        terminal::remark(&format!("Written to {}.", file.display()));
        let tally = drop_all(held, &selected_letters, interrupt).await;
        Ok(reading.and(tally.sum_up("Dropped", count, selected.is_full, interrupt)?))
    }
}

/// Named by the queue and the time, to the second: two drops in one are told that the file exists.
fn default_file(label: &str, now: DateTime<Utc>) -> PathBuf {
    format!("keynudge-dropped-{label}-{}.jsonl", now.format("%Y%m%dT%H%M%SZ")).into()
}

/// Writes the letters to a new file that only its owner may read, and waits until they are on the disk.
fn save(path: &Path, letters: &[&Letter]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut writer = BufWriter::new(&file);
    for letter in letters {
        writer.write_all(show::json(letter)?.as_bytes())?;
    }
    writer.flush()?;
    std::mem::drop(writer);
    file.sync_all()?;
    // The file's name is the directory's.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// Deletes in the order given, until it is done, interrupted or has failed too often.
async fn drop_all(held: &Held<impl DeadLetterQueue>, letters: &[&Letter], interrupt: &Interrupt) -> Tally {
    let progress = terminal::bar("dropping", letters.len());
    let tally = RefCell::new(Tally::default());
    stream::iter(letters.chunks(BATCH))
        .take_until(interrupt.asked())
        .take_while(|_| future::ready(tally.borrow().failed < MAX_FAILURES))
        .map(async |batch| {
            let ids: Vec<&MessageId> = batch.iter().map(|letter| &letter.message_id).collect();
            held.delete(&ids).await
        })
        .buffer_unordered(CONCURRENCY)
        .for_each(async |results| {
            progress.inc(results.len() as u64);
            for result in results {
                tally.borrow_mut().count("not dropped", result);
            }
        })
        .await;
    progress.finish_and_clear();
    tally.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::letter::tests::{check, letter, now};
    use crate::dlq::memory::MemoryQueue;
    use serde_json::{Value, json};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of one test's own.
    struct Directory(PathBuf);

    impl Directory {
        fn of(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("keynudge-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl std::ops::Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_is_dropped_can_be_read_from_the_file_as_it_was() {
        let directory = Directory::of("dropped-is-saved");
        let file = directory.0.join("dropped.jsonl");
        let hostile = json!("\u{0}\u{9b}\n{\"é🙂");
        let letters = [letter(&check("jane"), &[("reason", "crashed")]), letter(&hostile, &[])];
        save(&file, &letters.iter().collect::<Vec<_>>()).unwrap();

        let text = fs::read_to_string(&file).unwrap();
        let saved: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(saved.len(), 2);
        assert_eq!(saved[0]["body"], check("jane").to_string());
        assert_eq!(saved[0]["message_group_id"], "123456789012");
        assert_eq!(saved[0]["attributes"], json!({"reason": "crashed"}));
        assert_eq!(saved[1]["body"], hostile);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_file_is_overwritten() {
        let directory = Directory::of("no-file-is-overwritten");
        let file = directory.0.join("dropped.jsonl");
        fs::write(&file, "precious").unwrap();
        assert!(save(&file, &[&letter(&check("jane"), &[])]).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn a_file_is_named_by_queue_and_time() {
        assert_eq!(default_file("users", now()), Path::new("keynudge-dropped-users-20260301T120000Z.jsonl"));
    }

    #[tokio::test]
    async fn what_cannot_be_deleted_is_counted_and_stays() {
        let queue = MemoryQueue::with(&vec![(check("jane"), "crashed"); 25]);
        let held = Held::new(MemoryQueue { undeletable: vec!["m-3", "m-17"], ..queue });
        let interrupt = Interrupt::never();
        let work = async {
            let queues = [("users", &held)];
            let selected = select(&queues, &Filter::default(), usize::MAX, now(), &interrupt).await;
            let letters: Vec<_> = selected.letters.iter().map(|(_, letter)| letter).collect();
            drop_all(&held, &letters, &interrupt).await
        };
        let (tally, _) = holding(&[&held], work).await;
        assert_eq!((tally.done, tally.failed), (23, 2));
        assert_eq!(held.queue().len(), 2);
    }
}
