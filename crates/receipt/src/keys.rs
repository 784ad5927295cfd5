//! ECDSA on P-256 with SHA-256, the one signature algorithm of receipts.
//!
//! A signature is ASN.1 DER in strict form with low S: of the two values of S that verify, the
//! smaller, so that nobody can make a second signature out of a first. Signing follows RFC 6979 and
//! needs no randomness. Verification is ring's, which takes a third of the time that `p256` takes
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

#[cfg(test)]
mod tests {
    use assay_primitives::encoding::{from_hex, hex};

    use super::*;

    /// The key of RFC 6979 section A.2.5.
    fn key() -> SigningKey {
        let scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        let key = p256::ecdsa::SigningKey::from_slice(&from_hex::<32>(scalar).unwrap()).unwrap();
        SigningKey::new(key).unwrap()
    }

    const R: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
    const HIGH_S: &str = "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    const LOW_S: &str = "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9";

    fn raw(r: &str, s: &str) -> [u8; 64] {
        from_hex(&[r, s].concat()).unwrap()
    }

    /// DER as openssl writes it, of whatever size the integers are.
    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let integer = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let integers = [integer(r), integer(s)].concat();
        [&[0x30, u8::try_from(integers.len()).unwrap()], integers.as_slice()].concat()
    }

    #[test]
    fn signatures_are_those_of_rfc_6979_with_low_s() {
        let key = key();
        let signature = key.sign(b"sample");
        assert_eq!(hex(&signature), format!("3045022100{R}0220{LOW_S}"));
        assert_eq!(signature_to_raw(&signature), Ok(raw(R, LOW_S)));
        assert_eq!(key.public().verify(b"sample", &signature), Ok(()));
        let id = key.public().id();
        assert_eq!(key.public().verify(b"samplf", &signature), Err(SignatureError::Invalid(id)));
        assert_eq!(
            hex(key.public().as_point()),
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
             7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
        );
    }

    #[test]
    fn the_other_value_of_s_is_refused_and_made_low() {
        let r = [&[0], from_hex::<32>(R).unwrap().as_slice()].concat();
        let s = [&[0], from_hex::<32>(HIGH_S).unwrap().as_slice()].concat();
        let twin = der(&r, &s);
        assert_eq!(signature_to_raw(&twin), Err(SignatureError::HighS));
        assert_eq!(key().public().verify(b"sample", &twin), Err(SignatureError::HighS));
        assert_eq!(signature_from_raw(&raw(R, HIGH_S)), Ok(key().sign(b"sample")));
        assert_eq!(signature_from_raw(&raw(R, LOW_S)), Ok(key().sign(b"sample")));
    }

    #[test]
    fn short_and_high_bit_integers_convert_both_ways() {
        let word = |bytes: &[u8]| {
            let mut word = [0; 32];
            word[32 - bytes.len()..].copy_from_slice(bytes);
            hex(&word)
        };
        for (r, s, expected) in [
            (word(&[1]), word(&[1]), "3006020101020101"),
            (word(&[0x7f]), word(&[0x80]), "300702017f02020080"),
            (word(&[0xff, 0]), word(&[1, 0]), "3009020300ff0002020100"),
        ] {
            let raw = raw(&r, &s);
            let der = signature_from_raw(&raw).unwrap();
            assert_eq!(hex(&der), expected);
            assert_eq!(signature_to_raw(&der), Ok(raw));
        }
    }

    #[test]
    fn der_has_one_spelling() {
        let good = der(&[1], &[1]);
        assert!(signature_to_raw(&good).is_ok());
        let order =
            from_hex::<32>("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let order = [&[0], order.unwrap().as_slice()].concat();
        for (what, wrong) in [
            ("a leading zero", der(&[0, 1], &[1])),
            ("a negative integer", der(&[0x80], &[1])),
            ("zero", der(&[0], &[1])),
            ("zero", der(&[1], &[0])),
            ("no bytes", der(&[], &[1])),
            ("the group's order", der(&order, &[1])),
            ("the group's order", der(&[1], &order)),
            ("a long-form length", [&[0x30, 0x81, 6], &good[2..]].concat()),
            ("an indefinite length", [&[0x30, 0x80], &good[2..], &[0, 0]].concat()),
            ("a long-form integer", vec![0x30, 7, 2, 0x81, 1, 1, 2, 1, 1]),
            ("something after it", [good.as_slice(), &[0]].concat()),
            ("a third integer", vec![0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1]),
            ("a missing byte", good[..7].to_vec()),
            ("another tag", [&[0x31], &good[1..]].concat()),
            ("nothing", Vec::new()),
        ] {
            let error = SignatureError::Encoding(wrong.len());
            assert_eq!(signature_to_raw(&wrong), Err(error), "{what} was accepted");
        }
    }

    #[test]
    fn public_keys_have_one_form() {
        let key = key();
        let der = key.public().as_der();
        assert_eq!(PublicKey::from_der(der).as_ref(), Ok(key.public()));
        assert_eq!(key.public().id().0, Digest::of(der));
        let off_the_curve = [&der[..90], &[der[90] ^ 1]].concat();
        let compressed = [&[0x30, 0x39], &der[2..24], &[0x22, 0], &[2], &der[27..59]].concat();
        let other_curve = [&der[..22], &[0x0a], &der[23..]].concat();
        let infinity = [&SPKI_PREFIX, [0; 65].as_slice()].concat();
        let longer = [der, &[0]].concat();
        for wrong in [off_the_curve, compressed, other_curve, infinity, longer, Vec::new()] {
            assert_eq!(PublicKey::from_der(&wrong), Err(KeyError::PublicKey(wrong.len())));
        }
    }

    #[test]
    fn a_private_key_is_stored_as_pem_and_never_shown() {
        let key = key();
        let pem = key.to_pem().unwrap();
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id()));
        assert!(matches!(SigningKey::from_pem("x"), Err(KeyError::PrivateKey(_))));
    }
}
