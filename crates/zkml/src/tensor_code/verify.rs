//! The verifier's side (sections 6.4 and 11).
//!
//! Order of the checks: encoding, point, row, value, then the transcript, the numbers of columns
//! and siblings, the Merkle root, and the code at each opened column.

use super::code::EncodedRow;
use super::error::OpeningError;
use super::merkle::{Digest, root_of, sibling_count};
use super::proof::OpeningProof;
use super::queries::draw_indices;
use super::shape::{Point, Shape};
use crate::field::{F, K};
use crate::multilinear::{evaluate, inner_product, same_length};
use crate::transcript::Transcript;

/// Checks that the weights under `root` have `value` at `point`.
///
/// `shape` and `root` come from the verifying key, `point` from the transcript, which stands where
/// the prover's stood when it opened.
///
/// # Errors
///
/// Returns the first check that fails. The transcript is then of no further use.
pub fn verify(
    shape: &Shape,
    root: &Digest,
    transcript: &mut Transcript,
    point: &Point,
    value: K,
    proof: &OpeningProof,
) -> Result<(), OpeningError> {
    point.check(shape)?;
    same_length("elements of row u", shape.columns(), proof.row.len())?;
    check_value(point, value, proof)?;
    let indices = draw_indices(shape, transcript, value, &proof.row);
    check_counts(shape, &indices, proof)?;
    check_root(shape, root, &indices, proof)?;
    check_code(shape, point, &indices, proof)
}

/// `<u, eq(chi)> = v_w`.
fn check_value(point: &Point, claimed: K, proof: &OpeningProof) -> Result<(), OpeningError> {
    let computed = evaluate(&proof.row, &point.columns)?;
    if computed == claimed { Ok(()) } else { Err(OpeningError::Value { claimed, computed }) }
}

fn check_counts(
    shape: &Shape,
    indices: &[usize],
    proof: &OpeningProof,
) -> Result<(), OpeningError> {
    let (expected, got) = (indices.len(), proof.columns.len());
    if expected != got {
        return Err(OpeningError::ColumnCount { expected, got });
    }
    for (&column, values) in indices.iter().zip(&proof.columns) {
        let (expected, got) = (shape.rows_used(), values.len());
        if expected != got {
            return Err(OpeningError::ColumnLength { column, expected, got });
        }
    }
    let expected = sibling_count(indices, shape.log_code_length());
    let got = proof.siblings.len();
    if expected == got { Ok(()) } else { Err(OpeningError::SiblingCount { expected, got }) }
}

fn check_root(
    shape: &Shape,
    committed: &Digest,
    indices: &[usize],
    proof: &OpeningProof,
) -> Result<(), OpeningError> {
    let depth = shape.log_code_length();
    let computed = root_of(indices, &proof.columns, &proof.siblings, depth).ok_or_else(|| {
        let (expected, got) = (sibling_count(indices, depth), proof.siblings.len());
        OpeningError::SiblingCount { expected, got }
    })?;
    let committed = *committed;
    if computed == committed { Ok(()) } else { Err(OpeningError::Root { committed, computed }) }
}

/// `Enc(u)[j] = sum_row eq(zeta, row) M^[row][j]` for each opened column `j`.
fn check_code(
    shape: &Shape,
    point: &Point,
    indices: &[usize],
    proof: &OpeningProof,
) -> Result<(), OpeningError> {
    let row_weights = point.row_weights(shape);
    let code = EncodedRow::new(shape, &proof.row);
    for (&column, values) in indices.iter().zip(&proof.columns) {
        let combined = inner_product::<F>(&row_weights, values)?;
        let encoded = code.at(column);
        if encoded != combined {
            return Err(OpeningError::Column { column, encoded, combined });
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use p3_field::PrimeCharacteristicRing;

    use super::*;
    use crate::tensor_code::CodeProfile;
    use crate::tensor_code::commit::CommittedWeights;

    fn shape() -> Shape {
        Shape::new(CodeProfile::QuarterUnique152, 13, 9, 10).unwrap()
    }

    fn weights() -> Vec<i16> {
        (0..10 << 9).map(|i: i32| (i.wrapping_mul(40_503) >> 4) as i16).collect()
    }

    /// Opens honestly over a word in which `spoil` has changed some columns, and verifies.
    fn open_spoiled(spoil: impl Fn(usize) -> bool) -> Result<K, OpeningError> {
        let shape = shape();
        let committed = CommittedWeights::commit_spoiled(shape, weights(), |index, column| {
            if spoil(index) {
                column.iter_mut().for_each(|value| *value += F::from_usize(index + 1));
            }
        });
        let mut transcript = Transcript::new();
        let point = shape.sample_point(&mut transcript);
        let mut verifier = transcript.clone();
        let opening = committed.open(&mut transcript, &point).unwrap();
        let root = committed.root();
        verify(&shape, &root, &mut verifier, &point, opening.value, &opening.proof)?;
        Ok(opening.value)
    }

    #[test]
    fn a_word_far_from_the_code_is_refused() {
        assert!(open_spoiled(|_| false).is_ok());
        // One column in four, in three, in two: each query meets one with that probability.
        for one_in in [4, 3, 2, 1] {
            let error = open_spoiled(|index| index % one_in == 0).unwrap_err();
            assert!(matches!(error, OpeningError::Column { column, .. } if column % one_in == 0));
        }
    }

    /// Within the decoding radius the root still stands for one matrix, and a proof that meets no
    /// spoiled column is accepted for that matrix: what unique decoding promises, and no more.
    #[test]
    fn a_word_close_to_the_code_opens_as_the_matrix_it_decodes_to() {
        let honest = open_spoiled(|_| false).unwrap();
        let close = (0..20).filter_map(|bad| open_spoiled(|index| index == bad).ok());
        let values: Vec<K> = close.collect();
        assert!(!values.is_empty());
        assert!(values.iter().all(|&value| value == honest));
    }
}
