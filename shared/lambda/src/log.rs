//! The functions' log: lines on standard output, in the format and from the level on that Lambda's advanced logging
//! controls say. They do for Rust functions what these variables tell them to.
//!
//! Lambda filters by a line's `level` only if the line is JSON and has a `timestamp` (RFC 3339). It takes any
//! other line for INFO, and would drop errors where the application log level is ERROR (Lambda developer
//! guide, "Log-level filtering").

use std::env;
use std::panic;

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// `JSON`, or anything else for plain text. From the template's log format.
const FORMAT: &str = "AWS_LAMBDA_LOG_FORMAT";
/// The lowest level that is logged. From the function's application log level.
const LEVEL: &str = "AWS_LAMBDA_LOG_LEVEL";
/// Levels for parts of the program, such as `info,aws_smithy_runtime=debug`.
const TARGETS: &str = "RUST_LOG";

/// Logs from now on. Call it before anything can fail.
///
/// A panic is logged by its place alone: its message may quote an address or a key id.
pub fn to_stdout() {
    subscriber(|name| env::var(name).ok(), std::io::stdout).init();
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

fn subscriber<W>(variable: impl Fn(&str) -> Option<String>, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Its default time is UTC in RFC 3339.
    let lines = fmt::layer().with_target(false).with_writer(writer);
    let is_json = variable(FORMAT).is_some_and(|format| format.eq_ignore_ascii_case("json"));
    let lines = if is_json { lines.json().boxed() } else { lines.without_time().boxed() };
    tracing_subscriber::registry().with(levels(variable)).with(lines)
}

/// A level that cannot be read is none: whatever was meant, a function has to log.
fn levels(variable: impl Fn(&str) -> Option<String>) -> Targets {
    // What is empty would be read as the highest level of all.
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let of_function: Option<LevelFilter> = variable(LEVEL).and_then(|level| level.parse().ok());
    let of_parts: Targets = variable(TARGETS).and_then(|targets| targets.parse().ok()).unwrap_or_default();
    let default = of_function.or(of_parts.default_level()).unwrap_or(LevelFilter::INFO);
    of_parts.with_default(default)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use chrono::DateTime;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by something that has little and something that has much to say.
    fn logged(variables: &[(&str, &str)]) -> String {
        logged_by(variables, || {
            let span = tracing::info_span!("invoked", request = 1);
            let _within = span.enter();
            tracing::info!(account_id = "123456789012", "scanned");
            tracing::debug!("little by little");
            tracing::debug!(target: "aws", "sent");
        })
    }

    /// The lines of JSON that `work` logs.
    pub(crate) fn lines_of(work: impl FnOnce()) -> Vec<Value> {
        let logged = logged_by(&[(FORMAT, "JSON")], work);
        logged.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn logged_by(variables: &[(&str, &str)], work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        tracing::subscriber::with_default(subscriber(variable, move || writer.clone()), work);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_is_json_where_lambda_says_so() {
        let line: Value = serde_json::from_str(&logged(&[(FORMAT, "JSON")])).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"], json!({ "message": "scanned", "account_id": "123456789012" }));
        assert_eq!(line["span"], json!({ "name": "invoked", "request": 1 }));
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(5), "{line}");
    }

    #[test]
    fn lambda_finds_a_level_and_a_time_in_every_line_of_json() {
        let line: Value = serde_json::from_str(&logged(&[(FORMAT, "JSON")])).unwrap();
        assert_eq!(line["level"], "INFO");
        let at = line["timestamp"].as_str().unwrap_or_else(|| panic!("no timestamp: {line}"));
        let at = DateTime::parse_from_rfc3339(at).unwrap();
        assert_eq!(at.offset().local_minus_utc(), 0, "{at}");
    }

    #[test]
    fn a_line_is_text_elsewhere() {
        for variables in [&[][..], &[(FORMAT, "Text")]] {
            assert_eq!(
                logged(variables).trim(),
                r#"INFO invoked{request=1}: scanned account_id="123456789012""#
            );
        }
    }

    #[test]
    fn lines_below_the_level_are_not_logged() {
        let lines = |variables: &[(&str, &str)]| logged(variables).lines().count();
        assert_eq!(lines(&[]), 1);
        assert_eq!(lines(&[(LEVEL, "INFO")]), 1);
        assert_eq!(lines(&[(LEVEL, "WARN")]), 0);
        assert_eq!(lines(&[(LEVEL, "DEBUG")]), 3);
        assert_eq!(lines(&[(LEVEL, "FATAL")]), 1);
        assert_eq!(lines(&[(TARGETS, "debug")]), 3);
        assert_eq!(lines(&[(TARGETS, "debug"), (LEVEL, "INFO")]), 1);
        assert_eq!(lines(&[(TARGETS, "aws=debug"), (LEVEL, "INFO")]), 2);
    }
}
