//! Who may sign, and the limits on what transactions may cost.

use std::sync::Arc;

use assay_chain::{
    AccountKey, Address, B256, Bytes, Call, FeeLimits, MemoryJournal, OutgoingConfig,
    OutgoingError, OutgoingQueue, SettlementSigner, SignerError, development_key,
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
    node.on("eth_getTransactionReceipt", |params, _| {
        Says::Result(json!({
            "transactionHash": params[0], "blockNumber": "0x5", "blockHash": crate::node::hash(5),
            "status": "0x1", "gasUsed": "0x1", "logs": [],
        }))
    });
    node
}

async fn queue(node: &Node, limits: FeeLimits) -> OutgoingQueue {
    let signer = SettlementSigner::new(node.connect().await.unwrap(), key(9), limits).unwrap();
    OutgoingQueue::new(signer, Arc::<MemoryJournal>::default(), OutgoingConfig::default())
}

/// Has a call carried out that the node mines at once, and returns its nonce.
async fn sent(queue: &OutgoingQueue, id: u8) -> Result<u64, OutgoingError> {
    let id = B256::repeat_byte(id);
    let call = Call { id, to: Address::repeat_byte(1), data: Bytes::new(), alone: true };
    queue.carry_out(call).await.map(|_| queue.status().sent)
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
    let limits = |gas, fee_per_gas| FeeLimits { gas, fee_per_gas, ..FeeLimits::default() };
    let to = Address::repeat_byte(1);
    let error = sent(&queue(&node, limits(124_999, 3_000_000_000)).await, 1).await.unwrap_err();
    let cap = SignerError::GasCap { to, needed: 125_000, cap: 124_999 };
    assert_eq!(error, OutgoingError::Signer(cap));
    let error = sent(&queue(&node, limits(125_000, 1_000_000_000)).await, 1).await.unwrap_err();
    let cap = SignerError::FeeCap { needed: 1_125_000_001, cap: 1_000_000_000 };
    assert_eq!(error, OutgoingError::Signer(cap));
    assert_eq!(node.seen("eth_sendRawTransaction"), Vec::<serde_json::Value>::new());
    assert_eq!(sent(&queue(&node, limits(125_000, 3_000_000_000)).await, 1).await, Ok(1));
}

#[tokio::test]
async fn chains_that_suggest_no_tip_get_a_small_one() {
    let node = node().await;
    node.on("eth_maxPriorityFeePerGas", |_, _| Says::Error(-32_601, "no such method"));
    assert_eq!(sent(&queue(&node, FeeLimits::default()).await, 1).await, Ok(1));
}
