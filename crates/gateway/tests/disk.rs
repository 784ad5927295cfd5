//! A disk that fails between the steps of a purchase.

use assay_store::TransactionState;

use crate::harness::{BUYER, DIGITS, Market, SIGNED_PRICE, Step, TOY, TOY_PRICE, digit, empty};

#[tokio::test]
async fn before_anything_was_signed() {
    for steps in [&[Step::Reserve][..], &[Step::Commit]] {
        let market = Market::open().await;
        let payment = market.buyer.payment(DIGITS, TOY).await.header;
        market.shop.disk.breaks_at(steps);
        market.buyer.buy(DIGITS, &digit(0), &payment).await.is(500, "internal");
        market.not_charged().await;
        market.shop.disk.breaks_at(&[]);
        market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
        market.charged(1, TOY_PRICE).await;
    }
}

/// A payment that cannot be given back now is given back later.
#[tokio::test]
async fn when_a_payment_is_given_back() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.shop.disk.breaks_at(&[Step::Commit, Step::Release]);
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(500, "internal");
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(409, "payment_already_used");
    assert_eq!(market.shop.count(TransactionState::Reserved).await, 1);
    market.shop.disk.breaks_at(&[]);
    market.shop.service.settle_pending().await.unwrap();
    market.not_charged().await;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

/// The money has moved and nobody can write it down: the buyer is told that it is on its way, with
/// what opens the result, and never that nothing happened.
#[tokio::test]
async fn after_the_money_has_moved() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.shop.disk.breaks_at(&[Step::Settle]);
    let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    answer.is(503, "settlement_pending");
    assert!(answer.json().get("outputs").is_none());
    let (id, token) = (answer.transaction_id(), answer.token());
    market.charged(1, SIGNED_PRICE).await;
    market.buyer.fetch(id, &token).await.is(409, "not_settled");
    market.shop.disk.breaks_at(&[]);
    market.shop.wait_for(id, TransactionState::Settled).await;
    market.buyer.bundle(id, &token).await;
    market.charged(1, SIGNED_PRICE).await;
}

/// A failure that cannot be written down is not told as one: the payer would pay again, and this
/// payment might still be carried out.
#[tokio::test]
async fn after_the_settlement_failed() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let dev = market.world.dev.clone();
    market.shop.toy.act(move || {
        dev.pause();
        empty(&dev, BUYER);
    });
    market.shop.disk.breaks_at(&[Step::Settle]);
    let buying = market.buyer.buy(DIGITS, &digit(0), &payment);
    let mining = async {
        while market.shop.count(TransactionState::Committed).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        market.world.dev.resume().unwrap();
    };
    let (answer, ()) = tokio::join!(buying, mining);
    let id = answer.is(503, "settlement_pending").transaction_id();
    market.shop.disk.breaks_at(&[]);
    market.shop.wait_for(id, TransactionState::Failing).await;
    market.not_charged().await;
}
