//! A served chain with a clock that tests move.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::eips::eip2718::Encodable2718;
use alloy::network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{Provider, ProviderBuilder, WalletProvider};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use assay_devchain::{BASE_FEE, CHAIN_ID, Config, DevChain, RunningServer, dev_accounts, serve};
use assay_primitives::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The time at which test clocks start, in seconds.
pub(crate) const START: u64 = 1_800_000_000;

/// A clock that stands still until it is set.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
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

/// A served chain. Dropping it stops the server.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) chain: DevChain,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) server: RunningServer,
    pub(crate) shutdown: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Served {
    /// Serves a new chain in memory.
    pub(crate) async fn start() -> Self {
        let clock = TestClock::new();
        let chain = DevChain::open(Config::in_memory(), clock.clone()).unwrap();
        let shutdown = CancellationToken::new();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = serve(chain.clone(), address, shutdown.clone()).await.unwrap();
        Self { chain, clock, server, shutdown }
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(&mut self) {
        let (other, never) = (self.chain.clone(), CancellationToken::new());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server =
            std::mem::replace(&mut self.server, serve(other, address, never).await.unwrap());
        tokio::time::timeout(Duration::from_secs(10), server.stopped()).await.unwrap();
    }

    /// Returns a provider that signs with the key of a development account.
    pub(crate) fn provider(
        &self,
        account: usize,
    ) -> impl Provider + WalletProvider + Clone + use<> {
        // In a build of the whole workspace, another crate's features give the HTTP client TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wallet = EthereumWallet::from(signer(account));
        let url = self.server.url.parse().unwrap();
        let provider = ProviderBuilder::new().wallet(wallet).connect_http(url);
        provider.client().set_poll_interval(Duration::from_millis(5));
        provider
    }

    /// Calls a method by plain HTTP and returns the whole answer.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, answer) = self.post(request.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Calls a method that succeeds and returns its result.
    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let mut answer = self.rpc(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls a method that fails and returns the code and the message.
    pub(crate) async fn error(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.rpc(method, params).await;
        let error = &answer["error"];
        let code = error["code"].as_i64().unwrap_or_else(|| panic!("{method}: {answer}"));
        (code, error["message"].as_str().unwrap().to_owned())
    }

    /// Posts a body and returns the status and the body of the answer.
    pub(crate) async fn post(&self, body: impl Into<Vec<u8>>) -> (u16, String) {
        let (address, body) = (self.server.addr, body.into());
        tokio::task::spawn_blocking(move || http(address, "POST", &body)).await.unwrap()
    }
}

/// Makes one HTTP request.
pub(crate) fn http(address: SocketAddr, method: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a large body may answer before it has read all of it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Returns the signer of a development account.
pub(crate) fn signer(account: usize) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&dev_accounts()[account].key).unwrap()
}

/// Returns the address of a development account.
pub(crate) fn address(account: usize) -> Address {
    dev_accounts()[account].address
}

/// Returns a transfer of one wei with everything filled in.
pub(crate) fn transfer(nonce: u64) -> TransactionRequest {
    TransactionRequest::default()
        .with_chain_id(CHAIN_ID)
        .with_nonce(nonce)
        .with_to(Address::repeat_byte(0x77))
        .with_value(alloy::primitives::U256::ONE)
        .with_gas_limit(21_000)
        .with_max_fee_per_gas(u128::from(BASE_FEE) * 2)
        .with_max_priority_fee_per_gas(1)
}

/// Signs a request with the key of a development account.
pub(crate) async fn sign(account: usize, request: TransactionRequest) -> Bytes {
    let envelope = request.build(&EthereumWallet::from(signer(account))).await.unwrap();
    envelope.encoded_2718().into()
}

/// Returns code that deploys `runtime`.
pub(crate) fn deployment(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).unwrap();
    // PUSH1 length, DUP1, PUSH1 offset of the runtime, PUSH0, CODECOPY, PUSH0, RETURN
    [&[0x60, length, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3], runtime].concat().into()
}

/// Deploys `runtime` from a development account and returns the address.
pub(crate) async fn deploy(served: &Served, account: usize, runtime: &[u8]) -> Address {
    let request = TransactionRequest::default().with_deploy_code(deployment(runtime));
    let pending = served.provider(account).send_transaction(request).await.unwrap();
    pending.get_receipt().await.unwrap().contract_address.unwrap()
}

/// Returns the hash in a JSON value.
pub(crate) fn hash(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}
