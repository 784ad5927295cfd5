//! What evidence binds: the key of an epoch, and what runs under it.

use assay_primitives::{Digest, ModelId, Timestamp, encoding, json};
use assay_receipt::{EngineUsed, EvidenceScope, PublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::refusal::Checks;
use crate::{Check, Refusal};

/// What the hash of a binding begins with.
const DOMAIN: &[u8] = b"assay/tee-bind/v1";
/// What the nonce of a GPU's evidence begins with.
const GPU_DOMAIN: &[u8] = b"gpu";
/// The most bytes of a client's nonce.
pub const MAX_NONCE: usize = 64;

/// What evidence binds: an enclave's key for an epoch, and what runs under it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyBinding {
    /// The key that signs what the enclave ran: P-256, DER of its SubjectPublicKeyInfo.
    #[serde(with = "encoding::base64_bytes")]
    pub epoch_key: Vec<u8>,
    /// The key that requests to the enclave are encrypted to (RFC 9180), if there is one.
    #[serde(with = "encoding::optional_base64_bytes")]
    pub hpke_key: Option<Vec<u8>>,
    /// The SHA-256 of the SubjectPublicKeyInfo that the enclave's TLS ends with, if it does.
    pub tls_key: Option<Digest>,
    /// The first moment of the epoch.
    pub not_before: Timestamp,
    /// The last moment of the epoch.
    pub not_after: Timestamp,
    /// What the enclave runs.
    pub configuration: EnclaveConfiguration,
    /// What nobody could know before: the evidence is younger than it.
    pub beacon: Option<Beacon>,
    /// What a client sent, in evidence that answers it: 1 to [`MAX_NONCE`] bytes.
    #[serde(with = "encoding::optional_base64_bytes")]
    pub nonce: Option<Vec<u8>>,
}

/// What an enclave runs, and cannot change while it has its keys.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EnclaveConfiguration {
    /// What computes.
    pub engine: EngineUsed,
    /// The packages that it may load, in ascending order, each once.
    pub models: Vec<ModelId>,
    /// How far its signatures speak.
    pub scope: EvidenceScope,
}

/// A block of a chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// The chain, CAIP-2.
    pub network: String,
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: Digest,
}

impl KeyBinding {
    /// Returns what binds a key, P-256, to an epoch and to what runs, without what may be there or
    /// not.
    #[must_use]
    pub fn new(
        epoch_key: &PublicKey,
        (not_before, not_after): (Timestamp, Timestamp),
        configuration: EnclaveConfiguration,
    ) -> Self {
        Self {
            epoch_key: epoch_key.as_der().to_vec(),
            hpke_key: None,
            tls_key: None,
            not_before,
            not_after,
            configuration,
            beacon: None,
            nonce: None,
        }
    }

    /// Returns the 64 bytes that evidence has in the place for its user's data: the SHA-512 of
    /// `assay/tee-bind/v1` and then, each after its length in 8 bytes big-endian: the epoch's key,
    /// the HPKE key, the TLS key's digest, the first and last moment in milliseconds (8 bytes
    /// big-endian each), the digest of the configuration, the beacon's JSON, the nonce. What is not
    /// there has the length 0.
    #[must_use]
    pub fn digest(&self) -> [u8; 64] {
        let beacon = self.beacon.as_ref().and_then(|beacon| json::to_vec(beacon).ok());
        let configuration = self.configuration.digest();
        let fields: [&[u8]; 8] = [
            &self.epoch_key,
            self.hpke_key.as_deref().unwrap_or_default(),
            self.tls_key.as_ref().map_or(&[], |digest| digest.as_bytes()),
            &self.not_before.as_millis().to_be_bytes(),
            &self.not_after.as_millis().to_be_bytes(),
            configuration.as_bytes(),
            beacon.as_deref().unwrap_or_default(),
            self.nonce.as_deref().unwrap_or_default(),
        ];
        let mut hash = Sha512::new_with_prefix(DOMAIN);
        for field in fields {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        hash.finalize().into()
    }

    /// Checks what the types leave open, so that one digest is of one binding: what is there is not
    /// empty, as the digest cannot tell that from what is not; and models are a set.
    pub(super) fn check(&self, checks: Checks) -> Result<(), Refusal> {
        let check = Check::EvidenceEncoding;
        if let Some(nonce) = &self.nonce {
            let expected = format!("no nonce, or one of 1 to {MAX_NONCE} bytes");
            let holds = (1..=MAX_NONCE).contains(&nonce.len());
            checks.require(check, holds, expected, format!("{} bytes", nonce.len()))?;
        }
        let is_empty = self.hpke_key.as_ref().is_some_and(Vec::is_empty);
        checks.require(check, !is_empty, "no HPKE key, or one with bytes", "an empty one")?;
        let models = self.configuration.models.as_slice();
        let wrong = models.iter().zip(models.iter().skip(1)).find(|(one, next)| one >= next);
        let got = wrong.map_or_else(String::new, |(one, next)| format!("{one} before {next}"));
        checks.require(check, wrong.is_none(), "models in ascending order, each once", got)
    }
}

impl EnclaveConfiguration {
    /// Returns the SHA-256 of the configuration's JSON.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&json::to_vec(self).unwrap_or_default())
    }
}

/// Returns the bytes that a TPM's quote has as `extraData` for a binding: its hashes are shorter.
#[must_use]
pub fn tpm_extra_data(binding: &[u8; 64]) -> [u8; 32] {
    Sha256::digest(binding).into()
}

/// Returns the nonce that a GPU's evidence must answer, so that no other machine's GPU can: it depends
/// on the binding and on the CPU's evidence.
#[must_use]
pub fn gpu_nonce(binding: &[u8; 64], cpu_evidence: Digest) -> [u8; 32] {
    Digest::of_parts(&[GPU_DOMAIN, binding, cpu_evidence.as_bytes()]).0
}
