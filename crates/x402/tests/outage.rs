//! A chain that does not answer: before, while and after a transaction is sent.

use std::time::Duration;

use alloy_primitives::U256;
use assay_x402::{
    ErrorReason, Facilitator, FacilitatorError, LocalFacilitator, SettleError, SettlementIntent,
};
use serde_json::json;

use crate::support::{Fault, OPERATOR, PRICE, SELLER, World, address};

#[tokio::test]
async fn nothing_is_sent_to_a_chain_that_is_away() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let checked = world.checked();
    let verified = facilitator.verify(&checked).await.unwrap();
    let intent = verified.intent();
    world.hang_up().await;

    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { transaction: None, .. }), "{error}");
    assert_eq!(error.status(), 503);
    assert!(error.response(&intent.terms).transaction.is_empty());
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert!(matches!(error, FacilitatorError::Unreachable { .. }), "{error}");
    assert_eq!(error.status(), 502);
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    assert_eq!(world.dev.head().number, 0);
}

#[tokio::test]
async fn nothing_more_is_promised_than_the_gas_pays_for() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    facilitator.check_gas().await.unwrap();
    let affordable = facilitator.outgoing().unwrap().signer().affordable().await.unwrap();
    let coins = world.chain.gas_balance(address(OPERATOR)).await.unwrap();
    let three = coins / U256::from(affordable) * U256::from(3) + U256::from(1_000);
    world.break_line("eth_getBalance", Fault::Say(json!(three)));
    world.clock.advance(2);

    // What is under way has been promised already.
    world.dev.pause();
    let mut settling = Vec::new();
    let mut checks = Vec::new();
    for under_way in 1..=3 {
        let intent = world.intent(&facilitator).await;
        let settler = facilitator.clone();
        settling.push(world.tasks.spawn(async move { settler.settle(&intent).await }));
        while facilitator.outgoing().unwrap().status().in_flight < under_way {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        checks.push(facilitator.check_gas().await);
    }
    let error = checks.pop().unwrap().unwrap_err();
    let account = address(OPERATOR);
    let expected = format!("not settled here: {account} has gas for 3 calls, and 3 are under way");
    assert_eq!((error.to_string(), error.status()), (expected, 503));
    assert_eq!(checks, [Ok(()), Ok(())]);
    // What was taken on is looked at again without it: it is settled when there is gas.
    facilitator.verify(&world.checked()).await.unwrap();
    world.dev.resume().unwrap();
    for settling in settling {
        settling.await.unwrap().unwrap();
    }
    facilitator.check_gas().await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_no_lost_transaction() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    world.break_line("eth_sendRawTransaction", Fault::DropAnswer);
    assert!(facilitator.settle(&intent).await.is_ok());
    assert_eq!(world.dev.nonce(address(OPERATOR)), 1);
}

#[tokio::test]
async fn a_line_cut_after_sending_leaves_it_pending() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    // From here on gas and fees are known.
    facilitator.settle(&world.intent(&facilitator).await).await.unwrap();
    let before = world.tokens_of(address(SELLER)).await;
    let intent = world.intent(&facilitator).await;
    world.cut_line();
    world.break_line("eth_sendRawTransaction", Fault::DropAnswer);
    let error = facilitator.settle(&intent).await.unwrap_err();
    let sent = error.transaction();
    assert!(sent.is_some());
    assert_eq!((error.reason(), error.status()), (ErrorReason::SettlementPending, 503));

    world.mend_line();
    let settled = facilitator.reconcile(&intent).await.unwrap();
    assert_eq!(settled.transaction, sent);
    assert_eq!(facilitator.settle(&intent).await.unwrap(), settled);
    assert_eq!(world.tokens_of(address(SELLER)).await, before + U256::from(PRICE));
}

#[tokio::test]
async fn a_transaction_that_never_arrived_is_sent_again() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    world.break_line("eth_sendRawTransaction", Fault::Drop);
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    world.mend_line();
    settled(&facilitator, &intent).await;
}

/// The operator ran out of gas money: not the buyer's fault, and not the end of the payment.
#[tokio::test]
async fn a_refused_transaction_can_be_sent_later() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    let words = "insufficient funds for gas * price + value";
    world.break_line("eth_sendRawTransaction", Fault::Refuse(-32_000, words));
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    world.mend_line();
    settled(&facilitator, &intent).await;
}

#[tokio::test]
async fn a_waiting_transaction_is_pending_until_it_is_mined() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    world.dev.pause();
    for _ in 0..2 {
        let error = facilitator.settle(&intent).await.unwrap_err();
        assert!(matches!(error, SettleError::Pending { transaction: Some(_), .. }), "{error}");
    }
    world.dev.resume().unwrap();
    assert!(facilitator.settle(&intent).await.is_ok());
    assert_eq!(world.dev.nonce(address(OPERATOR)), 1);
}

/// Asks until it is settled, as a seller does.
async fn settled(facilitator: &LocalFacilitator, intent: &SettlementIntent) {
    for _ in 0..100 {
        match facilitator.settle(intent).await {
            Ok(_) => return,
            Err(SettleError::Pending { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it was never settled");
}
