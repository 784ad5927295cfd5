//! Transactions that are paid by `upto`, and those of which what failed is not charged: what is settled is read
//! from the chain's own logs.

use std::sync::Arc;

use assay_primitives::{AccessToken, Amount};
use assay_receipt::{Outcome, OutcomePolicy, Receipt, SettlementRecord, SettlementStatus};
use assay_service::{ItemState, Progress, Release, Status};
use assay_store::TransactionState;
use assay_x402::Payment;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    Answer, BUYER, Market, Mood, PATIENCE, SIGNED_PRICE, Setup, Step, TOY, TOY_FLOOR, TOY_PRICE,
    TRANSACTIONS, approve, empty, invalidate, send,
};
use crate::jobs::{events, location};
use crate::transactions::{digits, reference, referring, statements};

/// A seller whose buyer has let Permit2 move his tokens.
async fn open(edit: impl FnOnce(&mut Setup)) -> Market {
    let market = Market::open_with(edit).await;
    approve(&market.world.dev, BUYER);
    market
}

fn each(items: &[Value]) -> Value {
    json!({ "items": items, "outcomePolicy": "each" })
}

fn with_timeout(mut item: Value, millis: u128) -> Value {
    item["timeoutMs"] = u64::try_from(millis).unwrap().into();
    item
}

/// A good item, one by the toy, and one whose input is the toy's output.
fn three() -> Value {
    each(&[
        digits("good", "signed", 0),
        digits("toy", TOY, 1),
        referring("built", "tumour", "signed", &[reference("toy", "/outputs/0/data/0")]),
    ])
}

/// Returns what the answer says of each item: nothing of one that did not fail.
fn failed(answer: &Answer) -> Vec<Option<(String, bool)>> {
    let of = |item: &Value| {
        assert_eq!(item["outputs"].is_array(), item["failed"].is_null(), "{item}");
        let reason = item["failed"]["reason"].as_str()?.to_owned();
        Some((reason, item["failed"]["charged"].as_bool().unwrap()))
    };
    answer.json()["items"].as_array().unwrap().iter().map(of).collect()
}

fn not_charged(reason: &str) -> Option<(String, bool)> {
    Some((reason.to_owned(), false))
}

fn charged(reason: &str) -> Option<(String, bool)> {
    Some((reason.to_owned(), true))
}

async fn begin(market: &Market, transaction: &Value, payment: &Payment) -> Answer {
    let paid = market.buyer.paid(TRANSACTIONS, &transaction.to_string(), &payment.header);
    let accepted = send(paid.header("prefer", "respond-async")).await;
    assert_eq!(accepted.status.as_u16(), 202, "{accepted:?}");
    accepted
}

/// Waits until an item of a transaction that is under way is certified.
async fn wait_for_certified(market: &Market, location: &str, index: usize) {
    let secret: AccessToken = location.rsplit('/').next().unwrap().parse().unwrap();
    let asked = market.shop.service.purchase_at(&secret).await.unwrap().unwrap();
    let Status::UnderWay(mut progress) = asked.status else { panic!("{asked:?}") };
    let is_certified = |progress: &Progress| {
        let item = progress.items().get(index);
        item.is_some_and(|item| matches!(item.state, ItemState::Certified { .. }))
    };
    let certified = progress.wait_for(is_certified);
    tokio::time::timeout(PATIENCE, certified).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_offers_say_what_may_happen() {
    let market = open(|_| {}).await;
    let required = market.buyer.ask(TRANSACTIONS, three().to_string()).await.required();
    let [offer] = required.accepts.as_slice() else { panic!("{required:?}") };
    let price = 2 * SIGNED_PRICE + TOY_PRICE;
    assert_eq!((offer.scheme.as_str(), offer.amount.0), ("upto", price));
    assert_eq!(offer.extra_text("outcomePolicy"), Some("each"));
    assert_eq!(offer.extra_text("assetTransferMethod"), Some("permit2"));
    assert!(required.extensions.unwrap().contains_key("eip2612GasSponsoring"));
    let wrong = json!({ "items": [digits("a", "signed", 0)], "outcomePolicy": "some" });
    market.buyer.ask(TRANSACTIONS, wrong.to_string()).await.is(400, "malformed_request");
}

/// Without an allowance the answer is the one that x402 has for it, and nothing runs.
#[tokio::test]
async fn permit2_needs_an_allowance() {
    let market = Market::open().await;
    let refused = market.buyer.permit(&three()).await;
    assert_eq!(refused.status.as_u16(), 412, "{refused:?}");
    assert_eq!(refused.json()["reason"], "permit2_allowance_required");
    assert_eq!(refused.required().error.as_deref(), Some("permit2_allowance_required"));
    assert_eq!(market.shop.toy.runs(), 0);
    market.not_charged().await;
}

/// Under `all` the scheme changes nothing: all is charged, or nothing.
#[tokio::test]
async fn all_is_paid_by_upto_too() {
    let market = open(|_| {}).await;
    let mut all = three();
    all["outcomePolicy"] = "all".into();
    market.shop.toy.set(Mood::Fail);
    let payment = market.buyer.permit_for(&all).await.header;
    let buy = || market.buyer.buy(TRANSACTIONS, &all.to_string(), &payment).into_future();
    buy().await.is(500, "inference_failed");
    market.not_charged().await;
    market.shop.toy.set(Mood::Good);
    let answer = buy().await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let (bundle, report) = market.buyer.bundle(id, &token).await;
    let price = 2 * SIGNED_PRICE + TOY_PRICE;
    let payment = report.payment.unwrap();
    assert_eq!((payment.scheme.as_str(), payment.settled.0), ("upto", price));
    let receipt = Receipt::from_bytes(&bundle.receipt.payload).unwrap();
    assert_eq!(receipt.predicate().outcome_policy, OutcomePolicy::All);
    market.charged(1, price).await;
    buy().await.is(409, "payment_already_used");
    market.charged(1, price).await;
}

#[tokio::test]
async fn what_failed_is_not_charged() {
    let market = open(|setup| setup.toy_mood = Mood::Fail).await;
    let answer = market.buyer.permit(&three()).await;
    let (id, token) = (answer.is_served().transaction(), answer.token());
    let failures = failed(&answer);
    assert_eq!(failures, [None, not_charged("inference_failed"), not_charged("source_failed")]);
    assert_eq!(answer.settlement().amount.as_deref(), Some(SIGNED_PRICE.to_string().as_str()));
    market.charged(1, SIGNED_PRICE).await;
    let (bundle, report) = market.buyer.bundle(id, &token).await;
    let payment = report.payment.unwrap();
    assert_eq!((payment.authorized.0, payment.settled.0), (4_000, SIGNED_PRICE));
    let statements = statements(&bundle);
    let usage: Vec<u32> = statements.iter().map(|one| one.details.usage.inferences).collect();
    assert_eq!(usage, [1, 0, 0]);
    assert!(
        matches!(&statements[2].details.outcome, Outcome::Failed { reason } if reason == "source_failed")
    );
    // What is told later is the same.
    let again = market.buyer.permit(&three()).await;
    assert_eq!(failed(&again), failures);
    market.charged(2, 2 * SIGNED_PRICE).await;
}

/// Nothing is charged, so nothing is sent: the record says so, and the payment is used all the same.
#[tokio::test]
async fn where_all_fail_nothing_moves() {
    let market = open(|setup| setup.toy_mood = Mood::Fail).await;
    let toys = each(&[digits("a", TOY, 0), digits("b", TOY, 1)]);
    let payment = market.buyer.permit_for(&toys).await;
    let answer = market.buyer.buy(TRANSACTIONS, &toys.to_string(), &payment.header).await;
    assert_eq!(failed(&answer), vec![not_charged("inference_failed"); 2]);
    let settlement = answer.settlement();
    let told = (settlement.success, settlement.transaction.as_str(), settlement.amount.as_deref());
    assert_eq!(told, (true, "", Some("0")));
    let (bundle, report) = market.buyer.bundle(answer.transaction(), &answer.token()).await;
    assert_eq!(report.payment.unwrap().settled, Amount::ZERO);
    let record = SettlementRecord::from_bytes(&bundle.settlement_records[0].payload).unwrap();
    assert_eq!(record.predicate().status, SettlementStatus::Zero);
    market.not_charged().await;
    let again = market.buyer.buy(TRANSACTIONS, &toys.to_string(), &payment.header).await;
    again.is(409, "payment_already_used");
}

/// An item whose buyer gives it a millisecond is charged; one that the seller was too slow for is not.
#[tokio::test]
async fn a_timeout_below_the_floor_is_the_buyers() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let asked = market.buyer.ask(TRANSACTIONS, three().to_string()).await.json();
    let floor = TOY_FLOOR.as_millis();
    assert_eq!(asked["quote"]["items"][1]["timeoutFloorMs"], u64::try_from(floor).unwrap());
    let models = market.buyer.get("/v1/models").await.json();
    let published = models.to_string().contains(&format!("\"timeoutFloorMs\":{floor}"));
    assert!(published, "{models}");
    let with = |millis| {
        each(&[
            digits("good", "signed", 0),
            with_timeout(digits("toy", TOY, 1), millis),
            referring("built", "tumour", "signed", &[reference("toy", "/outputs/0/data/0")]),
        ])
    };
    let answer = market.buyer.permit(&with(1)).await;
    let failures = failed(answer.is_served());
    assert_eq!(failures, [None, charged("timeout_below_floor"), not_charged("source_failed")]);
    market.charged(1, SIGNED_PRICE + TOY_PRICE).await;
    market.buyer.bundle(answer.transaction(), &answer.token()).await;
    let answer = market.buyer.permit(&with(floor)).await;
    let failures = failed(answer.is_served());
    assert_eq!(failures, [None, not_charged("timeout"), not_charged("source_failed")]);
    market.charged(2, 2 * SIGNED_PRICE + TOY_PRICE).await;
    market.buyer.bundle(answer.transaction(), &answer.token()).await;

    // One that ends in time is as every other.
    market.shop.toy.set(Mood::Good);
    let answer = market.buyer.permit(&with(10_000)).await;
    assert_eq!(failed(answer.is_served()), [None, None, None]);
    market.charged(3, 4 * SIGNED_PRICE + 2 * TOY_PRICE).await;
}

/// Under `all` nobody has the seller's work for nothing by a timeout that he has no time for.
#[tokio::test]
async fn under_all_no_timeout_is_below_the_floor() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let floor = TOY_FLOOR.as_millis();
    let with = |millis| json!({ "items": [with_timeout(digits("toy", TOY, 1), millis)] });
    let refused = market.buyer.ask(TRANSACTIONS, with(floor - 1).to_string()).await;
    assert_eq!(refused.is(400, "invalid_timeout").json()["item"], "toy");
    let ended = market.buyer.transact(&with(floor)).await;
    assert_eq!(ended.is(409, "given_up").json()["item"], "toy");
    market.not_charged().await;
}

/// Who cancels pays for what is done and what had begun, and has what is done.
#[tokio::test]
async fn what_had_begun_when_its_buyer_cancelled_is_charged() {
    let gate = Arc::new(Semaphore::new(0));
    for in_batches in [false, true] {
        let market = open(|setup| {
            setup.toy_mood = Mood::Wait(gate.clone());
            setup.toy_batches = in_batches;
        })
        .await;
        let mut three = three();
        // In batches an output is there before its proof: what is built of it would run.
        three["items"][2]["method"] = "signed".into();
        let payment = market.buyer.permit_for(&three).await;
        let accepted = begin(&market, &three, &payment).await;
        market.shop.toy.wait_for_runs(1).await;
        let location = location(&accepted);
        wait_for_certified(&market, &location, 0).await;
        let cancelled = send(market.buyer.request(Method::DELETE, &location)).await;
        assert_eq!(cancelled.json()["state"], "settling", "{cancelled:?}");
        let answer = market.buyer.finished(&location).await;
        let failures = failed(answer.is_served());
        let (built, price) = match in_batches {
            true => (charged("cancelled"), 2 * SIGNED_PRICE + TOY_PRICE),
            false => (not_charged("cancelled"), SIGNED_PRICE + TOY_PRICE),
        };
        assert_eq!(failures, [None, charged("cancelled"), built], "{in_batches}");
        market.charged(1, price).await;
        market.buyer.bundle(accepted.transaction(), &accepted.token()).await;
        let again = send(market.buyer.request(Method::DELETE, &location)).await;
        again.is(409, "too_late");
    }
}

/// Where the process ends before what was cancelled is committed, the next does not run it again.
#[tokio::test]
async fn what_was_cancelled_is_not_run_again_after_a_restart() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let accepted = begin(&market, &three(), &market.buyer.permit_for(&three()).await).await;
    market.shop.toy.wait_for_runs(1).await;
    // Nothing that follows is written any more.
    market.shop.disk.breaks_at(&[Step::Commit, Step::Release]);
    let location = location(&accepted);
    let cancelled = send(market.buyer.request(Method::DELETE, &location)).await;
    assert_eq!(cancelled.json()["state"], "settling", "{cancelled:?}");
    let market = market.reopened(|_| {}).await;
    market.shop.wait_for(accepted.transaction(), TransactionState::Released).await;
    market.not_charged().await;
}

/// Of many items those are charged whose turn had come when the buyer cancelled, and no more.
#[tokio::test]
async fn who_cancels_pays_for_what_had_its_turn() {
    let market = open(|setup| setup.body_limit = 1 << 20).await;
    let items: Vec<Value> = (0..200).map(|n| digits(&format!("item-{n}"), "signed", 0)).collect();
    let many = each(&items);
    let accepted = begin(&market, &many, &market.buyer.permit_for(&many).await).await;
    let location = location(&accepted);
    let cancelled = send(market.buyer.request(Method::DELETE, &location)).await;
    assert_eq!(cancelled.json()["state"], "settling", "{cancelled:?}");
    let answer = market.buyer.finished(&location).await;
    let failures = failed(&answer);
    let done = failures.iter().filter(|failure| failure.is_none()).count();
    let ended = failures.iter().filter(|failure| **failure == charged("cancelled")).count();
    // Two run at a time here.
    assert!(done < 200 && ended <= 2, "{done} are done, {ended} were ended");
    let price = SIGNED_PRICE * (done + ended) as u128;
    market.charged(usize::from(price > 0), price).await;
    market.buyer.bundle(accepted.transaction(), &accepted.token()).await;
}

/// The output of an item whose certification failed is nobody's: not what was built of it, nor a word of it.
#[tokio::test]
async fn an_output_that_is_not_charged_is_nowhere() {
    let market = open(|setup| {
        setup.toy_batches = true;
        setup.toy_mood = Mood::Fail;
        setup.release = Release::Verification;
        setup.limits.exposure = Some(Amount(10_000));
    })
    .await;
    let built = |id: &str, method: &str| {
        referring(id, "digits", method, &[reference("toy", "/outputs/0/data/0")])
    };
    let asked = each(&[
        digits("toy", TOY, 1),
        built("built", "signed"),
        with_timeout(built("short", TOY), 1),
        digits("good", "signed", 0),
    ]);
    let payment = market.buyer.permit_for(&asked).await;
    let answer = market.buyer.follow(&asked, &payment).await;
    market.shop.wait_for(answer.transaction(), TransactionState::Settled).await;
    market.charged(1, SIGNED_PRICE).await;
    for (_, event) in events(&answer) {
        let told = event["items"].as_array().cloned().unwrap_or_default();
        let early = told.iter().filter(|item| item["outputs"].is_array());
        assert!(early.clone().all(|item| item["id"] == "good"), "{:?}", early.collect::<Vec<_>>());
    }
    let (bundle, _) = market.buyer.bundle(answer.transaction(), &answer.token()).await;
    for index in [1, 2] {
        let statement = &statements(&bundle)[index].details;
        let reason = Outcome::Failed { reason: "source_failed".to_owned() };
        assert_eq!((&statement.outcome, statement.usage.inferences), (&reason, 0));
        let request: Value = serde_json::from_slice(&bundle.items[index].request).unwrap();
        // What stands where the output would: nothing of it.
        assert_eq!(request["inputs"][0]["data"][0].as_f64(), Some(0.0), "{request}");
    }
}

/// Two items whose batch fails, and how many of them are certified alone after it before the test lets the next one.
async fn failing_batch(alone: usize) -> (Market, Value) {
    let market = open(|setup| {
        setup.toy_batches = true;
        setup.toy_mood = Mood::FailTogether(Arc::new(Semaphore::new(alone)));
    })
    .await;
    (market, each(&[digits("a", TOY, 0), digits("b", TOY, 1)]))
}

/// One bad item of a batch ends no other.
#[tokio::test]
async fn a_batch_that_fails_is_certified_one_by_one() {
    let (market, asked) = failing_batch(2).await;
    let answer = market.buyer.permit(&asked).await;
    assert_eq!(failed(answer.is_served()), [None, None]);
    market.charged(1, 2 * TOY_PRICE).await;
}

/// A batch that fails is the seller's failure: what waits to be certified alone after it has not begun.
#[tokio::test]
async fn what_a_batch_failed_to_do_is_cancelled_for_nothing() {
    let (market, asked) = failing_batch(1).await;
    let permit = market.buyer.permit_for(&asked).await;
    let begun = begin(&market, &asked, &permit).await;
    wait_for_certified(&market, &location(&begun), 0).await;
    send(market.buyer.request(Method::DELETE, &location(&begun))).await;
    let answer = market.buyer.finished(&location(&begun)).await;
    assert_eq!(failed(answer.is_served()), [None, not_charged("cancelled")]);
    market.charged(1, TOY_PRICE).await;
}

/// Under `all` a timeout at the floor costs nothing, but counts: nobody has the work for nothing without end.
#[tokio::test]
async fn timeouts_under_all_are_counted() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| setup.toy_mood = Mood::Wait(gate.clone())).await;
    let item = |n: usize| with_timeout(digits(&format!("toy-{n}"), TOY, 0), TOY_FLOOR.as_millis());
    let toys = json!({ "items": (0..32).map(item).collect::<Vec<_>>() });
    market.buyer.transact(&toys).await.is(409, "given_up");
    market.buyer.transact(&toys).await.is(429, "too_many_payments");
    market.not_charged().await;
}

/// What waits for its turn has not begun: it is cancelled for nothing, under `each` too.
#[tokio::test]
async fn what_waits_for_its_turn_is_cancelled_for_nothing() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| {
        setup.toy_mood = Mood::Wait(gate.clone());
        setup.toy_slots = 1;
    })
    .await;
    let toys = each(&[digits("a", TOY, 0)]);
    let first = market.buyer.permit_for(&toys).await;
    let first = begin(&market, &toys, &first).await;
    market.shop.toy.wait_for_runs(1).await;
    let second = market.buyer.permit_for(&toys).await;
    let second = begin(&market, &toys, &second).await;
    assert_eq!(second.json()["state"], "queued");
    let cancelled = send(market.buyer.request(Method::DELETE, &location(&second))).await;
    assert_eq!(cancelled.json()["state"], "released");
    gate.add_permits(1);
    market.buyer.finished(&location(&first)).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

/// The buyer who wants what is fast for nothing: his money is gone, or his permit, before the slow item ends.
/// He is not charged, and he is told nothing.
#[tokio::test]
async fn who_takes_his_money_back_has_nothing() {
    type Act = fn(&Market, &Payment) -> Box<dyn Fn() + Send + Sync>;
    let moved: Act = |market, _| {
        let dev = market.world.dev.clone();
        Box::new(move || empty(&dev, BUYER))
    };
    let taken_back: Act = |market, payment| {
        let (dev, nonce) = (market.world.dev.clone(), payment.signed.nonce());
        Box::new(move || invalidate(&dev, BUYER, nonce))
    };
    for act in [moved, taken_back] {
        let market = open(|_| {}).await;
        let payment = market.buyer.permit_for(&three()).await;
        market.shop.toy.act(act(&market, &payment));
        let answer = market.buyer.follow(&three(), &payment).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("event: error") && !text.contains("outputs"), "{text}");
        let fetched = market.buyer.fetch(answer.transaction(), &answer.token()).await;
        fetched.is(409, "given_up");
        market.not_charged().await;
    }
}

/// Contents leave early to who may owe as much, and to nobody else.
#[tokio::test]
async fn contents_leave_early_within_what_a_payer_may_owe() {
    let price = 2 * SIGNED_PRICE + TOY_PRICE;
    let at_once = |exposure: Option<u128>, release| {
        move |setup: &mut Setup| {
            setup.release = release;
            setup.limits.exposure = exposure.map(Amount);
        }
    };
    let mut all = three();
    all["outcomePolicy"] = "all".into();
    for (setup, asked, is_early) in [
        (at_once(Some(price), Release::Verification), three(), true),
        (at_once(None, Release::Verification), three(), false),
        (at_once(Some(price), Release::Settlement), three(), false),
        (at_once(Some(price), Release::Verification), all, false),
    ] {
        let market = open(setup).await;
        let payment = market.buyer.permit_for(&asked).await;
        let answer = market.buyer.follow(&asked, &payment).await;
        let told = events(&answer);
        let items = told.iter().filter(|(kind, _)| kind == "progress");
        let items =
            items.flat_map(|(_, data)| data["items"].as_array().cloned().unwrap_or_default());
        let given: Vec<Value> = items.filter(|item| item["outputs"].is_array()).collect();
        assert_eq!(!given.is_empty(), is_early, "{asked} {given:?}");
        market.shop.wait_for(answer.transaction(), TransactionState::Settled).await;
        market.charged(1, price).await;
    }
}

/// What fails by what is asked and is not charged counts: nobody has it run for nothing without end.
#[tokio::test]
async fn items_that_fail_are_counted() {
    let market = open(|setup| setup.toy_mood = Mood::Fail).await;
    let toys: Vec<Value> = (0..31).map(|n| digits(&format!("toy-{n}"), TOY, 0)).collect();
    market.buyer.permit(&each(&toys)).await.is_served();
    market.buyer.permit(&three()).await.is_served();
    let refused = market.buyer.permit(&three()).await;
    let told = refused.is(429, "too_many_payments").json();
    assert!(told["error"].as_str().unwrap().starts_with("32 inferences of this payer"), "{told}");
    market.charged(1, SIGNED_PRICE).await;
}

/// What left early and is not paid counts: who has it is given no more than he may owe.
#[tokio::test]
async fn who_had_contents_for_nothing_has_no_more() {
    let market = open(|setup| {
        setup.release = Release::Verification;
        setup.limits.exposure = Some(Amount(5_000));
    })
    .await;
    let payment = market.buyer.permit_for(&three()).await;
    let (dev, nonce) = (market.world.dev.clone(), payment.signed.nonce());
    market.shop.toy.act(move || invalidate(&dev, BUYER, nonce));
    let answer = market.buyer.follow(&three(), &payment).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("event: error") && text.contains("outputs"), "{text}");
    // 4000 left for nothing: another 4000 would be 8000.
    market.shop.toy.set(Mood::Good);
    let refused = market.buyer.permit(&three()).await;
    let told = refused.is(429, "too_many_payments").json();
    assert!(told["error"].as_str().unwrap().contains("payments of 8000 are outstanding"), "{told}");
    let small = each(&[digits("good", "signed", 0)]);
    let served = market.buyer.permit(&small).await;
    served.is_served_early();
    market.shop.wait_for(served.transaction(), TransactionState::Settled).await;
    market.charged(1, SIGNED_PRICE).await;
}

/// What waited when the process ended is carried out by the next one, as it was agreed.
#[tokio::test]
async fn the_next_process_charges_each_as_agreed() {
    let gate = Arc::new(Semaphore::new(0));
    let market = open(|setup| {
        setup.toy_mood = Mood::Wait(gate.clone());
        setup.toy_slots = 1;
    })
    .await;
    let first = each(&[digits("a", TOY, 0)]);
    begin(&market, &first, &market.buyer.permit_for(&first).await).await;
    market.shop.toy.wait_for_runs(1).await;
    let floor = TOY_FLOOR.as_millis();
    let second =
        each(&[with_timeout(digits("a", TOY, 0), 1), with_timeout(digits("b", TOY, 1), floor)]);
    let accepted = begin(&market, &second, &market.buyer.permit_for(&second).await).await;
    assert_eq!(accepted.json()["state"], "queued");
    let never = Arc::new(Semaphore::new(0));
    let market = {
        market.shop.service.stop_work();
        gate.add_permits(1);
        market.reopened(|setup| setup.toy_mood = Mood::Wait(never)).await
    };
    market.charged(1, TOY_PRICE).await;
    let answer = market.buyer.finished(&location(&accepted)).await;
    assert_eq!(
        failed(answer.is_served()),
        [charged("timeout_below_floor"), not_charged("timeout")]
    );
    market.charged(2, 2 * TOY_PRICE).await;
}
