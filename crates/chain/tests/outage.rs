//! Connecting and asking.

use assay_chain::{Address, B256, BroadcastError, Bytes, ChainError, SignedTransaction};
use assay_primitives::Network;
use serde_json::json;

use crate::node::{Node, Says};

fn transaction() -> SignedTransaction {
    SignedTransaction {
        raw: Bytes::from_static(&[2, 3]),
        hash: B256::repeat_byte(1),
        signer: Address::repeat_byte(2),
        nonce: 7,
        gas_limit: 21_000,
    }
}

#[tokio::test]
async fn the_chain_has_to_be_the_expected_one() {
    let node = Node::of_chain(8_453).await;
    let clock = std::sync::Arc::new(assay_primitives::SystemClock::default());
    let config = node.config().on(Network::eip155(84_532));
    let error = assay_chain::Chain::connect(config, clock).await.unwrap_err();
    let (expected, got) = (Network::eip155(84_532), Network::eip155(8_453));
    assert_eq!(error, ChainError::WrongNetwork { expected, got });
    assert_eq!(node.connect().await.unwrap().chain_id(), 8_453);
}

#[tokio::test]
async fn reads_are_repeated_while_the_node_is_busy() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.on("eth_getBalance", |_, before| match before {
        0 => Says::Status(429),
        1 => Says::Error(-32_005, "rate limit exceeded"),
        _ => Says::Result(json!("0x5")),
    });
    let balance = chain.gas_balance(Address::ZERO).await.unwrap();
    assert_eq!((balance.to::<u64>(), node.seen("eth_getBalance").len()), (5, 3));
    node.on("eth_getBalance", |_, _| Says::Status(503));
    let error = chain.gas_balance(Address::ZERO).await.unwrap_err();
    assert!(
        matches!(&error, ChainError::NoAnswer { detail, .. } if detail.contains("503")),
        "{error}"
    );
}

#[tokio::test]
async fn bad_answers_are_told_apart() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    for raw in ["", "null", "no", r#"{"jsonrpc":"2.0","id":1,"result":"five"}"#] {
        node.on("eth_getBalance", move |_, _| Says::Raw(raw));
        let error = chain.gas_balance(Address::ZERO).await.unwrap_err();
        assert!(matches!(error, ChainError::Malformed { .. }), "{raw}: {error}");
        assert!(error.is_unreachable());
    }
    node.on("eth_getBalance", |_, _| Says::Flood);
    let error = chain.gas_balance(Address::ZERO).await.unwrap_err();
    assert!(
        matches!(&error, ChainError::Malformed { detail, .. } if detail.contains("longer")),
        "{error}"
    );
    node.on("eth_getBalance", |_, _| Says::Nothing);
    let error = chain.gas_balance(Address::ZERO).await.unwrap_err();
    assert!(
        matches!(&error, ChainError::NoAnswer { detail, .. } if detail.contains("timed out")),
        "{error}"
    );
    node.on("eth_getBalance", |_, _| Says::Error(-32_000, "header not found"));
    let error = chain.gas_balance(Address::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::Refused { code: -32_000, .. }), "{error}");
}

#[tokio::test]
async fn contracts_that_are_none_are_named() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.always("eth_call", json!("0x"));
    let error = chain.balance(Address::repeat_byte(9), Address::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::NotAsCalled { length: 0, .. }), "{error}");
    assert!(error.is_no_such_function() && !error.is_unreachable());
}

#[tokio::test]
async fn a_broadcast_says_whether_the_node_has_seen_it() {
    let mut node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.on("eth_sendRawTransaction", |_, _| Says::Nothing);
    let error = chain.broadcast(&transaction()).await.unwrap_err();
    assert!(matches!(error, BroadcastError::NoAnswer(_)), "{error}");
    assert_eq!(node.seen("eth_sendRawTransaction").len(), 1, "a broadcast was repeated unasked");
    node.on("eth_sendRawTransaction", |_, _| Says::Error(-32_000, "nonce too low"));
    let error = chain.broadcast(&transaction()).await.unwrap_err();
    assert!(matches!(error, BroadcastError::NonceTooLow { nonce: 7, .. }), "{error}");
    node.stop().await;
    let error = chain.broadcast(&transaction()).await.unwrap_err();
    assert!(matches!(error, BroadcastError::NotSent(_)), "{error}");
    let error = node.connect().await.unwrap_err();
    assert!(matches!(error, ChainError::NotConnected { .. }), "{error}");
    assert!(!error.to_string().contains(&node.url), "{error}");
}

#[derive(Debug, Default)]
struct Calls(std::sync::Mutex<Vec<(&'static str, Option<String>)>>);

impl assay_chain::RpcObserver for Calls {
    fn called(&self, method: &'static str, error: Option<&ChainError>, _: std::time::Duration) {
        self.0.lock().unwrap().push((method, error.map(ToString::to_string)));
    }
}

#[tokio::test]
async fn an_observer_is_told_of_every_request() {
    let node = Node::start().await;
    let calls = std::sync::Arc::new(Calls::default());
    let mut config = node.config();
    config.observer = Some(calls.clone());
    let clock = std::sync::Arc::new(assay_primitives::SystemClock::default());
    let chain = assay_chain::Chain::connect(config, clock).await.unwrap();
    node.on("eth_getBalance", |_, before| match before {
        0 => Says::Status(429),
        1 => Says::Result(json!("0x5")),
        // A refusal is an answer; what cannot be read is none.
        2 => Says::Error(-32_601, "no such method"),
        _ => Says::Raw("no"),
    });
    assert!(chain.gas_balance(Address::ZERO).await.is_ok());
    assert!(chain.gas_balance(Address::ZERO).await.is_err());
    assert!(chain.gas_balance(Address::ZERO).await.is_err());
    let calls = calls.0.lock().unwrap();
    let told: Vec<(&str, bool)> = calls.iter().map(|(m, error)| (*m, error.is_some())).collect();
    let balance = |is_error| ("eth_getBalance", is_error);
    let first = ("eth_chainId", false);
    assert_eq!(told, [first, balance(true), balance(false), balance(false), balance(true)]);
}
