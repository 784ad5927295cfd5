//! A chain behind a scripted node: one account's transactions wait until a test has a block made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{B256, Bytes};
use assay_chain::{Address, Chain, MULTICALL3};
use assay_primitives::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::node::{Node, Says};

/// A gwei, in wei.
pub(crate) const GWEI: u128 = 1_000_000_000;

/// A chain of one account, and the node that serves it.
pub(crate) struct Miner {
    pub(crate) node: Node,
    state: Arc<Mutex<State>>,
}

/// A transaction that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) raw: Bytes,
    pub(crate) hash: B256,
    pub(crate) nonce: u64,
    pub(crate) max_fee: u128,
    pub(crate) priority_fee: u128,
    pub(crate) to: Address,
    pub(crate) data: Bytes,
    pub(crate) gas: u64,
}

struct Made {
    hash: B256,
    transactions: Vec<Sent>,
}

#[derive(Default)]
struct State {
    blocks: Vec<Made>,
    /// Nonces that were spent before the first block here.
    before: u64,
    base_fee: u128,
    pool: BTreeMap<u64, Sent>,
    /// Every transaction that came, taken or not.
    sent: Vec<Sent>,
    /// What the node says to a transaction in the place of taking it.
    refusal: Option<&'static str>,
    mines_at_once: bool,
    /// Transactions whose calls all revert.
    reverts: bool,
    branch: u64,
}

impl Miner {
    /// Starts a chain on which an account has sent so many transactions, which mines at once.
    pub(crate) async fn start(before: u64) -> Self {
        let state = State { before, base_fee: GWEI, mines_at_once: true, ..State::default() };
        let miner = Self { node: Node::start().await, state: Arc::new(Mutex::new(state)) };
        miner.mine();
        miner.serve();
        miner
    }

    fn serve(&self) {
        let node = &self.node;
        node.always("eth_estimateGas", json!("0xc350"));
        node.always("eth_maxPriorityFeePerGas", json!("0x3b9aca00"));
        self.has_multicall(true);
        let state = self.state.clone();
        node.on("eth_sendRawTransaction", move |params, _| {
            let raw = serde_json::from_value(params[0].clone()).unwrap();
            state.lock().unwrap().take(raw)
        });
        let state = self.state.clone();
        node.on("eth_getTransactionCount", move |params, _| {
            let state = state.lock().unwrap();
            let count = if params[1] == "pending" { state.pending() } else { state.count() };
            Says::Result(json!(format!("{count:#x}")))
        });
        let state = self.state.clone();
        node.on("eth_getTransactionReceipt", move |params, _| {
            let hash = serde_json::from_value(params[0].clone()).unwrap();
            Says::Result(state.lock().unwrap().receipt(hash))
        });
        let state = self.state.clone();
        node.on("eth_getBlockByNumber", move |params, _| {
            Says::Result(state.lock().unwrap().block(params[0].as_str().unwrap()))
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn has_multicall(&self, has: bool) {
        self.node.on("eth_getCode", move |params, _| {
            assert_eq!(params[0], json!(MULTICALL3));
            Says::Result(json!(if has { "0x00" } else { "0x" }))
        });
    }

    /// Connects by the clock of the runtime, which a test may stop.
    pub(crate) async fn connect(&self) -> Chain {
        let mut config = self.node.config();
        config.request_timeout = Duration::from_secs(3_600);
        Chain::connect(config, Arc::new(RuntimeClock(Instant::now()))).await.unwrap()
    }

    /// Holds transactions back until a test calls [`Miner::mine`], or mines them as they come.
    pub(crate) fn mines_at_once(&self, at_once: bool) {
        self.state().mines_at_once = at_once;
    }

    pub(crate) fn base_fee(&self, fee: u128) {
        self.state().base_fee = fee;
    }

    pub(crate) fn refuses(&self, words: Option<&'static str>) {
        self.state().refusal = words;
    }

    pub(crate) fn reverts(&self, reverts: bool) {
        self.state().reverts = reverts;
    }

    /// Makes a block of all that can be mined.
    pub(crate) fn mine(&self) {
        self.state().mine();
    }

    /// Makes blocks with nothing in them.
    pub(crate) fn mine_nothing(&self, blocks: u64) {
        let mut state = self.state();
        for _ in 0..blocks {
            state.seal(Vec::new());
        }
    }

    /// Puts a version in a block, whichever the pool holds.
    pub(crate) fn mine_this(&self, sent: &Sent) {
        let mut state = self.state();
        assert_eq!(sent.nonce, state.count());
        state.pool.remove(&sent.nonce);
        state.seal(vec![sent.clone()]);
    }

    /// Takes the latest blocks out of the chain; what they held is forgotten.
    pub(crate) fn reorganise(&self, blocks: usize) {
        let mut state = self.state();
        let left = state.blocks.len() - blocks;
        state.blocks.truncate(left);
        state.branch += 1;
        state.seal(Vec::new());
    }

    /// Spends a nonce by a transaction that nobody here knows.
    pub(crate) fn spend_elsewhere(&self) {
        let mut state = self.state();
        let nonce = state.count();
        state.pool.remove(&nonce);
        state.before += 1;
        state.seal(Vec::new());
    }

    /// Returns every transaction that came, each version once, in order.
    pub(crate) fn versions(&self) -> Vec<Sent> {
        let mut versions: Vec<Sent> = Vec::new();
        for sent in &self.state().sent {
            if versions.iter().all(|known| known.hash != sent.hash) {
                versions.push(sent.clone());
            }
        }
        versions
    }

    /// Returns how often a transaction came.
    pub(crate) fn times_sent(&self, hash: B256) -> usize {
        self.state().sent.iter().filter(|sent| sent.hash == hash).count()
    }

    /// Returns the transactions of the chain, in order.
    pub(crate) fn mined(&self) -> Vec<Sent> {
        self.state().blocks.iter().flat_map(|block| block.transactions.clone()).collect()
    }
}

impl State {
    fn count(&self) -> u64 {
        self.before + self.blocks.iter().map(|block| block.transactions.len() as u64).sum::<u64>()
    }

    fn pending(&self) -> u64 {
        let count = self.count();
        (count..).find(|nonce| !self.pool.contains_key(nonce)).unwrap_or(count)
    }

    fn take(&mut self, raw: Bytes) -> Says {
        let sent = Sent::read(raw);
        self.sent.push(sent.clone());
        if let Some(refusal) = self.refusal {
            return Says::Error(-32_000, refusal);
        }
        if sent.nonce < self.count() {
            return Says::Error(-32_000, "nonce too low");
        }
        match self.pool.get(&sent.nonce) {
            Some(known) if known.hash == sent.hash => return Says::Error(-32_000, "already known"),
            Some(known)
                if sent.max_fee * 10 < known.max_fee * 11
                    || sent.priority_fee * 10 < known.priority_fee * 11 =>
            {
                return Says::Error(-32_000, "replacement transaction underpriced");
            }
            _ => {}
        }
        let hash = sent.hash;
        self.pool.insert(sent.nonce, sent);
        if self.mines_at_once {
            self.mine();
        }
        Says::Result(json!(hash))
    }

    fn mine(&mut self) {
        let (mut nonce, mut transactions) = (self.count(), Vec::new());
        while self.pool.get(&nonce).is_some_and(|sent| sent.max_fee >= self.base_fee) {
            transactions.extend(self.pool.remove(&nonce));
            nonce += 1;
        }
        self.seal(transactions);
    }

    fn seal(&mut self, transactions: Vec<Sent>) {
        let number = self.blocks.len() as u64;
        let hash = B256::from(
            alloy_primitives::U256::from(number) << 64 | alloy_primitives::U256::from(self.branch),
        );
        self.blocks.push(Made { hash, transactions });
    }

    fn receipt(&self, hash: B256) -> Value {
        for (number, block) in self.blocks.iter().enumerate() {
            if block.transactions.iter().any(|sent| sent.hash == hash) {
                return json!({
                    "transactionHash": hash,
                    "blockNumber": format!("{number:#x}"),
                    "blockHash": block.hash,
                    "status": if self.reverts { "0x0" } else { "0x1" },
                    "gasUsed": "0x5208",
                    "logs": [],
                });
            }
        }
        Value::Null
    }

    fn block(&self, number: &str) -> Value {
        let latest = self.blocks.len() - 1;
        let number = match number {
            "latest" => latest,
            hex => usize::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap(),
        };
        let Some(block) = self.blocks.get(number) else { return Value::Null };
        json!({
            "number": format!("{number:#x}"),
            "hash": block.hash,
            "timestamp": format!("{:#x}", 1_800_000_000 + number),
            "baseFeePerGas": format!("{:#x}", self.base_fee),
        })
    }
}

impl Sent {
    fn read(raw: Bytes) -> Self {
        let envelope = TxEnvelope::decode_2718_exact(&raw).unwrap();
        Self {
            hash: *envelope.hash(),
            nonce: envelope.nonce(),
            max_fee: envelope.max_fee_per_gas(),
            priority_fee: envelope.max_priority_fee_per_gas().unwrap(),
            to: envelope.to().unwrap(),
            data: envelope.input().clone(),
            gas: envelope.gas_limit(),
            raw,
        }
    }
}

/// The clock of the runtime.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
