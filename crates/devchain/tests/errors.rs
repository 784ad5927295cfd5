//! Errors as alloy's provider hands them on.

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use serde_json::json;

use crate::support::{Served, address, deploy, sign, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_carries_its_data() {
    let served = Served::start().await;
    // PUSH4 0xdeadbeef, PUSH0, MSTORE, PUSH1 4, PUSH1 28, REVERT
    let runtime = [0x63, 0xde, 0xad, 0xbe, 0xef, 0x5f, 0x52, 0x60, 0x04, 0x60, 0x1c, 0xfd];
    let contract = deploy(&served, 0, &runtime).await;
    let request = TransactionRequest::default().with_to(contract);
    let provider = served.provider(0);
    for error in [
        provider.call(request.clone()).await.unwrap_err(),
        provider.estimate_gas(request).await.map(|_| Bytes::new()).unwrap_err(),
    ] {
        let payload = error.as_error_resp().unwrap();
        assert_eq!(payload.code, 3);
        assert_eq!(payload.message, "execution reverted");
        assert_eq!(payload.as_revert_data(), Some(Bytes::from_static(&[0xde, 0xad, 0xbe, 0xef])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_is_an_error_response() {
    let served = Served::start().await;
    let provider = served.provider(0);
    let raw = sign(0, transfer(0)).await;
    let pending = provider.send_raw_transaction(&raw).await.unwrap();
    pending.get_receipt().await.unwrap();
    let error = provider.send_raw_transaction(&raw).await.unwrap_err();
    let payload = error.as_error_resp().unwrap();
    assert_eq!(
        (payload.code, payload.message.as_ref()),
        (-32000, "nonce too low: next nonce 1, tx nonce 0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_cannot_transfer_what_its_sender_has_not() {
    let served = Served::start().await;
    let nobody = Address::repeat_byte(2);
    let request = json!([{ "from": nobody, "to": address(0), "value": "0x1" }]);
    for method in ["eth_call", "eth_estimateGas"] {
        let (code, message) = served.error(method, request.clone()).await;
        assert_eq!(code, -32000);
        assert_eq!(message, "insufficient funds for transfer: have 0 want 1");
    }
}
