//! How often the chain is asked.

use std::collections::HashMap;
use std::hash::Hash;
use std::iter::successors;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The first and the longest pause between two looks at a transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Returns the pauses between looks at a transaction, without end: each half as long again.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    successors(Some(FIRST_PAUSE), |pause| Some((*pause * 3 / 2).min(LONGEST_PAUSE)))
}

/// What the chain said lately, and when by the monotonic clock.
#[derive(Debug)]
pub(crate) struct Lately<K, V> {
    said: Mutex<HashMap<K, (Duration, V)>>,
}

impl<K: Eq + Hash, V: Copy> Lately<K, V> {
    /// Returns what was said less than `age` ago.
    pub(crate) fn get(&self, key: &K, now: Duration, age: Duration) -> Option<V> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, value) = *said.get(key)?;
        (now.saturating_sub(seen) < age).then_some(value)
    }

    /// Keeps what was said now.
    pub(crate) fn keep(&self, key: K, now: Duration, value: V) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (now, value));
    }
}

impl<K, V> Default for Lately<K, V> {
    fn default() -> Self {
        Self { said: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second() {
        let pauses: Vec<_> = pauses().map(|pause| pause.as_millis()).take(12).collect();
        assert_eq!(pauses, [25, 37, 56, 84, 126, 189, 284, 427, 640, 961, 1000, 1000]);
    }

    #[test]
    fn what_was_said_counts_for_a_while() {
        let (lately, second) = (Lately::default(), Duration::from_secs(1));
        lately.keep("base fee", second * 10, 7);
        assert_eq!(lately.get(&"base fee", second * 11, second * 2), Some(7));
        assert_eq!(lately.get(&"base fee", second * 12, second * 2), None);
        assert_eq!(lately.get(&"tip", second * 10, second * 2), None);
    }
}
