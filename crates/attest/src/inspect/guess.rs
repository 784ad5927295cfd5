//! What a file is, by how it begins.

use serde::Deserialize;
use serde::de::IgnoredAny;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::Format;
use crate::{files, snp, tpm};

/// What a JSON file says of itself.
#[derive(Deserialize)]
struct Json {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(rename = "tcb_info", alias = "tcbInfo")]
    tcb_info: Option<IgnoredAny>,
    #[serde(rename = "qe_identity", alias = "qeIdentity")]
    qe_identity: Option<IgnoredAny>,
}

/// How the media types of key attestations begin, whatever their version.
pub(crate) const KEY_ATTESTATION: &str = "application/vnd.assay.key-attestation.";

/// Returns the format of bytes that are not hidden in a text.
pub(super) fn format(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [b'H', b'C', b'L', b'A', ..] => Some(Format::HclReport),
        [0xff, b'T', b'C', b'G', ..] => Some(Format::TpmQuote),
        // GET_MEASUREMENTS of SPDM 1.1.
        [0x11, 0xe0, ..] => Some(Format::NvidiaReport),
        // An array of four, the first of which is a byte string; COSE's tag may stand before it.
        [0x84, 0x40..=0x5b, ..] | [0xd2, 0x84, 0x40..=0x5b, ..] => Some(Format::NitroDocument),
        // The version, the type of the attestation key, the TEE.
        [3..=5, 0, 2 | 3, 0, 0, 0, 0, 0, ..] => Some(Format::SgxQuote),
        [4 | 5, 0, 2 | 3, 0, 0x81, 0, 0, 0, ..] => Some(Format::TdxQuote),
        // The version, in four bytes.
        [1..=9, 0, 0, 0, ..] if bytes.len() == snp::REPORT => Some(Format::SnpReport),
        [0x30, ..] => of_der(bytes),
        _ if tpm::is_signature(bytes) => Some(Format::TpmSignature),
        _ => of_text(bytes),
    }
}

fn of_der(bytes: &[u8]) -> Option<Format> {
    if Certificate::from_der(bytes).is_ok() {
        return Some(Format::Certificates);
    }
    let is_list = <CertificateList>::from_der(bytes).is_ok();
    is_list.then_some(Format::RevocationList)
}

fn of_text(bytes: &[u8]) -> Option<Format> {
    if files::has_pem(bytes) {
        return Some(Format::Certificates);
    }
    if files::public_key(bytes).is_some() {
        return Some(Format::PublicKey);
    }
    if files::pcrs(bytes).is_some() {
        return Some(Format::TpmPcrs);
    }
    let json: Json = serde_json::from_slice(bytes).ok()?;
    if json.media_type.is_some_and(|name| name.starts_with(KEY_ATTESTATION)) {
        return Some(Format::KeyAttestation);
    }
    (json.tcb_info.is_some() && json.qe_identity.is_some()).then_some(Format::Collateral)
}
