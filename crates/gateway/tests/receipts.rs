//! Receipts, and who may read what of them.

use assay_primitives::{AccessToken, Digest, SystemRandomness};
use assay_receipt::{BUNDLE_MEDIA_TYPE, ItemStatement};
use serde_json::json;

use crate::harness::{DIGITS, Market, SIGNED_PRICE, TOY, digit, send};

fn new_token() -> AccessToken {
    AccessToken::new(&SystemRandomness).unwrap()
}

#[tokio::test]
async fn what_anyone_may_read_reveals_nothing() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let public = buyer.get(&format!("/v1/receipts/{id}")).await;
    assert_eq!((public.status.as_u16(), public.header("cache-control")), (200, Some("no-store")));
    let body = public.json();
    assert_eq!(body["state"], "settled");
    assert_eq!(body["settlementRecords"].as_array().map(Vec::len), Some(1));
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["keyManifest", "receipt", "settlementRecords", "state"]);

    // Neither the item's bytes nor its salts, nor what would let one guess them.
    let (bundle, _) = buyer.bundle(id, &token).await;
    let item = &bundle.items[0];
    let statement = ItemStatement::from_bytes(&item.statement).unwrap();
    let text = String::from_utf8(public.body.clone()).unwrap();
    let payload = String::from_utf8(bundle.receipt.payload.clone()).unwrap();
    for secret in [
        json!(item.salts.leaf).as_str().unwrap(),
        json!(item.salts.request).as_str().unwrap(),
        json!(item.salts.output).as_str().unwrap(),
        &statement.request_commitment.to_string(),
        &statement.output_commitment.to_string(),
        &Digest::of(&item.statement).to_string(),
        &Digest::of(&item.request).to_string(),
        &token.reveal(),
        "logits",
        "digits",
    ] {
        assert!(!text.contains(secret) && !payload.contains(secret), "{secret} is public");
    }
}

#[tokio::test]
async fn a_bundle_takes_its_token() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let mut bought = Vec::new();
    for sample in 0..2 {
        let payment = buyer.payment(DIGITS, "signed").await.header;
        let answer = buyer.buy(DIGITS, &digit(sample), &payment).await;
        bought.push((answer.is_served().transaction(), answer.token()));
    }
    let (id, token) = &bought[0];
    let path = format!("/v1/receipts/{id}");
    buyer.fetch(*id, &bought[1].1).await.is(403, "wrong_token");
    buyer.fetch(*id, &new_token()).await.is(403, "wrong_token");
    let reveal = token.reveal();
    for wrong in [
        reveal.clone(),
        format!("Basic {reveal}"),
        format!("bearer {reveal}"),
        format!("Bearer {}", reveal.to_uppercase()),
        format!("Bearer {reveal}0"),
        "Bearer ".to_owned(),
        format!("Bearer {}", token.hash()),
    ] {
        let request = buyer.request(reqwest::Method::GET, &path);
        send(request.header("authorization", wrong)).await.is(403, "wrong_token");
    }
    let twice = buyer.request(reqwest::Method::GET, &path).bearer_auth(&reveal);
    send(twice.bearer_auth(&reveal)).await.is(400, "invalid_header");

    let answer = buyer.fetch(*id, token).await;
    assert_eq!(answer.header("content-type"), Some(BUNDLE_MEDIA_TYPE));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!(answer.settlement().amount, Some(SIGNED_PRICE.to_string()));
    assert_eq!(buyer.fetch(*id, token).await.body, answer.body, "a bundle has one file");
}

#[tokio::test]
async fn a_receipt_that_is_not_there() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for id in [
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "01890a5d-ac96-474b-bcce-b302099a8057",
        "nothing",
        "..",
    ] {
        let path = format!("/v1/receipts/{id}");
        let code = if id == ".." { "unknown_route" } else { "unknown_receipt" };
        buyer.get(&path).await.is(404, code);
        let request = buyer.request(reqwest::Method::GET, &path);
        send(request.bearer_auth(new_token().reveal())).await.is(404, code);
    }
}

/// Before the settlement is known the token opens nothing, and the public part shows no record.
#[tokio::test]
async fn a_token_before_the_settlement() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let answer = market.buy_pending().await;
    let (id, token) = (answer.transaction_id(), answer.token());
    assert_eq!(buyer.fetch(id, &token).await.is(409, "not_settled").json()["state"], "committed");
    buyer.fetch(id, &new_token()).await.is(403, "wrong_token");
    let public = buyer.get(&format!("/v1/receipts/{id}")).await.json();
    assert_eq!(public["state"], "committed");
    assert_eq!(public["settlementRecords"], json!([]));
    market.not_charged().await;
}

/// A payment that is only reserved has a token and no receipt yet; one that was released has none.
#[tokio::test]
async fn a_token_before_the_receipt() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let token = new_token();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(crate::harness::Mood::Wait(gate.clone()));
    let paid = || {
        let request = buyer.paid(DIGITS, &digit(0), &payment);
        request.header("assay-access-token-hash", token.hash().to_string())
    };
    let looking = async {
        market.shop.toy.wait_for_runs(1).await;
        let id = send(paid()).await.is(409, "payment_already_used").transaction_id();
        assert_eq!(
            buyer.fetch(id, &token).await.is(409, "not_settled").json()["state"],
            "reserved"
        );
        buyer.get(&format!("/v1/receipts/{id}")).await.is(404, "unknown_receipt");
        gate.close();
        id
    };
    // The gate that is closed makes the toy panic: nothing comes of the purchase.
    let (answer, id) = tokio::join!(send(paid()), looking);
    answer.is(500, "inference_failed");
    market.shop.service.settle_pending().await.unwrap();
    buyer.fetch(id, &token).await.is(409, "given_up");
    buyer.fetch(id, &new_token()).await.is(404, "unknown_receipt");
    buyer.get(&format!("/v1/receipts/{id}")).await.is(404, "unknown_receipt");
    market.not_charged().await;
}

#[tokio::test]
async fn the_nonce_is_in_the_receipt() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for (nonce, expected) in [(Some("n-1_Z"), Some("n-1_Z".to_owned())), (None, None)] {
        let payment = buyer.payment(DIGITS, "signed").await.header;
        let mut request = buyer.paid(DIGITS, &digit(0), &payment);
        if let Some(nonce) = nonce {
            request = request.header("assay-nonce", nonce);
        }
        let answer = send(request).await;
        let (id, token) = (answer.is_served().transaction(), answer.token());
        assert_eq!(buyer.bundle(id, &token).await.1.nonce, expected);
    }
}

#[tokio::test]
async fn evidence_by_its_digest() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for wrong in ["0".repeat(64), "F".repeat(64), "0".repeat(63), "x".to_owned()] {
        buyer.get(&format!("/v1/evidence/{wrong}")).await.is(404, "unknown_evidence");
    }
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    let (bundle, _) = buyer.bundle(answer.is_served().transaction(), &answer.token()).await;
    let blob = &bundle.evidence[0];
    let answer = buyer.get(&format!("/v1/evidence/{}", blob.sha256)).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &blob.content));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
}
