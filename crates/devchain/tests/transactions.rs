//! Transactions: kinds, nonces, refusals, estimates.

use alloy::consensus::{SignableTransaction, TxEip7702, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::SignerSync;
use assay_devchain::{BASE_FEE, CHAIN_ID, DEV_TOKEN};
use serde_json::{Value, json};

use crate::support::{Served, address, deploy, hash, sign, signer, transfer};

/// Without input, returns what slot 0 holds; with input, stores its first word there.
const CELL: [u8; 20] = [
    0x36, 0x60, 0x0e, 0x57, // if calldata, go to 14
    0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, // return slot 0
    0x00, 0x00, // never reached
    0x5b, 0x5f, 0x35, 0x5f, 0x55, 0x00, // 14: slot 0 = first word
];

async fn send(served: &Served, account: usize, request: TransactionRequest) -> B256 {
    let raw = sign(account, request).await;
    hash(&served.result("eth_sendRawTransaction", json!([raw])).await)
}

async fn refused(served: &Served, account: usize, request: TransactionRequest) -> (i64, String) {
    served.error("eth_sendRawTransaction", json!([sign(account, request).await])).await
}

async fn receipt(served: &Served, hash: B256) -> TransactionReceipt {
    served.provider(0).get_transaction_receipt(hash).await.unwrap().expect("the receipt exists")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_is_deployed_and_called() {
    let served = Served::start().await;
    let provider = served.provider(3);
    let contract = deploy(&served, 3, &CELL).await;
    assert_eq!(contract, address(3).create(0));
    assert_eq!(provider.get_code_at(contract).await.unwrap(), Bytes::from_static(&CELL));

    let word = U256::from(42);
    let store = TransactionRequest::default().with_to(contract).with_input(word.to_be_bytes_vec());
    let pending = provider.send_transaction(store).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status());
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), word);
    let read = TransactionRequest::default().with_to(contract);
    assert_eq!(provider.call(read).await.unwrap(), Bytes::from(word.to_be_bytes_vec()));
    assert_eq!(served.chain.nonce(address(3)), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_envelope_is_mined_and_shown_as_it_was() {
    let served = Served::start().await;
    let plain =
        TransactionRequest { max_fee_per_gas: None, max_priority_fee_per_gas: None, ..transfer(0) };
    let price = u128::from(BASE_FEE) + 5;
    let legacy = plain.clone().with_gas_price(price);
    let with_list = plain
        .with_gas_price(price)
        .with_gas_limit(30_000)
        .with_nonce(1)
        .with_access_list(AccessList::default());
    for (kind, request) in [(0, legacy), (1, with_list), (2, transfer(2))] {
        let hash = send(&served, 0, request).await;
        let transaction = served.provider(0).get_transaction_by_hash(hash).await.unwrap().unwrap();
        assert_eq!(u8::from(transaction.inner.tx_type()), kind);
        assert_eq!(*transaction.inner.tx_hash(), hash);
        assert_eq!(transaction.inner.signer(), address(0));
        let receipt = receipt(&served, hash).await;
        assert!(receipt.status());
        assert_eq!(u8::from(receipt.transaction_type()), kind);
        assert_eq!(receipt.gas_used, 21_000);
        let tip = if kind == 2 { 1 } else { 5 };
        assert_eq!(receipt.effective_gas_price, u128::from(BASE_FEE) + tip);
        assert_eq!(receipt.block_number, Some(u64::from(kind) + 1));
    }
    assert_eq!(served.chain.balance(Address::repeat_byte(0x77)), U256::from(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_code_transaction_is_refused() {
    let served = Served::start().await;
    let transaction = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: BASE_FEE.into(),
        ..Default::default()
    };
    let signature = signer(0).sign_hash_sync(&transaction.signature_hash()).unwrap();
    let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    let (code, message) = served.error("eth_sendRawTransaction", json!([Bytes::from(raw)])).await;
    assert_eq!(code, -32003);
    assert!(message.starts_with("transaction type not supported: type 4"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_wait_for_the_gap_before_them_to_close() {
    let served = Served::start().await;
    let third = send(&served, 0, transfer(2)).await;
    let second = send(&served, 0, transfer(1)).await;
    assert_eq!(served.chain.head().number, 0);
    for hash in [second, third] {
        let shown = served.result("eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(shown["blockHash"], Value::Null);
        assert_eq!(shown["blockNumber"], Value::Null);
        assert_eq!(served.result("eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    }
    let count = |block: &str| json!([address(0), block]);
    assert_eq!(served.result("eth_getTransactionCount", count("pending")).await, "0x0");

    let first = send(&served, 0, transfer(0)).await;
    for (number, hash) in [first, second, third].into_iter().enumerate() {
        assert_eq!(receipt(&served, hash).await.block_number, Some(number as u64 + 1));
    }
    assert_eq!(served.result("eth_getTransactionCount", count("latest")).await, "0x3");
    assert_eq!(served.result("eth_getTransactionCount", count("pending")).await, "0x3");
    // Of blocks before, too.
    for (block, sent) in [("earliest", "0x0"), ("0x0", "0x0"), ("0x1", "0x1"), ("0x3", "0x3")] {
        assert_eq!(served.result("eth_getTransactionCount", count(block)).await, sent, "{block}");
    }
    let error = served.error("eth_getTransactionCount", count("0x4")).await;
    assert_eq!(error, (-32000, "unknown block".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_worded_as_clients_know_them() {
    let served = Served::start().await;
    send(&served, 0, transfer(0)).await;
    let cases = [
        (transfer(0), "nonce too low: next nonce 1, tx nonce 0"),
        (transfer(1_000_000), "nonce too high: next nonce 1, tx nonce 1000000"),
        (transfer(1).with_value(U256::MAX >> 1), "insufficient funds for gas * price + value"),
        (transfer(5).with_value(U256::MAX >> 1), "insufficient funds for gas * price + value"),
        (transfer(1).with_gas_limit(20_999), "intrinsic gas too low: have 20999, want 21000"),
        (transfer(1).with_max_fee_per_gas(7), "max fee per gas less than block base fee"),
        (transfer(1).with_chain_id(1), "invalid chain id for signer: have 1 want 31337"),
        (transfer(1).with_gas_limit(20_000_000), "transaction rejected"),
        (
            transfer(1).with_max_priority_fee_per_gas(u128::from(BASE_FEE) * 3),
            "transaction rejected",
        ),
    ];
    for (request, expected) in cases {
        let (code, message) = refused(&served, 0, request).await;
        assert_eq!(code, -32000, "{message}");
        assert!(message.starts_with(expected), "expected `{expected}`, got `{message}`");
    }
    assert_eq!(served.chain.head().number, 1);

    send(&served, 0, transfer(3)).await;
    assert_eq!(refused(&served, 0, transfer(3)).await, (-32000, "already known".to_owned()));
    let (_, message) = refused(&served, 0, transfer(3).with_value(U256::from(2))).await;
    assert!(message.starts_with("replacement transaction underpriced"), "{message}");
    let dearer = transfer(3).with_max_fee_per_gas(u128::from(BASE_FEE) * 3);
    send(&served, 0, dearer.with_max_priority_fee_per_gas(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_transaction_whose_funds_are_gone_is_dropped() {
    let served = Served::start().await;
    let most = served.chain.balance(address(0)) - U256::from(10).pow(U256::from(18));
    let waiting = send(&served, 0, transfer(1).with_value(most)).await;
    send(&served, 0, transfer(0).with_value(most)).await;
    assert_eq!(served.result("eth_getTransactionByHash", json!([waiting])).await, Value::Null);
    assert_eq!(served.chain.head().number, 1);
    send(&served, 0, transfer(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reverts_is_mined_and_pays_for_gas() {
    let served = Served::start().await;
    let before = served.chain.balance(address(4));
    let request = transfer(0).with_to(DEV_TOKEN).with_gas_limit(60_000);
    let receipt = receipt(&served, send(&served, 4, request).await).await;
    assert!(!receipt.status());
    let cost = U256::from(u128::from(receipt.gas_used) * receipt.effective_gas_price);
    assert_eq!(served.chain.balance(address(4)), before - cost);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_is_the_least_that_is_enough() {
    let served = Served::start().await;
    let provider = served.provider(0);
    let contract = deploy(&served, 0, &CELL).await;
    let store = TransactionRequest::default()
        .with_from(address(0))
        .with_to(contract)
        .with_input(U256::from(7).to_be_bytes_vec());
    let gas = provider.estimate_gas(store.clone()).await.unwrap();
    let complete = |gas| {
        let fees = transfer(served.chain.nonce(address(0)));
        let request = fees.with_to(contract).with_value(U256::ZERO).with_gas_limit(gas);
        request.with_input(U256::from(7).to_be_bytes_vec())
    };
    let failing = send(&served, 0, complete(gas - 1)).await;
    assert!(!receipt(&served, failing).await.status());
    let enough = send(&served, 0, complete(gas)).await;
    assert!(receipt(&served, enough).await.status());
    assert_eq!(provider.estimate_gas(transfer(0).with_from(address(0))).await.unwrap(), 21_000);

    // INVALID consumes all gas, whatever the limit; REVERT with no data is a revert.
    for (runtime, code, text) in
        [(&[0xfe_u8][..], -32000, "invalid"), (&[0x5f, 0x5f, 0xfd], 3, "execution reverted")]
    {
        let contract = deploy(&served, 1, runtime).await;
        for method in ["eth_call", "eth_estimateGas"] {
            let error = served.error(method, json!([{ "to": contract }])).await;
            assert_eq!(error.0, code, "{error:?}");
            assert!(error.1.contains(text), "{error:?}");
        }
    }
    // JUMPDEST, PUSH0, JUMP: runs for ever.
    let endless = deploy(&served, 1, &[0x5b, 0x5f, 0x56]).await;
    let error = served.error("eth_estimateGas", json!([{ "to": endless, "gas": "0x20000" }])).await;
    assert_eq!(error, (-32000, "gas required exceeds allowance (131072)".to_owned()));
}
