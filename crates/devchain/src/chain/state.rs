use std::collections::HashMap;
use std::sync::Arc;

use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::bytecode::Bytecode;
use revm::context::BlockEnv;
use revm::state::{AccountInfo, EvmState};
use revm::{DatabaseCommit, DatabaseRef};

use crate::block::{Block, Head, Mined, randomness};
use crate::error::CallError;
use crate::evm::{self, Checks, Database, EvmError, block_environment};
use crate::journal::Journal;
use crate::pool::Pool;
use crate::transaction;

/// The accounts, the blocks, and what waits to be in one.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) pool: Pool,
    pub(super) paused: bool,
    pub(super) journal: Option<Journal>,
    database: Database,
    head: Head,
    blocks: Vec<Arc<Block>>,
    numbers: HashMap<B256, u64>,
    transactions: HashMap<B256, u64>,
}

/// A block that is complete but not part of the chain yet.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) block: Block,
    changes: EvmState,
}

/// The EVM sees the hashes of this many blocks.
const VISIBLE_HASHES: u64 = 256;

impl State {
    /// Starts a chain.
    pub(super) fn new(database: Database, genesis: Block) -> Self {
        let mut state = Self {
            pool: Pool::default(),
            paused: false,
            journal: None,
            database,
            head: genesis.head(),
            blocks: Vec::new(),
            numbers: HashMap::new(),
            transactions: HashMap::new(),
        };
        state.apply(Prepared { block: genesis, changes: EvmState::default() });
        state
    }

    /// Builds the block after the head, with `transaction` or empty, and changes nothing.
    pub(super) fn prepare(
        &self,
        timestamp: u64,
        transaction: Option<&Recovered<TxEnvelope>>,
    ) -> Result<Prepared, EvmError> {
        let timestamp = timestamp.max(self.head.timestamp);
        let Some(transaction) = transaction else {
            let block = Block::after(self.head, timestamp, None);
            return Ok(Prepared { block, changes: EvmState::default() });
        };
        let environment = transaction::environment(transaction);
        let run = evm::run(&self.database, &self.next_block(timestamp), environment, Checks::All)?;
        let mined = Mined::new(transaction.clone(), run.result);
        Ok(Prepared { block: Block::after(self.head, timestamp, Some(mined)), changes: run.state })
    }

    /// Makes a prepared block the head.
    pub(super) fn apply(&mut self, prepared: Prepared) {
        let Prepared { block, changes } = prepared;
        self.head = block.head();
        let Head { number, hash, .. } = self.head;
        self.database.commit(changes);
        let hashes = &mut self.database.cache.block_hashes;
        hashes.insert(U256::from(number), hash);
        if let Some(hidden) = number.checked_sub(VISIBLE_HASHES) {
            hashes.remove(&U256::from(hidden));
        }
        if let Some(mined) = block.mined() {
            self.transactions.insert(*mined.transaction.tx_hash(), number);
        }
        self.numbers.insert(hash, number);
        self.blocks.push(Arc::new(block));
    }

    pub(crate) const fn head(&self) -> Head {
        self.head
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Block>> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn block_by_hash(&self, hash: &B256) -> Option<&Arc<Block>> {
        self.block(*self.numbers.get(hash)?)
    }

    /// Returns the block that holds the transaction with `hash`.
    pub(crate) fn block_of(&self, transaction: &B256) -> Option<&Arc<Block>> {
        self.block(*self.transactions.get(transaction)?)
    }

    /// Returns the transaction with `hash` if it waits to be mined.
    pub(crate) fn waiting(&self, hash: &B256) -> Option<&Recovered<TxEnvelope>> {
        self.pool.find(hash)
    }

    /// Returns the account's balance, nonce and code; an account that does not exist has none.
    pub(crate) fn account(&self, address: Address) -> AccountInfo {
        let Ok(account) = self.database.basic_ref(address);
        account.unwrap_or_default()
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let account = self.account(address);
        let code = account.code.filter(|code| !code.is_empty());
        let Ok(code) = code.map_or_else(|| self.database.code_by_hash_ref(account.code_hash), Ok);
        Bytecode::original_bytes(&code)
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> U256 {
        let Ok(value) = self.database.storage_ref(address, slot);
        value
    }

    /// Returns the nonce that an account had after a block: what it sent since is taken off.
    pub(crate) fn nonce_at(&self, address: Address, number: u64) -> u64 {
        let first = usize::try_from(number).map_or(usize::MAX, |number| number.saturating_add(1));
        let later = self.blocks.iter().skip(first).filter_map(|block| block.mined());
        let sent = later.filter(|mined| mined.transaction.signer() == address).count();
        self.account(address).nonce.saturating_sub(sent as u64)
    }

    /// Returns the nonce after the sender's mined and waiting transactions.
    pub(crate) fn pending_nonce(&self, address: Address) -> u64 {
        self.pool.nonce_after(address, self.account(address).nonce)
    }

    pub(crate) fn call(&self, request: &TransactionRequest, now: u64) -> Result<Bytes, CallError> {
        evm::call(&self.database, &self.next_block(now), request)
    }

    pub(crate) fn estimate_gas(
        &self,
        request: &TransactionRequest,
        now: u64,
    ) -> Result<u64, CallError> {
        evm::estimate_gas(&self.database, &self.next_block(now), request)
    }

    /// Runs a transaction that has to wait, to see that nothing but its nonce keeps it from being
    /// mined.
    pub(super) fn try_out(
        &self,
        transaction: &Recovered<TxEnvelope>,
        now: u64,
    ) -> Result<(), EvmError> {
        let environment = transaction::environment(transaction);
        evm::run(&self.database, &self.next_block(now), environment, Checks::AllButNonce)?;
        Ok(())
    }

    fn next_block(&self, now: u64) -> BlockEnv {
        let timestamp = now.max(self.head.timestamp);
        let number = self.head.number.saturating_add(1);
        block_environment(number, timestamp, randomness(self.head.hash))
    }
}
