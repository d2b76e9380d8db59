//! Ends by Ctrl-C and by `kill`, for the testbed's programs.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports for a program that a signal ended is this and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Waits until somebody ends the program, by Ctrl-C or by `kill`. Returns what it has to end with.
///
/// # Errors
///
/// If signals cannot be heard.
pub async fn told_to_end() -> io::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    let code = u8::try_from(ENDED_BY_SIGNAL + kind.as_raw_value()).map_err(io::Error::other)?;
    Ok(ExitCode::from(code))
}
