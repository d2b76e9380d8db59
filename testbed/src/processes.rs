//! The processes of an emulator, found by their environment in Linux's `/proc`. Elsewhere, none is found.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::emulator::EMULATOR_VARIABLE;

/// A process of an emulator: the emulator itself, or a function it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its folder in `/proc`.
    pub path: PathBuf,
    /// The function it runs, if it is one's.
    pub function_name: Option<String>,
}

/// The processes of the emulator at `endpoint`.
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
    if value(EMULATOR_VARIABLE)? != endpoint.as_bytes() {
        return None;
    }
    let function_name =
        value("AWS_LAMBDA_FUNCTION_NAME").map(|name| String::from_utf8_lossy(name).into_owned());
    Some(Process { path, function_name })
}

impl Process {
    /// The processor time it has taken so far, its own and the kernel's for it; `None` once it has ended.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(self.path.join("stat")).ok()?;
        // Its name, which may hold anything, ends with the last parenthesis; `utime` and `stime` are fields 14 and 15.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11);
        let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        // Linux counts in hundredths of a second here, on every architecture that Lambda has.
        Some(Duration::from_millis(10 * ticks))
    }

    /// Ends it in a way it cannot notice. Whether there was still something to end.
    pub(crate) fn kill(&self) -> bool {
        let id = self.path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let id = id.and_then(rustix::process::Pid::from_raw);
        id.is_some_and(|id| rustix::process::kill_process(id, rustix::process::Signal::KILL).is_ok())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_processor_time() {
        let process = Process { path: "/proc/self".into(), function_name: None };
        let before = process.cpu_time().unwrap();
        // Ends, whatever the machine: something must take the time that is waited for.
        while process.cpu_time().unwrap() < before + Duration::from_millis(20) {}
    }
}
