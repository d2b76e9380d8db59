//! How much processor time the emulator's and the functions' processes took, read from Linux's `/proc` while they live.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::deployment::Outputs;
use crate::functions::Function;
use crate::processes::{self, Process};

/// The processor time seen so far, by process. Empty where there is no `/proc`.
#[derive(Clone, Debug, Default)]
pub struct ProcessorTime {
    processes: BTreeMap<PathBuf, (Whose, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Emulator,
    Function(Function),
}

impl ProcessorTime {
    /// Looks at the emulator at `endpoint`, and at this deployment's functions. What a process took after the last look at it
    /// is missed.
    pub fn sample(&mut self, endpoint: &str, outputs: &Outputs) {
        for process in processes::using(endpoint) {
            let (Some(whose), Some(time)) = (Whose::of(&process, outputs), process.cpu_time()) else {
                continue;
            };
            self.processes.insert(process.path, (whose, time));
        }
    }

    /// What the emulator took.
    #[must_use]
    pub fn of_emulator(&self) -> Duration {
        self.sum(Whose::Emulator)
    }

    /// What all processes of a function took together.
    #[must_use]
    pub fn of(&self, function: Function) -> Duration {
        self.sum(Whose::Function(function))
    }

    /// The same of all functions.
    #[must_use]
    pub fn of_functions(&self) -> Duration {
        Function::ALL.into_iter().map(|function| self.of(function)).sum()
    }

    fn sum(&self, whose: Whose) -> Duration {
        let processes = self.processes.values().filter(|(one, _)| *one == whose);
        processes.map(|(_, time)| *time).sum()
    }
}

impl Whose {
    /// `None` for a function of another deployment.
    fn of(process: &Process, outputs: &Outputs) -> Option<Self> {
        let Some(name) = process.function_name.as_deref() else { return Some(Self::Emulator) };
        let mut functions = Function::ALL.into_iter();
        functions.find(|function| outputs.function_name(*function) == name).map(Self::Function)
    }
}
