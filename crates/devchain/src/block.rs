use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::transaction::Recovered;
use alloy_consensus::{
    EMPTY_ROOT_HASH, Header, Receipt, ReceiptEnvelope, Sealable, Sealed, TxEnvelope, TxReceipt,
};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bytes};
use revm::context_interface::result::ExecutionResult;

use crate::config::{BASE_FEE, BLOCK_GAS_LIMIT, COINBASE};

/// The last block of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Head {
    /// Its number; the genesis block has number 0.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its time, in seconds since 1970.
    pub timestamp: u64,
}

/// A block: a header, and at most one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    header: Sealed<Header>,
    mined: Option<Mined>,
}

/// A transaction in a block, with what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) transaction: Recovered<TxEnvelope>,
    pub(crate) receipt: ReceiptEnvelope,
}

impl Block {
    /// Makes the genesis block over a state with the digest `state`.
    pub(crate) fn genesis(state: B256) -> Self {
        let header = Header { extra_data: Bytes::from(state.0), ..header(0, 0, B256::ZERO) };
        Self { header: header.seal_slow(), mined: None }
    }

    /// Makes the block after `parent`.
    pub(crate) fn after(parent: Head, timestamp: u64, mined: Option<Mined>) -> Self {
        let mut header = header(parent.number.saturating_add(1), timestamp, parent.hash);
        if let Some(mined) = &mined {
            header.transactions_root = calculate_transaction_root(&[mined.transaction.inner()]);
            header.receipts_root = calculate_receipt_root(std::slice::from_ref(&mined.receipt));
            header.logs_bloom = mined.receipt.bloom();
            header.gas_used = mined.receipt.cumulative_gas_used();
        }
        Self { header: header.seal_slow(), mined }
    }

    pub(crate) const fn header(&self) -> &Sealed<Header> {
        &self.header
    }

    pub(crate) const fn mined(&self) -> Option<&Mined> {
        self.mined.as_ref()
    }

    pub(crate) fn head(&self) -> Head {
        Head {
            number: self.header.number,
            hash: self.header.hash(),
            timestamp: self.header.timestamp,
        }
    }
}

impl Mined {
    /// Makes the receipt of a transaction that is alone in its block.
    pub(crate) fn new(transaction: Recovered<TxEnvelope>, result: ExecutionResult) -> Self {
        let receipt = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: result.tx_gas_used(),
            logs: result.into_logs(),
        };
        let receipt = ReceiptEnvelope::from_typed(transaction.tx_type(), receipt.with_bloom());
        Self { transaction, receipt }
    }
}

/// What the EVM gives as randomness in the block after `parent`: a value that differs from block to
/// block, and that anyone can predict.
pub(crate) const fn randomness(parent: B256) -> B256 {
    parent
}

fn header(number: u64, timestamp: u64, parent: B256) -> Header {
    Header {
        parent_hash: parent,
        beneficiary: COINBASE,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        // The state is not kept as a trie, so there is no root to give.
        state_root: B256::ZERO,
        number,
        gas_limit: BLOCK_GAS_LIMIT,
        timestamp,
        mix_hash: randomness(parent),
        base_fee_per_gas: Some(BASE_FEE),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
