//! Preparing transactions, and the limits on what they may cost.

use assay_chain::{
    AccountKey, Address, Bytes, ChainError, FeeLimits, SettlementSigner, SignerError,
    development_key,
};
use serde_json::json;

use crate::node::{Node, Says};

fn key(byte: u8) -> AccountKey {
    AccountKey::from_bytes(&[byte; 32]).unwrap()
}

async fn node() -> Node {
    let node = Node::start().await;
    node.blocks(5);
    node.always("eth_estimateGas", json!("0x186a0"));
    node.always("eth_maxPriorityFeePerGas", json!("0x1"));
    node.always("eth_getTransactionCount", json!("0x7"));
    node.on("eth_sendRawTransaction", |_, _| Says::Result(json!(crate::node::hash(1))));
    node
}

async fn signer(node: &Node, limits: FeeLimits) -> SettlementSigner {
    SettlementSigner::new(node.connect().await.unwrap(), key(9), limits).unwrap()
}

async fn prepare(signer: &SettlementSigner) -> Result<u64, SignerError> {
    let prepared = signer.prepare(Address::repeat_byte(1), Bytes::new()).await?;
    Ok(prepared.keep().nonce)
}

#[tokio::test]
async fn public_keys_pay_for_nothing_of_value() {
    let development = || AccountKey::from_bytes(&development_key(3).0).unwrap();
    let junk = || {
        let first = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        AccountKey::from_hex(first).unwrap()
    };
    let real = Node::of_chain(8_453).await.connect().await.unwrap();
    for key in [development(), junk()] {
        let address = key.address();
        let error = SettlementSigner::new(real.clone(), key, FeeLimits::default()).unwrap_err();
        let network = real.network().clone();
        assert_eq!(error, SignerError::DevelopmentKey { address, network });
    }
    assert!(SettlementSigner::new(real, key(9), FeeLimits::default()).is_ok());
    let play = Node::start().await.connect().await.unwrap();
    for key in [development(), junk()] {
        assert!(SettlementSigner::new(play.clone(), key, FeeLimits::default()).is_ok());
    }
}

#[tokio::test]
async fn gas_and_fees_are_capped() {
    let node = node().await;
    let signer_of = |gas, fee_per_gas| FeeLimits { gas, fee_per_gas, ..FeeLimits::default() };
    let wide = signer(&node, signer_of(125_000, 3_000_000_000)).await;
    assert_eq!(prepare(&wide).await, Ok(7));
    let error = prepare(&signer(&node, signer_of(124_999, 3_000_000_000)).await).await;
    let to = Address::repeat_byte(1);
    assert_eq!(error, Err(SignerError::GasCap { to, needed: 125_000, cap: 124_999 }));
    let error = prepare(&signer(&node, signer_of(125_000, 1_000_000_000)).await).await;
    assert_eq!(error, Err(SignerError::FeeCap { needed: 1_125_000_001, cap: 1_000_000_000 }));
}

/// What fails after a nonce was taken gives it back.
#[tokio::test]
async fn a_call_that_would_revert_takes_no_nonce() {
    let node = node().await;
    let signer = signer(&node, FeeLimits::default()).await;
    assert_eq!(prepare(&signer).await, Ok(7));
    node.on("eth_estimateGas", |_, _| Says::Error(3, "execution reverted: no"));
    let error = prepare(&signer).await.unwrap_err();
    assert!(matches!(error, SignerError::Chain(ChainError::Reverted { .. })), "{error}");
    node.always("eth_estimateGas", json!("0x5208"));
    assert_eq!(prepare(&signer).await, Ok(8));
    // The chain was asked for the count once: nonces are one's own to count.
    assert_eq!(node.seen("eth_getTransactionCount").len(), 1);
}

#[tokio::test]
async fn chains_that_suggest_no_tip_get_a_small_one() {
    let node = node().await;
    node.on("eth_maxPriorityFeePerGas", |_, _| Says::Error(-32_601, "no such method"));
    assert_eq!(prepare(&signer(&node, FeeLimits::default()).await).await, Ok(7));
}

#[tokio::test]
async fn a_nonce_spent_elsewhere_is_learnt() {
    let node = node().await;
    let signer = signer(&node, FeeLimits::default()).await;
    assert_eq!(prepare(&signer).await, Ok(7));
    node.always("eth_getTransactionCount", json!("0xc"));
    signer.resync().await.unwrap();
    assert_eq!(prepare(&signer).await, Ok(12));
}

#[tokio::test]
async fn gaps_are_filled_with_nothing() {
    let node = node().await;
    let signer = signer(&node, FeeLimits::default()).await;
    let to = Address::repeat_byte(1);
    let first = signer.prepare(to, Bytes::new()).await.unwrap().keep();
    let second = signer.prepare(to, Bytes::new()).await.unwrap().keep();
    signer.give_up(&first);
    signer.fill_gaps_below(second.nonce).await.unwrap();
    signer.fill_gaps_below(second.nonce).await.unwrap();
    assert_eq!(node.seen("eth_sendRawTransaction").len(), 1);
    assert_eq!(prepare(&signer).await, Ok(9));
    // A filler that may not have arrived counts as sent; one that was refused does not.
    let third = signer.prepare(to, Bytes::new()).await.unwrap().keep();
    let fourth = signer.prepare(to, Bytes::new()).await.unwrap().keep();
    node.on("eth_sendRawTransaction", |_, _| Says::Error(-32_000, "insufficient funds"));
    signer.give_up(&third);
    signer.fill_gaps_below(fourth.nonce).await.unwrap();
    node.on("eth_sendRawTransaction", |_, _| Says::Status(500));
    assert!(signer.fill_gaps_below(fourth.nonce).await.is_err());
    assert!(signer.fill_gaps_below(fourth.nonce).await.is_ok());
    assert_eq!(prepare(&signer).await, Ok(12));
}

#[tokio::test]
async fn others_transactions_are_left_alone() {
    let node = node().await;
    let signer = signer(&node, FeeLimits::default()).await;
    let mut foreign = signer.prepare(Address::ZERO, Bytes::new()).await.unwrap().keep();
    foreign.signer = Address::repeat_byte(7);
    signer.give_up(&foreign);
    signer.adopt([&foreign]).await.unwrap();
    assert_eq!(prepare(&signer).await, Ok(8));
}
