//! The verifier of the opening (steps 1 and 10; section 11).
//!
//! p3's verifier asserts on the number and arity of points and trusts the shape of its input in
//! places, so every length is checked here first. It returns the values it proved; they are
//! compared with those of steps 4 and 6 although they were put in from there.

use p3_multilinear_util::point::Point;
use p3_sumcheck::layout::observe_commitment;
use p3_sumcheck::{OpeningEvals, PrescribedPointPcs};

use super::convert::to_p3;
use super::error::{AdviceError, length};
use super::proof::AdviceProof;
use super::schedule::Schedule;
use super::scheme::to_commitment;
use crate::field::{F, K};
use crate::tensor_code::Digest;
use crate::transcript::Transcript;

/// Absorbs the root (step 1).
pub fn observe_root(root: &Digest, transcript: &mut Transcript) {
    observe_commitment::<F, _, _>(transcript.challenger(), to_commitment(root));
}

/// Verifies that the columns under `root` have `values` at `points` (step 10).
///
/// `points` has one point for each batch and `values` the values of its columns in the batch's
/// order; the transcript has absorbed both, and the root before them.
///
/// # Errors
///
/// Returns [`AdviceError`] naming the check that failed.
pub fn verify(
    schedule: &Schedule,
    root: &Digest,
    points: &[Vec<K>],
    values: &[Vec<K>],
    proof: &AdviceProof,
    transcript: &mut Transcript,
) -> Result<(), AdviceError> {
    check_points(schedule, points)?;
    check_values(schedule, values)?;
    proof.check(schedule.shape())?;
    let evals = |values: &Vec<K>| OpeningEvals::new(values.clone(), Vec::new());
    let proof = to_p3(proof, schedule.in_class_order(values).map(evals).collect());
    let points: Vec<Point<K>> = schedule.in_class_order(points).cloned().map(Point::new).collect();
    let (pcs, protocol) = (schedule.pcs(), schedule.protocol());
    let commitment = to_commitment(root);
    let opened = pcs.verify_at(&commitment, &proof, protocol, &points, transcript.challenger())?;
    compare(schedule, values, &opened)
}

/// Checks that there is one point of the right arity for each batch.
pub(super) fn check_points(schedule: &Schedule, points: &[Vec<K>]) -> Result<(), AdviceError> {
    length("points of opening", 0, schedule.batches(), points.len())?;
    for (batch, ((arity, _), point)) in schedule.batch_sizes().zip(points).enumerate() {
        length("coordinates of the point of batch", batch, arity, point.len())?;
    }
    Ok(())
}

fn check_values(schedule: &Schedule, values: &[Vec<K>]) -> Result<(), AdviceError> {
    length("lists of values of opening", 0, schedule.batches(), values.len())?;
    for (batch, ((_, columns), values)) in schedule.batch_sizes().zip(values).enumerate() {
        length("values of batch", batch, columns, values.len())?;
    }
    Ok(())
}

fn compare(
    schedule: &Schedule,
    values: &[Vec<K>],
    opened: &[OpeningEvals<K>],
) -> Result<(), AdviceError> {
    length("opened batches of opening", 0, values.len(), opened.len())?;
    for (batch, (claimed, opened)) in schedule.in_class_order(values).zip(opened).enumerate() {
        if claimed.as_slice() != opened.current() || !opened.next().is_empty() {
            let (claimed, opened) = (claimed.clone(), opened.to_vec());
            return Err(AdviceError::Values { batch, claimed, opened });
        }
    }
    Ok(())
}
