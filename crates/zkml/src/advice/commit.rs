//! The prover: commits to the columns (step 1) and opens them (step 10).

use std::fmt;

use p3_commit::MultilinearPcs;
use p3_matrix::dense::RowMajorMatrix;
use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use p3_sumcheck::layout::{Layout as _, Table};

use super::convert::from_p3;
use super::error::{AdviceError, length};
use super::proof::AdviceProof;
use super::schedule::{Class, Schedule};
use super::scheme::{Layout, ProverData};
use super::verify::check_points;
use crate::field::{F, K};
use crate::tensor_code::Digest;
use crate::transcript::Transcript;

/// Columns that the transcript has absorbed the root of, ready to be opened: a copy for each opening.
#[derive(Clone)]
pub struct CommittedAdvice {
    schedule: Schedule,
    root: Digest,
    data: ProverData,
}

/// Commits to `columns`, in the order of the schedule, and absorbs the root (step 1).
///
/// # Errors
///
/// Returns [`AdviceError::Length`] unless there is one column of `2^arity` cells for each arity.
pub fn commit(
    schedule: &Schedule,
    columns: &[impl AsRef<[F]>],
    transcript: &mut Transcript,
) -> Result<CommittedAdvice, AdviceError> {
    length("advice columns of proof", 0, schedule.columns(), columns.len())?;
    for (index, (column, &arity)) in columns.iter().zip(schedule.arities()).enumerate() {
        length("cells of advice column", index, 1 << arity, column.as_ref().len())?;
    }
    let tables = schedule.classes().iter().map(|class| table(class, columns)).collect();
    let folding = schedule.shape().initial_rounds;
    let witness = Layout::new_witness(tables, folding);
    let (cap, data) = schedule.pcs().commit(witness, transcript.challenger())?;
    let root = cap.roots().first().copied().unwrap_or_default();
    Ok(CommittedAdvice { schedule: schedule.clone(), root: Digest::from(root), data })
}

impl CommittedAdvice {
    /// Returns the root, as absorbed.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Opens every batch at its point (step 10).
    ///
    /// The values that it proves are those of the columns' extensions; the caller has absorbed
    /// them in steps 4 and 6.
    ///
    /// # Errors
    ///
    /// Returns [`AdviceError::Length`] unless there is one point of the right arity for each batch.
    pub fn open(
        self,
        points: &[Vec<K>],
        transcript: &mut Transcript,
    ) -> Result<AdviceProof, AdviceError> {
        check_points(&self.schedule, points)?;
        let points: Vec<Point<K>> =
            self.schedule.in_class_order(points).cloned().map(Point::new).collect();
        let (pcs, protocol) = (self.schedule.pcs(), self.schedule.protocol());
        let proof = pcs.open_at(self.data, protocol, &points, transcript.challenger())?;
        Ok(from_p3(proof.whir))
    }
}

impl fmt::Debug for CommittedAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedAdvice")
            .field("schedule", &self.schedule)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Copies the columns of one class into one list, one after the other.
fn table(class: &Class, columns: &[impl AsRef<[F]>]) -> Table<F> {
    let mut values = Vec::with_capacity(class.columns.len() << class.arity);
    let columns = class.columns.iter().filter_map(|&column| columns.get(column));
    columns.for_each(|column| values.extend_from_slice(column.as_ref()));
    Table::new(RowMajorMatrix::new(values, 1 << class.arity))
}
