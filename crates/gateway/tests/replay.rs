//! Payments that were used before.

use assay_primitives::AccessToken;
use assay_primitives::SystemRandomness;
use assay_store::TransactionState;

use crate::harness::{
    Answer, BUYER, DIGITS, Market, Mood, SIGNED_PRICE, TOY, TOY_PRICE, TUMOUR, cancel, digit,
    forge, header, now, send, tumour,
};

const BOUND: &str = "payment_bound_to_other_request";

/// Checks that an answer to a payment sent again says where its result is, and nothing of it.
fn points_to(answer: &Answer, transaction: &str, state: &str) {
    let body = answer.is(409, "payment_already_used").json();
    assert_eq!(body["transactionId"], transaction);
    assert_eq!(body["location"], format!("/v1/receipts/{transaction}"));
    assert_eq!(body["state"], state);
    assert_eq!(answer.header("assay-transaction"), Some(transaction));
    assert_eq!(answer.header("assay-access-token"), None);
    assert!(body.get("outputs").is_none(), "{body}");
}

#[tokio::test]
async fn by_the_same_request() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let served = buyer.buy(DIGITS, &digit(0), &payment).await;
    let id = served.is_served().transaction().to_string();
    for _ in 0..3 {
        points_to(&buyer.buy(DIGITS, &digit(0), &payment).await, &id, "settled");
    }
    market.charged(1, SIGNED_PRICE).await;
    assert_eq!(market.shop.count(TransactionState::Settled).await, 1);
}

#[tokio::test]
async fn by_another_request() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let token = AccessToken::new(&SystemRandomness).unwrap().hash().to_string();
    let buys = async |path: &str, body: &str| {
        send(buyer.paid(path, body, &payment).header("assay-access-token-hash", &token)).await
    };
    buys(DIGITS, &digit(0)).await.is_served();
    let spaced = format!("{} ", digit(0));
    for (path, body) in [
        (DIGITS.to_owned(), digit(1)),
        (DIGITS.to_owned(), spaced),
        (TUMOUR.to_owned(), tumour(0)),
        (format!("{DIGITS}?method=signed"), digit(0)),
        (format!("{DIGITS}?"), digit(0)),
    ] {
        let answer = buys(&path, &body).await;
        let body = answer.is(409, BOUND).json();
        assert!(body.get("location").is_none() && body.get("transactionId").is_none(), "{body}");
        assert_eq!(answer.header("assay-transaction"), None);
    }
    market.charged(1, SIGNED_PRICE).await;
}

/// The signature of a settled payment is public. Without the token's hash nobody learns by it
/// whether a guess of the request is right, whether its buyer showed one or not.
#[tokio::test]
async fn by_somebody_who_guesses_the_request() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let token = AccessToken::new(&SystemRandomness).unwrap();
    let own = |hash: String| {
        buyer.paid(DIGITS, &digit(0), &payment).header("assay-access-token-hash", hash)
    };
    let served = send(own(token.hash().to_string())).await;
    let id = served.is_served().transaction();
    assert_eq!(served.header("assay-access-token"), None, "the buyer keeps a token of its own");
    let without = buyer.payment(DIGITS, "signed").await.header;
    let other = buyer.buy(DIGITS, &digit(0), &without).await.is_served().transaction();
    for (id, payment) in [(id, &payment), (other, &without)] {
        let guesses = [digit(0), digit(1)];
        let mut answers = Vec::new();
        for guess in guesses {
            let answer = buyer.buy(DIGITS, &guess, payment).await;
            points_to(&answer, &id.to_string(), "settled");
            answers.push(answer.json());
        }
        assert_eq!(answers[0], answers[1]);
    }
    send(own("0".repeat(64))).await.is(409, BOUND);
    points_to(&send(own(token.hash().to_string())).await, &id.to_string(), "settled");
    buyer.bundle(id, &token).await;
    market.charged(2, 2 * SIGNED_PRICE).await;
}

/// A payment that was settled in time is asked for again after its time: an answer that asks to sign
/// a new one would be paid twice.
#[tokio::test]
async fn after_it_has_expired() {
    let market = Market::open_with(|setup| setup.max_timeout_seconds = 12).await;
    let buyer = &market.buyer;
    let offer = buyer.offers(DIGITS).await.accepts.remove(0);
    let soon = alloy_primitives::U256::from(now().as_seconds() + 8);
    let payment = header(&forge(&offer, &buyer.key, |a| a.valid_before = soon));
    let id = buyer.buy(DIGITS, &digit(0), &payment).await.is_served().transaction().to_string();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    points_to(&buyer.buy(DIGITS, &digit(0), &payment).await, &id, "settled");
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn while_its_request_is_under_way() {
    let market = Market::open().await;
    let buyer = market.buyer.clone();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let first = {
        let (buyer, payment) = (buyer.clone(), payment.clone());
        tokio_util::task::TaskTracker::new()
            .spawn(async move { buyer.buy(DIGITS, &digit(0), &payment).await })
    };
    market.shop.toy.wait_for_runs(1).await;
    let again = buyer.buy(DIGITS, &digit(0), &payment).await;
    let id = again.json()["transactionId"].as_str().unwrap().to_owned();
    points_to(&again, &id, "reserved");
    market.not_charged().await;
    gate.add_permits(1);
    let served = first.await.unwrap();
    assert_eq!(served.is_served().transaction().to_string(), id);
    assert_eq!(market.shop.toy.runs(), 1);
    market.charged(1, TOY_PRICE).await;
}

#[tokio::test]
async fn on_the_chain_alone() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let offer = buyer.offers(DIGITS).await.accepts.remove(0);
    // Cancelled before it was ever sent here.
    let payment = forge(&offer, &buyer.key, |_| {});
    let exact = assay_x402::ExactPayload::from_json(&payment.payload).unwrap();
    cancel(&market.world.dev, BUYER, exact.authorization.nonce);
    let answer = buyer.buy(DIGITS, &digit(0), &header(&payment)).await;
    answer.is_refused("invalid_exact_evm_nonce_already_used");
    market.not_charged().await;
    // Carried out elsewhere, so it buys nothing here.
    let payment = forge(&offer, &buyer.key, |_| {});
    let exact = assay_x402::ExactPayload::from_json(&payment.payload).unwrap();
    crate::harness::front_run(&market.world.dev, &exact.authorization, &exact.signature);
    let answer = buyer.buy(DIGITS, &digit(0), &header(&payment)).await;
    answer.is_refused("invalid_exact_evm_nonce_already_used");
    market.charged(1, SIGNED_PRICE).await;
    assert_eq!(market.shop.count(TransactionState::Settled).await, 0);
}
