//! Which columns are opened: the row and the value fix them (steps 8 and 9).

use super::shape::Shape;
use crate::field::K;
use crate::transcript::{Label, Transcript};

/// Absorbs steps 8 and 9 and returns the distinct indices in ascending order.
pub(super) fn draw_indices(
    shape: &Shape,
    transcript: &mut Transcript,
    value: K,
    row: &[K],
) -> Vec<usize> {
    transcript.absorb_k(Label::WeightValue, &[value]);
    transcript.absorb_k(Label::WeightRow, row);
    let mut indices = transcript.sample_indices(shape.log_code_length(), shape.profile().queries());
    indices.sort_unstable();
    indices.dedup();
    indices
}
