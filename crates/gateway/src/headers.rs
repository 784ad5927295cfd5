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

/// Returns the members of a header that is a list, over all its lines. A line that is not visible
/// ASCII has none.
pub(crate) fn members<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| split(line, ','))
}

/// Splits at a separator that is not within a quoted string (RFC 9110, section 5.6).
pub(crate) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |c| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && c == '\\' && !was_escaped;
        if c == '"' && !was_escaped {
            is_quoted = !is_quoted;
        }
        c == separator && !is_quoted
    });
    parts.map(str::trim)
}

/// Reads `name`, `name=value` or `name="value"`. No value is an empty one (RFC 7240, section 2).
pub(crate) fn parameter(text: &str) -> (&str, &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim();
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    (name.trim(), quoted.unwrap_or(value))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_not_split() {
        let parts: Vec<&str> = split(r#"a=1 , b="x, \", y" ,, c, d="e"#, ',').collect();
        assert_eq!(parts, ["a=1", r#"b="x, \", y""#, "", "c", r#"d="e"#]);
        for (text, expected) in [
            ("wait", ("wait", "")),
            ("wait=", ("wait", "")),
            (r#"wait="""#, ("wait", "")),
            (" wait = 10 ", ("wait", "10")),
            (r#"wait="10""#, ("wait", "10")),
            (r#"wait="10"#, ("wait", "\"10")),
            ("a=b=c", ("a", "b=c")),
        ] {
            assert_eq!(parameter(text), expected, "{text}");
        }
    }
}
