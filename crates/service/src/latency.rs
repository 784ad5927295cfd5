use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many of the latest runs are remembered.
const WINDOW: usize = 512;

/// How long the latest runs of a model by a method took, from admission to certification.
#[derive(Debug, Default)]
pub struct Latency {
    window: Mutex<VecDeque<Duration>>,
}

/// How many of them tell how long the next one will take. One that took long by chance is no matter
/// for long.
const LATELY: usize = 15;

/// The figures that are published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LatencySummary {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// Of how many runs.
    pub runs: usize,
}

impl Latency {
    /// Adds a run.
    pub fn record(&self, duration: Duration) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.len() == WINDOW {
            window.pop_front();
        }
        window.push_back(duration);
    }

    /// Returns how long runs take lately: the median of the latest few. `None` before the first run.
    #[must_use]
    pub fn lately(&self) -> Option<Duration> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest: Vec<Duration> = window.iter().rev().take(LATELY).copied().collect();
        drop(window);
        latest.sort_unstable();
        latest.get(latest.len().saturating_sub(1) / 2).copied()
    }

    /// Returns the figures, or `None` before the first run.
    #[must_use]
    pub fn summary(&self) -> Option<LatencySummary> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<Duration> = window.iter().copied().collect();
        drop(window);
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        if sorted.is_empty() {
            return None;
        }
        Some(LatencySummary { p50: *at(50)?, p99: *at(99)?, runs: sorted.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_took_long_says_nothing_of_the_next() {
        let latency = Latency::default();
        assert_eq!(latency.lately(), None);
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
        latency.record(long);
        assert_eq!(latency.lately(), Some(long));
        latency.record(short);
        assert_eq!(latency.lately(), Some(short));
        // However many there were: half of the latest count.
        (0..WINDOW).for_each(|_| latency.record(long));
        assert_eq!(latency.lately(), Some(long));
        (0..=LATELY / 2).for_each(|_| latency.record(short));
        assert_eq!(latency.lately(), Some(short));
    }

    #[test]
    fn the_latest_runs_count() {
        let latency = Latency::default();
        assert_eq!(latency.summary(), None);
        for millis in 0..1_000 {
            latency.record(Duration::from_millis(millis));
        }
        let summary = latency.summary().unwrap();
        assert_eq!(summary.runs, WINDOW);
        assert_eq!(summary.p50, Duration::from_millis(488 + 256));
        assert_eq!(summary.p99, Duration::from_millis(488 + 506));
    }
}
