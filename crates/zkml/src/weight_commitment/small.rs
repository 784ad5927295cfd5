//! `small`: the weights under WHIR (section 6.6).
//!
//! All `2^n_w` places are one column, which is opened at the point of the weight sumcheck. WHIR's
//! radius is that of lists, so a root may stand for several vectors, and a proof would show that the
//! answer is that of one of them. So the key has a sample besides: the value of the weights'
//! extension at a point that the root fixes. It is opened in every proof too, and two vectors behind
//! one root agree there with the error of section 8 only.

use std::fmt;

use p3_field::PrimeCharacteristicRing;

use super::{CommitError, Mode, WeightCommitment};
use crate::advice::{self, AdviceError, AdviceProof, CommittedAdvice, Schedule};
use crate::field::{F, K};
use crate::tensor_code::{self, Digest, Point, Shape};
use crate::transcript::{Label, Transcript};

/// Weights with WHIR's code and tree over them.
///
/// Resident: 2 bytes for each weight, 4 for each of the `2^n_w` places, and the code, 8 to 64 bytes
/// for each place.
pub struct SmallWeights {
    shape: Shape,
    weights: Vec<i16>,
    committed: CommittedAdvice<Vec<F>>,
    point: Point,
    sample: K,
}

impl SmallWeights {
    pub(super) fn commit(shape: Shape, mut weights: Vec<i16>) -> Result<Self, CommitError> {
        let [low, high] = Mode::Small.log_weights();
        let size = CommitError::Size { low, high, got: shape.log_weights() };
        let schedule = schedule(&shape).ok_or(size)?;
        let (capacity, got) = (shape.capacity(), weights.len());
        if got > capacity {
            return Err(tensor_code::CommitError::TooMany { capacity, got }.into());
        }
        weights.resize(capacity, 0);
        let mut column: Vec<F> = weights.iter().map(|&weight| F::from_i16(weight)).collect();
        column.resize(shape.places(), F::ZERO);
        // The key binds the root: the transcript of a proof starts with the model's id.
        let unused = &mut Transcript::new();
        let committed = advice::commit(&schedule, vec![column], unused).map_err(|_| size)?;
        let point = sample_point(&shape, &committed.root());
        let (sample, _) = tensor_code::combine(&shape, &weights, &point).map_err(|_| size)?;
        Ok(Self { shape, weights, committed, point, sample })
    }

    /// Returns what the key holds.
    #[must_use]
    pub const fn commitment(&self) -> WeightCommitment {
        WeightCommitment::Small { root: self.committed.root(), sample: self.sample }
    }

    /// Returns the weights, zeros to the end of the last row in use included.
    #[must_use]
    pub fn weights(&self) -> &[i16] {
        &self.weights
    }

    pub(super) fn into_weights(self) -> Vec<i16> {
        self.weights
    }

    /// Opens the weights at `point`, which the transcript has just fixed, and at the key's (steps 8
    /// and 9).
    ///
    /// # Errors
    ///
    /// Returns [`AdviceError`] if the point is not of the shape's arity.
    pub fn open(
        &self,
        transcript: &mut Transcript,
        point: &Point,
    ) -> Result<(K, AdviceProof), AdviceError> {
        let (value, _) = tensor_code::combine(&self.shape, &self.weights, point)?;
        let proof = self.open_to(transcript, point, value)?;
        Ok((value, proof))
    }

    /// Opens at `point` after `value` was sent, which is taken as it is.
    ///
    /// # Errors
    ///
    /// Returns [`AdviceError`] if the point is not of the shape's arity.
    pub fn open_to(
        &self,
        transcript: &mut Transcript,
        point: &Point,
        value: K,
    ) -> Result<AdviceProof, AdviceError> {
        transcript.absorb_k(Label::WeightValue, &[value]);
        self.committed.open(&[point.whole(), self.point.whole()], transcript)
    }
}

impl fmt::Debug for SmallWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallWeights")
            .field("shape", &self.shape)
            .field("commitment", &self.commitment())
            .finish_non_exhaustive()
    }
}

/// Checks that the weights under `root` have `value` at `point`, and `sample` at the point that the
/// root fixes.
///
/// All but `value` and `proof` come from the verifying key and the transcript, which stands where the
/// prover's stood when it opened.
///
/// # Errors
///
/// Returns the first check that fails. The transcript is then of no further use.
pub(crate) fn verify(
    (shape, schedule): (&Shape, &Schedule),
    (root, sample): (&Digest, K),
    transcript: &mut Transcript,
    point: &Point,
    value: K,
    proof: &AdviceProof,
) -> Result<(), AdviceError> {
    point.check(shape)?;
    transcript.absorb_k(Label::WeightValue, &[value]);
    let points = [point.whole(), sample_point(shape, root).whole()];
    let values = [vec![value], vec![sample]];
    advice::verify(schedule, root, &points, &values, proof, transcript)
}

fn schedule(shape: &Shape) -> Option<Schedule> {
    let log_weights = u32::try_from(shape.log_weights()).ok()?;
    Schedule::for_weights(log_weights).ok()
}

/// The point of the key's sample: the row coordinates are drawn first.
fn sample_point(shape: &Shape, root: &Digest) -> Point {
    let mut transcript = Transcript::new();
    transcript.absorb(Label::WeightSample, root.as_bytes());
    let rows = transcript.sample_point(shape.log_rows());
    Point { rows, columns: transcript.sample_point(shape.log_columns()) }
}
