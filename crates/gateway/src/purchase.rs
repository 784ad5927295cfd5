//! A request that pays: what it is bound to, and how its client learns of the result.

use assay_primitives::{AccessToken, Digest};
use assay_service::{ItemOutcome, Order, Plan, PurchasedItem, RequestBinding};
use assay_x402::PaymentPayload;
use axum::http::Uri;
use axum::response::Response;

use crate::delivery::{self, Form, Wanted, accepted};
use crate::events::events;
use crate::paywall::Paywall;
use crate::{ApiError, ErrorCode, Gateway};

/// What is posted to these routes may bring a payment.
pub(crate) const TAKE_PAYMENTS: [&str; 3] =
    ["/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer", "/v1/transactions"];
/// The longest path and query, in bytes.
const MAX_TARGET: usize = 512;

/// What a request that pays says beside what it buys.
pub(crate) struct Paid<'a> {
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) payment: PaymentPayload,
    pub(crate) nonce: Option<String>,
    pub(crate) access_token_hash: Option<Digest>,
    /// The digest of its body.
    pub(crate) body: Digest,
    pub(crate) wanted: Wanted,
}

/// Makes the secret of a location, for who wants one.
fn location(gateway: &Gateway, wanted: Wanted) -> Result<Option<AccessToken>, ApiError> {
    if wanted == Wanted::Answer {
        return Ok(None);
    }
    let secret = AccessToken::new(gateway.service.parts().randomness.as_ref());
    secret.map(Some).map_err(|error| ApiError::internal(&error))
}

/// Buys what is planned, and answers as the client wants to learn of the result.
pub(crate) async fn buy(
    gateway: &Gateway,
    paywall: &Paywall<'_>,
    plan: Plan,
    form: Form,
    paid: Paid<'_>,
) -> Result<Response, ApiError> {
    let (service, clock) = (&gateway.service, &gateway.service.parts().clock);
    let Paid { target, payment, nonce, access_token_hash, body, wanted } = paid;
    let (location, begun) = (location(gateway, wanted)?, clock.monotonic());
    let order = Order {
        plan,
        offers: paywall.offers().to_vec(),
        payment,
        binding: RequestBinding { method: "POST".to_owned(), target: target.to_owned(), body },
        nonce,
        access_token_hash,
        location: location.clone(),
        echo: serde_json::to_vec(&form).map_err(|error| ApiError::internal(&error))?,
    };
    let started = match service.start(order).await {
        Ok(started) => started,
        Err(error) => return Ok(paywall.refuse(&error)),
    };
    let (transaction, progress) = (started.transaction, started.progress.clone());
    let patience = match (wanted, &location) {
        (Wanted::Events, _) => return Ok(events(started, form, location.as_ref())),
        (Wanted::Location(patience), Some(location)) => Some((patience, location)),
        _ => None,
    };
    let token = started.access_token.as_ref();
    let outcome = match patience {
        None => service.outcome_of(progress).await,
        Some((patience, location)) => {
            match tokio::time::timeout(patience, service.outcome_of(progress.clone())).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let state = progress.borrow().name();
                    return Ok(accepted(transaction, state, location, token));
                }
            }
        }
    };
    match outcome.as_ref() {
        Err(error) if error.asks_for_payment() => Ok(paywall.refuse(error)),
        outcome => {
            if let Ok(purchase) = outcome {
                let took = clock.monotonic().saturating_sub(begun);
                let is_ok = |item: &&PurchasedItem| matches!(item.outcome, ItemOutcome::Ok(_));
                for item in purchase.items.iter().filter(is_ok) {
                    gateway.metrics.purchase(&item.model.name, item.method.as_str(), took);
                }
            }
            delivery::outcome(outcome, &form, token)
        }
    }
}

/// What a payment is bound to and what the 402 names: path and query. The 402's header repeats it,
/// and has to stay short.
pub(crate) fn target(uri: &Uri) -> Result<&str, ApiError> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    if target.len() <= MAX_TARGET {
        return Ok(target);
    }
    let message = format!("path and query are more than {MAX_TARGET} bytes");
    Err(ApiError::new(ErrorCode::TargetTooLong, message))
}
