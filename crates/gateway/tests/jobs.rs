//! Purchases that nobody waits for, or that wait for their turn.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{AccessToken, SystemRandomness};
use assay_service::Release;
use assay_store::TransactionState;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use crate::harness::{
    Answer, Buyer, DIGITS, Fault, Market, Mood, SIGNED_PRICE, Setup, Shop, TOY, TOY_PRICE, Twist,
    World, cancel, digit, empty, now, send,
};

/// Orders an inference that nobody waits for.
async fn order(buyer: &Buyer, payment: &str) -> Answer {
    send(buyer.paid(DIGITS, &digit(0), payment).header("prefer", "respond-async")).await
}

pub(crate) fn location(accepted: &Answer) -> String {
    assert_eq!(accepted.status.as_u16(), 202, "{accepted:?}");
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    assert!(accepted.header("retry-after").is_some());
    let location = accepted.header("location").unwrap().to_owned();
    assert_eq!(accepted.json()["location"], location.as_str());
    location
}

async fn toys(slots: usize, gate: &Arc<Semaphore>) -> Market {
    let market = Market::open_with(|setup| setup.toy_slots = slots).await;
    market.shop.toy.set(Mood::Wait(gate.clone()));
    market
}

#[tokio::test]
async fn a_result_is_fetched_at_its_location() {
    let gate = Arc::new(Semaphore::new(0));
    let market = toys(8, &gate).await;
    let buyer = &market.buyer;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let accepted = order(buyer, &payment).await;
    let (location, token) = (location(&accepted), accepted.token());
    assert_eq!(accepted.json()["state"], "running");
    assert_eq!(buyer.get(&location).await.status.as_u16(), 202);
    market.not_charged().await;
    gate.add_permits(1);
    let answer = buyer.finished(&location).await;
    answer.is_served();
    assert_eq!(answer.transaction(), accepted.transaction());
    assert!(answer.json()["outputs"].is_array());
    // As often as it is asked for, and by the token as well.
    assert_eq!(buyer.finished(&location).await.body, answer.body);
    buyer.bundle(accepted.transaction(), &token).await;
    market.charged(1, TOY_PRICE).await;
    let other = format!("/v1/jobs/{}", AccessToken::new(&SystemRandomness).unwrap().reveal());
    buyer.get(&other).await.is(404, "unknown_job");
    buyer.get("/v1/jobs/nothing").await.is(404, "unknown_job");
}

#[tokio::test]
async fn a_result_that_is_there_in_time_is_the_answer() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let request = market.buyer.paid(DIGITS, &digit(0), &payment);
    send(request.header("prefer", "respond-async, wait=30")).await.is_served();
    market.charged(1, SIGNED_PRICE).await;
}

/// Events: accepted, how far it is, the result with what became of the payment.
#[tokio::test]
async fn events_tell_how_far_it_is() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let request = market.buyer.paid(DIGITS, &digit(0), &payment);
    let answer = send(request.header("accept", "text/event-stream")).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = events(&answer);
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("accepted", "result"));
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| *kind == "progress"), "{kinds:?}");
    let result = &events[events.len() - 1].1;
    assert!(result["response"]["outputs"].is_array());
    assert_eq!(result["settlement"]["success"], true);
    // Nothing of the contents before the payment is settled.
    let told = events[..events.len() - 1].iter().map(|(_, data)| data.to_string());
    assert!(told.clone().all(|data| !data.contains("outputs")), "{:?}", told.collect::<Vec<_>>());
    let location = events[0].1["location"].as_str().unwrap();
    market.buyer.get(location).await.is_served();
    let again = market.buyer.request(Method::POST, DIGITS).header("accept", "text/event-stream");
    assert_eq!(send(again).await.status.as_u16(), 402);
}

/// Reads the events of an answer, each of which has the members that the routes' description says.
pub(crate) fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let event = |block: &str| {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|text| text.trim().to_owned())
        };
        Some((field("event:")?, serde_json::from_str(&field("data:")?).unwrap()))
    };
    let events: Vec<(String, Value)> = text.split("\n\n").filter_map(event).collect();
    let description: Value = serde_json::from_str(&assay_gateway::openapi().unwrap()).unwrap();
    let is_described = |schema: &str, data: &Value| {
        let schema = &description["components"]["schemas"][schema];
        for member in data.as_object().unwrap().keys() {
            assert!(schema["properties"].get(member).is_some(), "{member} is not in {schema}");
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(data.get(required.as_str().unwrap()).is_some(), "{data} has no {required}");
        }
    };
    for (kind, data) in &events {
        match kind.as_str() {
            "accepted" => is_described("AcceptedEvent", data),
            "progress" => is_described("ProgressEvent", data),
            "result" => is_described("ResultEvent", data),
            other => {
                assert_eq!(other, "error");
                assert!(data["status"].is_u64() && data["code"].is_string(), "{data}");
                assert!(data["error"].is_string(), "{data}");
            }
        }
        for item in data["items"].as_array().into_iter().flatten() {
            is_described("ItemEvent", item);
        }
    }
    events
}

/// One slot: the second waits, and can be cancelled; its payment is as good as before.
#[tokio::test]
async fn what_waits_for_its_turn_can_be_cancelled() {
    let gate = Arc::new(Semaphore::new(0));
    let market = toys(1, &gate).await;
    let buyer = &market.buyer;
    let first = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let second = order(buyer, &payment).await;
    assert_eq!(second.json()["state"], "queued");
    let (first, second) = (location(&first), location(&second));
    let cancel = |location: &str| send(buyer.request(Method::DELETE, location));
    let cancelled = cancel(&second).await;
    assert_eq!(cancelled.json()["state"], "released");
    buyer.get(&second).await.is(409, "given_up");
    // Whoever did not hear that it is cancelled asks again.
    assert_eq!(cancel(&second).await.json()["state"], "released");
    // One that runs can be cancelled, too, and makes room.
    cancel(&first).await.json();
    let third = order(buyer, &payment).await;
    gate.add_permits(1);
    buyer.finished(&location(&third)).await.is_served();
    cancel(&location(&third)).await.is(409, "too_late");
    market.charged(1, TOY_PRICE).await;
    assert_eq!(market.shop.count(TransactionState::Released).await, 2);
}

#[tokio::test]
async fn what_waits_runs_in_its_turn() {
    let gate = Arc::new(Semaphore::new(0));
    let market = toys(1, &gate).await;
    let buyer = &market.buyer;
    let mut locations = Vec::new();
    for _ in 0..4 {
        let payment = buyer.payment(DIGITS, TOY).await.header;
        locations.push(location(&order(buyer, &payment).await));
    }
    assert_eq!(market.shop.toy.runs(), 1);
    gate.add_permits(4);
    for location in &locations {
        buyer.finished(location).await.is_served();
    }
    market.charged(4, 4 * TOY_PRICE).await;
}

/// Two thousand wait behind one that takes its time. Each has its turn and is charged once; one more than
/// there may be is told to come again, and costs nothing.
#[tokio::test]
async fn two_thousand_wait_for_their_turn() {
    const MANY: usize = 2_000;
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| {
        setup.toy_slots = 1;
        (setup.limits.purchases, setup.limits.per_payer) = (MANY, MANY);
        (setup.limits.exposure, setup.max_timeout_seconds) = (None, 3_600);
    })
    .await;
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let buyer = &market.buyer;
    let locations: Vec<String> = stream::iter(0..MANY)
        .map(async |_| location(&order(buyer, &buyer.payment(DIGITS, TOY).await.header).await))
        .buffer_unordered(8)
        .collect()
        .await;
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let refused = order(buyer, &payment).await;
    assert!(refused.is(503, "busy").header("retry-after").is_some());
    assert_eq!(market.shop.toy.runs(), 1);
    market.not_charged().await;

    gate.add_permits(MANY + 1);
    while market.shop.count(TransactionState::Settled).await < MANY as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for location in [&locations[0], &locations[MANY - 1]] {
        buyer.finished(location).await.is_served();
    }
    assert_eq!(market.shop.toy.runs(), MANY);
    market.charged(MANY, MANY as u128 * TOY_PRICE).await;
    // Now there is room for the payment that was refused.
    buyer.finished(&location(&order(buyer, &payment).await)).await.is_served();
    market.charged(MANY + 1, (MANY as u128 + 1) * TOY_PRICE).await;
}

/// Whose balance is gone when its turn comes is not run for nothing.
#[tokio::test]
async fn a_payment_is_looked_at_again_when_its_turn_comes() {
    let gate = Arc::new(Semaphore::new(0));
    let market = toys(1, &gate).await;
    let buyer = &market.buyer;
    let first = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    let second = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    empty(&market.world.dev, crate::harness::BUYER);
    gate.add_permits(2);
    buyer.finished(&location(&second)).await.is(409, "given_up");
    buyer.finished(&location(&first)).await;
    assert_eq!(market.shop.toy.runs(), 1);
    market.not_charged().await;
}

/// A payment that would expire before it is settled is given back.
#[tokio::test]
async fn what_comes_too_late_is_not_charged() {
    let gate = Arc::new(Semaphore::new(0));
    let market = Market::open_with(|setup| {
        (setup.toy_slots, setup.max_timeout_seconds) = (1, 12);
    })
    .await;
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let buyer = &market.buyer;
    let first = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    let second = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    gate.add_permits(2);
    for accepted in [first, second] {
        let answer = buyer.finished(&location(&accepted)).await;
        answer.is(409, "given_up");
        assert!(answer.json()["error"].as_str().unwrap().contains("committed by"));
    }
    market.not_charged().await;
}

/// The result at once, and the money behind it.
#[tokio::test]
async fn a_result_may_be_released_at_verification() {
    let market = Market::open_with(|setup| setup.release = Release::Verification).await;
    let buyer = &market.buyer;
    market.world.dev.pause();
    let payment = buyer.payment(DIGITS, "signed").await.header;
    let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
    assert_eq!((answer.status.as_u16(), answer.header("payment-response")), (200, None));
    let (id, token) = (answer.transaction(), answer.token());
    let (_, report) = buyer.bundle(id, &token).await;
    assert!(report.payment.is_some_and(|payment| payment.settled.0 == 0));
    market.not_charged().await;
    market.world.dev.resume().unwrap();
    market.shop.wait_for(id, TransactionState::Settled).await;
    let (_, report) = buyer.bundle(id, &token).await;
    assert_eq!(report.payment.unwrap().settled.0, SIGNED_PRICE);
    market.charged(1, SIGNED_PRICE).await;
}

/// A result that is released is given at its location, however long its settlement takes.
#[tokio::test]
async fn a_released_result_is_at_its_location_before_it_is_settled() {
    let setup = Setup { release: Release::Verification, ..Setup::default() };
    let begun = Arc::new(Notify::new());
    let (market, _) = Market::with_setup(Twist::StuckBefore(begun.clone()), setup).await;
    let (buyer, gate) = (&market.buyer, Arc::new(Semaphore::new(0)));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let accepted = order(buyer, &buyer.payment(DIGITS, TOY).await.header).await;
    let (location, token) = (location(&accepted), accepted.token());
    gate.add_permits(1);
    begun.notified().await;
    assert_eq!(market.shop.count(TransactionState::Committed).await, 1);
    let answer = buyer.get(&location).await;
    assert_eq!((answer.status.as_u16(), answer.header("payment-response")), (200, None));
    assert!(answer.json()["outputs"].is_array());
    buyer.bundle(accepted.transaction(), &token).await;
    // Who listens is told at once, too.
    let listening = buyer.request(Method::GET, &location).header("accept", "text/event-stream");
    assert_eq!(send(listening).await.status.as_u16(), 200);
    market.not_charged().await;
}

/// What is erased is said to be, and what was never charged goes on to be said why.
#[tokio::test]
async fn what_is_erased_is_told_at_its_location() {
    let market = Market::open().await;
    let buyer = &market.buyer;
    let gate = Arc::new(Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let payment = buyer.payment(DIGITS, TOY).await;
    let given_up = location(&order(buyer, &payment.header).await);
    send(buyer.request(Method::DELETE, &given_up)).await.json();
    buyer.get(&given_up).await.is(409, "given_up");
    let settled = location(&order(buyer, &buyer.payment(DIGITS, TOY).await.header).await);
    gate.add_permits(1);
    buyer.finished(&settled).await.is_served();

    let failed = location(&order(buyer, &payment.header).await);
    // What the payer cancels once it is committed fails.
    market.world.break_line("eth_sendRawTransaction", Fault::Drop);
    gate.add_permits(1);
    while market.shop.count(TransactionState::Committed).await < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel(&market.world.dev, crate::harness::BUYER, payment.signed.nonce());
    market.world.mend_line();
    while market.shop.count(TransactionState::Failed).await < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    buyer.finished(&failed).await.is(402, "settlement_failed");

    let store = &market.shop.service.parts().store;
    assert_eq!(store.erase_ended(now(), now(), 64).await.unwrap(), 3);
    buyer.get(&given_up).await.is(409, "given_up");
    buyer.get(&settled).await.is(410, "erased");
    buyer.get(&failed).await.is(402, "settlement_failed");
    market.charged(1, TOY_PRICE).await;
}

/// What runs and what waits when the gateway ends is run by the next one.
#[tokio::test]
async fn a_restart_runs_what_was_left() {
    let (world, folder) = (World::start().await, TempDir::new().unwrap());
    let setup = Setup { toy_slots: 1, ..Setup::default() };
    let open = async || {
        let facilitator = Arc::new(world.facilitator());
        Shop::open(&world, folder.path(), facilitator, setup.clone()).await
    };
    let shop = open().await;
    let gate = Arc::new(Semaphore::new(0));
    shop.toy.set(Mood::Wait(gate.clone()));
    let buyer = Buyer::of(&shop.url);
    let mut locations = Vec::new();
    for _ in 0..3 {
        let payment = buyer.payment(DIGITS, TOY).await.header;
        locations.push(location(&order(&buyer, &payment).await));
    }
    // One waits for the answer itself, and is told that it is queued.
    let token = AccessToken::new(&SystemRandomness).unwrap();
    let payment = buyer.payment(DIGITS, TOY).await.header;
    let hash = token.hash().to_string();
    let waits =
        send(buyer.paid(DIGITS, &digit(0), &payment).header("assay-access-token-hash", hash));
    let ends = async {
        while shop.count(TransactionState::Reserved).await < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.add_permits(1);
        shop.close().await;
    };
    let (told, ()) = tokio::join!(waits, ends);
    let id = told.is(503, "settlement_pending").transaction_id();
    assert_eq!(world.charges().await, (1, TOY_PRICE));

    let shop = open().await;
    let buyer = Buyer::of(&shop.url);
    for location in &locations {
        buyer.finished(location).await.is_served();
    }
    shop.wait_for(id, TransactionState::Settled).await;
    buyer.bundle(id, &token).await;
    assert_eq!(world.charges().await, (4, 4 * TOY_PRICE));
}
