//! What an enclave signs of an item that it ran.

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{DsseError, Envelope, EvidenceScope, ModelUsed, PublicKey, SigningKey, Usage};

/// The DSSE payload type of an enclave's statement, which is also its version.
pub const ENCLAVE_STATEMENT_PAYLOAD_TYPE: &str = "application/vnd.assay.enclave-statement.v1+json";

/// The media type of an [`Envelope`] as evidence: its JSON, in its one spelling.
pub const DSSE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// What an enclave says of an item, made inside of the plaintext that it saw. The salts of the
/// commitments are the transaction's, so the statement belongs to one item of one transaction.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct EnclaveStatement {
    /// What ran.
    pub model: ModelUsed,
    /// What is billed.
    pub usage: Usage,
    /// The commitment to the request.
    pub request_commitment: Digest,
    /// The commitment to the output.
    pub output_commitment: Digest,
    /// Whether the model itself ran inside, or what is outside was asked.
    pub scope: EvidenceScope,
    /// When, by the enclave's clock.
    pub signed_at: Timestamp,
}

impl EnclaveStatement {
    /// Signs the statement with the key of the epoch, and returns the evidence.
    ///
    /// # Errors
    /// Never for a statement; the signature is that of the JSON writer.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, StrictJsonError> {
        let payload = json::to_vec(self)?;
        json::to_vec(&Envelope::sign(ENCLAVE_STATEMENT_PAYLOAD_TYPE, payload, key))
    }
}

/// An enclave's statement, read but not verified.
#[derive(Clone, Debug)]
pub struct SignedEnclaveStatement {
    envelope: Envelope,
    claimed: EnclaveStatement,
}

impl SignedEnclaveStatement {
    /// Reads the evidence.
    ///
    /// # Errors
    /// When it is not the one spelling of an envelope with a statement.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StrictJsonError> {
        let envelope: Envelope = json::from_slice(bytes)?;
        let claimed = json::from_slice(&envelope.payload)?;
        Ok(Self { envelope, claimed })
    }

    /// Returns when it says it was signed: at this time the key has to be looked at.
    #[must_use]
    pub const fn claimed_time(&self) -> Timestamp {
        self.claimed.signed_at
    }

    /// Returns what is stated, once the signature holds.
    ///
    /// # Errors
    /// When it is not signed by `key`.
    pub fn verify(&self, key: &PublicKey) -> Result<&EnclaveStatement, DsseError> {
        self.envelope.verify(ENCLAVE_STATEMENT_PAYLOAD_TYPE, key)?;
        Ok(&self.claimed)
    }
}
