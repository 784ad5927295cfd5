//! Closed forms of sums of `eq` over an interval of indices (section 1).

use p3_field::PrimeCharacteristicRing;

use super::{ArityError, eq_index, same_length};
use crate::field::K;

/// Returns `LT(r, N) = sum_{i < N} eq(r, i)`.
///
/// `N` of `2^n` or more sums over the whole cube and gives 1.
pub fn lt(r: &[K], count: u64) -> K {
    if covers(r.len(), count) {
        return K::ONE;
    }
    let mut sum = K::ZERO;
    let mut prefix = K::ONE;
    for (position, &x) in r.iter().enumerate() {
        let high = prefix * x;
        if bit(count, r.len() - 1 - position) {
            sum += prefix - high;
            prefix = high;
        } else {
            prefix -= high;
        }
    }
    sum
}

/// Returns `SHIFT(r, z; a, N) = sum_{i < N} eq(r, i) eq(z, a + i)`.
///
/// Terms with `a + i >= 2^len(z)` are 0, as are those with `i >= 2^len(r)`.
///
/// # Errors
///
/// Returns [`ArityError`] if `r` is longer than `z`.
pub fn shift(r: &[K], z: &[K], start: u64, count: u64) -> Result<K, ArityError> {
    let weights = r.iter().rev().map(|&x| [K::ONE - x, x]);
    shift_sum(weights, r.len(), z, start, count)
}

/// Returns `SHIFT3(r, q, z; a, N) = sum_{i < N} eq(r, i) eq(q, i) eq(z, a + i)`.
///
/// # Errors
///
/// Returns [`ArityError`] if `r` and `q` differ in length, or are longer than `z`.
pub fn shift3(r: &[K], q: &[K], z: &[K], start: u64, count: u64) -> Result<K, ArityError> {
    same_length("coordinates of the second point of SHIFT3", r.len(), q.len())?;
    let weights = r.iter().zip(q).rev().map(|(&x, &y)| [(K::ONE - x) * (K::ONE - y), x * y]);
    shift_sum(weights, r.len(), z, start, count)
}

/// Returns `mask_T(r) = LT(r_y, Y) LT(r_x, X) LT(r_c, C)`, given as (coordinates, extent) by axis.
pub fn mask(axes: &[(&[K], u64)]) -> K {
    axes.iter().map(|&(r, extent)| lt(r, extent)).product()
}

/// Runs the automaton of section 1 from the least significant bit.
///
/// `weights` gives the weight of bit 0 and of bit 1 of `i`, least significant bit first, `arity` of
/// them. The state is (carry of `a + i`, whether the low bits of `i` are at most those of `N - 1`).
/// Above `arity` the bits of `i` are 0, so what is left of `z` is `eq` at the rest of `a`, or at one
/// more with a carry.
fn shift_sum(
    weights: impl Iterator<Item = [K; 2]>,
    arity: usize,
    z: &[K],
    start: u64,
    count: u64,
) -> Result<K, ArityError> {
    if arity > z.len() {
        let what = "coordinates of the index of SHIFT, at most those of z";
        return Err(ArityError { what, expected: z.len(), got: arity });
    }
    let out_of_range = start != 0 && covers(z.len(), start);
    let last = match count.checked_sub(1) {
        Some(last) if !out_of_range => {
            if covers(arity, count) {
                u64::MAX
            } else {
                last
            }
        }
        _ => return Ok(K::ZERO),
    };
    let (high, low) = z.split_at(z.len() - arity);
    let mut states = [[K::ZERO, K::ONE], [K::ZERO, K::ZERO]];
    for (position, (&z, weight)) in low.iter().rev().zip(weights).enumerate() {
        states = step(states, weight, z, bit(start, position), bit(last, position));
    }
    let [[_, plain], [_, carried]] = states;
    let rest = u32::try_from(arity).ok().and_then(|by| start.checked_shr(by)).unwrap_or(0);
    let at = |index: u64| {
        if index != 0 && covers(high.len(), index) { K::ZERO } else { eq_index(high, index) }
    };
    Ok(plain * at(rest) + carried * rest.checked_add(1).map_or(K::ZERO, at))
}

/// `states[carry][at_most]`, one bit position on.
fn step(states: [[K; 2]; 2], [w0, w1]: [K; 2], z: K, start: bool, last: bool) -> [[K; 2]; 2] {
    let (w0_z, w1_z) = (w0 * z, w1 * z);
    let weights = [[w0 - w0_z, w0_z], [w1 - w1_z, w1_z]];
    let mut next = [[K::ZERO; 2]; 2];
    for (carry, [above, at_most]) in states.into_iter().enumerate() {
        for (index_bit, weights) in weights.into_iter().enumerate() {
            let total = usize::from(start) + index_bit + carry;
            let weight = weights.into_iter().nth(total & 1).unwrap_or(K::ZERO);
            let Some([next_above, next_at_most]) = next.get_mut(total >> 1) else { continue };
            match index_bit.cmp(&usize::from(last)) {
                std::cmp::Ordering::Less => *next_at_most += (above + at_most) * weight,
                std::cmp::Ordering::Equal => {
                    *next_above += above * weight;
                    *next_at_most += at_most * weight;
                }
                std::cmp::Ordering::Greater => *next_above += (above + at_most) * weight,
            }
        }
    }
    next
}

/// Whether `value >= 2^arity`.
fn covers(arity: usize, value: u64) -> bool {
    u32::try_from(arity).ok().and_then(|arity| value.checked_shr(arity)).unwrap_or(0) != 0
}

/// Bit `position` of `value`, counted from the least significant.
fn bit(value: u64, position: usize) -> bool {
    u32::try_from(position).ok().and_then(|by| value.checked_shr(by)).unwrap_or(0) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::{eq_index, point};
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn lt_agrees_with_its_sum() {
        let mut rng = Transcript::new();
        for n in 0..6 {
            for count in 0..=(1 << n) + 1 {
                let r = point(&mut rng, n);
                let sum: K = (0..count.min(1 << n)).map(|i| eq_index(&r, i)).sum();
                assert_eq!(lt(&r, count), sum, "n {n} N {count}");
            }
        }
    }

    #[test]
    fn shift_and_shift3_agree_with_their_sums() {
        let mut rng = Transcript::new();
        for (n, extra) in [(0, 0), (0, 2), (1, 0), (1, 1), (2, 1), (3, 0), (3, 2)] {
            let m = n + extra;
            for (start, count) in
                (0..(1 << m) + 2).flat_map(|a| (0..(1 << n) + 2).map(move |c| (a, c)))
            {
                let (r, q, z) = (point(&mut rng, n), point(&mut rng, n), point(&mut rng, m));
                let inside = |i: &u64| start + i < 1 << m;
                let range = (0..count.min(1 << n)).filter(inside);
                let two = |i| eq_index(&r, i) * eq_index(&z, start + i);
                let three = |i| two(i) * eq_index(&q, i);
                let case = format!("n {n} m {m} a {start} N {count}");
                assert_eq!(shift(&r, &z, start, count), Ok(range.clone().map(two).sum()), "{case}");
                assert_eq!(shift3(&r, &q, &z, start, count), Ok(range.map(three).sum()), "{case}");
            }
        }
    }

    #[test]
    fn extreme_counts_and_starts_do_not_wrap() {
        let mut rng = Transcript::new();
        let (r, z) = (point(&mut rng, 3), point(&mut rng, 4));
        assert_eq!(lt(&r, u64::MAX), K::ONE);
        assert_eq!(shift(&r, &z, u64::MAX, 8), Ok(K::ZERO));
        assert_eq!(shift(&r, &z, 2, u64::MAX), shift(&r, &z, 2, 8));
        assert_eq!(shift(&r, &z, 0, 0), Ok(K::ZERO));
        let long = point(&mut rng, 70);
        assert_eq!(lt(&long, 1), long.iter().map(|&x| K::ONE - x).product::<K>());
    }

    #[test]
    fn mask_is_one_on_real_cells_and_zero_on_pads() {
        let bits = |i: usize| [K::from_usize(i >> 1), K::from_usize(i & 1)];
        for (y, x, c) in (0..64).map(|i| (i >> 4, i >> 2 & 3, i & 3)) {
            let value = mask(&[(&bits(y), 3), (&bits(x), 2), (&bits(c), 4)]);
            assert_eq!(value, K::from_bool(y < 3 && x < 2));
        }
    }

    #[test]
    fn points_of_other_lengths_are_errors() {
        let mut rng = Transcript::new();
        let (r, z) = (point(&mut rng, 3), point(&mut rng, 2));
        assert!(shift(&r, &z, 0, 1).is_err());
        assert!(shift3(&r, &z, &r, 0, 1).is_err());
        assert!(shift3(&r, &r, &z, 0, 1).is_err());
    }
}
