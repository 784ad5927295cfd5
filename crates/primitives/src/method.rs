use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::{encoding, printable};

/// The name of a verification method: 1 to 32 characters of `a-z`, `0-9` and `-`.
///
/// An open set: a new method brings its own name. Thirty-two bytes is what fits the word that the
/// method has in an item statement.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Method(Cow<'static, str>);

/// A text that cannot name a method.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a method name: expected 1 to 32 characters of a-z, 0-9 and `-`, got `{0}`")]
pub struct MethodError(String);

impl Method {
    /// The operator's signature over the transaction.
    pub const SIGNED: Self = Self(Cow::Borrowed("signed"));
    /// A signature by a key that lives in an attested enclave.
    pub const TEE: Self = Self(Cow::Borrowed("tee"));
    /// A succinct proof that the output is the program's.
    pub const ZKML: Self = Self(Cow::Borrowed("zkml"));

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as a 32-byte word: its ASCII from the left, zeros after it.
    #[must_use]
    pub fn word(&self) -> [u8; 32] {
        let mut word = [0; 32];
        for (to, from) in word.iter_mut().zip(self.0.bytes()) {
            *to = from;
        }
        word
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(MethodError(printable(text, 64)))
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert_eq!("signed".parse::<Method>().unwrap(), Method::SIGNED);
        for wrong in ["", "Signed", "a b", "é", &"a".repeat(33)] {
            assert!(wrong.parse::<Method>().is_err(), "{wrong:?} was accepted");
        }
        assert_eq!(&Method::TEE.word()[..4], b"tee\0");
    }
}
