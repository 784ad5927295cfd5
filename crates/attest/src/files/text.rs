//! Bytes in text: hexadecimal, base64, PEM.

use std::borrow::Cow;

use assay_primitives::encoding;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use super::MAX_FILE;

/// The fewest characters that are read as hexadecimal or base64: a shorter word may be anything.
const MIN_TEXT: usize = 16;

/// How bytes are spelled in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spelling {
    /// As they are.
    Raw,
    Hexadecimal,
    Base64,
}

impl Spelling {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Raw => "raw bytes",
            Self::Hexadecimal => "hexadecimal",
            Self::Base64 => "base64",
        }
    }
}

/// Takes bytes out of hexadecimal (with or without `0x`) or base64 (of either alphabet), in any lines;
/// what is neither stays as it is.
pub(crate) fn unwrapped(file: &[u8]) -> (Cow<'_, [u8]>, Spelling) {
    let raw = (Cow::Borrowed(file), Spelling::Raw);
    if file.len() > 2 * MAX_FILE || !file.is_ascii() {
        return raw;
    }
    let text: Vec<u8> = file.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.len() < MIN_TEXT {
        return raw;
    }
    if let Some(bytes) = from_hex(text.strip_prefix(b"0x").unwrap_or(&text)) {
        return (Cow::Owned(bytes), Spelling::Hexadecimal);
    }
    match from_base64(&text) {
        Some(bytes) => (Cow::Owned(bytes), Spelling::Base64),
        None => raw,
    }
}

/// Reads hexadecimal, in lower or upper case.
pub(super) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

/// Reads base64 of either alphabet, with or without padding.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches('=');
    let padding = "=".repeat(text.len().wrapping_neg() % 4);
    let text = text.replace('-', "+").replace('_', "/") + &padding;
    encoding::from_base64(&text).ok()
}

/// Says whether a file is a text with a certificate in PEM. Quotes have some, too, among their bytes.
pub(crate) fn has_pem(file: &[u8]) -> bool {
    let begins = |line: &str| line.starts_with("-----BEGIN CERTIFICATE-----");
    std::str::from_utf8(file).is_ok_and(|text| text.lines().any(begins))
}

/// Reads a public key in PEM.
pub(crate) fn public_key(file: &[u8]) -> Option<Vec<u8>> {
    SubjectPublicKeyInfoDer::from_pem_slice(file).ok().map(|der| der.to_vec())
}
