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
                johnson_106(rate, round_rates(log_cells, rate, &folds, usize::MAX), folds)
            }
        }
    }
}

/// Returns p3's parameters for the weights of a `small` program, `log_weights` from 6 to 28
/// (section 6.6).
///
/// The size of the proof is what counts, and the first code is made once, when the model is
/// registered: so its rate is 1/16, and more where the code would have more than `2^25` places and
/// the proximity gap allows no less; and no later code has more places than there are weights.
pub(super) fn of_weights(log_weights: usize) -> ProtocolParameters {
    let folds = folds_of_weights(log_weights);
    let rate = MAX_LOG_FIRST_CODE.saturating_sub(log_weights).clamp(2, 4);
    let rate = rate.min(MAX_LOG_GAP.saturating_sub(log_weights) / 2);
    johnson_106(rate, round_rates(log_weights, rate, &folds, log_weights), folds)
}

fn johnson_106(rate: usize, rates: Vec<usize>, folds: Vec<usize>) -> ProtocolParameters {
    ProtocolParameters {
        starting_log_inv_rate: rate,
        round_log_inv_rates: rates,
        folding_factor: FoldingFactor::PerRound(folds),
        soundness_type: SecurityAssumption::JohnsonBound,
        security_level: 106,
        pow_bits: 0,
    }
}

/// Returns `lg(1 / rate)` of the vector that each round commits to, whose code has at most
/// `2^log_places` places.
fn round_rates(log_cells: usize, start: usize, folds: &[usize], log_places: usize) -> Vec<usize> {
    let mut state = (log_cells, start);
    let round = |fold: &usize| {
        let (variables, rate) = (state.0.saturating_sub(*fold), state.1);
        let least = MAX_LOG_GAP.saturating_sub(variables) / 2;
        let least = least.min(log_places.saturating_sub(variables));
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

/// Returns how many variables each fold of weights takes away: five, then four or fewer each; but in
/// five folds at most, as the queries to each tree cost bits.
fn folds_of_weights(log_weights: usize) -> Vec<usize> {
    let to_fold = log_weights.saturating_sub(IN_THE_CLEAR).max(MIN_FIRST_FOLD);
    if to_fold <= MAX_FIRST_FOLD {
        return vec![to_fold];
    }
    let rest = to_fold - FIRST_FOLD_OF_WEIGHTS;
    [vec![FIRST_FOLD_OF_WEIGHTS], evenly(rest, rest.div_ceil(4).min(4))].concat()
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

/// The first fold of weights, where there is more than one: of larger rows the first tree opens more
/// bytes than a deeper tree has siblings.
const FIRST_FOLD_OF_WEIGHTS: usize = 5;

/// Places of the weights' first code at a rate below 1/4: `2^25` of them take 128 MiB.
const MAX_LOG_FIRST_CODE: usize = 25;

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
    fn the_parameters_of_weights_are_those_of_section_6_6() {
        let table: [(usize, usize, &[usize], &[usize]); 8] = [
            (6, 4, &[4], &[]),
            (12, 4, &[6], &[]),
            (13, 4, &[5, 2], &[5]),
            (17, 4, &[5, 3, 3], &[5, 7]),
            (20, 4, &[5, 3, 3, 3], &[5, 7, 9]),
            (22, 3, &[5, 4, 4, 3], &[5, 8, 11]),
            (24, 2, &[5, 4, 3, 3, 3], &[5, 8, 9, 11]),
            (28, 1, &[5, 5, 4, 4, 4], &[4, 6, 8, 10]),
        ];
        for (log_weights, start, folds, rates) in table {
            let parameters = of_weights(log_weights);
            assert_eq!(parameters.starting_log_inv_rate, start, "2^{log_weights} weights");
            assert_eq!(parameters.round_log_inv_rates, rates, "2^{log_weights} weights");
            assert_eq!(folds_of_weights(log_weights), folds);
        }
        for log_weights in 6..=28 {
            let folds = folds_of_weights(log_weights);
            assert!(log_weights - folds.iter().sum::<usize>() <= IN_THE_CLEAR);
            let rate = of_weights(log_weights).starting_log_inv_rate;
            assert!(folds[0] <= MAX_FIRST_FOLD && log_weights + rate - folds[0] <= 24);
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
