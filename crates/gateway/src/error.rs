use assay_primitives::ItemId;
use assay_service::{ReceiptError, RefundError};
use assay_store::TransactionState;
use assay_x402::SignInRefusal;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Gives each error its code and HTTP status.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:ident;)*) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the code as it stands in the answer.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Returns the HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }
        }
    };
}

error_codes! {
    /// The body is longer than the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT;
    /// The body is not the JSON of a request.
    MalformedRequest = "malformed_request", BAD_REQUEST;
    /// The body is compressed or of another kind.
    UnsupportedEncoding = "unsupported_encoding", UNSUPPORTED_MEDIA_TYPE;
    /// A parameter that is not known here, and could change the output.
    UnsupportedParameter = "unsupported_parameter", BAD_REQUEST;
    /// The query is not what it should be.
    InvalidQuery = "invalid_query", BAD_REQUEST;
    /// Path and query are too long.
    TargetTooLong = "target_too_long", URI_TOO_LONG;
    /// A header is not what it should be.
    InvalidHeader = "invalid_header", BAD_REQUEST;
    /// A tensor's data is not what its shape and type say.
    InvalidTensor = "invalid_tensor", BAD_REQUEST;
    /// A number is NaN or infinite.
    NotFinite = "not_finite", BAD_REQUEST;
    /// The model has no such input.
    UnknownInput = "unknown_input", BAD_REQUEST;
    /// An input is missing.
    MissingInput = "missing_input", BAD_REQUEST;
    /// An input is there twice.
    DuplicateInput = "duplicate_input", BAD_REQUEST;
    /// An input has another shape.
    WrongShape = "wrong_shape", BAD_REQUEST;
    /// An input has another datatype.
    WrongDatatype = "wrong_datatype", BAD_REQUEST;
    /// The method cannot certify the model's answer to this input.
    UncertifiableInput = "uncertifiable_input", BAD_REQUEST;
    /// The model has no such output.
    UnknownOutput = "unknown_output", BAD_REQUEST;
    /// A transaction has no items, or more than there may be.
    ItemCount = "item_count", BAD_REQUEST;
    /// Two items of a transaction have one id.
    DuplicateItem = "duplicate_item", BAD_REQUEST;
    /// A reference to an output that is not there, comes later, or is of another type.
    InvalidReference = "invalid_reference", BAD_REQUEST;
    /// A timeout below the floor, where what it ends would cost nothing.
    InvalidTimeout = "invalid_timeout", BAD_REQUEST;
    /// There is no such model.
    UnknownModel = "unknown_model", NOT_FOUND;
    /// The model is not sold by this method.
    UnknownMethod = "unknown_method", BAD_REQUEST;
    /// The model is not sold at all.
    NotForSale = "not_for_sale", NOT_FOUND;
    /// There is no such receipt.
    UnknownReceipt = "unknown_receipt", NOT_FOUND;
    /// There is no such job.
    UnknownJob = "unknown_job", NOT_FOUND;
    /// The job ended before anything was charged: it was cancelled, came too late, or failed.
    GivenUp = "given_up", CONFLICT;
    /// It is too late to cancel the job.
    TooLate = "too_late", CONFLICT;
    /// There is no such evidence.
    UnknownEvidence = "unknown_evidence", NOT_FOUND;
    /// Nothing certifies in an enclave here.
    NoAttestation = "no_attestation", NOT_FOUND;
    /// The enclave gives no evidence now.
    AttestationUnavailable = "attestation_unavailable", SERVICE_UNAVAILABLE;
    /// There is no such route.
    UnknownRoute = "unknown_route", NOT_FOUND;
    /// The route takes other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The access token does not open this receipt.
    WrongToken = "wrong_token", FORBIDDEN;
    /// The payer's signature does not open this receipt.
    WrongSignIn = "wrong_sign_in", FORBIDDEN;
    /// Too many sign-ins within a short time.
    TooManySignIns = "too_many_sign_ins", TOO_MANY_REQUESTS;
    /// The contents were erased: at the end of their time, or as their buyer wished.
    Erased = "erased", GONE;
    /// The contents can be erased once the transaction has ended.
    NotEnded = "not_ended", CONFLICT;
    /// The contents are released when the payment is settled.
    NotSettled = "not_settled", CONFLICT;
    /// The settlement record does not hold, or the chain does not show what it says.
    RecordRefused = "record_refused", UNPROCESSABLE_ENTITY;
    /// Payment is required, or what came is not accepted: `reason` has x402's code.
    PaymentRequired = "payment_required", PAYMENT_REQUIRED;
    /// The payment header cannot be read.
    MalformedPayment = "malformed_payment", BAD_REQUEST;
    /// The payment was used before, by the same request as far as is said.
    PaymentAlreadyUsed = "payment_already_used", CONFLICT;
    /// The payment was used before, by another request. Said to who shows the hash of an access token.
    PaymentBoundToOtherRequest = "payment_bound_to_other_request", CONFLICT;
    /// The settlement failed; nothing was charged.
    SettlementFailed = "settlement_failed", PAYMENT_REQUIRED;
    /// The settlement is not known yet; do not sign again.
    SettlementPending = "settlement_pending", SERVICE_UNAVAILABLE;
    /// Too much is under way here; nothing was charged.
    Busy = "busy", SERVICE_UNAVAILABLE;
    /// Too many payments of this payer are under way, or more than its balance; nothing was charged.
    TooManyPayments = "too_many_payments", TOO_MANY_REQUESTS;
    /// Too many requests came from this address; nothing was charged.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS;
    /// The chain or the facilitator does not answer; nothing was charged.
    ChainUnreachable = "chain_unreachable", BAD_GATEWAY;
    /// The account that settles has no gas money, or gas is too dear; nothing was charged.
    SettlementUnavailable = "settlement_unavailable", SERVICE_UNAVAILABLE;
    /// The model failed to run; nothing was charged.
    InferenceFailed = "inference_failed", INTERNAL_SERVER_ERROR;
    /// What certifies by the method is not to be had now; nothing was charged.
    CertificationUnavailable = "certification_unavailable", SERVICE_UNAVAILABLE;
    /// Something here is broken.
    Internal = "internal", INTERNAL_SERVER_ERROR;
}

/// The longest message, in characters. A message may quote the request, and nobody is sent back what
/// they sent.
const MAX_MESSAGE: usize = 512;

/// An answer that is an error: `{"error": "…", "code": "…"}` and more where it helps.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    details: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong, for people.
    error: String,
    /// What went wrong, for programs.
    code: &'static str,
    /// More, by the code.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

impl ApiError {
    /// Makes an error with its code's status. A message over 512 characters is cut off.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: shortened(message.into()), details: Map::new(), headers: Vec::new() }
    }

    /// Adds a detail to the body.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Says in which item of several.
    #[must_use]
    pub fn in_item(mut self, item: &ItemId) -> Self {
        self.message = shortened(format!("item `{item}`: {}", self.message));
        self.with("item", item.as_str())
    }

    /// Adds a header, unless its value cannot stand in one.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// Returns its body.
    pub(crate) fn into_body(self) -> ErrorBody {
        ErrorBody { error: self.message, code: self.code.as_str(), details: self.details }
    }

    /// Returns the code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns what went wrong, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<ReceiptError> for ApiError {
    fn from(error: ReceiptError) -> Self {
        let code = match &error {
            ReceiptError::Unknown(_) => ErrorCode::UnknownReceipt,
            ReceiptError::Token => ErrorCode::WrongToken,
            ReceiptError::SignIn(SignInRefusal::TooMany { .. }) => {
                return Self::new(ErrorCode::TooManySignIns, error.to_string()).retry_after(60);
            }
            ReceiptError::SignIn(_) | ReceiptError::Wallet(_) => ErrorCode::WrongSignIn,
            ReceiptError::Chain(_) => ErrorCode::ChainUnreachable,
            ReceiptError::Erased { at, .. } => {
                let erased = Self::new(ErrorCode::Erased, error.to_string());
                return erased.with("erasedAt", at.to_string());
            }
            ReceiptError::Released => {
                let released = TransactionState::Released.as_str();
                return Self::new(ErrorCode::GivenUp, error.to_string()).with("state", released);
            }
            ReceiptError::NotEnded(state) => {
                let code = ErrorCode::NotEnded;
                return Self::new(code, error.to_string()).with("state", state.as_str());
            }
            ReceiptError::NotSettled(state) => return not_settled(*state, &error),
            _ => return Self::internal(&error),
        };
        Self::new(code, error.to_string())
    }
}

impl From<RefundError> for ApiError {
    fn from(error: RefundError) -> Self {
        let message = error.to_string();
        match error {
            RefundError::Receipt(error) => error.into(),
            RefundError::NotSettled(state) => {
                Self::new(ErrorCode::NotSettled, message).with("state", state.as_str())
            }
            RefundError::Refused(refusal) => {
                let refused = Self::new(ErrorCode::RecordRefused, message);
                refused.with("check", refusal.check.as_str())
            }
            RefundError::Status(_) | RefundError::Transfer { .. } | RefundError::Taken(_) => {
                Self::new(ErrorCode::RecordRefused, message)
            }
            RefundError::Busy => Self::new(ErrorCode::Busy, message).retry_after(1),
            RefundError::Chain(_) => Self::new(ErrorCode::ChainUnreachable, message),
            error => Self::internal(&error),
        }
    }
}

/// Cuts a message off where it gets too long.
pub(crate) fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push('…');
        message.shrink_to_fit();
    }
    message
}

/// Says how far a transaction is, and to come back while it can still be settled.
fn not_settled(state: TransactionState, error: &ReceiptError) -> ApiError {
    let answer =
        ApiError::new(ErrorCode::NotSettled, error.to_string()).with("state", state.as_str());
    match state {
        TransactionState::Reserved | TransactionState::Committed => answer.retry_after(2),
        _ => answer,
    }
}

impl ApiError {
    /// Makes an error of a defect or a broken disk: logged whole, told in one word.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "A request failed.");
        Self::new(ErrorCode::Internal, "the request failed on our side; nothing more is known here")
    }
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        let (code, headers) = (self.code, std::mem::take(&mut self.headers));
        let mut response = (code.status(), Json(self.into_body())).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_off_between_characters() {
        let message = |text: String| ApiError::new(ErrorCode::InvalidTensor, text).message;
        assert_eq!(message("ä".repeat(512)), "ä".repeat(512));
        assert_eq!(message("ä".repeat(513)), format!("{}…", "ä".repeat(512)));
    }
}
