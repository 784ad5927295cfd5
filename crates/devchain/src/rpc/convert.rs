//! From the chain's own types to those of the RPC interface.

use alloy_consensus::transaction::{Recovered, TransactionInfo, TransactionMeta};
use alloy_consensus::{BlockBody, Header as ConsensusHeader, Transaction as _, TxEnvelope};
use alloy_primitives::U256;
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{
    Block as RpcBlock, BlockTransactions, Header, Log, Transaction, TransactionReceipt,
};

use crate::block::{Block, Mined};
use crate::config::BASE_FEE;

/// Returns a block with its transactions, or with their hashes.
pub(crate) fn block(block: &Block, full: bool) -> RpcBlock {
    let transactions = match block.mined() {
        None if full => BlockTransactions::Full(Vec::new()),
        None => BlockTransactions::Hashes(Vec::new()),
        Some(mined) if full => BlockTransactions::Full(vec![transaction(block, mined)]),
        Some(mined) => BlockTransactions::Hashes(vec![*mined.transaction.tx_hash()]),
    };
    let header = Header::from_consensus(block.header().clone(), None, Some(size(block)));
    RpcBlock::new(header, transactions).with_withdrawals(Some(Vec::new().into()))
}

/// Returns a transaction with its place in `block`.
pub(crate) fn transaction(block: &Block, mined: &Mined) -> Transaction {
    let head = block.head();
    let place = TransactionInfo {
        hash: Some(*mined.transaction.tx_hash()),
        index: Some(0),
        block_hash: Some(head.hash),
        block_number: Some(head.number),
        base_fee: Some(BASE_FEE),
        block_timestamp: Some(head.timestamp),
    };
    Transaction::from_transaction(mined.transaction.clone(), place)
}

/// Returns a transaction that is in no block yet.
pub(crate) fn waiting(transaction: &Recovered<TxEnvelope>) -> Transaction {
    Transaction::from_transaction(transaction.clone(), TransactionInfo::default())
}

/// Returns the receipt of a transaction in `block`.
pub(crate) fn receipt(block: &Block, mined: &Mined) -> TransactionReceipt {
    let head = block.head();
    let transaction = &mined.transaction;
    let mut logs = logs(block, mined).into_iter();
    let contract_address =
        transaction.is_create().then(|| transaction.signer().create(transaction.nonce()));
    TransactionReceipt {
        // One log comes out for each that goes in.
        inner: mined.receipt.clone().map_logs(|_| logs.next().unwrap_or_default()),
        transaction_hash: *transaction.tx_hash(),
        transaction_index: Some(0),
        block_hash: Some(head.hash),
        block_number: Some(head.number),
        gas_used: mined.receipt.cumulative_gas_used(),
        effective_gas_price: transaction.effective_gas_price(Some(BASE_FEE)),
        blob_gas_used: None,
        blob_gas_price: None,
        from: transaction.signer(),
        to: transaction.to(),
        contract_address,
    }
}

/// Returns the logs of a transaction in `block`.
pub(crate) fn logs(block: &Block, mined: &Mined) -> Vec<Log> {
    let head = block.head();
    let place = TransactionMeta {
        tx_hash: *mined.transaction.tx_hash(),
        index: 0,
        block_hash: head.hash,
        block_number: head.number,
        base_fee: Some(BASE_FEE),
        excess_blob_gas: Some(0),
        timestamp: head.timestamp,
    };
    Log::collect_for_receipt(0, place, mined.receipt.logs().iter().cloned())
}

/// Returns the length of a block's RLP encoding.
fn size(block: &Block) -> U256 {
    let transactions = block.mined().map(|mined| mined.transaction.inner());
    let body: BlockBody<&TxEnvelope, ConsensusHeader> = BlockBody {
        transactions: transactions.into_iter().collect(),
        ommers: Vec::new(),
        withdrawals: Some(Vec::new().into()),
    };
    U256::from(body.into_block(block.header().inner().clone()).length())
}
