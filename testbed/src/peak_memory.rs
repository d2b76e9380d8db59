//! How much memory the functions' processes needed at most, read from Linux's `/proc` while they live.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::deployment::Outputs;
use crate::functions::Function;

/// The most memory seen so far, by function. Empty where there is no `/proc`.
#[derive(Clone, Debug, Default)]
pub struct PeakMemory {
    bytes: BTreeMap<Function, u64>,
}

impl PeakMemory {
    /// Looks at all processes of this deployment's functions. The kernel keeps each one's peak, so that a look now and
    /// then will do; a process that ended in between is missed.
    pub fn sample(&mut self, endpoint: &str, outputs: &Outputs) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes.map(|entry| entry.path()) {
            let Some(function) = function_run_by(&process, endpoint, outputs) else { continue };
            let Some(peak) = peak_of(&process) else { continue };
            let highest = self.bytes.entry(function).or_default();
            *highest = peak.max(*highest);
        }
    }

    /// The most that one process of a function needed, in bytes.
    #[must_use]
    pub fn of(&self, function: Function) -> Option<u64> {
        self.bytes.get(&function).copied()
    }
}

/// Which function a process runs, if it is one of this deployment's, by its environment.
fn function_run_by(process: &Path, endpoint: &str, outputs: &Outputs) -> Option<Function> {
    let environment = fs::read(process.join("environ")).ok()?;
    let has = |variable: String| environment.split(|&byte| byte == 0).any(|one| one == variable.as_bytes());
    if !has(format!("AWS_ENDPOINT_URL={endpoint}")) {
        return None;
    }
    let named =
        |function: &Function| has(format!("AWS_LAMBDA_FUNCTION_NAME={}", outputs.function_name(*function)));
    Function::ALL.into_iter().find(named)
}

/// `VmHWM`, the peak of a process's resident set, which the kernel gives in kB.
fn peak_of(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_peak() {
        assert!(peak_of(Path::new("/proc/self")).unwrap() > 1024 * 1024);
    }
}
