use assay_primitives::{AccessToken, Digest, TransactionId};
use assay_receipt::{BUNDLE_MEDIA_TYPE, Envelope};
use assay_service::Access;
use assay_x402::{HeaderError, SIGN_IN_WITH_X, SignIn, decode_sign_in};
use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::headers::single;
use crate::path::PathText;
use crate::paywall::settlement_header;
use crate::{ApiError, ErrorCode, Gateway};

/// The public part of a receipt. Nothing in it tells what was asked or answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    /// `committed`, `settled`, `failing` or `failed`.
    state: &'static str,
    /// DSSE envelope of the receipt.
    #[schema(value_type = Object)]
    receipt: Envelope,
    /// DSSE envelopes of the settlement records, oldest first.
    #[schema(value_type = Vec<Object>)]
    settlement_records: Vec<Envelope>,
    /// DSSE envelope of the key manifest.
    #[schema(value_type = Object)]
    key_manifest: Envelope,
}

/// What became of the contents of a receipt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Erased {
    /// The transaction's id.
    transaction_id: String,
    /// When its contents were erased, RFC 3339.
    erased_at: String,
}

/// What somebody shows to see or erase contents.
enum Credential {
    Token(AccessToken),
    Payer(Box<SignIn>),
}

/// Returns a receipt; with its access token or the payer's sign-in, once it is settled, the whole
/// bundle.
#[utoipa::path(get, path = "/v1/receipts/{id}", tag = "assay",
    params(
        ("id" = String, Path, description = "the transaction's id"),
        ("Authorization" = Option<String>, Header, description = "Bearer and the access token"),
        ("SIGN-IN-WITH-X" = Option<String>, Header,
            description = "the payer's signature, as x402's extension sign-in-with-x has it, base64")),
    responses(
        (status = 200, body = Receipt, description = "to anyone; to who shows either, the bundle",
            headers(("PAYMENT-RESPONSE", description = "with the bundle: x402 v2 SettleResponse, base64"))),
        (status = 403, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 410, body = crate::error::ErrorBody),
        (status = 429, body = crate::error::ErrorBody)))]
pub(crate) async fn receipt(
    State(gateway): State<Gateway>,
    PathText(id): PathText,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = transaction(&id)?;
    let Some(credential) = credential(&headers)? else {
        let public = gateway.service.public_receipt(id).await?;
        let receipt = Receipt {
            state: public.state.as_str(),
            receipt: public.receipt,
            settlement_records: public.settlement_records,
            key_manifest: public.key_manifest,
        };
        let cache = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(([cache], Json(receipt)).into_response());
    };
    let uri = address(&gateway, id);
    let released = gateway.service.bundle(id, &credential.access(&gateway, &uri)).await?;
    let file = released.bundle.to_bytes().map_err(|error| ApiError::internal(&error))?;
    let kind = (CONTENT_TYPE, HeaderValue::from_static(BUNDLE_MEDIA_TYPE));
    let cache = (CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let mut response = ([kind, cache], file).into_response();
    if let Some(settlement) = &released.settlement {
        settlement_header(&mut response, settlement);
    }
    Ok(response)
}

/// Says what the proofs of a receipt's items claim, layer by layer, and what each part of them shows. To
/// be read with the bundle: nothing is verified by it. Takes what the bundle takes.
#[utoipa::path(get, path = "/v1/receipts/{id}/proofs", tag = "assay",
    params(
        ("id" = String, Path, description = "the transaction's id"),
        ("Authorization" = Option<String>, Header, description = "Bearer and the access token"),
        ("SIGN-IN-WITH-X" = Option<String>, Header,
            description = "the payer's signature, as x402's extension sign-in-with-x has it, base64")),
    responses(
        (status = 200, body = Vec<Object>, description = "one for each item by `zkml`"),
        (status = 403, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 410, body = crate::error::ErrorBody),
        (status = 429, body = crate::error::ErrorBody)))]
pub(crate) async fn proofs(
    State(gateway): State<Gateway>,
    PathText(id): PathText,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = transaction(&id)?;
    let credential = credential(&headers)?.ok_or_else(neither)?;
    let uri = address(&gateway, id);
    let proofs = gateway.service.proofs(id, &credential.access(&gateway, &uri)).await?;
    let cache = (CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(([cache], Json(proofs)).into_response())
}

/// Erases a receipt's contents, once it is settled or has failed: what was asked, answered and paid
/// with, the signed payment as soon as no reorganisation can ask for it again. The public part stays.
/// Takes the access token, or the payer's sign-in with the statement
/// `Erase the contents of this receipt for good.` Where another program reads the gateway's database
/// at that moment, the database's log keeps an old copy, sealed with the operator's key, until that
/// program is done.
#[utoipa::path(delete, path = "/v1/receipts/{id}", tag = "assay",
    params(
        ("id" = String, Path, description = "the transaction's id"),
        ("Authorization" = Option<String>, Header, description = "Bearer and the access token"),
        ("SIGN-IN-WITH-X" = Option<String>, Header,
            description = "the payer's signature, as x402's extension sign-in-with-x has it, base64")),
    responses(
        (status = 200, body = Erased),
        (status = 403, body = crate::error::ErrorBody),
        (status = 404, body = crate::error::ErrorBody),
        (status = 409, body = crate::error::ErrorBody),
        (status = 429, body = crate::error::ErrorBody)))]
pub(crate) async fn erase(
    State(gateway): State<Gateway>,
    PathText(id): PathText,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = transaction(&id)?;
    let credential = credential(&headers)?.ok_or_else(neither)?;
    let uri = address(&gateway, id);
    let erased_at = gateway.service.erase(id, &credential.access(&gateway, &uri)).await?;
    let erased = Erased { transaction_id: id.to_string(), erased_at: erased_at.to_string() };
    let cache = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([cache], Json(erased)).into_response())
}

fn neither() -> ApiError {
    let message = "expected the access token or the payer's sign-in, got neither";
    ApiError::new(ErrorCode::WrongToken, message)
}

impl Credential {
    fn access<'a>(&'a self, gateway: &'a Gateway, uri: &'a str) -> Access<'a> {
        match self {
            Self::Token(token) => Access::Token(token),
            Self::Payer(sign_in) => Access::Payer { sign_in, domain: &gateway.domain, uri },
        }
    }
}

pub(super) fn transaction(id: &str) -> Result<TransactionId, ApiError> {
    id.parse().map_err(|error: assay_primitives::TransactionIdError| {
        ApiError::new(ErrorCode::UnknownReceipt, error.to_string())
    })
}

/// Returns a receipt's address as clients have it: what a payer signs in to.
fn address(gateway: &Gateway, id: TransactionId) -> String {
    format!("{}/v1/receipts/{id}", gateway.config.public_url)
}

fn credential(headers: &HeaderMap) -> Result<Option<Credential>, ApiError> {
    let token = single(headers, AUTHORIZATION.as_str())?;
    match (token, single(headers, SIGN_IN_WITH_X)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let message = "expected the access token or the payer's sign-in, got both";
            Err(ApiError::new(ErrorCode::InvalidHeader, message))
        }
        (None, Some(sign_in)) => {
            let sign_in = decode_sign_in(sign_in);
            let wrong = |e: HeaderError| ApiError::new(ErrorCode::InvalidHeader, e.to_string());
            Ok(Some(Credential::Payer(Box::new(sign_in.map_err(wrong)?))))
        }
        (Some(token), None) => {
            let expected = "expected `Bearer` and an access token";
            let wrong = || ApiError::new(ErrorCode::WrongToken, expected);
            let token = token.strip_prefix("Bearer ").ok_or_else(wrong)?;
            token.parse().map(|token| Some(Credential::Token(token))).map_err(|_| wrong())
        }
    }
}

/// Returns a piece of evidence by its digest.
#[utoipa::path(get, path = "/v1/evidence/{sha256}", tag = "assay",
    params(("sha256" = String, Path, description = "the evidence's SHA-256, hexadecimal")),
    responses(
        (status = 200, description = "the evidence", content_type = "application/octet-stream"),
        (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn evidence(
    State(gateway): State<Gateway>,
    PathText(sha256): PathText,
) -> Result<Response, ApiError> {
    let unknown = |message: String| ApiError::new(ErrorCode::UnknownEvidence, message);
    let digest: Digest = sha256.parse().map_err(|error| unknown(format!("{error}")))?;
    let found = gateway.service.evidence(digest).await;
    let content = found.map_err(|error| ApiError::internal(&error))?;
    let content = content.ok_or_else(|| unknown(format!("there is no evidence {digest}")))?;
    // Content-addressed: it can never be another.
    let cache = HeaderValue::from_static("public, max-age=31536000, immutable");
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(CONTENT_TYPE, kind), (CACHE_CONTROL, cache)], content).into_response())
}
