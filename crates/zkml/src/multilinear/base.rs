//! Extensions of columns over `F`, eight cells at a time.

use p3_maybe_rayon::prelude::*;

use super::{ArityError, eq_table, same_length};
use crate::field::{F, K};
use crate::packed::{LANES, Packed, add_scaled, inner_product};

/// Returns the extension of `values` at `r`, as [`evaluate`](super::evaluate) does.
///
/// # Errors
///
/// Returns [`ArityError`] unless there are `2^n` values for `n` coordinates.
pub(crate) fn evaluate_column(values: &[F], r: &[K]) -> Result<K, ArityError> {
    let expected = u32::try_from(r.len()).ok().and_then(|n| 1_usize.checked_shl(n)).unwrap_or(0);
    same_length("values of a multilinear extension", expected, values.len())?;
    Ok(ColumnPoint::new(r).evaluate(values))
}

/// A point at which columns over `F` are evaluated: `eq(r, i)` as the product of two tables.
#[derive(Debug)]
pub(crate) struct ColumnPoint {
    high: Vec<K>,
    low: Low,
}

#[derive(Debug)]
enum Low {
    /// Fewer than [`LANES`] elements.
    Few(Vec<K>),
    Packs(Vec<Packed>),
}

impl ColumnPoint {
    pub(crate) fn new(r: &[K]) -> Self {
        // As many coordinates of the low table as keep it small and fill a pack.
        let low = (r.len() / 2).clamp(LANES.ilog2() as usize, MOST_LOW).min(r.len());
        let (high, low) = r.split_at(r.len() - low);
        let low = eq_table(low);
        let low = if low.len() < LANES { Low::Few(low) } else { Low::Packs(Packed::pack(&low)) };
        Self { high: eq_table(high), low }
    }

    /// Returns the extension of `values`, which are as many as the tables' products.
    pub(crate) fn evaluate(&self, values: &[F]) -> K {
        match &self.low {
            Low::Few(low) => low.iter().zip(values).map(|(&weight, &value)| weight * value).sum(),
            Low::Packs(low) => {
                let (cells, _) = values.as_chunks::<LANES>();
                let parts = cells.par_chunks(low.len()).zip(&self.high);
                let parts = parts.with_min_len(TASK / (LANES * low.len()));
                parts.map(|(cells, &weight)| inner_product(low, cells) * weight).sum()
            }
        }
    }

    /// Returns the extensions of `2^n` parts of `values`, one after the other.
    pub(crate) fn evaluate_parts(&self, values: &[F], n: usize) -> Vec<K> {
        let part = (values.len() >> n).max(1);
        let parts = values.par_chunks(part).with_min_len(TASK / part);
        parts.map(|part| self.evaluate(part)).collect()
    }
}

/// Returns `eq(r, i)` for every `i < 2^n`, in order of `i`; the last pack is filled up with 0.
///
/// Allocates `2^n` elements: the caller bounds `n`.
pub(crate) fn eq_packs(r: &[K]) -> Vec<Packed> {
    let low = (r.len() / 2).clamp(LANES.ilog2() as usize, MOST_LOW).min(r.len());
    let (high, low) = r.split_at(r.len() - low);
    let low = Packed::pack(&eq_table(low));
    let mut table = vec![Packed::default(); low.len() << high.len()];
    let parts = table.par_chunks_mut(low.len()).zip(eq_table(high));
    let parts = parts.with_min_len(TASK / (LANES * low.len()));
    parts.for_each(|(out, weight)| add_scaled(out, &low, weight));
    table
}

/// Coordinates of the low table: 40 KiB of it stay in the caches.
const MOST_LOW: usize = 11;

/// Cells of one task.
const TASK: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;

    use super::*;
    use crate::multilinear::evaluate;
    use crate::transcript::Transcript;

    #[test]
    fn the_packs_of_a_point_are_its_table() {
        let mut rng = Transcript::new();
        for n in 0..14 {
            let r = rng.sample_point(n);
            let packs: Vec<K> = eq_packs(&r).iter().flat_map(Packed::unpack).collect();
            let table = eq_table(&r);
            assert_eq!(packs[..1 << n], table);
            assert!(packs[1 << n..].iter().all(|&pack| pack == K::ZERO));
        }
    }

    #[test]
    fn parts_are_evaluated_one_after_the_other() {
        let mut rng = Transcript::new();
        for (n, parts) in [(6, 4), (6, 6), (9, 4), (16, 6)] {
            let values: Vec<F> =
                (0..1_i32 << n).map(|i| F::from_i32(i.wrapping_mul(i) - 9)).collect();
            let r = rng.sample_point(n - parts);
            let wanted = values.chunks(1 << (n - parts)).map(|part| evaluate(part, &r).unwrap());
            let got = ColumnPoint::new(&r).evaluate_parts(&values, parts);
            assert_eq!(got, wanted.collect::<Vec<_>>());
        }
    }

    #[test]
    fn columns_have_the_extension_of_the_definition() {
        let mut rng = Transcript::new();
        for n in [0, 1, 2, 3, 4, 7, 10, 15] {
            let r = rng.sample_point(n);
            let mut values: Vec<F> =
                (0..1_i32 << n).map(|i| F::from_i32(i.wrapping_mul(1_234_567_891))).collect();
            assert_eq!(evaluate_column(&values, &r), evaluate(&values, &r));
            values.fill(F::NEG_ONE);
            assert_eq!(evaluate_column(&values, &r), Ok(-K::ONE));
            values.push(F::ONE);
            assert!(evaluate_column(&values, &r).is_err());
        }
    }
}
