//! The opening proof and its one encoding (sections 7 and 11).
//!
//! | field | bytes |
//! |---|---|
//! | answers outside the domain | 20 each |
//! | sumcheck rounds of the first fold | `h(0)` and the leading coefficient, 20 each |
//! | each round: root | 32 |
//! | answers outside the domain | 20 each |
//! | openings of the tree before | below |
//! | sumcheck rounds | 40 each |
//! | last polynomial | 20 a value |
//! | openings of the last tree | below |
//! | last sumcheck rounds | 40 each |
//!
//! | openings | bytes |
//! |---|---|
//! | rows, one for each query in the order drawn, repeated queries included | 4 or 20 an element |
//! | number of siblings | `u32` little-endian |
//! | siblings, from the leaf level up, from the left | 32 each |
//!
//! All lengths but those of the siblings follow from the [`Schedule`]; those of the siblings depend
//! on the indices drawn, and p3 compares them with the exact number. Witnesses of proof-of-work do
//! not exist, and the opened values are those of steps 4 and 6.

use super::error::{AdviceError, length};
use super::schedule::Schedule;
use super::shape::{OpeningsShape, ProofShape, RoundShape};
use crate::field::{F, K, decode_f, decode_k, encode_f, encode_k};
use crate::tensor_code::Digest;
use crate::wire::{DecodeError, Reader, encode_length};

/// The message of step 10.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct AdviceProof {
    /// Values of the stacked vector at points outside the domain.
    pub initial_answers: Vec<K>,
    /// `h(0)` and leading coefficient of the rounds of the first fold.
    pub initial_rounds: Vec<[K; 2]>,
    /// The rounds between.
    pub rounds: Vec<RoundProof>,
    /// The last polynomial, by its values.
    pub final_polynomial: Vec<K>,
    /// What is opened of the last tree.
    pub final_openings: Openings,
    /// The rounds over the last polynomial.
    pub final_rounds: Vec<[K; 2]>,
}

/// The messages of one round.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct RoundProof {
    /// Root of the folded vector's tree.
    pub root: Digest,
    /// Its values at points outside the domain.
    pub answers: Vec<K>,
    /// What is opened of the tree before it.
    pub openings: Openings,
    /// `h(0)` and leading coefficient of the rounds of its fold.
    pub rounds: Vec<[K; 2]>,
}

/// Rows of one tree with their Merkle siblings.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the encoding has these fields and no others")]
pub struct Openings {
    /// One row for each query, in the order drawn.
    pub rows: Rows,
    /// The siblings of the pruned paths, from the leaf level up, from the left.
    pub siblings: Vec<Digest>,
}

/// Opened rows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a proof has two fields")]
pub enum Rows {
    /// Of the committed vector itself.
    Base(Vec<Vec<F>>),
    /// Of a folded one.
    Extension(Vec<Vec<K>>),
}

impl AdviceProof {
    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_elements(&self.initial_answers, &mut out);
        put_elements(self.initial_rounds.as_flattened(), &mut out);
        for round in &self.rounds {
            out.extend_from_slice(round.root.as_bytes());
            put_elements(&round.answers, &mut out);
            round.openings.encode(&mut out);
            put_elements(round.rounds.as_flattened(), &mut out);
        }
        put_elements(&self.final_polynomial, &mut out);
        self.final_openings.encode(&mut out);
        put_elements(self.final_rounds.as_flattened(), &mut out);
        out
    }

    /// Reads a proof for `schedule`, which is the verifier's own.
    ///
    /// Every length is checked against the schedule before anything is allocated for it.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] unless `bytes` are the one encoding of a proof of that shape.
    pub fn decode(schedule: &Schedule, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, schedule.max_proof_bytes())?;
        let proof = Self::read(schedule, &mut reader)?;
        reader.finish()?;
        Ok(proof)
    }

    /// Takes a proof off the front of an encoding.
    pub(crate) fn read(schedule: &Schedule, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let shape = schedule.shape();
        Ok(Self {
            initial_answers: reader.elements(ANSWERS, shape.initial_answers, decode_k)?,
            initial_rounds: read_rounds(reader, shape.initial_rounds)?,
            rounds: shape
                .rounds
                .iter()
                .map(|s| RoundProof::read(s, reader))
                .collect::<Result<_, _>>()?,
            final_polynomial: reader.elements(POLYNOMIAL, shape.final_polynomial, decode_k)?,
            final_openings: Openings::read(&shape.final_openings, reader)?,
            final_rounds: read_rounds(reader, shape.final_rounds)?,
        })
    }

    /// Checks every length against the shape, except the numbers of siblings, of which only the
    /// maximum is known before the indices are drawn.
    pub(super) fn check(&self, shape: &ProofShape) -> Result<(), AdviceError> {
        let last = shape.rounds.len();
        length(ANSWERS, 0, shape.initial_answers, self.initial_answers.len())?;
        length(ROUNDS, 0, shape.initial_rounds, self.initial_rounds.len())?;
        length("WHIR rounds", 0, last, self.rounds.len())?;
        for (index, (round, shape)) in self.rounds.iter().zip(&shape.rounds).enumerate() {
            round.openings.check(index, &shape.openings)?;
            length(ANSWERS, index + 1, shape.answers, round.answers.len())?;
            length(ROUNDS, index + 1, shape.rounds, round.rounds.len())?;
        }
        length(POLYNOMIAL, last, shape.final_polynomial, self.final_polynomial.len())?;
        length(ROUNDS, last + 1, shape.final_rounds, self.final_rounds.len())?;
        self.final_openings.check(last, &shape.final_openings)
    }
}

impl RoundProof {
    fn read(shape: &RoundShape, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let root = reader.list("root of a WHIR round", 1)?.first().copied().unwrap_or_default();
        Ok(Self {
            root: Digest::from(root),
            answers: reader.elements(ANSWERS, shape.answers, decode_k)?,
            openings: Openings::read(&shape.openings, reader)?,
            rounds: read_rounds(reader, shape.rounds)?,
        })
    }
}

impl Openings {
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.rows {
            Rows::Base(rows) => rows.iter().flatten().for_each(|&value| encode_f(value, out)),
            Rows::Extension(rows) => rows.iter().for_each(|row| put_elements(row, out)),
        }
        encode_length(self.siblings.len(), out);
        self.siblings.iter().for_each(|sibling| out.extend_from_slice(sibling.as_bytes()));
    }

    fn read(shape: &OpeningsShape, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (count, width) = (shape.rows * shape.row_length, shape.row_length);
        let rows = if shape.base {
            Rows::Base(in_rows(&reader.elements(OPENED, count, decode_f)?, width))
        } else {
            Rows::Extension(in_rows(&reader.elements(OPENED, count, decode_k)?, width))
        };
        let count = reader.length(SIBLINGS, shape.max_siblings())?;
        let siblings = reader.list(SIBLINGS, count)?.iter().copied().map(Digest::from).collect();
        Ok(Self { rows, siblings })
    }

    fn check(&self, index: usize, shape: &OpeningsShape) -> Result<(), AdviceError> {
        let (base, lengths): (_, Vec<usize>) = match &self.rows {
            Rows::Base(rows) => (true, rows.iter().map(Vec::len).collect()),
            Rows::Extension(rows) => (false, rows.iter().map(Vec::len).collect()),
        };
        length("base-field rows of tree", index, usize::from(shape.base), usize::from(base))?;
        length("opened rows of tree", index, shape.rows, lengths.len())?;
        for got in lengths {
            length("length of a row of tree", index, shape.row_length, got)?;
        }
        let at_most = self.siblings.len().min(shape.max_siblings());
        length("Merkle siblings of tree", index, at_most, self.siblings.len())
    }
}

fn read_rounds(reader: &mut Reader<'_>, count: usize) -> Result<Vec<[K; 2]>, DecodeError> {
    let elements = reader.elements(ROUNDS, 2 * count, decode_k)?;
    Ok(elements.as_chunks().0.to_vec())
}

fn in_rows<T: Clone>(values: &[T], width: usize) -> Vec<Vec<T>> {
    values.chunks(width.max(1)).map(<[T]>::to_vec).collect()
}

fn put_elements(values: &[K], out: &mut Vec<u8>) {
    values.iter().for_each(|&value| encode_k(value, out));
}

const ANSWERS: &str = "answers outside the domain";
const OPENED: &str = "opened rows";
const POLYNOMIAL: &str = "values of the last polynomial";
const ROUNDS: &str = "sumcheck rounds of fold";
const SIBLINGS: &str = "siblings";
