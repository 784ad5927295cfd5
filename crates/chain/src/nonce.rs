use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;

/// How many of the latest kept nonces are remembered with their transactions.
const REMEMBERED: usize = 4_096;

/// The account nonces of one signer, handed out to concurrent callers.
///
/// One queue per key, and one process per key: nonces that another process takes are only noticed
/// when a broadcast is refused.
#[derive(Clone, Debug, Default)]
pub struct NonceQueue {
    state: Arc<Mutex<State>>,
}

/// A nonce that is somebody's until dropped. Dropping gives it back; [`NonceLease::keep`] does not.
#[derive(Debug)]
#[must_use = "a dropped lease gives its nonce back"]
pub struct NonceLease {
    nonce: u64,
    queue: NonceQueue,
    given_back: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The first nonce never handed out; `None` until the chain was asked.
    next: Option<u64>,
    /// Nonces below `next` that were given back.
    free: BTreeSet<u64>,
    /// The transactions that nonces were kept for, so that one cannot give back another's.
    kept: BTreeMap<u64, B256>,
}

impl NonceQueue {
    /// Takes the smallest free nonce, or returns `None` when the chain must be asked first: then
    /// call [`NonceQueue::sync`] and come back.
    #[must_use]
    pub fn lease(&self) -> Option<NonceLease> {
        let mut state = self.lock();
        let next = state.next?;
        let nonce = state.free.pop_first().unwrap_or(next);
        if nonce == next {
            state.next = Some(next + 1);
        }
        Some(self.lease_of(nonce))
    }

    /// Takes the smallest free nonce below `nonce`: a gap that keeps `nonce` from being mined.
    #[must_use]
    pub fn lease_gap_below(&self, nonce: u64) -> Option<NonceLease> {
        let mut state = self.lock();
        let gap = state.free.first().copied().filter(|gap| *gap < nonce)?;
        state.free.remove(&gap);
        Some(self.lease_of(gap))
    }

    /// Learns how many transactions of the account the chain knows, waiting ones included
    /// (`eth_getTransactionCount` at `pending`).
    ///
    /// Never goes back: a smaller count than one's own is that of a node that has not seen
    /// everything.
    pub fn sync(&self, count: u64) {
        let mut state = self.lock();
        state.next = Some(state.next.map_or(count, |next| next.max(count)));
        state.free = state.free.split_off(&count);
    }

    /// Marks a nonce as taken by a transaction that was stored before a restart.
    ///
    /// Call [`NonceQueue::sync`] first: nonces between the chain's count and this one that nobody
    /// adopts are gaps, and handed out before any other.
    pub fn adopt(&self, nonce: u64, transaction: B256) {
        let mut state = self.lock();
        let next = state.next.unwrap_or(nonce);
        if nonce >= next {
            state.free.extend(next..nonce);
            state.next = Some(nonce + 1);
        }
        state.free.remove(&nonce);
        state.keep(nonce, transaction);
    }

    /// Gives back the nonce that was [kept](NonceLease::keep) for a transaction, if it still is that
    /// transaction's: it was not, and will not be, broadcast.
    pub fn give_back(&self, nonce: u64, transaction: B256) {
        let mut state = self.lock();
        if state.kept.get(&nonce) == Some(&transaction) {
            state.kept.remove(&nonce);
            state.free(nonce);
        }
    }

    fn lease_of(&self, nonce: u64) -> NonceLease {
        NonceLease { nonce, queue: self.clone(), given_back: true }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NonceLease {
    /// Returns the nonce.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Takes the nonce for good: a transaction with it is stored, or sent.
    pub fn keep(mut self, transaction: B256) -> u64 {
        self.given_back = false;
        self.queue.lock().keep(self.nonce, transaction);
        self.nonce
    }
}

impl State {
    fn keep(&mut self, nonce: u64, transaction: B256) {
        self.kept.insert(nonce, transaction);
        if self.kept.len() > REMEMBERED {
            self.kept.pop_first();
        }
    }

    fn free(&mut self, nonce: u64) {
        let Some(mut next) = self.next.filter(|next| nonce < *next) else { return };
        self.free.insert(nonce);
        // What is free at the top is no gap.
        while next > 0 && self.free.remove(&(next - 1)) {
            next -= 1;
        }
        self.next = Some(next);
    }
}

impl Drop for NonceLease {
    fn drop(&mut self) {
        if self.given_back {
            self.queue.lock().free(self.nonce);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TX: B256 = B256::repeat_byte(1);

    fn synced(count: u64) -> NonceQueue {
        let queue = NonceQueue::default();
        assert!(queue.lease().is_none(), "a nonce was handed out before the chain was asked");
        queue.sync(count);
        queue
    }

    #[test]
    fn freed_nonces_are_reused_smallest_first() {
        let queue = synced(5);
        let leases: Vec<_> = (0..4).map(|_| queue.lease().unwrap()).collect();
        let nonces: Vec<_> = leases.iter().map(NonceLease::nonce).collect();
        assert_eq!(nonces, [5, 6, 7, 8]);
        let mut leases = leases.into_iter();
        let (a, b, c) = (leases.next().unwrap(), leases.next().unwrap(), leases.next().unwrap());
        let d = leases.next().unwrap();
        drop(c);
        drop(a);
        let _kept = b.keep(TX);
        assert_eq!(queue.lease().unwrap().keep(TX), 5);
        assert!(queue.lease_gap_below(7).is_none());
        assert_eq!(queue.lease_gap_below(8).unwrap().keep(TX), 7);
        assert_eq!(queue.lease().unwrap().keep(TX), 9);
        drop(d);
        assert_eq!(queue.lease().unwrap().keep(TX), 8);
    }

    #[test]
    fn the_top_is_no_gap() {
        let queue = synced(0);
        let (a, b) = (queue.lease().unwrap(), queue.lease().unwrap());
        drop(a);
        drop(b);
        assert!(queue.lease_gap_below(u64::MAX).is_none());
        assert_eq!(queue.lease().unwrap().nonce(), 0);
    }

    #[test]
    fn syncing_never_goes_back() {
        let queue = synced(5);
        let first = queue.lease().unwrap().keep(TX);
        queue.sync(3);
        assert_eq!((first, queue.lease().unwrap().keep(TX)), (5, 6));
        queue.sync(10);
        assert_eq!(queue.lease().unwrap().keep(TX), 10);
    }

    #[test]
    fn stored_nonces_are_adopted() {
        let queue = synced(5);
        queue.adopt(5, TX);
        queue.adopt(7, TX);
        assert_eq!(queue.lease().unwrap().keep(TX), 6);
        assert_eq!(queue.lease().unwrap().keep(TX), 8);
        queue.give_back(5, B256::repeat_byte(2));
        assert!(queue.lease_gap_below(7).is_none(), "another's nonce was given back");
        queue.give_back(5, TX);
        queue.give_back(5, TX);
        assert_eq!(queue.lease_gap_below(7).unwrap().keep(TX), 5);
    }

    #[test]
    fn concurrent_leases_are_distinct() {
        let queue = synced(0);
        let taken = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (queue, taken) = (&queue, &taken);
                scope.spawn(move || {
                    for i in 0..200 {
                        let lease = queue.lease().unwrap();
                        if (i + thread) % 3 == 0 {
                            drop(lease);
                        } else {
                            assert!(taken.lock().unwrap().insert(lease.keep(TX)));
                        }
                    }
                });
            }
        });
        let taken = taken.into_inner().unwrap();
        assert!(taken.len() > 500);
    }
}
