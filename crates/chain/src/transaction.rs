use alloy_consensus::{SignableTransaction, Transaction as _, TxEip1559, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use serde::{Deserialize, Serialize};

use crate::AccountKey;

/// A signed transaction that may not have been broadcast yet. It is stored first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedTransaction {
    /// The EIP-2718 encoding that `eth_sendRawTransaction` takes.
    pub raw: Bytes,
    /// The transaction hash.
    pub hash: B256,
    /// The account that signed it and pays for its gas.
    pub signer: Address,
    /// The account nonce.
    pub nonce: u64,
    /// The most gas it may use.
    pub gas_limit: u64,
}

impl SignedTransaction {
    /// Returns the most wei per gas that it pays.
    pub(crate) fn max_fee(&self) -> Option<u128> {
        Some(UnsignedCall::decode(&self.raw).ok()?.fees.max_fee)
    }
}

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broadcast {
    /// The node took the transaction.
    Accepted,
    /// The node has the transaction already.
    AlreadyKnown,
}

/// The fees of an EIP-1559 transaction, in wei per gas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fees {
    pub(crate) max_fee: u128,
    pub(crate) priority_fee: u128,
}

/// A call that is to become a transaction.
#[derive(Clone, Debug)]
pub(crate) struct UnsignedCall {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
    pub(crate) gas_limit: u64,
    pub(crate) fees: Fees,
}

impl UnsignedCall {
    /// Reads back what was signed.
    pub(crate) fn decode(raw: &Bytes) -> Result<Self, crate::KeyError> {
        let envelope =
            TxEnvelope::decode_2718_exact(raw).map_err(|_| crate::KeyError::Transaction)?;
        let to = envelope.to().ok_or(crate::KeyError::Transaction)?;
        let fees = Fees {
            max_fee: envelope.max_fee_per_gas(),
            priority_fee: envelope.max_priority_fee_per_gas().unwrap_or_default(),
        };
        Ok(Self {
            chain_id: envelope.chain_id().ok_or(crate::KeyError::Transaction)?,
            nonce: envelope.nonce(),
            to,
            data: envelope.input().clone(),
            gas_limit: envelope.gas_limit(),
            fees,
        })
    }

    pub(crate) fn sign(self, key: &AccountKey) -> Result<SignedTransaction, crate::KeyError> {
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.fees.max_fee,
            max_priority_fee_per_gas: self.fees.priority_fee,
            to: TxKind::Call(self.to),
            value: U256::ZERO,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: self.data,
        };
        let signature = key.sign_hash(&transaction.signature_hash());
        let signature =
            Signature::from_raw_array(&signature).map_err(|_| crate::KeyError::Signature)?;
        let signed = transaction.into_signed(signature);
        let mut raw = Vec::new();
        signed.eip2718_encode(&mut raw);
        Ok(SignedTransaction {
            raw: raw.into(),
            hash: *signed.hash(),
            signer: key.address(),
            nonce: self.nonce,
            gas_limit: self.gas_limit,
        })
    }
}
