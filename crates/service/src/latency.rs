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

/// How many times as many as were seen together are told of: what one takes, or two, says little of a thousand that
/// are certified as one.
const TOLD_BY: u32 = 4;

/// How long the latest runs of a model by a method took, from admission to certification.
#[derive(Debug, Default)]
pub struct Latency {
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    /// Of those that were the only one of their transaction.
    alone: VecDeque<Duration>,
    /// Of the others, those of a transaction as one.
    together: VecDeque<Together>,
}

#[derive(Clone, Copy, Debug)]
struct Together {
    count: u32,
    took: Duration,
    /// When they ended, by the monotonic clock.
    at: Duration,
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
    /// Adds the runs of a transaction, which took so long from the first one's admission to the last one's
    /// certification, and end now, by the monotonic clock.
    pub fn record(&self, count: u32, took: Duration, now: Duration) {
        let mut windows = self.lock();
        match count {
            0 => {}
            1 => push(&mut windows.alone, took),
            _ => push(&mut windows.together, Together { count, took, at: now }),
        }
    }

    /// Returns how long a run by itself takes lately: the median of the latest few. `None` before the first.
    #[must_use]
    pub fn lately(&self) -> Option<Duration> {
        median(self.lock().alone.iter().rev().take(LATELY).copied())
    }

    /// Returns by how much longer so many runs of a transaction take lately than the first of them, by the latest that
    /// were nearly as many: nothing where nobody knows.
    #[must_use]
    pub fn further(&self, count: u32, now: Duration) -> Duration {
        let counts = |one: &&Together| {
            now.saturating_sub(one.at) < COUNTS_FOR && one.count.saturating_mul(TOLD_BY) >= count
        };
        let windows = self.lock();
        let alike = windows.together.iter().rev().filter(counts).take(LATELY);
        let each = median(alike.map(|one| one.took / one.count.max(1)));
        each.unwrap_or_default().saturating_mul(count.saturating_sub(1))
    }

    /// Returns the figures of the runs that were the only one of their transaction, or `None` before the first.
    #[must_use]
    pub fn summary(&self) -> Option<LatencySummary> {
        let mut sorted: Vec<Duration> = self.lock().alone.iter().copied().collect();
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
        latency.record(1, long, Duration::ZERO);
        assert_eq!(latency.lately(), Some(long));
        latency.record(1, short, Duration::ZERO);
        assert_eq!(latency.lately(), Some(short));
        // However many there were: half of the latest count.
        (0..WINDOW).for_each(|_| latency.record(1, long, Duration::ZERO));
        assert_eq!(latency.lately(), Some(long));
        (0..=LATELY / 2).for_each(|_| latency.record(1, short, Duration::ZERO));
        assert_eq!(latency.lately(), Some(short));
    }

    #[test]
    fn the_latest_runs_count() {
        let latency = Latency::default();
        assert_eq!(latency.summary(), None);
        for millis in 0..1_000 {
            latency.record(1, Duration::from_millis(millis), Duration::ZERO);
        }
        let summary = latency.summary().unwrap();
        assert_eq!(summary.runs, WINDOW);
        assert_eq!(summary.p50, Duration::from_millis(488 + 256));
        assert_eq!(summary.p99, Duration::from_millis(488 + 506));
    }

    /// What one run takes by itself says nothing of what one more adds, what two take nothing of a hundred, and
    /// nothing what took long a while ago.
    #[test]
    fn many_take_what_nearly_as_many_took() {
        let latency = Latency::default();
        let at = Duration::from_secs;
        latency.record(1, at(10), at(10));
        latency.record(2, at(10), at(10));
        assert_eq!(latency.further(100, at(10)), Duration::ZERO);
        assert_eq!(latency.further(8, at(10)), at(35));
        latency.record(100, at(30), at(40));
        assert_eq!(latency.further(401, at(99)), Duration::ZERO);
        assert_eq!(latency.further(400, at(99)), at(30) * 399 / 100);
        assert_eq!(latency.further(1, at(99)), Duration::ZERO);
        assert_eq!(latency.further(400, at(100)), Duration::ZERO);
        // A transaction of many is one, and one by itself takes what such ones took.
        (0..100).for_each(|_| latency.record(400, at(1_000), at(100)));
        assert_eq!(latency.lately(), Some(at(10)));
    }
}
