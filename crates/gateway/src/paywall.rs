//! Between a request and what it costs: the 402, the payment header, and what becomes of a payment
//! that is not accepted.

use assay_primitives::{AccessToken, Method, TransactionId};
use assay_service::{
    AdmissionRefusal, CatalogueEntry, CertifierError, Plan, PlanError, PurchaseError, Quote,
    Quoted, Taken,
};
use assay_store::TransactionState;
use assay_x402::{
    Challenge, ChallengeError, ErrorReason, FacilitatorError, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE, PaymentPayload, PaymentRequirements, ResourceInfo, SettleResponse, UPTO,
    decode_payment_signature, encode_payment_response,
};
use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::error::shortened;
use crate::headers::{ACCESS_TOKEN, METHOD, TRANSACTION, single};
use crate::oip::JSON_LENGTH;
use crate::request_id::REQUEST_ID;
use crate::{ApiError, ErrorCode, Gateway};

/// Why a payment is not accepted.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    reason: &'a ErrorReason,
    detail: &'a str,
}

/// What something costs, and how to ask for payment for it.
pub(crate) struct Paywall<'a> {
    gateway: &'a Gateway,
    target: &'a str,
    subject: Subject<'a>,
    offers: Vec<PaymentRequirements>,
}

/// What is sold.
enum Subject<'a> {
    Model(&'a CatalogueEntry),
    Transaction(Plan, Vec<Quote>),
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
            return Ok(Self { gateway, target, subject: Subject::Model(entry), offers });
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

    /// Makes the offers for a transaction.
    pub(crate) fn of_transaction(
        gateway: &'a Gateway,
        plan: &Plan,
        target: &'a str,
    ) -> Result<Self, ApiError> {
        let quotes = plan.quotes();
        if quotes.is_empty() {
            let message = PlanError::NoCommonAsset.to_string();
            return Err(ApiError::new(ErrorCode::NotForSale, message));
        }
        let offers = gateway.service.offers_for(plan, &quotes);
        if offers.is_empty() {
            let message =
                "the outcome policy `each` is paid by the scheme `upto`, which is not settled here";
            return Err(ApiError::new(ErrorCode::NotForSale, message));
        }
        let subject = Subject::Transaction(plan.clone(), quotes);
        Ok(Self { gateway, target, subject, offers })
    }

    pub(crate) fn offers(&self) -> &[PaymentRequirements] {
        &self.offers
    }

    /// Answers 402 with the offers, in the header as x402 has it and in the body with the code and
    /// the words of an error.
    pub(crate) fn challenge(&self, refusal: Option<Refusal<'_>>) -> Result<Response, ApiError> {
        let reason = refusal.map(|refusal| refusal.reason.as_str());
        let (extension, quote) = self.told().map_err(|error| ApiError::internal(&error))?;
        let challenge = self.build(reason, extension);
        let challenge = challenge.map_err(|error| ApiError::internal(&error))?;
        let header = challenge.header().map_err(|error| ApiError::internal(&error))?;
        let header = HeaderValue::from_str(&header).map_err(|error| ApiError::internal(&error))?;
        let mut body = body(&challenge, refusal).map_err(|error| ApiError::internal(&error))?;
        if let (Some(quote), Some(fields)) = (quote, body.as_object_mut()) {
            fields.insert("quote".to_owned(), quote);
        }
        let mut response = (StatusCode::PAYMENT_REQUIRED, Json(body)).into_response();
        response.headers_mut().insert(HeaderName::from_static(PAYMENT_REQUIRED), header);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(ErrorCode::PaymentRequired);
        Ok(response)
    }

    /// Returns the extension of the 402, and of a transaction the quote that its body has.
    fn told(&self) -> Result<((String, Value), Option<Value>), PurchaseError> {
        match &self.subject {
            Subject::Model(entry) => Ok((self.gateway.service.offered_extension(entry), None)),
            Subject::Transaction(plan, quotes) => {
                let Quoted { extension, body, .. } = self.gateway.service.quote(plan, quotes)?;
                Ok((extension, Some(body)))
            }
        }
    }

    fn build(
        &self,
        reason: Option<&str>,
        (key, declaration): (String, Value),
    ) -> Result<Challenge, ChallengeError> {
        let mut resource =
            ResourceInfo::new(format!("{}{}", self.gateway.config.public_url, self.target));
        resource.description = Some(match &self.subject {
            Subject::Model(entry) => entry.package().card().title.clone(),
            Subject::Transaction(plan, _) => {
                format!("{} inferences, certified under one receipt", plan.len())
            }
        });
        resource.mime_type = Some("application/json".to_owned());
        resource.service_name = Some("Assay".to_owned());
        let mut challenge =
            Challenge::new(resource, self.offers.clone())?.with_extension(key, declaration)?;
        let is_upto = self.offers.iter().any(|offer| offer.scheme == UPTO);
        if let Some((key, declaration)) = self.gateway.service.gas_sponsoring().filter(|_| is_upto)
        {
            challenge = challenge.with_extension(key, declaration)?;
        }
        match reason {
            None => challenge.because("PAYMENT-SIGNATURE header is required"),
            Some(reason) => challenge.because(reason),
        }
    }

    /// Answers what became of a payment that bought nothing: with the offers again, where another
    /// payment would buy it.
    pub(crate) fn refuse(&self, error: &PurchaseError) -> Response {
        match error {
            PurchaseError::Payment(refusal) => {
                self.refuse_payment(&refusal.reason(), &refusal.to_string())
            }
            PurchaseError::Facilitator(FacilitatorError::Refused { reason, detail }) => {
                self.refuse_payment(reason, detail)
            }
            error => outcome_error(error, None).into_response(),
        }
    }

    /// A payment that is not accepted: most are answered with the offers again.
    fn refuse_payment(&self, reason: &ErrorReason, detail: &str) -> Response {
        tracing::debug!(%reason, detail, "A payment was refused.");
        match reason.status() {
            400 => malformed_payment(reason, detail).into_response(),
            status @ (402 | 412) => match self.challenge(Some(Refusal { reason, detail })) {
                Ok(mut response) => {
                    let required = StatusCode::PAYMENT_REQUIRED;
                    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(required);
                    response
                }
                Err(error) => error.into_response(),
            },
            // The facilitator's own fault: nobody could say whether the payment is good.
            _ => unreachable_chain(detail).with("reason", reason.as_str()).into_response(),
        }
    }
}

/// Says what became of a payment that bought nothing.
pub(crate) fn outcome_error(error: &PurchaseError, access_token: Option<&AccessToken>) -> ApiError {
    match error {
        PurchaseError::Payment(refusal) => {
            let message = refusal.to_string();
            ApiError::new(ErrorCode::PaymentRequired, message)
                .with("reason", refusal.reason().as_str())
        }
        PurchaseError::Facilitator(FacilitatorError::Refused { reason, detail }) => {
            ApiError::new(ErrorCode::PaymentRequired, detail).with("reason", reason.as_str())
        }
        PurchaseError::Facilitator(FacilitatorError::Unreachable { detail }) => {
            unreachable_chain(detail)
        }
        PurchaseError::Facilitator(FacilitatorError::Operator { detail }) => {
            tracing::error!(%detail, "Nothing can be settled.");
            let message = "nothing can be settled here for now; nothing was charged, send the same payment again later";
            ApiError::new(ErrorCode::SettlementUnavailable, message).retry_after(30)
        }
        PurchaseError::Admission(refusal) => not_admitted(refusal),
        PurchaseError::Taken(taken) => taken_error(*taken),
        PurchaseError::NotSettled(response) => not_settled(response),
        PurchaseError::Pending { transaction, response } => {
            pending(*transaction, response, access_token)
        }
        PurchaseError::Queued(transaction) => queued(*transaction, access_token),
        PurchaseError::Certifier(error @ CertifierError::Unavailable { .. }) => {
            tracing::warn!(%error, "An inference could not be certified.");
            let message = "what certifies by this method is not to be had now; nothing was charged, try later";
            ApiError::new(ErrorCode::CertificationUnavailable, message).retry_after(5)
        }
        PurchaseError::Hidden => {
            let message = "an item did not run or was not certified; nothing was charged";
            ApiError::new(ErrorCode::InferenceFailed, message)
        }
        PurchaseError::Certifier(error) => {
            tracing::warn!(%error, "An inference failed.");
            let message = "the model did not run or was not certified; nothing was charged";
            ApiError::new(ErrorCode::InferenceFailed, message)
        }
        PurchaseError::Item { item, error } => outcome_error(error, access_token).in_item(item),
        PurchaseError::Request { .. } => {
            ApiError::new(ErrorCode::UncertifiableInput, error.to_string())
        }
        PurchaseError::TimedOut { .. } => {
            ApiError::new(ErrorCode::GivenUp, format!("{error}; nothing was charged"))
        }
        PurchaseError::NoCertifier(method) => {
            let message = format!("method `{method}` is not certified here");
            ApiError::new(ErrorCode::UnknownMethod, message)
        }
        PurchaseError::ModelGone(_) => ApiError::new(ErrorCode::UnknownModel, error.to_string()),
        PurchaseError::Cancelled | PurchaseError::Late { .. } | PurchaseError::Attempts(_) => {
            let message = format!("{error}; nothing was charged");
            ApiError::new(ErrorCode::GivenUp, message)
        }
        other => ApiError::internal(other),
    }
}

fn body(challenge: &Challenge, refusal: Option<Refusal<'_>>) -> serde_json::Result<Value> {
    let mut body = serde_json::to_value(challenge.required())?;
    if let Some(fields) = body.as_object_mut() {
        let error = refusal.map_or(
            "payment is required: sign one of the offers in `accepts` and send it in PAYMENT-SIGNATURE",
            |refusal| refusal.detail,
        );
        fields.insert("error".to_owned(), shortened(error.to_owned()).into());
        fields.insert("code".to_owned(), ErrorCode::PaymentRequired.as_str().into());
        if let Some(refusal) = refusal {
            fields.insert("reason".to_owned(), refusal.reason.as_str().into());
        }
    }
    Ok(body)
}

fn malformed_payment(reason: &ErrorReason, detail: &str) -> ApiError {
    ApiError::new(ErrorCode::MalformedPayment, detail).with("reason", reason.as_str())
}

fn unreachable_chain(detail: &str) -> ApiError {
    tracing::warn!(%detail, "The chain does not answer.");
    let message = "the payment could not be checked; nothing was charged, send it again later";
    ApiError::new(ErrorCode::ChainUnreachable, message).retry_after(5)
}

fn not_admitted(refusal: &AdmissionRefusal) -> ApiError {
    let (code, seconds) = match refusal {
        AdmissionRefusal::Busy { .. } => (ErrorCode::Busy, 1),
        AdmissionRefusal::Late { expected, left } => {
            let over = expected.saturating_sub(*left).as_secs().saturating_add(1);
            (ErrorCode::Busy, u32::try_from(over).unwrap_or(u32::MAX))
        }
        AdmissionRefusal::Unfinished { wait, .. } => {
            let seconds = u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
            (ErrorCode::TooManyPayments, seconds)
        }
        _ => (ErrorCode::TooManyPayments, 1),
    };
    let message = format!("{refusal}; nothing was charged, send the same payment again later");
    ApiError::new(code, message).retry_after(seconds)
}

pub(crate) fn not_settled(response: &SettleResponse) -> ApiError {
    let message = response.error_message.clone().unwrap_or_default();
    let reason = response.error_reason.as_ref().map(ErrorReason::as_str).unwrap_or_default();
    let error = ApiError::new(ErrorCode::SettlementFailed, message).with("reason", reason);
    with_settlement(error, response)
}

fn pending(
    transaction: TransactionId,
    response: &SettleResponse,
    access_token: Option<&AccessToken>,
) -> ApiError {
    let mut error = later(transaction, access_token, "the payment is on its way", 2);
    if let Some(reason) = &response.error_reason {
        error = error.with("reason", reason.as_str());
    }
    with_settlement(error, response)
}

/// The gateway stops, and the next process carries the purchase out.
fn queued(transaction: TransactionId, access_token: Option<&AccessToken>) -> ApiError {
    let why = "the gateway stops, and carries the purchase out when it is back";
    later(transaction, access_token, why, 5)
}

/// The purchase goes on by itself: its result is fetched later, in so many seconds or more.
fn later(
    transaction: TransactionId,
    access_token: Option<&AccessToken>,
    why: &str,
    seconds: u32,
) -> ApiError {
    let message = format!(
        "{why}; fetch the result from `location` with the access token, and do not pay again"
    );
    let error = ApiError::new(ErrorCode::SettlementPending, message)
        .with("transactionId", transaction.to_string())
        .with("location", location(transaction))
        .with_header(TRANSACTION, &transaction.to_string())
        .retry_after(seconds);
    match access_token {
        Some(token) => error.with_header(ACCESS_TOKEN, &token.reveal()),
        None => error,
    }
}

fn location(transaction: TransactionId) -> String {
    format!("/v1/receipts/{transaction}")
}

/// Reads the payment of a request, if it has one.
pub(crate) fn payment(headers: &HeaderMap) -> Result<Option<PaymentPayload>, ApiError> {
    let header = single(headers, PAYMENT_SIGNATURE)
        .map_err(|error| malformed_payment(&ErrorReason::InvalidPayload, error.message()))?;
    let payment = header.map(decode_payment_signature).transpose();
    payment.map_err(|error| malformed_payment(&error.reason(), &error.to_string()))
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
    if taken.other_request {
        let message = "this payment was used by another request: sign a new one";
        return ApiError::new(ErrorCode::PaymentBoundToOtherRequest, message);
    }
    let message = match taken.state {
        TransactionState::Failed | TransactionState::Failing => {
            "this payment was used before, and its settlement failed: see `location`"
        }
        _ => {
            "this payment was used before: `location` has the result for who holds the access token \
             or paid; do not pay for the same request again"
        }
    };
    ApiError::new(ErrorCode::PaymentAlreadyUsed, message)
        .with("transactionId", taken.transaction.to_string())
        .with("state", taken.state.as_str())
        .with("location", location(taken.transaction))
        .with_header(TRANSACTION, &taken.transaction.to_string())
}

/// The headers of x402 and Assay that a page's script may read.
pub(crate) const EXPOSED: [&str; 8] = [
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    ACCESS_TOKEN,
    TRANSACTION,
    JSON_LENGTH,
    "location",
    REQUEST_ID,
    "retry-after",
];
