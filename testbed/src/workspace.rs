//! Where things are: this repository, and cargo's target directory.

use std::env;
use std::path::{Path, PathBuf};

/// The repository's root.
///
/// # Panics
///
/// Never: this crate lies one level below it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the testbed is a member of a workspace")
}

/// Cargo's target directory: the one this very executable was built into, however it was configured.
///
/// Cargo puts a `CACHEDIR.TAG` at its root, which tells it from the directories below it.
#[must_use]
pub fn target_dir() -> PathBuf {
    let built_into = env::current_exe().ok().and_then(|executable| {
        let mut directories = executable.ancestors().skip(1);
        directories.find(|directory| directory.join("CACHEDIR.TAG").exists()).map(Path::to_path_buf)
    });
    built_into.unwrap_or_else(|| root().join("target"))
}

/// The testbed's own directory in there: virtual environment, emulator logs.
#[must_use]
pub fn testbed_dir() -> PathBuf {
    target_dir().join("testbed")
}
