//! The key manifest: which keys an operator uses and for what, signed by its identity key.

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{Account, Digest, KeyId, Network, OperatorId, Timestamp, encoding};
use serde::{Deserialize, Serialize};

use crate::{DsseError, Envelope, PublicKey, SigningKey};

/// The DSSE payload type of a key manifest.
pub const MANIFEST_PAYLOAD_TYPE: &str = "application/vnd.assay.key-manifest.v1+json";

/// A key manifest: its content is only to be had after its signature was checked against the
/// identity key that it names. Whether that identity is the expected one is for the caller to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyManifest {
    content: ManifestContent,
    identity: PublicKey,
}

/// What a manifest says. A newer one has a higher version and names the one before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ManifestContent {
    /// The operator: the id of `identityKey`.
    pub operator: OperatorId,
    /// The operator's identity, DER.
    #[serde(with = "encoding::base64_bytes")]
    pub identity_key: Vec<u8>,
    /// Counts up from 1.
    pub version: u64,
    /// The digest of the version before.
    pub previous: Option<Digest>,
    /// When this was signed.
    pub issued_at: Timestamp,
    /// The keys, old ones included: a manifest only grows.
    pub keys: Vec<ManifestKey>,
    /// Where the operator is paid.
    pub settlement_addresses: Vec<SettlementAddress>,
    /// Where the operator sells.
    pub gateways: Vec<String>,
    /// Enclave measurements the operator stands by, as policies name them.
    pub enclave_measurements: Vec<String>,
    /// Keys that must not be believed any more.
    pub revocations: Vec<KeyRevocation>,
}

/// A key of the operator's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ManifestKey {
    /// What it is used for.
    pub purpose: KeyPurpose,
    /// The public key, DER.
    #[serde(with = "encoding::base64_bytes")]
    pub public_key: Vec<u8>,
    /// From when on it is used.
    pub valid_from: Timestamp,
    /// Until when it is used.
    pub valid_to: Timestamp,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Signs the heads of the ledger.
    Ledger,
    /// Signs receipts and settlement records.
    Receipt,
}

/// An address the operator is paid at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementAddress {
    /// The network.
    pub network: Network,
    /// The account on it.
    pub account: Account,
}

/// A key that must not be believed any more, whenever it claims to have signed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRevocation {
    /// The key.
    pub key: KeyId,
    /// Why, in words.
    pub reason: String,
    /// From when on it must not be believed.
    pub time: Timestamp,
}

/// What is wrong with a key manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The envelope is not signed by the identity that the manifest names.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// Not the JSON of a manifest.
    #[error("key manifest: {0}")]
    Json(#[from] StrictJsonError),
    /// The identity key, or a key in the list, cannot be read.
    #[error("key manifest: {0}")]
    Key(#[from] crate::KeyError),
    /// The operator's id is not that of the identity key.
    #[error("operator: manifest says {expected}, its identity key has {got}")]
    Operator {
        /// The stated operator.
        expected: OperatorId,
        /// The id of the identity key.
        got: KeyId,
    },
}

impl KeyManifest {
    /// Signs a manifest; its operator and identity key are set to those of `identity`.
    ///
    /// # Errors
    /// When the content cannot be written as JSON.
    pub fn sign(
        mut content: ManifestContent,
        identity: &SigningKey,
    ) -> Result<Envelope, ManifestError> {
        content.operator = OperatorId(identity.public().id().0);
        content.identity_key = identity.public().as_der().to_vec();
        Ok(Envelope::sign(MANIFEST_PAYLOAD_TYPE, json::to_vec(&content)?, identity))
    }

    /// Reads a manifest, checking its signature against the identity key it names.
    ///
    /// # Errors
    /// Names the first check that fails.
    pub fn open(envelope: &Envelope) -> Result<Self, ManifestError> {
        let content: ManifestContent = json::from_slice(&envelope.payload)?;
        let identity = PublicKey::from_der(&content.identity_key)?;
        if content.operator.0 != identity.id().0 {
            let (expected, got) = (content.operator, identity.id());
            return Err(ManifestError::Operator { expected, got });
        }
        envelope.verify(MANIFEST_PAYLOAD_TYPE, &identity)?;
        Ok(Self { content, identity })
    }

    /// Returns what the manifest says.
    #[must_use]
    pub const fn content(&self) -> &ManifestContent {
        &self.content
    }

    /// Returns the operator's identity key.
    #[must_use]
    pub const fn identity(&self) -> &PublicKey {
        &self.identity
    }

    /// Finds a key by its id and purpose.
    #[must_use]
    pub fn key(&self, id: KeyId, purpose: KeyPurpose) -> Option<&ManifestKey> {
        self.content
            .keys
            .iter()
            .find(|key| key.purpose == purpose && Digest::of(&key.public_key) == id.0)
    }

    /// Finds the revocation of a key.
    #[must_use]
    pub fn revocation(&self, id: KeyId) -> Option<&KeyRevocation> {
        self.content.revocations.iter().find(|revocation| revocation.key == id)
    }
}
