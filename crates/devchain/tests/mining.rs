//! Blocks: when they are made, and what they say.

use alloy::consensus::Header;
use alloy::consensus::proofs::calculate_transaction_root;
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{B256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::Block;
use serde_json::{Value, json};

use crate::support::{START, Served, address, hash, sign, transfer};

async fn send(served: &Served, account: usize, nonce: u64) -> B256 {
    let raw = sign(account, transfer(nonce)).await;
    hash(&served.result("eth_sendRawTransaction", json!([raw])).await)
}

async fn block(served: &Served, number: u64) -> Block {
    let provider = served.provider(0);
    let number = BlockNumberOrTag::Number(number);
    provider.get_block_by_number(number).full().await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_linked_and_hash_to_what_they_say() {
    let served = Served::start().await;
    for nonce in 0..3 {
        send(&served, 0, nonce).await;
    }
    served.result("dev_mine", json!([])).await;
    let mut parent = block(&served, 0).await;
    for number in 1..=4 {
        let block = block(&served, number).await;
        let header: &Header = &block.header.inner;
        assert_eq!(header.hash_slow(), block.header.hash);
        assert_eq!(header.parent_hash, parent.header.hash);
        assert_eq!(header.number, number);
        let transactions = block.transactions.as_transactions().unwrap();
        let envelopes: Vec<_> = transactions.iter().map(|shown| shown.inner.inner()).collect();
        assert_eq!(calculate_transaction_root(&envelopes), header.transactions_root);
        assert_eq!(transactions.len(), usize::from(number < 4));
        let by_hash = served.provider(0).get_block_by_hash(block.header.hash).full().await;
        assert_eq!(by_hash.unwrap().as_ref(), Some(&block));
        parent = block;
    }
    let missing = served.result("eth_getBlockByNumber", json!(["0x5", false])).await;
    assert_eq!(missing, Value::Null);
    let hashes = served.result("eth_getBlockByNumber", json!(["0x2", false])).await;
    assert!(hashes["transactions"][0].is_string());
    let receipts = served.result("eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!(receipts[0]["transactionHash"], hashes["transactions"][0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_follows_the_clock_and_never_goes_back() {
    let served = Served::start().await;
    let mut expected = Vec::new();
    let times = [
        (START, START),
        (START, START),
        (START + 9, START + 9),
        (START - 5, START + 9),
        (START + 10, START + 10),
    ];
    for (nonce, (clock, time)) in times.into_iter().enumerate() {
        served.clock.set(clock);
        send(&served, 0, nonce as u64).await;
        expected.push(time);
    }
    let mut shown = Vec::new();
    for number in 1..=5 {
        shown.push(block(&served, number).await.header.timestamp);
    }
    assert_eq!(shown, expected);
    assert_eq!(served.chain.head().timestamp, START + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mining_is_paused_transactions_wait() {
    let served = Served::start().await;
    send(&served, 0, 0).await;
    assert_eq!(served.result("dev_pause", json!([])).await, true);
    let first = send(&served, 1, 0).await;
    let second = send(&served, 0, 1).await;
    let third = send(&served, 1, 1).await;
    assert_eq!(served.chain.head().number, 1);
    let pending = served.result("eth_getTransactionByHash", json!([third])).await;
    assert_eq!(pending["blockNumber"], Value::Null);
    let count = |block: &str| json!([address(1), block]);
    assert_eq!(served.result("eth_getTransactionCount", count("latest")).await, "0x0");
    assert_eq!(served.result("eth_getTransactionCount", count("pending")).await, "0x2");

    // Empty blocks pass, as for confirmations; what waits goes on waiting.
    assert_eq!(served.result("dev_mine", json!(["0x3"])).await, "0x4");
    assert_eq!(served.result("eth_getTransactionReceipt", json!([first])).await, Value::Null);

    assert_eq!(served.result("dev_resume", json!([])).await, "0x7");
    for (number, hash) in [(5, first), (6, second), (7, third)] {
        let receipt = served.provider(0).get_transaction_receipt(hash).await.unwrap().unwrap();
        assert_eq!(receipt.block_number, Some(number));
    }
    send(&served, 1, 2).await;
    assert_eq!(served.chain.head().number, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn fees_never_change() {
    let served = Served::start().await;
    send(&served, 0, 0).await;
    served.result("dev_mine", json!([])).await;
    assert_eq!(served.result("eth_gasPrice", json!([])).await, "0x3b9aca00");
    assert_eq!(served.result("eth_maxPriorityFeePerGas", json!([])).await, "0x0");
    let history = served.result("eth_feeHistory", json!(["0xa", "latest", [10.0, 90.0]])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"], json!(vec!["0x3b9aca00"; 4]));
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x1", "0x1"], ["0x0", "0x0"]]));
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 3);
    let last = served.result("eth_feeHistory", json!([1, "0x1", null])).await;
    assert_eq!((&last["oldestBlock"], &last["reward"]), (&json!("0x1"), &Value::Null));
    served.provider(0).estimate_eip1559_fees().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_genesis_block_is_always_the_same() {
    let served = Served::start().await;
    let genesis = block(&served, 0).await;
    let other = Served::start().await;
    assert_eq!(genesis, block(&other, 0).await);
    assert_ne!(genesis.header.hash, keccak256([]));
    assert_eq!(genesis.header.timestamp, 0);
}
