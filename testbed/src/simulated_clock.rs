//! The clock of the simulated services: it runs, or stands still, and tests move it on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::nanos::Nanos;

/// Time since the clock was made, and by how much it was moved on. Its clones show the same time.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    /// `None` for a clock that stands still.
    started: Option<Instant>,
    moved_on_ms: Arc<AtomicU64>,
}

impl SimulatedClock {
    /// A clock that runs as time does.
    #[must_use]
    pub fn running() -> Self {
        Self { started: Some(Instant::now()), moved_on_ms: Arc::default() }
    }

    /// A clock that only moves when a test moves it on, however long the test takes.
    #[must_use]
    pub fn standing() -> Self {
        Self { started: None, moved_on_ms: Arc::default() }
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.moved_on_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The time it shows.
    pub(crate) fn elapsed(&self) -> Duration {
        let run = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        run + Duration::from_millis(self.moved_on_ms.load(Ordering::Relaxed))
    }
}

impl Default for SimulatedClock {
    fn default() -> Self {
        Self::running()
    }
}

impl Clock for SimulatedClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.elapsed().into()
    }
}
