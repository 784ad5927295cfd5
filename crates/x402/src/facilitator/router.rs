use std::fmt;
use std::sync::Arc;

use assay_primitives::{Amount, Clock, Digest, Timestamp};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio_util::task::TaskTracker;

use super::pending::{PendingSettlements, Progress};
use super::{Facilitator, FacilitatorError, SettleError, SettlementIntent};
use crate::payment::check_untimed;
use crate::wire::shown;
use crate::{
    CheckedPayment, ErrorReason, PaymentRefusal, PaymentRequirements, SettleRequest,
    SettleResponse, UPTO, VerifyRequest, VerifyResponse, X402_VERSION, check_payment,
};

/// Who may use a facilitator, and how much they may send. It prints without the token.
#[derive(Clone)]
pub struct RouterConfig {
    /// What `Authorization: Bearer …` has to be for `POST /settle`; anyone may when `None`, which a
    /// facilitator with restricted `assets` and `pay_to` can afford.
    pub settle_token: Option<String>,
    /// The longest request body in bytes. 64 KiB by default.
    pub max_body: usize,
    /// How many settlements are remembered at most; more are turned away until some are forgotten.
    /// 10 000 by default.
    pub capacity: usize,
}

#[derive(Debug)]
struct Service {
    facilitator: Arc<dyn Facilitator>,
    clock: Arc<dyn Clock>,
    settle_token: Option<Digest>,
    pending: PendingSettlements,
    tasks: TaskTracker,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self { settle_token: None, max_body: 64 * 1024, capacity: 10_000 }
    }
}

impl fmt::Debug for RouterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterConfig")
            .field("max_body", &self.max_body)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Serves a facilitator to others: `POST /verify`, `POST /settle`, `GET /supported` (x402 version 2,
/// facilitator interface).
///
/// A payment that is refused or not settled is an answer with HTTP 200 and `false`. Settling the
/// same payment again returns the same outcome, also while the first is still under way.
///
/// Settlements run on `tasks`, so that one goes on when whoever asked hangs up; wait for them before
/// the process ends.
pub fn facilitator_router(
    facilitator: Arc<dyn Facilitator>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    config: RouterConfig,
) -> Router {
    let service = Service {
        facilitator,
        clock,
        settle_token: config.settle_token.map(|token| Digest::of(token.as_bytes())),
        pending: PendingSettlements::new(config.capacity),
        tasks,
    };
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .layer(DefaultBodyLimit::max(config.max_body))
        .with_state(Arc::new(service))
}

async fn supported(State(service): State<Arc<Service>>) -> Response {
    match service.facilitator.supported().await {
        Ok(supported) => Json(supported).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn verify(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let request: VerifyRequest = match read(&body) {
        Ok(request) => request,
        Err(message) => {
            return invalid(StatusCode::BAD_REQUEST, None, ErrorReason::InvalidPayload, &message);
        }
    };
    let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
    let checked = match check_payment(payload, offer, service.clock.now()) {
        Ok(checked) => checked,
        Err(refusal) => {
            return invalid(StatusCode::OK, None, refusal.reason(), &refusal.to_string());
        }
    };
    let payer = Some(checked.terms().payer.to_string());
    match service.facilitator.verify(&checked).await {
        Ok(_) => Json(VerifyResponse { is_valid: true, payer, ..VerifyResponse::default() })
            .into_response(),
        Err(error) => invalid(status_of(&error), payer, error.reason(), &error.to_string()),
    }
}

async fn settle(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    if !service.may_settle(&headers) {
        return (StatusCode::UNAUTHORIZED, "POST /settle needs a bearer token").into_response();
    }
    let request: SettleRequest = match read(&body) {
        Ok(request) => request,
        Err(message) => {
            let refused = unsettled(String::new(), ErrorReason::InvalidPayload, &message);
            return (StatusCode::BAD_REQUEST, Json(refused)).into_response();
        }
    };
    let network = request.payment_requirements.network.to_string();
    let (checked, amount) = match to_settle(&request, service.clock.now()) {
        Ok(checked) => checked,
        Err(refusal) => {
            return Json(unsettled(network, refusal.reason(), &refusal.to_string()))
                .into_response();
        }
    };
    let payer = Some(checked.terms().payer.to_string());
    let task = service.tasks.spawn({
        let service = Arc::clone(&service);
        async move { service.settle(&checked, amount).await }
    });
    let outcome = task.await.unwrap_or_else(|error| {
        Err(FacilitatorError::Operator { detail: format!("the settlement broke off: {error}") })
    });
    match outcome {
        Ok(response) => Json(response).into_response(),
        Err(error) => {
            let refused = SettleResponse {
                payer,
                ..unsettled(network, settle_reason(&error), &error.to_string())
            };
            (status_of(&error), Json(refused)).into_response()
        }
    }
}

impl Service {
    /// Compares digests, so that the time it takes says nothing about the token.
    fn may_settle(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = self.settle_token else { return true };
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let token = given.and_then(|value| value.strip_prefix(b"Bearer "));
        token.is_some_and(|token| Digest::of(token) == expected)
    }

    /// Settles a payment once, whoever asks and however often, for the amount that is asked for first.
    async fn settle(
        &self,
        checked: &CheckedPayment,
        amount: Amount,
    ) -> Result<SettleResponse, FacilitatorError> {
        loop {
            let Some(progress) = self.pending.progress(checked, self.clock.now()) else {
                let detail = "too many settlements are remembered: try again later".to_owned();
                return Err(FacilitatorError::Unreachable { detail });
            };
            let mut progress = progress.lock().await;
            let intent = match &*progress {
                Progress::Done(response) => return Ok(response.clone()),
                Progress::Forgotten => continue,
                Progress::Sent(intent) => intent.clone(),
                Progress::New => match self.prepare(checked, amount).await {
                    Ok(intent) => intent,
                    Err(error) => {
                        self.pending.forget(checked, &mut progress);
                        return Err(error);
                    }
                },
            };
            // Remembered before it is sent, whatever happens to this task.
            *progress = Progress::Sent(intent.clone());
            return Ok(self.carry_out(checked, &intent, &mut progress).await);
        }
    }

    async fn prepare(
        &self,
        checked: &CheckedPayment,
        amount: Amount,
    ) -> Result<SettlementIntent, FacilitatorError> {
        checked.check_time(self.clock.now())?;
        Ok(self.facilitator.verify(checked).await?.intent_of(amount)?)
    }

    async fn carry_out(
        &self,
        checked: &CheckedPayment,
        intent: &SettlementIntent,
        progress: &mut Progress,
    ) -> SettleResponse {
        match self.facilitator.settle(intent).await {
            Ok(settled) => {
                let response = settled.response();
                *progress = Progress::Done(response.clone());
                response
            }
            Err(error) => {
                let response = error.response(checked.terms());
                if let SettleError::Failed { .. } = error {
                    *progress = Progress::Done(response.clone());
                }
                response
            }
        }
    }
}

/// Checks a payment that is to be settled, but for its time, and returns the amount. Under `upto` the
/// offer that is sent has what is charged, and the one that was accepted the most.
fn to_settle(
    request: &SettleRequest,
    now: Timestamp,
) -> Result<(CheckedPayment, Amount), PaymentRefusal> {
    let (payload, offer) = (&request.payment_payload, &request.payment_requirements);
    let most = if offer.scheme == UPTO { payload.accepted.amount } else { offer.amount };
    let offered = PaymentRequirements { amount: most, ..offer.clone() };
    let checked = check_untimed(payload, &offered, now)?;
    checked.check_amount(offer.amount)?;
    Ok((checked, offer.amount))
}

fn read<T: serde::de::DeserializeOwned + Versioned>(body: &[u8]) -> Result<T, String> {
    let request: T = serde_json::from_slice(body).map_err(|error| shown(&error.to_string()))?;
    match request.version() {
        X402_VERSION => Ok(request),
        got => Err(format!("x402Version: expected {X402_VERSION}, got {got}")),
    }
}

trait Versioned {
    fn version(&self) -> u64;
}

impl Versioned for VerifyRequest {
    fn version(&self) -> u64 {
        self.x402_version
    }
}

impl Versioned for SettleRequest {
    fn version(&self) -> u64 {
        self.x402_version
    }
}

/// A refusal is an answer; that nobody could say is not.
fn status_of(error: &FacilitatorError) -> StatusCode {
    match error {
        FacilitatorError::Refused { .. } => StatusCode::OK,
        FacilitatorError::Operator { .. } => StatusCode::SERVICE_UNAVAILABLE,
        FacilitatorError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
    }
}

fn settle_reason(error: &FacilitatorError) -> ErrorReason {
    match error {
        FacilitatorError::Refused { reason, .. } => reason.clone(),
        _ => ErrorReason::UnexpectedSettleError,
    }
}

fn invalid(
    status: StatusCode,
    payer: Option<String>,
    reason: ErrorReason,
    message: &str,
) -> Response {
    let response = VerifyResponse {
        is_valid: false,
        invalid_reason: Some(reason),
        invalid_message: Some(shown(message)),
        payer,
        ..VerifyResponse::default()
    };
    (status, Json(response)).into_response()
}

fn unsettled(network: String, reason: ErrorReason, message: &str) -> SettleResponse {
    SettleResponse {
        success: false,
        error_reason: Some(reason),
        error_message: Some(shown(message)),
        network,
        ..SettleResponse::default()
    }
}
