//! Eight elements of `K` at once, in vectors of words.
//!
//! A plain build does not tell the arithmetic library which vectors the processor has, so it
//! multiplies one element after the other. Here every coefficient is a list of eight words in
//! Montgomery form, all loops are over such lists, and whoever calls from inside
//! [`pulp::WithSimd`] gets them as the widest vectors that the processor has. The words are those
//! of the library, so taking them out costs nothing. Sums over many packs are in AVX2's own
//! operations where the processor has them.

#[cfg(target_arch = "x86_64")]
mod avx2;

use p3_field::{PrimeCharacteristicRing, PrimeField32};

#[cfg(target_arch = "x86_64")]
use self::avx2::Avx2;
use crate::field::{DEGREE, F, K, MODULUS, coefficients};

/// Elements in one [`Packed`].
pub(crate) const LANES: usize = 8;

type Words = [u32; LANES];
type Sums = [u64; LANES];

/// [`LANES`] elements of `F`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PackedBase(Words);

impl PackedBase {
    /// Packs up to [`LANES`] elements; the others are 0.
    #[inline(always)]
    pub(crate) fn new(values: &[F]) -> Self {
        let mut words = Words::default();
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_unique_u32();
        }
        Self(words)
    }

    /// Returns one element in all lanes.
    pub(crate) fn splat(value: F) -> Self {
        Self::new(&[value; LANES])
    }

    /// Replaces one element.
    pub(crate) fn set(&mut self, lane: usize, value: F) {
        if let Some(word) = self.0.get_mut(lane) {
            *word = value.to_unique_u32();
        }
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: Self) -> Self {
        Self(zip(self.0, other.0, difference))
    }
}

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
        K::new(self.0.map(|words| F::new(reduce(u64::from(words.into_iter().fold(0, sum))))))
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        self.zip(other, sum)
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: Self) -> Self {
        self.zip(other, difference)
    }

    #[inline(always)]
    pub(crate) fn add_base(self, other: PackedBase) -> Self {
        let [a0, a1, a2, a3, a4] = self.0;
        Self([zip(a0, other.0, sum), a1, a2, a3, a4])
    }

    /// The product, by the matrix of [`Factor`](crate::product::Factor).
    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        let [r0, r1, r2, r3, r4] = other.rows();
        let a = self.0;
        Self([dot(a, r0), dot(a, r1), dot(a, r2), dot(a, r3), dot(a, r4)])
    }

    /// `a b + c d`, with one reduction for each coefficient.
    #[inline(always)]
    pub(crate) fn mul_two([a, b]: [Self; 2], [c, d]: [Self; 2]) -> Self {
        let [b0, b1, b2, b3, b4] = b.rows();
        let [d0, d1, d2, d3, d4] = d.rows();
        let (a, c) = (a.0, c.0);
        Self([
            dot_two([a, b0], [c, d0]),
            dot_two([a, b1], [c, d1]),
            dot_two([a, b2], [c, d2]),
            dot_two([a, b3], [c, d3]),
            dot_two([a, b4], [c, d4]),
        ])
    }

    /// `a b + c d` with `b` and `d` in `F`.
    #[inline(always)]
    pub(crate) fn scale_two((a, b): (Self, PackedBase), (c, d): (Self, PackedBase)) -> Self {
        let mut out = Self::default();
        for ((out, a), c) in out.0.iter_mut().zip(a.0).zip(c.0) {
            *out = add_product(add_product([0; LANES], a, b.0), c, d.0).map(reduce_small);
        }
        out
    }

    /// The product with elements of `F`.
    #[inline(always)]
    pub(crate) fn scale(self, other: PackedBase) -> Self {
        let mut out = Self::default();
        for (out, a) in out.0.iter_mut().zip(self.0) {
            *out = add_product([0; LANES], a, other.0).map(reduce_small);
        }
        out
    }

    /// The matrix of the multiplication by `self`.
    #[inline(always)]
    fn rows(self) -> [[Words; DEGREE]; DEGREE] {
        let [b0, b1, b2, b3, b4] = self.0;
        let sub = |a: Words, b: Words| zip(a, b, difference);
        let (b03, b14, b42) = (sub(b0, b3), sub(b1, b4), sub(b4, b2));
        [
            [b0, b4, b3, b2, b14],
            [b1, b0, b4, b3, b2],
            [b2, b14, b03, b42, sub(b3, b14)],
            [b3, b2, b14, b03, b42],
            [b4, b3, b2, b14, b03],
        ]
    }

    /// Replaces one element.
    pub(crate) fn set(&mut self, lane: usize, value: K) {
        for (words, coefficient) in self.0.iter_mut().zip(coefficients(&value)) {
            if let Some(word) = words.get_mut(lane) {
                *word = coefficient.to_unique_u32();
            }
        }
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

/// An element of `K` that many packs of `F` are multiplied by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight([u32; DEGREE]);

impl Weight {
    pub(crate) fn new(value: K) -> Self {
        let mut words = [0; DEGREE];
        for (word, coefficient) in words.iter_mut().zip(coefficients(&value)) {
            *word = coefficient.to_unique_u32();
        }
        Self(words)
    }
}

/// Returns `sum_i weights_i row_i` for rows of `width` cells, one behind the other: a pack for each
/// [`LANES`] of them.
///
/// `width` is a multiple of [`LANES`], and not 0.
pub(crate) fn combine_rows(weights: &[Weight], (cells, width): (&[F], usize), out: &mut [Packed]) {
    let (cells, _) = cells.as_chunks::<LANES>();
    pulp::Arch::new().dispatch(CombineRows { weights, cells, width: width / LANES, out });
}

struct CombineRows<'a> {
    weights: &'a [Weight],
    cells: &'a [[F; LANES]],
    width: usize,
    out: &'a mut [Packed],
}

impl pulp::WithSimd for CombineRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (index, out) in self.out.iter_mut().enumerate() {
            let cells = self.cells.iter().skip(index).step_by(self.width);
            let terms = self.weights.iter().zip(cells.map(|cells| PackedBase::new(cells).0));
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = Avx2::detect() {
                *out = Packed(simd.combine(terms));
                continue;
            }
            *out = combine_in_loops(terms);
        }
    }
}

fn combine_in_loops<'a>(terms: impl Iterator<Item = (&'a Weight, Words)>) -> Packed {
    let mut sums = [[0; LANES]; DEGREE];
    for (weight, cells) in terms {
        for (sums, &word) in sums.iter_mut().zip(&weight.0) {
            *sums = add_product(*sums, [word; LANES], cells).map(take_off);
        }
    }
    Packed(sums.map(|sums| sums.map(reduce)))
}

/// Adds `factor` times each pack to those of `out`.
pub(crate) fn add_scaled(out: &mut [Packed], packs: &[Packed], factor: K) {
    pulp::Arch::new().dispatch(AddScaled { out, packs, factor: Packed::splat(factor) });
}

struct AddScaled<'a> {
    out: &'a mut [Packed],
    packs: &'a [Packed],
    factor: Packed,
}

impl pulp::WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (out, &pack) in self.out.iter_mut().zip(self.packs) {
            *out = out.add(pack.mul(self.factor));
        }
    }
}

/// Returns `sum_i weights_i cells_i`, over packs and over their lanes.
pub(crate) fn inner_product(weights: &[Packed], cells: &[[F; LANES]]) -> K {
    pulp::Arch::new().dispatch(InnerProduct { weights, cells }).sum()
}

struct InnerProduct<'a> {
    weights: &'a [Packed],
    cells: &'a [[F; LANES]],
}

impl pulp::WithSimd for InnerProduct<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Packed {
        let cells = self.cells.iter().map(|cells| PackedBase::new(cells).0);
        let terms = self.weights.iter().map(|weight| weight.0).zip(cells);
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = Avx2::detect() {
            return Packed(simd.inner_product(terms));
        }
        inner_product_in_loops(terms)
    }
}

fn inner_product_in_loops(terms: impl Iterator<Item = ([Words; DEGREE], Words)>) -> Packed {
    let mut sums = [[0; LANES]; DEGREE];
    for (weight, cells) in terms {
        for (sums, words) in sums.iter_mut().zip(weight) {
            *sums = add_product(*sums, words, cells).map(take_off);
        }
    }
    Packed(sums.map(|sums| sums.map(reduce)))
}

#[inline(always)]
fn zip(a: Words, b: Words, operation: impl Fn(u32, u32) -> u32) -> Words {
    let mut out = [0; LANES];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = operation(a, b);
    }
    out
}

/// `a + b`, both below `p`: the smaller of the two candidates is the one that did not wrap.
#[inline(always)]
fn sum(a: u32, b: u32) -> u32 {
    let sum = a + b;
    sum.min(sum.wrapping_sub(MODULUS))
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

/// The same for ten by ten: `p 2^32` and two products are below `2 p 2^32`, which is below `2^64`.
#[inline(always)]
fn dot_two([a, b]: [[Words; DEGREE]; 2], [c, d]: [[Words; DEGREE]; 2]) -> Words {
    let [a0, a1, a2, a3, a4] = a;
    let [b0, b1, b2, b3, b4] = b;
    let [c0, c1, c2, c3, c4] = c;
    let [d0, d1, d2, d3, d4] = d;
    let four = add_product(add_product([0; LANES], a0, b0), a1, b1);
    let four = add_product(add_product(four, a2, b2), a3, b3);
    let six = add_product(add_product(four.map(take_off), a4, b4), c0, d0);
    let eight = add_product(add_product(six.map(take_off), c1, d1), c2, d2);
    add_product(add_product(eight.map(take_off), c3, d3), c4, d4).map(reduce)
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
    reduce_small(take_off(sum))
}

/// Montgomery's reduction of a sum below `p 2^32`, as that of two products is.
#[inline(always)]
fn reduce_small(sum: u64) -> u32 {
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
                let two = Packed::mul_two([left, right], [left, left]);
                let results = [left.add(right), left.sub(right), left.mul(right), two];
                let results = results.map(|packed| packed.unpack());
                for (lane, (&a, &b)) in a.iter().zip(b).enumerate() {
                    let wanted = [a + b, a - b, a * b, a * b + a * a];
                    assert_eq!(results.map(|result| result[lane]), wanted);
                }
            }
        }
    }

    #[test]
    fn operations_with_the_base_are_those_of_the_field() {
        let values = values();
        for shift in 0..values.len() {
            let mut other = values.clone();
            other.rotate_left(shift);
            for (a, b) in values.chunks(LANES).zip(other.chunks(LANES)) {
                let base: Vec<F> = b.iter().map(|b| coefficients(b)[shift % DEGREE]).collect();
                let (left, right) = (Packed::new(a), PackedBase::new(&base));
                let other = Packed::new(b);
                let two = Packed::scale_two((left, right), (other, right));
                let results = [left.add_base(right), two, left.scale(right)];
                let results = results.map(|packed| packed.unpack());
                for (lane, ((&a, &b), &f)) in a.iter().zip(b).zip(&base).enumerate() {
                    let wanted = [a + f, (a + b) * f, a * f];
                    assert_eq!(results.map(|result| result[lane]), wanted);
                }
                let differences = Packed::default().add_base(right.sub(PackedBase::splat(base[0])));
                for (lane, &f) in base.iter().enumerate() {
                    assert_eq!(differences.unpack()[lane], K::from(f - base[0]));
                }
            }
        }
    }

    #[test]
    fn rows_are_combined() {
        let values = values();
        for (rows, width) in [(1, 8), (2, 16), (5, 24), (64, 40), (7, 8)] {
            let cells: Vec<F> = (0..rows * width)
                .map(|i| coefficients(&values[i % values.len()])[i % DEGREE])
                .collect();
            let weights: Vec<K> =
                (0..rows).map(|i| values[(i * 11 + values.len() - 1) % values.len()]).collect();
            let words: Vec<Weight> = weights.iter().copied().map(Weight::new).collect();
            let mut out = vec![Packed::splat(K::ONE); width / LANES];
            combine_rows(&words, (&cells, width), &mut out);
            let got: Vec<K> = out.iter().flat_map(Packed::unpack).collect();
            let wanted = (0..width).map(|cell| -> K {
                let row = weights.iter().zip(cells.chunks(width));
                row.map(|(&weight, row)| weight * row[cell]).sum()
            });
            assert_eq!(got, wanted.collect::<Vec<_>>(), "{rows} of {width}");
        }
    }

    /// On a processor without AVX2 both are the same.
    #[test]
    fn loops_have_the_sums_of_vectors() {
        let values = values();
        let packs = Packed::pack(&values);
        let cells: Vec<[F; LANES]> = packs.iter().map(|pack| pack.unpack().map(first)).collect();
        let terms = || packs.iter().map(|pack| pack.0).zip(cells.iter());
        let in_loops = inner_product_in_loops(
            terms().map(|(weight, cells)| (weight, PackedBase::new(cells).0)),
        );
        assert_eq!(inner_product(&packs, &cells), in_loops.sum());
        let weights: Vec<Weight> = values.iter().copied().map(Weight::new).collect();
        let flat: Vec<F> = values.iter().flat_map(|value| [first(*value); LANES]).collect();
        let rows = flat.as_chunks::<LANES>().0.iter().map(|cells| PackedBase::new(cells).0);
        let mut out = [Packed::default()];
        combine_rows(&weights, (&flat, LANES), &mut out);
        assert_eq!(out[0].unpack(), combine_in_loops(weights.iter().zip(rows)).unpack());
    }

    fn first(value: K) -> F {
        coefficients(&value)[0]
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
        let mut changed = packed[0];
        changed.set(2, values[9]);
        let mut wanted = packed[0].unpack();
        wanted[2] = values[9];
        assert_eq!(changed.unpack(), wanted);
    }
}
