//! Dead Simple Signing Envelope v1 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md).
//!
//! The bytes that were signed are the bytes that are kept: an envelope holds them in base64 and they
//! are never re-serialised.

use assay_primitives::{Digest, KeyId, encoding, printable};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{PublicKey, SignatureError, SigningKey};

/// What is wrong with an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DsseError {
    /// Another kind of payload than was asked for.
    #[error("payload type: expected `{expected}`, got `{got}`")]
    PayloadType {
        /// The type that was asked for.
        expected: String,
        /// The type the envelope states.
        got: String,
    },
    /// Not exactly one signature.
    #[error("signatures: expected 1, got {0}")]
    SignatureCount(usize),
    /// The key id is not that of the key.
    #[error("keyid: expected `{expected}`, got `{got}`")]
    KeyId {
        /// The id of the key that was asked for.
        expected: KeyId,
        /// The hint in the envelope.
        got: String,
    },
    /// The signature is malformed or does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A DSSE envelope with its payload decoded from base64.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// The bytes that are signed.
    #[serde(with = "encoding::base64_bytes")]
    pub payload: Vec<u8>,
    /// What the payload is, a media type; signed too.
    pub payload_type: String,
    /// The signatures; Assay's envelopes have exactly one.
    pub signatures: Vec<DsseSignature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DsseSignature {
    /// A hint at the key, here always its [`KeyId`]; not signed, so the verifier compares it.
    pub keyid: String,
    /// ASN.1 DER of an ECDSA P-256 signature with low S.
    #[serde(with = "encoding::base64_bytes")]
    pub sig: Vec<u8>,
}

impl Envelope {
    /// Signs `payload`.
    #[must_use]
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let sig = key.sign(&pre_authentication_encoding(payload_type, &payload));
        let keyid = key.public().id().to_string();
        let signatures = vec![DsseSignature { keyid, sig }];
        Self { payload, payload_type: payload_type.to_owned(), signatures }
    }

    /// Checks type, key id and signature, and returns the payload.
    ///
    /// # Errors
    /// Names the first of these that fails.
    pub fn verify(&self, payload_type: &str, key: &PublicKey) -> Result<&[u8], DsseError> {
        if self.payload_type != payload_type {
            let (expected, got) = (payload_type.to_owned(), printable(&self.payload_type, 128));
            return Err(DsseError::PayloadType { expected, got });
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(DsseError::SignatureCount(self.signatures.len()));
        };
        if signature.keyid != key.id().to_string() {
            let got = printable(&signature.keyid, 128);
            return Err(DsseError::KeyId { expected: key.id(), got });
        }
        key.verify(&self.signed_bytes(), &signature.sig)?;
        Ok(&self.payload)
    }

    /// Returns the SHA-256 of the signed bytes: the envelope's identity, whatever its signature.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let header = encoding_header(&self.payload_type, self.payload.len());
        Digest::of_parts(&[header.as_bytes(), &self.payload])
    }

    fn signed_bytes(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }
}

/// Returns the bytes that a signature covers (DSSE protocol.md, "PAE").
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    [encoding_header(payload_type, payload.len()).as_bytes(), payload].concat()
}

fn encoding_header(payload_type: &str, payload_length: usize) -> String {
    format!("DSSEv1 {} {payload_type} {payload_length} ", payload_type.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_that_of_the_specification() {
        // The example of DSSE's protocol.md.
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
