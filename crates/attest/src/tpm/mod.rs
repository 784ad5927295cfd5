//! TPM 2.0 quotes: what a machine booted, measured into PCRs and signed by its TPM.
//!
//! A TPM isolates nothing: what it shows alone is [`Strength::MeasuredBoot`]. Who vouches for the key
//! that signs is either a chain of certificates or the evidence of the hardware that the TPM is made
//! by (`azure`). A development TPM's key gets its certificate from a [`crate::DevelopmentRoot`]: that
//! of its endorsement key would do only with an exchange (MakeCredential), which is nothing to keep.

mod azure;
mod inspect;
mod quote;
mod signature;

use assay_primitives::encoding;
use serde::{Deserialize, Serialize};

pub(crate) use self::azure::claims as azure_claims;
pub(crate) use self::azure::hardware_report;
pub(crate) use self::inspect::{
    inspect_hcl_report, inspect_pcrs, inspect_public_key, inspect_quote, inspect_signature,
};
pub(crate) use self::quote::MAGIC;
use self::quote::Quote;
pub use self::quote::TpmHash;
use self::signature::{PublicKey, Signature};
use crate::evidence::{Context, base64_list};
use crate::refusal::Checks;
use crate::x509::Chain;
use crate::{Check, Claims, EvidenceKind, Measurement, Refusal, Strength, Trust, Validity};

/// The most bytes of a quote: a TPMS_ATTEST with every field at its longest has fewer.
const MAX_QUOTE: usize = 512;
/// The most bytes of a signature: RSA with 4096 bits has fewer.
const MAX_SIGNATURE: usize = 768;
/// tcg-kp-AIKCertificate, 2.23.133.8.3: the contents of its DER.
const AIK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x03];

/// The value of a PCR, which the quote has the digest of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Pcr {
    /// The bank.
    pub bank: TpmHash,
    /// The number in the bank.
    pub index: u8,
    /// The value.
    #[serde(with = "encoding::base64_bytes")]
    pub value: Vec<u8>,
}

impl Pcr {
    /// Makes one.
    #[must_use]
    pub const fn new(bank: TpmHash, index: u8, value: Vec<u8>) -> Self {
        Self { bank, index, value }
    }

    /// Returns the name of the measurement: `pcr7`, in a bank other than SHA-256 `pcr7-sha384`.
    fn name(&self) -> String {
        match self.bank {
            TpmHash::Sha256 => format!("pcr{}", self.index),
            other => format!("pcr{}-{}", self.index, other.as_str()),
        }
    }
}

/// The key that a TPM signs quotes with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AttestationKey {
    /// Its certificate, those between, and the root, each in DER.
    Certificates(#[serde(with = "base64_list")] Vec<Vec<u8>>),
    /// The bare key, a SubjectPublicKeyInfo in DER. Nothing vouches for it, so nothing that it signs
    /// is accepted.
    PublicKey(#[serde(with = "encoding::base64_bytes")] Vec<u8>),
}

/// A quote as evidence brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a> {
    /// TPMS_ATTEST.
    pub(crate) quote: &'a [u8],
    /// TPMT_SIGNATURE.
    pub(crate) signature: &'a [u8],
    /// The values of the PCRs, in the order of the quote.
    pub(crate) pcrs: &'a [Pcr],
}

/// A key, and who vouches for it.
struct Endorsement {
    key: PublicKey,
    trust: Option<Trust>,
    validity: Validity,
}

pub(crate) fn claims(
    quoted: &Quoted<'_>,
    ak: &AttestationKey,
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    let endorsement = ak.endorsement(context)?;
    let quote = quoted.verify(&endorsement.key, context)?;
    let trust = match endorsement.trust {
        Some(trust) => trust,
        None => {
            let expected = "a certificate, or evidence of hardware, that vouches for the TPM's key";
            let refusal = Refusal::new(Check::BindingAttestationKey, expected, "the bare key");
            context.checks.fail(refusal)?;
            Trust::Development
        }
    };
    Ok(Claims {
        kind: EvidenceKind::Tpm,
        strength: Strength::MeasuredBoot,
        trust,
        platform: format!("TPM 2.0, firmware {:016x}", quote.firmware_version),
        measurements: quoted.measurements(),
        debug: false,
        user_data: Some(quote.extra_data.to_vec()),
        public_key: None,
        nonce: None,
        time: None,
        validity: endorsement.validity,
        tcb: None,
        warnings: vec![
            "a TPM measured what was booted: nothing isolates that from who runs the machine"
                .to_owned(),
        ],
    })
}

impl AttestationKey {
    fn endorsement(&self, context: &Context<'_>) -> Result<Endorsement, Refusal> {
        let certificates = match self {
            Self::PublicKey(der) => {
                let key = PublicKey::from_der(der)?;
                return Ok(Endorsement { key, trust: None, validity: Validity::ALWAYS });
            }
            Self::Certificates(certificates) => certificates,
        };
        let [leaf, between @ .., root] = certificates.as_slice() else {
            let expected = "the attestation key's certificate, those between, and the root";
            let got = format!("{} certificates", certificates.len());
            return Err(Refusal::new(Check::ChainEncoding, expected, got));
        };
        let chain = Chain {
            kind: EvidenceKind::Tpm,
            leaf,
            intermediates: &between.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            root,
            extended_key_usage: Some(AIK_CERTIFICATE),
        };
        let endorsed = chain.verify(context)?;
        let key = endorsed.leaf.tbs_certificate().subject_public_key_info();
        Ok(Endorsement {
            key: PublicKey::from_info(key)?,
            trust: Some(endorsed.trust),
            validity: endorsed.validity,
        })
    }
}

impl<'a> Quoted<'a> {
    /// Checks that a key signed the quote, and that the quote has the digest of the PCRs.
    fn verify(&self, key: &PublicKey, context: &Context<'_>) -> Result<Quote<'a>, Refusal> {
        let checks = context.checks;
        for (what, bytes, most) in
            [("quote", self.quote, MAX_QUOTE), ("signature", self.signature, MAX_SIGNATURE)]
        {
            require_size(what, bytes, most, checks)?;
        }
        let quote = Quote::parse(self.quote, checks)?;
        let signature = Signature::parse(self.signature)?;
        if let Err(refusal) = key.verify(self.quote, &signature) {
            checks.fail(refusal)?;
        }
        self.check_pcrs(&quote, signature.hash, context)?;
        Ok(quote)
    }

    /// The values are of the PCRs that were selected, in that order, and hash to the quote's digest
    /// under the hash of the signature (part 3, TPM2_Quote).
    fn check_pcrs(
        &self,
        quote: &Quote<'_>,
        hash: TpmHash,
        context: &Context<'_>,
    ) -> Result<(), Refusal> {
        let checks = context.checks;
        let check = Check::EvidenceDigest;
        let selected = quote.selected.as_slice();
        checks.require(check, !selected.is_empty(), "at least one PCR", "none")?;
        let stated: Vec<(TpmHash, u8)> =
            self.pcrs.iter().map(|pcr| (pcr.bank, pcr.index)).collect();
        checks.require(check, stated == selected, shown(selected), shown(&stated))?;
        // Else bytes could be moved from one value to the next.
        if let Some(pcr) = self.pcrs.iter().find(|pcr| pcr.value.len() != pcr.bank.size()) {
            let expected = format!("{} bytes of `{}`", pcr.bank.size(), pcr.name());
            checks.fail(Refusal::new(check, expected, pcr.value.len()))?;
        }
        let values: Vec<u8> = self.pcrs.iter().flat_map(|pcr| pcr.value.iter().copied()).collect();
        let digest = hash.digest(&values);
        let expected = format!("PCRs with digest {}", encoding::hex(quote.pcr_digest));
        checks.require(check, digest == quote.pcr_digest, expected, encoding::hex(&digest))
    }

    fn measurements(&self) -> Vec<Measurement> {
        let measured = |pcr: &Pcr| Measurement { name: pcr.name(), value: pcr.value.clone() };
        self.pcrs.iter().map(measured).collect()
    }
}

fn require_size(what: &str, bytes: &[u8], most: usize, checks: Checks) -> Result<(), Refusal> {
    let expected = format!("a {what} of at most {most} bytes");
    checks.require(Check::EvidenceSize, bytes.len() <= most, expected, bytes.len())
}

/// Says whether bytes are a TPMT_SIGNATURE.
pub(crate) fn is_signature(bytes: &[u8]) -> bool {
    Signature::parse(bytes).is_ok()
}

/// Returns the PCRs that a quote is of, in its order; none of what is no quote.
pub(crate) fn selected(quote: &[u8]) -> Vec<(TpmHash, u8)> {
    Quote::parse(quote, Checks::default()).map(|quote| quote.selected).unwrap_or_default()
}

/// Checks that the key of a certificate signed a quote.
#[cfg(feature = "collect")]
pub(crate) fn check_signer(
    certificate: &[u8],
    quote: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    let certificate = crate::x509::read(certificate)?;
    let key = PublicKey::from_info(certificate.tbs_certificate().subject_public_key_info())?;
    key.verify(quote, &Signature::parse(signature)?)
}

fn shown(pcrs: &[(TpmHash, u8)]) -> String {
    let names = pcrs.iter().map(|(bank, index)| format!("{}:{index}", bank.as_str()));
    format!("PCRs {}", names.take(96).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
pub(crate) mod tests;
