//! Ends functions while they work, in a way they cannot notice: what Lambda does at a timeout, or when a host is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;

use crate::processes;

/// Kills one of an emulator's functions' processes now and then, until it is dropped.
#[derive(Debug)]
pub struct Killer {
    kills: Arc<AtomicU64>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Killer {
    /// Starts killing: one process of the functions of the emulator at `endpoint` every `interval`, if there is any. The
    /// same seed makes the same choices among the same processes.
    #[must_use]
    pub fn start(endpoint: &str, interval: Duration, seed: u64) -> Self {
        let kills = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn({
            let (kills, endpoint) = (Arc::clone(&kills), endpoint.to_owned());
            let mut rng = Rng::with_seed(seed);
            move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    kills.fetch_add(u64::from(kill_one(&endpoint, &mut rng)), Ordering::Relaxed);
                }
            }
        });
        Self { kills, stop: Some(stop), thread: Some(thread) }
    }

    /// How many it has killed.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, it has stopped killing.
            let _ = thread.join();
        }
    }
}

fn kill_one(endpoint: &str, rng: &mut Rng) -> bool {
    let mut processes = processes::using(endpoint);
    processes.retain(|process| process.function_name.is_some());
    processes.sort_by(|one, other| one.path.cmp(&other.path));
    rng.choice(&processes).is_some_and(processes::Process::kill)
}
