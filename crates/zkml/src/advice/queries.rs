//! The weights that queries to a code are claims with: `sum_j c_j x_j^y`, for a query at `x_j`.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::field::{F, K};
use crate::packed::{LANES, Packed, Weight, combine_rows};

/// Returns `sum_j weights_j places_j^y` for every `y < 2^variables`; the last pack is filled up
/// with what follows.
///
/// With `y = h l + i` for rows of `l`, that is `sum_j (c_j x_j^(h l)) x_j^i`: a combination of rows
/// of `F` that all `h` share.
pub(super) fn power_packs(places: &[F], weights: &[K], variables: usize) -> Vec<Packed> {
    let log_row = (variables / 2).clamp(LANES.ilog2() as usize, MOST_LOG_ROW);
    let (row, log_rows) = (1 << log_row, variables.saturating_sub(log_row));
    let width = row.min(TILE);
    // Tile by tile, the powers of each place.
    let tile = |index: usize| {
        let powers = |&place: &F| place.shifted_powers(place.exp_u64((index * width) as u64));
        places.iter().flat_map(|place| powers(place).take(width)).collect::<Vec<F>>()
    };
    let tiles: Vec<Vec<F>> = (0..row / width).into_par_iter().map(tile).collect();
    let steps: Vec<F> = places.iter().map(|place| place.exp_power_of_2(log_row)).collect();
    let mut table = vec![Packed::default(); (row / LANES) << log_rows];
    let blocks = table.par_chunks_mut(TOGETHER * row / LANES).enumerate();
    blocks.for_each(|(block, out)| {
        let first = (block * TOGETHER) as u64;
        let scaled = weights.iter().zip(&steps).map(|(&weight, step)| weight * step.exp_u64(first));
        let mut scaled: Vec<K> = scaled.collect();
        for out in out.chunks_mut(row / LANES) {
            let words: Vec<Weight> = scaled.iter().copied().map(Weight::new).collect();
            for (out, cells) in out.chunks_mut(width / LANES).zip(&tiles) {
                combine_rows(&words, (cells, width), out);
            }
            scaled.iter_mut().zip(&steps).for_each(|(scaled, &step)| *scaled *= step);
        }
    });
    table
}

/// Powers that stand together: two packs.
const TILE: usize = 2 * LANES;

/// Coordinates of a row: its powers of 200 places stay in the caches.
const MOST_LOG_ROW: usize = 9;

/// Rows of one task.
const TOGETHER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::coefficients;
    use crate::transcript::Transcript;

    #[test]
    fn powers_are_combined() {
        let mut rng = Transcript::new();
        for (variables, queries) in [(0, 1), (2, 3), (3, 4), (4, 5), (5, 1), (9, 40), (13, 7)] {
            let weights = rng.sample_point(queries);
            let mut places: Vec<F> =
                rng.sample_point(queries).iter().map(|value| coefficients(value)[0]).collect();
            places[0] = F::ONE;
            let table = power_packs(&places, &weights, variables);
            let got: Vec<K> = table.iter().flat_map(Packed::unpack).collect();
            for (y, &got) in got.iter().enumerate().take(1 << variables) {
                let terms = places.iter().zip(&weights);
                let wanted: K = terms.map(|(x, &c)| c * x.exp_u64(y as u64)).sum();
                assert_eq!(got, wanted, "{queries} at {y} of 2^{variables}");
            }
        }
    }
}
