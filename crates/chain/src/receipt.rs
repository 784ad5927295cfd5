use alloy_primitives::{Address, B256, Bytes, U64};
use serde::Deserialize;

use crate::Block;

/// What a mined transaction did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The transaction hash.
    pub transaction: B256,
    /// The number of its block.
    pub block: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// Whether it succeeded; otherwise it was reverted.
    pub succeeded: bool,
    /// The gas it used.
    pub gas_used: u64,
    /// Its logs, in order.
    pub logs: Vec<Log>,
}

/// A log entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// The contract that wrote it.
    pub address: Address,
    /// Its indexed fields.
    pub topics: Vec<B256>,
    /// Its other fields.
    pub data: Bytes,
    /// Its place in its block.
    pub index: u64,
}

/// A mined transaction, as deep in the chain as was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MinedTransaction {
    /// What it did.
    pub receipt: Receipt,
    /// The block that holds it.
    pub block: Block,
    /// How many blocks of the chain hold it, its own included.
    pub confirmations: u64,
}

/// What became of a broadcast transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransactionOutcome {
    /// Mined with success, and as deep as asked.
    Mined(MinedTransaction),
    /// Mined, reverted, and as deep as asked.
    Reverted(MinedTransaction),
    /// Not known in time: not mined, not deep enough, or the node does not answer.
    Unknown {
        /// The number of blocks that hold it so far: 0 when it is not mined.
        confirmations: u64,
        /// What the node last failed with, if it did.
        error: Option<crate::ChainError>,
    },
}

/// `eth_getTransactionReceipt`, the fields that every EVM chain has.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcReceipt {
    transaction_hash: B256,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    status: Option<U64>,
    gas_used: U64,
    logs: Vec<RpcLog>,
}

/// An entry of a receipt or of `eth_getLogs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcLog {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) log_index: Option<U64>,
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) block_number: Option<U64>,
    #[serde(default)]
    pub(crate) removed: bool,
}

impl RpcReceipt {
    /// Returns the receipt, or `None` while the transaction is in no block.
    pub(crate) fn into_receipt(self) -> Option<Receipt> {
        Some(Receipt {
            transaction: self.transaction_hash,
            block: self.block_number?.to(),
            block_hash: self.block_hash?,
            succeeded: self.status? == U64::ONE,
            gas_used: self.gas_used.to(),
            logs: self.logs.into_iter().map(RpcLog::into_log).collect(),
        })
    }
}

impl RpcLog {
    fn into_log(self) -> Log {
        Log {
            address: self.address,
            topics: self.topics,
            data: self.data,
            index: self.log_index.map_or(0, |index| index.to()),
        }
    }
}
