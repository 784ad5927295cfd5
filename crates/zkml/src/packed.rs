//! Eight elements of `K` at once, in vectors of words.
//!
//! A plain build does not tell the arithmetic library which vectors the processor has, so it
//! multiplies one element after the other. Here every coefficient is a list of eight words in
//! Montgomery form, all loops are over such lists, and whoever calls from inside
//! [`pulp::WithSimd`] gets them as the widest vectors that the processor has. The words are those
//! of the library, so taking them out costs nothing.

use p3_field::{PrimeCharacteristicRing, PrimeField32};

use crate::field::{DEGREE, F, K, MODULUS, coefficients};

/// Elements in one [`Packed`].
pub(crate) const LANES: usize = 8;

type Words = [u32; LANES];
type Sums = [u64; LANES];

/// [`LANES`] elements, coefficient by coefficient.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packed([Words; DEGREE]);

impl Packed {
    /// Packs up to [`LANES`] elements; the others are 0.
    pub(crate) fn new(values: &[K]) -> Self {
        let mut packed = Self::default();
        for (lane, value) in values.iter().enumerate() {
            for (words, coefficient) in packed.0.iter_mut().zip(coefficients(value)) {
                if let Some(word) = words.get_mut(lane) {
                    *word = coefficient.to_unique_u32();
                }
            }
        }
        packed
    }

    /// Returns one element in all lanes.
    pub(crate) fn splat(value: K) -> Self {
        Self::new(&[value; LANES])
    }

    /// Packs a list; the last may be filled up with 0.
    pub(crate) fn pack(values: &[K]) -> Vec<Self> {
        values.chunks(LANES).map(Self::new).collect()
    }

    /// Returns the elements.
    pub(crate) fn unpack(&self) -> [K; LANES] {
        let mut lanes = [[F::ZERO; DEGREE]; LANES];
        for (position, words) in self.0.iter().enumerate() {
            for (lane, &word) in lanes.iter_mut().zip(words) {
                if let Some(slot) = lane.get_mut(position) {
                    *slot = F::new(reduce(u64::from(word)));
                }
            }
        }
        lanes.map(K::new)
    }

    /// Returns the sum of all lanes.
    pub(crate) fn sum(&self) -> K {
        self.unpack().into_iter().sum()
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| {
            let sum = a + b;
            sum.min(sum.wrapping_sub(MODULUS))
        })
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: Self) -> Self {
        self.zip(other, difference)
    }

    /// The product, by the matrix of [`Factor`](crate::product::Factor).
    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        let [b0, b1, b2, b3, b4] = other.0;
        let sub = |a: Words, b: Words| zip(a, b, difference);
        let (b03, b14, b42) = (sub(b0, b3), sub(b1, b4), sub(b4, b2));
        Self([
            dot(self.0, [b0, b4, b3, b2, b14]),
            dot(self.0, [b1, b0, b4, b3, b2]),
            dot(self.0, [b2, b14, b03, b42, sub(b3, b14)]),
            dot(self.0, [b3, b2, b14, b03, b42]),
            dot(self.0, [b4, b3, b2, b14, b03]),
        ])
    }

    #[inline(always)]
    fn zip(self, other: Self, operation: impl Fn(u32, u32) -> u32) -> Self {
        let mut out = Self::default();
        for ((out, a), b) in out.0.iter_mut().zip(self.0).zip(other.0) {
            *out = zip(a, b, &operation);
        }
        out
    }
}

#[inline(always)]
fn zip(a: Words, b: Words, operation: impl Fn(u32, u32) -> u32) -> Words {
    let mut out = [0; LANES];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = operation(a, b);
    }
    out
}

/// `a - b`, both below `p`: the smaller of the two candidates is the one that did not wrap.
#[inline(always)]
fn difference(a: u32, b: u32) -> u32 {
    let difference = a.wrapping_sub(b);
    difference.min(difference.wrapping_add(MODULUS))
}

/// The inner product of five words by five: four products are below `2^64`, and taking `p 2^32` off
/// their sum makes room for the fifth.
#[inline(always)]
fn dot([a0, a1, a2, a3, a4]: [Words; DEGREE], [b0, b1, b2, b3, b4]: [Words; DEGREE]) -> Words {
    let four = add_product(add_product([0; LANES], a0, b0), a1, b1);
    let four = add_product(add_product(four, a2, b2), a3, b3);
    add_product(four.map(take_off), a4, b4).map(reduce)
}

#[inline(always)]
fn add_product(sums: Sums, a: Words, b: Words) -> Sums {
    let mut out = [0; LANES];
    for (((out, sum), a), b) in out.iter_mut().zip(sums).zip(a).zip(b) {
        *out = sum + u64::from(a) * u64::from(b);
    }
    out
}

/// The sum less `p 2^32` if that is not negative; below `p 2^32` for a sum below `2 p 2^32`.
#[inline(always)]
fn take_off(sum: u64) -> u64 {
    let high = high(sum);
    u64::from(high.min(high.wrapping_sub(MODULUS))) << 32 | u64::from(low(sum))
}

/// Montgomery's reduction of a sum below `2 p 2^32`.
#[inline(always)]
fn reduce(sum: u64) -> u32 {
    let sum = take_off(sum);
    let multiple = low(sum).wrapping_mul(INVERSE_MODULUS);
    difference(high(sum), high(u64::from(multiple) * u64::from(MODULUS)))
}

#[inline(always)]
fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or(0)
}

#[inline(always)]
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// `p^-1` modulo `2^32`.
const INVERSE_MODULUS: u32 = 0x8100_0001;
const _: () = assert!(INVERSE_MODULUS.wrapping_mul(MODULUS) == 1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    /// Random elements, and those whose words are the largest.
    fn values() -> Vec<K> {
        let mut values = Transcript::new().sample_point(40);
        // The word of `-2^-32` is `p - 1`.
        let largest = -F::new(reduce(1));
        assert_eq!(largest.to_unique_u32(), MODULUS - 1);
        values.extend([K::ZERO, K::ONE, K::new([F::NEG_ONE; DEGREE]), K::new([largest; DEGREE])]);
        for position in 0..DEGREE {
            let mut one = [F::ZERO; DEGREE];
            one[position] = largest;
            values.push(K::new(one));
        }
        values
    }

    #[test]
    fn operations_are_those_of_the_field() {
        let values = values();
        for shift in 0..values.len() {
            let mut other = values.clone();
            other.rotate_left(shift);
            for (a, b) in values.chunks(LANES).zip(other.chunks(LANES)) {
                let (left, right) = (Packed::new(a), Packed::new(b));
                let results = [left.add(right), left.sub(right), left.mul(right)];
                let results = results.map(|packed| packed.unpack());
                for (lane, (&a, &b)) in a.iter().zip(b).enumerate() {
                    assert_eq!(results.map(|result| result[lane]), [a + b, a - b, a * b]);
                }
            }
        }
    }

    #[test]
    fn packing_keeps_the_elements() {
        let values = values();
        let packed = Packed::pack(&values);
        let back: Vec<K> = packed.iter().flat_map(Packed::unpack).collect();
        assert_eq!(back[..values.len()], values);
        assert!(back[values.len()..].iter().all(|&value| value == K::ZERO));
        assert_eq!(packed.iter().map(Packed::sum).sum::<K>(), values.iter().copied().sum::<K>());
        assert_eq!(Packed::splat(values[3]).unpack(), [values[3]; LANES]);
    }
}
