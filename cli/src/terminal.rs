//! What people read and answer. Data goes to stdout; questions, progress and remarks go to stderr.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{iter, thread};

use anyhow::Context;
use chrono::TimeDelta;
use clap::builder::styling::{Style, Styles};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use keynudge_core::ids::steers;
use terminal_size::{Height, Width};
use tokio::sync::oneshot;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::interrupt::Interrupt;

/// The reader of our output has closed it, as in `keynudge … | head`. The broken pipe of a socket is not
/// among these: it is a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl Error for OutputClosed {}

/// Prints data.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(output_failed).context("writing to stdout")
}

/// What became of writing our own output.
pub(crate) fn output_failed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { OutputClosed.into() } else { error.into() }
}

/// Prints a remark to stderr, beside the data on stdout. If that fails, the work goes on.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// Prints an error to stderr, in clap's style. If that fails, the exit code still reports the error.
pub(crate) fn error(error: &anyhow::Error) {
    let is_coloured = io::stderr().is_terminal() && !is_colour_unwanted();
    let style = if is_coloured { *Styles::styled().get_error() } else { Style::new() };
    // Some of the SDK's errors are lists of what was tried.
    for (position, line) in format!("{error:#}").lines().enumerate() {
        let label = if position == 0 { format!("{style}error:{style:#} ") } else { String::new() };
        let _ = writeln!(io::stderr(), "{label}{}", printable(line));
    }
}

static IS_DEBUGGING: AtomicBool = AtomicBool::new(false);

/// From now on, errors are shown with all their causes.
pub(crate) fn debug() {
    IS_DEBUGGING.store(true, Ordering::Relaxed);
}

/// Why a call failed, for people: the last cause, which has the service's own words, or the system's. The
/// causes in between name parts of the SDK; `--debug` shows them.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
    if IS_DEBUGGING.load(Ordering::Relaxed) {
        causes.collect::<Vec<_>>().join(": ")
    } else {
        causes.last().unwrap_or_default()
    }
}

/// Whether data may be in colour: somebody looks at it who has not asked for none (<https://no-color.org>).
pub(crate) fn is_in_colour() -> bool {
    io::stdout().is_terminal() && !is_colour_unwanted()
}

fn is_colour_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// How many columns stdout's terminal has; none if stdout is no terminal.
pub(crate) fn width() -> Option<usize> {
    size().map(|size| size.columns)
}

/// The size of stdout's terminal; none if stdout is no terminal.
pub(crate) fn size() -> Option<Size> {
    let (Width(columns), Height(lines)) = terminal_size::terminal_size_of(io::stdout())?;
    Some(Size { lines: lines.into(), columns: columns.into() })
}

/// What a terminal shows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) lines: usize,
    pub(crate) columns: usize,
}

/// The text, its lines cut with `…` where they are longer than `width`.
pub(crate) fn fitted(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    text.lines().map(|line| cut(line, width) + "\n").collect()
}

/// The line, cut with `…` where it is longer than `width`.
fn cut(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let mut cut = String::new();
    let mut columns = 1;
    for c in line.chars() {
        columns += c.width().unwrap_or(0);
        if columns > width {
            break;
        }
        cut.push(c);
    }
    format!("{}…", cut.trim_end())
}

/// The text, broken at blanks so that only words longer than `width` exceed it. `used` columns of the first
/// line are taken; the others begin with `indent` blanks.
pub(crate) fn wrapped(text: &str, used: usize, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut wrapped = String::new();
    let mut columns = used;
    for (position, word) in text.split(' ').enumerate() {
        if position > 0 && columns + 1 + word.width() > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            columns = indent;
        } else if position > 0 {
            wrapped.push(' ');
            columns += 1;
        }
        wrapped.push_str(word);
        columns += word.width();
    }
    wrapped
}

/// Whether somebody is there to answer a question.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks a question. Only `y` and `yes` agree; any other answer, the end of the input and an interrupt do not.
///
/// The thread that waits for the answer is left behind when this future is dropped: a read cannot be called off, and it
/// must not keep an interrupted process from ending.
pub(crate) async fn confirm(question: &str, interrupt: &Interrupt) -> anyhow::Result<bool> {
    write!(io::stderr(), "{question} [y/N] ").context("asking")?;
    let (answer, answered) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        // Dropped: nobody waits for it any more.
        let _ = answer.send(read.map(|_| is_yes(&line)));
    });
    tokio::select! {
        answer = answered => answer.context("waiting for an answer")?.context("reading the answer"),
        () = interrupt.asked() => {
            // The cursor still is behind the question.
            remark("");
            Ok(false)
        }
    }
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

/// A table without lines, whose columns at `right` hold numbers, as wide as its cells.
pub(crate) fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table_within(None, header, right, rows)
}

/// The same, cut to a terminal that is `width` columns wide.
pub(crate) fn table_within(
    width: Option<usize>,
    header: &[&str],
    right: &[usize],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let rows = rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect());
    let mut rows: Vec<Vec<String>> =
        iter::once(header.iter().map(ToString::to_string).collect()).chain(rows).collect();
    if let Some(width) = width {
        let widths = fitting(&natural_widths(&rows), width);
        for (cell, width) in rows.iter_mut().flat_map(|row| row.iter_mut().zip(&widths)) {
            *cell = cut(cell, *width);
        }
    }
    let mut rows = rows.into_iter();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(rows.next().unwrap_or_default());
    table.add_rows(rows);
    for (position, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, GAP));
        if right.contains(&position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// Blanks between the columns of a table.
const GAP: u16 = 2;

/// The columns that a cut cell keeps if they fit: a cell of the last column, and of any other.
const LAST_MIN: usize = 16;
const OTHERS_MIN: usize = 12;

fn natural_widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.width());
    (0..columns).map(|column| rows.iter().map(|row| width(row, column)).max().unwrap_or_default()).collect()
}

/// Widths of columns that fit into `width` together, where that is possible. The last column is cut first,
/// the first one last.
fn fitting(natural: &[usize], width: usize) -> Vec<usize> {
    let mut widths = natural.to_owned();
    let gaps = usize::from(GAP) * natural.len().saturating_sub(1);
    let from_the_right = || (0..natural.len()).rev();
    let last = from_the_right().take(1).map(|column| (column, LAST_MIN));
    let others = from_the_right().skip(1).map(|column| (column, OTHERS_MIN));
    for (column, least) in last.chain(others).chain(from_the_right().map(|column| (column, 1))) {
        let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
        widths[column] -= excess.min(widths[column].saturating_sub(least));
    }
    widths
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
    steers(c)
        || matches!(c,
            '\u{00ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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
    fn a_line_that_does_not_fit_is_cut_and_says_so() {
        assert_eq!(
            fitted("QUEUE  REASONS\nusers  crashed 7, call_failed 2\n", Some(20)),
            "QUEUE  REASONS\nusers  crashed 7, c…\n"
        );
        assert_eq!(fitted("日本語\n", Some(5)), "日本…\n");
        assert_eq!(fitted("users  crashed\n", None), "users  crashed\n");
    }

    #[test]
    fn text_is_broken_between_words_and_never_in_one() {
        assert_eq!(
            wrapped("account 123456789012, us-east-1", 10, 4, Some(30)),
            "account\n    123456789012, us-east-1"
        );
        assert_eq!(wrapped("a b", 2, 2, Some(1)), "a\n  b");
        assert_eq!(wrapped("a b", 2, 2, None), "a b");
    }

    #[test]
    fn an_error_has_its_last_cause_only() {
        let error = anyhow::anyhow!("Connection refused (os error 111)")
            .context("tcp connect error")
            .context("dispatch failure");
        assert_eq!(cause(error.as_ref()), "Connection refused (os error 111)");
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

    const HEADER: [&str; 3] = ["USER", "AGE", "WOULD TELL"];

    fn rows() -> Vec<Vec<String>> {
        let row = |row: [&str; 3]| row.map(str::to_owned).to_vec();
        vec![
            row(["amelie.lopez@corp.example", "2,078 d", "amelie.lopez@corp.example (user name)"]),
            row(["ci", "90 d", "nobody: exempt until 2026-12-31"]),
        ]
    }

    #[test]
    fn a_table_on_a_narrow_terminal_cuts_its_last_column() {
        assert_eq!(
            table_within(Some(60), &HEADER, &[1], rows()),
            "\
USER                           AGE  WOULD TELL
amelie.lopez@corp.example  2,078 d  amelie.lopez@corp.examp…
ci                            90 d  nobody: exempt until 20…
"
        );
        let whole = table_within(None, &HEADER, &[1], rows());
        assert!(!whole.contains('…') && whole == table_within(Some(73), &HEADER, &[1], rows()), "{whole}");
    }

    proptest! {
        /// Names may be long, and signs twice as wide.
        #[test]
        fn no_line_of_a_table_is_wider_than_the_terminal(
            rows in prop::collection::vec(prop::collection::vec("[a-z語🙂 ]{0,70}", 3), 0..5),
            width in 20_usize..200,
        ) {
            let table = table_within(Some(width), &HEADER, &[1], rows);
            prop_assert!(table.lines().all(|line| line.width() <= width), "{}", table);
        }

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
