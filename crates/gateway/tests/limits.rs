//! What is refused because it is too much.

use std::sync::Arc;
use std::time::Duration;

use assay_service::{Limits, Release};
use assay_store::TransactionState;
use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::{
    BODY_LIMIT, BUYER, DIGITS, Fault, Market, Mood, PATIENCE, SIGNED_PRICE, Setup, TOY, TOY_PRICE,
    Twist, digit, forge, header, send,
};
use crate::transactions::digits;

/// Writes to the gateway and returns what it answers until it closes the connection.
async fn exchange(market: &Market, request: &[u8]) -> String {
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("the connection stays open").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let body = " ".repeat(BODY_LIMIT + 1);
    market.buyer.ask(DIGITS, body.clone()).await.is(413, "body_too_large");
    market.buyer.buy(DIGITS, &body, &payment).await.is(413, "body_too_large");
    // In chunks its length is not known beforehand.
    let chunks = (0..65).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1024])));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    market.buyer.ask(DIGITS, body).await.is(413, "body_too_large");
    market.not_charged().await;
    // Up to the limit it is read.
    let body = format!("{}{}", digit(0), " ".repeat(BODY_LIMIT - digit(0).len()));
    market.buyer.buy(DIGITS, &body, &payment).await.is_served();
    market.charged(1, 1_000).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time() {
    let market = Market::open_with(|setup| setup.body_timeout = Duration::from_millis(200)).await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let head = format!(
        "POST {DIGITS} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\npayment-signature: {payment}\r\n\
         connection: close\r\n\r\n{{"
    );
    let answer = exchange(&market, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""code":"body_timeout""#), "{answer}");
    market.not_charged().await;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(1, 1_000).await;
}

#[tokio::test]
async fn a_head_that_is_too_long() {
    let market = Market::open().await;
    let head = format!("POST {DIGITS} HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let answer = exchange(&market, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// It is shorter than the words by which a client begins HTTP/2.
#[tokio::test]
async fn a_request_that_is_very_short() {
    let market = Market::open().await;
    let answer = exchange(&market, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 404 "), "{answer}");
}

#[tokio::test]
async fn more_requests_than_there_is_room_for() {
    let market = Market::open().await;
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let head = format!("POST {DIGITS} HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY_LIMIT}\r\n\r\n");
    // All of the greatest length but its last byte.
    let body = " ".repeat(BODY_LIMIT - 1);
    let mut senders = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        senders.push(stream);
    }
    let refused = loop {
        let answer = market.buyer.ask(DIGITS, digit(0)).await;
        if answer.status == 503 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(refused.is(503, "busy").header("retry-after"), Some("1"));
    // What has no body needs no room.
    market.buyer.ask(DIGITS, "").await.is(402, "payment_required");
    drop(senders);
    while market.buyer.ask(DIGITS, digit(0)).await.status != 402 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    market.not_charged().await;
}

/// Bytes that are only announced take no room from those that come.
#[tokio::test]
async fn bodies_that_are_announced_and_do_not_come() {
    let market = Market::open().await;
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let length = format!("content-length: {BODY_LIMIT}");
    let mut senders = Vec::new();
    for announced in ["transfer-encoding: chunked", &length].repeat(200) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {DIGITS} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{announced}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The gateway waits for the body.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 100");
        senders.push(stream);
    }
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    drop(senders);
    market.charged(1, 1_000).await;
}

/// Starts so many purchases that wait in the model, and returns how to let them go on.
async fn start(market: &Market, count: usize) -> (Vec<tokio::task::JoinHandle<()>>, Gate) {
    let gate = Gate(std::sync::Arc::new(Semaphore::new(0)));
    market.shop.toy.set(Mood::Wait(gate.0.clone()));
    let mut tasks = Vec::new();
    for _ in 0..count {
        let buyer = market.buyer.clone();
        let payment = buyer.payment(DIGITS, TOY).await.header;
        let tracker = tokio_util::task::TaskTracker::new();
        tasks.push(tracker.spawn(async move {
            buyer.buy(DIGITS, &digit(1), &payment).await.is_served();
        }));
    }
    market.shop.toy.wait_for_runs(count).await;
    (tasks, gate)
}

struct Gate(std::sync::Arc<Semaphore>);

impl Gate {
    async fn open(self, tasks: Vec<tokio::task::JoinHandle<()>>) {
        self.0.add_permits(1_000);
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn more_purchases_than_are_taken_on() {
    let limits = |setup: &mut crate::harness::Setup| setup.limits.purchases = 2;
    let market = Market::open_with(limits).await;
    let (tasks, gate) = start(&market, 2).await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let answer = market.buyer.buy(DIGITS, &digit(1), &payment).await;
    assert_eq!(answer.is(503, "busy").header("retry-after"), Some("1"));
    gate.open(tasks).await;
    market.buyer.buy(DIGITS, &digit(1), &payment).await.is_served();
    market.charged(3, 3 * TOY_PRICE).await;
}

#[tokio::test]
async fn more_purchases_of_a_payer_than_are_taken_on() {
    let market = Market::open_with(|setup| setup.limits.per_payer = 2).await;
    let (tasks, gate) = start(&market, 2).await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    market.buyer.buy(DIGITS, &digit(1), &payment).await.is(429, "too_many_payments");
    // Somebody else is served meanwhile.
    let mut other = market.buyer.clone();
    other.key = crate::harness::key(crate::harness::STRANGER).into();
    let others = other.payment(DIGITS, "signed").await.header;
    other.buy(DIGITS, &digit(1), &others).await.is_served();
    gate.open(tasks).await;
    market.buyer.buy(DIGITS, &digit(1), &payment).await.is_served();
    market.charged(4, 3 * TOY_PRICE + 1_000).await;
}

/// What many items take together is not what each takes by itself. Where their payment would not last for it, they
/// are refused before anything is done.
#[tokio::test]
async fn more_items_than_a_payment_lasts_for() {
    let market = Market::open().await;
    let parts = market.shop.service.parts();
    let entry = parts.catalogue.find("digits").unwrap();
    let latency = entry.latency(&assay_primitives::Method::SIGNED).unwrap();
    let now = parts.clock.monotonic();
    let two = json!({ "items": [digits("a", "signed", 0), digits("b", "signed", 1)] });
    (0..15).for_each(|_| latency.record(1, Duration::from_secs(3_600), now));
    market.buyer.transact(&two).await.is_served();
    (0..15).for_each(|_| latency.record(2, Duration::from_secs(7_200), now));
    let refused = market.buyer.transact(&two).await;
    assert!(refused.is(503, "busy").header("retry-after").is_some());
    let one = json!({ "items": [digits("a", "signed", 0)] });
    market.buyer.transact(&one).await.is_served();
    market.charged(2, 3 * SIGNED_PRICE).await;
}

/// A balance that covers each payment and not all of them gets no more inferences than it pays for.
#[tokio::test]
async fn a_balance_is_not_spent_twice() {
    let market = Market::open().await;
    let have = crate::harness::balance(&market.world.dev, crate::harness::BUYER);
    let keep = alloy_primitives::U256::from(TOY_PRICE * 3 / 2);
    let to = crate::harness::address(crate::harness::STRANGER);
    let call = assay_chain::bindings::Token::transferCall { to, value: have - keep };
    market.world.send(crate::harness::BUYER, &call);
    let (tasks, gate) = start(&market, 1).await;
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let answer = market.buyer.buy(DIGITS, &digit(1), &payment).await;
    assert_eq!(answer.is(429, "too_many_payments").header("retry-after"), Some("1"));
    let figures = String::from_utf8(market.buyer.get("/metrics").await.body).unwrap();
    for figure in [
        "assay_admission_refusals_total{limit=\"balance\"} 1",
        "assay_refusals_total{reason=\"admission\"} 1",
    ] {
        assert!(figures.lines().any(|line| line == figure), "{figure}: {figures}");
    }
    assert_eq!(market.shop.toy.runs(), 1);
    gate.open(tasks).await;
    let answer = market.buyer.buy(DIGITS, &digit(1), &payment).await;
    answer.is_refused("invalid_exact_evm_insufficient_balance");
    market.charged(1, TOY_PRICE).await;
}

/// What is not settled counts until it is, and after a restart, too.
#[tokio::test]
async fn a_payer_that_owes_is_not_served_more() {
    let limit = |setup: &mut crate::harness::Setup| {
        setup.limits.exposure = Some(assay_primitives::Amount(2 * SIGNED_PRICE));
    };
    let market = Market::open_with(limit).await;
    for _ in 0..2 {
        market.buy_pending().await;
    }
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    let refused = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    let told = refused.is(429, "too_many_payments");
    assert_eq!(told.header("retry-after"), Some("1"));
    assert!(told.json()["error"].as_str().unwrap().contains("payments of 3000 are outstanding"));
    // Somebody else is admitted.
    let mut other = market.buyer.clone();
    other.key = crate::harness::key(crate::harness::STRANGER).into();
    let others = other.payment(DIGITS, "signed").await.header;
    other.buy(DIGITS, &digit(1), &others).await.is(503, "settlement_pending");
    market.not_charged().await;

    let market = market.reopened(limit).await;
    let refused = market.buyer.buy(DIGITS, &digit(0), &payment).await;
    refused.is(429, "too_many_payments");
    market.not_charged().await;
    market.world.dev.resume().unwrap();
    while market.shop.count(assay_store::TransactionState::Settled).await < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
    market.charged(4, 4 * SIGNED_PRICE).await;
}

/// What was given away for a payment that can never be settled is not given away again.
#[tokio::test]
async fn a_payer_that_got_something_for_nothing_is_not_served_more() {
    let market = Market::open_with(|setup| {
        setup.release = Release::Verification;
        setup.limits.exposure = Some(assay_primitives::Amount(SIGNED_PRICE * 3 / 2));
    })
    .await;
    let buyer = &market.buyer;
    market.world.break_line("eth_sendRawTransaction", Fault::Drop);
    let offer = buyer.offers(DIGITS).await.accepts.remove(0);
    let payment = forge(&offer, &buyer.key, |_| {});
    let served = buyer.buy(DIGITS, &digit(0), &header(&payment)).await;
    assert_eq!(served.status, 200);
    let exact = assay_x402::ExactPayload::from_json(&payment.payload).unwrap();
    crate::harness::cancel(&market.world.dev, BUYER, exact.authorization.nonce);
    market.world.mend_line();
    market.shop.wait_for(served.transaction(), TransactionState::Failed).await;
    for _ in 0..2 {
        let payment = buyer.payment(DIGITS, "signed").await.header;
        let answer = buyer.buy(DIGITS, &digit(0), &payment).await;
        let told = answer.is(429, "too_many_payments").json();
        assert!(told["error"].as_str().unwrap().contains("payments of 2000 are outstanding"));
    }
    market.not_charged().await;
}

/// Whose signature is not known yet counts against nobody.
#[tokio::test]
async fn forged_payments_do_not_keep_a_payer_out() {
    let gate = Arc::new(Semaphore::new(0));
    let setup = Setup {
        limits: {
            let mut limits = Limits::default();
            limits.per_payer = 1;
            limits
        },
        ..Setup::default()
    };
    let (market, rail) = Market::with_setup(Twist::SlowFirstCheck(gate.clone()), setup).await;
    let (buyer, stranger) = (&market.buyer, crate::harness::key(crate::harness::STRANGER));
    let offer = buyer.offers(DIGITS).await.accepts.remove(0);
    let payer = buyer.key.address();
    let forged = header(&forge(&offer, &stranger, |a| a.from = payer));
    let forging = buyer.buy(DIGITS, &digit(0), &forged);
    let buying = async {
        while rail.checks() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let payment = buyer.payment(DIGITS, "signed").await.header;
        buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
        gate.add_permits(1);
    };
    let (refused, ()) = tokio::join!(forging, buying);
    refused.is_refused("invalid_exact_evm_signature");
    market.charged(1, SIGNED_PRICE).await;
}

/// The same for one that moves its money away each time.
#[tokio::test]
async fn purchases_that_are_never_paid_come_to_an_end() {
    let (market, _) = Market::with(Twist::NothingSettled).await;
    for _ in 0..32 {
        let payment = market.buyer.payment(DIGITS, "signed").await.header;
        market.buyer.buy(DIGITS, &digit(0), &payment).await.is(402, "settlement_failed");
    }
    let payment = market.buyer.payment(DIGITS, "signed").await.header;
    market.buyer.buy(DIGITS, &digit(0), &payment).await.is(429, "too_many_payments");
    market.not_charged().await;
}

/// Work that comes to nothing costs its payer nothing, so there is an end to it.
#[tokio::test]
async fn purchases_that_come_to_nothing_come_to_an_end() {
    let market = Market::open().await;
    market.shop.toy.set(Mood::Fail);
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    let mut failed = 0;
    let refused = loop {
        let answer = market.buyer.buy(DIGITS, &digit(0), &payment).await;
        if answer.status == 429 {
            break answer;
        }
        answer.is(500, "inference_failed");
        failed += 1;
    };
    assert_eq!((failed, market.shop.toy.runs()), (32, 32));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=61).contains(&seconds), "{seconds}");
    // Somebody else is served meanwhile.
    market.shop.toy.set(Mood::Good);
    let mut other = market.buyer.clone();
    other.key = crate::harness::key(crate::harness::STRANGER).into();
    let others = other.payment(DIGITS, TOY).await.header;
    other.buy(DIGITS, &digit(1), &others).await.is_served();
    market.charged(1, TOY_PRICE).await;
}

#[test]
fn the_limits_of_production_are_not_tiny() {
    let Limits { purchases, per_payer, .. } = Limits::default();
    assert!(purchases >= per_payer && per_payer >= 16);
}

#[tokio::test]
async fn a_connection_that_says_nothing_costs_nothing() {
    let market = Market::open_with(|setup| setup.body_timeout = Duration::from_millis(50)).await;
    let address = market.shop.url.strip_prefix("http://").unwrap();
    let silent = TcpStream::connect(address).await.unwrap();
    let mut hesitant = TcpStream::connect(address).await.unwrap();
    hesitant.write_all(b"POST /v2/models/digits/infer HT").await.unwrap();
    send(market.buyer.request(reqwest::Method::GET, "/v2/health/live")).await;
    // Neither holds up the end for longer than a body may take.
    tokio::time::timeout(PATIENCE, market.shop.close()).await.expect("the gateway does not end");
    drop((silent, hesitant));
}
