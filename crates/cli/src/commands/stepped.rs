//! A clock that goes wrong by as much as a file says.

use std::path::PathBuf;
use std::time::Duration;

use assay_primitives::{Clock, SystemClock, Timestamp};

/// The machine's clock, and what a file adds to it: a number of seconds, which may be negative.
#[derive(Debug)]
pub(super) struct SteppedClock {
    system: SystemClock,
    step: PathBuf,
}

impl SteppedClock {
    pub(super) fn new(step: PathBuf) -> Self {
        Self { system: SystemClock::default(), step }
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let now = self.system.now();
        let text = std::fs::read_to_string(&self.step).unwrap_or_default();
        let seconds: i64 = text.trim().parse().unwrap_or_default();
        let step = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            Timestamp::from_millis(now.as_millis().saturating_sub(millis(step)))
        } else {
            now.plus(step)
        }
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
