//! The soundness budget (section 8), recomputed from the sizes of one program and one batch.
//!
//! # Weight opening of `fast` programs
//!
//! Unique decoding, proven, no conjecture. With `n` the code's length, `d = n - 2^kappa + 1` its
//! distance and `e = floor((d - 1) / 2)`:
//!
//! - *proximity*: if the word is further than `e` from the code, a random tensor combination of its
//!   rows is within `e` with probability at most `lg(R) n / |K|` (eprint 2024/1351, Corollary 3.7,
//!   with 2024/1399); twice this bound is counted;
//! - *queries*: otherwise, and for a wrong row when the word is close, each query misses with
//!   probability at most `1 - (e + 1) / n < (1 + rate) / 2`.
//!
//! # Weight opening of `small` programs
//!
//! - *sample*: WHIR's root may stand for `L` vectors; two of them agree at the point that the root
//!   fixes with probability at most `n_w / |K|`, so for `L (L - 1) / 2` pairs: else the key's sample
//!   is that of one vector, the same in all proofs;
//! - *opening*: p3's figure for it.
//!
//! # Lookups
//!
//! With `N = 2^nL` leaves and tuples of up to `w` values:
//!
//! - *identity*: the cleared sum of fractions is a polynomial of degree `N w` in `alpha, beta`;
//! - *tree*: level `k` has `k` rounds of degree 3 and two batching challenges, `3k + 2`;
//!
//! each over `|K|`, and times the number of words that the advice commitment may still stand for.
//!
//! # The rest
//!
//! [`Counts::terms`] has the other terms of section 8; that of the advice's opening comes from its
//! own commitment scheme. *Evaluation points* are four tests at one point of what has to hold
//! everywhere: at `rho` that the column of a `Copy` and the raw output are their forms, and that a
//! given output is in its column (`nR`); at `tau` that a given input is in its (`nS`); at `omega`
//! that the values sent for both columns are theirs (`2 lb`).

use std::fmt;

use thiserror::Error;

use crate::advice::Schedule;
use crate::field::{DEGREE, MODULUS};
use crate::tensor_code::Shape;

/// Fewest bits of proven security that any key may have (sections 8 and 11).
pub const REQUIRED_BITS: f64 = 100.0;

/// Bits that the queries alone are chosen for, so that the sum of all terms stays above
/// [`REQUIRED_BITS`].
pub const QUERY_BITS: u32 = 103;

/// One term of the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Term {
    /// What can go wrong.
    pub name: &'static str,
    /// Base-2 logarithm of the bound on its probability.
    pub log2_error: f64,
}

/// Terms whose sum bounds the probability of a false proof. Its [`Display`](fmt::Display) is the
/// table.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    terms: Vec<Term>,
}

/// A budget with fewer bits than are required.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("{got:.2} bits of proven security, {required} are required")]
#[non_exhaustive]
pub struct InsufficientSecurity {
    /// Bits asked for.
    pub required: f64,
    /// Bits of the budget.
    pub got: f64,
}

impl Budget {
    /// Returns the budget of `terms`, without those that are exactly 0.
    #[must_use]
    pub fn new(mut terms: Vec<Term>) -> Self {
        terms.retain(|term| term.log2_error != f64::NEG_INFINITY);
        Self { terms }
    }

    /// Returns the terms.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the base-2 logarithm of the sum of the terms.
    #[must_use]
    pub fn log2_total(&self) -> f64 {
        self.terms.iter().map(|term| term.log2_error.exp2()).sum::<f64>().log2()
    }

    /// Returns the bits of proven security.
    #[must_use]
    pub fn bits(&self) -> f64 {
        -self.log2_total()
    }

    /// Checks that the sum leaves at least `required` bits.
    ///
    /// # Errors
    ///
    /// Returns [`InsufficientSecurity`] with both numbers, also if the sum is no number.
    pub fn require(&self, required: f64) -> Result<(), InsufficientSecurity> {
        let got = self.bits();
        if got >= required { Ok(()) } else { Err(InsufficientSecurity { required, got }) }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for term in &self.terms {
            writeln!(f, "{:<20} 2^{:.2}", term.name, term.log2_error)?;
        }
        write!(f, "{:<20} 2^{:.2}", "sum", self.log2_total())
    }
}

/// Sizes that the terms outside the two openings depend on (section 8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the sizes of section 8")]
pub struct Counts {
    /// `nL`; 0 without lookups.
    pub tree_arity: u32,
    /// `w`, most values of a tuple.
    pub tuple_width: u32,
    /// `nR`.
    pub claim_arity: u32,
    /// `nS`.
    pub layer_arity: u32,
    /// `lb`.
    pub lb: u32,
    /// Forms of all sites.
    pub forms: u32,
    /// Claims on weights: `Conv` terms, and forms with a bias.
    pub weight_claims: u32,
    /// `n_w`.
    pub log_weights: u32,
}

impl Counts {
    /// Returns the terms of the lookups, the layers and the weights' sumcheck, where the advice
    /// commitment may stand for `2^log2_list_size` words.
    #[must_use]
    pub fn terms(&self, log2_list_size: f64) -> Vec<Term> {
        let over_field = log2_list_size - log2_extension_size();
        let term = |name, numerator: f64| Term { name, log2_error: numerator.log2() + over_field };
        let degrees = |level: u32| 3.0 * f64::from(level) + 2.0;
        let mut terms = Vec::new();
        if self.tree_arity > 0 {
            let leaves = f64::from(self.tree_arity).exp2();
            terms.push(term("lookup identity", leaves * f64::from(self.tuple_width)));
            terms.push(term("tree sumchecks", (0..self.tree_arity).map(degrees).sum()));
        }
        let coordinates = self.claim_arity + self.layer_arity + 2 * self.lb;
        let weight = self.weight_claims + 2 * self.log_weights;
        terms.push(term("batching of forms", f64::from(self.forms)));
        terms.push(term("layer sumcheck", 2.0 * f64::from(self.layer_arity)));
        terms.push(term("evaluation points", f64::from(coordinates)));
        terms.push(term("weight sumcheck", f64::from(weight)));
        terms
    }
}

/// Returns the terms of an opening of a `fast` program's weights of `shape`, in the order of section
/// 8.
#[must_use]
pub fn opening_terms(shape: &Shape) -> [Term; 2] {
    let proximity = Term { name: "tensor proximity", log2_error: log2_proximity(shape) };
    let queries = Term { name: "tensor queries", log2_error: log2_queries(shape) };
    [proximity, queries]
}

/// Returns the terms of an opening of a `small` program's weights by `schedule`, in the order of
/// section 8.
#[must_use]
pub fn small_opening_terms(shape: &Shape, schedule: &Schedule) -> [Term; 2] {
    let log2_error = log2_sample(shape.log_weights(), schedule.log2_list_size());
    let opening = Term { name: "WHIR of weights", log2_error: -schedule.security_bits() };
    [Term { name: "weight sample", log2_error }, opening]
}

/// `L (L - 1) / 2 n_w / |K|`: two of `2^log2_list_size` vectors agree at the point of the sample.
fn log2_sample(log_weights: usize, log2_list_size: f64) -> f64 {
    let vectors = log2_list_size.exp2();
    let pairs = vectors * (vectors - 1.0) / 2.0;
    (pairs * log_weights as f64).log2() - log2_extension_size()
}

/// More queries than any rate and any level of security ask for.
const MAX_QUERIES: usize = 1 << 16;

/// Returns the fewest queries for `bits` of security under unique decoding at rate
/// `2^-log_inverse_rate`: the least `Nq` with `((1 + rate) / 2)^Nq <= 2^-bits`.
#[must_use]
pub fn unique_decoding_queries(log_inverse_rate: usize, bits: u32) -> usize {
    let miss = log2_miss(log_inverse_rate);
    let enough = |queries: &usize| *queries as f64 * -miss >= f64::from(bits);
    (1..=MAX_QUERIES).find(enough).unwrap_or(MAX_QUERIES)
}

/// Returns `lg |K|`, about 154.94.
#[must_use]
pub fn log2_extension_size() -> f64 {
    DEGREE as f64 * f64::from(MODULUS).log2()
}

/// `2 lg(R) n / |K|`, twice the cited bound; without row variables there is nothing to combine and
/// the term is 0.
fn log2_proximity(shape: &Shape) -> f64 {
    let numerator = 2.0 * shape.log_rows() as f64 * shape.code_length() as f64;
    numerator.log2() - log2_extension_size()
}

fn log2_queries(shape: &Shape) -> f64 {
    let profile = shape.profile();
    profile.queries() as f64 * log2_miss(profile.log_inverse_rate())
}

/// `lg((1 + rate) / 2)`: what one query leaves.
fn log2_miss(log_inverse_rate: usize) -> f64 {
    let rate = (-(log_inverse_rate as f64)).exp2();
    f64::midpoint(1.0, rate).log2()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers made here")]
mod tests {
    use super::*;
    use crate::tensor_code::CodeProfile;

    fn shape(log_weights: usize, log_columns: usize) -> Shape {
        let rows = 1 << (log_weights - log_columns);
        Shape::new(CodeProfile::QuarterUnique152, log_weights, log_columns, rows).unwrap()
    }

    /// Whether `5^queries <= 2^power`, in exact integers.
    fn power_of_five_at_most(queries: u32, power: u32) -> bool {
        let mut limbs = vec![1_u32];
        for _ in 0..queries {
            let mut carry = 0_u64;
            for limb in &mut limbs {
                carry += u64::from(*limb) * 5;
                *limb = carry as u32;
                carry >>= 32;
            }
            if carry > 0 {
                limbs.push(carry as u32);
            }
        }
        // `5^queries` is odd, so it is never the power of two itself unless both are 1.
        let bits = 32 * limbs.len() as u32 - limbs.last().unwrap().leading_zeros();
        bits <= power
    }

    #[test]
    fn the_query_count_is_the_least_for_its_level() {
        assert_eq!(CodeProfile::default().queries(), unique_decoding_queries(2, QUERY_BITS));
        // (5/8)^Nq <= 2^-103, without floating point.
        assert!(power_of_five_at_most(152, 3 * 152 - QUERY_BITS));
        assert!(!power_of_five_at_most(151, 3 * 151 - QUERY_BITS));
    }

    #[test]
    fn lower_rates_take_fewer_queries() {
        let table = [(1, 241, 249), (2, 148, 152), (3, 121, 125), (4, 110, 113)];
        for (log_inverse_rate, at_100, at_103) in table {
            assert_eq!(unique_decoding_queries(log_inverse_rate, 100), at_100);
            assert_eq!(unique_decoding_queries(log_inverse_rate, 103), at_103);
        }
    }

    /// `2^27` weights, `2^24` cells, 200 layers.
    const LARGE: Counts = Counts {
        tree_arity: 26,
        tuple_width: 3,
        claim_arity: 26,
        layer_arity: 26,
        lb: 6,
        forms: 1 << 11,
        weight_claims: 1 << 10,
        log_weights: 27,
    };

    #[test]
    fn a_large_circuit_has_the_terms_of_section_8() {
        let [proximity, queries] = opening_terms(&shape(27, 16));
        // `n = 2^18`, `lg R = 11`.
        assert!((proximity.log2_error + 132.48).abs() < 0.01, "{proximity:?}");
        assert!((queries.log2_error + 103.07).abs() < 0.01, "{queries:?}");
        assert!((log2_extension_size() - 154.94).abs() < 0.01);
        let terms = LARGE.terms(20_f64.log2());
        let expected = [
            ("lookup identity", 123.04),
            ("tree sumchecks", 140.62),
            ("batching of forms", 139.62),
            ("layer sumcheck", 144.92),
            ("evaluation points", 144.62),
            ("weight sumcheck", 140.55),
        ];
        assert_eq!(terms.len(), expected.len());
        for (term, (name, bits)) in terms.iter().zip(expected) {
            assert_eq!(term.name, name);
            assert!((term.log2_error + bits).abs() < 0.01, "{term:?}");
        }
    }

    #[test]
    fn without_lookups_there_are_no_terms_of_lookups() {
        let terms = Counts { tree_arity: 0, ..LARGE }.terms(0.0);
        assert!(terms.iter().all(|term| !term.name.contains("lookup")));
        assert_eq!(terms.len(), 4);
    }

    #[test]
    fn every_shape_has_the_required_bits() {
        for log_weights in 0..=30 {
            for log_columns in log_weights.max(16) - 16..=log_weights.min(22) {
                let budget = Budget::new(opening_terms(&shape(log_weights, log_columns)).into());
                assert_eq!(budget.require(REQUIRED_BITS), Ok(()), "{log_weights} {log_columns}");
                assert!(budget.require(103.1).is_err());
            }
        }
    }

    #[test]
    fn as_many_bits_as_are_required_suffice() {
        let budget = |log2_error| Budget::new(vec![Term { name: "x", log2_error }; 2]);
        assert_eq!(budget(-101.0).require(REQUIRED_BITS), Ok(()));
        let refused = Err(InsufficientSecurity { required: 100.0, got: 99.5 });
        assert_eq!(budget(-100.5).require(REQUIRED_BITS), refused);
    }

    #[test]
    fn a_budget_that_is_no_number_is_refused() {
        let budget = Budget::new(vec![Term { name: "x", log2_error: f64::NAN }]);
        assert!(budget.require(REQUIRED_BITS).is_err());
    }

    #[test]
    fn the_budget_prints_each_term_and_the_sum() {
        let printed = Budget::new(opening_terms(&shape(22, 13)).into()).to_string();
        let expected = "tensor proximity     2^-135.77\n\
                        tensor queries       2^-103.07\n\
                        sum                  2^-103.07";
        assert_eq!(printed, expected);
    }
}
