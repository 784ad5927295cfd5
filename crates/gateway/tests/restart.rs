//! A process that ends between two steps, and the next one on the same store.

use std::sync::Arc;

use assay_primitives::{AccessToken, Amount, TransactionId};
use assay_service::Limits;
use assay_store::TransactionState;
use assay_verify::{Check, Expectation, Methods, Policy, Verifier};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore};

use crate::harness::{
    Buyer, DIGITS, Keys, Mood, PATIENCE, Rail, SIGNED_PRICE, Setup, Shop, TOY, TOY_PRICE, Twist,
    World, digit, now, send,
};

/// How a process ends at its settlement: before anything is sent, or after it was mined.
type End = fn(Arc<Notify>) -> Twist;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A process that ended at its settlement, and what it left behind.
struct Ended {
    outside: Runtime,
    world: World,
    folder: TempDir,
    setup: Setup,
    payment: String,
    token: AccessToken,
    id: TransactionId,
}

/// Ends a process at the settlement of a purchase: no destructor of it finishes anything.
fn end_at_the_settlement(end: End) -> Ended {
    let (outside, process) = (runtime(), runtime());
    let world = outside.block_on(World::start());
    let (folder, setup) = (tempfile::tempdir().unwrap(), Setup::default());
    let reached = Arc::new(Notify::new());
    let facilitator = Arc::new(Rail::new(world.facilitator(), end(reached.clone())));
    let opening = Shop::open(&world, folder.path(), facilitator, setup.clone());
    let shop = process.block_on(opening);
    let token = AccessToken::new(&assay_primitives::SystemRandomness).unwrap();
    let buyer = Buyer::of(&shop.url);
    let (payment, id) = outside.block_on(async {
        let payment = buyer.payment(DIGITS, "signed").await.header;
        let request = || {
            let request = buyer.paid(DIGITS, &digit(0), &payment);
            request.header("assay-access-token-hash", token.hash().to_string())
        };
        tokio::select! {
            answer = crate::harness::send(request()) => panic!("{answer:?}"),
            () = reached.notified() => {}
        }
        let again = crate::harness::send(request()).await;
        let id = again.is(409, "payment_already_used").transaction_id();
        (payment, id)
    });
    process.shutdown_timeout(std::time::Duration::from_secs(5));
    drop(shop);
    Ended { outside, world, folder, setup, payment, token, id }
}

impl Ended {
    /// Opens the next process and checks that the purchase comes to its end there: one charge, and
    /// a bundle that verifies.
    fn is_carried_on(self, setup: Setup) {
        let Self { outside, world, folder, payment, token, id, .. } = self;
        outside.block_on(async {
            // The next process may be on another machine, with a line of its own.
            let facilitator = Arc::new(world.direct_facilitator().await);
            let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
            let buyer = Buyer::of(&shop.url);
            shop.wait_for(id, TransactionState::Settled).await;
            let (bundle, report) = buyer.bundle(id, &token).await;
            assert_eq!(report.payment.unwrap().settled.0, SIGNED_PRICE);
            assert_eq!(bundle.key_manifest, *shop.service.parts().operator.manifest_envelope());
            assert_eq!(world.charges().await, (1, SIGNED_PRICE));
            buyer.buy(DIGITS, &digit(0), &payment).await.is(409, "payment_already_used");
            // New work goes on beside it.
            let next = buyer.payment(DIGITS, "signed").await.header;
            buyer.buy(DIGITS, &digit(1), &next).await.is_served();
            assert_eq!(world.charges().await, (2, 2 * SIGNED_PRICE));
            shop.close().await;
        });
    }
}

#[test]
fn before_the_settlement_was_sent() {
    let ended = end_at_the_settlement(Twist::StuckBefore);
    assert_eq!(ended.outside.block_on(ended.world.charges()), (0, 0));
    let setup = ended.setup.clone();
    ended.is_carried_on(setup);
}

#[test]
fn after_the_settlement_was_mined() {
    let ended = end_at_the_settlement(Twist::StuckAfter);
    assert_eq!(ended.outside.block_on(ended.world.charges()), (1, SIGNED_PRICE));
    let setup = ended.setup.clone();
    ended.is_carried_on(setup);
}

/// The receipt is signed by a key that is used no longer, the settlement record by the new one: the
/// bundle carries the manifest that lists both.
#[test]
fn with_another_receipt_key_since() {
    for end in [Twist::StuckBefore as End, Twist::StuckAfter] {
        let ended = end_at_the_settlement(end);
        let keys = ended.setup.keys.rotate(now());
        assert_ne!(keys.receipt.public(), ended.setup.keys.receipt.public());
        let setup = Setup { keys, ..ended.setup.clone() };
        ended.is_carried_on(setup);
    }
}

/// Nobody is charged for a receipt whose key was revoked since; and what was charged by then is
/// released, though no verifier will believe it.
#[test]
fn with_the_receipt_key_revoked_since() {
    for (end, charged) in [(Twist::StuckBefore as End, 0), (Twist::StuckAfter, SIGNED_PRICE)] {
        let ended = end_at_the_settlement(end);
        let keys = ended.setup.keys.revoke(now());
        let Ended { outside, world, folder, setup, token, id, .. } = ended;
        outside.block_on(async {
            let facilitator = Arc::new(world.direct_facilitator().await);
            let setup = Setup { keys, ..setup };
            let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
            let buyer = Buyer::of(&shop.url);
            if charged == 0 {
                for _ in 0..3 {
                    shop.service.settle_pending().await.unwrap();
                }
                buyer.fetch(id, &token).await.is(409, "not_settled");
            } else {
                shop.wait_for(id, TransactionState::Settled).await;
                let answer = buyer.fetch(id, &token).await;
                let verifier = Verifier::new(Policy::default(), Methods::standard());
                let report = verifier.verify(&answer.body, &Expectation::default(), now()).unwrap();
                assert_eq!(report.refusal.unwrap().check, Check::ReceiptKeyRevoked);
            }
            assert_eq!(world.charges().await, (usize::from(charged > 0), charged));
            shop.close().await;
        });
    }
}

/// Keys of another operator cannot vouch for what this one sold: nothing is settled under them, and
/// its payer owes it all the while.
#[test]
fn with_the_keys_of_another_operator() {
    let ended = end_at_the_settlement(Twist::StuckBefore);
    let Ended { outside, world, folder, setup, token, id, .. } = ended;
    outside.block_on(async {
        let mut setup = setup;
        setup.limits.exposure = Some(Amount(SIGNED_PRICE));
        let stranger = Setup { keys: Keys::new(), ..setup.clone() };
        let facilitator = Arc::new(world.facilitator());
        let shop = Shop::open(&world, folder.path(), facilitator, stranger).await;
        for _ in 0..3 {
            shop.service.settle_pending().await.unwrap();
        }
        assert_eq!(shop.state(id).await, Some(TransactionState::Committed));
        let buyer = Buyer::of(&shop.url);
        let next = buyer.payment(DIGITS, "signed").await.header;
        buyer.buy(DIGITS, &digit(1), &next).await.is(429, "too_many_payments");
        assert_eq!(world.charges().await, (0, 0));
        shop.close().await;
        // With the right keys it goes on.
        let facilitator = Arc::new(world.facilitator());
        let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
        shop.wait_for(id, TransactionState::Settled).await;
        Buyer::of(&shop.url).bundle(id, &token).await;
        assert_eq!(world.charges().await, (1, SIGNED_PRICE));
    });
}

/// What a killed process had in hand and in its queue counts as its payer's in the next one, until it
/// ends there.
#[test]
fn with_as_much_open_as_a_payer_may_have() {
    let per_payer: fn(&mut Limits) = |limits| limits.per_payer = 2;
    let exposure: fn(&mut Limits) = |limits| limits.exposure = Some(Amount(2 * TOY_PRICE));
    for limit in [per_payer, exposure] {
        let gate = Arc::new(Semaphore::new(0));
        let toy_mood = Mood::Wait(gate.clone());
        let mut setup = Setup { toy_slots: 1, toy_mood, ..Setup::default() };
        limit(&mut setup.limits);
        let (outside, process) = (runtime(), runtime());
        let (world, folder) = (outside.block_on(World::start()), tempfile::tempdir().unwrap());
        let open = || {
            let facilitator = Arc::new(world.facilitator());
            Shop::open(&world, folder.path(), facilitator, setup.clone())
        };
        let shop = process.block_on(open());
        outside.block_on(async {
            let buyer = Buyer::of(&shop.url);
            for _ in 0..2 {
                let payment = buyer.payment(DIGITS, TOY).await.header;
                let order = buyer.paid(DIGITS, &digit(0), &payment);
                assert_eq!(send(order.header("prefer", "respond-async")).await.status, 202);
            }
            shop.toy.wait_for_runs(1).await;
        });
        process.shutdown_timeout(std::time::Duration::from_secs(5));
        drop(shop);
        outside.block_on(async {
            let shop = open().await;
            let buyer = Buyer::of(&shop.url);
            let payment = buyer.payment(DIGITS, "signed").await.header;
            buyer.buy(DIGITS, &digit(1), &payment).await.is(429, "too_many_payments");
            assert_eq!(shop.count(TransactionState::Reserved).await, 2);
            are_under_way(&buyer, 2).await;
            gate.add_permits(2);
            are_under_way(&buyer, 0).await;
            assert_eq!(shop.count(TransactionState::Settled).await, 2);
            buyer.buy(DIGITS, &digit(1), &payment).await.is_served();
            assert_eq!(world.charges().await, (3, 2 * TOY_PRICE + SIGNED_PRICE));
            shop.close().await;
        });
    }
}

/// Waits until so many purchases are under way.
async fn are_under_way(buyer: &Buyer, purchases: usize) {
    let wanted = format!("assay_purchases_under_way {purchases}");
    let arrives = async {
        loop {
            let figures = String::from_utf8(buyer.get("/metrics").await.body).unwrap();
            if figures.lines().any(|line| line == wanted) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrives).await.expect(&wanted);
}

/// What was only reserved when the process ended was never charged, and pays again.
#[test]
fn while_the_model_ran() {
    let (outside, process) = (runtime(), runtime());
    let world = outside.block_on(World::start());
    let (folder, setup) = (tempfile::tempdir().unwrap(), Setup::default());
    let facilitator = Arc::new(world.facilitator());
    let opening = Shop::open(&world, folder.path(), facilitator, setup.clone());
    let shop = process.block_on(opening);
    shop.toy.set(Mood::Wait(Arc::new(tokio::sync::Semaphore::new(0))));
    let buyer = Buyer::of(&shop.url);
    let payment = outside.block_on(async {
        let payment = buyer.payment(DIGITS, TOY).await.header;
        tokio::select! {
            answer = buyer.buy(DIGITS, &digit(0), &payment) => panic!("{answer:?}"),
            () = shop.toy.wait_for_runs(1) => {}
        }
        payment
    });
    process.shutdown_timeout(std::time::Duration::from_secs(5));
    drop(shop);
    outside.block_on(async {
        let facilitator = Arc::new(world.facilitator());
        let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
        assert_eq!(shop.count(TransactionState::Reserved).await, 0);
        assert_eq!(shop.count(TransactionState::Released).await, 1);
        assert_eq!(world.charges().await, (0, 0));
        let buyer = Buyer::of(&shop.url);
        buyer.buy(DIGITS, &digit(0), &payment).await.is_served();
        assert_eq!(world.charges().await, (1, TOY_PRICE));
    });
}
