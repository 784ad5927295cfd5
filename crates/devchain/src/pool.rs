//! Transactions that were accepted and are not in a block yet: those that wait for an earlier
//! nonce, and all of them while mining is paused.

use std::collections::{BTreeMap, HashMap};

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_primitives::{Address, B256};

use crate::error::SubmitError;

/// How many transactions may wait, over all senders, and how far ahead a nonce may be.
pub(crate) const LIMIT: usize = 1024;

/// The waiting transactions.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    senders: HashMap<Address, BTreeMap<u64, Waiting>>,
    places: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting {
    transaction: Recovered<TxEnvelope>,
    arrival: u64,
}

impl Pool {
    /// Adds a transaction, in place of one with the same sender and nonce if it pays 10 % more.
    pub(crate) fn insert(&mut self, transaction: Recovered<TxEnvelope>) -> Result<(), SubmitError> {
        let (sender, nonce) = (transaction.signer(), transaction.nonce());
        let replaced = self.senders.get(&sender).and_then(|waiting| waiting.get(&nonce));
        if let Some(replaced) = replaced {
            require_higher_fees(&replaced.transaction, &transaction)?;
        } else if self.places.len() >= LIMIT {
            return Err(SubmitError::PoolFull { limit: LIMIT });
        }
        self.remove(sender, nonce);
        self.places.insert(*transaction.tx_hash(), (sender, nonce));
        let waiting = Waiting { transaction, arrival: self.arrivals };
        self.senders.entry(sender).or_default().insert(nonce, waiting);
        self.arrivals = self.arrivals.saturating_add(1);
        Ok(())
    }

    /// Removes the transaction of `sender` with `nonce`, if there is one.
    pub(crate) fn remove(&mut self, sender: Address, nonce: u64) -> Option<Recovered<TxEnvelope>> {
        let waiting = self.senders.get_mut(&sender)?;
        let removed = waiting.remove(&nonce)?.transaction;
        if waiting.is_empty() {
            self.senders.remove(&sender);
        }
        self.places.remove(removed.tx_hash());
        Some(removed)
    }

    /// Returns the transaction with `hash`.
    pub(crate) fn find(&self, hash: &B256) -> Option<&Recovered<TxEnvelope>> {
        let (sender, nonce) = self.places.get(hash)?;
        Some(&self.senders.get(sender)?.get(nonce)?.transaction)
    }

    /// Returns, of the transactions that can go into a block now, the one that came first. The
    /// argument gives the next nonce of an account.
    pub(crate) fn first_ready(
        &self,
        next_nonce: impl Fn(Address) -> u64,
    ) -> Option<&Recovered<TxEnvelope>> {
        let ready = self.senders.iter().filter_map(|(sender, waiting)| {
            let (nonce, first) = waiting.first_key_value()?;
            (*nonce == next_nonce(*sender)).then_some(first)
        });
        ready.min_by_key(|waiting| waiting.arrival).map(|waiting| &waiting.transaction)
    }

    /// Returns the nonce after `sender`'s unbroken run of waiting transactions that starts at
    /// `next`.
    pub(crate) fn nonce_after(&self, sender: Address, next: u64) -> u64 {
        let Some(waiting) = self.senders.get(&sender) else { return next };
        (next..u64::MAX).find(|nonce| !waiting.contains_key(nonce)).unwrap_or(u64::MAX)
    }
}

fn require_higher_fees(
    old: &Recovered<TxEnvelope>,
    new: &Recovered<TxEnvelope>,
) -> Result<(), SubmitError> {
    let raised = |fee: u128| fee.saturating_add(fee.div_ceil(10));
    let (offered, needed) = (new.max_fee_per_gas(), raised(old.max_fee_per_gas()));
    let tip = |transaction: &Recovered<TxEnvelope>| transaction.priority_fee_or_price();
    if offered < needed || tip(new) < raised(tip(old)) {
        return Err(SubmitError::ReplacementUnderpriced { offered, needed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_primitives::Signature;

    use super::*;

    const ALICE: Address = Address::repeat_byte(1);
    const BOB: Address = Address::repeat_byte(2);

    fn transaction(sender: Address, nonce: u64, fee: u128) -> Recovered<TxEnvelope> {
        let transaction = TxEip1559 { nonce, max_fee_per_gas: fee, ..Default::default() };
        let envelope = TxEnvelope::from(transaction.into_signed(Signature::test_signature()));
        Recovered::new_unchecked(envelope, sender)
    }

    #[test]
    fn the_first_to_come_goes_first_and_nonces_stay_in_order() {
        let mut pool = Pool::default();
        for (sender, nonce) in [(ALICE, 1), (BOB, 0), (ALICE, 0)] {
            pool.insert(transaction(sender, nonce, nonce.into())).unwrap();
        }
        let mut next: HashMap<Address, u64> = HashMap::new();
        let mut order = Vec::new();
        while let Some(ready) = pool.first_ready(|sender| next.get(&sender).copied().unwrap_or(0)) {
            let (sender, nonce) = (ready.signer(), ready.nonce());
            order.push((sender, nonce));
            next.insert(sender, nonce + 1);
            assert!(pool.remove(sender, nonce).is_some());
        }
        assert_eq!(order, [(BOB, 0), (ALICE, 0), (ALICE, 1)]);
        assert!(pool.places.is_empty() && pool.senders.is_empty());
    }

    #[test]
    fn a_gap_holds_transactions_back() {
        let mut pool = Pool::default();
        pool.insert(transaction(ALICE, 4, 1)).unwrap();
        pool.insert(transaction(ALICE, 5, 1)).unwrap();
        assert!(pool.first_ready(|_| 3).is_none());
        assert_eq!(pool.nonce_after(ALICE, 3), 3);
        assert_eq!(pool.nonce_after(ALICE, 4), 6);
        assert_eq!(pool.nonce_after(BOB, 9), 9);
    }

    #[test]
    fn a_replacement_pays_ten_percent_more() {
        let mut pool = Pool::default();
        let old = transaction(ALICE, 0, 100);
        pool.insert(old.clone()).unwrap();
        let refused = pool.insert(transaction(ALICE, 0, 109));
        assert!(matches!(refused, Err(SubmitError::ReplacementUnderpriced { needed: 110, .. })));
        let new = transaction(ALICE, 0, 110);
        pool.insert(new.clone()).unwrap();
        assert!(pool.find(old.tx_hash()).is_none());
        assert_eq!(pool.find(new.tx_hash()), Some(&new));
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        for nonce in 0..LIMIT {
            pool.insert(transaction(ALICE, nonce as u64, 10)).unwrap();
        }
        let refused = pool.insert(transaction(BOB, 0, 10));
        assert!(matches!(refused, Err(SubmitError::PoolFull { limit: LIMIT })));
        pool.insert(transaction(ALICE, 7, 20)).unwrap();
    }
}
