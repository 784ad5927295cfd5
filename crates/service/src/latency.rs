use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many of the latest runs are remembered.
const WINDOW: usize = 512;

/// How many of them tell how long the next one will take. One that took long by chance is no matter
/// for long.
const LATELY: usize = 15;

/// For how long it counts what one more of a transaction takes: what took long then may be over, and whoever is
/// refused for it would never find out.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// How long the latest runs of a model by a method took, from admission to certification.
#[derive(Debug, Default)]
pub struct Latency {
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    took: VecDeque<Duration>,
    /// When a run ended that was one of several alike, and its part of what they took.
    parts: VecDeque<(Duration, Duration)>,
}

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
    /// Adds a run that ends now, by the monotonic clock: one of so many of a transaction that go by its method.
    pub fn record(&self, took: Duration, alike: u32, now: Duration) {
        let mut windows = self.lock();
        push(&mut windows.took, took);
        if alike > 1 {
            push(&mut windows.parts, (now, took / alike));
        }
    }

    /// Returns how long runs take lately: the median of the latest few. `None` before the first run.
    #[must_use]
    pub fn lately(&self) -> Option<Duration> {
        median(self.lock().took.iter().rev().take(LATELY).copied())
    }

    /// Returns by how much longer a transaction takes lately for one more run by the same method: nothing where
    /// nobody knows. What is certified together takes much less than each would by itself.
    #[must_use]
    pub fn one_more(&self, now: Duration) -> Duration {
        let counts = |(at, _): &&(Duration, Duration)| now.saturating_sub(*at) < COUNTS_FOR;
        let windows = self.lock();
        let parts = windows.parts.iter().rev().take(LATELY).take_while(counts);
        median(parts.map(|(_, part)| *part)).unwrap_or_default()
    }

    /// Returns the figures, or `None` before the first run.
    #[must_use]
    pub fn summary(&self) -> Option<LatencySummary> {
        let mut sorted: Vec<Duration> = self.lock().took.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        if sorted.is_empty() {
            return None;
        }
        Some(LatencySummary { p50: *at(50)?, p99: *at(99)?, runs: sorted.len() })
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(window: &mut VecDeque<T>, value: T) {
    if window.len() == WINDOW {
        window.pop_front();
    }
    window.push_back(value);
}

fn median(durations: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = durations.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_took_long_says_nothing_of_the_next() {
        let latency = Latency::default();
        assert_eq!(latency.lately(), None);
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
        latency.record(long, 1, Duration::ZERO);
        assert_eq!(latency.lately(), Some(long));
        latency.record(short, 1, Duration::ZERO);
        assert_eq!(latency.lately(), Some(short));
        // However many there were: half of the latest count.
        (0..WINDOW).for_each(|_| latency.record(long, 1, Duration::ZERO));
        assert_eq!(latency.lately(), Some(long));
        (0..=LATELY / 2).for_each(|_| latency.record(short, 1, Duration::ZERO));
        assert_eq!(latency.lately(), Some(short));
    }

    #[test]
    fn the_latest_runs_count() {
        let latency = Latency::default();
        assert_eq!(latency.summary(), None);
        for millis in 0..1_000 {
            latency.record(Duration::from_millis(millis), 1, Duration::ZERO);
        }
        let summary = latency.summary().unwrap();
        assert_eq!(summary.runs, WINDOW);
        assert_eq!(summary.p50, Duration::from_millis(488 + 256));
        assert_eq!(summary.p99, Duration::from_millis(488 + 506));
    }

    /// What one run takes by itself says nothing of what one more adds, nor does what took long a while ago.
    #[test]
    fn one_more_takes_its_part_of_those_lately() {
        let latency = Latency::default();
        let at = Duration::from_secs;
        latency.record(at(10), 1, at(10));
        assert_eq!(latency.one_more(at(10)), Duration::ZERO);
        (0..100).for_each(|_| latency.record(at(30), 100, at(40)));
        assert_eq!(latency.lately(), Some(at(30)));
        assert_eq!(latency.one_more(at(99)), Duration::from_millis(300));
        assert_eq!(latency.one_more(at(100)), Duration::ZERO);
        latency.record(at(2), 2, at(101));
        assert_eq!(latency.one_more(at(102)), at(1));
    }
}
