//! A proof and its one encoding (sections 3 and 11).
//!
//! | part | length |
//! |---|---|
//! | root of the advice | 32 bytes, absent without columns |
//! | lookup tree | fixed by `nL`, absent without tables |
//! | values at `rho`: columns, virtual columns, outputs of a batch | fixed |
//! | rounds over the layers; values at `tau`: tensors, convolutions, biases, inputs of a batch | fixed |
//! | rounds over the weights, their value | fixed |
//! | bytes of the weights' opening, as 4 bytes little-endian, and the opening | at most what the key allows |
//! | opening of the advice | the rest |
//!
//! Elements of `K` are 20 bytes each, canonical. Fixed lengths follow from the key and `lb`.

use thiserror::Error;

use crate::advice::AdviceProof;
use crate::circuit::Circuit;
use crate::columns::ClaimedValues;
use crate::field::{K, decode_k, encode_k_list};
use crate::lookups::{self, LookupProof};
use crate::tensor_code::{Digest, OpeningProof};
use crate::weight_commitment::WeightOpening;
use crate::wire::{self, DIGEST_BYTES, Reader, encode_length};

/// Everything that a prover sends.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the messages of section 3 and no others")]
pub struct Proof {
    /// Step 1. Absent without columns.
    pub advice_root: Option<Digest>,
    /// Steps 2 and 3. Absent without tables.
    pub lookups: Option<LookupProof>,
    /// Step 4.
    pub values: ClaimedValues,
    /// Step 5.
    pub layer_rounds: Vec<[K; 2]>,
    /// Step 6.
    pub ends: SentEnds,
    /// Step 7.
    pub weight_rounds: Vec<[K; 2]>,
    /// Step 8, `v_w`.
    pub weight_value: K,
    /// Step 9.
    pub weights: WeightOpening,
    /// Step 10. Absent without columns.
    pub advice: Option<AdviceProof>,
}

/// The values of step 6.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the message of step 6")]
pub struct SentEnds {
    /// `X_T~(tau|d_T, rho_b)` of each remote tensor but the input.
    pub tensors: Vec<K>,
    /// `a_j`.
    pub convs: Vec<K>,
    /// `beta_l`.
    pub biases: Vec<K>,
    /// In a batch, `e_i` of each instance.
    pub inputs: Vec<K>,
}

/// Bytes that are not the one encoding of a proof for a circuit.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The parts whose lengths are fixed.
    #[error("proof: {0}")]
    Fixed(wire::DecodeError),
    /// The lookup tree.
    #[error(transparent)]
    Lookups(#[from] lookups::DecodeError),
    /// The opening of the weights.
    #[error("opening of the weights: {0}")]
    Weights(wire::DecodeError),
    /// The opening of the advice.
    #[error("opening of the advice: {0}")]
    Advice(wire::DecodeError),
}

impl From<wire::DecodeError> for DecodeError {
    fn from(error: wire::DecodeError) -> Self {
        Self::Fixed(error)
    }
}

impl Proof {
    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(root) = &self.advice_root {
            out.extend_from_slice(root.as_bytes());
        }
        if let Some(lookups) = &self.lookups {
            out.extend(lookups.encode());
        }
        let (values, ends) = (&self.values, &self.ends);
        let value = [self.weight_value];
        let lists: [&[K]; 10] = [
            &values.columns,
            &values.virtuals,
            &values.outputs,
            self.layer_rounds.as_flattened(),
            &ends.tensors,
            &ends.convs,
            &ends.biases,
            &ends.inputs,
            self.weight_rounds.as_flattened(),
            &value,
        ];
        lists.iter().for_each(|list| out.extend(encode_k_list(list)));
        let weights = self.weights.encode();
        encode_length(weights.len(), &mut out);
        out.extend(weights);
        out.extend(self.advice.iter().flat_map(AdviceProof::encode));
        out
    }

    /// Reads a proof for `circuit`, from whose sizes alone all lengths are taken.
    ///
    /// # Errors
    ///
    /// Returns [`DecodeError`] unless `bytes` are the one encoding of a proof of these lengths.
    pub fn decode(circuit: &Circuit, bytes: &[u8]) -> Result<Self, DecodeError> {
        let lengths = circuit.lengths();
        let mut reader = Reader::new(bytes, circuit.max_proof_bytes())?;
        let advice_root = circuit.schedule().map(|_| root(&mut reader)).transpose()?;
        let layout = circuit.columns().layout();
        let tree = layout.map(|layout| tree(&mut reader, layout.log_leaves())).transpose()?;
        let values = ClaimedValues {
            columns: elements(&mut reader, "values of columns", lengths.columns)?,
            virtuals: elements(&mut reader, "values of lookups", lengths.virtuals)?,
            outputs: elements(&mut reader, "values of outputs", lengths.instances)?,
        };
        let layer_rounds = rounds(&mut reader, "rounds of the layers", lengths.layer_rounds)?;
        let ends = SentEnds {
            tensors: elements(&mut reader, "ends of tensors", lengths.ends)?,
            convs: elements(&mut reader, "ends of convolutions", lengths.convs)?,
            biases: elements(&mut reader, "ends of biases", lengths.biases)?,
            inputs: elements(&mut reader, "ends of inputs", lengths.instances)?,
        };
        let weight_rounds = rounds(&mut reader, "rounds of the weights", lengths.weight_rounds)?;
        let weight_value = elements(&mut reader, "value of the weights", 1)?;
        let weights = weights(circuit, &mut reader)?;
        let advice = match circuit.schedule() {
            Some(schedule) => {
                Some(AdviceProof::decode(schedule, reader.rest()).map_err(DecodeError::Advice)?)
            }
            None => {
                reader.finish()?;
                None
            }
        };
        Ok(Self {
            advice_root,
            lookups: tree,
            values,
            layer_rounds,
            ends,
            weight_rounds,
            weight_value: weight_value.first().copied().unwrap_or_default(),
            weights,
            advice,
        })
    }
}

fn weights(circuit: &Circuit, reader: &mut Reader<'_>) -> Result<WeightOpening, DecodeError> {
    let length = reader.length("bytes of the weights' opening", circuit.max_weight_bytes())?;
    let bytes = reader.list::<1>("opening of the weights", length)?.as_flattened();
    let opening = match circuit.weight_schedule() {
        None => OpeningProof::decode(circuit.weights(), bytes).map(WeightOpening::Fast),
        Some(schedule) => AdviceProof::decode(schedule, bytes).map(WeightOpening::Small),
    };
    opening.map_err(DecodeError::Weights)
}

fn root(reader: &mut Reader<'_>) -> Result<Digest, wire::DecodeError> {
    let part = "root of the advice";
    let bytes = reader.list::<DIGEST_BYTES>(part, 1)?.first();
    let missing = wire::DecodeError::Truncated { part, needed: DIGEST_BYTES, left: 0 };
    bytes.map(|&bytes| Digest::from(bytes)).ok_or(missing)
}

fn tree(reader: &mut Reader<'_>, log_leaves: usize) -> Result<LookupProof, DecodeError> {
    let length = LookupProof::encoded_bytes(log_leaves);
    let bytes = reader.list::<1>("lookup tree", length)?.as_flattened();
    Ok(LookupProof::decode(log_leaves, bytes)?)
}

fn elements(
    reader: &mut Reader<'_>,
    part: &'static str,
    count: usize,
) -> Result<Vec<K>, wire::DecodeError> {
    reader.elements(part, count, decode_k)
}

fn rounds(
    reader: &mut Reader<'_>,
    part: &'static str,
    count: usize,
) -> Result<Vec<[K; 2]>, wire::DecodeError> {
    Ok(elements(reader, part, 2 * count)?.as_chunks().0.to_vec())
}
