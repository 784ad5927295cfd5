//! `eq` over the coordinates that no round has bound yet, as a product of two small tables.

use super::tree::BLOCK;
use crate::field::K;
use crate::multilinear::eq_table;
use crate::packed::{LANES, Packed};

/// `eq(r, x)` as `high[x / low.len()] low[x % low.len()]`.
pub(super) struct SplitEq {
    pub(super) high: Vec<K>,
    pub(super) low: Vec<K>,
    /// `low` once more.
    pub(super) packs: Vec<Packed>,
}

impl SplitEq {
    pub(super) fn new(r: &[K]) -> Self {
        let most = (BLOCK * LANES).ilog2() as usize;
        let (high, low) = r.split_at(r.len().saturating_sub(most));
        let low = eq_table(low);
        Self { high: eq_table(high), packs: Packed::pack(&low), low }
    }

    /// Drops the first coordinate: `eq` summed over it is 1.
    pub(super) fn drop_first(&mut self) {
        if self.high.len() > 1 {
            halve(&mut self.high);
        } else {
            halve(&mut self.low);
            self.packs = Packed::pack(&self.low);
        }
    }
}

fn halve(table: &mut Vec<K>) {
    let half = table.len() / 2;
    let (left, right) = table.split_at_mut(half);
    left.iter_mut().zip(right).for_each(|(left, right)| *left += *right);
    table.truncate(half.max(1));
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;

    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn the_tables_make_eq_of_the_coordinates_left() {
        let mut r = Transcript::new().sample_point(12);
        let mut eq = SplitEq::new(&r);
        loop {
            let products =
                eq.high.iter().flat_map(|&high| eq.low.iter().map(move |&low| high * low));
            assert_eq!(products.collect::<Vec<_>>(), eq_table(&r));
            let unpacked: Vec<K> = eq.packs.iter().flat_map(Packed::unpack).collect();
            assert_eq!(unpacked[..eq.low.len()], eq.low);
            if r.is_empty() {
                break;
            }
            let _ = r.remove(0);
            eq.drop_first();
        }
        assert_eq!(eq.low, [K::ONE]);
    }
}
