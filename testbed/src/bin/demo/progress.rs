//! What the demo says while it works: on a terminal a spinner and a bar, elsewhere plain lines. All on standard error.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use keynudge_testbed::pipeline;

const TICK: Duration = Duration::from_millis(100);
/// How often a plain line says how far the run is.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A reporter of progress.
pub(crate) struct Progress {
    /// Hidden where standard error is no terminal.
    bar: ProgressBar,
    said_at: Cell<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::new_spinner(), said_at: Cell::new(None) }
    }

    /// A step has begun.
    pub(crate) fn step(&self, what: &str) {
        // After a pause, the bar has to be brought back.
        self.bar.reset();
        self.bar.enable_steady_tick(TICK);
        self.bar.set_style(style("{spinner} {msg}"));
        self.bar.set_message(what.to_owned());
        self.say(what);
    }

    /// Makes way for another program that writes to the terminal.
    pub(crate) fn pause(&self) {
        self.bar.finish_and_clear();
    }

    /// A step has `total` parts, and `done` of them are done.
    pub(crate) fn count(&self, done: u64, total: u64) {
        self.bar.set_style(style("{spinner} {msg} {wide_bar:.cyan/blue} {human_pos}/{human_len}"));
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// The run is this far with `to_check` users.
    pub(crate) fn run(&self, progress: &pipeline::Progress, to_check: u64) {
        let waiting = describe(progress);
        self.bar.set_message(waiting.clone());
        if progress.accounts == 0 {
            self.count(to_check.saturating_sub(progress.users as u64), to_check);
        }
        let is_time = self.said_at.get().is_none_or(|said_at| said_at.elapsed() >= LINE_INTERVAL);
        if is_time {
            self.say(&waiting);
        }
    }

    /// Everything is done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.said_at.set(Some(Instant::now()));
        if self.bar.is_hidden() {
            complain(line);
        }
    }
}

fn describe(progress: &pipeline::Progress) -> String {
    let users = HumanCount(progress.users as u64);
    let owners = HumanCount(progress.findings as u64);
    let verb = if progress.accounts > 0 { "listing users;" } else { "checking users;" };
    format!("{verb} {users} to check, {owners} owners to mail")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Writes a line to standard error.
#[expect(clippy::print_stderr, reason = "this is a program's own voice")]
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}
