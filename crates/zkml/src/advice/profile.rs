//! WHIR's parameters: an enum, never numbers (section 11).

use p3_whir::{FoldingFactor, ProtocolParameters, SecurityAssumption};

/// The parameters of the opening of advice (section 7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AdviceProfile {
    /// Johnson bound, 106 bits for each term, no grinding.
    ///
    /// | cells | rate | folds | why |
    /// |---|---|---|---|
    /// | up to `2^17` | 1/4 | at most two, as even as can be | half the queries of rate 1/2, so two thirds of its bytes, in the same time: the transforms are not yet what costs |
    /// | above | 1/2 | three, or four from `2^25` on; the first is the largest | the committed vector's transform costs most |
    ///
    /// Each round divides the rate by `2^(k-1)`, `k` the variables that it folds, or by less where
    /// the proximity gap of a long code at a low rate would cost too much: from `2^23` cells on. The
    /// folds end where at most 6 variables are left, which are sent in the clear.
    #[default]
    WhirJohnson106,
}

impl AdviceProfile {
    /// Returns p3's parameters for `2^log_cells` cells, `log_cells` from 6 to 28.
    pub(super) fn parameters(self, log_cells: usize) -> ProtocolParameters {
        match self {
            Self::WhirJohnson106 => {
                let folds = folds(log_cells);
                let rate = if log_cells <= MAX_LOG_TWO_FOLDS { 2 } else { 1 };
                ProtocolParameters {
                    starting_log_inv_rate: rate,
                    round_log_inv_rates: round_rates(log_cells, rate, &folds),
                    folding_factor: FoldingFactor::PerRound(folds),
                    soundness_type: SecurityAssumption::JohnsonBound,
                    security_level: 106,
                    pow_bits: 0,
                }
            }
        }
    }
}

/// Returns `lg(1 / rate)` of the vector that each round commits to.
fn round_rates(log_cells: usize, start: usize, folds: &[usize]) -> Vec<usize> {
    let mut state = (log_cells, start);
    let round = |fold: &usize| {
        let (variables, rate) = (state.0.saturating_sub(*fold), state.1);
        let least = MAX_LOG_GAP.saturating_sub(variables) / 2;
        state = (variables, (rate + fold - 1).min(least));
        state.1
    };
    let rounds = folds.len().saturating_sub(1);
    folds.iter().take(rounds).map(round).collect()
}

/// Returns how many variables each fold takes away.
fn folds(log_cells: usize) -> Vec<usize> {
    let to_fold = log_cells.saturating_sub(IN_THE_CLEAR).max(MIN_FIRST_FOLD);
    if to_fold == MIN_FIRST_FOLD {
        return vec![to_fold];
    }
    if log_cells <= MAX_LOG_TWO_FOLDS {
        return evenly(to_fold, 2);
    }
    let count = if log_cells <= MAX_LOG_THREE_FOLDS { 3 } else { 4 };
    let first = ((to_fold - 1).div_ceil(count) + 1).min(MAX_FIRST_FOLD);
    [vec![first], evenly(to_fold - first, count - 1)].concat()
}

/// Splits `sum` into `count` parts that differ by 1 at most, the larger ones first.
fn evenly(sum: usize, count: usize) -> Vec<usize> {
    (0..count).map(|part| (sum + count - 1 - part) / count).collect()
}

/// Variables of the polynomial that p3 sends in the clear, at most.
const IN_THE_CLEAR: usize = 6;

/// The fold of the smallest vectors.
const MIN_FIRST_FOLD: usize = 4;

/// A column is not smaller than the first fold (section 1).
const MAX_FIRST_FOLD: usize = 6;

/// By Theorem 5.12 of eprint 2026/2056, which p3 prices folds with, the error of the proximity gap is
/// proportional to `2^(variables + 2 lg(1 / rate))`: no committed vector goes above this exponent,
/// which leaves about 108 bits for six folds.
const MAX_LOG_GAP: usize = 31;

const MAX_LOG_TWO_FOLDS: usize = 17;

const MAX_LOG_THREE_FOLDS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    /// The schedules that were measured, and the ends of the range.
    #[test]
    fn the_folds_are_those_measured() {
        let table: [(usize, &[usize]); 16] = [
            (6, &[4]),
            (10, &[4]),
            (11, &[3, 2]),
            (12, &[3, 3]),
            (13, &[4, 3]),
            (14, &[4, 4]),
            (15, &[5, 4]),
            (16, &[5, 5]),
            (17, &[6, 5]),
            (18, &[5, 4, 3]),
            (19, &[5, 4, 4]),
            (20, &[6, 4, 4]),
            (21, &[6, 5, 4]),
            (24, &[6, 6, 6]),
            (25, &[6, 5, 4, 4]),
            (28, &[6, 6, 5, 5]),
        ];
        for (log_cells, expected) in table {
            assert_eq!(folds(log_cells), expected, "2^{log_cells} cells");
        }
    }

    #[test]
    fn rates_fall_as_far_as_the_proximity_gap_allows() {
        let table: [(usize, usize, &[usize]); 7] = [
            (10, 2, &[]),
            (14, 2, &[5]),
            (17, 2, &[7]),
            (22, 1, &[6, 10]),
            (23, 1, &[6, 10]),
            (24, 1, &[6, 9]),
            (28, 1, &[4, 7, 10]),
        ];
        for (log_cells, start, rates) in table {
            let parameters = AdviceProfile::default().parameters(log_cells);
            assert_eq!(parameters.starting_log_inv_rate, start);
            assert_eq!(parameters.round_log_inv_rates, rates, "2^{log_cells} cells");
        }
    }

    #[test]
    fn folds_leave_what_is_sent_and_fit_the_field() {
        for log_cells in 6..=28 {
            let folds = folds(log_cells);
            let (first, folded) = (folds[0], folds.iter().sum::<usize>());
            assert!(first <= MAX_FIRST_FOLD && folded <= log_cells);
            assert!(log_cells - folded <= IN_THE_CLEAR);
            let rate = AdviceProfile::default().parameters(log_cells).starting_log_inv_rate;
            assert!(log_cells + rate - first <= 24, "the field's two-adicity");
        }
    }
}
