//! What people read and answer. Data goes to stdout; questions, progress and remarks go to stderr.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::thread;

use anyhow::Context;
use chrono::TimeDelta;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;

/// Prints data.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing to stdout")
}

/// Says something beside the data. If nobody listens, the work goes on.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// Says what went wrong. If nobody can read it, the exit code still tells.
pub(crate) fn error(error: &anyhow::Error) {
    // Some of the SDK's errors are lists of what was tried.
    format!("error: {error:#}").lines().for_each(remark);
}

/// Whether data may be in colour: somebody looks at it who has not asked for none (<https://no-color.org>).
pub(crate) fn is_in_colour() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_unwanted
}

/// Whether somebody is there to answer a question.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks, and takes anything but `y` and `yes` for a no; so it does the end of the input.
///
/// The thread that waits for the answer is left behind when this future is dropped: a read cannot be called off, and it
/// must not keep an interrupted process from ending.
pub(crate) async fn confirm(question: &str) -> anyhow::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ").context("asking")?;
    let (answer, answered) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        // Dropped: nobody waits for it any more.
        let _ = answer.send(read.map(|_| is_yes(&line)));
    });
    answered.await.context("waiting for an answer")?.context("reading the answer")
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// A bar from 0 to `length`; nothing where stderr is not a terminal.
pub(crate) fn bar(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_message(what).with_style(style)
}

/// A count without an end; nothing where stderr is not a terminal.
pub(crate) fn counter(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {pos}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::no_length().with_message(what).with_style(style)
}

/// For what has no progress to show.
pub(crate) fn no_progress() -> ProgressBar {
    ProgressBar::hidden()
}

/// A table without lines, whose columns at `right` hold numbers.
pub(crate) fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// The text on one line, and without anything that a terminal obeys or that hides what it says: a message may be
/// hostile.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |escaped, c| write!(escaped, "{}", c.escape_unicode()))
}

/// The same for JSON that is already written: there, such characters are inside of strings only.
pub(crate) fn printable_json(json: &str) -> String {
    escaped(json, |escaped, c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(escaped, "\\u{unit:04x}"))
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char) -> std::fmt::Result) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed_or_hidden(c) {
            // Writing to a string does not fail.
            let _ = escape(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, C1 included; line separators; characters that turn the direction of text or have no width.
fn is_obeyed_or_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// How long, in the largest unit that fits, rounded down: `45 s`, `3 h`, `12 d`.
pub(crate) fn rough(time: TimeDelta) -> String {
    match time.num_seconds().max(0) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3_600 => format!("{} min", seconds / 60),
        seconds @ ..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// `1 letter`, `2 letters`, `3,000 letters`.
pub(crate) fn letters(count: usize) -> String {
    format!("{} letter{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// The number with a comma between thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_yes_is_a_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yep\n", "y y\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e"), "a\\u{1b}[2Jb\\u{a}c\\u{9b}d\\u{202e}e");
        assert_eq!(printable("Jürgen 🙂"), "Jürgen 🙂");
    }

    #[test]
    fn times_are_rounded_down_to_the_largest_unit() {
        for (seconds, text) in
            [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (86_399, "23 h"), (900_000, "10 d")]
        {
            assert_eq!(rough(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 2].map(letters), ["0 letters", "1 letter", "2 letters"]);
    }

    proptest! {
        #[test]
        fn nothing_printable_holds_what_a_terminal_obeys(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_obeyed_or_hidden));
        }

        #[test]
        fn printable_json_says_the_same(text in any::<String>()) {
            let json = printable_json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!json.chars().any(is_obeyed_or_hidden));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
