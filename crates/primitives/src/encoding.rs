//! Strict text encodings of bytes: each value has exactly one accepted spelling.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Visitor};
use thiserror::Error;

/// A text that is not the one encoding of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// Not standard base64 with padding and zero trailing bits (RFC 4648 section 4).
    #[error("not canonical base64: {0}")]
    Base64(String),
    /// Not lower-case hexadecimal.
    #[error("not lower-case hexadecimal of {expected} bytes: got {got} characters")]
    Hex {
        /// How many bytes were expected.
        expected: usize,
        /// How many characters were found.
        got: usize,
    },
}

/// Returns the standard base64 of `bytes`, padded (RFC 4648 section 4).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes standard base64, refusing missing padding, white space and non-zero trailing bits.
///
/// # Errors
/// When `text` is not the encoding that [`base64()`] makes.
pub fn from_base64(text: &str) -> Result<Vec<u8>, EncodingError> {
    STANDARD.decode(text).map_err(|error| EncodingError::Base64(error.to_string()))
}

/// Returns the lower-case hexadecimal of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const_hex::encode(bytes)
}

/// Decodes exactly `N` bytes of lower-case hexadecimal without a prefix.
///
/// # Errors
/// When the length differs or a character is not one of `0-9a-f`.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], EncodingError> {
    let wrong = EncodingError::Hex { expected: N, got: text.len() };
    if text.len() != 2 * N || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(wrong);
    }
    const_hex::decode_to_array(text).map_err(|_| wrong)
}

/// Decodes any number of bytes of lower-case hexadecimal without a prefix; `None` if it is none.
#[must_use]
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    const_hex::decode(text).ok().filter(|_| is_hex)
}

/// Reads a text by its [`FromStr`], without a copy of it: the body of a `Deserialize`.
///
/// # Errors
/// When it is no text, or not one that `T` reads.
pub fn deserialize_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserialize_str(deserializer, |text| text.parse::<T>())
}

fn deserialize_str<'de, T, E: fmt::Display, D: Deserializer<'de>>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    struct Text<T, F>(F, PhantomData<T>);

    impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<T, F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E2: serde::de::Error>(self, text: &str) -> Result<T, E2> {
            (self.0)(text).map_err(E2::custom)
        }
    }

    deserializer.deserialize_str(Text(read, PhantomData))
}

/// Serde form of a byte string as standard base64 text: `#[serde(with = "encoding::base64_bytes")]`.
pub mod base64_bytes {
    use serde::{Deserializer, Serializer};

    /// Writes the bytes as base64 text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::base64(bytes))
    }

    /// Reads base64 text strictly.
    ///
    /// # Errors
    /// When the text is not canonical base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        super::deserialize_str(deserializer, super::from_base64)
    }
}

/// Serde form of optional bytes as standard base64 text or null.
pub mod optional_base64_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the bytes as base64 text, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_str(&super::base64(bytes)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads base64 text strictly, or null.
    ///
    /// # Errors
    /// When the text is not canonical base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        #[derive(Deserialize)]
        struct Bytes(#[serde(with = "super::base64_bytes")] Vec<u8>);

        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(from_base64("AA==").unwrap(), [0]);
        for wrong in ["AA", "AB==", "AA==\n", " AA==", "AA=", "A-==", "A"] {
            assert!(from_base64(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn hex_has_one_spelling() {
        assert_eq!(from_hex::<2>("00ff").unwrap(), [0, 255]);
        for wrong in ["00FF", "0x00ff", "00f", "00ff0", "00fg", ""] {
            assert!(from_hex::<2>(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
