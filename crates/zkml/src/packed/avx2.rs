//! Sums of products in AVX2's own operations.
//!
//! A register of eight words is multiplied as four even ones and four odd ones, whose products stand
//! in two registers: no word changes its place, as it would where eight words become eight longer
//! ones. The operations are safe behind `pulp`'s proof that the processor has them. They are inlined
//! only into what is compiled for AVX2, as the body of a [`pulp::WithSimd`] is, and a closure is not:
//! so there is none.

use core::arch::x86_64::__m256i;

use pulp::bytemuck::cast;
use pulp::x86::V3;

use super::{INVERSE_MODULUS, Weight, Words};
use crate::field::{DEGREE, MODULUS};

/// Proof that the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(V3);

/// Four sums or factors each: those of the even words, and of the odd ones. Of a factor only the low
/// halves count.
#[derive(Clone, Copy)]
struct Halves {
    even: __m256i,
    odd: __m256i,
}

impl Avx2 {
    #[inline(always)]
    pub(super) fn detect() -> Option<Self> {
        V3::try_new().map(Self)
    }

    /// `sum_i weights_i cells_i`, lane by lane.
    #[inline(always)]
    pub(super) fn inner_product(
        self,
        terms: impl Iterator<Item = ([Words; DEGREE], Words)>,
    ) -> [Words; DEGREE] {
        let mut sums = [self.zero(); DEGREE];
        let mut full = false;
        for (weight, cells) in terms {
            let cells = self.split(cells);
            for (sum, words) in sums.iter_mut().zip(weight) {
                *sum = self.add(*sum, self.product(self.split(words), cells));
            }
            if full {
                // Below `p 2^32` again: two more products have room.
                sums = self.take_off_all(sums);
            }
            full = !full;
        }
        self.reduce_all(self.take_off_all(sums))
    }

    /// `sum_i weights_i cells_i`, with one weight for all lanes.
    #[inline(always)]
    pub(super) fn combine<'a>(
        self,
        terms: impl Iterator<Item = (&'a Weight, Words)>,
    ) -> [Words; DEGREE] {
        let mut sums = [self.zero(); DEGREE];
        let mut full = false;
        for (weight, cells) in terms {
            let cells = self.split(cells);
            for (sum, &word) in sums.iter_mut().zip(&weight.0) {
                let word = splat(word);
                *sum = self.add(*sum, self.product(Halves { even: word, odd: word }, cells));
            }
            if full {
                sums = self.take_off_all(sums);
            }
            full = !full;
        }
        self.reduce_all(self.take_off_all(sums))
    }

    #[inline(always)]
    fn zero(self) -> Halves {
        Halves { even: splat(0), odd: splat(0) }
    }

    #[inline(always)]
    fn halves(self, words: __m256i) -> Halves {
        Halves { even: words, odd: self.0.avx2._mm256_srli_epi64::<32>(words) }
    }

    #[inline(always)]
    fn split(self, words: Words) -> Halves {
        self.halves(cast(words))
    }

    #[inline(always)]
    fn product(self, a: Halves, b: Halves) -> Halves {
        let simd = self.0.avx2;
        let (even, odd) =
            (simd._mm256_mul_epu32(a.even, b.even), simd._mm256_mul_epu32(a.odd, b.odd));
        Halves { even, odd }
    }

    #[inline(always)]
    fn add(self, a: Halves, b: Halves) -> Halves {
        let simd = self.0.avx2;
        let (even, odd) =
            (simd._mm256_add_epi64(a.even, b.even), simd._mm256_add_epi64(a.odd, b.odd));
        Halves { even, odd }
    }

    /// The sums less `p 2^32` where that is not negative: of two candidates for their high words the
    /// smaller is the one that did not wrap, and the low words are the same in both.
    #[inline(always)]
    fn take_off(self, sums: Halves) -> Halves {
        let modulus = cast([u64::from(MODULUS) << 32; 4]);
        let (even, odd) = (self.less(sums.even, modulus), self.less(sums.odd, modulus));
        Halves { even, odd }
    }

    #[inline(always)]
    fn take_off_all(self, [a, b, c, d, e]: [Halves; DEGREE]) -> [Halves; DEGREE] {
        let (a, b, c) = (self.take_off(a), self.take_off(b), self.take_off(c));
        [a, b, c, self.take_off(d), self.take_off(e)]
    }

    /// Montgomery's reduction of sums below `2 p 2^32`.
    #[inline(always)]
    fn reduce(self, sums: Halves) -> Words {
        let (even, odd) = (self.multiple(sums.even), self.multiple(sums.odd));
        let high = self.less(self.high(sums), splat(MODULUS));
        cast(self.difference(high, self.high(Halves { even, odd })))
    }

    /// The multiple of `p` that has the low words.
    #[inline(always)]
    fn multiple(self, low: __m256i) -> __m256i {
        let simd = self.0.avx2;
        simd._mm256_mul_epu32(simd._mm256_mul_epu32(low, splat(INVERSE_MODULUS)), splat(MODULUS))
    }

    /// Takes `modulus` off the words that are not below it.
    #[inline(always)]
    fn less(self, words: __m256i, modulus: __m256i) -> __m256i {
        let simd = self.0.avx2;
        simd._mm256_min_epu32(words, simd._mm256_sub_epi32(words, modulus))
    }

    #[inline(always)]
    fn reduce_all(self, [a, b, c, d, e]: [Halves; DEGREE]) -> [Words; DEGREE] {
        [self.reduce(a), self.reduce(b), self.reduce(c), self.reduce(d), self.reduce(e)]
    }

    /// The high words, each at its own place.
    #[inline(always)]
    fn high(self, sums: Halves) -> __m256i {
        let simd = self.0.avx2;
        simd._mm256_blend_epi32::<0b1010_1010>(simd._mm256_srli_epi64::<32>(sums.even), sums.odd)
    }

    /// `a - b`, both below `p`: the smaller of the two candidates is the one that did not wrap.
    #[inline(always)]
    fn difference(self, a: __m256i, b: __m256i) -> __m256i {
        let simd = self.0.avx2;
        let difference = simd._mm256_sub_epi32(a, b);
        simd._mm256_min_epu32(difference, simd._mm256_add_epi32(difference, splat(MODULUS)))
    }
}

#[inline(always)]
fn splat(word: u32) -> __m256i {
    cast([word; 8])
}
