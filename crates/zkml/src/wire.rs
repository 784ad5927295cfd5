//! What the encodings of proofs share: reading bytes that may lie (section 11).
//!
//! Nothing is allocated for a length before it is checked against a maximum that the verifier
//! computed itself.

use thiserror::Error;

use crate::field::NonCanonical;

/// Bytes of the length in front of a list whose length depends on the indices drawn.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Bytes of a BLAKE3 digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// Bytes that are not the one encoding of what is expected.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The encoding as a whole is longer than any of its kind.
    #[error("encoding has {got} bytes, at most {max} are possible")]
    TooLong {
        /// The computed maximum.
        max: usize,
        /// The bytes given.
        got: usize,
    },
    /// The bytes end inside a field.
    #[error("encoding ends in {part}: {needed} more bytes needed, {left} left")]
    Truncated {
        /// The field that was being read.
        part: &'static str,
        /// Bytes of the field.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{extra} bytes follow the encoding of {expected} bytes")]
    Trailing {
        /// Bytes that the encoding takes.
        expected: usize,
        /// Bytes after it.
        extra: usize,
    },
    /// A length is above what the shape allows; refused before anything is allocated for it.
    #[error("encoding claims {got} {part}, at most {max} are possible")]
    TooMany {
        /// What is counted.
        part: &'static str,
        /// The computed maximum.
        max: usize,
        /// The length claimed.
        got: usize,
    },
    /// A field element has another encoding than its canonical one.
    #[error("element {index} of {part}: {source}")]
    Element {
        /// The list that the element is in.
        part: &'static str,
        /// Its position there.
        index: usize,
        /// The word read.
        source: NonCanonical,
    },
}

/// Takes fields off the front of an encoding.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    total: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`, of which there are at most `max`.
    pub(crate) const fn new(bytes: &'a [u8], max: usize) -> Result<Self, DecodeError> {
        if bytes.len() > max {
            return Err(DecodeError::TooLong { max, got: bytes.len() });
        }
        Ok(Self { total: bytes.len(), rest: bytes })
    }

    /// Takes `count` items of `N` bytes.
    pub(crate) fn list<const N: usize>(
        &mut self,
        part: &'static str,
        count: usize,
    ) -> Result<&'a [[u8; N]], DecodeError> {
        let (needed, left) = (count.saturating_mul(N), self.rest.len());
        let Some((taken, rest)) = self.rest.split_at_checked(needed) else {
            return Err(DecodeError::Truncated { part, needed, left });
        };
        self.rest = rest;
        Ok(taken.as_chunks().0)
    }

    /// Takes `count` field elements of `N` bytes.
    pub(crate) fn elements<T, const N: usize>(
        &mut self,
        part: &'static str,
        count: usize,
        decode: impl Fn([u8; N]) -> Result<T, NonCanonical>,
    ) -> Result<Vec<T>, DecodeError> {
        let read = |(index, &word)| {
            decode(word).map_err(|source| DecodeError::Element { part, index, source })
        };
        self.list(part, count)?.iter().enumerate().map(read).collect()
    }

    /// Takes a length of at most `max`.
    pub(crate) fn length(&mut self, part: &'static str, max: usize) -> Result<usize, DecodeError> {
        let &[word] = self.list::<LENGTH_BYTES>(part, 1)? else {
            return Err(DecodeError::Truncated { part, needed: LENGTH_BYTES, left: 0 });
        };
        let got = usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
        if got > max { Err(DecodeError::TooMany { part, max, got }) } else { Ok(got) }
    }

    /// Returns what is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Ends the encoding: nothing may follow.
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { expected: self.total - extra, extra }),
        }
    }
}

/// Appends a length. Lengths above `u32` do not occur: the shapes bound them far below.
pub(crate) fn encode_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}
