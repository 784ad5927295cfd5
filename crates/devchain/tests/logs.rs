//! Queries of logs.

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::{Filter, TransactionRequest};
use alloy::sol;
use alloy::sol_types::SolCall;
use assay_devchain::DEV_TOKEN;
use serde_json::json;

use crate::support::{Served, address};

sol! {
    function transfer(address to, uint256 value) returns (bool);
}

/// Three transfers of 1, 2 and 3 units from account 0 to accounts 1, 2 and 1, in blocks 1 to 3.
async fn transfers() -> Served {
    let served = Served::start().await;
    for (to, value) in [(1, 1), (2, 2), (1, 3)] {
        let call = transferCall { to: address(to), value: U256::from(value) };
        let request =
            TransactionRequest::default().with_to(DEV_TOKEN).with_input(call.abi_encode());
        let pending = served.provider(0).send_transaction(request).await.unwrap();
        assert!(pending.get_receipt().await.unwrap().status());
    }
    served
}

/// Returns the values of the transfers that a filter finds.
async fn values(served: &Served, filter: Filter) -> Vec<u64> {
    let logs = served.provider(9).get_logs(&filter).await.unwrap();
    logs.iter().map(|log| U256::from_be_slice(&log.inner.data.data).to()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_found_by_address_topic_and_block() {
    let served = transfers().await;
    let all = || Filter::new().from_block(0).address(DEV_TOKEN);
    let signature = keccak256("Transfer(address,address,uint256)");
    assert_eq!(values(&served, all()).await, [1, 2, 3]);
    assert_eq!(values(&served, all().event_signature(signature)).await, [1, 2, 3]);
    assert_eq!(values(&served, all().topic2(address(1))).await, [1, 3]);
    assert_eq!(values(&served, all().topic1(address(0)).topic2(address(2))).await, [2]);
    assert_eq!(
        values(&served, all().topic2(vec![address(1).into_word(), address(2).into_word()])).await,
        [1, 2, 3]
    );
    assert_eq!(values(&served, all().topic2(address(3))).await, [0_u64; 0]);
    assert_eq!(values(&served, all().event_signature(B256::ZERO)).await, [0_u64; 0]);
    assert_eq!(values(&served, all().address(Address::ZERO)).await, [0_u64; 0]);
    assert_eq!(values(&served, all().address(vec![Address::ZERO, DEV_TOKEN])).await, [1, 2, 3]);
    assert_eq!(values(&served, all().from_block(2)).await, [2, 3]);
    assert_eq!(values(&served, all().from_block(2).to_block(2)).await, [2]);
    assert_eq!(values(&served, all().from_block(3).to_block(99)).await, [3]);
    assert_eq!(values(&served, Filter::new()).await, [3], "without a range it is the latest block");
    assert_eq!(values(&served, Filter::new().at_block_hash(served.chain.head().hash)).await, [3]);
    assert_eq!(values(&served, Filter::new().from_block(98).to_block(99)).await, [0_u64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_says_where_it_is_and_the_receipt_agrees() {
    let served = transfers().await;
    let provider = served.provider(9);
    let logs = provider.get_logs(&Filter::new().select(2..=2_u64)).await.unwrap();
    let log = logs.first().unwrap();
    let receipt =
        provider.get_transaction_receipt(log.transaction_hash.unwrap()).await.unwrap().unwrap();
    assert_eq!(receipt.logs(), logs);
    assert_eq!(log.block_hash, receipt.block_hash);
    assert_eq!((log.log_index, log.transaction_index), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_queries_are_errors() {
    let served = transfers().await;
    let backwards = json!([{ "fromBlock": "0x3", "toBlock": "0x1" }]);
    let (code, message) = served.error("eth_getLogs", backwards).await;
    assert_eq!(code, -32602, "{message}");
    let unknown = json!([{ "blockHash": B256::ZERO }]);
    assert_eq!(served.error("eth_getLogs", unknown).await, (-32000, "unknown block".to_owned()));
    let both = json!([{ "blockHash": B256::ZERO, "fromBlock": "0x1" }]);
    assert_eq!(served.error("eth_getLogs", both).await.0, -32602);
    let topics = json!([{ "topics": [null, null, null, null, null] }]);
    assert_eq!(served.error("eth_getLogs", topics).await.0, -32602);
}
