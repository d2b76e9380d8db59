//! Whether the playground (`cargo playground`) that this shell's variables point to still runs.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Result, bail};

/// Set by the playground's `env`: the folder in which it locks a file as long as it runs, and says where.
const VARIABLE: &str = "KEYNUDGE_PLAYGROUND";

/// Where it is, by the same `env`.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// Refuses to go on in the shell of a playground that has ended: nothing answers there, or another program
/// does.
pub(super) fn check() -> Result<()> {
    let (Some(directory), Ok(endpoint)) = (std::env::var_os(VARIABLE), std::env::var(ENDPOINT)) else {
        return Ok(());
    };
    if runs(Path::new(&directory), &endpoint) {
        return Ok(());
    }
    bail!(
        "the playground of this shell has ended: close the shell, or start another playground with `cargo playground` and \
         read its env here"
    )
}

/// Whether a playground runs there, and listens at this endpoint: the next one has another.
fn runs(directory: &Path, endpoint: &str) -> bool {
    let lock = File::open(directory.join("lock"));
    let is_locked = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
    is_locked && fs::read_to_string(directory.join("env")).is_ok_and(|env| env.contains(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playground_runs_as_long_as_it_holds_its_lock_and_where_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let runs = |endpoint| runs(directory.path(), endpoint);
        assert!(!runs("http://127.0.0.1:1"));
        fs::write(directory.path().join("env"), "export AWS_ENDPOINT_URL='http://127.0.0.1:1'\n").unwrap();
        let lock = File::create(directory.path().join("lock")).unwrap();
        assert!(!runs("http://127.0.0.1:1"), "it was killed");
        lock.lock().unwrap();
        assert!(runs("http://127.0.0.1:1"));
        assert!(!runs("http://127.0.0.1:2"), "that was the one before");
    }
}
