//! A chain that does not answer, a model that does not run, a facilitator that is taken at its word.

use std::sync::Arc;
use std::time::Duration;

use assay_store::TransactionState;

use crate::harness::{DIGITS, Fault, Market, Mood, SIGNED_PRICE, TOY, TOY_PRICE, Twist, digit};

#[tokio::test]
async fn the_chain_does_not_answer_when_a_payment_is_checked() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.world.cut_line();
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    assert_eq!(answer.is(502, "chain_unreachable").header("retry-after"), Some("5"));
    // Prices need no chain.
    market.buyer.ask(DIGITS, digit(0)).await.is(402, "payment_required");
    market.world.mend_line();
    market.not_charged().await;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn the_chain_dies_while_the_model_runs() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    market.shop.toy.act(market.world.cutter());
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    market.shop.toy.set(Mood::Good);
    answer.is(502, "chain_unreachable");
    assert_eq!(market.shop.count(TransactionState::Released).await, 1);
    market.world.mend_line();
    market.not_charged().await;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// From the settlement on the line is dead. What was signed is carried to its end when it is back,
/// and the buyer is never asked to sign again.
async fn the_chain_dies_at_the_settlement(fault: Fault) {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, "signed").await.header;
    market.world.break_line("eth_sendRawTransaction", fault);
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    let body = answer.is(503, "settlement_pending").json();
    assert!(answer.header("retry-after").is_some() && body.get("outputs").is_none(), "{body}");
    let (id, token) = (answer.transaction_id(), answer.token());
    assert_eq!(answer.transaction(), id);
    assert_eq!(body["location"], format!("/v1/receipts/{id}"));
    let settlement = answer.settlement();
    assert!(!settlement.success);
    assert_eq!(
        settlement.extensions.unwrap()["verified-inference"]["info"]["transactionId"],
        id.to_string()
    );
    let waiting = buyer.fetch(id, &token).await;
    assert_eq!(waiting.is(409, "not_settled").json()["state"], "committed");
    assert!(waiting.header("retry-after").is_some());
    buyer.buy(DIGITS, &digit(0), &payment).await.is(409, "payment_already_used");
    market.not_charged().await;

    market.world.mend_line();
    market.shop.wait_for(id, TransactionState::Settled).await;
    let (_, report) = buyer.bundle(id, &token).await;
    assert_eq!(report.payment.unwrap().settled.0, SIGNED_PRICE);
    assert!(buyer.fetch(id, &token).await.settlement().success);
    market.charged(1, SIGNED_PRICE).await;
    assert_eq!(market.shop.service.settle_pending().await.unwrap(), Default::default());
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn the_chain_does_not_take_the_settlement() {
    the_chain_dies_at_the_settlement(Fault::Drop).await;
}

#[tokio::test]
async fn the_chain_dies_for_good_at_the_settlement() {
    the_chain_dies_at_the_settlement(Fault::Die).await;
}

/// The settlement is mined, and nobody hears of it.
#[tokio::test]
async fn the_answer_to_the_settlement_is_lost() {
    let market = Market::open().await;
    let answer = market.buy_pending().await;
    answer.because("settlement_pending");
    assert!(answer.settlement().transaction.starts_with("0x"));
    market.world.dev.resume().unwrap();
    let id = answer.transaction_id();
    market.shop.wait_for(id, TransactionState::Settled).await;
    market.buyer.bundle(id, &answer.token()).await;
    market.charged(1, SIGNED_PRICE).await;
}

#[tokio::test]
async fn the_model_does_not_run() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    market.shop.toy.set(Mood::Fail);
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is(500, "inference_failed");
    assert!(!answer.json().to_string().contains("wax"), "the reason is the operator's");
    market.not_charged().await;
    market.shop.toy.set(Mood::Good);
    // The same payment, also for another request: nothing came of the first.
    buyer.buy(DIGITS, &digit(1), &payment).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// Evidence that is not what the receipt would say of it is never charged for.
#[tokio::test]
async fn the_evidence_is_not_what_it_should_be() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    market.shop.toy.set(Mood::OtherEvidence);
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(500, "internal");
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Released).await, 1);
    market.shop.toy.set(Mood::Good);
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// A certifier with a defect takes no payment with it.
#[tokio::test]
async fn the_certifier_panics() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    market.shop.toy.set(Mood::Panic);
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(500, "inference_failed");
    market.shop.toy.set(Mood::Good);
    market.shop.service.settle_pending().await.unwrap();
    assert_eq!(market.shop.count(TransactionState::Reserved).await, 0);
    market.not_charged().await;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// A facilitator's word moves no result: a verifier asks for the block.
#[tokio::test]
async fn the_facilitator_names_no_block() {
    let (market, _) = Market::with(Twist::SettledByWord).await;
    let (shop, buyer) = (&market.shop, &market.buyer);
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is(503, "settlement_pending").because("settlement_pending");
    assert_eq!(answer.settlement().transaction, format!("0x{}", "07".repeat(32)));
    let id = answer.transaction_id();
    buyer.fetch(id, &answer.token()).await.is(409, "not_settled");
    shop.service.settle_pending().await.unwrap();
    assert_eq!(shop.state(id).await, Some(TransactionState::Committed));
    let public = buyer.get(&format!("/v1/receipts/{id}")).await.json();
    assert_eq!(public["settlementRecords"], serde_json::json!([]));
    market.not_charged().await;
}

/// A facilitator that says it cannot tell is no refusal of the payment.
#[tokio::test]
async fn the_facilitator_does_not_know() {
    let (market, _) = Market::with(Twist::VagueCheck).await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is(502, "chain_unreachable").because("unexpected_verify_error");
    market.not_charged().await;
}

#[tokio::test]
async fn nothing_is_sold_without_gas_for_its_settlement() {
    let (market, _) = Market::with(Twist::OutOfGas).await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    for _ in 0..2 {
        let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
        assert_eq!(answer.is(503, "settlement_unavailable").header("retry-after"), Some("30"));
    }
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Released).await, 0, "it was taken on");
}

/// Once the payer was told that the settlement failed, he may have paid by another payment: this one
/// is never sent again.
#[tokio::test]
async fn what_was_told_as_failed_is_not_charged_later() {
    let (market, _) = Market::with(Twist::FirstSettlementRefused).await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is(402, "settlement_failed").because("invalid_exact_evm_insufficient_balance");
    for _ in 0..3 {
        market.shop.service.settle_pending().await.unwrap();
    }
    assert_eq!(market.shop.count(TransactionState::Failing).await, 1);
    market.not_charged().await;
}

/// The background takes up what no request waits for, and nothing else.
#[tokio::test]
async fn the_background_leaves_running_requests_alone() {
    let market = Market::open().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let buying = market.buyer.buy(DIGITS, &digit(0), &payment);
    let passing = async {
        market.shop.toy.wait_for_runs(1).await;
        for _ in 0..5 {
            let pass = market.shop.service.settle_pending().await.unwrap();
            assert_eq!((pass.ended, pass.open), (0, 0));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(market.shop.count(TransactionState::Reserved).await, 1);
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(buying, passing);
    answer.is_served();
    market.charged(1, TOY_PRICE).await;
}
