//! A served development chain behind a line that tests can break, and what the money did on it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_sol_types::{Eip712Domain, SolCall, SolEvent as _, SolStruct as _, sol};
use assay_chain::bindings::{Permit2, Token};
use assay_chain::{
    AccountKey, Chain, ChainConfig, FeeLimits, MemoryJournal, PERMIT2, SettlementSigner,
    development_key,
};
use assay_devchain::{CHAIN_ID, Config, DEV_TOKEN, DevChain};
use assay_primitives::{Clock, Network, SystemClock};
use assay_x402::{Authorization, LocalConfig, LocalFacilitator};
use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const TOKEN_NAME: &str = "Assay Development Dollar";
/// Roles of the development accounts.
pub(crate) const SETTLER: u8 = 0;
pub(crate) const SELLER: u8 = 1;
pub(crate) const BUYER: u8 = 2;
pub(crate) const STRANGER: u8 = 3;

sol! {
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }
}

/// A chain and the line to it. Dropping it stops both.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dev: DevChain,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chain: Chain,
    /// What the settling account has sent; it outlives every seller.
    journal: Arc<MemoryJournal>,
    line: Arc<Line>,
    shutdown: CancellationToken,
}

/// What happens on the line to the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// This method is answered with HTTP 500 and does not reach the chain.
    Drop,
    /// From the next call of this method on nothing reaches the chain, that call included.
    Die,
}

#[derive(Debug)]
struct Line {
    node: String,
    http: reqwest::Client,
    is_cut: Mutex<bool>,
    faults: Mutex<HashMap<&'static str, Fault>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let dev = DevChain::open(Config::in_memory(), clock.clone()).unwrap();
        let shutdown = CancellationToken::new();
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let server = assay_devchain::serve(dev.clone(), loopback, shutdown.clone()).await.unwrap();
        let (http, faults) = (http(Duration::from_secs(30)), Mutex::default());
        let line = Arc::new(Line { node: server.url, http, is_cut: Mutex::default(), faults });
        let router = Router::new().route("/", post(forward)).with_state(line.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stopped = shutdown.clone().cancelled_owned();
        TaskTracker::new().spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap();
        });
        let config = ChainConfig::new(url).on(Network::eip155(CHAIN_ID));
        let chain = Chain::connect(config, clock.clone()).await.unwrap();
        Self { dev, clock, chain, journal: Arc::default(), line, shutdown }
    }

    /// Returns a facilitator that gives up waiting after a time fit for tests.
    pub(crate) fn facilitator(&self) -> LocalFacilitator {
        facilitator(self.chain.clone(), self.journal.clone())
    }

    /// Returns a facilitator that asks the chain itself, with no line in between.
    pub(crate) async fn direct_facilitator(&self) -> LocalFacilitator {
        let config = ChainConfig::new(self.line.node.clone());
        let chain = Chain::connect(config, self.clock.clone()).await.unwrap();
        facilitator(chain, self.journal.clone())
    }

    /// Returns what cuts the line when it is called.
    pub(crate) fn cutter(&self) -> impl Fn() + Send + Sync + 'static {
        let line = self.line.clone();
        move || *line.is_cut.lock().unwrap() = true
    }

    pub(crate) fn break_line(&self, method: &'static str, fault: Fault) {
        self.line.faults.lock().unwrap().insert(method, fault);
    }

    pub(crate) fn cut_line(&self) {
        *self.line.is_cut.lock().unwrap() = true;
    }

    pub(crate) fn mend_line(&self) {
        self.line.faults.lock().unwrap().clear();
        *self.line.is_cut.lock().unwrap() = false;
    }

    /// Sends a call of the token from a development account, past the line's faults.
    pub(crate) fn send(&self, account: u8, call: &impl SolCall) -> B256 {
        send(&self.dev, account, call)
    }

    /// Counts the transfers to the seller that the chain has ever seen, and adds them up.
    pub(crate) async fn charges(&self) -> (usize, u128) {
        let to = address(SELLER).into_word();
        let filter = json!({
            "fromBlock": "0x0", "toBlock": "latest", "address": DEV_TOKEN,
            "topics": [Token::Transfer::SIGNATURE_HASH, null, to],
        });
        let request =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [filter] });
        let sent = self.line.http.post(&self.line.node).json(&request).send();
        let answer: Value = sent.await.unwrap().json().await.unwrap();
        let logs = answer["result"].as_array().unwrap();
        let amount = |log: &Value| -> u128 {
            let data: U256 = log["data"].as_str().unwrap().parse().unwrap();
            data.to()
        };
        (logs.len(), logs.iter().map(amount).sum())
    }
}

fn facilitator(chain: Chain, journal: Arc<MemoryJournal>) -> LocalFacilitator {
    let signer = SettlementSigner::new(chain, key(SETTLER), FeeLimits::default()).unwrap();
    let mut config = LocalConfig::new(vec![DEV_TOKEN]);
    config.timeout = Duration::from_millis(500);
    LocalFacilitator::new(signer, journal, config)
}

/// Sends a call of the token from a development account.
pub(crate) fn send(dev: &DevChain, account: u8, call: &impl SolCall) -> B256 {
    send_to(dev, account, DEV_TOKEN, call)
}

/// Lets Permit2 move an account's tokens, as many as it likes.
pub(crate) fn approve(dev: &DevChain, account: u8) {
    send(dev, account, &Token::approveCall { spender: PERMIT2, value: U256::MAX });
}

/// Takes a permit back as its payer.
pub(crate) fn invalidate(dev: &DevChain, payer: u8, nonce: B256) {
    let nonce = U256::from_be_bytes(nonce.0);
    let mask = U256::ONE << (nonce & U256::from(0xff));
    let call = Permit2::invalidateUnorderedNoncesCall { wordPos: nonce >> 8, mask };
    send_to(dev, payer, PERMIT2, &call);
}

/// Sends a call of a contract from a development account.
fn send_to(dev: &DevChain, account: u8, contract: Address, call: &impl SolCall) -> B256 {
    let transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: dev.nonce(address(account)),
        gas_limit: 1_000_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 0,
        to: TxKind::Call(contract),
        value: U256::ZERO,
        access_list: Vec::new().into(),
        input: call.abi_encode().into(),
    };
    let signature = key(account).sign_hash(&transaction.signature_hash());
    let signed = transaction.into_signed(Signature::from_raw_array(&signature).unwrap());
    let mut raw = Vec::new();
    signed.eip2718_encode(&mut raw);
    dev.submit(&raw).unwrap()
}

/// Returns an account's balance of the token.
pub(crate) fn balance(dev: &DevChain, account: u8) -> U256 {
    let call = Token::balanceOfCall { account: address(account) };
    let request = alloy_rpc_types_eth::TransactionRequest {
        to: Some(TxKind::Call(DEV_TOKEN)),
        input: Bytes::from(call.abi_encode()).into(),
        ..Default::default()
    };
    U256::from_be_slice(&dev.call(&request).unwrap())
}

/// Leaves an account with no tokens.
pub(crate) fn empty(dev: &DevChain, account: u8) {
    let (to, value) = (address(STRANGER), balance(dev, account));
    send(dev, account, &Token::transferCall { to, value });
}

/// Cancels an authorisation as its payer.
pub(crate) fn cancel(dev: &DevChain, payer: u8, nonce: B256) {
    let message = CancelAuthorization { authorizer: address(payer), nonce };
    let hash = message.eip712_signing_hash(&domain());
    let (v, r, s) = split(&key(payer).sign_hash(&hash));
    let call = Token::cancelAuthorization_0Call { authorizer: address(payer), nonce, v, r, s };
    send(dev, STRANGER, &call);
}

/// Carries an authorisation out, as a stranger who saw it.
pub(crate) fn front_run(dev: &DevChain, authorization: &Authorization, signature: &[u8]) {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = *authorization;
    let (v, r, s) = split(signature.try_into().unwrap());
    let call = Token::transferWithAuthorization_0Call {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
        v,
        r,
        s,
    };
    send(dev, STRANGER, &call);
}

pub(crate) fn key(account: u8) -> AccountKey {
    AccountKey::from_bytes(&development_key(account).0).unwrap()
}

pub(crate) fn address(account: u8) -> Address {
    key(account).address()
}

pub(crate) fn http(timeout: Duration) -> reqwest::Client {
    assay_chain::install_tls_provider();
    reqwest::Client::builder().no_proxy().timeout(timeout).build().unwrap()
}

fn domain() -> Eip712Domain {
    let (name, version) = (TOKEN_NAME.into(), "1".into());
    Eip712Domain::new(Some(name), Some(version), Some(U256::from(CHAIN_ID)), Some(DEV_TOKEN), None)
}

fn split(signature: &[u8; 65]) -> (u8, B256, B256) {
    let (r, s) = (&signature[..32], &signature[32..64]);
    (signature[64], B256::from_slice(r), B256::from_slice(s))
}

async fn forward(State(line): State<Arc<Line>>, body: Body) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap();
    let fault = line.faults.lock().unwrap().get(method).copied();
    if fault == Some(Fault::Die) {
        *line.is_cut.lock().unwrap() = true;
    }
    if fault.is_some() || *line.is_cut.lock().unwrap() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let sent = line.http.post(&line.node).header("content-type", "application/json").body(body);
    let answer = sent.send().await.unwrap().bytes().await.unwrap();
    ([("content-type", "application/json")], answer).into_response()
}
