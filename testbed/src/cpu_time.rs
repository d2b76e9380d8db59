//! How much processor time the functions' processes took, read from Linux's `/proc` while they live.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::deployment::Outputs;
use crate::functions::Function;
use crate::processes;

/// What each process had taken when it was last seen. Empty where there is no `/proc`.
#[derive(Clone, Debug, Default)]
pub struct CpuTime {
    of_processes: BTreeMap<PathBuf, Duration>,
}

impl CpuTime {
    /// Looks at all processes of this deployment's functions. They stay for minutes after their last invocation, so that a
    /// look now and then, and one at the end, will do.
    pub fn sample(&mut self, endpoint: &str, outputs: &Outputs) {
        for process in processes::using(endpoint) {
            let name = process.function_name.as_deref();
            let is_ours = Function::ALL.into_iter().any(|one| name == Some(outputs.function_name(one)));
            if let (true, Some(time)) = (is_ours, process.cpu_time()) {
                self.of_processes.insert(process.path, time);
            }
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.of_processes.values().sum()
    }
}
