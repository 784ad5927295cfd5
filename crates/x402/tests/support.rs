//! A served development chain, a seller and buyers on it, and a proxy that breaks the line between
//! them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
use assay_chain::bindings::Token;
use assay_chain::{
    AccountKey, Chain, ChainConfig, FeeLimits, MemoryJournal, SettlementSigner, development_key,
};
use assay_devchain::{CHAIN_ID, Config, DEV_TOKEN, DevChain, RunningServer, serve};
use assay_primitives::{Account, Amount, Clock, Network, Randomness, RandomnessError, Timestamp};
use assay_x402::{
    Authorization, CheckedPayment, ChosenOffer, Facilitator, LocalConfig, LocalFacilitator,
    Payment, PaymentRequired, PaymentRequirements, ResourceInfo, SettlementIntent, X402_VERSION,
    authorization_hash, check_exact, pay,
};
use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) const TOKEN_NAME: &str = "Assay Development Dollar";
pub(crate) const PRICE: u128 = 1_000;
/// Roles of the development accounts.
pub(crate) const OPERATOR: u8 = 0;
pub(crate) const BUYER: u8 = 1;
pub(crate) const SELLER: u8 = 2;
pub(crate) const STRANGER: u8 = 3;

const START: u64 = 1_800_000_000;

sol! {
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Randomness that never repeats and is the same in every run.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU8);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(1));
        Ok(())
    }
}

/// What a proxy does with a JSON-RPC method.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Answers with HTTP 500 and does not ask the chain.
    Drop,
    /// Asks the chain and answers with HTTP 500.
    DropAnswer,
    /// Answers with a JSON-RPC error and does not ask the chain.
    Refuse(i64, &'static str),
    /// Answers with this result and does not ask the chain.
    Say(Value),
}

/// A development chain behind a proxy. Dropping it stops both.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dev: DevChain,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) chain: Chain,
    url: String,
    pub(crate) randomness: Counting,
    line: Arc<Line>,
    shutdown: CancellationToken,
    proxy: (CancellationToken, TaskTracker),
    pub(crate) tasks: TaskTracker,
}

#[derive(Debug)]
struct Line {
    node: Mutex<String>,
    http: reqwest::Client,
    faults: Mutex<HashMap<&'static str, Fault>>,
    seen: Mutex<Vec<String>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START)));
        let dev = DevChain::open(Config::in_memory(), clock.clone()).unwrap();
        let shutdown = CancellationToken::new();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server: RunningServer = serve(dev.clone(), loopback, shutdown.clone()).await.unwrap();
        assay_chain::install_tls_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (faults, seen) = (Mutex::default(), Mutex::default());
        let node = Mutex::new(server.url.clone());
        let line = Arc::new(Line { node, http, faults, seen });
        let tasks = TaskTracker::new();
        let router = Router::new().route("/", post(forward)).with_state(Arc::clone(&line));
        let proxy = (shutdown.child_token(), TaskTracker::new());
        let url = serve_router(router, &proxy.1, &proxy.0).await;
        let config = ChainConfig::new(&url).on(Network::eip155(CHAIN_ID));
        let chain = Chain::connect(config, clock.clone()).await.unwrap();
        Self {
            dev,
            clock,
            chain,
            url,
            randomness: Counting::default(),
            line,
            shutdown,
            proxy,
            tasks,
        }
    }

    /// Serves a router on loopback until the world ends, and returns its URL.
    pub(crate) async fn serve(&self, router: Router) -> String {
        serve_router(router, &self.tasks, &self.shutdown).await
    }

    /// Another branch takes the chain's place, which has none of its transactions.
    pub(crate) async fn reorganise(&mut self) {
        self.dev = DevChain::open(Config::in_memory(), self.clock.clone()).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = serve(self.dev.clone(), loopback, self.shutdown.clone()).await.unwrap();
        *self.line.node.lock().unwrap() = server.url.clone();
        self.dev.mine().unwrap();
    }

    pub(crate) fn break_line(&self, method: &'static str, fault: Fault) {
        self.line.faults.lock().unwrap().insert(method, fault);
    }

    pub(crate) fn mend_line(&self) {
        self.line.faults.lock().unwrap().clear();
    }

    /// Stops the proxy: connections are refused from now on.
    pub(crate) async fn hang_up(&self) {
        self.proxy.0.cancel();
        self.proxy.1.close();
        self.proxy.1.wait().await;
    }

    /// Cuts everything off.
    pub(crate) fn cut_line(&self) {
        for method in [
            "eth_sendRawTransaction",
            "eth_getTransactionReceipt",
            "eth_getTransactionCount",
            "eth_getBlockByNumber",
            "eth_call",
            "eth_getLogs",
            "eth_estimateGas",
        ] {
            self.break_line(method, Fault::Drop);
        }
    }

    /// Says how often a method was asked for.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.line.seen.lock().unwrap().iter().filter(|seen| *seen == method).count()
    }

    /// Returns the same chain under another chain id, one that is not made for development.
    pub(crate) async fn disguised(&self) -> Chain {
        self.break_line("eth_chainId", Fault::Say(json!("0x2105")));
        Chain::connect(ChainConfig::new(&self.url), self.clock.clone()).await.unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn signer(&self, account: u8) -> SettlementSigner {
        SettlementSigner::new(self.chain.clone(), key(account), FeeLimits::default()).unwrap()
    }

    /// Returns a facilitator that gives up after a time fit for tests.
    pub(crate) fn facilitator(&self) -> LocalFacilitator {
        self.facilitator_with(|_| {})
    }

    pub(crate) fn facilitator_with(&self, edit: impl FnOnce(&mut LocalConfig)) -> LocalFacilitator {
        self.facilitator_over(Arc::default(), edit)
    }

    pub(crate) fn facilitator_over(
        &self,
        journal: Arc<MemoryJournal>,
        edit: impl FnOnce(&mut LocalConfig),
    ) -> LocalFacilitator {
        let mut config = LocalConfig::new(vec![DEV_TOKEN]);
        config.timeout = Duration::from_millis(300);
        edit(&mut config);
        LocalFacilitator::new(self.signer(OPERATOR), journal, config)
    }

    pub(crate) fn payment(&self, offer: &PaymentRequirements) -> Payment {
        let required = required(offer);
        let chosen = ChosenOffer { index: 0, offer };
        pay(&required, chosen, &Map::new(), &key(BUYER), self.now(), &self.randomness).unwrap()
    }

    pub(crate) fn checked(&self) -> CheckedPayment {
        check_exact(&self.payment(&offer()).payload, &offer(), self.now()).unwrap()
    }

    /// Takes a payment as far as a stored intent.
    pub(crate) async fn intent(&self, facilitator: &dyn Facilitator) -> SettlementIntent {
        let verified = facilitator.verify(&self.checked()).await.unwrap();
        let intent = verified.intent();
        stored(&intent)
    }

    pub(crate) async fn tokens_of(&self, account: Address) -> U256 {
        self.chain.balance(DEV_TOKEN, account).await.unwrap()
    }

    /// Sends a call from a development account, past the proxy's faults.
    pub(crate) fn send(&self, account: u8, to: TxKind, data: Bytes) -> B256 {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.dev.nonce(address(account)),
            gas_limit: 1_000_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 0,
            to,
            value: U256::ZERO,
            access_list: Vec::new().into(),
            input: data,
        };
        let signature = key(account).sign_hash(&transaction.signature_hash());
        let signed = transaction.into_signed(Signature::from_raw_array(&signature).unwrap());
        let mut raw = Vec::new();
        signed.eip2718_encode(&mut raw);
        self.dev.submit(&raw).unwrap()
    }

    pub(crate) fn send_to_token(&self, account: u8, call: &impl SolCall) -> B256 {
        self.send(account, TxKind::Call(DEV_TOKEN), call.abi_encode().into())
    }

    /// Leaves the buyer with no tokens.
    pub(crate) async fn empty_buyer(&self) {
        let value = self.tokens_of(address(BUYER)).await;
        self.send_to_token(BUYER, &Token::transferCall { to: address(STRANGER), value });
    }

    /// Cancels an authorisation as its payer.
    pub(crate) fn cancel(&self, nonce: B256) -> B256 {
        let message = CancelAuthorization { authorizer: address(BUYER), nonce };
        let hash = message.eip712_signing_hash(&domain());
        let (v, r, s) = split(&key(BUYER).sign_hash(&hash));
        let call = Token::cancelAuthorization_0Call { authorizer: address(BUYER), nonce, v, r, s };
        self.send_to_token(STRANGER, &call)
    }
}

/// Returns the call that carries out an authorisation of the buyer.
pub(crate) fn transfer_call(
    authorization: &Authorization,
) -> Token::transferWithAuthorization_0Call {
    let hash = authorization_hash(authorization, DEV_TOKEN, TOKEN_NAME, "1", CHAIN_ID);
    let (v, r, s) = split(&key(BUYER).sign_hash(&hash));
    let Authorization { from, to, value, valid_after, valid_before, nonce } = *authorization;
    Token::transferWithAuthorization_0Call {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
        v,
        r,
        s,
    }
}

pub(crate) fn key(account: u8) -> AccountKey {
    AccountKey::from_bytes(&development_key(account).0).unwrap()
}

pub(crate) fn address(account: u8) -> Address {
    key(account).address()
}

fn account(address: Address) -> Account {
    address.to_checksum(None).parse().unwrap()
}

pub(crate) fn offer() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".to_owned(),
        network: Network::eip155(CHAIN_ID),
        amount: Amount(PRICE),
        asset: account(DEV_TOKEN),
        pay_to: account(address(SELLER)),
        max_timeout_seconds: 60,
        extra: json!({ "name": TOKEN_NAME, "version": "1" }).as_object().cloned(),
        other: Map::new(),
    }
}

pub(crate) fn required(offer: &PaymentRequirements) -> PaymentRequired {
    PaymentRequired {
        x402_version: X402_VERSION,
        error: None,
        resource: ResourceInfo::new("https://seller.example/v1/run"),
        accepts: vec![offer.clone()],
        extensions: None,
    }
}

/// Writes an intent as JSON and reads it again, as a database does.
pub(crate) fn stored(intent: &SettlementIntent) -> SettlementIntent {
    let text = serde_json::to_string(intent).unwrap();
    let read = serde_json::from_str(&text).unwrap();
    assert_eq!(*intent, read);
    read
}

fn domain() -> Eip712Domain {
    let (name, version) = (TOKEN_NAME.into(), "1".into());
    Eip712Domain::new(Some(name), Some(version), Some(U256::from(CHAIN_ID)), Some(DEV_TOKEN), None)
}

pub(crate) fn split(signature: &[u8; 65]) -> (u8, B256, B256) {
    let (r, s) = (&signature[..32], &signature[32..64]);
    (signature[64], B256::from_slice(r), B256::from_slice(s))
}

async fn serve_router(router: Router, tasks: &TaskTracker, shutdown: &CancellationToken) -> String {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = shutdown.clone().cancelled_owned();
    tasks.spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await.unwrap();
    });
    format!("http://{address}")
}

async fn forward(State(line): State<Arc<Line>>, body: Body) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let method = request["method"].as_str().unwrap().to_owned();
    line.seen.lock().unwrap().push(method.clone());
    let fault = line.faults.lock().unwrap().get(method.as_str()).cloned();
    match fault {
        Some(Fault::Drop) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Refuse(code, message)) => {
            let error = json!({ "code": code, "message": message });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return axum::Json(answer).into_response();
        }
        Some(Fault::Say(result)) => {
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
            return axum::Json(answer).into_response();
        }
        Some(Fault::DropAnswer) | None => {}
    }
    let node = line.node.lock().unwrap().clone();
    let sent = line.http.post(&node).header("content-type", "application/json").body(body);
    let answer = sent.send().await.unwrap().bytes().await.unwrap();
    match fault {
        None => ([("content-type", "application/json")], answer).into_response(),
        Some(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
