//! The client library against the gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_client::{
    Buyer, BuyerConfig, ClientError, DeliveryError, InferenceOrder, ItemOrder, ItemUpdate,
    TensorOrder, TransactionOrder, Undelivered,
};
use assay_primitives::{AccessToken, Amount, InferenceRequest, Method, SystemRandomness};
use assay_receipt::OutcomePolicy;
use assay_store::{TransactionState, TransactionStore as _};
use assay_testkit::FakeClock;
use assay_verify::{Methods, Policy, Verdict, Verifier};
use assay_x402::{OfferRefusal, Preferences};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    BUYER, Fault, GatewayLine, Market, Mishap, Mood, SIGNED_PRICE, TOY, TOY_PRICE, ToyVerifier,
    asset, key, packages,
};

fn buyer(market: &Market) -> Buyer {
    buyer_at(market, &market.shop.url, Duration::from_secs(20), Duration::from_secs(20))
}

/// A buyer with so much patience for an answer, and for what is pending.
fn buyer_at(market: &Market, url: &str, timeout: Duration, pending: Duration) -> Buyer {
    let config = BuyerConfig { timeout, pending };
    let (clock, randomness) = (market.world.clock.clone(), Arc::new(SystemRandomness));
    Buyer::new(url, Arc::new(key(BUYER)), clock, randomness, config).unwrap()
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
    let (timeout, pending) = (Duration::from_millis(700), Duration::from_secs(20));
    let impatient = buyer_at(&market, &market.shop.url, timeout, pending);
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

/// As before, and the transaction is released meanwhile: whoever holds its token learns that nothing was charged, and
/// nobody else that there was one.
#[tokio::test]
async fn what_is_released_meanwhile_is_not_waited_for() {
    let market = Market::open().await;
    market.shop.toy.set(Mood::Wait(Arc::new(Semaphore::new(0))));
    let (timeout, pending) = (Duration::from_millis(700), Duration::from_secs(20));
    let impatient = buyer_at(&market, &market.shop.url, timeout, pending);
    let releasing = async {
        market.shop.toy.wait_for_runs(1).await;
        // Longer than the buyer waits for an answer.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let (id, _) = market.shop.store.open_after(None, 1).await.unwrap()[0];
        market.shop.service.cancel(id).await.unwrap();
        id
    };
    let verifier = verifier();
    let buying = impatient.infer(order(TOY, TOY_PRICE), &verifier);
    let (bought, id) = tokio::join!(buying, releasing);
    let error = bought.unwrap_err();
    let ClientError::NotServed { status: 409, code, message, signed } = error else {
        panic!("{error}")
    };
    assert_eq!(code, "given_up");
    assert!(message.contains("nothing was charged"), "{message}");
    let token = signed.access_token.parse().unwrap();
    let told = market.buyer.fetch(id, &token).await;
    assert_eq!(told.is(409, "given_up").json()["state"], "released");
    let other = AccessToken::new(&SystemRandomness).unwrap();
    market.buyer.fetch(id, &other).await.is(404, "unknown_receipt");
    market.buyer.get(&format!("/v1/receipts/{id}")).await.is(404, "unknown_receipt");
    market.not_charged().await;
}

#[tokio::test]
async fn names_what_was_refused() {
    let market = Market::open().await;
    crate::harness::empty(&market.world.dev, BUYER);
    let error = buyer(&market).infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
    let ClientError::PaymentRefused { reason, message, signed } = error else { panic!("{error}") };
    assert_eq!(reason, "invalid_exact_evm_insufficient_balance");
    assert!(message.contains("has 0"), "{message}");
    // Whoever saw it could carry it out.
    assert_eq!((signed.nonce.len(), signed.access_token.len()), (66, 64));
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
    let buyer = buyer_at(&market, &market.shop.url, Duration::from_millis(100), Duration::ZERO);
    let error = buyer.infer(order(TOY, TOY_PRICE), &verifier()).await.unwrap_err();
    // It was found again where it is under way.
    let undelivered = undelivered(error);
    assert!(matches!(undelivered.cause, DeliveryError::Late(_)), "{undelivered}");
    assert_eq!(undelivered.access_token.len(), 64);
    market.not_charged().await;
}

fn undelivered(error: ClientError) -> Undelivered {
    let ClientError::Undelivered(undelivered) = error else { panic!("{error}") };
    *undelivered
}

/// Between its answer and the bundle the gateway goes away for a while, or the line breaks.
#[tokio::test]
async fn a_broken_line_to_the_bundle_is_waited_for() {
    let market = Market::open().await;
    let patience = Duration::from_secs(20);
    for (n, mishap) in [(1, Mishap::Unavailable(2)), (2, Mishap::BreaksOff(2))] {
        let line = GatewayLine::to(&market.shop.url, mishap).await;
        let buyer = buyer_at(&market, &line.url, patience, patience);
        let bought = buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap();
        assert_eq!(bought.report.verdict, Verdict::Simulated, "{mishap:?}");
        market.charged(n, SIGNED_PRICE * n as u128).await;
    }
}

/// The money has left, and the bundle cannot be had: the buyer gets what opens it later.
#[tokio::test]
async fn what_opens_the_bundle_is_kept() {
    let market = Market::open().await;
    for (n, mishap) in [(1, Mishap::Unavailable(100)), (2, Mishap::BreaksOff(100))] {
        let line = GatewayLine::to(&market.shop.url, mishap).await;
        let buyer = buyer_at(&market, &line.url, Duration::from_secs(20), Duration::ZERO);
        let error = buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
        let undelivered = undelivered(error);
        assert!(matches!(undelivered.cause, DeliveryError::Late(_)), "{undelivered}");
        assert!(undelivered.settlement.is_some_and(|settlement| settlement.success));
        market.charged(n, SIGNED_PRICE * n as u128).await;
        let id = undelivered.transaction;
        market.buyer.bundle(id, &undelivered.access_token.parse().unwrap()).await;
    }
}

/// What does not verify is no result, and it is evidence.
#[tokio::test]
async fn what_does_not_verify_is_kept() {
    let market = Market::open().await;
    let line = GatewayLine::to(&market.shop.url, Mishap::Tampers).await;
    let buyer = buyer_at(&market, &line.url, Duration::from_secs(20), Duration::ZERO);
    let error = buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
    let undelivered = undelivered(error);
    assert!(
        matches!(undelivered.cause, DeliveryError::Refused(_) | DeliveryError::Unusable(_)),
        "{undelivered}"
    );
    let transaction = undelivered.transaction;
    let token = undelivered.access_token.parse().unwrap();
    let sent = market.buyer.fetch(transaction, &token).await.body;
    let kept = undelivered.file.unwrap();
    let differing = sent.iter().zip(&kept).filter(|(sent, kept)| sent != kept).count();
    assert_eq!((sent.len(), differing), (kept.len(), 1));
    market.charged(1, SIGNED_PRICE).await;
}

/// A receipt that is dated before its payment lets evidence count that is good no longer: the verifier
/// judges it as of then, and the buyer alone knows better.
#[tokio::test]
async fn a_receipt_from_before_the_payment_is_no_result() {
    let market = Market::open().await;
    let bought_at = |ahead: Duration| {
        let clock = Arc::new(FakeClock::new(market.world.clock.now().plus(ahead)));
        let config = BuyerConfig { timeout: Duration::from_secs(20), ..BuyerConfig::default() };
        let (url, signer) = (&market.shop.url, Arc::new(key(BUYER)));
        let buyer = Buyer::new(url, signer, clock, Arc::new(SystemRandomness), config).unwrap();
        async move { buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await }
    };
    bought_at(Duration::from_secs(119)).await.unwrap();
    let undelivered = undelivered(bought_at(Duration::from_secs(3_600)).await.unwrap_err());
    let DeliveryError::Backdated { issued_at, signed_at } = undelivered.cause else {
        panic!("{undelivered}")
    };
    assert!(issued_at.plus(Duration::from_secs(3_000)) < signed_at);
    let told = undelivered.to_string();
    assert!(told.contains(&issued_at.to_string()) && told.contains(&signed_at.to_string()));
    // What came is kept.
    assert!(undelivered.file.is_some());
    market.charged(2, 2 * SIGNED_PRICE).await;
}

/// A gateway's word that nothing was charged is a word.
#[tokio::test]
async fn a_lie_about_the_charge_leaves_the_buyer_with_his_payment() {
    let market = Market::open().await;
    let line = GatewayLine::to(&market.shop.url, Mishap::Denies).await;
    let buyer = buyer_at(&market, &line.url, Duration::from_secs(20), Duration::ZERO);
    let error = buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
    let ClientError::NotServed { status: 418, code, signed, .. } = error else { panic!("{error}") };
    assert_eq!((code.as_str(), signed.access_token.len()), ("nothing_charged", 64));
    market.charged(1, SIGNED_PRICE).await;
}

/// An answer that does not say what it is about leaves the buyer with the nonce of his payment.
#[tokio::test]
async fn an_answer_without_a_transaction() {
    let market = Market::open().await;
    for (n, named) in [(1, ""), (2, "x;touch pwned")] {
        let line = GatewayLine::to(&market.shop.url, Mishap::Misnames(named)).await;
        let buyer = buyer_at(&market, &line.url, Duration::from_secs(20), Duration::ZERO);
        let error = buyer.infer(order("signed", SIGNED_PRICE), &verifier()).await.unwrap_err();
        let ClientError::Unanswered { signed, .. } = error else { panic!("{error}") };
        assert_eq!(signed.nonce.len(), 66);
        market.charged(n, SIGNED_PRICE * n as u128).await;
    }
}

fn item(id: &str, model: &str, method: &str, data: &str) -> ItemOrder {
    let package = &packages()[usize::from(model == "tumour")];
    let spec = &package.card().inputs[0];
    ItemOrder {
        id: id.parse().unwrap(),
        model: model.to_owned(),
        method: method.parse().unwrap(),
        inputs: vec![TensorOrder {
            name: spec.name.clone(),
            shape: spec.shape.clone(),
            datatype: spec.datatype.clone(),
            data: RawValue::from_string(data.to_owned()).unwrap(),
        }],
        timeout: None,
    }
}

/// Two items, the second of which refers to the first.
fn transaction(cap: u128) -> TransactionOrder {
    let referring = (0..30).map(|index| match index {
        5 => r#"{"$from":"digit","pointer":"/outputs/0/data/2"}"#.to_owned(),
        _ => format!("{index}.5"),
    });
    let referring = format!("[{}]", referring.collect::<Vec<_>>().join(","));
    TransactionOrder {
        items: vec![
            item("digit", "digits", TOY, &digit_data(6)),
            item("built", "tumour", "signed", &referring),
        ],
        outcome_policy: OutcomePolicy::All,
        preferences: Preferences::new().with_cap(asset(), Amount(cap)),
    }
}

/// As [`transaction`], of which what fails is not charged.
fn each(cap: u128) -> TransactionOrder {
    let preferences = transaction(cap).preferences.with_upto();
    TransactionOrder { outcome_policy: OutcomePolicy::Each, preferences, ..transaction(cap) }
}

const BOTH: u128 = SIGNED_PRICE + TOY_PRICE;

#[tokio::test]
async fn buys_a_transaction_and_verifies_it() {
    let market = Market::open().await;
    let told = Mutex::new(Vec::new());
    let watch = |update: &ItemUpdate| {
        told.lock().unwrap().push((update.id.to_string(), update.state.clone()));
    };
    let bought = buyer(&market).transact(transaction(BOTH), &verifier(), Some(&watch)).await;
    let bought = bought.unwrap();
    // Whoever reads slowly misses some; nothing is told out of order.
    let told = told.into_inner().unwrap();
    let places = ["waiting", "running", "certified"];
    for id in ["digit", "built"] {
        let states = told.iter().filter(|(of, _)| of == id).map(|(_, state)| state.as_str());
        let states = states.map(|state| places.iter().position(|place| *place == state).unwrap());
        assert!(states.is_sorted(), "{told:?}");
    }
    assert_eq!((bought.output.len(), bought.offer.amount.0), (2, BOTH));
    assert_eq!(bought.report.items[1].id, Some("built".parse().unwrap()));
    market.charged(1, BOTH).await;
    let error =
        buyer(&market).transact(transaction(BOTH - 1), &verifier(), None).await.unwrap_err();
    assert!(matches!(error, ClientError::NoOffer(_)), "{error}");
    // The policy's highest price is that of the whole.
    let policy = format!("max_price = [{{ asset = \"{}\", amount = \"{}\" }}]", asset(), BOTH - 1);
    let policy = Policy::from_toml(&policy).unwrap();
    let strict = Verifier::new(policy, Methods::standard().with(ToyVerifier));
    let error = buyer(&market).transact(transaction(BOTH), &strict, None).await.unwrap_err();
    assert!(matches!(error, ClientError::NotAccepted(_)), "{error}");
    market.charged(1, BOTH).await;
}

/// The buyer's own permit for Permit2 goes along where the chain says that it has to: he never sent a
/// transaction himself.
#[tokio::test]
async fn buys_under_each_without_an_allowance() {
    let market = Market::open().await;
    let error = buyer(&market).transact(each(BOTH), &verifier(), None).await.unwrap_err();
    let ClientError::PaymentRefused { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, "permit2_allowance_required");
    let asking = || buyer(&market).asking(market.world.chain.clone());
    let bought = asking().transact(each(BOTH), &verifier(), None).await.unwrap();
    assert!(bought.output.iter().all(Result::is_ok));
    market.charged(1, BOTH).await;

    // What failed is not charged, and what refers to it neither.
    let mut order = each(BOTH + SIGNED_PRICE);
    order.items.push(item("other", "digits", "signed", &digit_data(1)));
    market.shop.toy.set(Mood::Fail);
    let bought = asking().transact(order, &verifier(), None).await.unwrap();
    let reasons: Vec<Option<(&str, bool)>> = bought
        .output
        .iter()
        .map(|output| Some(output.as_ref().err()?).map(|e| (e.reason.as_str(), e.is_charged)))
        .collect();
    assert_eq!(reasons, [Some(("inference_failed", false)), Some(("source_failed", false)), None]);
    market.charged(2, BOTH + SIGNED_PRICE).await;

    // A timeout of one's own, below the floor, is charged, and the buyer knows that it may be.
    market.shop.toy.set(Mood::Wait(Arc::new(Semaphore::new(0))));
    let mut order = each(BOTH);
    order.items[0].timeout = Some(Duration::from_millis(1));
    let bought = asking().transact(order, &verifier(), None).await;
    let failed = bought.unwrap().output[0].clone().unwrap_err();
    assert_eq!((failed.reason.as_str(), failed.is_charged), ("timeout_below_floor", true));
    market.charged(3, BOTH + SIGNED_PRICE + TOY_PRICE).await;
}

fn digit_data(sample: usize) -> String {
    serde_json::to_string(packages()[0].samples().get(sample).unwrap().input.data()).unwrap()
}

/// A gateway that sells another transaction than the one that was ordered: every signature holds.
#[tokio::test]
async fn a_transaction_is_the_one_that_was_ordered() {
    let market = Market::open().await;
    let patience = Duration::from_secs(20);
    let buy = async |alter: fn(&mut Value)| {
        let line = GatewayLine::to(&market.shop.url, Mishap::Asks(alter)).await;
        let buyer = buyer_at(&market, &line.url, patience, patience);
        buyer.transact(transaction(BOTH), &verifier(), None).await.unwrap_err()
    };
    // What the quote tells is found out before anything is signed.
    let quoted: [fn(&mut Value); 3] = [
        |body| body["items"][1]["id"] = json!("other"),
        |body| body["items"][0]["method"] = json!("signed"),
        |body| {
            let again = body["items"][0].clone();
            body["items"].as_array_mut().unwrap().push(again);
            body["items"][2]["id"] = json!("more");
        },
    ];
    for alter in quoted {
        let error = buy(alter).await;
        let is_told = matches!(error, ClientError::Protocol { .. } | ClientError::NoOffer(_));
        assert!(is_told, "{error}");
    }
    market.not_charged().await;
    let alterations: [fn(&mut Value); 4] = [
        |body| body["items"][0]["input"]["inputs"][0]["data"][0] = json!(3),
        |body| {
            let data = &mut body["items"][1]["input"]["inputs"][0]["data"];
            data[5]["pointer"] = json!("/outputs/0/data/3");
        },
        |body| {
            let data = &mut body["items"][1]["input"]["inputs"][0]["data"];
            data[6] = data[5].clone();
        },
        |body| body["items"][1]["input"]["inputs"][0]["data"][5] = json!(0.25),
    ];
    for alter in alterations {
        let ClientError::Undelivered(undelivered) = buy(alter).await else { panic!() };
        let DeliveryError::OtherOrder { field, .. } = undelivered.cause else {
            panic!("{:?}", undelivered.cause)
        };
        assert_eq!(field, "input");
    }
}
