//! Contents at rest: what was asked and answered, and what was paid with, sealed with the operator's
//! key.
//!
//! A sealed value is `version (1) || nonce (12) || ciphertext || tag (16)`, AES-256-GCM. Its key is
//! derived from the storage key for one transaction (HKDF-SHA256, RFC 5869), and its associated data
//! name column and transaction: a value that was moved to another place does not open there.
//!
//! What a payment is bound to is a digest that others could compute of a guess. It is stored as its
//! HMAC-SHA256, under a key derived for the transaction as well.

use std::fmt;
use std::sync::Arc;

use assay_primitives::{Digest, Randomness, RandomnessError, TransactionId, encoding};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::StoreError;

/// The first byte of a sealed value.
const VERSION: u8 = 1;
/// Separates what is derived here from what may once be derived from the same key elsewhere.
const SALT: &[u8] = b"assay storage";
const CONTENTS: &[u8] = b"contents";
const CHECK: &[u8] = b"check value";
const BINDING: &[u8] = b"binding";
const QUOTE: &[u8] = b"quote";

/// The operator's key for contents at rest: 32 bytes, erased when dropped, never printed.
pub struct StorageKey(Zeroizing<[u8; 32]>);

/// A text that is no storage key. It does not repeat the text.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "not a storage key: expected 64 hexadecimal digits in lower case, got {got} characters{hint}"
)]
pub struct StorageKeyError {
    got: usize,
    hint: &'static str,
}

impl StorageKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn generate(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        let mut bytes = Zeroizing::new([0; 32]);
        randomness.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Reads a key from 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else, or zero.
    pub fn from_hex(text: &str) -> Result<Self, StorageKeyError> {
        let wrong = |hint| StorageKeyError { got: text.chars().count(), hint };
        let bytes: [u8; 32] = encoding::from_hex(text).map_err(|_| wrong(""))?;
        let bytes = Zeroizing::new(bytes);
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(wrong(", all of them zero"));
        }
        Ok(Self(bytes))
    }

    /// Returns the key as [`StorageKey::from_hex`] reads it. It is a secret.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(encoding::hex(self.0.as_slice()))
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(..)")
    }
}

/// A column whose values are sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Column {
    Echo,
    Intent,
    Items,
    Payload,
    Request,
    Secret,
}

impl Column {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Intent => "intent",
            Self::Items => "items",
            Self::Payload => "payload",
            Self::Request => "request",
            Self::Secret => "secret",
        }
    }
}

/// Seals and opens with a storage key.
#[derive(Debug)]
pub(crate) struct Sealer {
    root: Prk,
    randomness: Arc<dyn Randomness>,
}

impl Sealer {
    pub(crate) fn new(key: &StorageKey, randomness: Arc<dyn Randomness>) -> Self {
        Self { root: Salt::new(HKDF_SHA256, SALT).extract(key.0.as_slice()), randomness }
    }

    /// Returns what tells this key from others, and says nothing of it.
    pub(crate) fn check_value(&self) -> Result<[u8; 32], StoreError> {
        let mut value = [0; 32];
        let derived = self.root.expand(&[CHECK], HKDF_SHA256).map_err(not_derived)?;
        derived.fill(&mut value).map_err(not_derived)?;
        Ok(value)
    }

    /// Returns the HMAC of a text that this operator will know again.
    pub(crate) fn authenticate(&self, text: &[u8]) -> Result<Digest, StoreError> {
        let key = self.root.expand(&[QUOTE], HMAC_SHA256).map_err(not_derived)?.into();
        let tag = hmac::sign(&key, text);
        let tag = tag.as_ref().try_into().map_err(|_| StoreError::Damaged("a tag".to_owned()))?;
        Ok(Digest(tag))
    }

    /// Seals a value for its place.
    pub(crate) fn seal(
        &self,
        id: TransactionId,
        column: Column,
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let nonce = self.randomness.array::<NONCE_LEN>()?;
        let mut sealed = value.to_vec();
        self.key(id)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                place(id, column),
                &mut sealed,
            )
            .map_err(|_| unopened(id, column, format!("{} bytes are too many", value.len())))?;
        let mut stored = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        stored.push(VERSION);
        stored.extend_from_slice(&nonce);
        stored.append(&mut sealed);
        Ok(stored)
    }

    /// Opens a value at its place.
    pub(crate) fn open(
        &self,
        id: TransactionId,
        column: Column,
        stored: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let refused = |why: String| unopened(id, column, why);
        let (version, rest) =
            stored.split_first().ok_or_else(|| refused("it is empty".to_owned()))?;
        if *version != VERSION {
            return Err(refused(format!("expected version {VERSION}, got {version}")));
        }
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(|| refused(format!("it is cut off after {} bytes", stored.len())))?;
        let mut value = sealed.to_vec();
        let length = self
            .key(id)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), place(id, column), &mut value)
            .map_err(|_| refused("it was changed, or sealed for another place".to_owned()))?
            .len();
        value.truncate(length);
        Ok(value)
    }

    /// Returns what is stored of a transaction's binding: it tells nothing without the key.
    pub(crate) fn bind(&self, id: TransactionId, binding: Digest) -> Result<Vec<u8>, StoreError> {
        Ok(hmac::sign(&self.binding_key(id)?, binding.as_bytes()).as_ref().to_vec())
    }

    /// Says whether a transaction has this binding.
    pub(crate) fn is_bound(
        &self,
        id: TransactionId,
        binding: Digest,
        stored: Digest,
    ) -> Result<bool, StoreError> {
        let key = self.binding_key(id)?;
        Ok(hmac::verify(&key, binding.as_bytes(), stored.as_bytes()).is_ok())
    }

    fn binding_key(&self, id: TransactionId) -> Result<hmac::Key, StoreError> {
        let id = id.to_string();
        let info = [BINDING, id.as_bytes()];
        Ok(self.root.expand(&info, HMAC_SHA256).map_err(not_derived)?.into())
    }

    fn key(&self, id: TransactionId) -> Result<LessSafeKey, StoreError> {
        let id = id.to_string();
        let info = [CONTENTS, id.as_bytes()];
        let key = self.root.expand(&info, &AES_256_GCM).map_err(not_derived)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn place(id: TransactionId, column: Column) -> Aad<String> {
    Aad::from(format!("{} {id}", column.as_str()))
}

fn unopened(id: TransactionId, column: Column, why: String) -> StoreError {
    StoreError::Sealed { id, column: column.as_str(), why }
}

fn not_derived(_: Unspecified) -> StoreError {
    StoreError::Damaged("no key can be derived from the storage key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts, so that every nonce is another and every run is the same.
    #[derive(Debug, Default)]
    struct Counting(std::sync::atomic::AtomicU8);

    impl Randomness for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
            bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        }
    }

    fn key(byte: u8) -> StorageKey {
        StorageKey::from_hex(&format!("{byte:02x}").repeat(32)).unwrap()
    }

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&key(byte), Arc::new(Counting::default()))
    }

    fn id(n: u8) -> TransactionId {
        format!("01890a5d-ac96-774b-bcce-b302099a80{n:02x}").parse().unwrap()
    }

    fn refused(result: Result<Vec<u8>, StoreError>) -> String {
        match result {
            Err(StoreError::Sealed { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn opens_what_it_sealed() {
        let sealer = sealer(7);
        for value in [b"".as_slice(), b"1", &[0xa5; 100_000]] {
            let sealed = sealer.seal(id(1), Column::Items, value).unwrap();
            assert_eq!(sealed.len(), 1 + NONCE_LEN + value.len() + 16);
            assert_eq!(sealer.open(id(1), Column::Items, &sealed).unwrap(), value);
            // Sealed twice, it is another value: nobody sees that two are equal.
            assert_ne!(sealer.seal(id(1), Column::Items, value).unwrap(), sealed);
        }
    }

    /// Computed with Python's `cryptography` 48: HKDF-SHA256 (salt `assay storage`), AES-256-GCM.
    #[test]
    fn is_what_others_compute() {
        let sealer = sealer(7);
        let sealed = sealer.seal(id(1), Column::Payload, b"what was paid with").unwrap();
        assert_eq!(
            encoding::hex(&sealed),
            "01000000000000000000000000e3d5be61c29762942a32ff46fe5b43b90625d3200eee66b18a3276ad17d9c47b41ae"
        );
        assert_eq!(
            encoding::hex(&sealer.check_value().unwrap()),
            "a47d91a77dace81e25bcbdb5936d458023951f30812cef147a4ba01ddefb9bfd"
        );
        assert_eq!(
            encoding::hex(&sealer.bind(id(1), Digest([9; 32])).unwrap()),
            "e3cbeb95c0a2582ada89dacbe108910b17c40805d43d77ae1c57256f12c0cc4f"
        );
    }

    #[test]
    fn a_binding_is_told_with_the_key_alone() {
        let (sealer, binding) = (sealer(7), Digest([9; 32]));
        let stored = |id| Digest(sealer.bind(id, binding).unwrap().try_into().unwrap());
        assert!(sealer.is_bound(id(1), binding, stored(id(1))).unwrap());
        assert!(!sealer.is_bound(id(1), Digest([8; 32]), stored(id(1))).unwrap());
        assert!(!self::sealer(8).is_bound(id(1), binding, stored(id(1))).unwrap());
        // Two transactions do not show that they are bound to the same.
        assert!(!sealer.is_bound(id(2), binding, stored(id(1))).unwrap());
        assert_ne!(stored(id(1)), stored(id(2)));
    }

    #[test]
    fn opens_in_its_place_alone() {
        let sealer = sealer(7);
        let sealed = sealer.seal(id(1), Column::Items, b"what was asked").unwrap();
        let elsewhere = "it was changed, or sealed for another place";
        assert_eq!(refused(sealer.open(id(2), Column::Items, &sealed)), elsewhere);
        assert_eq!(refused(sealer.open(id(1), Column::Payload, &sealed)), elsewhere);
        assert_eq!(refused(self::sealer(8).open(id(1), Column::Items, &sealed)), elsewhere);
    }

    #[test]
    fn every_changed_byte_and_length_is_refused() {
        let sealer = sealer(7);
        let sealed = sealer.seal(id(1), Column::Secret, &[9; 32]).unwrap();
        for at in 0..sealed.len() {
            for bit in [1, 0x80] {
                let mut changed = sealed.clone();
                changed[at] ^= bit;
                assert!(sealer.open(id(1), Column::Secret, &changed).is_err(), "byte {at}");
            }
            assert!(sealer.open(id(1), Column::Secret, &sealed[..at]).is_err(), "{at} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert!(sealer.open(id(1), Column::Secret, &longer).is_err());
        assert_eq!(refused(sealer.open(id(1), Column::Secret, b"")), "it is empty");
        assert_eq!(
            refused(sealer.open(id(1), Column::Secret, b"\x01234")),
            "it is cut off after 4 bytes"
        );
        assert_eq!(
            refused(sealer.open(id(1), Column::Secret, &[2; 64])),
            "expected version 1, got 2"
        );
    }

    #[test]
    fn keys_are_told_apart_and_never_shown() {
        let values = [7, 8].map(|byte| sealer(byte).check_value().unwrap());
        assert_ne!(values[0], values[1]);
        assert!(!encoding::hex(&values[0]).contains("0707"));
        let shown = format!("{:?} {:?}", key(7), sealer(7));
        assert!(!shown.contains("0707") && !shown.contains("[7, 7"), "{shown}");
        assert_eq!(StorageKey::from_hex(&key(7).reveal()).unwrap().0, key(7).0);
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for wrong in
            ["", "07", &"0".repeat(64), &"07".repeat(33), &"AB".repeat(32), &"xy".repeat(32)]
        {
            let error = StorageKey::from_hex(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("got {} characters", wrong.len())), "{error}");
            assert!(wrong.len() < 4 || !error.contains(wrong), "{error}");
        }
    }
}
