use assay_attest::Images;
use assay_primitives::{OperatorId, Timestamp};
use assay_receipt::{Envelope, KeyManifest, KeyPurpose, SigningKey};
use assay_verify::{Refusal, Verified, open_manifest};
use thiserror::Error;

/// Who sells: the key manifest, and the receipt key in it that signs now.
#[derive(Debug)]
pub struct Operator {
    envelope: Envelope,
    manifest: Verified<KeyManifest>,
    images: Images,
    receipt_key: SigningKey,
}

/// Keys that cannot sell.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OperatorError {
    /// The key manifest does not hold.
    #[error(transparent)]
    Manifest(#[from] Refusal),
    /// The receipt key is not in the manifest.
    #[error("receipt key {0} is not in the key manifest: run `assay key rotate`")]
    NotListed(assay_primitives::KeyId),
    /// The receipt key is revoked.
    #[error("receipt key {0} is revoked: run `assay key rotate`")]
    Revoked(assay_primitives::KeyId),
    /// The receipt key is not in use at this time.
    #[error("receipt key is in use from {from} to {to}, now it is {now}: run `assay key rotate`")]
    NotValid {
        /// From when on it is used.
        from: Timestamp,
        /// Until when it is used.
        to: Timestamp,
        /// The time of the question.
        now: Timestamp,
    },
}

impl Operator {
    /// Takes an operator's keys, checking that the receipt key can sign at `now`.
    ///
    /// # Errors
    /// When the manifest does not hold, or the key is not in it or not in use.
    pub fn new(
        envelope: Envelope,
        receipt_key: SigningKey,
        now: Timestamp,
    ) -> Result<Self, OperatorError> {
        let manifest = open_manifest(&envelope)?;
        let id = receipt_key.public().id();
        let listed = manifest.key(id, KeyPurpose::Receipt).ok_or(OperatorError::NotListed(id))?;
        if manifest.revocation(id).is_some() {
            return Err(OperatorError::Revoked(id));
        }
        if now < listed.valid_from || now > listed.valid_to {
            let (from, to) = (listed.valid_from, listed.valid_to);
            return Err(OperatorError::NotValid { from, to, now });
        }
        let images = Images::from_texts(&manifest.content().enclave_measurements);
        Ok(Self { envelope, manifest, images, receipt_key })
    }

    /// Returns the operator's id.
    #[must_use]
    pub fn id(&self) -> OperatorId {
        self.manifest.content().operator
    }

    /// Returns the key manifest as it is published.
    #[must_use]
    pub const fn manifest_envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Returns the key manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Verified<KeyManifest> {
        &self.manifest
    }

    /// Returns the images of enclaves that the manifest lists.
    #[must_use]
    pub const fn images(&self) -> &Images {
        &self.images
    }

    /// Returns the key that signs receipts.
    #[must_use]
    pub const fn receipt_key(&self) -> &SigningKey {
        &self.receipt_key
    }
}
