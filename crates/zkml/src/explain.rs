//! What a proof claims and how each part of it is checked, for people: layer by layer, part by part.

use serde::Serialize;

use crate::circuit::Circuit;
use crate::program::{Form, Program, Site, Table, Tensor, Term, limb_widths};
use crate::proof::{DecodeError, Proof};
use crate::weight_commitment::WeightOpening;

/// The bytes of an element of `K`.
const K_BYTES: usize = 20;
/// The bytes of a root, and of a length.
const ROOT_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;

/// The names of a proof's parts.
pub mod part {
    /// The root of the committed columns.
    pub const COMMITMENT: &str = "commitment";
    /// The tree of the lookups.
    pub const LOOKUPS: &str = "lookups";
    /// The columns at one point.
    pub const VALUES: &str = "values";
    /// The sum of the layers.
    pub const LAYERS: &str = "layers";
    /// The weights in it.
    pub const WEIGHTS: &str = "weights";
    /// The opening of the committed columns.
    pub const OPENING: &str = "opening";
}

/// What a program is, layer by layer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Layer {
    /// The index of the tensor that it gives; 0 is the input.
    pub tensor: usize,
    /// `requantise`, `maximum`, `copy` or `output`.
    pub kind: &'static str,
    /// Rows, columns and channels of what it gives.
    pub shape: [u32; 3],
    /// The smallest and the largest value that it gives.
    pub range: [i32; 2],
    /// What it sums, term by term; the operands of a maximum one after the other.
    pub sums: Vec<String>,
    /// What is claimed of each of its values, in a sentence.
    pub claim: String,
    /// The values of it that a proof commits to, for one inference.
    pub committed: u64,
    /// The look-ups that show that they are rows of their tables, for one inference.
    pub lookups: u64,
}

/// A part of a proof.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// The step of the protocol (section 3).
    pub step: u32,
    /// What is sent, in one word.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub shows: String,
    /// Its bytes.
    pub bytes: usize,
}

/// Returns what the layers of a program claim.
#[must_use]
pub fn layers(program: &Program) -> Vec<Layer> {
    let tensors = program.tensors.iter().skip(1);
    let sites = program.sites.iter().zip(tensors).zip(1..);
    sites.map(|((site, tensor), index)| layer(program, site, tensor, index)).collect()
}

/// Returns what a proof is made of, in the order of its parts.
///
/// # Errors
///
/// Returns [`DecodeError`] unless `proof` is the one encoding of a proof for the circuit.
pub fn parts(circuit: &Circuit, proof: &[u8]) -> Result<Vec<Part>, DecodeError> {
    let proof = Proof::decode(circuit, proof)?;
    let parts = [commitment(circuit, &proof), lookups(circuit, &proof), values(&proof)];
    let parts = parts.into_iter().chain([sums(&proof), weights(&proof), opening(&proof)]);
    Ok(parts.collect())
}

fn commitment(circuit: &Circuit, proof: &Proof) -> Part {
    let shows = format!(
        "One hash over all {} values that the layers committed to: they were fixed before any question \
         was asked of them.",
        circuit.sizes().advice_cells
    );
    let bytes = proof.advice_root.map_or(0, |_| ROOT_BYTES);
    Part { step: 1, name: part::COMMITMENT, shows, bytes }
}

fn lookups(circuit: &Circuit, proof: &Proof) -> Part {
    let shows = format!(
        "Every rounding, limit and maximum is a row of its table, for all {} rows and look-ups at once.",
        circuit.sizes().leaves
    );
    let bytes = proof.lookups.as_ref().map_or(0, |tree| tree.encode().len());
    Part { step: 2, name: part::LOOKUPS, shows, bytes }
}

fn values(proof: &Proof) -> Part {
    let values = &proof.values;
    let columns = values.columns.len();
    let shows = format!("What {columns} columns of committed values come to at one random point.");
    let bytes = elements(&[columns, values.virtuals.len(), values.outputs.len()]);
    Part { step: 4, name: part::VALUES, shows, bytes }
}

fn sums(proof: &Proof) -> Part {
    let (rounds, ends) = (proof.layer_rounds.len(), &proof.ends);
    let shows = format!(
        "The sums of all layers at that point, in one sum with {rounds} rounds: convolutions, matrix \
         products and additions."
    );
    let ends = [ends.tensors.len(), ends.convs.len(), ends.biases.len(), ends.inputs.len()];
    Part { step: 5, name: part::LAYERS, shows, bytes: elements(&[2 * rounds]) + elements(&ends) }
}

fn weights(proof: &Proof) -> Part {
    let rounds = proof.weight_rounds.len();
    let opened = match &proof.weights {
        WeightOpening::Fast(_) => "columns of their code that the verifier picked",
        WeightOpening::Small(_) => "one value of them, opened by WHIR",
    };
    let shows = format!(
        "The weights in these sums are the ones under the model's root: {rounds} rounds, and {opened}."
    );
    let bytes = elements(&[2 * rounds, 1]) + LENGTH_BYTES + proof.weights.encode().len();
    Part { step: 7, name: part::WEIGHTS, shows, bytes }
}

fn opening(proof: &Proof) -> Part {
    let shows = "The values that were told are those under the hash of the first step.".to_owned();
    let bytes = proof.advice.as_ref().map_or(0, |opening| opening.encode().len());
    Part { step: 10, name: part::OPENING, shows, bytes }
}

/// The bytes of lists of elements of `K`.
fn elements(lists: &[usize]) -> usize {
    K_BYTES * lists.iter().sum::<usize>()
}

fn layer(program: &Program, site: &Site, tensor: &Tensor, index: usize) -> Layer {
    let cells = tensor.shape.cells() as u64;
    let limbs = |shift: u32| limb_widths(shift, program.limb_bits).count() as u64;
    let (kind, claim, columns, lookups) = match site {
        Site::Requant { shift, table, .. } => {
            let divided = match shift {
                0 => "the sum".to_owned(),
                shift => format!("the sum divided by 2^{shift} and rounded"),
            };
            let claim = match program.tables.get(*table as usize) {
                Some(Table::Clamp { lo, hi, .. }) => format!("{divided}, limited to {lo}..={hi}"),
                _ => format!("what its table gives for {divided}"),
            };
            ("requantise", claim, 1 + limbs(*shift), 1 + limbs(*shift))
        }
        Site::Max2 { .. } => ("maximum", "the greater of two sums".to_owned(), 1, 1),
        Site::Copy { .. } => ("copy", "the sum itself, in another layout".to_owned(), 1, 0),
        Site::Output { .. } => ("output", "the sum itself: the answer".to_owned(), 0, 0),
    };
    Layer {
        tensor: index,
        kind,
        shape: tensor.shape.extents(),
        range: [tensor.interval.lo, tensor.interval.hi],
        sums: site.forms().flat_map(terms).collect(),
        claim: format!("each value is {claim}"),
        committed: columns * cells,
        lookups: lookups * cells,
    }
}

fn terms(form: &Form) -> impl Iterator<Item = String> + '_ {
    form.terms.iter().map(|term| match term {
        Term::Local { tensor, m: 1 } => format!("tensor {tensor}"),
        Term::Local { tensor, m } => format!("{m} times tensor {tensor}"),
        Term::Conv(conv) if (conv.y.taps, conv.x.taps) == (1, 1) => {
            format!("matrix product with tensor {}", conv.tensor)
        }
        Term::Conv(conv) => {
            format!("convolution {}x{} of tensor {}", conv.y.taps, conv.x.taps, conv.tensor)
        }
        Term::Pick(pick) => format!("cells picked of tensor {}", pick.tensor),
        Term::Bias { .. } => "bias".to_owned(),
        Term::Const { v } => format!("{v}"),
    })
}

/// Returns a table in words.
#[must_use]
pub fn table(table: &Table) -> String {
    match table {
        Table::Range { bits } => format!("range of {bits} bits"),
        Table::Max2 { kmax } => format!("maximum, differences to {kmax}"),
        Table::Clamp { bq, lo, hi } => format!("clamp of -{bq}..={bq} to {lo}..={hi}"),
        Table::Function { bq, .. } => format!("function of -{bq}..={bq}"),
    }
}
