//! Extensions of columns over `F`, eight cells at a time.

use p3_maybe_rayon::prelude::*;

use super::{ArityError, eq_table, evaluate, same_length};
use crate::field::{F, K};
use crate::packed::{LANES, Packed, inner_product};

/// Returns the extension of `values` at `r`, as [`evaluate`] does.
///
/// # Errors
///
/// Returns [`ArityError`] unless there are `2^n` values for `n` coordinates.
pub(crate) fn evaluate_column(values: &[F], r: &[K]) -> Result<K, ArityError> {
    let expected = u32::try_from(r.len()).ok().and_then(|n| 1_usize.checked_shl(n)).unwrap_or(0);
    same_length("values of a multilinear extension", expected, values.len())?;
    if values.len() < LANES {
        return evaluate(values, r);
    }
    // As many coordinates of the low table as keep it small and fill a pack.
    let low = (r.len() / 2).clamp(LANES.ilog2() as usize, MOST_LOW);
    let (high, low) = r.split_at(r.len() - low);
    let (high, low) = (eq_table(high), Packed::pack(&eq_table(low)));
    let (cells, _) = values.as_chunks::<LANES>();
    let parts = cells.par_chunks(low.len()).zip(&high).with_min_len(TASK / (LANES * low.len()));
    Ok(parts.map(|(cells, &weight)| inner_product(&low, cells) * weight).sum())
}

/// Coordinates of the low table: 40 KiB of it stay in the caches.
const MOST_LOW: usize = 11;

/// Cells of one task.
const TASK: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;

    use super::*;
    use crate::transcript::Transcript;

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
