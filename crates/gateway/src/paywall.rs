//! Between a request and what it costs: the 402, the payment header, and what becomes of a payment
//! that is not accepted.

use assay_primitives::Method;
use assay_service::{CatalogueEntry, PurchaseError, Taken};
use assay_x402::{
    Challenge, ChallengeError, ErrorReason, FacilitatorError, HeaderError, PAYMENT_REQUIRED,
    PAYMENT_RESPONSE, PAYMENT_SIGNATURE, PaymentPayload, PaymentRequirements, ResourceInfo,
    SettleResponse, decode_payment_signature, encode_payment_response,
};
use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::headers::{ACCESS_TOKEN, METHOD, TRANSACTION, single};
use crate::{ApiError, ErrorCode, Gateway};

/// What a model costs, and how to ask for payment for it.
pub(crate) struct Paywall<'a> {
    gateway: &'a Gateway,
    entry: &'a CatalogueEntry,
    target: &'a str,
    offers: Vec<PaymentRequirements>,
}

impl<'a> Paywall<'a> {
    /// Makes the offers for a model, narrowed by what the request asks for.
    pub(crate) fn new(
        gateway: &'a Gateway,
        entry: &'a CatalogueEntry,
        target: &'a str,
        method: Option<&Method>,
    ) -> Result<Self, ApiError> {
        let offers = gateway.service.offers(entry, method);
        if !offers.is_empty() {
            return Ok(Self { gateway, entry, target, offers });
        }
        let name = &entry.package().card().name;
        Err(match method {
            None => {
                ApiError::new(ErrorCode::NotForSale, format!("model `{name}` has no price here"))
            }
            Some(method) => {
                let sold =
                    entry.methods().iter().map(|m| m.as_str()).collect::<Vec<_>>().join(", ");
                let message =
                    format!("model `{name}` is not sold by method `{method}`; it is by: {sold}");
                ApiError::new(ErrorCode::UnknownMethod, message)
            }
        })
    }

    pub(crate) fn offers(&self) -> &[PaymentRequirements] {
        &self.offers
    }

    /// Answers 402 with the offers.
    pub(crate) fn challenge(&self, reason: Option<&str>) -> Result<Response, ApiError> {
        let challenge = self.build(reason).map_err(|error| ApiError::internal(&error))?;
        let header = challenge.header().map_err(|error| ApiError::internal(&error))?;
        let header = HeaderValue::from_str(&header).map_err(|error| ApiError::internal(&error))?;
        let mut response =
            (StatusCode::PAYMENT_REQUIRED, Json(challenge.required())).into_response();
        response.headers_mut().insert(HeaderName::from_static(PAYMENT_REQUIRED), header);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(ErrorCode::PaymentRequired);
        Ok(response)
    }

    fn build(&self, reason: Option<&str>) -> Result<Challenge, ChallengeError> {
        let card = self.entry.package().card();
        let mut resource =
            ResourceInfo::new(format!("{}{}", self.gateway.config.public_url, self.target));
        resource.description = Some(card.title.clone());
        resource.mime_type = Some("application/json".to_owned());
        resource.service_name = Some("Assay".to_owned());
        let (key, declaration) = self.gateway.service.offered_extension(self.entry);
        let challenge =
            Challenge::new(resource, self.offers.clone())?.with_extension(key, declaration)?;
        match reason {
            None => challenge.because("PAYMENT-SIGNATURE header is required"),
            Some(reason) => challenge.because(reason),
        }
    }

    /// Answers what became of a payment that bought nothing.
    pub(crate) fn refuse(&self, error: PurchaseError) -> Response {
        let answer = match error {
            PurchaseError::Payment(refusal) => {
                return self.refuse_payment(
                    refusal.status(),
                    &refusal.reason(),
                    &refusal.to_string(),
                );
            }
            PurchaseError::Facilitator(FacilitatorError::Refused { reason, detail }) => {
                return self.refuse_payment(reason.status(), &reason, &detail);
            }
            PurchaseError::Facilitator(FacilitatorError::Unreachable { detail }) => {
                tracing::warn!(%detail, "The chain does not answer.");
                let message = "the payment could not be checked; nothing was charged, try again";
                ApiError::new(ErrorCode::ChainUnreachable, message).retry_after(5)
            }
            PurchaseError::Taken(taken) => taken_error(taken),
            PurchaseError::NotSettled(response) => {
                let message = response.error_message.clone().unwrap_or_default();
                let reason = response.error_reason.as_ref().map(|r| r.as_str().to_owned());
                let error = ApiError::new(ErrorCode::SettlementFailed, message)
                    .with("reason", reason.unwrap_or_default());
                with_settlement(error, &response)
            }
            PurchaseError::Pending { transaction, response, access_token } => {
                let message = "the payment is on its way; fetch the result from `location` with the \
                               access token, and do not pay again";
                let mut error = ApiError::new(ErrorCode::SettlementPending, message)
                    .with("transactionId", transaction.to_string())
                    .with("location", format!("/v1/receipts/{transaction}"))
                    .with_header(TRANSACTION, &transaction.to_string())
                    .retry_after(2);
                if let Some(token) = access_token {
                    error = error.with_header(ACCESS_TOKEN, &token.reveal());
                }
                with_settlement(error, &response)
            }
            PurchaseError::Certifier(error) => {
                tracing::warn!(%error, "An inference failed.");
                let message = format!("{error}; nothing was charged");
                ApiError::new(ErrorCode::InferenceFailed, message)
            }
            PurchaseError::NoCertifier(method) => {
                let message = format!("method `{method}` is not certified here");
                ApiError::new(ErrorCode::UnknownMethod, message)
            }
            other => ApiError::internal(&other),
        };
        answer.into_response()
    }

    /// A payment that is not accepted: most are answered with the offers again.
    fn refuse_payment(&self, status: u16, reason: &ErrorReason, detail: &str) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::PAYMENT_REQUIRED);
        if matches!(status, StatusCode::PAYMENT_REQUIRED | StatusCode::PRECONDITION_FAILED) {
            return match self.challenge(Some(reason.as_str())) {
                Ok(mut response) => {
                    *response.status_mut() = status;
                    tracing::debug!(%reason, detail, "A payment was refused.");
                    response
                }
                Err(error) => error.into_response(),
            };
        }
        ApiError::new(ErrorCode::MalformedPayment, detail)
            .with_status(status)
            .with("reason", reason.as_str())
            .into_response()
    }
}

/// Reads the payment of a request, if it has one.
pub(crate) fn payment(headers: &HeaderMap) -> Result<Option<PaymentPayload>, ApiError> {
    let Some(header) = single(headers, PAYMENT_SIGNATURE)? else { return Ok(None) };
    decode_payment_signature(header).map(Some).map_err(|error: HeaderError| {
        ApiError::new(ErrorCode::MalformedPayment, error.to_string())
            .with("reason", ErrorReason::InvalidPayload.as_str())
    })
}

/// Reads by which method the client wants the inference certified, if it says.
pub(crate) fn wanted_method(
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Option<Method>, ApiError> {
    let unknown = |text: &str| {
        let shown: String = text.chars().take(64).collect();
        ApiError::new(ErrorCode::UnknownMethod, format!("`{shown}` is no method's name"))
    };
    let read =
        |text: Option<&str>| text.map(|t| t.parse::<Method>().map_err(|_| unknown(t))).transpose();
    let (query, header) = (read(query)?, read(single(headers, METHOD)?)?);
    match (query, header) {
        (Some(query), Some(header)) if query != header => {
            let message = format!("the query asks for `{query}`, the header for `{header}`");
            Err(ApiError::new(ErrorCode::UnknownMethod, message))
        }
        (query, header) => Ok(query.or(header)),
    }
}

/// Puts the settlement into a response's headers.
pub(crate) fn settlement_header(response: &mut Response, settlement: &SettleResponse) {
    let header = encode_payment_response(settlement).ok();
    if let Some(value) = header.and_then(|header| HeaderValue::from_str(&header).ok()) {
        response.headers_mut().insert(HeaderName::from_static(PAYMENT_RESPONSE), value);
    }
}

fn with_settlement(error: ApiError, settlement: &SettleResponse) -> ApiError {
    match encode_payment_response(settlement) {
        Ok(header) => error.with_header(PAYMENT_RESPONSE, &header),
        Err(_) => error,
    }
}

fn taken_error(taken: Taken) -> ApiError {
    let (code, message) = if taken.same_request {
        let message = "this payment was used by this same request before: fetch the result from \
                       `location` with the access token";
        (ErrorCode::PaymentAlreadyUsed, message)
    } else {
        let message = "this payment was used by another request: sign a new one";
        (ErrorCode::PaymentBoundToOtherRequest, message)
    };
    let error = ApiError::new(code, message);
    if !taken.same_request {
        return error;
    }
    error
        .with("transactionId", taken.transaction.to_string())
        .with("state", taken.state.as_str())
        .with("location", format!("/v1/receipts/{}", taken.transaction))
        .with_header(TRANSACTION, &taken.transaction.to_string())
}

/// The headers of x402 and Assay that a page's script may read.
pub(crate) const EXPOSED: [&str; 4] =
    [PAYMENT_REQUIRED, PAYMENT_RESPONSE, ACCESS_TOKEN, TRANSACTION];
