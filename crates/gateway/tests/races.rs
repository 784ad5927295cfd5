//! What happens between the steps of a purchase.

use std::sync::Arc;
use std::time::Duration;

use assay_devchain::DevChain;
use assay_store::TransactionState;
use assay_x402::{Authorization, ExactPayload, Payment};
use tokio::task::JoinSet;

use crate::harness::{
    Answer, BUYER, DIGITS, Market, Mood, SIGNED_PRICE, STRANGER, TOY, TOY_PRICE, Twist, address,
    cancel, digit, empty, front_run, send,
};

/// Sends one payment so many times at once.
async fn at_once(market: &Market, payment: &Payment, count: usize, same_body: bool) -> Vec<Answer> {
    let mut all = JoinSet::new();
    for sample in 0..count {
        let (buyer, header) = (market.buyer.clone(), payment.header.clone());
        let body = digit(if same_body { 0 } else { sample });
        all.spawn(async move { buyer.buy(DIGITS, &body, &header).await });
    }
    all.join_all().await
}

/// Checks that one of many was served, and how the others were refused.
fn one_is_served(answers: &[Answer]) {
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.is(409, "payment_already_used");
    }
}

#[tokio::test]
async fn two_requests_with_one_payment() {
    let market = Market::open().await;
    for same_body in [true, false] {
        let payment = market.buyer.payment(DIGITS, "signed").await;
        let answers = at_once(&market, &payment, 2, same_body).await;
        one_is_served(&answers);
    }
    market.charged(2, 2 * SIGNED_PRICE).await;
}

#[tokio::test]
async fn sixteen_requests_with_one_payment() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, TOY).await;
    one_is_served(&at_once(&market, &payment, 16, true).await);
    let payment = market.buyer.payment(DIGITS, TOY).await;
    one_is_served(&at_once(&market, &payment, 16, false).await);
    assert_eq!(market.shop.toy.runs(), 2, "a payment ran a model twice");
    market.charged(2, 2 * TOY_PRICE).await;
    assert_eq!(market.shop.count(TransactionState::Settled).await, 2);
}

/// The second request looked whether the payment is used before the first took it, and asks the
/// chain after the first was settled. What the chain says then would ask the buyer to sign again.
#[tokio::test]
async fn a_request_that_is_overtaken_by_another() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (market, rail) = Market::with(Twist::SlowFirstCheck(gate.clone())).await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let slow = market.buyer.buy(DIGITS, &digit(0), &payment);
    let overtaking = async {
        while rail.checks() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(slow, overtaking);
    assert_eq!(answer.is(409, "payment_already_used").json()["state"], "settled");
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn sixteen_payments_at_once() {
    let market = Market::open().await;
    let mut all = JoinSet::new();
    for sample in 0..16 {
        let buyer = market.buyer.clone();
        let payment = buyer.payment(DIGITS, "signed").await;
        all.spawn(async move { buyer.buy(DIGITS, &digit(sample), &payment.header).await });
    }
    for answer in all.join_all().await {
        answer.is_served();
    }
    market.charged(16, 16 * SIGNED_PRICE).await;
}

/// Buys by the toy method, with something happening on the chain while the model runs.
async fn buy_while(
    market: &Market,
    act: impl Fn(&DevChain, &Authorization, &[u8]) + Send + Sync + 'static,
) -> (Payment, Answer) {
    let payment = market.buyer.payment(DIGITS, TOY).await;
    let (dev, exact) = (market.world.dev.clone(), exact(&payment));
    market.shop.toy.act(move || act(&dev, &exact.authorization, &exact.signature));
    let answer = market.buyer.buy(DIGITS, &digit(3), &payment.header).await;
    market.shop.toy.set(Mood::Good);
    (payment, answer)
}

fn exact(payment: &Payment) -> ExactPayload {
    ExactPayload::from_json(&payment.payload.payload).unwrap()
}

#[tokio::test]
async fn the_payer_cancels_while_the_model_runs() {
    let market = Market::open().await;
    let (payment, answer) =
        buy_while(&market, |dev, authorization, _| cancel(dev, BUYER, authorization.nonce)).await;
    answer.is_refused("invalid_exact_evm_nonce_already_used");
    assert!(answer.json().get("outputs").is_none());
    assert_eq!(market.shop.count(TransactionState::Released).await, 1);
    let again = market.buyer.buy(DIGITS, &digit(3), &payment.header).await;
    again.is_refused("invalid_exact_evm_nonce_already_used");
    market.not_charged().await;
}

#[tokio::test]
async fn the_balance_goes_while_the_model_runs() {
    let market = Market::open().await;
    let (payment, answer) = buy_while(&market, |dev, _, _| empty(dev, BUYER)).await;
    answer.is_refused("invalid_exact_evm_insufficient_balance");
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Released).await, 1);
    // It was given back: with the money back in place it pays.
    let (to, value) = (address(BUYER), alloy_primitives::U256::from(TOY_PRICE));
    market.world.send(STRANGER, &assay_chain::bindings::Token::transferCall { to, value });
    market.buyer.buy(DIGITS, &digit(3), &payment.header).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// A third party that carries the authorisation out moves the money as the payer signed: the result
/// is the payer's.
#[tokio::test]
async fn a_third_party_pays_while_the_model_runs() {
    let market = Market::open().await;
    let (payment, answer) = buy_while(&market, front_run).await;
    let settlement = answer.is_served().settlement();
    let (bundle, report) = market.buyer.bundle(answer.transaction(), &answer.token()).await;
    assert_eq!(bundle.settlement_records.len(), 1);
    let paid = report.payment.unwrap();
    assert_eq!(paid.transaction.as_deref(), Some(settlement.transaction.as_str()));
    assert_eq!(paid.settled.0, TOY_PRICE);
    market.charged(1, TOY_PRICE).await;
    assert_eq!(market.world.dev.nonce(address(crate::harness::SETTLER)), 0, "it was sent twice");
    market.buyer.buy(DIGITS, &digit(3), &payment.header).await.is(409, "payment_already_used");
    market.charged(1, TOY_PRICE).await;
}

/// Buys with mining paused from the run on, and resumed when the settlement was sent. What `before`
/// sends is mined before the settlement.
async fn buy_while_waiting(
    market: &Market,
    before: impl Fn(&DevChain, &Authorization, &[u8]) + Send + Sync + 'static,
) -> (Payment, Answer) {
    let payment = market.buyer.payment(DIGITS, TOY).await;
    let (dev, exact) = (market.world.dev.clone(), exact(&payment));
    market.shop.toy.act(move || {
        dev.pause();
        before(&dev, &exact.authorization, &exact.signature);
    });
    let buying = market.buyer.buy(DIGITS, &digit(3), &payment.header);
    let mining = async {
        while market.shop.count(TransactionState::Committed).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        market.world.dev.resume().unwrap();
    };
    let (answer, ()) = tokio::join!(buying, mining);
    (payment, answer)
}

#[tokio::test]
async fn a_third_party_is_faster_than_the_settlement() {
    let market = Market::open().await;
    let (_, answer) = buy_while_waiting(&market, front_run).await;
    answer.is_served();
    market.buyer.bundle(answer.transaction(), &answer.token()).await;
    market.charged(1, TOY_PRICE).await;
}

#[tokio::test]
async fn the_balance_goes_before_the_settlement_is_mined() {
    let market = Market::open().await;
    let (payment, answer) = buy_while_waiting(&market, |dev, _, _| empty(dev, BUYER)).await;
    answer.is(402, "settlement_failed").because("invalid_exact_evm_insufficient_balance");
    let settlement = answer.settlement();
    assert!(!settlement.success && answer.json().get("outputs").is_none());
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Failing).await, 1);
    // The payment stays this request's.
    let again = market.buyer.buy(DIGITS, &digit(3), &payment.header).await;
    assert_eq!(again.is(409, "payment_already_used").json()["state"], "failing");
    let id = again.transaction();

    // It is only watched now: money that comes back is not taken.
    let (to, value) = (address(BUYER), alloy_primitives::U256::from(TOY_PRICE));
    market.world.send(STRANGER, &assay_chain::bindings::Token::transferCall { to, value });
    market.shop.service.settle_pending().await.unwrap();
    market.not_charged().await;
    // Unless somebody carries the authorisation out after all: then the result is the payer's.
    let exact = exact(&payment);
    front_run(&market.world.dev, &exact.authorization, &exact.signature);
    market.shop.service.settle_pending().await.unwrap();
    market.shop.wait_for(id, TransactionState::Settled).await;
    market.charged(1, TOY_PRICE).await;
}

#[tokio::test]
async fn the_payer_cancels_before_the_settlement_is_mined() {
    let market = Market::open().await;
    let (_, answer) = buy_while_waiting(&market, |dev, a, _| cancel(dev, BUYER, a.nonce)).await;
    answer.is(402, "settlement_failed").because("invalid_exact_evm_nonce_already_used");
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Failed).await, 1);
}

/// Who pays gets what he paid for, also when he hangs up before the answer.
#[tokio::test]
async fn the_buyer_hangs_up() {
    let market = Market::open().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let token = assay_primitives::AccessToken::new(&assay_primitives::SystemRandomness).unwrap();
    let request = || {
        let request = market.buyer.paid(DIGITS, &digit(0), &payment);
        request.header("assay-access-token-hash", token.hash().to_string())
    };
    tokio::select! {
        answer = send(request()) => panic!("{answer:?}"),
        () = market.shop.toy.wait_for_runs(1) => {}
    }
    gate.add_permits(1);
    let id = send(request()).await.is(409, "payment_already_used").transaction_id();
    market.shop.wait_for(id, TransactionState::Settled).await;
    market.buyer.bundle(id, &token).await;
    market.charged(1, TOY_PRICE).await;
}
