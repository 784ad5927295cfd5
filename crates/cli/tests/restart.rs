//! What was sold outlives the processes that sold it.

use serde_json::{Value, json};

use crate::support::{Devchain, Gateway, Place, get, get_with_token, rpc};

fn blocks(chain: &Devchain) -> Value {
    rpc(&chain.url, "eth_getBlockByNumber", &json!(["latest", false]))
}

/// Asserts that a gateway still has what was bought: the public receipt, and the bundle for who
/// holds its token.
fn assert_kept(shop: &Gateway, place: &Place, bought: &Value) {
    let path = format!("/v1/receipts/{}", bought["report"]["transaction"].as_str().unwrap());
    let (status, receipt) = get(&shop.url, &path);
    let receipt: Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!((status, &receipt["state"]), (200, &json!("settled")));
    let (status, bundle) =
        get_with_token(&shop.url, &path, bought["accessToken"].as_str().unwrap());
    assert_eq!(status, 200);
    let kept = std::fs::read(place.path("first.assay")).unwrap();
    assert_eq!(bundle, kept, "another bundle than was bought");
}

#[test]
fn chain_and_gateway_resume_where_they_were() {
    let place = Place::new();
    let data = ["--data", "chain"];
    let chain = Devchain::start(&place, &data);
    let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
    let bought = place.buy(&shop.url, "first.assay");
    place.buy(&shop.url, "second.assay");
    let head = blocks(&chain);
    assert_eq!(head["number"], "0x2");
    // A second process cannot have the same chain or the same data.
    let args = [&["devchain", "--listen", "127.0.0.1:0"][..], &data].concat();
    place.run(&args).expect_told(1, "another process has this chain open");
    shop.process.stop("KILL");
    chain.process.stop("KILL");

    let chain = Devchain::start(&place, &data);
    assert_eq!(blocks(&chain), head);
    let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
    assert_eq!(shop.told["operator"], bought["report"]["operator"]);
    assert_kept(&shop, &place, &bought);
    place.buy(&shop.url, "third.assay");
    assert_eq!(chain.height(), 3);
    shop.stop();
    chain.process.stop("TERM").expect(0);

    let chain = Devchain::start(&place, &data);
    assert_eq!(chain.height(), 3);
    let shop = Gateway::start(&place, &[("ASSAY_RPC_URL", &chain.url)]);
    assert_kept(&shop, &place, &bought);
}

#[test]
fn a_killed_gateway_starts_again() {
    let place = Place::new();
    let shop = Gateway::start(&place, &[]);
    let bought = place.buy(&shop.url, "first.assay");
    let operator = shop.told["operator"].clone();
    shop.process.stop("KILL");
    let shop = Gateway::start(&place, &[]);
    assert_eq!(shop.told["operator"], operator);
    assert_kept(&shop, &place, &bought);
    place.run(&["verify", "first.assay"]).expect(3);
}
