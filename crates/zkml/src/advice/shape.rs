//! The lengths of all parts of a proof, which follow from the number of cells.

use super::scheme::Config;
use crate::field::{F_BYTES, K_BYTES};
use crate::wire::{DIGEST_BYTES, LENGTH_BYTES};

/// The lengths of a proof.
#[derive(Clone, Debug)]
pub(super) struct ProofShape {
    /// Answers at the points outside the domain that the commitment owes.
    pub(super) initial_answers: usize,
    /// Sumcheck rounds of the first fold.
    pub(super) initial_rounds: usize,
    /// The rounds between.
    pub(super) rounds: Vec<RoundShape>,
    /// Values of the last polynomial, which is sent in the clear.
    pub(super) final_polynomial: usize,
    /// What is opened of the last tree.
    pub(super) final_openings: OpeningsShape,
    /// Sumcheck rounds over the last polynomial.
    pub(super) final_rounds: usize,
}

/// The lengths of one round.
#[derive(Clone, Debug)]
pub(super) struct RoundShape {
    pub(super) answers: usize,
    pub(super) openings: OpeningsShape,
    pub(super) rounds: usize,
}

/// What is opened of one tree: one row for each query, in the order drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpeningsShape {
    /// Whether rows are of the base field: the first tree only.
    pub(super) base: bool,
    pub(super) rows: usize,
    pub(super) row_length: usize,
    pub(super) depth: usize,
}

impl ProofShape {
    /// Derives the lengths from p3's parameters.
    pub(super) fn new(config: &Config) -> Self {
        let folds = config.folding_schedule();
        let openings = |round: usize, queries: usize, depth: usize| OpeningsShape {
            base: round == 0,
            rows: queries.min(1 << depth),
            row_length: 1 << folds.get(round).copied().unwrap_or_default(),
            depth,
        };
        let rounds = config.round_parameters().iter().enumerate();
        let rounds = rounds.map(|(index, round)| RoundShape {
            answers: round.ood_samples,
            openings: openings(index, round.num_queries, round.log_folded_domain_size),
            rounds: folds.get(index + 1).copied().unwrap_or_default(),
        });
        let rounds: Vec<RoundShape> = rounds.collect();
        let last = config.final_round_config();
        Self {
            initial_answers: config.commitment_ood_samples(),
            initial_rounds: folds.first().copied().unwrap_or_default(),
            final_polynomial: 1 << config.final_sumcheck_rounds(),
            final_openings: openings(rounds.len(), last.num_queries, last.log_folded_domain_size),
            final_rounds: config.final_sumcheck_rounds(),
            rounds,
        }
    }

    /// Returns the size that no encoded proof exceeds.
    pub(super) fn max_bytes(&self) -> usize {
        let rounds: usize = self.rounds.iter().map(RoundShape::max_bytes).sum();
        let elements = self.initial_answers
            + 2 * (self.initial_rounds + self.final_rounds)
            + self.final_polynomial;
        elements * K_BYTES + rounds + self.final_openings.max_bytes()
    }
}

impl RoundShape {
    fn max_bytes(&self) -> usize {
        DIGEST_BYTES + (self.answers + 2 * self.rounds) * K_BYTES + self.openings.max_bytes()
    }
}

impl OpeningsShape {
    /// Returns the most Merkle siblings that the rows can need: none if they are all leaves, else
    /// at most one for each node above an opened leaf, and for each pair, of a level.
    pub(super) fn max_siblings(&self) -> usize {
        if self.rows == 1 << self.depth {
            return 0;
        }
        (0..self.depth).map(|level| self.rows.min(1 << level)).sum()
    }

    fn max_bytes(&self) -> usize {
        let element = if self.base { F_BYTES } else { K_BYTES };
        let rows = self.rows * self.row_length * element;
        rows + LENGTH_BYTES + self.max_siblings() * DIGEST_BYTES
    }
}
