//! The sizes of one commitment, checked once so that everything else can rely on them.

use thiserror::Error;

use crate::field::{F_BYTES, K, K_BYTES};
use crate::multilinear::{ArityError, eq_table, same_length};
use crate::transcript::Transcript;
use crate::wire::LENGTH_BYTES;

/// Rate and query count of the code: an enum, never two numbers (section 11).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CodeProfile {
    /// Rate 1/4, 152 queries, unique decoding, no grinding.
    #[default]
    QuarterUnique152,
}

impl CodeProfile {
    /// Returns `lg(1 / rate)`.
    #[must_use]
    pub const fn log_inverse_rate(self) -> usize {
        match self {
            Self::QuarterUnique152 => 2,
        }
    }

    /// Returns `Nq`, the number of query indices drawn.
    #[must_use]
    pub const fn queries(self) -> usize {
        match self {
            Self::QuarterUnique152 => 152,
        }
    }
}

/// The sizes of a committed weight matrix.
///
/// Held by the verifying key, never read from a proof. Every value of this type satisfies the caps
/// of section 2.2, so sizes computed from it neither overflow nor exceed what the code supports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    profile: CodeProfile,
    log_weights: usize,
    log_columns: usize,
    rows_used: usize,
}

/// A shape that the protocol does not allow.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("weight matrix shape: {what} must be between {low} and {high}, got {got}")]
#[non_exhaustive]
pub struct ShapeError {
    /// The size in question.
    pub what: &'static str,
    /// Smallest value allowed.
    pub low: usize,
    /// Largest value allowed.
    pub high: usize,
    /// The value given.
    pub got: usize,
}

impl Shape {
    /// Returns the shape with `2^log_columns` columns and `rows_used` of `2^(n_w - kappa)` rows.
    ///
    /// `log_weights` is `n_w`, `log_columns` is `kappa`.
    ///
    /// # Errors
    ///
    /// Returns [`ShapeError`] if `n_w > 30`, `kappa > 22` or above `n_w`, there are more than
    /// `2^16` rows, or `rows_used` is 0 or above the number of rows.
    pub fn new(
        profile: CodeProfile,
        log_weights: usize,
        log_columns: usize,
        rows_used: usize,
    ) -> Result<Self, ShapeError> {
        within("n_w", 0, MAX_LOG_WEIGHTS, log_weights)?;
        let widest = log_weights.min(TWO_ADICITY - profile.log_inverse_rate());
        let narrowest = log_weights.saturating_sub(MAX_LOG_ROWS);
        within("kappa", narrowest, widest, log_columns)?;
        within("rows_used", 1, 1 << (log_weights - log_columns), rows_used)?;
        Ok(Self { profile, log_weights, log_columns, rows_used })
    }

    /// Returns the shape with the smallest proof for `count` weights (section 6.4).
    ///
    /// # Errors
    ///
    /// Returns [`ShapeError`] if `count` is 0 or above `2^30`.
    pub fn for_weights(count: usize) -> Result<Self, ShapeError> {
        within("number of weights", 1, MAX_WEIGHTS, count)?;
        let log_weights = ceil_log2(count);
        (0..=log_weights)
            .filter_map(|log_columns| {
                let rows_used = count.div_ceil(1 << log_columns);
                Self::new(CodeProfile::default(), log_weights, log_columns, rows_used).ok()
            })
            .min_by_key(Self::estimated_proof_bytes)
            .ok_or(ShapeError { what: "kappa", low: 0, high: log_weights, got: log_weights })
    }

    /// Returns the code's parameters.
    #[must_use]
    pub const fn profile(&self) -> CodeProfile {
        self.profile
    }

    /// Returns `n_w`: the weight vector has `2^n_w` entries, most of them possibly absent.
    #[must_use]
    pub const fn log_weights(&self) -> usize {
        self.log_weights
    }

    /// Returns `kappa`.
    #[must_use]
    pub const fn log_columns(&self) -> usize {
        self.log_columns
    }

    /// Returns `n_w - kappa`, the number of row variables.
    #[must_use]
    pub const fn log_rows(&self) -> usize {
        self.log_weights - self.log_columns
    }

    /// Returns `2^kappa`, the length of a row.
    #[must_use]
    pub const fn columns(&self) -> usize {
        1 << self.log_columns
    }

    /// Returns the number of rows that are hashed and sent; the others are zero.
    #[must_use]
    pub const fn rows_used(&self) -> usize {
        self.rows_used
    }

    /// Returns `kappa + lg(1 / rate)`, the depth of the Merkle tree.
    #[must_use]
    pub const fn log_code_length(&self) -> usize {
        self.log_columns + self.profile.log_inverse_rate()
    }

    /// Returns the length of a codeword: the number of leaves.
    #[must_use]
    pub const fn code_length(&self) -> usize {
        1 << self.log_code_length()
    }

    /// Returns `2^n_w`.
    #[must_use]
    pub const fn places(&self) -> usize {
        1 << self.log_weights
    }

    /// Returns the number of weights that the rows in use hold.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.rows_used << self.log_columns
    }

    /// Returns the most columns that a proof can open.
    #[must_use]
    pub fn max_columns_opened(&self) -> usize {
        self.profile.queries().min(self.code_length())
    }

    /// Returns the most Merkle siblings that a proof can hold.
    ///
    /// On a level of `2^k` nodes the opened leaves stand under at most `min(Nq, 2^k)` nodes. At
    /// most one sibling belongs to each, and at most one to each of the `2^(k-1)` pairs.
    #[must_use]
    pub fn max_siblings(&self) -> usize {
        (0..self.log_code_length()).map(|k| self.profile.queries().min(1 << k)).sum()
    }

    /// Returns the size in bytes that no encoded opening exceeds.
    #[must_use]
    pub fn max_proof_bytes(&self) -> usize {
        let columns = self.max_columns_opened() * self.rows_used * F_BYTES;
        self.columns() * K_BYTES + columns + self.max_siblings() * 32 + 2 * LENGTH_BYTES
    }

    /// Returns the shape with `n_w = log_weights`, which is not less than before.
    pub(crate) const fn with_log_weights(self, log_weights: usize) -> Self {
        Self { log_weights, ..self }
    }

    /// Draws `chi`, then `zeta`, as the weight sumcheck would (step 7): for tests and benches.
    pub fn sample_point(&self, transcript: &mut Transcript) -> Point {
        let columns = transcript.sample_point(self.log_columns());
        Point { rows: transcript.sample_point(self.log_rows()), columns }
    }

    /// The estimate of section 6.4 for the size of a proof.
    pub(crate) fn estimated_proof_bytes(&self) -> usize {
        let queries = self.profile.queries();
        let levels = self.log_code_length().saturating_sub(queries.ilog2() as usize);
        queries * F_BYTES * self.rows_used + K_BYTES * self.columns() + 32 * queries * levels
    }
}

/// A point at which weights are opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the point of section 6 has these two parts")]
pub struct Point {
    /// `zeta`, the `n_w - kappa` row coordinates, which are the first of the whole point.
    pub rows: Vec<K>,
    /// `chi`, the `kappa` column coordinates.
    pub columns: Vec<K>,
}

impl Point {
    /// Checks the number of coordinates against `shape`.
    pub(crate) fn check(&self, shape: &Shape) -> Result<(), ArityError> {
        same_length("coordinates of zeta", shape.log_rows(), self.rows.len())?;
        same_length("coordinates of chi", shape.log_columns(), self.columns.len())
    }

    /// Returns all coordinates, those of the rows first.
    pub(crate) fn whole(&self) -> Vec<K> {
        [self.rows.as_slice(), &self.columns].concat()
    }

    /// Returns `eq(zeta, row)` for the rows in use.
    pub(crate) fn row_weights(&self, shape: &Shape) -> Vec<K> {
        let mut weights = eq_table(&self.rows);
        weights.truncate(shape.rows_used());
        weights
    }
}

const MAX_LOG_WEIGHTS: usize = 30;

/// Cap of N4 on the weights of one model.
pub const MAX_WEIGHTS: usize = 1 << MAX_LOG_WEIGHTS;

/// With more rows than this, the prover's 64-bit sums of integer products could wrap.
const MAX_LOG_ROWS: usize = 16;

/// The largest power of two that divides `p - 1` is `2^24`: the longest code there is.
const TWO_ADICITY: usize = 24;

const fn within(what: &'static str, low: usize, high: usize, got: usize) -> Result<(), ShapeError> {
    if low <= got && got <= high { Ok(()) } else { Err(ShapeError { what, low, high, got }) }
}

const fn ceil_log2(count: usize) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
}
