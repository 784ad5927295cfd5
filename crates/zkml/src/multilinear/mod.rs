//! Multilinear extensions over the boolean cube, and their closed forms (section 1).
//!
//! Bits are big-endian throughout: coordinate 0 of a point belongs to the most significant bit of
//! an index, as in `p3-multilinear-util`. All closed forms cost `O(n)` multiplications for a point
//! of `n` coordinates and are what the verifier uses in place of sums of `2^n` terms.

mod base;
mod closed;

use p3_field::{Algebra, PrimeCharacteristicRing};
use thiserror::Error;

pub(crate) use self::base::{ColumnPoint, eq_packs, evaluate_column};
pub use self::closed::{lt, mask, shift, shift3};
use crate::field::K;

/// Two lengths that the definition of an extension ties together do not agree.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{what}: expected {expected}, got {got}")]
#[non_exhaustive]
pub struct ArityError {
    /// What was measured.
    pub what: &'static str,
    /// The length, or bound of the length, that the other argument asks for.
    pub expected: usize,
    /// The length found.
    pub got: usize,
}

/// Returns `eq(r, i)` for every `i < 2^n`, in order of `i`.
///
/// Allocates `2^n` elements: the caller bounds `n`.
#[must_use]
pub fn eq_table(r: &[K]) -> Vec<K> {
    let mut table = vec![K::ONE];
    for &x in r {
        table = table
            .into_iter()
            .flat_map(|entry| {
                let one = entry * x;
                [entry - one, one]
            })
            .collect();
    }
    table
}

/// Returns `eq(a, b) = prod_j (a_j b_j + (1 - a_j)(1 - b_j))`.
///
/// # Errors
///
/// Returns [`ArityError`] if the points differ in length.
pub fn eq_points(a: &[K], b: &[K]) -> Result<K, ArityError> {
    same_length("coordinates of the second point of eq", a.len(), b.len())?;
    Ok(a.iter().zip(b).map(|(&x, &y)| eq_bit(x, y)).product())
}

/// Returns `eq(r, i)`; bits of `i` above those of `r` are not looked at.
pub(crate) fn eq_index(r: &[K], index: u64) -> K {
    let mut rest = index;
    let factor = |&x: &K| {
        let bit = rest & 1;
        rest >>= 1;
        if bit == 1 { x } else { K::ONE - x }
    };
    r.iter().rev().map(factor).product()
}

/// Returns the last `arity` coordinates of `point`: `r|n` of section 1.
///
/// # Errors
///
/// Returns [`ArityError`] if there are fewer.
pub(crate) fn suffix(point: &[K], arity: usize) -> Result<&[K], ArityError> {
    let what = "coordinates of a point, at least those of its suffix";
    let missing = ArityError { what, expected: arity, got: point.len() };
    point.len().checked_sub(arity).and_then(|from| point.get(from..)).ok_or(missing)
}

/// Returns the extension of `values` at `r`: `sum_i eq(r, i) values[i]`.
///
/// # Errors
///
/// Returns [`ArityError`] unless there are `2^n` values for `n` coordinates.
pub fn evaluate<T: Copy>(values: &[T], r: &[K]) -> Result<K, ArityError>
where
    K: Algebra<T>,
{
    let expected = u32::try_from(r.len()).ok().and_then(|n| 1_usize.checked_shl(n)).unwrap_or(0);
    same_length("values of a multilinear extension", expected, values.len())?;
    // eq of the whole point is the product of eq of its halves: 2^n products and two small tables.
    let (high, low) = r.split_at(r.len() / 2);
    let low = eq_table(low);
    let parts = values.chunks(low.len()).zip(eq_table(high));
    parts.map(|(part, weight)| Ok(inner_product(&low, part)? * weight)).sum()
}

/// Returns `sum_i weights[i] values[i]`.
///
/// # Errors
///
/// Returns [`ArityError`] if the lists differ in length.
pub fn inner_product<T: Copy>(weights: &[K], values: &[T]) -> Result<K, ArityError>
where
    K: Algebra<T>,
{
    same_length("terms of an inner product", weights.len(), values.len())?;
    Ok(weights.iter().zip(values).map(|(&weight, &value)| weight * value).sum())
}

pub(crate) const fn same_length(
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), ArityError> {
    if expected == got { Ok(()) } else { Err(ArityError { what, expected, got }) }
}

fn eq_bit(a: K, b: K) -> K {
    let both = a * b;
    both.double() - a - b + K::ONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::F;
    use crate::transcript::Transcript;

    /// `eq(r, i)` by its definition.
    pub(super) fn eq_index(r: &[K], i: u64) -> K {
        let n = r.len();
        let factor = |(j, &x): (usize, &K)| if i >> (n - 1 - j) & 1 == 1 { x } else { K::ONE - x };
        r.iter().enumerate().map(factor).product()
    }

    pub(super) fn point(transcript: &mut Transcript, n: usize) -> Vec<K> {
        transcript.sample_point(n)
    }

    #[test]
    fn eq_table_is_big_endian() {
        let mut rng = Transcript::new();
        for n in 0..6 {
            let r = point(&mut rng, n);
            let table = eq_table(&r);
            assert_eq!(table.len(), 1 << n);
            for (i, &entry) in table.iter().enumerate() {
                assert_eq!(entry, eq_index(&r, i as u64));
            }
        }
        let (zero, one) = (K::ZERO, K::ONE);
        assert_eq!(eq_table(&[one, zero]), [zero, zero, one, zero], "coordinate 0 is the high bit");
    }

    #[test]
    fn eq_points_agrees_with_the_sum_over_the_cube() {
        let mut rng = Transcript::new();
        for n in 0..6 {
            let (a, b) = (point(&mut rng, n), point(&mut rng, n));
            let sum = inner_product(&eq_table(&a), &eq_table(&b)).unwrap();
            assert_eq!(eq_points(&a, &b), Ok(sum));
        }
    }

    #[test]
    fn evaluation_agrees_with_binding_coordinate_by_coordinate() {
        let mut rng = Transcript::new();
        for n in 0..6 {
            let r = point(&mut rng, n);
            let values: Vec<F> = (0..1_i32 << n).map(|i| F::from_i32(3 * i - 7)).collect();
            let mut bound: Vec<K> = values.iter().map(|&v| K::from(v)).collect();
            for &x in &r {
                let (low, high) = bound.split_at(bound.len() / 2);
                bound = low.iter().zip(high).map(|(&l, &h)| l + x * (h - l)).collect();
            }
            assert_eq!(evaluate(&values, &r), Ok(bound[0]));
        }
    }

    #[test]
    fn lengths_that_do_not_agree_are_errors() {
        let r = [K::ONE; 2];
        let error = evaluate(&[F::ONE; 3], &r).unwrap_err();
        assert_eq!(error.to_string(), "values of a multilinear extension: expected 4, got 3");
        assert!(eq_points(&r, &r[1..]).is_err());
        assert!(inner_product(&r, &[F::ONE]).is_err());
    }
}
