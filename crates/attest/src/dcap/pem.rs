//! Chains of certificates in PEM (RFC 7468), of which each has one spelling.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{Check, Refusal, x509};

/// The most bytes of a chain.
const MAX_CHAIN: usize = 16 << 10;

/// Reads certificates as DER. Beside them there is nothing but a line end and a zero after the
/// last, as quotes have it: another reader of the text finds the same certificates.
pub(super) fn read(text: &[u8], what: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    if text.len() > MAX_CHAIN {
        let expected = format!("at most {MAX_CHAIN} bytes of the chain of the {what}");
        return Err(Refusal::new(Check::EvidenceSize, expected, text.len()));
    }
    let expected = || format!("the chain of the {what} in PEM, with lines of 64 characters");
    let wrong = |got: String| Refusal::new(Check::ChainEncoding, expected(), got);
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text)
        .map(|der| der.map(|der| der.to_vec()).map_err(|error| wrong(error.to_string())))
        .collect::<Result<_, _>>()?;
    let spelled = write(&chain);
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text != spelled.trim_end().as_bytes() {
        let got = format!("{} certificates, spelled otherwise", chain.len());
        return Err(wrong(got));
    }
    Ok(chain)
}

/// Writes a chain as Intel's services do.
pub(super) fn write(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|der| x509::to_pem(der)).collect()
}
