use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use assay_primitives::{Clock, Timestamp};

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct FakeClock {
    now: AtomicU64,
    elapsed: AtomicU64,
}

impl FakeClock {
    /// Makes a clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now: AtomicU64::new(now.as_millis()), elapsed: AtomicU64::new(0) }
    }

    /// Sets the clock, backwards too. Measured time goes on only when the clock does.
    pub fn set(&self, now: Timestamp) {
        let before = self.now.swap(now.as_millis(), Ordering::SeqCst);
        self.elapsed.fetch_add(now.as_millis().saturating_sub(before), Ordering::SeqCst);
    }

    /// Sets the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_time_never_goes_back() {
        let clock = FakeClock::new(Timestamp::from_seconds(100));
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::from_seconds(50));
        assert_eq!(clock.now(), Timestamp::from_seconds(50));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
        clock.advance(Duration::from_millis(1));
        assert_eq!(clock.monotonic(), Duration::from_millis(5_001));
    }
}
