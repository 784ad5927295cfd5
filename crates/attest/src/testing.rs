//! What the tests of several kinds need: a chain of certificates whose keys they have.

use std::time::Duration;

use assay_primitives::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};

use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{
    Attested, Check, Claims, DevelopmentRoot, Evidence, EvidenceKind, Policy, Refusal, Roots,
    Strength, Trust, Validity,
};

/// What evidence of a kind says that measured nothing.
pub(crate) fn claims(kind: EvidenceKind) -> Claims {
    Claims {
        kind,
        strength: Strength::Tee,
        trust: Trust::Vendor,
        platform: String::new(),
        measurements: Vec::new(),
        debug: false,
        user_data: None,
        public_key: None,
        nonce: None,
        time: None,
        validity: Validity::ALWAYS,
        tcb: None,
        warnings: Vec::new(),
    }
}

/// When the tests' evidence is judged.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// How many certificates a chain has.
pub(crate) const LEVELS: usize = 4;
/// The level of the leaf.
pub(crate) const LEAF: usize = LEVELS - 1;

/// Certificates of P-384 keys, each signed by the one before.
pub(crate) struct TestChain {
    /// The certificates, DER, the root first.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// The leaf's key.
    pub(crate) key: EcdsaKeyPair,
    /// The same, in PKCS #8.
    pub(crate) pkcs8: Vec<u8>,
}

impl TestChain {
    /// Makes a chain in which every certificate is valid for an hour before and after [`NOW`] and
    /// allowed what it needs. Whatever is tested can be changed, by the level from the root, 0.
    pub(crate) fn new(change: impl Fn(usize, &mut CertificateParams)) -> Self {
        let mut certificates = Vec::new();
        let mut issuer: Option<CertifiedIssuer<'_, KeyPair>> = None;
        for level in 0..LEVELS {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, format!("level {level}"));
            let hour = Duration::from_secs(3600);
            set_validity(&mut params, NOW.minus(hour), NOW.plus(hour));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            if level == LEAF {
                params.is_ca = IsCa::NoCa;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }
            change(level, &mut params);
            let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
            let made = match &issuer {
                None => CertifiedIssuer::self_signed(params, key),
                Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer),
            };
            let made = made.unwrap();
            certificates.push(made.der().to_vec());
            issuer = Some(made);
        }
        let pkcs8 = issuer.unwrap().key().serialize_der();
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8, &random).unwrap();
        Self { certificates, key, pkcs8 }
    }

    /// Makes a chain with nothing wrong.
    pub(crate) fn good() -> Self {
        Self::new(|_, _| {})
    }

    /// Signs with the leaf's key: r and s.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// Returns the roots with this chain's among them.
    pub(crate) fn roots(&self) -> Roots {
        let root = DevelopmentRoot::from_bytes(&self.certificates[0]).unwrap();
        Roots::vendors().with_development(root)
    }
}

/// Sets from when until when a certificate is valid, in whole seconds.
pub(crate) fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.as_seconds());
    params.not_after = epoch + Duration::from_secs(to.as_seconds());
}

/// Judges evidence, with one check left out.
pub(crate) fn judge_without(
    evidence: &Evidence,
    roots: &Roots,
    policy: &Policy,
    now: Timestamp,
    without: Option<Check>,
) -> Result<Attested, Refusal> {
    Context { now, roots, policy, checks: Checks { without } }.appraise(evidence)
}
