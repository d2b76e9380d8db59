//! How much memory the functions' processes needed at most, read from Linux's `/proc` while they live.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::deployment::Outputs;
use crate::functions::Function;
use crate::processes;

/// The most memory seen so far, by function. Empty where there is no `/proc`.
#[derive(Clone, Debug, Default)]
pub struct PeakMemory {
    bytes: BTreeMap<Function, u64>,
}

impl PeakMemory {
    /// Looks at all processes of this deployment's functions. The kernel keeps each one's peak, so that a look now and
    /// then will do; a process that ended in between is missed.
    pub fn sample(&mut self, endpoint: &str, outputs: &Outputs) {
        for process in processes::using(endpoint) {
            let name = process.function_name.as_deref();
            let is_run_by = |function: &Function| name == Some(outputs.function_name(*function));
            let Some(function) = Function::ALL.into_iter().find(is_run_by) else { continue };
            let Some(peak) = peak_of(&process.path) else { continue };
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

/// The most memory that a process has needed so far, in bytes, by its id.
#[must_use]
pub fn of_process(id: u32) -> Option<u64> {
    peak_of(Path::new(&format!("/proc/{id}")))
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
