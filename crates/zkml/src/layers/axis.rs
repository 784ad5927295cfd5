//! One axis of a linear map: which index an output reads, and the sums over it in closed form
//! (sections 4.4 and 4.5).

use std::ops::Range;

use p3_field::PrimeCharacteristicRing;

use crate::field::K;
use crate::multilinear::{ArityError, eq_index, eq_table, lt, shift};
use crate::program::{AxisMap, Window};

/// The indices that output `o` of an axis reads: `o stride + offset`, one for each tap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reads {
    pub(crate) stride: u32,
    pub(crate) offsets: Vec<i64>,
}

impl From<&Window> for Reads {
    fn from(window: &Window) -> Self {
        let tap = |d: u32| i64::from(d) * i64::from(window.dilation) - i64::from(window.pad);
        Self { stride: window.stride, offsets: (0..window.taps).map(tap).collect() }
    }
}

impl From<&AxisMap> for Reads {
    fn from(map: &AxisMap) -> Self {
        let one = |offset| Self { stride: 1, offsets: vec![offset] };
        match map {
            AxisMap::Taps { stride, pad, taps } => {
                let tap = |&d: &u32| i64::from(d) - i64::from(*pad);
                Self { stride: *stride, offsets: taps.iter().map(tap).collect() }
            }
            AxisMap::FromInput { start } => one(i64::from(*start)),
            AxisMap::IntoOutput { start } => one(-i64::from(*start)),
        }
    }
}

/// An axis of the output with its coordinates of `rho`, and the axis of the tensor that it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisPair<'a> {
    pub(crate) rho: &'a [K],
    /// Real outputs.
    pub(crate) outputs: u32,
    /// Real cells of the tensor along the axis.
    pub(crate) extent: u32,
}

impl AxisPair<'_> {
    /// Returns the outputs that read a real cell: `0 <= o stride + offset < extent`.
    pub(crate) fn inside(&self, stride: u32, offset: i64) -> Range<u32> {
        let stride = u64::from(stride.max(1));
        let before = u64::try_from(-offset).unwrap_or(0).div_ceil(stride);
        let room = u64::try_from(i64::from(self.extent) - offset).unwrap_or(0).div_ceil(stride);
        let outputs = |count: u64| u32::try_from(count).unwrap_or(u32::MAX).min(self.outputs);
        outputs(before)..outputs(room).max(outputs(before))
    }

    /// Returns `I = sum_{o inside} eq(rho, o)` for one tap.
    pub(crate) fn inside_sum(&self, stride: u32, offset: i64) -> K {
        let inside = self.inside(stride, offset);
        lt(self.rho, inside.end.into()) - lt(self.rho, inside.start.into())
    }

    /// Returns `S_d = sum_{o inside} eq(rho, o) eq(tau, o stride + offset_d)` for each tap `d`.
    ///
    /// # Errors
    ///
    /// Does not return one: lengths are made to agree before the closed form is used.
    pub(crate) fn sums(&self, reads: &Reads, tau: &[K]) -> Result<Vec<K>, ArityError> {
        let steps = CLOSED_FORM_STEPS * self.rho.len().max(tau.len()) as u64;
        if reads.stride == 1 && steps < u64::from(self.outputs) {
            return reads.offsets.iter().map(|&offset| self.shifted(offset, tau)).collect();
        }
        let cells = reads.offsets.len() as u64 * u64::from(self.outputs);
        let cells = cells.saturating_mul(tau.len() as u64);
        let cube = u32::try_from(tau.len()).ok().and_then(|n| 1_u64.checked_shl(n));
        // A table of eq(tau, .) unless so few of its entries are read that each is made alone.
        let table = cube.filter(|&cube| cube <= cells).map(|_| eq_table(tau)).unwrap_or_default();
        let weights = eq_table(self.rho);
        Ok(reads
            .offsets
            .iter()
            .map(|&d| self.sum(reads.stride, d, &weights, tau, &table))
            .collect())
    }

    fn sum(&self, stride: u32, offset: i64, weights: &[K], tau: &[K], table: &[K]) -> K {
        let term = |o: u32| {
            let weight = weights.get(o as usize).copied().unwrap_or(K::ZERO);
            let at = u64::try_from(i64::from(o) * i64::from(stride) + offset).unwrap_or(0);
            let entry = usize::try_from(at).ok().and_then(|at| table.get(at)).copied();
            weight * entry.unwrap_or_else(|| eq_index(tau, at))
        };
        self.inside(stride, offset).map(term).sum()
    }

    /// `S_d` for stride 1: a run of indices on both sides.
    fn shifted(&self, offset: i64, tau: &[K]) -> Result<K, ArityError> {
        let inside = self.inside(1, offset);
        let count = u64::from(inside.end - inside.start);
        match u64::try_from(offset) {
            Ok(start) => shift_any(self.rho, tau, start, count),
            Err(_) => shift_any(tau, self.rho, inside.start.into(), count),
        }
    }
}

/// `SHIFT(r, z; start, count)` also for `r` longer than `z`: the index stays below `2^len(z)`, so
/// its further bits are 0.
fn shift_any(r: &[K], z: &[K], start: u64, count: u64) -> Result<K, ArityError> {
    let (high, low) = r.split_at(r.len().saturating_sub(z.len()));
    Ok(high.iter().map(|&x| K::ONE - x).product::<K>() * shift(low, z, start, count)?)
}

/// Multiplications that one step of SHIFT's automaton takes, in units of one term of a sum.
const CLOSED_FORM_STEPS: u64 = 8;

#[cfg(test)]
#[expect(clippy::cast_sign_loss, reason = "indices that were checked to be inside")]
mod tests {
    use super::*;
    use crate::multilinear::lt;
    use crate::transcript::Transcript;

    fn by_definition(pair: AxisPair<'_>, stride: u32, offset: i64, tau: &[K]) -> [K; 2] {
        let mut sums = [K::ZERO; 2];
        for o in 0..pair.outputs {
            let at = i64::from(o) * i64::from(stride) + offset;
            if (0..i64::from(pair.extent)).contains(&at) {
                let weight = eq_index(pair.rho, o.into());
                sums[0] += weight * eq_index(tau, at as u64);
                sums[1] += weight;
            }
        }
        sums
    }

    fn check(outputs: u32, extent: u32, extra: [usize; 2], reads: &Reads) {
        let mut rng = Transcript::new();
        let lg = |n: u32| n.next_power_of_two().trailing_zeros() as usize;
        let rho = rng.sample_point(lg(outputs) + extra[0]);
        let tau = rng.sample_point(lg(extent) + extra[1]);
        let pair = AxisPair { rho: &rho, outputs, extent };
        let sums = pair.sums(reads, &tau).unwrap();
        assert_eq!(sums.len(), reads.offsets.len());
        for (&offset, &sum) in reads.offsets.iter().zip(&sums) {
            let [wanted, inside] = by_definition(pair, reads.stride, offset, &tau);
            let case = format!("{outputs} of {extent}, extra {extra:?}, {reads:?}, {offset}");
            assert_eq!(sum, wanted, "{case}");
            assert_eq!(pair.inside_sum(reads.stride, offset), inside, "{case}");
            if reads.stride == 1 {
                assert_eq!(pair.shifted(offset, &tau), Ok(wanted), "{case}");
            }
        }
    }

    #[test]
    fn sums_agree_with_their_definition() {
        for (outputs, extent) in [(1, 1), (1, 9), (5, 5), (7, 3), (3, 8), (6, 13)] {
            for stride in [1, 2, 3, 20] {
                let offsets = vec![-20, -9, -4, -1, 0, 1, 2, 6, 12, 40];
                for extra in [[0, 0], [3, 0], [0, 4]] {
                    check(outputs, extent, extra, &Reads { stride, offsets: offsets.clone() });
                }
            }
        }
    }

    #[test]
    fn long_axes_use_the_closed_form_and_sparse_ones_no_table() {
        check(300, 310, [0, 0], &Reads { stride: 1, offsets: vec![-1, 0, 1, 20] });
        check(2, 4000, [0, 0], &Reads { stride: 1999, offsets: vec![0, 5] });
    }

    #[test]
    fn windows_and_maps_read_what_the_program_says() {
        let window = Window { taps: 3, stride: 2, pad: 4, dilation: 3 };
        assert_eq!(Reads::from(&window), Reads { stride: 2, offsets: vec![-4, -1, 2] });
        let map = AxisMap::Taps { stride: 2, pad: 1, taps: vec![0, 4] };
        let maps = [map, AxisMap::FromInput { start: 3 }, AxisMap::IntoOutput { start: 3 }];
        for map in maps {
            let reads = Reads::from(&map);
            for o in 0..9 {
                let indices: Vec<i64> = map.indices(o).collect();
                let stride = i64::from(o) * i64::from(reads.stride);
                let got: Vec<i64> = reads.offsets.iter().map(|offset| stride + offset).collect();
                assert_eq!(indices, got);
            }
        }
    }

    #[test]
    fn everything_inside_sums_to_the_mask() {
        let rho = Transcript::new().sample_point(3);
        let pair = AxisPair { rho: &rho, outputs: 5, extent: 11 };
        assert_eq!(pair.inside_sum(2, 1), lt(&rho, 5));
    }
}
