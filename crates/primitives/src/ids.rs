use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::encoding::{self, EncodingError};
use crate::{Digest, Randomness, RandomnessError, Timestamp, printable};

/// Makes a newtype of a [`Digest`] that reads and writes as its hexadecimal.
macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = EncodingError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

digest_id! {
    /// What ran: the digest of a model package, or the id of a program compiled from one.
    ModelId
}

digest_id! {
    /// A public key: the SHA-256 of its DER-encoded `SubjectPublicKeyInfo`.
    KeyId
}

digest_id! {
    /// An operator: the [`KeyId`] of its identity key.
    OperatorId
}

/// The name of an item within its transaction, by its buyer: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ItemId(String);

/// A text that is not an item's id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not an item id: expected 1 to {max} characters of A-Z a-z 0-9 - _ ., got `{0}`", max = ItemId::MAX)]
pub struct ItemIdError(String);

impl ItemId {
    /// The most characters.
    const MAX: usize = 64;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ItemId {
    type Err = ItemIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits { Ok(Self(text.to_owned())) } else { Err(ItemIdError(printable(text, Self::MAX))) }
    }
}

impl<'de> Deserialize<'de> for ItemId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

/// A transaction: a UUID version 7 (RFC 9562), so that ids sort by the time they were made.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId(uuid::Uuid);

/// A text that is not a transaction id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a transaction id: expected a lower-case hyphenated UUID version 7, got `{0}`")]
pub struct TransactionIdError(String);

impl TransactionId {
    /// Makes the id for a transaction that begins at `now`.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn new(now: Timestamp, randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        let random = randomness.array::<10>()?;
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid()))
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TransactionId {
    type Err = TransactionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TransactionIdError(printable(text, 64));
        let id = Self(uuid::Uuid::try_parse(text).map_err(|_| wrong())?);
        let is_v7 = id.0.get_version_num() == 7 && id.0.get_variant() == uuid::Variant::RFC4122;
        if is_v7 && id.to_string() == text { Ok(id) } else { Err(wrong()) }
    }
}

impl Serialize for TransactionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TransactionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

/// The secret that opens a transaction's outputs, salts and bundle.
///
/// Its [`AccessToken::hash`] is what is sent ahead and stored; the token itself is shown once.
#[derive(Clone, Eq, PartialEq)]
pub struct AccessToken([u8; 32]);

impl AccessToken {
    /// Makes a new token.
    ///
    /// # Errors
    /// When no randomness is to be had.
    pub fn new(randomness: &dyn Randomness) -> Result<Self, RandomnessError> {
        randomness.array().map(Self)
    }

    /// Returns the SHA-256 of the token's 32 bytes.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Returns the token as text: 64 lower-case hexadecimal characters.
    #[must_use]
    pub fn reveal(&self) -> String {
        encoding::hex(&self.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

impl FromStr for AccessToken {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        encoding::from_hex(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Ones;

    impl Randomness for Ones {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
            bytes.fill(0xff);
            Ok(())
        }
    }

    #[test]
    fn transaction_ids_are_version_7_in_one_spelling() {
        let made = TransactionId::new(Timestamp::from_millis(1), &Ones).unwrap();
        assert_eq!(made.to_string(), "00000000-0001-7fff-bfff-ffffffffffff");
        assert_eq!(made.to_string().parse(), Ok(made));
        for wrong in [
            "00000000-0001-4fff-bfff-ffffffffffff",
            "00000000-0001-7fff-cfff-ffffffffffff",
            "00000000-0001-7FFF-bfff-ffffffffffff",
            "0000000000017fffbfffffffffffffff",
            "{00000000-0001-7fff-bfff-ffffffffffff}",
            "",
        ] {
            assert!(wrong.parse::<TransactionId>().is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = AccessToken::new(&Ones).unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
        assert_eq!(token.reveal().parse::<AccessToken>().unwrap().hash(), token.hash());
    }
}
