//! ECDSA on P-256 with SHA-256, the one signature algorithm of receipts.
//!
//! A signature is ASN.1 DER in strict form with low S: of the two values of S that verify, the
//! smaller, so that nobody can make a second signature out of a first. Signing follows RFC 6979 and
//! needs no randomness. Verification is ring's, which takes a fifth of the time of `p256`
//! (`cargo bench -p assay-receipt`).

use std::fmt;

use assay_primitives::{Digest, KeyId, Randomness, RandomnessError};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not the DER of an uncompressed P-256 public key.
    #[error(
        "not a P-256 public key in DER (SubjectPublicKeyInfo, uncompressed, 91 bytes): got {0} bytes"
    )]
    PublicKey(usize),
    /// Not a P-256 private key in PKCS#8 PEM.
    #[error("not a P-256 private key in PKCS#8 PEM: {0}")]
    PrivateKey(String),
    /// No randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// A signature that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not strict DER of two integers in range.
    #[error("signature is not strict DER of two integers: {0} bytes")]
    Encoding(usize),
    /// The larger of the two values of S.
    #[error("signature has a high S: expected the low one of the two")]
    HighS,
    /// Well formed, and not by this key over these bytes.
    #[error("signature does not verify under key {0}")]
    Invalid(KeyId),
}

/// DER of `SubjectPublicKeyInfo { ecPublicKey, prime256v1 }` up to the uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 public key, checked to be a point of the curve.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    der: [u8; 91],
    id: KeyId,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` in DER with an uncompressed point, the only accepted form.
    ///
    /// # Errors
    /// When it has another form or the point is not on the curve.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let wrong = || KeyError::PublicKey(der.len());
        let der: [u8; 91] = der.try_into().map_err(|_| wrong())?;
        let point = der.strip_prefix(&SPKI_PREFIX).ok_or_else(wrong)?;
        if point.first() != Some(&4) {
            return Err(wrong());
        }
        p256::PublicKey::from_sec1_bytes(point).map_err(|_| wrong())?;
        Ok(Self { der, id: KeyId(Digest::of(&der)) })
    }

    /// Returns the `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub const fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the uncompressed point: 0x04, x, y (SEC 1 section 2.3.3).
    #[must_use]
    pub fn as_point(&self) -> &[u8] {
        self.der.get(SPKI_PREFIX.len()..).unwrap_or_default()
    }

    /// Returns the key's id: the SHA-256 of its DER.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Checks a DER signature over `message` (which is hashed here).
    ///
    /// # Errors
    /// When the signature is not strict DER, has a high S, or does not verify.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let raw = signature_to_raw(signature)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.as_point())
            .verify(message, &raw)
            .map_err(|_| SignatureError::Invalid(self.id))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// Converts a strict DER, low-S signature to r || s, 32 bytes each: what WebCrypto and the EVM want.
///
/// # Errors
/// When it is not strict DER of two integers in range, or S is high.
pub fn signature_to_raw(der: &[u8]) -> Result<[u8; 64], SignatureError> {
    let wrong = || SignatureError::Encoding(der.len());
    let signature = p256::ecdsa::Signature::from_der(der).map_err(|_| wrong())?;
    if signature.to_der().as_bytes() != der {
        return Err(wrong());
    }
    if signature.normalize_s() != signature {
        return Err(SignatureError::HighS);
    }
    Ok(signature.to_bytes().into())
}

/// Converts r || s to the DER that receipts carry, with S made low.
///
/// # Errors
/// When r or s is zero or not below the group order.
pub fn signature_from_raw(raw: &[u8; 64]) -> Result<Vec<u8>, SignatureError> {
    let signature =
        p256::ecdsa::Signature::from_slice(raw).map_err(|_| SignatureError::Encoding(raw.len()))?;
    Ok(signature.normalize_s().to_der().as_bytes().to_vec())
}

/// A P-256 private key. It shows only its id.
#[derive(Clone)]
pub struct SigningKey {
    key: p256::ecdsa::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, KeyError> {
        loop {
            let scalar = Zeroizing::new(randomness.array::<32>()?);
            // All but one in 2^32 of the 32-byte strings are scalars of the group.
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(scalar.as_ref()) {
                return Self::new(key);
            }
        }
    }

    /// Reads a PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is not one of a P-256 private key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map_err(|error| KeyError::PrivateKey(error.to_string()))?;
        Self::new(key)
    }

    /// Writes the key as PKCS#8 PEM.
    ///
    /// # Errors
    /// When the encoder fails, which it does not for a key of this type.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| KeyError::PrivateKey(error.to_string()))
    }

    /// Returns the public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` (which is hashed here); returns strict DER with low S.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = self.key.sign(message);
        signature.normalize_s().to_der().as_bytes().to_vec()
    }

    fn new(key: p256::ecdsa::SigningKey) -> Result<Self, KeyError> {
        let point = key.verifying_key().to_sec1_point(false);
        let der = [&SPKI_PREFIX, point.as_bytes()].concat();
        Ok(Self { public: PublicKey::from_der(&der)?, key })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}
