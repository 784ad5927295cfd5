//! AWS Nitro attestation documents, after AWS's "Nitro Enclaves attestation process": CBOR, signed as a
//! COSE_Sign1 with ES384 by a key whose certificate lives for three hours.
//!
//! Everything that the document says is signed: `nonce` and `user_data` are read from nowhere else. It
//! was the enclave that chose them, together with `public_key`: only the PCRs, the module's id and the
//! timestamp are the platform's word.

mod cbor;
mod cose;
mod document;
mod inspect;

#[cfg(any(test, feature = "collect"))]
mod build;
#[cfg(feature = "collect")]
mod simulated;
#[cfg(test)]
mod tests;

use assay_primitives::printable;

pub(crate) use self::inspect::inspect;
#[cfg(feature = "collect")]
pub use self::simulated::{SimulatedNitro, SimulatedNitroRoot};

use self::cose::Sign1;
use self::document::Document;
use crate::evidence::Context;
use crate::x509::{self, Chain, Endorsed};
use crate::{Check, Claims, EvidenceKind, Measurement, Refusal, Strength};

/// The most characters of a module's id that are shown.
const MAX_MODULE_ID: usize = 128;

pub(crate) fn claims(document: &[u8], context: &Context<'_>) -> Result<Claims, Refusal> {
    let checks = context.checks;
    let signed = Sign1::read_bounded(document, checks)?;
    signed.check(checks)?;
    let document = Document::read(signed.payload, checks)?;
    // Before the chain, which costs several times as much.
    let leaf = x509::read(document.certificate)?;
    x509::verify_p384(&leaf, &signed.signed(), signed.signature, checks)?;
    let endorsed = document.endorse(context)?;
    // A leaf signs only while it is valid: a document from before or after was not made by its module.
    let (time, validity) = (document.timestamp, endorsed.validity);
    let expected = format!(
        "a document made from {} to {}, when its certificates are valid",
        validity.not_before, validity.not_after
    );
    checks.require(Check::EvidenceTime, validity.contains(time), expected, time)?;
    Ok(document.claims(&endorsed))
}

impl Document<'_> {
    fn endorse(&self, context: &Context<'_>) -> Result<Endorsed, Refusal> {
        let [root, intermediates @ ..] = self.cabundle.as_slice() else {
            let expected = context.roots.expected(EvidenceKind::Nitro);
            return Err(Refusal::new(Check::ChainRoot, expected, "an empty `cabundle`"));
        };
        let kind = EvidenceKind::Nitro;
        let leaf = self.certificate;
        Chain { kind, leaf, intermediates, root, extended_key_usage: None }.verify(context)
    }

    fn claims(&self, endorsed: &Endorsed) -> Claims {
        let measurement = |(index, value): (&u64, &&[u8])| Measurement {
            name: format!("pcr{index}"),
            value: value.to_vec(),
        };
        Claims {
            kind: EvidenceKind::Nitro,
            strength: Strength::Tee,
            trust: endorsed.trust,
            platform: printable(self.module_id, MAX_MODULE_ID),
            measurements: self.pcrs.iter().map(measurement).collect(),
            debug: self.is_debug(),
            user_data: self.user_data.map(<[u8]>::to_vec),
            public_key: self.public_key.map(<[u8]>::to_vec),
            nonce: self.nonce.map(<[u8]>::to_vec),
            time: Some(self.timestamp),
            validity: endorsed.validity,
            tcb: None,
            warnings: Vec::new(),
        }
    }
}
