//! Ends by Ctrl-C and by `kill`, for the testbed's programs.

use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports for a program that a signal ended is this and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Runs a program to its end, or until somebody ends it, and says on standard error what went wrong. Either way, everything
/// is taken down with it: whatever it has started ends when it is dropped.
pub fn run<E>(program: impl Future<Output = Result<ExitCode, E>>) -> ExitCode
where
    E: Display + From<io::Error>,
{
    run_to_either_end(program).unwrap_or_else(|error| {
        say(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn run_to_either_end<E: From<io::Error>>(
    program: impl Future<Output = Result<ExitCode, E>>,
) -> Result<ExitCode, E> {
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(async {
        let told_to_end = told_to_end()?;
        let mut program = pin!(program);
        tokio::select! {
            // First the program: one that waits to be told knows better what it ends with.
            biased;
            finished = &mut program => finished,
            code = told_to_end => Ok(code),
        }
    });
    // Not to wait for a thread that waits for another process's lock.
    runtime.shutdown_background();
    outcome
}

#[expect(clippy::print_stderr, reason = "this is what a program tells its user on")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// Listens from now on, not from the first poll on: a program has to listen before it says how to end it.
/// The future completes on Ctrl-C or `kill`, with the exit code for the program.
///
/// # Errors
///
/// If signals cannot be heard.
pub fn told_to_end() -> io::Result<impl Future<Output = ExitCode>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let code_of = |kind: SignalKind| {
        let code = u8::try_from(ENDED_BY_SIGNAL + kind.as_raw_value());
        code.map(ExitCode::from).map_err(io::Error::other)
    };
    let (interrupted, terminated) = (code_of(SignalKind::interrupt())?, code_of(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => interrupted,
            _ = terminate.recv() => terminated,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_code_or_with_failure() {
        assert_eq!(run(async { io::Result::Ok(ExitCode::from(3)) }), ExitCode::from(3));
        assert_eq!(run(async { Err(io::Error::other("no such luck")) }), ExitCode::FAILURE);
    }
}
