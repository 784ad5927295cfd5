//! The client library against the gateway.

use std::sync::Arc;
use std::time::Duration;

use assay_client::{Buyer, BuyerConfig, ClientError, InferenceOrder};
use assay_primitives::{Amount, InferenceRequest, Method, SystemRandomness};
use assay_store::TransactionState;
use assay_verify::{Methods, Policy, Verdict, Verifier};
use assay_x402::{OfferRefusal, Preferences};

use crate::harness::{
    BUYER, Fault, Market, Mood, SIGNED_PRICE, TOY, TOY_PRICE, ToyVerifier, asset, key, packages,
};

fn buyer(market: &Market) -> Buyer {
    let config = BuyerConfig { timeout: Duration::from_secs(20), pending: Duration::from_secs(20) };
    let (clock, randomness) = (market.world.clock.clone(), Arc::new(SystemRandomness));
    Buyer::new(&market.shop.url, Arc::new(key(BUYER)), clock, randomness, config).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(Policy::default(), Methods::standard().with(ToyVerifier))
}

fn order(method: &str, cap: u128) -> InferenceOrder {
    let input = packages()[0].samples().get(6).unwrap().input.clone();
    InferenceOrder {
        model: "digits".to_owned(),
        method: method.parse::<Method>().unwrap(),
        request: InferenceRequest { inputs: vec![input] },
        preferences: Preferences::new().with_cap(asset(), Amount(cap)),
    }
}

#[tokio::test]
async fn buys_and_verifies() {
    let market = Market::open().await;
    for (method, price) in [("signed", SIGNED_PRICE), (TOY, TOY_PRICE)] {
        let bought = buyer(&market).infer(order(method, price), &verifier()).await.unwrap();
        assert_eq!(bought.report.verdict, Verdict::Simulated);
        assert_eq!(
            bought.output.outputs[0].argmax(),
            packages()[0].samples().get(6).map(|s| s.label)
        );
        assert_eq!(bought.offer.amount.0, price);
    }
    market.charged(2, SIGNED_PRICE + TOY_PRICE).await;
}

#[tokio::test]
async fn signs_nothing_over_the_cap() {
    let market = Market::open().await;
    let error = buyer(&market).infer(order("signed", SIGNED_PRICE - 1), &verifier()).await;
    let Err(ClientError::NoOffer(error)) = error else { panic!("{error:?}") };
    assert!(
        error.refusals.iter().any(|refusal| matches!(
            refusal,
            OfferRefusal::OverCap { price: Amount(SIGNED_PRICE), .. }
        )),
        "{error}"
    );
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Reserved).await, 0);
}

#[tokio::test]
async fn waits_for_a_pending_settlement() {
    let market = Market::open().await;
    market.world.break_line("eth_sendRawTransaction", Fault::Drop);
    let mending = async {
        while market.shop.count(TransactionState::Committed).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        market.world.mend_line();
    };
    let buyer = buyer(&market);
    let verifier = verifier();
    let buying = buyer.infer(order("signed", SIGNED_PRICE), &verifier);
    let (bought, ()) = tokio::join!(buying, mending);
    assert_eq!(bought.unwrap().report.verdict, Verdict::Simulated);
    market.charged(1, SIGNED_PRICE).await;
}

/// The connection breaks after the payment was sent: it is sent again, the same one, and the result
/// of the first is fetched.
#[tokio::test]
async fn sends_the_same_payment_again() {
    let market = Market::open().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let config =
        BuyerConfig { timeout: Duration::from_millis(700), pending: Duration::from_secs(20) };
    let (clock, randomness) = (market.world.clock.clone(), Arc::new(SystemRandomness));
    let impatient =
        Buyer::new(&market.shop.url, Arc::new(key(BUYER)), clock, randomness, config).unwrap();
    let opening = async {
        market.shop.toy.wait_for_runs(1).await;
        // Longer than the buyer waits for an answer.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        gate.add_permits(10);
    };
    let verifier = verifier();
    let buying = impatient.infer(order(TOY, TOY_PRICE), &verifier);
    let (bought, ()) = tokio::join!(buying, opening);
    assert_eq!(bought.unwrap().report.verdict, Verdict::Simulated);
    assert_eq!(market.shop.toy.runs(), 1);
    market.charged(1, TOY_PRICE).await;
}

#[tokio::test]
async fn names_what_was_refused() {
    let market = Market::open().await;
    crate::harness::empty(&market.world.dev, BUYER);
    let error = buyer(&market).infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
    let ClientError::PaymentRefused { reason, message } = error else { panic!("{error}") };
    assert_eq!(reason, "invalid_exact_evm_insufficient_balance");
    assert!(message.contains("has 0"), "{message}");
    let mut other = order("signed", SIGNED_PRICE);
    other.model = "nobody".to_owned();
    let error = buyer(&market).infer(other, &verifier()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Gateway { status: 404, code, .. } if code == "unknown_model")
    );
    market.not_charged().await;
}

/// A gateway that nobody answers for: the error says what the buyer needs to find the money again.
#[tokio::test]
async fn says_where_the_money_may_be() {
    let market = Market::open().await;
    market.shop.toy.set(Mood::Wait(Arc::new(tokio::sync::Semaphore::new(0))));
    let config = BuyerConfig { timeout: Duration::from_millis(100), pending: Duration::ZERO };
    let (clock, randomness) = (market.world.clock.clone(), Arc::new(SystemRandomness));
    let buyer =
        Buyer::new(&market.shop.url, Arc::new(key(BUYER)), clock, randomness, config).unwrap();
    let error = buyer.infer(order(TOY, TOY_PRICE), &verifier()).await.unwrap_err();
    // It was found again where it is under way.
    let ClientError::Pending { transaction, access_token } = error else { panic!("{error}") };
    assert_eq!((transaction.len(), access_token.len()), (36, 64));
    market.not_charged().await;
}
