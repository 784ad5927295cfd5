//! Salted commitments to requests and outputs, and the salts they take.
//!
//! Every salt of a transaction comes from one secret by HKDF-SHA256 (RFC 5869), so that a service
//! that crashed between storing the secret and storing the receipt makes the same salts again.
//! Its key is extracted once for each secret; a salt is one block under it, which is one HMAC and cannot fail.

use std::fmt;
use std::str::FromStr;

use assay_primitives::encoding::{self, EncodingError};
use assay_primitives::{Digest, Randomness, RandomnessError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Thirty-two bytes that make a hash of something guessable unguessable.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Thirty-two zero bytes: the word for "none" where a salt has a fixed place.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Salt {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encoding::hex(&self.0))
    }
}

impl FromStr for Salt {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        encoding::from_hex(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

/// What a key leaves in the state of a hash is wiped with it.
const _: () = {
    const fn is_wiped<T: ZeroizeOnDrop>() {}
    is_wiped::<Sha256>();
};

/// The secret that all salts of one transaction come from.
#[derive(Clone)]
pub struct TransactionSecret {
    bytes: Zeroizing<[u8; 32]>,
    /// HKDF's second step under the key that its first made of the secret.
    expand: Hmac<Sha256>,
}

impl TransactionSecret {
    /// Makes a new secret.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn new(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        Ok(Self::of(Zeroizing::new(randomness.array()?)))
    }

    /// Takes a secret that was stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self::of(Zeroizing::new(bytes))
    }

    /// HKDF-SHA256's extraction, without a salt.
    fn of(bytes: Zeroizing<[u8; 32]>) -> Self {
        let extracted = Zeroizing::new(hmac(&[0; 32], &[&*bytes]));
        Self { bytes, expand: keyed(&extracted) }
    }

    /// Returns the bytes, for storing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Returns the salt of item `index`'s Merkle leaf.
    #[must_use]
    pub fn leaf_salt(&self, index: u32) -> Salt {
        self.salt(b"leaf", index)
    }

    /// Returns the salt of item `index`'s request.
    #[must_use]
    pub fn request_salt(&self, index: u32) -> Salt {
        self.salt(b"request", index)
    }

    /// Returns the salt of item `index`'s output.
    #[must_use]
    pub fn output_salt(&self, index: u32) -> Salt {
        self.salt(b"output", index)
    }

    /// HKDF-SHA256's expansion to 32 bytes, so that its output is its first block: T(1).
    fn salt(&self, purpose: &[u8], index: u32) -> Salt {
        let info: [&[u8]; 5] = [b"assay salt v1 ", purpose, b" ", &index.to_be_bytes(), &[1]];
        Salt(finished(self.expand.clone(), &info))
    }
}

impl fmt::Debug for TransactionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransactionSecret(..)")
    }
}

/// Returns the commitment to a request.
#[must_use]
pub fn commit_request(salt: &Salt, request: &[u8]) -> Digest {
    commit(salt, b"assay request commitment v1", request)
}

/// Returns the commitment to an output.
#[must_use]
pub fn commit_output(salt: &Salt, output: &[u8]) -> Digest {
    commit(salt, b"assay output commitment v1", output)
}

/// HMAC-SHA256(salt, domain as a 32-byte word || length as 8 bytes big-endian || bytes).
fn commit(salt: &Salt, domain: &[u8], bytes: &[u8]) -> Digest {
    let mut word = [0_u8; 32];
    for (to, from) in word.iter_mut().zip(domain) {
        *to = *from;
    }
    Digest(hmac(&salt.0, &[&word, &(bytes.len() as u64).to_be_bytes(), bytes]))
}

/// HMAC-SHA256 (RFC 2104) of the concatenation of `parts`.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    finished(keyed(key), parts)
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC fills a key up to the hash's block with zeros (RFC 2104 section 2).
    let mut block = Zeroizing::new([0_u8; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::<Sha256>::new((&*block).into())
}

fn finished(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_differ_by_purpose_and_index_and_come_again() {
        let secret = TransactionSecret::from_bytes([7; 32]);
        let all = [
            secret.leaf_salt(0),
            secret.leaf_salt(1),
            secret.request_salt(0),
            secret.request_salt(1),
            secret.output_salt(0),
            secret.output_salt(1),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
        assert_eq!(TransactionSecret::from_bytes([7; 32]).leaf_salt(0), all[0]);
    }

    #[test]
    fn salts_are_those_of_hkdf() {
        for (secret, index) in [([0; 32], 0), ([7; 32], 1), ([255; 32], u32::MAX)] {
            let hkdf = hkdf::Hkdf::<Sha256>::new(None, &secret);
            let secret = TransactionSecret::from_bytes(secret);
            for (purpose, salt) in [
                ("leaf", secret.leaf_salt(index)),
                ("request", secret.request_salt(index)),
                ("output", secret.output_salt(index)),
            ] {
                let info = [b"assay salt v1 ", purpose.as_bytes(), b" ", &index.to_be_bytes()];
                let mut expected = [0; 32];
                hkdf.expand_multi_info(&info, &mut expected).unwrap();
                assert_eq!(salt, Salt(expected));
            }
        }
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Test case 1: a key of 20 bytes 0x0b, here filled up with zeros as RFC 2104 says.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            Digest(hmac(&key, &[b"Hi ", b"There"])).to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let secret = TransactionSecret::from_bytes([7; 32]);
        assert_eq!(format!("{secret:?}"), "TransactionSecret(..)");
        assert_eq!(format!("{:?}", secret.leaf_salt(0)), "Salt(..)");
    }

    #[test]
    fn request_and_output_of_the_same_bytes_differ() {
        let salt = Salt([1; 32]);
        assert_ne!(commit_request(&salt, b"x"), commit_output(&salt, b"x"));
    }
}
