//! How much time an invocation has left.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::{Instant, timeout_at};

/// When Lambda ends the invocation.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of the invocation with this context.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Self::after(context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
    }

    /// The deadline `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Whether less than `needed` is left.
    #[must_use]
    pub fn leaves_less_than(self, needed: Duration) -> bool {
        self.0.saturating_duration_since(Instant::now()) < needed
    }

    /// How much is left beside `reserve`.
    #[must_use]
    pub fn leaves_beside(self, reserve: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).saturating_sub(reserve)
    }

    /// What comes of `future`; `None` if that takes so long that no more than `reserve` would be left.
    pub async fn within<T>(self, reserve: Duration, future: impl Future<Output = T>) -> Option<T> {
        let latest = self.0.checked_sub(reserve).unwrap_or(self.0);
        timeout_at(latest, future).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_runs_out() {
        let deadline = Deadline::after(10 * SECOND);
        assert!(!deadline.leaves_less_than(10 * SECOND));
        advance(4 * SECOND).await;
        assert!(deadline.leaves_less_than(7 * SECOND) && !deadline.leaves_less_than(6 * SECOND));
        assert_eq!(deadline.leaves_beside(2 * SECOND), 4 * SECOND);
        assert_eq!(deadline.leaves_beside(7 * SECOND), Duration::ZERO);
        advance(60 * SECOND).await;
        assert!(deadline.leaves_less_than(Duration::from_nanos(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_cut_off_with_the_reserve_left() {
        let deadline = Deadline::after(10 * SECOND);
        assert_eq!(deadline.within(3 * SECOND, async { 1 }).await, Some(1));
        assert_eq!(deadline.within(3 * SECOND, std::future::pending::<()>()).await, None);
        assert!(!deadline.leaves_less_than(3 * SECOND) && deadline.leaves_less_than(4 * SECOND));
    }
}
