use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolCall, SolEvent};
use assay_primitives::{Clock, Network, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bindings::{ContractWallet, Token};
use crate::pace::{Lately, pauses};
use crate::receipt::{RpcLog, RpcReceipt};
use crate::rpc::{Rpc, RpcObserver};
use crate::{
    AuthorizationFate, Broadcast, BroadcastError, ChainError, MinedTransaction, Receipt,
    SignedTransaction, TransactionOutcome,
};

/// The most `eth_getLogs` requests that one search makes.
const MAX_LOG_REQUESTS: u32 = 256;

/// The answer of a contract wallet that knows a signature (EIP-1271).
const EIP1271_MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// How to reach a chain. It prints without its URL, which may hold a key.
#[derive(Clone)]
pub struct ChainConfig {
    /// The HTTP(S) URL of a JSON-RPC node.
    pub rpc_url: String,
    /// The network that must be behind it; any when `None`.
    pub network: Option<Network>,
    /// The time a connection may take. 3 seconds by default.
    pub connect_timeout: Duration,
    /// The time a request may take. 10 seconds by default.
    pub request_timeout: Duration,
    /// The most blocks asked for in one `eth_getLogs`; halved when the node refuses. 2000 by
    /// default.
    pub log_range: u64,
    /// Who is told of each request, if anybody is.
    pub observer: Option<Arc<dyn RpcObserver>>,
}

/// A connection to one EVM chain. Clones share it.
#[derive(Clone, Debug)]
pub struct Chain {
    shared: Arc<Shared>,
}

/// A block of the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// When it was made, by its maker's word.
    pub time: Timestamp,
    /// The base fee in wei per gas; `None` on chains without EIP-1559.
    pub base_fee: Option<u128>,
}

/// What a search through logs found.
#[derive(Debug)]
pub(crate) enum Search<T> {
    Found(T),
    /// All blocks were looked at.
    Nothing,
    /// There are more blocks than one search looks at.
    GaveUp,
}

#[derive(Debug)]
struct Shared {
    rpc: Rpc,
    network: Network,
    chain_id: u64,
    clock: Arc<dyn Clock>,
    log_range: u64,
    /// Addresses seen to have code. Contracts that tokens are do not go away.
    contracts: Mutex<BTreeSet<Address>>,
    /// The latest block's number.
    number: Lately<(), u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcBlock {
    number: U64,
    hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
}

impl ChainConfig {
    /// Returns the defaults for an RPC URL.
    #[must_use]
    pub fn new(rpc_url: impl Into<String>) -> Self {
        Self {
            rpc_url: rpc_url.into(),
            network: None,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            log_range: 2_000,
            observer: None,
        }
    }

    /// Returns the same for one network alone.
    #[must_use]
    pub fn on(self, network: Network) -> Self {
        Self { network: Some(network), ..self }
    }
}

impl fmt::Debug for ChainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainConfig")
            .field("network", &self.network)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// Connects, and asks which chain it is.
    ///
    /// # Errors
    /// When the URL is none, the node does not answer, or it serves another chain than expected.
    pub async fn connect(config: ChainConfig, clock: Arc<dyn Clock>) -> Result<Self, ChainError> {
        let mut rpc = Rpc::new(&config.rpc_url, config.connect_timeout, config.request_timeout)?;
        if let Some(observer) = config.observer {
            rpc.observe(clock.clone(), observer);
        }
        let chain_id: U64 = rpc.read("eth_chainId", json!([])).await?;
        let network = Network::eip155(chain_id.to());
        if let Some(expected) = config.network.filter(|expected| *expected != network) {
            return Err(ChainError::WrongNetwork { expected, got: network });
        }
        let shared = Shared {
            rpc,
            network,
            chain_id: chain_id.to(),
            clock,
            log_range: config.log_range.max(1),
            contracts: Mutex::default(),
            number: Lately::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// Returns the EVM chain id.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.shared.chain_id
    }

    /// Returns the clock it was connected with.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Returns the code at an address; empty for an account without.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn code_at(&self, address: Address) -> Result<Bytes, ChainError> {
        self.rpc().read("eth_getCode", json!([address, "latest"])).await
    }

    /// Says whether there is code at an address. Asks only until it has seen some.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn is_contract(&self, address: Address) -> Result<bool, ChainError> {
        let contracts = &self.shared.contracts;
        if contracts.lock().unwrap_or_else(PoisonError::into_inner).contains(&address) {
            return Ok(true);
        }
        let is_contract = !self.code_at(address).await?.is_empty();
        if is_contract {
            contracts.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
        }
        Ok(is_contract)
    }

    /// Runs a call on the latest block and returns what it returns. Changes nothing.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when it reverts; otherwise when the node does not answer.
    pub async fn call(&self, from: Address, to: Address, data: &[u8]) -> Result<Bytes, ChainError> {
        let data = Bytes::copy_from_slice(data);
        let call = json!({ "from": from, "to": to, "data": data, "input": data });
        self.rpc().call("eth_call", to, json!([call, "latest"])).await
    }

    /// Returns a holder's balance of a token.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no number.
    pub async fn balance(&self, token: Address, holder: Address) -> Result<U256, ChainError> {
        self.view(token, &Token::balanceOfCall { account: holder }).await
    }

    /// Says whether an EIP-3009 authorisation is used or cancelled.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no truth value.
    pub async fn authorization_state(
        &self,
        token: Address,
        authorizer: Address,
        nonce: B256,
    ) -> Result<bool, ChainError> {
        self.view(token, &Token::authorizationStateCall { authorizer, nonce }).await
    }

    /// Returns how much of a holder's tokens a spender may move.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no number.
    pub async fn allowance(
        &self,
        token: Address,
        owner: Address,
        spender: Address,
    ) -> Result<U256, ChainError> {
        self.view(token, &Token::allowanceCall { owner, spender }).await
    }

    /// Returns the nonce that a holder's next EIP-2612 permit of a token has.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no number.
    pub async fn permit_nonce(&self, token: Address, owner: Address) -> Result<U256, ChainError> {
        self.view(token, &Token::noncesCall { owner }).await
    }

    /// Returns a token's `name()`.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no string.
    pub async fn token_name(&self, token: Address) -> Result<String, ChainError> {
        self.view(token, &Token::nameCall {}).await
    }

    /// Returns a token's `version()`.
    ///
    /// # Errors
    /// As [`Chain::call`], and when the contract's answer is no string.
    pub async fn token_version(&self, token: Address) -> Result<String, ChainError> {
        self.view(token, &Token::versionCall {}).await
    }

    /// Asks a contract wallet whether a signature is its own (EIP-1271). A wallet that reverts, or
    /// answers anything but the magic value, says no.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn is_wallet_signature(
        &self,
        wallet: Address,
        hash: B256,
        signature: Bytes,
    ) -> Result<bool, ChainError> {
        let call = ContractWallet::isValidSignatureCall { hash, signature };
        match self.call(Address::ZERO, wallet, &call.abi_encode()).await {
            Ok(answer) => Ok(answer.get(..4) == Some(&EIP1271_MAGIC)),
            Err(ChainError::Reverted { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns an account's wei, which pay for gas.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn gas_balance(&self, address: Address) -> Result<U256, ChainError> {
        self.rpc().read("eth_getBalance", json!([address, "latest"])).await
    }

    /// Returns the latest block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn latest_block(&self) -> Result<Block, ChainError> {
        let method = "eth_getBlockByNumber";
        let block: Option<RpcBlock> = self.rpc().read(method, json!(["latest", false])).await?;
        let detail = || "no latest block".to_owned();
        let block = block.ok_or_else(|| ChainError::Malformed { method, detail: detail() })?;
        Ok(block.into())
    }

    /// Returns the number of a block that was the latest at most so long ago: a lower bound that costs
    /// no question each time.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn recent_number(&self, age: Duration) -> Result<u64, ChainError> {
        let now = self.clock().monotonic();
        if let Some(number) = self.shared.number.get(&(), now, age) {
            return Ok(number);
        }
        let number = self.latest_block().await?.number;
        self.shared.number.keep((), now, number);
        Ok(number)
    }

    /// Returns the block of a number, or `None` when the chain is not that long.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn block_at(&self, number: u64) -> Result<Option<Block>, ChainError> {
        let params = json!([U64::from(number), false]);
        let block: Option<RpcBlock> = self.rpc().read("eth_getBlockByNumber", params).await?;
        Ok(block.map(Block::from))
    }

    /// Returns what a transaction did, or `None` while it is in no block.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, ChainError> {
        let method = "eth_getTransactionReceipt";
        let receipt: Option<RpcReceipt> = self.rpc().read(method, json!([transaction])).await?;
        Ok(receipt.and_then(RpcReceipt::into_receipt))
    }

    /// Says whether the node knows a transaction, mined or waiting.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn knows(&self, transaction: B256) -> Result<bool, ChainError> {
        let found: Option<Value> =
            self.rpc().read("eth_getTransactionByHash", json!([transaction])).await?;
        Ok(found.is_some())
    }

    /// Returns how many transactions of an account are mined, or, with `waiting`, mined or waiting.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn transaction_count(
        &self,
        address: Address,
        waiting: bool,
    ) -> Result<u64, ChainError> {
        let block = if waiting { "pending" } else { "latest" };
        let count: U64 =
            self.rpc().read("eth_getTransactionCount", json!([address, block])).await?;
        Ok(count.to())
    }

    /// Finds out who used an EIP-3009 authorisation, or that it was cancelled, looking from
    /// `since_block` on.
    ///
    /// # Errors
    /// When the node does not answer, or refuses to search.
    pub async fn authorization_fate(
        &self,
        token: Address,
        authorizer: Address,
        nonce: B256,
        since_block: u64,
    ) -> Result<AuthorizationFate, ChainError> {
        if !self.authorization_state(token, authorizer, nonce).await? {
            return Ok(AuthorizationFate::Unused);
        }
        let latest = self.latest_block().await?.number;
        let events = [
            Token::AuthorizationUsed::SIGNATURE_HASH,
            Token::AuthorizationCanceled::SIGNATURE_HASH,
        ];
        let topics = json!([events, authorizer.into_word(), nonce]);
        let found = self.search(token, &topics, since_block..=latest, fate_of).await?;
        Ok(found.found().unwrap_or(AuthorizationFate::Untraced))
    }

    /// Looks through a contract's logs, block by block, for the first of which `tell` says something.
    pub(crate) async fn search<T>(
        &self,
        address: Address,
        topics: &Value,
        blocks: RangeInclusive<u64>,
        mut tell: impl FnMut(&RpcLog) -> Option<T> + Send,
    ) -> Result<Search<T>, ChainError> {
        let (mut from, latest) = blocks.into_inner();
        let mut range = self.shared.log_range;
        for _ in 0..MAX_LOG_REQUESTS {
            if from > latest {
                return Ok(Search::Nothing);
            }
            let to = from.saturating_add(range - 1).min(latest);
            match self.logs(address, topics, from, to).await {
                Ok(logs) => match logs.iter().filter(|log| !log.removed).find_map(&mut tell) {
                    Some(found) => return Ok(Search::Found(found)),
                    None => from = to + 1,
                },
                // Nodes differ in how many blocks they search at once.
                Err(ChainError::Refused { .. }) if range > 1 => range = (range / 2).max(1),
                Err(error) => return Err(error),
            }
        }
        Ok(if from > latest { Search::Nothing } else { Search::GaveUp })
    }

    /// Sends a stored transaction. Sending it again is harmless.
    ///
    /// # Errors
    /// When the node did not take it, or may not have seen it; the variants say which.
    pub async fn broadcast(
        &self,
        transaction: &SignedTransaction,
    ) -> Result<Broadcast, BroadcastError> {
        let sent: Result<B256, ChainError> =
            self.rpc().send("eth_sendRawTransaction", json!([transaction.raw])).await;
        match sent {
            Ok(_) => Ok(Broadcast::Accepted),
            Err(error @ ChainError::NotConnected { .. }) => Err(BroadcastError::NotSent(error)),
            Err(ChainError::Refused { code, message, .. }) => {
                refused_broadcast(transaction.nonce, code, message)
            }
            Err(error) => Err(BroadcastError::NoAnswer(error)),
        }
    }

    /// Waits until a transaction is in the chain under `confirmations` blocks, its own included
    /// (0 counts as 1), and at most `timeout`. The first look is at once: development chains mine
    /// at once. A node that does not answer is asked again.
    pub async fn wait(
        &self,
        transaction: B256,
        confirmations: u64,
        timeout: Duration,
    ) -> TransactionOutcome {
        let mut unknown = TransactionOutcome::Unknown { confirmations: 0, error: None };
        let polled = tokio::time::timeout(timeout, async {
            let mut pauses = pauses();
            loop {
                match self.look_at(transaction, confirmations).await {
                    Ok(TransactionOutcome::Unknown { confirmations, error }) => {
                        unknown = TransactionOutcome::Unknown { confirmations, error };
                    }
                    Ok(outcome) => return outcome,
                    Err(error) => {
                        unknown =
                            TransactionOutcome::Unknown { confirmations: 0, error: Some(error) };
                    }
                }
                tokio::time::sleep(pauses.next().unwrap_or_default()).await;
            }
        })
        .await;
        polled.unwrap_or(unknown)
    }

    /// Looks at a transaction once, as [`Chain::wait`] does.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn look_at(
        &self,
        transaction: B256,
        confirmations: u64,
    ) -> Result<TransactionOutcome, ChainError> {
        let unknown = |confirmations| TransactionOutcome::Unknown { confirmations, error: None };
        let Some(receipt) = self.receipt(transaction).await? else { return Ok(unknown(0)) };
        let (block, latest) = if confirmations > 1 {
            tokio::try_join!(self.block_at(receipt.block), self.latest_block())?
        } else {
            let block = self.block_at(receipt.block).await?;
            let Some(found) = block else { return Ok(unknown(0)) };
            (block, found)
        };
        // A receipt of a block that is no longer in the chain counts for nothing.
        let Some(block) = block.filter(|block| block.hash == receipt.block_hash) else {
            return Ok(unknown(0));
        };
        let depth = latest.number.saturating_sub(block.number) + 1;
        if depth < confirmations {
            return Ok(unknown(depth));
        }
        let succeeded = receipt.succeeded;
        let mined = MinedTransaction { receipt, block, confirmations: depth };
        Ok(if succeeded {
            TransactionOutcome::Mined(mined)
        } else {
            TransactionOutcome::Reverted(mined)
        })
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        &self.shared.rpc
    }

    pub(crate) async fn view<C: SolCall>(
        &self,
        to: Address,
        call: &C,
    ) -> Result<C::Return, ChainError> {
        let answer = self.call(Address::ZERO, to, &call.abi_encode()).await?;
        C::abi_decode_returns(&answer).map_err(|_| ChainError::NotAsCalled {
            to,
            function: C::SIGNATURE,
            length: answer.len(),
        })
    }

    async fn logs(
        &self,
        address: Address,
        topics: &Value,
        from: u64,
        to: u64,
    ) -> Result<Vec<RpcLog>, ChainError> {
        let filter = json!({
            "address": address,
            "topics": topics,
            "fromBlock": U64::from(from),
            "toBlock": U64::from(to),
        });
        self.rpc().read("eth_getLogs", json!([filter])).await
    }
}

impl From<RpcBlock> for Block {
    fn from(block: RpcBlock) -> Self {
        Self {
            number: block.number.to(),
            hash: block.hash,
            time: Timestamp::from_seconds(block.timestamp.to()),
            base_fee: block.base_fee_per_gas.map(|fee| fee.saturating_to()),
        }
    }
}

impl<T> Search<T> {
    fn found(self) -> Option<T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Nothing | Self::GaveUp => None,
        }
    }
}

fn fate_of(log: &RpcLog) -> Option<AuthorizationFate> {
    let (transaction, block) = (log.transaction_hash?, log.block_number?.to());
    let event = *log.topics.first()?;
    if event == Token::AuthorizationUsed::SIGNATURE_HASH {
        Some(AuthorizationFate::Used { transaction, block })
    } else if event == Token::AuthorizationCanceled::SIGNATURE_HASH {
        Some(AuthorizationFate::Canceled { transaction, block })
    } else {
        None
    }
}

/// Nodes say these three things in their own words; the codes do not tell them apart.
fn refused_broadcast(nonce: u64, code: i64, message: String) -> Result<Broadcast, BroadcastError> {
    let said = message.to_ascii_lowercase().replace([' ', '_'], "");
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["alreadyknown", "alreadyimported", "knowntransaction", "alreadyexists"]) {
        Ok(Broadcast::AlreadyKnown)
    } else if says(&["noncetoolow", "oldnonce", "nonceistoolow", "noncelow"]) {
        Err(BroadcastError::NonceTooLow { nonce, message })
    } else if says(&["replacement", "couldnotreplace", "noncetoosmall"]) {
        Err(BroadcastError::NonceTaken { nonce, message })
    } else {
        Err(BroadcastError::Rejected { code, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_words_are_understood() {
        let said = |message: &str| refused_broadcast(7, -32000, message.to_owned());
        for message in [
            "already known",
            "AlreadyKnown",
            "transaction already imported",
            "known transaction: 0x",
        ] {
            assert_eq!(said(message), Ok(Broadcast::AlreadyKnown), "{message}");
        }
        for message in ["nonce too low: next nonce 9, tx nonce 7", "OldNonce, Current nonce: 5"] {
            assert!(matches!(said(message), Err(BroadcastError::NonceTooLow { nonce: 7, .. })));
        }
        let message = "replacement transaction underpriced";
        assert!(matches!(said(message), Err(BroadcastError::NonceTaken { nonce: 7, .. })));
        for message in ["insufficient funds for gas * price + value", "transaction underpriced"] {
            assert!(matches!(said(message), Err(BroadcastError::Rejected { .. })), "{message}");
        }
    }
}
