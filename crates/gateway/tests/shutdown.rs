//! Stopping: what was paid for is finished, and nothing new is begun.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::harness::{Buyer, DIGITS, Market, Mood, PATIENCE, TOY, TOY_PRICE, digit};

/// The process ends as soon as the gateway has stopped: what is not on its way by then is lost.
#[test]
fn a_request_that_is_under_way_is_answered() {
    let (outside, process) = (runtime(), runtime());
    let market = process.block_on(Market::open());
    let gate = Arc::new(Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let buyer = market.buyer.clone();
    let payment = outside.block_on(buyer.payment(DIGITS, TOY)).header;
    let buying = outside.spawn(buyer.buy(DIGITS, &digit(0), &payment));
    let (toy, url) = (market.shop.toy.clone(), market.shop.url.clone());
    outside.block_on(toy.wait_for_runs(1));
    let opening = outside.spawn(async move {
        // The gateway takes no more, and waits.
        let stranger = Buyer::of(&url);
        while stranger.request(reqwest::Method::GET, "/v2").send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.add_permits(1);
    });
    let Market { shop, world, .. } = market;
    let charges = process.block_on(async {
        let closing = tokio::time::timeout(PATIENCE, shop.close());
        closing.await.expect("the gateway does not end");
        world.charges().await
    });
    process.shutdown_background();
    assert_eq!(charges, (1, TOY_PRICE));
    outside.block_on(opening).unwrap();
    outside.block_on(buying).unwrap().is_served();
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Nobody waits for the answer any more, and the payment is settled all the same.
#[tokio::test]
async fn a_purchase_that_nobody_waits_for_is_finished() {
    let market = Market::open().await;
    let gate = Arc::new(Semaphore::new(0));
    market.shop.toy.set(Mood::Wait(gate.clone()));
    let payment = market.buyer.payment(DIGITS, TOY).await.header;
    tokio::select! {
        answer = market.buyer.buy(DIGITS, &digit(0), &payment) => panic!("{answer:?}"),
        () = market.shop.toy.wait_for_runs(1) => {}
    }
    let Market { shop, world, .. } = market;
    let opening = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.add_permits(1);
    };
    let all = async { tokio::join!(shop.close(), opening) };
    tokio::time::timeout(PATIENCE, all).await.expect("the gateway does not end");
    assert_eq!(world.charges().await, (1, TOY_PRICE));
}

#[tokio::test]
async fn an_idle_gateway_stops_at_once() {
    let market = Market::open().await;
    // A connection that is kept alive does not hold it up.
    assert_eq!(market.buyer.get("/v2/health/live").await.status, 200);
    let closing = market.shop.close();
    tokio::time::timeout(Duration::from_secs(2), closing).await.expect("the gateway does not end");
}
