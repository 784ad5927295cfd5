//! Waiting for transactions, reorganisations, and the search for an authorisation's use.

use std::time::Duration;

use assay_chain::{Address, AuthorizationFate, B256, TransactionOutcome};
use serde_json::{Value, json};

use crate::node::{Node, Says, block, hash};

const TRANSACTION: B256 = B256::repeat_byte(0xaa);
const WAIT: Duration = Duration::from_millis(250);

fn receipt(block: u64, block_hash: &str, status: &str) -> Value {
    json!({
        "transactionHash": TRANSACTION,
        "blockNumber": format!("{block:#x}"),
        "blockHash": block_hash,
        "status": status,
        "gasUsed": "0x5208",
        "logs": [],
        "l1Fee": "0x1",
        "type": "0x7e",
    })
}

#[tokio::test]
async fn depth_counts_the_transactions_own_block() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.always("eth_getTransactionReceipt", receipt(5, &hash(5), "0x1"));
    for (latest, confirmations, mined) in
        [(5, 0, true), (5, 1, true), (5, 2, false), (6, 2, true), (6, 3, false), (9, 3, true)]
    {
        node.blocks(latest);
        let outcome = chain.wait(TRANSACTION, confirmations, WAIT).await;
        match outcome {
            TransactionOutcome::Mined(found) => {
                assert!(mined, "{latest} {confirmations}");
                assert_eq!(found.block.number, 5);
            }
            TransactionOutcome::Unknown { confirmations, error } => {
                assert!(!mined, "{latest} {confirmations}");
                assert_eq!((confirmations, error), (latest - 4, None));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_receipt_of_another_branch_counts_for_nothing() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.blocks(9);
    node.always("eth_getTransactionReceipt", receipt(5, &hash(99), "0x1"));
    let outcome = chain.wait(TRANSACTION, 1, WAIT).await;
    assert_eq!(outcome, TransactionOutcome::Unknown { confirmations: 0, error: None });
    // A node that reports a receipt ahead of its blocks.
    node.always("eth_getTransactionReceipt", receipt(10, &hash(10), "0x1"));
    let outcome = chain.wait(TRANSACTION, 1, WAIT).await;
    assert_eq!(outcome, TransactionOutcome::Unknown { confirmations: 0, error: None });
}

#[tokio::test]
async fn reverts_and_silence_are_told_apart() {
    let mut node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.blocks(5);
    node.always("eth_getTransactionReceipt", receipt(5, &hash(5), "0x0"));
    let outcome = chain.wait(TRANSACTION, 1, WAIT).await;
    assert!(matches!(outcome, TransactionOutcome::Reverted(_)), "{outcome:?}");
    // Waiting in the pool, as some nodes say it.
    let mut waiting = receipt(5, &hash(5), "0x1");
    waiting["blockNumber"] = Value::Null;
    waiting["blockHash"] = Value::Null;
    node.always("eth_getTransactionReceipt", waiting);
    let outcome = chain.wait(TRANSACTION, 1, WAIT).await;
    assert_eq!(outcome, TransactionOutcome::Unknown { confirmations: 0, error: None });
    node.stop().await;
    let outcome = chain.wait(TRANSACTION, 1, Duration::from_millis(800)).await;
    assert!(matches!(outcome, TransactionOutcome::Unknown { error: Some(_), .. }), "{outcome:?}");
}

/// The node is away at first, and the transaction is found when it is back.
#[tokio::test]
async fn waiting_outlasts_an_outage() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.blocks(5);
    node.on("eth_getTransactionReceipt", |_, before| match before {
        0..6 => Says::Status(502),
        _ => Says::Result(receipt(5, &hash(5), "0x1")),
    });
    let outcome = chain.wait(TRANSACTION, 1, Duration::from_secs(5)).await;
    assert!(matches!(outcome, TransactionOutcome::Mined(_)), "{outcome:?}");
}

fn log(event: &str, block: u64) -> Value {
    json!({
        "address": Address::repeat_byte(1),
        "topics": [event, B256::ZERO, B256::ZERO],
        "data": "0x",
        "logIndex": "0x0",
        "transactionHash": TRANSACTION,
        "blockNumber": format!("{block:#x}"),
    })
}

/// `AuthorizationUsed(address,bytes32)` and `AuthorizationCanceled(address,bytes32)`.
const USED: &str = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
const CANCELED: &str = "0x1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81";

#[tokio::test]
async fn the_search_narrows_until_the_node_answers() {
    let node = Node::start().await;
    let chain = node.connect().await.unwrap();
    node.blocks(1_000);
    node.always("eth_call", json!(hash(1)));
    node.on("eth_getLogs", |params, _| {
        let number = |key: &str| {
            let text = params[0][key].as_str().unwrap();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        };
        let (from, to) = (number("fromBlock"), number("toBlock"));
        if to - from >= 100 {
            return Says::Error(-32_600, "query exceeds max block range 100");
        }
        Says::Result(if (from..=to).contains(&750) { json!([log(USED, 750)]) } else { json!([]) })
    });
    let find = || chain.authorization_fate(Address::repeat_byte(1), Address::ZERO, B256::ZERO, 0);
    let used = AuthorizationFate::Used { transaction: TRANSACTION, block: 750 };
    assert_eq!(find().await.unwrap(), used);
    node.always("eth_getLogs", json!([log(CANCELED, 3)]));
    let canceled = AuthorizationFate::Canceled { transaction: TRANSACTION, block: 3 };
    assert_eq!(find().await.unwrap(), canceled);
    // Logs of an abandoned branch, and none at all.
    let mut removed = log(USED, 3);
    removed["removed"] = json!(true);
    for logs in [json!([removed]), json!([])] {
        node.always("eth_getLogs", logs);
        assert_eq!(find().await.unwrap(), AuthorizationFate::Untraced);
    }
    node.always("eth_call", json!(hash(0)));
    assert_eq!(find().await.unwrap(), AuthorizationFate::Unused);
}

/// A node of which an account spends a nonce in each of these blocks, and which knows no state below
/// a block, nor any above the latest.
async fn spends_in(blocks: &'static [u64], oldest: u64, latest: u64) -> Node {
    let node = Node::start().await;
    node.on("eth_getTransactionCount", move |params, _| {
        let at = params[1].as_str().unwrap().trim_start_matches("0x");
        let at = u64::from_str_radix(at, 16).unwrap();
        if !(oldest..=latest).contains(&at) {
            return Says::Error(-32_000, "missing trie node");
        }
        let count = blocks.iter().filter(|block| **block <= at).count();
        Says::Result(json!(format!("{count:#x}")))
    });
    node.on("eth_getBlockByNumber", move |params, _| {
        let hex = params[0].as_str().unwrap().trim_start_matches("0x");
        let number = u64::from_str_radix(hex, 16).unwrap();
        let mut block = block(number);
        block["transactions"] = json!([hash(number + 1_000)]);
        Says::Result(if number > latest { Value::Null } else { block })
    });
    node
}

#[tokio::test]
async fn the_block_that_spent_a_nonce_is_found() {
    let account = Address::repeat_byte(7);
    let node = spends_in(&[0, 3, 4, 900, 1_000], 0, 1_000).await;
    let chain = node.connect().await.unwrap();
    for (nonce, until, block) in [
        (0, 1_000, Some(0)),
        (1, 1_000, Some(3)),
        (2, 1_000, Some(4)),
        (2, 4, Some(4)),
        (2, 3, None),
        (3, 1_000, Some(900)),
        (3, 900, Some(900)),
        (3, 899, None),
        (4, 1_000, Some(1_000)),
        (4, 999, None),
        (5, 1_000, None),
    ] {
        let found = chain.nonce_spent(account, nonce, until).await.unwrap();
        let found = found.map(|spent| (spent.block.number, spent.transactions));
        let expected = block.map(|block| (block, vec![hash(block + 1_000).parse().unwrap()]));
        assert_eq!(found, expected, "{nonce} {until}");
    }
    // A node that is behind says nothing, in the place of an older count.
    chain.nonce_spent(account, 4, 1_001).await.unwrap_err();
}

#[tokio::test]
async fn a_node_that_forgets_is_asked_for_what_is_near() {
    let account = Address::repeat_byte(7);
    let node = spends_in(&[5, 940], 873, 1_000).await;
    let chain = node.connect().await.unwrap();
    let found = chain.nonce_spent(account, 1, 1_000).await.unwrap().unwrap();
    assert_eq!(found.block.number, 940);
    assert!(node.seen("eth_getTransactionCount").len() < 16);
    chain.nonce_spent(account, 0, 1_000).await.unwrap_err();
}
