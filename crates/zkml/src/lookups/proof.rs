//! The messages of the tree and their one encoding (sections 3, 5 and 11).
//!
//! Elements of `K` alone, 20 bytes each: `d_root`, then for each level `k` from the root its `k`
//! round messages `g(0), g(2), g(3)` and `n0, n1, d0, d1`. All lengths follow from `nL`.

use thiserror::Error;

use crate::field::{K, K_BYTES, NonCanonical, decode_k, encode_k_list};

/// The messages of level `k`, from its node claims to those of its children.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct LevelProof {
    /// `g(0), g(2), g(3)` of each round; `k` rounds.
    pub rounds: Vec<[K; 3]>,
    /// `n0, n1, d0, d1` at the point where the rounds end.
    pub children: [K; 4],
}

/// The messages of steps 2 and 3.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct LookupProof {
    /// The denominator at the root; the numerator is 0 by definition.
    pub root_denominator: K,
    /// The levels, from the root.
    pub levels: Vec<LevelProof>,
}

/// Bytes that are not the one encoding of a lookup proof.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are more or fewer bytes than the layout fixes.
    #[error("encoded lookup proof: expected {expected} bytes, got {got}")]
    Length {
        /// The bytes that `nL` asks for.
        expected: usize,
        /// The bytes given.
        got: usize,
    },
    /// A field element has another encoding than its canonical one.
    #[error("element {index} of the lookup proof: {source}")]
    Element {
        /// Its position, in elements.
        index: usize,
        /// The word read.
        source: NonCanonical,
    },
}

impl LookupProof {
    /// Returns the number of elements of a proof for a tree of `log_leaves` levels: `1 + sum_k (3k + 4)`.
    const fn elements(log_leaves: usize) -> usize {
        1 + 3 * (log_leaves * log_leaves.saturating_sub(1) / 2) + 4 * log_leaves
    }

    /// Returns the bytes of a proof for a tree of `log_leaves` levels, at most 28.
    #[must_use]
    pub const fn encoded_bytes(log_leaves: usize) -> usize {
        Self::elements(log_leaves) * K_BYTES
    }

    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = vec![self.root_denominator];
        for level in &self.levels {
            elements.extend(level.rounds.iter().flatten());
            elements.extend(level.children);
        }
        encode_k_list(&elements)
    }

    /// Reads a proof for a tree of `log_leaves` levels, which is the verifier's own number.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] unless `bytes` are the one encoding of such a proof; the length is
    /// checked before anything is allocated.
    pub fn decode(log_leaves: usize, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (expected, got) = (Self::encoded_bytes(log_leaves), bytes.len());
        if expected != got {
            return Err(DecodeError::Length { expected, got });
        }
        let short = DecodeError::Length { expected, got };
        let mut words = bytes.as_chunks::<K_BYTES>().0.iter().enumerate();
        let mut next = || {
            let (index, &word) = words.next().ok_or(short)?;
            decode_k(word).map_err(|source| DecodeError::Element { index, source })
        };
        let root_denominator = next()?;
        let mut levels = Vec::with_capacity(log_leaves);
        for level in 0..log_leaves {
            let mut rounds = Vec::with_capacity(level);
            for _ in 0..level {
                rounds.push([next()?, next()?, next()?]);
            }
            levels.push(LevelProof { rounds, children: [next()?, next()?, next()?, next()?] });
        }
        Ok(Self { root_denominator, levels })
    }
}
