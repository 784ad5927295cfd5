//! The prover's commitment to the columns (step 1).

use std::fmt;

use super::error::{AdviceError, length};
use super::open::open;
use super::proof::AdviceProof;
use super::schedule::Schedule;
use super::tree::CodeTree;
use super::verify::{check_points, observe_root};
use crate::field::{F, K};
use crate::tensor_code::Digest;
use crate::transcript::Transcript;

/// Columns that the transcript has absorbed the root of, ready to be opened.
///
/// It holds their code, and the columns as they were given: borrowed, if they were.
#[derive(Clone)]
pub struct CommittedAdvice<C> {
    schedule: Schedule,
    columns: Vec<C>,
    tree: CodeTree,
}

/// Commits to `columns`, in the order of the schedule, and absorbs the root (step 1).
///
/// # Errors
///
/// Returns [`AdviceError::Length`] unless there is one column of `2^arity` cells for each arity.
pub fn commit<C: AsRef<[F]>>(
    schedule: &Schedule,
    columns: Vec<C>,
    transcript: &mut Transcript,
) -> Result<CommittedAdvice<C>, AdviceError> {
    length("advice columns of proof", 0, schedule.columns(), columns.len())?;
    for (index, (column, &arity)) in columns.iter().zip(schedule.arities()).enumerate() {
        length("cells of advice column", index, 1 << arity, column.as_ref().len())?;
    }
    let (stack, cells) = (schedule.stack(), slices(&columns));
    let write = |message: &mut [F]| stack.write_message(&cells, message);
    let rate = schedule.log_inverse_rate();
    let tree = CodeTree::of_cells(stack.log_cells(), stack.folds(), rate, write);
    observe_root(&tree.root(), transcript);
    Ok(CommittedAdvice { schedule: schedule.clone(), columns, tree })
}

impl<C> CommittedAdvice<C> {
    /// Returns the root, as absorbed.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.tree.root()
    }
}

impl<C: AsRef<[F]>> CommittedAdvice<C> {
    /// Opens every batch at its point (step 10).
    ///
    /// The values that it proves are those of the columns' extensions; the caller has absorbed
    /// them in steps 4 and 6.
    ///
    /// # Errors
    ///
    /// Returns [`AdviceError::Length`] if there is not one point of the right arity for each batch.
    pub fn open(
        &self,
        points: &[Vec<K>],
        transcript: &mut Transcript,
    ) -> Result<AdviceProof, AdviceError> {
        check_points(&self.schedule, points)?;
        let columns = slices(&self.columns);
        open(&self.schedule, &columns, &self.tree, points, transcript.challenger())
    }
}

impl<C> fmt::Debug for CommittedAdvice<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedAdvice")
            .field("schedule", &self.schedule)
            .field("root", &self.tree.root())
            .finish_non_exhaustive()
    }
}

fn slices<C: AsRef<[F]>>(columns: &[C]) -> Vec<&[F]> {
    columns.iter().map(AsRef::as_ref).collect()
}
