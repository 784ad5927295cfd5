//! Permits of Permit2 that are settled by the spender of x402's scheme `upto`.
//!
//! Permit2 writes no log when it carries a permit out; it only keeps a bit for each nonce. What a bit
//! stands for is found by the token's log and the calls of the transactions in it: the spender takes a
//! call from the permit's facilitator alone, so the call is the transaction.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall, SolEvent};
use serde::Deserialize;
use serde_json::json;

use crate::bindings::{Permit2, Token, UptoProxy};
use crate::chain::Search;
use crate::receipt::RpcLog;
use crate::{Chain, ChainError};

/// Where Permit2 is, on every EVM chain (<https://github.com/Uniswap/permit2>).
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// Where the spender of x402's scheme `upto` is, on every EVM chain.
pub const UPTO_PROXY: Address = address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// The most transactions whose calls one search looks at.
const MAX_CANDIDATES: usize = 256;

/// A permit, and the transfer by which it is to be settled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PermittedTransfer {
    /// The token.
    pub token: Address,
    /// Who pays.
    pub owner: Address,
    /// Who is paid.
    pub to: Address,
    /// How much is settled, in atomic units.
    pub value: U256,
    /// The permit's nonce.
    pub nonce: U256,
}

/// What became of a permit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PermitFate {
    /// Its owner gave up the nonce.
    Invalidated {
        /// The transaction that did it.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// It was settled by the transfer that was expected.
    Settled {
        /// The transaction that settled it.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// Nobody has used it.
    Unused,
    /// The nonce is used or given up, and no log says how in the blocks looked at.
    Untraced {
        /// Whether all blocks were looked at. If so, it was not settled by the transfer that was
        /// expected, as far as the node has its logs.
        is_complete: bool,
    },
}

/// The fields of `eth_getTransactionByHash` that say what was called.
#[derive(Debug, Deserialize)]
struct RpcCall {
    to: Option<Address>,
    input: Bytes,
}

impl Chain {
    /// Says whether a nonce of Permit2 is used or given up.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no number.
    pub async fn permit_state(&self, owner: Address, nonce: U256) -> Result<bool, ChainError> {
        let bits = self.view(PERMIT2, &nonce_bitmap_call(owner, nonce)).await?;
        Ok(is_nonce_used(bits, nonce))
    }

    /// Finds out whether a permit was settled, or its nonce used otherwise, looking from `since_block`
    /// on.
    ///
    /// # Errors
    /// When the node does not answer, or refuses to search.
    pub async fn permit_fate(
        &self,
        expected: &PermittedTransfer,
        since_block: u64,
    ) -> Result<PermitFate, ChainError> {
        let PermittedTransfer { token, owner, to, nonce, .. } = *expected;
        if !self.permit_state(owner, nonce).await? {
            return Ok(PermitFate::Unused);
        }
        let blocks = since_block..=self.latest_block().await?.number;
        let topics = json!([Token::Transfer::SIGNATURE_HASH, owner.into_word(), to.into_word()]);
        let mut candidates = Vec::new();
        let collect = |log: &RpcLog| {
            candidates.extend(candidate(log, expected.value));
            (candidates.len() > MAX_CANDIDATES).then_some(())
        };
        let collected = self.search(token, &topics, blocks.clone(), collect).await?;
        candidates.truncate(MAX_CANDIDATES);
        candidates.dedup();
        for (transaction, block) in candidates {
            if self.settles(transaction, expected).await? {
                return Ok(PermitFate::Settled { transaction, block });
            }
        }
        let event = Permit2::UnorderedNonceInvalidation::SIGNATURE_HASH;
        let topics = json!([event, owner.into_word()]);
        let invalidated = |log: &RpcLog| invalidation(log, nonce);
        Ok(match self.search(PERMIT2, &topics, blocks, invalidated).await? {
            Search::Found(fate) => fate,
            searched => {
                let is_complete =
                    matches!((collected, searched), (Search::Nothing, Search::Nothing));
                PermitFate::Untraced { is_complete }
            }
        })
    }

    /// Says whether a mined transaction that logged the transfer is the call that settles the permit.
    async fn settles(
        &self,
        transaction: B256,
        expected: &PermittedTransfer,
    ) -> Result<bool, ChainError> {
        let method = "eth_getTransactionByHash";
        let call: Option<RpcCall> = self.rpc().read(method, json!([transaction])).await?;
        Ok(call.is_some_and(|call| call.to == Some(UPTO_PROXY) && is_call(&call.input, expected)))
    }
}

/// Returns the call that reads the word of a nonce.
#[must_use]
pub fn nonce_bitmap_call(owner: Address, nonce: U256) -> Permit2::nonceBitmapCall {
    Permit2::nonceBitmapCall { owner, word: nonce >> 8 }
}

/// Says whether the bit of a nonce is set in its word.
#[must_use]
pub fn is_nonce_used(bits: U256, nonce: U256) -> bool {
    bits.bit(usize::from(nonce.byte(0)))
}

fn candidate(log: &RpcLog, value: U256) -> Option<(B256, u64)> {
    let event = Token::Transfer::decode_raw_log(log.topics.iter().copied(), &log.data).ok()?;
    let place = (log.transaction_hash?, log.block_number?.to());
    (event.value == value).then_some(place)
}

fn invalidation(log: &RpcLog, nonce: U256) -> Option<PermitFate> {
    let topics = log.topics.iter().copied();
    let event = Permit2::UnorderedNonceInvalidation::decode_raw_log(topics, &log.data).ok()?;
    let (transaction, block) = (log.transaction_hash?, log.block_number?.to());
    let is_meant = event.word == nonce >> 8 && is_nonce_used(event.mask, nonce);
    is_meant.then_some(PermitFate::Invalidated { transaction, block })
}

/// Reads what the spender was called with; what follows the arguments does not count.
fn is_call(input: &[u8], expected: &PermittedTransfer) -> bool {
    let (permit, amount, owner, witness) = match UptoProxy::settleCall::abi_decode(input) {
        Ok(call) => (call.permit, call.amount, call.owner, call.witness),
        Err(_) => match UptoProxy::settleWithPermitCall::abi_decode(input) {
            Ok(call) => (call.permit, call.amount, call.owner, call.witness),
            Err(_) => return false,
        },
    };
    let called = PermittedTransfer {
        token: permit.permitted.token,
        owner,
        to: witness.to,
        value: amount,
        nonce: permit.nonce,
    };
    called == *expected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> PermittedTransfer {
        let [token, owner, to] = [1, 2, 3].map(Address::repeat_byte);
        PermittedTransfer { token, owner, to, value: U256::from(7), nonce: U256::from(0x1_05) }
    }

    fn settle(transfer: PermittedTransfer) -> UptoProxy::settleCall {
        let PermittedTransfer { token, owner, to, value, nonce } = transfer;
        let permitted = UptoProxy::TokenPermissions { token, amount: U256::from(100) };
        UptoProxy::settleCall {
            permit: UptoProxy::PermitTransferFrom { permitted, nonce, deadline: U256::from(9) },
            amount: value,
            owner,
            witness: UptoProxy::Witness { to, facilitator: Address::ZERO, validAfter: U256::ZERO },
            signature: Bytes::from_static(&[1; 65]),
        }
    }

    #[test]
    fn a_call_settles_one_permit() {
        let call = settle(expected());
        assert!(is_call(&call.abi_encode(), &expected()));
        // As some facilitators send it, with a mark at its end.
        assert!(is_call(&[call.abi_encode(), vec![7; 5]].concat(), &expected()));
        let UptoProxy::settleCall { permit, amount, owner, witness, signature } = call;
        let permit2612 = UptoProxy::EIP2612Permit {
            value: U256::ZERO,
            deadline: U256::ZERO,
            r: B256::ZERO,
            s: B256::ZERO,
            v: 27,
        };
        let call = UptoProxy::settleWithPermitCall {
            permit2612,
            permit,
            amount,
            owner,
            witness,
            signature,
        };
        assert!(is_call(&call.abi_encode(), &expected()));
        let other = Address::repeat_byte(9);
        for wrong in [
            PermittedTransfer { token: other, ..expected() },
            PermittedTransfer { owner: other, ..expected() },
            PermittedTransfer { to: other, ..expected() },
            PermittedTransfer { value: U256::from(8), ..expected() },
            PermittedTransfer { nonce: U256::from(0x2_05), ..expected() },
        ] {
            assert!(!is_call(&settle(wrong).abi_encode(), &expected()), "{wrong:?}");
        }
        for noise in [&[][..], &[1; 3], &settle(expected()).abi_encode()[..100]] {
            assert!(!is_call(noise, &expected()));
        }
    }

    #[test]
    fn nonces_are_bits_of_words() {
        let nonce = U256::from(0x1_05);
        assert_eq!(nonce_bitmap_call(Address::ZERO, nonce).word, U256::from(1));
        assert!(is_nonce_used(U256::from(1 << 5), nonce));
        assert!(!is_nonce_used(!U256::from(1 << 5), nonce));
        assert!(is_nonce_used(U256::ONE << 255, U256::MAX));
    }
}
