//! Chains of certificates (RFC 5280), at a time that the caller names, to a root that is pinned.
//!
//! Building the path and its signatures are `rustls-webpki`'s. Ours is what it leaves out: the root's
//! pin and validity, key usage, and that every error names the certificate.

mod inspect;

use std::time::Duration;

use assay_primitives::{Digest, Timestamp, printable};
use der::pem;
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    UnixTime, alg_id,
};
use webpki::{
    EndEntityCert, Error, KeyUsage as Purpose, anchor_from_trusted_cert, ring as algorithms,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::KeyUsage;

pub(crate) use self::inspect::{inspect, inspect_all, inspect_crl};
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{Check, EvidenceKind, Refusal, Trust, Validity};

/// The most bytes of a certificate.
const MAX_CERTIFICATE: usize = 8 << 10;
/// The most certificates between a leaf and its root.
const MAX_INTERMEDIATES: usize = 8;

/// What certificates may be signed with.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    // AMD's certificates since 2024; the older ones have what `AmdPss` names.
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    &AmdPss,
];

/// Writes a certificate in PEM (RFC 7468), with lines of 64 characters.
pub(crate) fn to_pem(der: &[u8]) -> String {
    // Nothing but a wrong label or more than a quarter of all memory can fail.
    pem::encode_string("CERTIFICATE", pem::LineEnding::LF, der).unwrap_or_default()
}

/// A chain as evidence brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    /// The kind of evidence, by which roots are pinned.
    pub(crate) kind: EvidenceKind,
    /// The certificate of the key that signs evidence, DER.
    pub(crate) leaf: &'a [u8],
    /// The certificates between, in any order, DER.
    pub(crate) intermediates: &'a [&'a [u8]],
    /// The root, DER.
    pub(crate) root: &'a [u8],
    /// The extended key usage that the leaf has to allow if it has any (the contents of its DER).
    pub(crate) extended_key_usage: Option<&'static [u8]>,
}

/// A leaf that a root vouches for.
#[derive(Clone, Debug)]
pub(crate) struct Endorsed {
    /// The leaf.
    pub(crate) leaf: Certificate,
    /// Whose root it is.
    pub(crate) trust: Trust,
    /// When every certificate of the chain is valid.
    pub(crate) validity: Validity,
}

impl Endorsed {
    /// Returns the leaf's public key as its certificate has it, without the algorithm: of an EC key
    /// the uncompressed point.
    pub(crate) fn public_key(&self) -> &[u8] {
        let info = self.leaf.tbs_certificate().subject_public_key_info();
        info.subject_public_key.raw_bytes()
    }
}

impl Chain<'_> {
    /// Checks the chain at the time of the context.
    pub(crate) fn verify(&self, context: &Context<'_>) -> Result<Endorsed, Refusal> {
        let checks = context.checks;
        let trust = match context.roots.find(self.kind, self.root) {
            Some(trust) => trust,
            None => {
                let got = Digest::of(self.root);
                let expected = context.roots.expected(self.kind);
                checks.fail(Refusal::new(Check::ChainRoot, expected, got))?;
                Trust::Vendor
            }
        };
        let count = self.intermediates.len();
        let most = format!("at most {MAX_INTERMEDIATES} certificates between leaf and root");
        checks.require(Check::EvidenceSize, count <= MAX_INTERMEDIATES, most, count)?;
        let leaf = read(self.leaf)?;
        let root = read(self.root)?;
        let mut cas = vec![root];
        for der in self.intermediates {
            cas.push(read(der)?);
        }
        let mut validity = Validity::ALWAYS;
        for certificate in cas.iter().chain([&leaf]) {
            let window = window(certificate);
            let (from, to) = (window.not_before, window.not_after);
            let holds = window.contains(context.now);
            let expected =
                format!("a time from {from} to {to}, when `{}` is valid", name(certificate));
            checks.require(Check::ChainValidity, holds, expected, context.now)?;
            validity = validity.and(window);
        }
        for ca in &cas {
            check_usage(context, ca, KeyUsage::key_cert_sign, "certificates")?;
        }
        check_usage(context, &leaf, KeyUsage::digital_signature, "evidence")?;
        // The window was checked: this time is in it, unless that check is left out.
        let time = if validity.contains(context.now) { context.now } else { validity.not_before };
        if let Err(error) = self.find_path(time) {
            checks.fail(error)?;
        }
        Ok(Endorsed { leaf, trust, validity })
    }

    fn find_path(&self, time: Timestamp) -> Result<(), Refusal> {
        let root = CertificateDer::from(self.root);
        let anchor = anchor_from_trusted_cert(&root).map_err(|error| refused(&error))?;
        let leaf = CertificateDer::from(self.leaf);
        let leaf = EndEntityCert::try_from(&leaf).map_err(|error| refused(&error))?;
        let between: Vec<CertificateDer<'_>> =
            self.intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_millis(time.as_millis()));
        let purpose =
            self.extended_key_usage.map_or(Purpose::client_auth(), Purpose::required_if_present);
        leaf.verify_for_usage(ALGORITHMS, &[anchor], &between, time, purpose, None, None)
            .map(|_| ())
            .map_err(|error| refused(&error))
    }
}

/// Reads a certificate; one that is longer than any is refused before.
pub(crate) fn read(der: &[u8]) -> Result<Certificate, Refusal> {
    read_up_to(der, MAX_CERTIFICATE)
}

fn read_up_to(der: &[u8], most: usize) -> Result<Certificate, Refusal> {
    if der.len() > most {
        let expected = format!("a certificate of at most {most} bytes");
        return Err(Refusal::new(Check::EvidenceSize, expected, der.len()));
    }
    Certificate::from_der(der)
        .map_err(|error| Refusal::new(Check::ChainEncoding, "an X.509 certificate", error))
}

/// Checks a signature by the key of a certificate: ECDSA with P-384 and SHA-384, r and s in 96 bytes.
pub(crate) fn verify_p384(
    certificate: &Certificate,
    message: &[u8],
    signature: &[u8],
    checks: Checks,
) -> Result<(), Refusal> {
    let info = certificate.tbs_certificate().subject_public_key_info();
    let key = info.subject_public_key.raw_bytes();
    let holds =
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, signature).is_ok();
    let expected = format!("a signature by the key of `{}`", name(certificate));
    checks.require(Check::EvidenceSignature, holds, expected, "another")
}

/// Returns an extension of a certificate that it may have once.
pub(crate) fn extension<'a, T: AssociatedOid + Decode<'a>>(
    certificate: &'a Certificate,
) -> Result<Option<T>, Refusal> {
    let wrong =
        |error: String| Refusal::new(Check::ChainEncoding, format!("extension {}", T::OID), error);
    let all = certificate.tbs_certificate().extensions().into_iter().flatten();
    let mut found = all.filter(|extension| extension.extn_id == T::OID);
    let Some(first) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(wrong("twice".to_owned()));
    }
    T::from_der(first.extn_value.as_bytes()).map(Some).map_err(|error| wrong(error.to_string()))
}

/// Returns the subject of a certificate, for people.
pub(crate) fn name(certificate: &Certificate) -> String {
    printable(&certificate.tbs_certificate().subject().to_string(), 96)
}

/// Returns the common name of a certificate's subject, raw; empty if there is none.
pub(crate) fn common_name(certificate: &Certificate) -> String {
    let name = certificate.tbs_certificate().subject().common_name().ok().flatten();
    name.map(|name| name.value().into_owned()).unwrap_or_default()
}

/// Says whether a certificate names another as its issuer.
pub(crate) fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    certificate.tbs_certificate().issuer() == issuer.tbs_certificate().subject()
}

fn window(certificate: &Certificate) -> Validity {
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    Validity {
        not_before: Timestamp::from_seconds(seconds(&validity.not_before)),
        // Up to the end of the second (RFC 5280 section 4.1.2.5).
        not_after: Timestamp::from_seconds(seconds(&validity.not_after)),
    }
}

fn check_usage(
    context: &Context<'_>,
    certificate: &Certificate,
    is_allowed: impl Fn(&KeyUsage) -> bool,
    what: &str,
) -> Result<(), Refusal> {
    let Some(usage) = extension::<KeyUsage>(certificate)? else { return Ok(()) };
    let expected = format!("`{}` to be allowed to sign {what}", name(certificate));
    context.checks.require(Check::ChainUsage, is_allowed(&usage), expected, format!("{usage:?}"))
}

fn refused(error: &Error) -> Refusal {
    let (check, expected) = match error {
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            (Check::ChainPath, "each certificate to be signed by the next, up to the root")
        }
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
            (Check::ChainValidity, "every certificate to be valid")
        }
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::PathLenConstraintViolated
        | Error::RequiredEkuNotFoundContext(_) => {
            (Check::ChainUsage, "certificates that may be used as they are")
        }
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            (Check::EvidenceAlgorithm, "certificates signed with ECDSA or RSA that are known here")
        }
        _ => (Check::ChainEncoding, "a chain of X.509 certificates"),
    };
    Refusal::new(check, expected, format!("{error:?}"))
}

/// RSA-PSS with SHA-384 as AMD's certificates name it: they spell out the trailer field, which has its
/// default and so should be left out.
#[derive(Debug)]
struct AmdPss;

/// SEQUENCE contents: id-RSASSA-PSS, SHA-384, MGF1 with SHA-384, a salt of 48 bytes, trailer 1.
const AMD_PSS: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0, 0x0f, 0x30,
    0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06,
    0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01,
    0x30, 0xa3, 0x03, 0x02, 0x01, 0x01,
];

impl SignatureVerificationAlgorithm for AmdPss {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let pss = algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY;
        pss.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(AMD_PSS)
    }
}
