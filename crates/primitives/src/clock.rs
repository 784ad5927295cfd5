use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Where time comes from. Only the edge of the program holds one; pure code takes a [`Timestamp`].
pub trait Clock: Debug + Send + Sync {
    /// Returns the current moment.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment, never going back: for measuring how long
    /// something took.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(0).plus(since)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
