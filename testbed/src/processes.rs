//! The processes of an emulator, found by their environment in Linux's `/proc`. Elsewhere, none is found.

use std::fs;
use std::path::PathBuf;

/// A process that has the emulator as its AWS: the emulator itself, or a function it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its folder in `/proc`.
    pub path: PathBuf,
    /// The function it runs, if it is one's.
    pub function_name: Option<String>,
}

/// The processes that have `endpoint` as their AWS.
#[must_use]
pub fn using(endpoint: &str) -> Vec<Process> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| read(process.path(), endpoint)).collect()
}

fn read(path: PathBuf, endpoint: &str) -> Option<Process> {
    let environment = fs::read(path.join("environ")).ok()?;
    let value = |name: &str| {
        let mut variables = environment.split(|&byte| byte == 0);
        variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    if value("AWS_ENDPOINT_URL")? != endpoint.as_bytes() {
        return None;
    }
    let function_name =
        value("AWS_LAMBDA_FUNCTION_NAME").map(|name| String::from_utf8_lossy(name).into_owned());
    Some(Process { path, function_name })
}
