//! Settling through a remote facilitator, honest and otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assay_x402::{
    ErrorReason, Facilitator, FacilitatorError, HttpConfig, HttpFacilitator, RouterConfig,
    SettleError, SettleResponse, SettlementIntent, VerifyResponse, facilitator_router,
};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};

use crate::support::{STRANGER, World, stored, transfer_call};

fn client(world: &World, url: &str, with_chain: bool) -> HttpFacilitator {
    let mut config = HttpConfig::new(url.parse().unwrap());
    config.timeout = Duration::from_secs(5);
    config.catch_up = Duration::from_millis(100);
    HttpFacilitator::new(config, with_chain.then(|| world.chain.clone())).unwrap()
}

async fn honest(world: &World) -> String {
    let facilitator = Arc::new(world.facilitator());
    let config = RouterConfig::default();
    world
        .serve(facilitator_router(facilitator, world.clock.clone(), world.tasks.clone(), config))
        .await
}

/// A service that verifies everything and settles as it likes.
async fn scripted<F>(world: &World, settle: F) -> String
where
    F: Fn(usize) -> Response + Clone + Send + Sync + 'static,
{
    let asked = Arc::new(AtomicUsize::new(0));
    let valid = || async { Json(VerifyResponse { is_valid: true, ..VerifyResponse::default() }) };
    let answer = move || {
        let (settle, asked) = (settle.clone(), Arc::clone(&asked));
        async move { settle(asked.fetch_add(1, Ordering::SeqCst)) }
    };
    let router =
        Router::new().route("/base/verify", post(valid)).route("/base/settle", post(answer));
    format!("{}/base/", world.serve(router).await)
}

fn answer(success: bool, reason: Option<ErrorReason>, transaction: &str) -> SettleResponse {
    SettleResponse {
        success,
        error_reason: reason,
        transaction: transaction.to_owned(),
        network: "eip155:31337".to_owned(),
        ..SettleResponse::default()
    }
}

async fn intent(world: &World, facilitator: &HttpFacilitator) -> SettlementIntent {
    let verified = facilitator.verify(&world.checked()).await.unwrap();
    stored(&verified.intent())
}

#[tokio::test]
async fn settles_and_checks_on_the_chain() {
    let world = World::start().await;
    let url = honest(&world).await;
    for with_chain in [true, false] {
        let facilitator = client(&world, &url, with_chain);
        assert_eq!(facilitator.supported().await.unwrap().kinds.len(), 2);
        let intent = intent(&world, &facilitator).await;
        let settled = facilitator.settle(&intent).await.unwrap();
        assert_eq!(settled.block.is_some(), with_chain);
        let reconciled = facilitator.reconcile(&intent).await;
        assert_eq!(reconciled.is_ok(), with_chain);
    }
}

#[tokio::test]
async fn refusals_carry_their_reason() {
    let world = World::start().await;
    let facilitator = client(&world, &honest(&world).await, true);
    let checked = world.checked();
    world.empty_buyer().await;
    let error = facilitator.verify(&checked).await.unwrap_err();
    let FacilitatorError::Refused { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, ErrorReason::InsufficientBalance);
}

/// It says it settled; the chain shows nothing.
#[tokio::test]
async fn a_lie_about_success_is_not_believed() {
    let world = World::start().await;
    let url = scripted(&world, |_| {
        Json(answer(true, None, &format!("0x{}", "ab".repeat(32)))).into_response()
    })
    .await;
    let facilitator = client(&world, &url, true);
    let intent = intent(&world, &facilitator).await;
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { transaction: Some(_), .. }), "{error}");
    world.clock.advance(61);
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Failed { open_until: None, .. }), "{error}");
}

/// It says it failed; the chain shows the payment.
#[tokio::test]
async fn a_failure_that_paid_is_a_payment() {
    let world = World::start().await;
    let url = scripted(&world, |_| {
        Json(answer(false, Some(ErrorReason::NonceAlreadyUsed), "")).into_response()
    })
    .await;
    let facilitator = client(&world, &url, true);
    let checked = world.checked();
    let verified = facilitator.verify(&checked).await.unwrap();
    let intent = verified.intent();
    let hash = world.send_to_token(STRANGER, &transfer_call(checked.authorization().unwrap()));
    assert_eq!(facilitator.settle(&intent).await.unwrap().transaction, Some(hash));
}

#[tokio::test]
async fn http_200_with_false_is_a_failure() {
    let world = World::start().await;
    let url = scripted(&world, |_| {
        Json(answer(false, Some(ErrorReason::InsufficientBalance), "")).into_response()
    })
    .await;
    for with_chain in [true, false] {
        let facilitator = client(&world, &url, with_chain);
        let intent = intent(&world, &facilitator).await;
        let error = facilitator.settle(&intent).await.unwrap_err();
        let SettleError::Failed { reason, open_until, .. } = error else { panic!("{error}") };
        assert_eq!(reason, ErrorReason::InsufficientBalance);
        assert!(open_until.is_some());
    }
}

#[tokio::test]
async fn a_pending_settlement_is_asked_for_exactly_once_more() {
    let world = World::start().await;
    let hash = format!("0x{}", "cd".repeat(32));
    for settles in [true, false] {
        let (asked, text) = (Arc::new(AtomicUsize::new(0)), hash.clone());
        let seen = Arc::clone(&asked);
        let url = scripted(&world, move |number| {
            seen.fetch_add(1, Ordering::SeqCst);
            let pending = Some(ErrorReason::SettlementPending);
            let response = match (number, settles) {
                (1, true) => answer(true, None, &text),
                _ => answer(false, pending, &text),
            };
            Json(response).into_response()
        })
        .await;
        let facilitator = client(&world, &url, false);
        let intent = intent(&world, &facilitator).await;
        let outcome = facilitator.settle(&intent).await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        match outcome {
            Ok(settled) => assert!(settles && settled.transaction.unwrap().to_string() == hash),
            Err(error) => {
                assert!(!settles);
                assert_eq!(error.reason(), ErrorReason::SettlementPending);
                assert_eq!(error.transaction().unwrap().to_string(), hash);
            }
        }
    }
}

#[tokio::test]
async fn silence_is_not_failure() {
    let world = World::start().await;
    let broken = scripted(&world, |_| StatusCode::BAD_GATEWAY.into_response()).await;
    let refusing = scripted(&world, |_| StatusCode::UNAUTHORIZED.into_response()).await;
    let babbling = scripted(&world, |_| "yes".into_response()).await;
    for (url, may_have_acted) in [(&broken, true), (&refusing, false), (&babbling, true)] {
        let facilitator = client(&world, url, false);
        let intent = intent(&world, &facilitator).await;
        let error = facilitator.settle(&intent).await.unwrap_err();
        assert_eq!(matches!(error, SettleError::Pending { .. }), may_have_acted, "{error}");
        assert_eq!(matches!(error, SettleError::Unreachable { .. }), !may_have_acted, "{error}");
    }
    let facilitator = client(&world, &broken, false);
    let intent = intent(&world, &facilitator).await;
    let nobody = client(&world, "http://127.0.0.1:1/", false);
    let error = nobody.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
    let error = nobody.verify(&world.checked()).await.unwrap_err();
    assert!(matches!(error, FacilitatorError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_timeout_is_pending() {
    let world = World::start().await;
    let never = || async {
        std::future::pending::<()>().await;
        StatusCode::OK
    };
    let url = world.serve(Router::new().route("/settle", post(never))).await;
    let mut config = HttpConfig::new(url.parse().unwrap());
    config.timeout = Duration::from_millis(200);
    let facilitator = HttpFacilitator::new(config, None).unwrap();
    let honest = client(&world, &honest(&world).await, false);
    let intent = intent(&world, &honest).await;
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { transaction: None, .. }), "{error}");
}

/// What it says it settled is not what was authorised.
#[tokio::test]
async fn words_that_disagree_are_not_believed() {
    let world = World::start().await;
    let hash = format!("0x{}", "ef".repeat(32));
    let good = answer(true, None, &hash);
    let other_network = SettleResponse { network: "eip155:1".to_owned(), ..good.clone() };
    let other_amount = SettleResponse { amount: Some("1".to_owned()), ..good.clone() };
    let no_hash = SettleResponse { transaction: "done".to_owned(), ..good.clone() };
    for (response, believed) in
        [(good, true), (other_network, false), (other_amount, false), (no_hash, false)]
    {
        let url = scripted(&world, move |_| Json(response.clone()).into_response()).await;
        let facilitator = client(&world, &url, false);
        let intent = intent(&world, &facilitator).await;
        assert_eq!(facilitator.settle(&intent).await.is_ok(), believed);
    }
}
