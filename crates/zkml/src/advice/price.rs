//! What the opening is worth: the terms of its error (sections 7 and 8).
//!
//! p3 prices the whole opening and that total is what a [`Schedule`](super::Schedule) is accepted
//! on. Here its parts are computed again, each from the proven bound that p3 cites, so that the
//! table of section 8 shows where the error is. Both add up to one figure, which is tested. The folds
//! are priced by Theorem 5.12 of eprint 2026/2056 alone; `docs/zkml-security.md` has them by another.

use p3_field::Field;
use p3_whir::SecurityAssumption;

use super::scheme::Config;
use crate::field::K;
use crate::soundness::Term;

/// Returns the terms of an opening of `claims` values.
pub(super) fn terms(config: &Config, claims: usize) -> Vec<Term> {
    let assumption = config.params().soundness_type;
    let phases = phases(config);
    let claims = config.initial_claims_error(claims + config.commitment_ood_samples());
    let outside = phases.iter().map(|phase| phase.outside(assumption));
    let folds = phases.iter().map(|phase| phase.fold(assumption));
    let queries = phases.iter().map(|phase| phase.queries(assumption));
    let combinations = phases.windows(2).map(|pair| match pair {
        [old, new] => new.combination(assumption, old.queries),
        _ => 0.0,
    });
    let last = (config.final_sumcheck_rounds() as f64) * (-(field_bits() as f64 - 1.0)).exp2();
    let term = |name, error: f64| Term { name, log2_error: error.log2() };
    vec![
        term("WHIR claims", (-claims).exp2()),
        term("WHIR out of domain", outside.sum()),
        term("WHIR folds", folds.sum::<f64>() + last),
        term("WHIR queries", queries.sum()),
        term("WHIR combinations", combinations.sum()),
    ]
}

/// One committed vector: the columns' own, or a folded one.
struct Phase {
    variables: usize,
    log_inverse_rate: usize,
    samples: usize,
    folds: usize,
    /// Queries to its tree.
    queries: usize,
}

impl Phase {
    fn outside(&self, assumption: SecurityAssumption) -> f64 {
        let (variables, rate) = (self.variables, self.log_inverse_rate);
        (-assumption.ood_error(variables, rate, field_bits(), self.samples)).exp2()
    }

    /// Proximity gap and sumcheck of each variable folded. p3 keeps one bit of the gap in reserve
    /// under the Johnson bound.
    fn fold(&self, assumption: SecurityAssumption) -> f64 {
        let (variables, rate) = (self.variables, self.log_inverse_rate);
        let gap = assumption.prox_gaps_error(variables, rate, field_bits(), 2) - 1.0;
        let sumcheck = assumption.fold_sumcheck_error(field_bits(), variables, rate);
        self.folds as f64 * ((-gap).exp2() + (-sumcheck).exp2())
    }

    fn queries(&self, assumption: SecurityAssumption) -> f64 {
        (-assumption.queries_error(self.log_inverse_rate, self.queries)).exp2()
    }

    /// The random combination of this vector's samples with the queries to the one before.
    fn combination(&self, assumption: SecurityAssumption, queries: usize) -> f64 {
        let (variables, rate) = (self.variables, self.log_inverse_rate);
        let bits = assumption.queries_combination_error(
            field_bits(),
            variables,
            rate,
            self.samples,
            queries,
        );
        (-bits).exp2()
    }
}

fn phases(config: &Config) -> Vec<Phase> {
    let rounds = config.round_parameters();
    let committed = (
        config.num_variables(),
        config.params().starting_log_inv_rate,
        config.commitment_ood_samples(),
    );
    let folded = rounds.iter().map(|r| (r.num_variables, r.log_inv_rate, r.ood_samples));
    let vectors = std::iter::once(committed).chain(folded);
    let queries = rounds.iter().map(|r| r.num_queries).chain([config.terminal().num_queries]);
    let folds = config.folding_schedule().iter();
    let parts = vectors.zip(queries).zip(folds);
    let phase = |(((variables, log_inverse_rate, samples), queries), &folds)| Phase {
        variables,
        log_inverse_rate,
        samples,
        folds,
        queries,
    };
    parts.map(phase).collect()
}

/// Whole bits of `|K|`, rounded down.
fn field_bits() -> usize {
    K::bits().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use p3_whir::{FoldingFactor, ProtocolParameters};

    use super::*;

    /// Rate 1/2 and one folding factor throughout, as measured before the profile was chosen.
    #[test]
    fn one_folding_factor_throughout_has_these_bits() {
        let table =
            [(14, 4, 105.1), (14, 6, 105.8), (19, 4, 104.5), (19, 6, 105.6), (21, 6, 105.3)];
        for (log_cells, folding, bits) in table {
            let parameters = ProtocolParameters {
                starting_log_inv_rate: 1,
                round_log_inv_rates: Vec::new(),
                folding_factor: FoldingFactor::Constant(folding),
                soundness_type: SecurityAssumption::JohnsonBound,
                security_level: 106,
                pow_bits: 0,
            };
            let config = Config::new(log_cells, parameters).unwrap();
            let sum: f64 = terms(&config, 20).iter().map(|term| term.log2_error.exp2()).sum();
            assert!((sum.log2() + bits).abs() < 0.05, "2^{log_cells}, {folding}: {}", sum.log2());
        }
    }
}
