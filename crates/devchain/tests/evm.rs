//! What contracts see.

use alloy::primitives::{Address, B256, Bytes, U256, address, keccak256};
use assay_devchain::CHAIN_ID;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use serde_json::json;

use crate::support::{START, Served, deploy};

/// Calls a contract without input and returns the word that it returns.
async fn word(served: &Served, contract: Address) -> U256 {
    let answer = served.result("eth_call", json!([{ "to": contract }, "latest"])).await;
    answer.as_str().unwrap().parse().unwrap()
}

/// Deploys code that returns what `operations` leave on the stack.
async fn returning(served: &Served, operations: &[u8]) -> Address {
    // PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    deploy(served, 0, &[operations, &[0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_runs_as_if_in_the_next_block() {
    let served = Served::start().await;
    let chain_id = returning(&served, &[0x46]).await;
    let number = returning(&served, &[0x43]).await;
    let timestamp = returning(&served, &[0x42]).await;
    assert_eq!(word(&served, chain_id).await, U256::from(CHAIN_ID));
    assert_eq!(word(&served, number).await, U256::from(served.chain.head().number + 1));
    served.clock.set(START + 1234);
    assert_eq!(word(&served, timestamp).await, U256::from(START + 1234));
    served.clock.set(START - 1234);
    assert_eq!(word(&served, timestamp).await, U256::from(START));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hashes_of_256_blocks_are_visible() {
    let served = Served::start().await;
    let parent = returning(&served, &[0x60, 0x01, 0x43, 0x03, 0x40]).await;
    let first = returning(&served, &[0x60, 0x01, 0x40]).await;
    let hash = |number: u64| {
        let parameters = json!([format!("{number:#x}"), false]);
        let served = &served;
        async move {
            let block = served.result("eth_getBlockByNumber", parameters).await;
            block["hash"].as_str().unwrap().parse::<U256>().unwrap()
        }
    };
    assert_eq!(word(&served, parent).await, hash(2).await);
    assert_eq!(word(&served, first).await, hash(1).await);
    served.result("dev_mine", json!(["0xfe"])).await;
    assert_eq!(served.chain.head().number, 256);
    assert_eq!(word(&served, first).await, hash(1).await, "256 blocks back from block 257");
    served.result("dev_mine", json!([])).await;
    assert_eq!(word(&served, first).await, U256::ZERO);
    assert_eq!(word(&served, parent).await, hash(257).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p256_signatures_can_be_verified() {
    let served = Served::start().await;
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let digest = keccak256("message");
    let signature: p256::ecdsa::Signature = key.sign_prehash(digest.as_slice()).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let input = |digest: B256| -> Bytes {
        [digest.as_slice(), &signature.to_bytes(), &point.as_bytes()[1..]].concat().into()
    };
    let verify = |digest| {
        let precompile = address!("0x0000000000000000000000000000000000000100");
        json!([{ "to": precompile, "input": input(digest) }, "latest"])
    };
    let one = B256::with_last_byte(1).to_string();
    assert_eq!(served.result("eth_call", verify(digest)).await, one);
    assert_eq!(served.result("eth_call", verify(B256::ZERO)).await, "0x");
}
