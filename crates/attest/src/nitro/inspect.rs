use super::cose::{ES384, Sign1};
use super::document::{DIGEST, Document};
use crate::inspect::Section;
use crate::refusal::Checks;
use crate::{Refusal, x509};

/// Returns the fields of a document.
pub(crate) fn inspect(document: &[u8]) -> Result<Vec<Section>, Refusal> {
    let checks = Checks::default();
    let signed = Sign1::read_bounded(document, checks)?;
    let document = Document::read(signed.payload, checks)?;
    let algorithm = match signed.algorithm() {
        Some(ES384) => "ES384".to_owned(),
        Some(other) => other.to_string(),
        None => "none".to_owned(),
    };
    let fields = Section::new("document")
        .text("module_id", document.module_id)
        .text("timestamp", document.timestamp)
        .text("digest", DIGEST)
        .flag("debug mode", document.is_debug())
        .all(&document.pcrs, |section, (index, value)| section.hex(format!("pcr{index}"), value))
        .optional_hex("public_key", document.public_key)
        .optional_hex("user_data", document.user_data)
        .optional_hex("nonce", document.nonce);
    let signature =
        Section::new("signature").text("algorithm", algorithm).hex("signature", signed.signature);
    let mut sections = vec![fields, signature, x509::inspect("certificate", document.certificate)];
    for (at, der) in document.cabundle.iter().enumerate() {
        sections.push(x509::inspect(&format!("cabundle {at}"), der));
    }
    Ok(sections)
}
