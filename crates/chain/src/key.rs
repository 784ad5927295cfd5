use std::fmt;

use alloy_primitives::{Address, B256, hex, keccak256};
use assay_primitives::{Randomness, RandomnessError};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use thiserror::Error;

/// An account's secp256k1 secret key. It prints as its address, and is erased when dropped.
pub struct AccountKey {
    secret: SecretKey,
    address: Address,
}

/// Bytes that are no key, or a signature that nobody made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 32 bytes of hexadecimal.
    #[error("not a secret key: expected 64 hexadecimal characters, got {0} characters")]
    Hex(usize),
    /// Zero, or not below the order of the curve.
    #[error("not a secret key: the number is zero or not below the order of secp256k1")]
    Range,
    /// No public key belongs to this signature.
    #[error("no key can have made this signature")]
    Signature,
    /// What was read back is no transaction that this program signs.
    #[error("a stored transaction cannot be read back")]
    Transaction,
    /// The machine has no randomness to give.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl AccountKey {
    /// Reads a key from its 32 bytes.
    ///
    /// # Errors
    /// When they are zero or not below the order of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SecretKey::from_secret_bytes(*bytes).map_err(|_| KeyError::Range)?;
        let address = address_of(&secret.public_key());
        Ok(Self { secret, address })
    }

    /// Reads a key from hexadecimal, with or without `0x`.
    ///
    /// # Errors
    /// When it is not 32 bytes of hexadecimal, or as [`AccountKey::from_bytes`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::Hex(text.len()))?;
        Self::from_bytes(&bytes)
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, KeyError> {
        Self::from_bytes(&randomness.array()?)
    }

    /// Returns the account's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a 32-byte hash: `r || s || v`, with `v` 27 or 28 and `s` in the lower half of the
    /// order. The nonce is RFC 6979's, so that one hash has one signature.
    ///
    /// Does not hash, prefix or domain-separate the input.
    #[must_use]
    pub fn sign_hash(&self, hash: &B256) -> [u8; 65] {
        let message = Message::from_digest(hash.0);
        let signature = RecoverableSignature::sign_ecdsa_recoverable(message, &self.secret);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        if let Some((v, r_s)) = bytes.split_last_mut() {
            r_s.copy_from_slice(&compact);
            *v = 27 + recovery.to_u8();
        }
        bytes
    }
}

/// Returns the account whose key made a signature over `hash`.
///
/// `y_is_odd` is the parity that `v` (27 or 28) stands for. Does not look whether `s` is low.
///
/// # Errors
/// When no key can have made it.
pub fn recover(hash: &B256, r_s: &[u8; 64], y_is_odd: bool) -> Result<Address, KeyError> {
    let recovery = if y_is_odd { RecoveryId::One } else { RecoveryId::Zero };
    let signature =
        RecoverableSignature::from_compact(r_s, recovery).map_err(|_| KeyError::Signature)?;
    let public =
        signature.recover_ecdsa(Message::from_digest(hash.0)).map_err(|_| KeyError::Signature)?;
    Ok(address_of(&public))
}

fn address_of(public: &PublicKey) -> Address {
    let point = public.serialize_uncompressed();
    let coordinates = point.split_first().map_or(&[][..], |(_, coordinates)| coordinates);
    Address::from_word(keccak256(coordinates))
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for AccountKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256};

    use super::*;

    /// The signature is viem 2.57's of the same hash by the same key.
    #[test]
    fn signs_and_recovers_as_others_do() {
        let key = AccountKey::from_hex(
            "0x0917ef2e4a3d84b9d61084aae8786ae99764087363bc09d8526f9a2cfb9a1c1b",
        )
        .unwrap();
        assert_eq!(key.address(), address!("43630AAe77454A8b3AFFD1b83441E9Ad8f799464"));
        let hash = b256!("4df7bf3630e9c89c335eca5b4478cfba6f6815df890f832d24444cc76706b0bc");
        let signature = key.sign_hash(&hash);
        assert_eq!(
            hex::encode(signature),
            "b5a5a023f26316c975f87fe2e8e5969285c0050ad7360f9d4145fb00598e444f\
             32cab1baefb115723dbaeb5cac09422eff730b8075765735674fc7d25a78196f1b"
        );
        let (v, r_s) = signature.split_last().unwrap();
        let r_s: &[u8; 64] = r_s.try_into().unwrap();
        assert_eq!(recover(&hash, r_s, *v == 28), Ok(key.address()));
        assert_ne!(recover(&hash, r_s, *v == 27), Ok(key.address()));
        assert_eq!(recover(&hash, &[0; 64], false), Err(KeyError::Signature));
        assert_eq!(recover(&hash, &[0xff; 64], false), Err(KeyError::Signature));
    }

    #[test]
    fn refuses_what_is_no_key() {
        assert_eq!(AccountKey::from_bytes(&[0; 32]).unwrap_err(), KeyError::Range);
        assert_eq!(AccountKey::from_bytes(&[0xff; 32]).unwrap_err(), KeyError::Range);
        assert_eq!(AccountKey::from_hex("0x12").unwrap_err(), KeyError::Hex(4));
    }

    #[test]
    fn prints_no_secret() {
        let key = AccountKey::from_bytes(&[0x11; 32]).unwrap();
        assert!(!format!("{key:?}").contains("1111"));
    }
}
