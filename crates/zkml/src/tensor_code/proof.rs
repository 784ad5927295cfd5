//! The opening proof and its one encoding (sections 3, 6.4 and 11).
//!
//! | field | bytes |
//! |---|---|
//! | row `u` | `2^kappa` elements of `K`, 20 bytes each, no length |
//! | number of columns | `u32` little-endian |
//! | columns, in ascending order of index | `rows_used` elements of `F` each, 4 bytes each |
//! | number of siblings | `u32` little-endian |
//! | siblings, from the leaf level up, from the left | 32 bytes each |
//!
//! Indices are not in the proof: they come from the transcript alone.

use super::error::DecodeError;
use super::merkle::Digest;
use super::shape::{LENGTH_BYTES, Shape};
use crate::field::{F, F_BYTES, K, K_BYTES, NonCanonical, decode_f, decode_k, encode_f, encode_k};

/// The message of step 9: the combined row and the columns that the transcript asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct OpeningProof {
    /// `u`, of `2^kappa` elements.
    pub row: Vec<K>,
    /// The opened columns in ascending order of index, each once.
    pub columns: Vec<Vec<F>>,
    /// The siblings of the pruned Merkle paths, from the leaf level up, from the left.
    pub siblings: Vec<Digest>,
}

impl OpeningProof {
    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let elements: usize = self.columns.iter().map(Vec::len).sum();
        let lists = self.row.len() * K_BYTES + elements * F_BYTES;
        let mut out =
            Vec::with_capacity(lists + self.siblings.len() * DIGEST_BYTES + 2 * LENGTH_BYTES);
        self.row.iter().for_each(|&value| encode_k(value, &mut out));
        encode_length(self.columns.len(), &mut out);
        self.columns.iter().flatten().for_each(|&value| encode_f(value, &mut out));
        encode_length(self.siblings.len(), &mut out);
        self.siblings.iter().for_each(|sibling| out.extend_from_slice(sibling.as_bytes()));
        out
    }

    /// Reads an opening of the given shape, which is the verifier's own.
    ///
    /// Every length is checked against the shape before anything is allocated for it. Whether the
    /// numbers of columns and siblings are exact shows once the indices are known, in
    /// [`verify`](super::verify()).
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] unless `bytes` are the one encoding of an opening.
    pub fn decode(shape: &Shape, bytes: &[u8]) -> Result<Self, DecodeError> {
        let max = shape.max_proof_bytes();
        if bytes.len() > max {
            return Err(DecodeError::TooLong { max, got: bytes.len() });
        }
        let mut reader = Reader { rest: bytes };
        let row = elements("row u", reader.list("row u", shape.columns())?, decode_k)?;
        let columns = read_columns(&mut reader, shape)?;
        let count = reader.length("siblings", shape.max_siblings())?;
        let siblings = reader.list("siblings", count)?.iter().copied().map(Digest::from).collect();
        match reader.rest.len() {
            0 => Ok(Self { row, columns, siblings }),
            extra => Err(DecodeError::Trailing { expected: bytes.len() - extra, extra }),
        }
    }
}

fn read_columns(reader: &mut Reader<'_>, shape: &Shape) -> Result<Vec<Vec<F>>, DecodeError> {
    let count = reader.length("columns", shape.max_columns_opened())?;
    let words = reader.list("columns", count * shape.rows_used())?;
    let values = elements("columns", words, decode_f)?;
    Ok(values.chunks(shape.rows_used()).map(<[F]>::to_vec).collect())
}

fn elements<T, const N: usize>(
    part: &'static str,
    words: &[[u8; N]],
    decode: impl Fn([u8; N]) -> Result<T, NonCanonical>,
) -> Result<Vec<T>, DecodeError> {
    let read = |(index, &word)| {
        decode(word).map_err(|source| DecodeError::Element { part, index, source })
    };
    words.iter().enumerate().map(read).collect()
}

/// Takes fields off the front of the encoding.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Takes `count` items of `N` bytes.
    fn list<const N: usize>(
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

    /// Takes a length of at most `max`.
    fn length(&mut self, part: &'static str, max: usize) -> Result<usize, DecodeError> {
        let &[word] = self.list::<LENGTH_BYTES>(part, 1)? else {
            return Err(DecodeError::Truncated { part, needed: LENGTH_BYTES, left: 0 });
        };
        let got = usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
        if got > max { Err(DecodeError::TooMany { part, max, got }) } else { Ok(got) }
    }
}

/// Lengths above `u32` do not occur: [`Shape`] bounds them far below.
fn encode_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

const DIGEST_BYTES: usize = 32;
