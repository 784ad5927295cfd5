use std::collections::{BTreeMap, HashMap};

use alloy_primitives::B256;

use super::OutgoingTransaction;

/// How many are remembered.
const REMEMBERED: usize = 1_024;

/// The latest mined transactions in all their versions, to be sent again when a reorganisation drops
/// them.
#[derive(Debug, Default)]
pub(super) struct MinedNonces {
    versions: BTreeMap<u64, Vec<OutgoingTransaction>>,
    /// The nonce that went to a call last.
    nonces: HashMap<B256, u64>,
}

impl MinedNonces {
    /// Remembers a nonce by the calls of its newest version.
    pub(super) fn remember(&mut self, versions: Vec<OutgoingTransaction>) {
        let Some(newest) = versions.last() else { return };
        let nonce = newest.transaction.nonce;
        self.forget(nonce);
        for call in &newest.calls {
            // A nonce that a reorganisation dropped comes after those that came after it.
            let last = self.nonces.entry(*call).or_insert(nonce);
            *last = nonce.max(*last);
        }
        self.versions.insert(nonce, versions);
        if self.versions.len() > REMEMBERED
            && let Some(lowest) = self.versions.keys().next().copied()
        {
            self.forget(lowest);
        }
    }

    /// Takes out the versions of the nonce that went to a call last; only where it was the one call,
    /// when it has to be alone.
    pub(super) fn take(&mut self, call: B256, alone: bool) -> Option<Vec<OutgoingTransaction>> {
        let nonce = *self.nonces.get(&call)?;
        let newest = self.versions.get(&nonce)?.last()?;
        if alone && newest.calls.len() > 1 {
            return None;
        }
        self.forget(nonce)
    }

    fn forget(&mut self, nonce: u64) -> Option<Vec<OutgoingTransaction>> {
        let versions = self.versions.remove(&nonce)?;
        for call in versions.last().into_iter().flat_map(|newest| &newest.calls) {
            if self.nonces.get(call) == Some(&nonce) {
                self.nonces.remove(call);
            }
        }
        Some(versions)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes};

    use super::*;
    use crate::SignedTransaction;

    fn versions(nonce: u64, calls: &[u64]) -> Vec<OutgoingTransaction> {
        let transaction = SignedTransaction {
            raw: Bytes::new(),
            hash: id(nonce),
            signer: Address::ZERO,
            nonce,
            gas_limit: 0,
        };
        vec![OutgoingTransaction { transaction, calls: calls.iter().copied().map(id).collect() }]
    }

    fn id(number: u64) -> B256 {
        B256::left_padding_from(&number.to_be_bytes())
    }

    #[test]
    fn a_call_is_found_where_it_went_last_and_once() {
        let mut mined = MinedNonces::default();
        mined.remember(versions(5, &[1, 2]));
        mined.remember(versions(6, &[2]));
        assert_eq!(mined.take(id(3), false), None);
        assert_eq!(mined.take(id(1), true), None, "it was not alone");
        assert_eq!(mined.take(id(2), true), Some(versions(6, &[2])));
        assert_eq!(mined.take(id(2), true), None);
        assert_eq!(mined.take(id(1), false), Some(versions(5, &[1, 2])));
        assert!(mined.versions.is_empty() && mined.nonces.is_empty());
        // Also when both come again, the first one last.
        mined.remember(versions(6, &[2]));
        mined.remember(versions(5, &[1, 2]));
        assert_eq!(mined.take(id(2), true), Some(versions(6, &[2])));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut mined = MinedNonces::default();
        let most = REMEMBERED as u64;
        (0..most + 2).for_each(|nonce| mined.remember(versions(nonce, &[nonce])));
        mined.remember(versions(7, &[most + 9]));
        assert_eq!((mined.versions.len(), mined.nonces.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(mined.take(id(1), false), None);
        assert_eq!(mined.take(id(7), false), None);
        assert_eq!(mined.take(id(2), false), Some(versions(2, &[2])));
    }
}
