//! The soundness budget of the weight opening (sections 6.4 and 8), of the lookups (sections 5 and 8)
//! and of the layers and weights (sections 4.2, 6.2 and 8), recomputed from the sizes.
//!
//! # Weight opening
//!
//! Unique decoding, proven, no conjecture. With `n` the code's length, `d = n - 2^kappa + 1` its
//! distance and `e = floor((d - 1) / 2)`:
//!
//! - *proximity*: if the word is further than `e` from the code, a random tensor combination of its
//!   rows is within `e` with probability at most `2 lg(R) n / |K|`;
//! - *queries*: otherwise, and for a wrong row when the word is close, each query misses with
//!   probability at most `1 - (e + 1) / n < (1 + rate) / 2`.
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
//! # Layers and weights
//!
//! - *batching of forms*: a polynomial in `lambda_f` of degree below the number of forms;
//! - *layer sumcheck*: `nS` rounds of degree 2;
//! - *weights*: a polynomial in `lambda_w` of degree below the number of claims, and `n_w` rounds of
//!   degree 2;
//!
//! each over `|K|` and times the same number.
//!
//! The other terms of section 8 belong to other parts of the protocol and are added there.

use std::fmt;

use thiserror::Error;

use crate::field::{DEGREE, MODULUS};
use crate::layers::count_forms;
use crate::program::{CheckedProgram, Sizes};
use crate::tensor_code::Shape;
use crate::weights::count_claims;

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

/// The terms of the weight opening for one shape. Its [`Display`](fmt::Display) is the table.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OpeningBudget {
    /// The terms, in the order of section 8.
    pub terms: [Term; 2],
}

/// The opening alone has fewer bits than are required of the whole proof.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("weight opening has {got:.2} bits of proven security, {required} are required")]
#[non_exhaustive]
pub struct InsufficientSecurity {
    /// Bits asked for.
    pub required: f64,
    /// Bits of the shape.
    pub got: f64,
}

impl OpeningBudget {
    /// Computes the budget of an opening of `shape`.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        let proximity = Term { name: "tensor proximity", log2_error: log2_proximity(shape) };
        let queries = Term { name: "tensor queries", log2_error: log2_queries(shape) };
        Self { terms: [proximity, queries] }
    }

    /// Returns the base-2 logarithm of the sum of the terms.
    #[must_use]
    pub fn log2_total(&self) -> f64 {
        self.terms.iter().map(|term| term.log2_error.exp2()).sum::<f64>().log2()
    }

    /// Checks that the sum leaves at least `required` bits.
    ///
    /// # Errors
    ///
    /// Returns [`InsufficientSecurity`] with both numbers.
    pub fn require(&self, required: f64) -> Result<(), InsufficientSecurity> {
        let got = -self.log2_total();
        if got >= required { Ok(()) } else { Err(InsufficientSecurity { required, got }) }
    }
}

impl fmt::Display for OpeningBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for term in &self.terms {
            writeln!(f, "{:<18} 2^{:.2}", term.name, term.log2_error)?;
        }
        write!(f, "{:<18} 2^{:.2}", "sum", self.log2_total())
    }
}

/// Words that one advice commitment may stand for, where its opening decodes to a list (section 8).
pub const ADVICE_LIST_SIZE: u32 = 20;

/// The terms of the lookups for one tree.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LookupBudget {
    /// The lookup identity and the tree's sumchecks, in the order of section 8.
    pub terms: [Term; 2],
}

impl LookupBudget {
    /// Computes the budget of a tree of `2^log_leaves` leaves over tuples of up to `width` values.
    ///
    /// `list_size` is [`ADVICE_LIST_SIZE`], or 1 where the advice is decoded uniquely.
    #[must_use]
    pub fn new(log_leaves: usize, width: usize, list_size: u32) -> Self {
        let list = f64::from(list_size).log2() - log2_extension_size();
        let identity = (width as f64).log2() + log_leaves as f64;
        let tree: f64 = (0..log_leaves).map(|level| 3.0 * level as f64 + 2.0).sum();
        let identity = Term { name: "lookup identity", log2_error: identity + list };
        let tree = Term { name: "tree sumchecks", log2_error: tree.log2() + list };
        Self { terms: [identity, tree] }
    }
}

/// The terms of the layer and the weight sumcheck.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinearBudget {
    /// The batching of forms, the layer sumcheck, and both for the weights, in the order of section 8.
    pub terms: [Term; 3],
}

impl LinearBudget {
    /// Computes the budget of a program for one batch.
    ///
    /// `list_size` is [`ADVICE_LIST_SIZE`], or 1 where the advice is decoded uniquely.
    #[must_use]
    pub fn new(program: &CheckedProgram, sizes: Sizes, list_size: u32) -> Self {
        let weight_rounds = program.program().weights.log_weights();
        let rounds = [sizes.layer_arity as usize, weight_rounds];
        Self::of_counts(count_forms(program), count_claims(program), rounds, list_size)
    }

    fn of_counts(forms: usize, claims: usize, rounds: [usize; 2], list_size: u32) -> Self {
        let list = f64::from(list_size).log2() - log2_extension_size();
        let [layer_rounds, weight_rounds] = rounds;
        let term = |name, count: usize| Term { name, log2_error: (count as f64).log2() + list };
        Self {
            terms: [
                term("batching of forms", forms),
                term("layer sumcheck", 2 * layer_rounds),
                term("weight sumcheck", claims + 2 * weight_rounds),
            ],
        }
    }
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

/// `2 lg(R) n / |K|`; without row variables there is nothing to combine and the term is 0.
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
    fn the_table_of_query_counts_is_that_of_the_protocol() {
        let table = [(1, 241, 249), (2, 148, 152), (3, 121, 125), (4, 110, 113)];
        for (log_inverse_rate, at_100, at_103) in table {
            assert_eq!(unique_decoding_queries(log_inverse_rate, 100), at_100);
            assert_eq!(unique_decoding_queries(log_inverse_rate, 103), at_103);
        }
    }

    #[test]
    fn the_largest_circuit_has_the_terms_of_section_8() {
        let budget = OpeningBudget::new(&shape(27, 16));
        let [proximity, queries] = budget.terms;
        assert!((proximity.log2_error + 132.5).abs() < 0.05, "{proximity:?}");
        assert!((queries.log2_error + 103.1).abs() < 0.05, "{queries:?}");
        assert!((log2_extension_size() - 154.94).abs() < 0.01);
    }

    #[test]
    fn the_largest_lookup_tree_has_the_terms_of_section_8() {
        let figures = [(ADVICE_LIST_SIZE, 123.0, 140.6), (1, 127.4, 144.9)];
        for (list_size, identity_bits, tree_bits) in figures {
            let [identity, tree] = LookupBudget::new(26, 3, list_size).terms;
            assert!((identity.log2_error + identity_bits).abs() < 0.05, "{identity:?}");
            assert!((tree.log2_error + tree_bits).abs() < 0.05, "{tree:?}");
        }
    }

    #[test]
    fn the_largest_layers_have_the_terms_of_section_8() {
        let budget = LinearBudget::of_counts(1 << 11, 1 << 10, [26, 27], ADVICE_LIST_SIZE);
        for (term, bits) in budget.terms.iter().zip([139.6, 144.9, 140.5]) {
            assert!((term.log2_error + bits).abs() < 0.05, "{term:?}");
        }
        let none = LinearBudget::of_counts(1, 0, [0, 0], 1);
        assert_eq!(none.terms.map(|term| term.log2_error.is_infinite()), [false, true, true]);
    }

    #[test]
    fn every_shape_has_the_required_bits() {
        for log_weights in 0..=30 {
            for log_columns in log_weights.max(16) - 16..=log_weights.min(22) {
                let budget = OpeningBudget::new(&shape(log_weights, log_columns));
                assert_eq!(budget.require(REQUIRED_BITS), Ok(()), "{log_weights} {log_columns}");
                assert!(budget.require(103.1).is_err());
            }
        }
    }

    #[test]
    fn the_budget_prints_each_term_and_the_sum() {
        let printed = OpeningBudget::new(&shape(22, 13)).to_string();
        let expected = "tensor proximity   2^-135.77\n\
                        tensor queries     2^-103.07\n\
                        sum                2^-103.07";
        assert_eq!(printed, expected);
    }
}
