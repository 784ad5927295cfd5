//! JSON-RPC and HTTP: what is answered to what is not quite a request.

use std::net::SocketAddr;

use alloy::primitives::B256;
use alloy::providers::Provider;
use assay_devchain::{Config, DEV_TOKEN, DevChain, ServeError, serve};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Served, TestClock, address, deploy, http};

/// Posts a body and returns the error code and the id of the answer.
async fn failure(served: &Served, body: &str) -> (i64, Value) {
    let (status, answer) = served.post(body).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("result").is_none(), "{answer}");
    (answer["error"]["code"].as_i64().unwrap(), answer["id"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_an_error() {
    let served = Served::start().await;
    let deep = "[".repeat(100_000);
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("\u{0}", -32700),
        (&deep, -32700),
        ("[]", -32600),
        ("1", -32600),
        ("null", -32600),
        (r#""eth_chainId""#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}"#, -32600),
    ] {
        let (got, id) = failure(&served, body).await;
        let shown = body.chars().take(40).collect::<String>();
        assert_eq!((got, id), (code, Value::Null), "{shown}");
    }
    for (body, code) in [
        (r#"{"id":7,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":7,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":7,"method":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":7,"method":"eth_nothing"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":7,"method":"evm_setTime"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId","params":{"a":1}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId","params":[1]}"#, -32602),
    ] {
        assert_eq!(failure(&served, body).await, (code, json!(7)), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named() {
    let served = Served::start().await;
    let account = address(0);
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!([null])),
        ("eth_getBalance", json!(["0x12"])),
        ("eth_getBalance", json!([17])),
        ("eth_getBalance", json!([account, "newest"])),
        ("eth_getBalance", json!([account, "latest", 1])),
        ("eth_getStorageAt", json!([account])),
        ("eth_getStorageAt", json!([account, "zero"])),
        ("eth_call", json!([])),
        ("eth_call", json!(["0x00"])),
        ("eth_call", json!([{ "to": account, "data": "0x01", "input": "0x02" }])),
        ("eth_call", json!([{ "to": account, "gasPrice": "0x1", "maxFeePerGas": "0x1" }])),
        ("eth_call", json!([{ "to": account, "chainId": "0x1" }])),
        ("eth_call", json!([{ "to": account }, "latest", { account.to_string(): {} }])),
        ("eth_sendRawTransaction", json!(["0x"])),
        ("eth_sendRawTransaction", json!(["0x02ff"])),
        ("eth_sendRawTransaction", json!(["nothing"])),
        ("eth_getTransactionByHash", json!(["0x01"])),
        ("eth_getBlockByNumber", json!([])),
        ("eth_getBlockByNumber", json!(["0x1", "yes"])),
        ("eth_getBlockByHash", json!(["0x1"])),
        ("eth_feeHistory", json!(["0x1"])),
        ("eth_feeHistory", json!(["0x1", "latest", [101.0]])),
        ("eth_feeHistory", json!(["0x1", "latest", [50.0, 10.0]])),
        ("eth_getLogs", json!([{ "address": "0x1" }])),
        ("dev_mine", json!(["0x100000"])),
    ] {
        let (code, message) = served.error(method, params.clone()).await;
        assert_eq!(code, -32602, "{method} {params}: {message}");
    }
    let (_, message) = served.error("eth_getBalance", json!([17])).await;
    assert!(message.contains("address (position 0)"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_in_order_without_its_notifications() {
    let served = Served::start().await;
    let request = |id: Value, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method });
    let notification = json!({ "jsonrpc": "2.0", "method": "eth_chainId" });
    let batch = json!([
        request(json!("a"), "eth_chainId"),
        notification,
        request(json!(2), "eth_nothing"),
        5,
        request(Value::Null, "net_version"),
    ]);
    let (_, answer) = served.post(batch.to_string()).await;
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!("a"), &json!("0x7a69")));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(2), &json!(-32601)));
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert_eq!((&answers[3]["id"], &answers[3]["result"]), (&Value::Null, &json!("31337")));

    let silent = json!([notification, notification]).to_string();
    assert_eq!(served.post(silent).await, (204, String::new()));
    assert_eq!(served.post(notification.to_string()).await, (204, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let served = Served::start().await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let batch = |count: usize| format!("[{}]", vec![request; count].join(","));
    let (_, answer) = served.post(batch(1000)).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&answer).unwrap().len(), 1000);
    assert_eq!(failure(&served, &batch(1001)).await.0, -32600);

    // PUSH3 1,000,000, PUSH0, RETURN: each call is answered with two million characters.
    let generous = deploy(&served, 0, &[0x62, 0x0f, 0x42, 0x40, 0x5f, 0xf3]).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call",
        "params": [{ "to": generous }] });
    let calls = vec![call.to_string(); 40].join(",");
    let (_, answer) = served.post(format!("[{calls}]")).await;
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
    let answered = answers.iter().take_while(|answer| answer.get("result").is_some()).count();
    assert_eq!((answers.len(), answered), (40, 17));
    assert!(answers.iter().skip(answered).all(|answer| answer["error"]["code"] == -32005));

    let (status, answer) = served.post(vec![b' '; 5 * 1024 * 1024]).await;
    assert_eq!(status, 413);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["error"]["code"], -32600);
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_are_what_clients_expect() {
    let served = Served::start().await;
    for (method, expected) in [
        ("eth_chainId", json!("0x7a69")),
        ("net_version", json!("31337")),
        ("eth_blockNumber", json!("0x0")),
        ("eth_syncing", json!(false)),
        ("eth_accounts", json!([])),
    ] {
        assert_eq!(served.result(method, json!([])).await, expected, "{method}");
        assert_eq!(served.result(method, Value::Null).await, expected, "{method}");
    }
    let version = served.result("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("assay-devchain/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_latest_state_can_be_queried() {
    let served = Served::start().await;
    let genesis = served.chain.head().hash;
    served.result("dev_mine", json!([])).await;
    let head = served.chain.head().hash;
    for block in [
        json!("latest"),
        json!("pending"),
        json!("safe"),
        json!("finalized"),
        json!("0x1"),
        json!({ "blockNumber": "0x1" }),
        json!({ "blockHash": head }),
        Value::Null,
    ] {
        served.result("eth_getBalance", json!([DEV_TOKEN, block])).await;
        served.result("eth_getCode", json!([DEV_TOKEN, block])).await;
        served.result("eth_getStorageAt", json!([DEV_TOKEN, "0x2", block])).await;
        served.result("eth_getTransactionCount", json!([DEV_TOKEN, block])).await;
        served.result("eth_call", json!([{ "to": address(0) }, block])).await;
        served.result("eth_estimateGas", json!([{ "to": address(0) }, block])).await;
    }
    for block in [json!("earliest"), json!("0x0"), json!({ "blockHash": genesis })] {
        let error = served.error("eth_getBalance", json!([DEV_TOKEN, block])).await;
        assert_eq!(error, (-32000, "only the latest state is kept: block 0 of 1".to_owned()));
    }
    for block in [json!("0x2"), json!({ "blockHash": B256::ZERO })] {
        let error = served.error("eth_call", json!([{ "to": DEV_TOKEN }, block])).await;
        assert_eq!(error, (-32000, "unknown block".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_for_this_machine_alone() {
    let chain = DevChain::open(Config::in_memory(), TestClock::new()).unwrap();
    let shutdown = CancellationToken::new();
    let public = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = serve(chain.clone(), public, shutdown.clone()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(address)) if address == public));
    let served = Served::start().await;
    let taken = serve(chain, served.server.addr, shutdown).await;
    assert!(matches!(taken, Err(ServeError::Bind { .. })));

    let address = served.server.addr;
    let status = tokio::task::spawn_blocking(move || http(address, "GET", b"").0).await.unwrap();
    assert_eq!(status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_though_clients_keep_their_connections() {
    let mut served = Served::start().await;
    let provider = served.provider(0);
    provider.get_block_number().await.unwrap();
    let address = served.server.addr;
    served.shutdown.cancel();
    served.stopped().await;
    assert!(std::net::TcpStream::connect(address).is_err());
    provider.get_block_number().await.unwrap_err();
}
