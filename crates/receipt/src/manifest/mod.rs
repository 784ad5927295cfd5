//! The key manifest: which keys an operator uses and for what, signed by its identity key.

use std::collections::HashSet;
use std::fmt;

use assay_primitives::json::{self, StrictJsonError};
use assay_primitives::{
    Account, Digest, KeyId, Network, OperatorId, Timestamp, encoding, printable,
};
use serde::{Deserialize, Serialize};

use crate::{DsseError, Envelope, PublicKey, SigningKey};

/// The DSSE payload type of a key manifest.
pub const MANIFEST_PAYLOAD_TYPE: &str = "application/vnd.assay.key-manifest.v1+json";
/// The most bytes a manifest may have.
const MAX_BYTES: usize = 1 << 20;
/// The most characters of a text of it that an error repeats.
const MAX_SHOWN: usize = 128;

/// A key manifest: its content is only to be had after its signature was checked against the
/// identity key that it names. Whether that identity is the expected one is for the caller to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyManifest {
    content: ManifestContent,
    identity: PublicKey,
    digest: Digest,
    /// The ids of `content.keys`, in their order.
    ids: Vec<KeyId>,
    /// The keys among them that sign receipts.
    receipt_keys: Vec<PublicKey>,
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
    /// The digest of the version before; none in version 1.
    pub previous: Option<Digest>,
    /// When this was signed.
    pub issued_at: Timestamp,
    /// The keys, each once, old ones included: a manifest only grows.
    pub keys: Vec<ManifestKey>,
    /// Where the operator is paid.
    pub settlement_addresses: Vec<SettlementAddress>,
    /// Where the operator sells.
    pub gateways: Vec<String>,
    /// Images of enclaves that the operator stands by, as `nitro:pcr0=17bf8f…`. A text that cannot be read
    /// is one that no enclave is of.
    pub enclave_measurements: Vec<String>,
    /// Keys that must not be believed any more, each once.
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
    /// Until when it is used, this moment included.
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
    /// A field has a value that it cannot have.
    #[error("key manifest: {field}: expected {expected}, got {got}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it can be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A newer version does not contain what an older one says.
    #[error("key manifest version {newer} does not follow from version {older}: {lost}")]
    History {
        /// The newer version.
        newer: u64,
        /// The older version.
        older: u64,
        /// What of the older one is not in the newer.
        lost: String,
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
        let length = envelope.payload.len();
        if length > MAX_BYTES {
            return field("length", format!("at most {MAX_BYTES} bytes"), length);
        }
        let content: ManifestContent = json::from_slice(&envelope.payload)?;
        let identity = PublicKey::from_der(&content.identity_key)?;
        if content.operator.0 != identity.id().0 {
            let (expected, got) = (content.operator, identity.id());
            return Err(ManifestError::Operator { expected, got });
        }
        content.check_versions()?;
        let ids = content.check_keys()?;
        let receipt_keys = content
            .keys
            .iter()
            .filter(|key| key.purpose == KeyPurpose::Receipt)
            .map(|key| PublicKey::from_der(&key.public_key))
            .collect::<Result<_, _>>()?;
        envelope.verify(MANIFEST_PAYLOAD_TYPE, &identity)?;
        Ok(Self { content, identity, digest: envelope.digest(), ids, receipt_keys })
    }

    /// Checks that this manifest contains what an older one of the same operator says: the same keys
    /// from the same moments on, every enclave image, and every revocation. Of one version there is one
    /// manifest.
    ///
    /// # Errors
    /// Names what of the older one is lost.
    pub fn check_follows(&self, older: &Self) -> Result<(), ManifestError> {
        let (new, old) = (&self.content, &older.content);
        let lost = |lost: String| {
            Err(ManifestError::History { newer: new.version, older: old.version, lost })
        };
        if new.version == old.version && self.digest != older.digest {
            return lost(format!("one is {}, the other {}", self.digest, older.digest));
        }
        let is_next = old.version.checked_add(1) == Some(new.version);
        if is_next && new.previous != Some(older.digest) {
            return lost(format!("it does not name {} as the one before", older.digest));
        }
        for (id, key) in older.ids.iter().zip(&old.keys) {
            if self.key(*id, key.purpose).is_none_or(|same| same.valid_from != key.valid_from) {
                return lost(format!("key {id} in use from {}", key.valid_from));
            }
        }
        let images: HashSet<&String> = new.enclave_measurements.iter().collect();
        if let Some(image) = old.enclave_measurements.iter().find(|one| !images.contains(one)) {
            return lost(format!("the enclave image `{}`", printable(image, MAX_SHOWN)));
        }
        match old.revocations.iter().find(|one| self.revocation(one.key).is_none()) {
            Some(revocation) => lost(format!("the revocation of key {}", revocation.key)),
            None => Ok(()),
        }
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

    /// Returns the SHA-256 of the signed bytes, by which the next version names this one.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Finds a key by its id and purpose.
    #[must_use]
    pub fn key(&self, id: KeyId, purpose: KeyPurpose) -> Option<&ManifestKey> {
        let mut keys = self.ids.iter().zip(&self.content.keys);
        keys.find(|(own, key)| **own == id && key.purpose == purpose).map(|(_, key)| key)
    }

    /// Finds a key that signs receipts, with when it is used.
    #[must_use]
    pub fn receipt_key(&self, id: KeyId) -> Option<(&PublicKey, &ManifestKey)> {
        let public = self.receipt_keys.iter().find(|key| key.id() == id)?;
        Some((public, self.key(id, KeyPurpose::Receipt)?))
    }

    /// Finds the revocation of a key.
    #[must_use]
    pub fn revocation(&self, id: KeyId) -> Option<&KeyRevocation> {
        self.content.revocations.iter().find(|revocation| revocation.key == id)
    }
}

impl ManifestContent {
    fn check_versions(&self) -> Result<(), ManifestError> {
        match (self.version, self.previous) {
            (0, _) => field("version", "1 or more", self.version),
            (1, Some(previous)) => field("previous", "none in version 1", previous),
            (2.., None) => field("previous", "the digest of the version before", "none"),
            _ => Ok(()),
        }
    }

    /// Returns the keys' ids.
    fn check_keys(&self) -> Result<Vec<KeyId>, ManifestError> {
        let ids: Vec<KeyId> =
            self.keys.iter().map(|key| KeyId(Digest::of(&key.public_key))).collect();
        check_each_once("keys", ids.iter().copied())?;
        check_each_once("revocations", self.revocations.iter().map(|one| one.key))?;
        match self.keys.iter().find(|key| key.valid_from > key.valid_to) {
            Some(key) => field("validTo", format!("{} or later", key.valid_from), key.valid_to),
            None => Ok(ids),
        }
    }
}

fn check_each_once(
    list: &'static str,
    ids: impl Iterator<Item = KeyId>,
) -> Result<(), ManifestError> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return field(list, "each key once", format!("{id} again"));
        }
    }
    Ok(())
}

fn field<T>(
    field: &'static str,
    expected: impl fmt::Display,
    got: impl fmt::Display,
) -> Result<T, ManifestError> {
    let (expected, got) = (expected.to_string(), got.to_string());
    Err(ManifestError::Field { field, expected, got })
}

#[cfg(test)]
mod tests;
