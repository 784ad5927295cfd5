//! Key attestation: evidence for the key of an epoch, in one file with what it binds.

mod appraiser;
mod binding;
mod inspect;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use assay_primitives::{Digest, Timestamp, encoding, json};
use assay_receipt::PublicKey;
use serde::{Deserialize, Serialize};

pub use self::appraiser::KeyAppraiser;
pub use self::binding::{
    Beacon, EnclaveConfiguration, KeyBinding, MAX_NONCE, gpu_nonce, tpm_extra_data,
};
pub(crate) use self::inspect::inspect;
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{Attested, Check, Claims, Evidence, EvidenceKind, MAX_SKEW, Refusal, x509};

/// The media type of a key attestation, which is also its version.
pub const KEY_ATTESTATION_MEDIA_TYPE: &str = "application/vnd.assay.key-attestation.v1+json";

/// The most bytes of a key attestation.
const MAX_BYTES: usize = 1 << 20;
/// The longest epoch.
pub const MAX_EPOCH: Duration = Duration::from_secs(3_600);
/// The most GPUs of a machine.
const MAX_GPUS: usize = 16;

/// Evidence for the key of an epoch, read but not verified. The file has exactly one accepted
/// spelling, and is found by its SHA-256.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyAttestation {
    /// [`KEY_ATTESTATION_MEDIA_TYPE`].
    pub media_type: String,
    /// What is bound.
    pub binding: KeyBinding,
    /// What binds it.
    pub evidence: Evidence,
    /// The evidence of the machine's GPUs, bound to that of its CPU.
    pub gpus: Vec<Evidence>,
}

/// A key that lives in an attested enclave. Nothing but an appraisal makes one.
#[derive(Clone, Debug)]
pub struct AttestedKey {
    key: PublicKey,
    binding: KeyBinding,
    attested: Attested,
    gpus: Vec<Attested>,
}

impl KeyAttestation {
    /// Puts a binding and the evidence for it into one, of a machine without GPUs.
    #[must_use]
    pub fn new(binding: KeyBinding, evidence: Evidence) -> Self {
        let media_type = KEY_ATTESTATION_MEDIA_TYPE.to_owned();
        Self { media_type, binding, evidence, gpus: Vec::new() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is too long, or not the one spelling of a key attestation.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::read(bytes, Checks::default())
    }

    fn read(bytes: &[u8], checks: Checks) -> Result<Self, Refusal> {
        let expected = format!("at most {MAX_BYTES} bytes");
        checks.require(Check::EvidenceSize, bytes.len() <= MAX_BYTES, expected, bytes.len())?;
        let attestation: Self = json::from_slice(bytes)
            .map_err(|error| Refusal::new(Check::EvidenceEncoding, "a key attestation", error))?;
        if attestation.media_type != KEY_ATTESTATION_MEDIA_TYPE {
            let got = attestation.media_type;
            return Err(Refusal::new(Check::EvidenceVersion, KEY_ATTESTATION_MEDIA_TYPE, got));
        }
        attestation.binding.check(checks)?;
        Ok(attestation)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Never for a key attestation; the signature is that of the JSON writer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, json::StrictJsonError> {
        json::to_vec(self)
    }

    /// Returns what the evidence says, of the CPU first, once its signatures hold.
    fn claims(&self, context: &Context<'_>) -> Result<Vec<Claims>, Refusal> {
        let most = format!("at most {MAX_GPUS} GPUs");
        context.checks.require(
            Check::EvidenceSize,
            self.gpus.len() <= MAX_GPUS,
            most,
            self.gpus.len(),
        )?;
        std::iter::once(&self.evidence).chain(&self.gpus).map(|one| one.claims(context)).collect()
    }

    /// Judges claims of the evidence: the policy, and that the key is the one they are bound to.
    fn accept(&self, claims: Vec<Claims>, context: &Context<'_>) -> Result<AttestedKey, Refusal> {
        let mut claims = claims.into_iter();
        let Some(cpu) = claims.next() else {
            return Err(Refusal::new(Check::EvidenceEncoding, "evidence", "none"));
        };
        self.check_bound(&cpu, context)?;
        self.check_epoch(&cpu, context)?;
        self.check_gpus(context)?;
        let attested = context.policy.accept(cpu, context.now, context.checks)?;
        let gpus = claims.map(|gpu| self.accept_gpu(gpu, context)).collect::<Result<_, _>>()?;
        let key = PublicKey::from_der(&self.binding.epoch_key)
            .map_err(|error| Refusal::new(Check::BindingKey, "a P-256 key", error))?;
        Ok(AttestedKey { key, binding: self.binding.clone(), attested, gpus })
    }

    fn check_bound(&self, claims: &Claims, context: &Context<'_>) -> Result<(), Refusal> {
        let digest = self.binding.digest();
        let expected = match self.evidence.is_of_tpm() {
            true => tpm_extra_data(&digest).to_vec(),
            false => digest.to_vec(),
        };
        let got = claims.user_data.clone().unwrap_or_default();
        let holds = got == expected;
        let hex = |bytes: &[u8]| encoding::hex(bytes.get(..64).unwrap_or(bytes));
        context.checks.require(Check::BindingKey, holds, hex(&expected), hex(&got))?;
        if claims.kind != EvidenceKind::Nitro {
            return Ok(());
        }
        let shown = |key: Option<&Vec<u8>>| key.map_or("none".to_owned(), |key| encoding::hex(key));
        let same = claims.public_key.as_ref() == Some(&self.binding.epoch_key);
        let expected = encoding::hex(&self.binding.epoch_key);
        context.checks.require(
            Check::BindingKey,
            same,
            expected,
            shown(claims.public_key.as_ref()),
        )?;
        let same = claims.nonce == self.binding.nonce;
        let (expected, got) = (shown(self.binding.nonce.as_ref()), shown(claims.nonce.as_ref()));
        context.checks.require(Check::BindingNonce, same, expected, got)
    }

    fn check_epoch(&self, claims: &Claims, context: &Context<'_>) -> Result<(), Refusal> {
        let (from, to) = (self.binding.not_before, self.binding.not_after);
        let require = |holds, expected: String, got: String| {
            context.checks.require(Check::BindingEpoch, holds, expected, got)
        };
        let length = to.since(from);
        let is_short = from <= to && length <= MAX_EPOCH;
        require(is_short, format!("an epoch of at most {MAX_EPOCH:?}"), format!("{from} to {to}"))?;
        let is_in = from <= context.now && context.now <= to;
        require(
            is_in,
            format!("a time in the key's epoch, {from} to {to}"),
            context.now.to_string(),
        )?;
        let Some(time) = claims.time else { return Ok(()) };
        let fits = from.minus(MAX_SKEW) <= time && time <= to;
        require(fits, format!("evidence made in the key's epoch, {from} to {to}"), time.to_string())
    }

    /// Checks that no GPU is counted twice: all of them answer the same nonce, with the key of their
    /// own certificate.
    fn check_gpus(&self, context: &Context<'_>) -> Result<(), Refusal> {
        let mut known = HashSet::new();
        for (at, gpu) in self.gpus.iter().enumerate() {
            let Evidence::Nvidia { certificates, .. } = gpu else { continue };
            // By the key: of a certificate's signature there are two.
            let leaf = certificates.first().map(|leaf| x509::read(leaf)).transpose()?;
            let key = leaf.map(|leaf| leaf.tbs_certificate().subject_public_key_info().clone());
            let is_new = known.insert(key.map(|key| key.subject_public_key.raw_bytes().to_vec()));
            let got = format!("another report of one before, at {at}");
            context.checks.require(Check::BindingGpu, is_new, "a report of each GPU", got)?;
        }
        Ok(())
    }

    fn accept_gpu(&self, claims: Claims, context: &Context<'_>) -> Result<Attested, Refusal> {
        let nonce = gpu_nonce(&self.binding.digest(), self.evidence.digest());
        let got = claims.user_data.clone().unwrap_or_default();
        let holds = got == nonce && claims.kind == EvidenceKind::Nvidia;
        let (expected, got) = (encoding::hex(&nonce), encoding::hex(&got));
        context.checks.require(Check::BindingGpu, holds, expected, got)?;
        context.policy.accept_gpu(claims, context.now, context.checks)
    }
}

impl AttestedKey {
    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns what is bound.
    #[must_use]
    pub const fn binding(&self) -> &KeyBinding {
        &self.binding
    }

    /// Returns what the evidence says.
    #[must_use]
    pub const fn attested(&self) -> &Attested {
        &self.attested
    }

    /// Returns what the evidence of GPUs says.
    #[must_use]
    pub fn gpus(&self) -> &[Attested] {
        &self.gpus
    }

    /// Says whether any of the evidence ends at a development root.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.attested.is_simulated() || self.gpus.iter().any(Attested::is_simulated)
    }

    /// Says whether the epoch is over at a time.
    #[must_use]
    pub fn is_rotated_away(&self, now: Timestamp) -> bool {
        now > self.binding.not_after
    }
}

impl Evidence {
    /// Returns the SHA-256 of what was signed, which a GPU's evidence is bound to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.signed())
    }
}
