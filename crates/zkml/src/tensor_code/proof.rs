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

use super::merkle::Digest;
use super::shape::Shape;
use crate::field::{F, F_BYTES, K, K_BYTES, decode_f, decode_k, encode_f, encode_k};
use crate::wire::{DIGEST_BYTES, DecodeError, LENGTH_BYTES, Reader, encode_length};

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
        let mut reader = Reader::new(bytes, shape.max_proof_bytes())?;
        let proof = Self::read(shape, &mut reader)?;
        reader.finish()?;
        Ok(proof)
    }

    /// Takes an opening off the front of an encoding.
    pub(crate) fn read(shape: &Shape, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let row = reader.elements("row u", shape.columns(), decode_k)?;
        let columns = read_columns(reader, shape)?;
        let count = reader.length("siblings", shape.max_siblings())?;
        let siblings = reader.list("siblings", count)?.iter().copied().map(Digest::from).collect();
        Ok(Self { row, columns, siblings })
    }
}

fn read_columns(reader: &mut Reader<'_>, shape: &Shape) -> Result<Vec<Vec<F>>, DecodeError> {
    let count = reader.length("columns", shape.max_columns_opened())?;
    let values = reader.elements("columns", count * shape.rows_used(), decode_f)?;
    Ok(values.chunks(shape.rows_used()).map(<[F]>::to_vec).collect())
}
