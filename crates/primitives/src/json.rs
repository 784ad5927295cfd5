//! JSON with one spelling: what is signed, hashed or kept as proof.
//!
//! Two JSON parsers may read one text differently (duplicate keys, unknown fields, number forms).
//! A reader of evidence must not leave room for that, so a text is accepted only when it is byte
//! for byte what this project writes for the value that it reads.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::printable;

/// A JSON text that is not the one encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StrictJsonError {
    /// Not JSON, or not of the expected shape.
    #[error("not the expected JSON: {0}")]
    Shape(String),
    /// JSON of the expected shape, but spelt otherwise than it is written here.
    #[error("not the canonical spelling: it differs from byte {at} on")]
    Spelling {
        /// The first byte that differs.
        at: usize,
    },
}

/// Writes a value as compact JSON with its fields in declaration order.
///
/// # Errors
/// When the value has a part JSON cannot hold (a map with keys that are no strings).
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, StrictJsonError> {
    serde_json::to_vec(value).map_err(|error| shape(&error))
}

/// Reads a value, refusing every text but the one that [`to_vec`] writes for it.
///
/// White space, another order of fields, duplicate or unknown fields, and other spellings of
/// numbers and strings are refused.
///
/// # Errors
/// When the text is not JSON of that shape, or not its canonical spelling.
pub fn from_slice<T: DeserializeOwned + Serialize>(text: &[u8]) -> Result<T, StrictJsonError> {
    let value: T = serde_json::from_slice(text).map_err(|error| shape(&error))?;
    let mut comparison = Comparison { text, at: 0 };
    // Written straight against the text: a writing that fails is one that differs.
    let written = serde_json::to_writer(&mut comparison, &value);
    if written.is_ok() && comparison.at == text.len() {
        Ok(value)
    } else {
        Err(StrictJsonError::Spelling { at: comparison.at })
    }
}

fn shape(error: &serde_json::Error) -> StrictJsonError {
    // The message repeats names from the text.
    StrictJsonError::Shape(printable(&error.to_string(), 256))
}

/// Takes a writing only as long as it repeats `text`.
struct Comparison<'a> {
    text: &'a [u8],
    at: usize,
}

impl io::Write for Comparison<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(bytes) {
            self.at += bytes.len();
            return Ok(bytes.len());
        }
        self.at += rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        Err(io::ErrorKind::InvalidData.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Pair {
        a: u32,
        b: String,
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        let text = br#"{"a":1,"b":"x"}"#;
        assert_eq!(from_slice::<Pair>(text).unwrap(), Pair { a: 1, b: "x".into() });
        for (wrong, at) in [
            (r#"{"a":1, "b":"x"}"#, 7),
            (r#"{"b":"x","a":1}"#, 2),
            (r#"{"a":1,"b":"x","c":0}"#, 14),
            (r#"{"a":1,"b":"\u0078"}"#, 12),
            ("{\"a\":1,\"b\":\"x\"}\n", 15),
            (r#"{"a":1,"b":"\/"}"#, 12),
        ] {
            let error = from_slice::<Pair>(wrong.as_bytes()).unwrap_err();
            assert_eq!(error, StrictJsonError::Spelling { at }, "{wrong}");
        }
        for wrong in [r#"{"a":1,"a":1,"b":"x"}"#, r#"{"a":1.0,"b":"x"}"#, "", "{"] {
            let error = from_slice::<Pair>(wrong.as_bytes()).unwrap_err();
            assert!(matches!(error, StrictJsonError::Shape(_)), "{wrong}: {error}");
        }
    }
}
