//! Assay's own headers. x402's are in `assay-x402`.

use assay_primitives::Digest;
use axum::http::HeaderMap;

use crate::{ApiError, ErrorCode};

/// Request: by which method the inference is to be certified; narrows the offers.
pub const METHOD: &str = "assay-method";
/// Request: up to 64 characters of `A-Z a-z 0-9 - _` that the receipt repeats.
pub const NONCE: &str = "assay-nonce";
/// Request: SHA-256 of the access token that the client made and keeps.
pub const ACCESS_TOKEN_HASH: &str = "assay-access-token-hash";
/// Response: the access token, when the client sent no hash of its own.
pub const ACCESS_TOKEN: &str = "assay-access-token";
/// Response: the transaction's id.
pub const TRANSACTION: &str = "assay-transaction";

/// Returns the one value of a header, if it is there.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::new(ErrorCode::InvalidHeader, format!("{name} is given twice")));
    }
    value.to_str().map(Some).map_err(|_| {
        ApiError::new(ErrorCode::InvalidHeader, format!("{name} is not visible ASCII"))
    })
}

pub(crate) fn nonce(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(nonce) = single(headers, NONCE)? else { return Ok(None) };
    let fits = (1..=64).contains(&nonce.len())
        && nonce.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits {
        Ok(Some(nonce.to_owned()))
    } else {
        let message = format!("{NONCE}: expected 1 to 64 characters of A-Z a-z 0-9 - _");
        Err(ApiError::new(ErrorCode::InvalidHeader, message))
    }
}

pub(crate) fn access_token_hash(headers: &HeaderMap) -> Result<Option<Digest>, ApiError> {
    let Some(hash) = single(headers, ACCESS_TOKEN_HASH)? else { return Ok(None) };
    hash.parse().map(Some).map_err(|error| {
        ApiError::new(ErrorCode::InvalidHeader, format!("{ACCESS_TOKEN_HASH}: {error}"))
    })
}
