//! Several inferences under one payment and one receipt.

use std::sync::Arc;

use assay_primitives::{InferenceOutput, InferenceRequest};
use assay_receipt::{Bundle, ItemStatement};
use assay_store::TransactionState;
use assay_verify::{Expectation, Methods, Policy, Verdict, Verifier};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Market, Mood, SIGNED_PRICE, STRANGER, TOY, TOY_PRICE, TRANSACTIONS, ToyVerifier, digit, key,
    now, send, tumour,
};
use crate::jobs::events;

fn item(id: &str, model: &str, method: &str, input: &Value) -> Value {
    json!({ "id": id, "model": model, "method": method, "input": input })
}

pub(crate) fn digits(id: &str, method: &str, sample: usize) -> Value {
    item(id, "digits", method, &serde_json::from_str(&digit(sample)).unwrap())
}

pub(crate) fn reference(from: &str, pointer: &str) -> Value {
    json!({ "$from": from, "pointer": pointer })
}

/// A question whose first numbers are other items' outputs.
pub(crate) fn referring(id: &str, model: &str, method: &str, references: &[Value]) -> Value {
    let asked = if model == "tumour" { tumour(0) } else { digit(0) };
    let mut input: Value = serde_json::from_str(&asked).unwrap();
    let data = input["inputs"][0]["data"].as_array_mut().unwrap();
    for (element, reference) in data.iter_mut().zip(references) {
        *element = reference.clone();
    }
    item(id, model, method, &input)
}

pub(crate) fn transaction(items: &[Value]) -> Value {
    json!({ "items": items })
}

/// Two methods, and an input that is built of the outputs of two others.
fn mixed() -> Value {
    let references =
        [reference("first", "/outputs/0/data/3"), reference("second", "/outputs/0/data/9")];
    transaction(&[
        digits("first", "signed", 0),
        digits("second", TOY, 1),
        referring("third", "tumour", "signed", &references),
        digits("fourth", "signed", 2),
    ])
}

const MIXED_PRICE: u128 = 3 * SIGNED_PRICE + TOY_PRICE;

pub(crate) fn statements(bundle: &Bundle) -> Vec<ItemStatement> {
    bundle.items.iter().map(|item| ItemStatement::from_bytes(&item.statement).unwrap()).collect()
}

fn output(bundle: &Bundle, item: usize) -> InferenceOutput {
    InferenceOutput::from_bytes(bundle.items[item].output.as_deref().unwrap()).unwrap()
}

fn request(bundle: &Bundle, item: usize) -> InferenceRequest {
    InferenceRequest::from_bytes(&bundle.items[item].request).unwrap()
}

#[tokio::test]
async fn items_of_several_methods_are_one_payment_and_one_receipt() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let answer = buyer.transact(&mixed()).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    market.charged(1, MIXED_PRICE).await;
    let body = answer.json();
    assert_eq!(body["transactionId"], id.to_string());
    let named: Vec<&str> =
        body["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(named, ["first", "second", "third", "fourth"]);

    let (bundle, report) = buyer.bundle(id, &token).await;
    assert_eq!((report.item_count, report.verdict), (Some(4), Verdict::Simulated));
    assert_eq!(report.payment.unwrap().settled.0, MIXED_PRICE);
    assert_eq!(body["receipt"], bundle.receipt.digest().to_string());
    let statements = statements(&bundle);
    let third = &statements[2].details;
    assert_eq!((third.id.as_ref().unwrap().as_str(), &third.depends_on), ("third", &vec![0, 1]));
    // The third really was asked what the first and second answered.
    let asked = request(&bundle, 2).inputs[0].data().clone();
    let answered = [(0, 3), (1, 9)]
        .map(|(item, element)| output(&bundle, item).outputs[0].data().part(Some(element)));
    assert_eq!([asked.part(Some(0)), asked.part(Some(1))], answered);
    for (statement, (method, price)) in statements.iter().zip([
        ("signed", SIGNED_PRICE),
        (TOY, TOY_PRICE),
        ("signed", SIGNED_PRICE),
        ("signed", SIGNED_PRICE),
    ]) {
        let details = &statement.details;
        assert_eq!((details.method.as_str(), details.price.amount.0), (method, price));
    }
    // Each item verifies without the others.
    for (index, statement) in statements.iter().enumerate() {
        let own = statement.details.id.clone();
        let alone = bundle.clone().disclose(|other| other.details.id == own).unwrap();
        let verifier = Verifier::new(Policy::default(), Methods::standard().with(ToyVerifier));
        let file = alone.to_bytes().unwrap();
        let report = verifier.verify(&file, &Expectation::default(), now()).unwrap();
        assert_eq!((report.refusal, report.items[0].index as usize), (None, index));
        let text = String::from_utf8(file).unwrap();
        for (other, _) in statements.iter().enumerate().filter(|(other, _)| *other != index) {
            let hidden = assay_primitives::encoding::base64(&bundle.items[other].request);
            assert!(!text.contains(&hidden), "item {index} shows item {other}");
        }
    }
}

#[tokio::test]
async fn a_quote_names_every_price_and_its_header_stays_short() {
    let market = Market::open_with(|setup| setup.body_limit = 1 << 20).await;
    let buyer = &market.buyer;
    let answer = buyer.ask(TRANSACTIONS, mixed().to_string()).await;
    let (required, body) = (answer.required(), answer.json());
    assert_eq!(answer.status.as_u16(), 402);
    let offered: Vec<_> =
        required.accepts.iter().map(|offer| (offer.scheme.as_str(), offer.amount.0)).collect();
    assert_eq!(offered, [("exact", MIXED_PRICE), ("upto", MIXED_PRICE)]);
    let amounts: Vec<&str> = body["quote"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["amounts"][0].as_str().unwrap())
        .collect();
    assert_eq!(amounts, ["1000", "2000", "1000", "1000"]);
    assert_eq!(body["quote"]["totals"][0], MIXED_PRICE.to_string());
    let quote = &required.extensions.unwrap()["verified-inference"]["info"]["quote"];
    assert_eq!(quote["expiresAt"], body["quote"]["expiresAt"]);

    let many = |count: usize| {
        let items: Vec<Value> =
            (0..count).map(|index| digits(&format!("item-{index}"), "signed", 0)).collect();
        transaction(&items).to_string()
    };
    let answer = buyer.ask(TRANSACTIONS, many(1_000)).await;
    assert_eq!(answer.required().accepts[0].amount.0, 1_000 * SIGNED_PRICE);
    let header = answer.header("payment-required").unwrap().len();
    assert!(header < 6 * 1024, "{header}");
    buyer.ask(TRANSACTIONS, many(1_001)).await.is(400, "item_count");
    market.not_charged().await;
}

/// What cannot be bought, with the error's code and the item that it names.
fn wrong() -> Vec<(Value, &'static str, Option<&'static str>)> {
    let of = |references: &[Value]| {
        transaction(&[digits("a", "signed", 0), referring("b", "tumour", "signed", references)])
    };
    let whole = |pointer: &str| {
        let input = json!({ "inputs": [
            { "name": "features", "shape": [1, 30], "datatype": "FP32",
              "data": reference("a", pointer) } ] });
        transaction(&[digits("a", "signed", 0), item("b", "tumour", "signed", &input)])
    };
    let input = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    vec![
        (transaction(&[]), "item_count", None),
        (json!({}), "malformed_request", None),
        (json!({ "items": [], "policy": "some" }), "malformed_request", None),
        (transaction(&[digits("a b", "signed", 0)]), "malformed_request", None),
        (
            transaction(&[digits("a", "signed", 0), digits("a", TOY, 1)]),
            "duplicate_item",
            Some("a"),
        ),
        (
            transaction(&[item("a", "none", "signed", &input(&digit(0)))]),
            "unknown_model",
            Some("a"),
        ),
        (transaction(&[digits("a", "zkml", 0)]), "unknown_method", Some("a")),
        (transaction(&[digits("a", "No Such", 0)]), "unknown_method", Some("a")),
        (
            transaction(&[item("a", "tumour", "signed", &input(&digit(0)))]),
            "unknown_input",
            Some("a"),
        ),
        (
            transaction(&[item("a", "digits", "signed", &json!({ "inputs": [] }))]),
            "missing_input",
            Some("a"),
        ),
        // To nothing, to itself, to a later one, and round in a circle.
        (of(&[reference("c", "/outputs/0/data/0")]), "invalid_reference", Some("b")),
        (of(&[reference("b", "/outputs/0/data/0")]), "invalid_reference", Some("b")),
        (
            transaction(&[
                referring("a", "tumour", "signed", &[reference("b", "/outputs/0/data/0")]),
                referring("b", "tumour", "signed", &[reference("a", "/outputs/0/data/0")]),
            ]),
            "invalid_reference",
            Some("a"),
        ),
        // To what is not there, or is no number.
        (of(&[reference("a", "/outputs/0/data/10")]), "invalid_reference", Some("b")),
        (of(&[reference("a", "/outputs/1/data/0")]), "invalid_reference", Some("b")),
        (of(&[reference("a", "/outputs/0/shape/0")]), "invalid_reference", Some("b")),
        (of(&[reference("a", "/outputs/0/data")]), "invalid_reference", Some("b")),
        (of(&[json!({ "$from": "a" })]), "invalid_reference", Some("b")),
        (of(&[json!("a")]), "invalid_tensor", Some("b")),
        (whole("/outputs/0/data"), "invalid_reference", Some("b")),
        (whole("/outputs/0/data/0"), "invalid_reference", Some("b")),
    ]
}

#[tokio::test]
async fn what_cannot_be_bought_together_is_named_before_a_price_is() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    for (wrong, code, named) in wrong() {
        let answer = buyer.ask(TRANSACTIONS, wrong.to_string()).await;
        answer.is(if code == "unknown_model" { 404 } else { 400 }, code);
        assert_eq!(answer.json()["item"].as_str(), named, "{wrong}: {}", answer.json());
        // Nor does a payment buy it.
        let payment = buyer.payment_for(&mixed()).await.header;
        buyer
            .buy(TRANSACTIONS, &wrong.to_string(), &payment)
            .await
            .is(answer.status.as_u16(), code);
    }
    market.not_charged().await;
}

/// All or nothing: what was certified before the one that failed is not charged and not told.
#[tokio::test]
async fn one_item_that_fails_ends_all() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let payment = buyer.payment_for(&mixed()).await.header;
    for mood in [Mood::Fail, Mood::Panic] {
        market.shop.toy.set(mood);
        let answer = buyer.buy(TRANSACTIONS, &mixed().to_string(), &payment).await;
        answer.is(500, "inference_failed");
        assert!(!String::from_utf8_lossy(&answer.body).contains("outputs"));
        // An input is built of outputs that nobody has paid for: which item failed might tell them.
        assert!(answer.json()["item"].is_null(), "{answer:?}");
    }
    market.shop.toy.set(Mood::OtherEvidence);
    buyer.buy(TRANSACTIONS, &mixed().to_string(), &payment).await.is(500, "internal");
    market.not_charged().await;
    assert_eq!(market.shop.count(TransactionState::Released).await, 3);
    // The payment is as good as before.
    market.shop.toy.set(Mood::Good);
    buyer.buy(TRANSACTIONS, &mixed().to_string(), &payment).await.is_served();
    market.charged(1, MIXED_PRICE).await;
    // And buys nothing else.
    let other = transaction(&[digits("first", "signed", 0)]);
    let again = buyer.buy(TRANSACTIONS, &other.to_string(), &payment).await;
    assert_ne!(again.status.as_u16(), 200);
    market.charged(1, MIXED_PRICE).await;
}

#[tokio::test]
async fn the_failed_item_is_named() {
    let market = Market::open_with(|setup| setup.toy_mood = Mood::Fail).await;
    let wrong = transaction(&[digits("good", "signed", 0), digits("bad", TOY, 1)]);
    let answer = market.buyer.transact(&wrong).await;
    assert_eq!(answer.is(500, "inference_failed").json()["item"], "bad");
    market.not_charged().await;
}

/// Independent items run side by side; one that refers to others waits for them.
#[tokio::test]
async fn items_run_as_parallel_as_their_references_allow() {
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let buyer = &market.buyer;
    let toys = transaction(&[
        digits("a", TOY, 0),
        digits("b", TOY, 1),
        referring("c", "digits", TOY, &[reference("a", "/outputs/0/data/0")]),
    ]);
    let payment = buyer.payment_for(&toys).await.header;
    let request = buyer.paid(TRANSACTIONS, &toys.to_string(), &payment);
    let accepted = send(request.header("prefer", "respond-async")).await;
    assert_eq!(accepted.status.as_u16(), 202);
    // Both that wait for nothing, and not the third.
    market.shop.toy.wait_for_runs(2).await;
    assert_eq!(market.shop.toy.runs(), 2);
    gate.add_permits(2);
    market.shop.toy.wait_for_runs(3).await;
    gate.add_permits(1);
    market.shop.wait_for(accepted.transaction(), TransactionState::Settled).await;
    let location = accepted.header("location").unwrap();
    let answer = buyer.get(location).await;
    assert_eq!(answer.is_served().json()["items"].as_array().unwrap().len(), 3);
    market.charged(1, 3 * TOY_PRICE).await;
}

#[tokio::test]
async fn events_tell_how_far_each_item_is() {
    let market = Market::open().await;
    let payment = market.buyer.payment_for(&mixed()).await;
    let answer = market.buyer.follow(&mixed(), &payment).await;
    let events = events(&answer);
    let ((kind, result), before) = events.split_last().unwrap();
    for (_, told) in before {
        assert!(!told.to_string().contains("outputs"), "{told}");
    }
    assert_eq!(kind, "result");
    assert!(result["response"]["items"][2]["outputs"].is_array(), "{result}");
    assert_eq!(result["response"]["items"][2]["id"], "third");
}

/// What is certified in batches is: all of one model in one transaction, those too whose input waits for
/// another of them; and never what two payers bought.
#[tokio::test]
async fn a_batch_holds_items_of_one_transaction_and_no_others() {
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| {
        setup.toy_batches = true;
        setup.toy_mood = Mood::Wait(gate.clone());
    })
    .await;
    let mut stranger = market.buyer.clone();
    stranger.key = Arc::new(key(STRANGER));
    let own = transaction(&[
        digits("a", TOY, 0),
        digits("b", TOY, 1),
        referring("c", "digits", TOY, &[reference("a", "/outputs/0/data/0")]),
        referring("d", "digits", TOY, &[reference("c", "/outputs/0/data/0")]),
        digits("e", "signed", 2),
    ]);
    let others = transaction(&[digits("a", TOY, 3), digits("b", TOY, 4)]);
    let (one, other, ()) =
        tokio::join!(market.buyer.transact(&own), stranger.transact(&others), async {
            market.shop.toy.wait_for_runs(2).await;
            gate.add_permits(16);
        });
    one.is_served();
    other.is_served();
    let mut sizes: Vec<usize> = market.shop.toy.batches().iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 4]);
    for (answer, items) in [(&one, 4), (&other, 2)] {
        let (bundle, _) = market.buyer.bundle(answer.transaction(), &answer.token()).await;
        let asked: Vec<InferenceRequest> =
            (0..items).map(|index| request(&bundle, index)).collect();
        let batches = market.shop.toy.batches();
        let batch = batches.iter().find(|batch| **batch[0] == asked[0]).unwrap();
        assert!(batch.iter().map(|request| &***request).eq(&asked));
    }
}

/// A transaction that was queued, or in hand, when the process ended is carried out by the next one.
#[tokio::test]
async fn the_next_process_carries_a_transaction_out() {
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let payment = market.buyer.payment_for(&mixed()).await.header;
    let request = market.buyer.paid(TRANSACTIONS, &mixed().to_string(), &payment);
    let accepted = send(request.header("prefer", "respond-async")).await;
    let (id, token) = (accepted.transaction(), accepted.token());
    market.shop.toy.wait_for_runs(1).await;
    market.not_charged().await;
    gate.add_permits(16);
    let market = market.reopened(|_| {}).await;
    market.shop.wait_for(id, TransactionState::Settled).await;
    let (_, report) = market.buyer.bundle(id, &token).await;
    assert_eq!(report.item_count, Some(4));
    market.charged(1, MIXED_PRICE).await;
}

/// What was quoted holds when the gateway is opened again at other prices; what was not quoted does not.
#[tokio::test]
async fn a_quote_is_honoured_at_other_prices() {
    let market = Market::open().await;
    let before = market.buyer.payment_for(&mixed()).await;
    let unquoted = {
        let mut payload = before.payload.clone();
        payload.extensions = None;
        crate::harness::header(&payload)
    };
    let altered = |field: &str, value: Value| {
        let mut payload = before.payload.clone();
        let extensions = payload.extensions.as_mut().unwrap();
        extensions["verified-inference"]["info"]["quote"][field] = value;
        crate::harness::header(&payload)
    };
    let wrong = [
        unquoted,
        altered("expiresAt", json!("2099-01-01T00:00:00.000Z")),
        altered("id", json!("00".repeat(32))),
        altered("prices", json!("11".repeat(32))),
        altered("sha256", json!("22".repeat(32))),
    ];
    let market = market.reopened(|setup| setup.dearer = true).await;
    let buyer = &market.buyer;
    let buy = |transaction: &Value, payment: &str| {
        buyer.buy(TRANSACTIONS, &transaction.to_string(), payment)
    };
    for payment in &wrong {
        let refused = buy(&mixed(), payment).await;
        assert_eq!(refused.status.as_u16(), 402, "{refused:?}");
        assert_eq!(refused.required().accepts[0].amount.0, 10 * MIXED_PRICE);
    }
    // Nor for more, or for something else at the same price.
    let more = transaction(&[
        digits("first", "signed", 0),
        digits("second", TOY, 1),
        digits("third", "signed", 3),
        digits("fourth", "signed", 2),
    ]);
    assert_eq!(buy(&more, &before.header).await.status.as_u16(), 402);
    market.not_charged().await;
    let answer = buy(&mixed(), &before.header).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let (bundle, _) = buyer.bundle(id, &token).await;
    let prices = statements(&bundle).into_iter().map(|one| one.details.price.amount.0);
    assert!(prices.eq([SIGNED_PRICE, TOY_PRICE, SIGNED_PRICE, SIGNED_PRICE]));
    market.charged(1, MIXED_PRICE).await;
    // Each payment is one purchase, whatever was quoted.
    buy(&mixed(), &before.header).await.is(409, "payment_already_used");
    buyer.transact(&mixed()).await.is_served();
    market.charged(2, 11 * MIXED_PRICE).await;
}

/// What comes to nothing counts by its items: nobody has hundreds of inferences run for nothing.
#[tokio::test]
async fn items_that_come_to_nothing_are_counted() {
    let market = Market::open_with(|setup| setup.toy_mood = Mood::Fail).await;
    let buyer = &market.buyer;
    let items: Vec<Value> = (0..16).map(|n| digits(&format!("item-{n}"), TOY, 0)).collect();
    let many = transaction(&items);
    for _ in 0..2 {
        buyer.transact(&many).await.is(500, "inference_failed");
    }
    let refused = buyer.transact(&many).await;
    refused.is(429, "too_many_payments");
    assert!(refused.json()["error"].as_str().unwrap().starts_with("32 inferences of this payer"));
    market.not_charged().await;
}

/// Items whose inputs are built of outputs are not told of before these are paid for.
#[tokio::test]
async fn events_say_nothing_of_inputs_that_are_built_of_outputs() {
    let market = Market::open().await;
    let payment = market.buyer.payment_for(&mixed()).await;
    let answer = market.buyer.follow(&mixed(), &payment).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let (before, _) = text.split_once("event: result").unwrap();
    for line in before.lines().filter(|line| line.contains("\"third\"")) {
        assert!(!line.contains("\"id\":\"third\",\"state\":\"running"), "{line}");
        assert!(!line.contains("\"id\":\"third\",\"state\":\"certified"), "{line}");
    }
}

/// A seller whose toy waits for the gate, and whose payments last for so many seconds.
async fn waiting_market(max_timeout_seconds: u64) -> (Market, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| {
        setup.toy_mood = Mood::Wait(gate.clone());
        setup.max_timeout_seconds = max_timeout_seconds;
    })
    .await;
    (market, gate)
}

/// Nothing runs on when it is too late to commit it, and it counts against who had it run.
#[tokio::test]
async fn what_cannot_be_committed_in_time_ends_then() {
    let (market, _gate) = waiting_market(14).await;
    let toys: Vec<Value> = (0..32).map(|n| digits(&format!("item-{n}"), TOY, 0)).collect();
    let late = market.buyer.transact(&transaction(&toys)).await;
    late.is(409, "given_up");
    assert!(late.json()["error"].as_str().unwrap().contains("had to be committed by"));
    let again = market.buyer.transact(&transaction(&[digits("a", "signed", 0)])).await;
    again.is(429, "too_many_payments");
    market.not_charged().await;
}

/// What was given up is not taken on again at once: it would not end in time then either.
#[tokio::test]
async fn what_was_given_up_is_refused_for_a_while() {
    let (market, gate) = waiting_market(10).await;
    let toys: Vec<Value> = (0..8).map(|n| digits(&format!("item-{n}"), TOY, 0)).collect();
    market.buyer.transact(&transaction(&toys)).await.is(409, "given_up");
    gate.add_permits(1_000);
    let again = market.buyer.transact(&transaction(&toys)).await;
    assert!(again.is(503, "busy").header("retry-after").is_some());
    // What takes less time is served.
    market.buyer.transact(&transaction(&toys[..1])).await.is_served();
    market.charged(1, TOY_PRICE).await;
}
