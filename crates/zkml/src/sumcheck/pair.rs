//! The prover's two vectors, whose product is summed.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::field::K;
use crate::packed::{LANES, Packed, add_scaled};
use crate::product::{Factor, mul};

/// `sum_i x_i a_i` with both vectors in full, of the same power of two.
#[derive(Clone, Debug)]
pub(crate) enum Pair {
    /// At least `2 LANES` elements.
    Long {
        x: Vec<Packed>,
        a: Vec<Packed>,
    },
    Short {
        x: Vec<K>,
        a: Vec<K>,
    },
}

impl Pair {
    /// Takes vectors of one length, a power of two.
    pub(crate) fn new(x: Vec<K>, a: Vec<K>) -> Self {
        if x.len() < 2 * LANES || a.len() != x.len() {
            return Self::Short { x, a };
        }
        Self::Long { x: Packed::pack(&x), a: Packed::pack(&a) }
    }

    /// Returns the sum over all indices.
    pub(crate) fn sum(&self) -> K {
        match self {
            Self::Short { x, a } => x.iter().zip(a).map(|(&x, &a)| mul(x, a)).sum(),
            Self::Long { x, a } => {
                let arch = pulp::Arch::new();
                let parts = x.par_chunks(BLOCK).zip(a.par_chunks(BLOCK));
                parts.map(|(x, a)| arch.dispatch(Sum { x, a }).sum()).sum()
            }
        }
    }

    /// Returns `g(0), g(2)` of the first variable.
    pub(crate) fn message(&self) -> [K; 2] {
        self.message_of::<false>()
    }

    /// Returns `g(0)` of the first variable and the coefficient of its square.
    pub(crate) fn leading_message(&self) -> [K; 2] {
        self.message_of::<true>()
    }

    fn message_of<const IS_LEADING: bool>(&self) -> [K; 2] {
        match self {
            Self::Short { x, a } => {
                let (x, a) = (halves(x), halves(a));
                let pairs = x.0.iter().zip(x.1).zip(a.0.iter().zip(a.1));
                pairs.fold([K::ZERO; 2], |message, ((&x_low, &x_high), (&a_low, &a_high))| {
                    let (x, a) = (x_high - x_low, a_high - a_low);
                    let (x, a) = if IS_LEADING { (x, a) } else { (x_high + x, a_high + a) };
                    add(message, [mul(x_low, a_low), mul(x, a)])
                })
            }
            Self::Long { x, a } => {
                let (x, a) = (halves(x), halves(a));
                let x = x.0.par_chunks(BLOCK).zip(x.1.par_chunks(BLOCK));
                let a = a.0.par_chunks(BLOCK).zip(a.1.par_chunks(BLOCK));
                let arch = pulp::Arch::new();
                let parts = x.zip(a).map(|(x, a)| {
                    let message = Message::<IS_LEADING> { x: x.into(), a: a.into() };
                    arch.dispatch(message).map(|packed| packed.sum())
                });
                parts.reduce(|| [K::ZERO; 2], add)
            }
        }
    }

    /// Adds `factor` times `packs` to the second vector.
    pub(crate) fn add_to_second(&mut self, packs: &[Packed], factor: K) {
        match self {
            Self::Short { a, .. } => {
                let values = packs.iter().flat_map(Packed::unpack);
                a.iter_mut().zip(values).for_each(|(a, value)| *a += mul(factor, value));
            }
            Self::Long { a, .. } => {
                let blocks = a.par_chunks_mut(BLOCK).zip(packs.par_chunks(BLOCK));
                blocks.for_each(|(a, packs)| add_scaled(a, packs, factor));
            }
        }
    }

    /// Returns the first vector.
    pub(crate) fn to_first(&self) -> Vec<K> {
        match self {
            Self::Short { x, .. } => x.clone(),
            Self::Long { x, .. } => {
                let mut values = vec![K::ZERO; x.len() * LANES];
                let blocks = values.par_chunks_mut(BLOCK * LANES).zip(x.par_chunks(BLOCK));
                blocks.for_each(|(out, packs)| {
                    let (out, _) = out.as_chunks_mut::<LANES>();
                    out.iter_mut().zip(packs).for_each(|(out, pack)| *out = pack.unpack());
                });
                values
            }
        }
    }

    /// Returns the inner product of the first vector with `weights`.
    pub(crate) fn first_times(&self, weights: &[Packed]) -> K {
        match self {
            Self::Short { x, .. } => {
                let weights = weights.iter().flat_map(Packed::unpack);
                x.iter().zip(weights).map(|(&x, weight)| mul(x, weight)).sum()
            }
            Self::Long { x, .. } => {
                let arch = pulp::Arch::new();
                let parts = x.par_chunks(BLOCK).zip(weights.par_chunks(BLOCK));
                parts.map(|(x, a)| arch.dispatch(Sum { x, a }).sum()).sum()
            }
        }
    }

    /// Binds the first variable.
    pub(crate) fn bind(&mut self, challenge: K) {
        match self {
            Self::Short { x, a } => {
                bind_short(x, challenge);
                bind_short(a, challenge);
            }
            Self::Long { x, a } => {
                bind_long(x, challenge);
                bind_long(a, challenge);
                if let ([x], [a]) = (x.as_slice(), a.as_slice()) {
                    *self = Self::Short { x: x.unpack().to_vec(), a: a.unpack().to_vec() };
                }
            }
        }
    }

    /// Returns the first elements: the values of both once everything is bound.
    pub(crate) fn first(&self) -> [K; 2] {
        match self {
            Self::Short { x, a } => [x, a].map(|v| v.first().copied().unwrap_or(K::ZERO)),
            Self::Long { x, a } => {
                [x, a].map(|v| v.first().map_or(K::ZERO, |packed| packed.unpack()[0]))
            }
        }
    }
}

/// Sums messages.
pub(crate) fn add([a, b]: [K; 2], [c, d]: [K; 2]) -> [K; 2] {
    [a + c, b + d]
}

fn bind_short(values: &mut Vec<K>, challenge: K) {
    let half = values.len() / 2;
    let challenge = Factor::new(challenge);
    let (low, high) = values.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += challenge.times(*high - *low);
    }
    values.truncate(half);
}

fn bind_long(values: &mut Vec<Packed>, challenge: K) {
    let half = values.len() / 2;
    let (challenge, arch) = (Packed::splat(challenge), pulp::Arch::new());
    let (low, high) = values.split_at_mut(half);
    low.par_chunks_mut(BLOCK).zip(high.par_chunks(BLOCK)).for_each(|(low, high)| {
        arch.dispatch(Bind { low, high, challenge });
    });
    values.truncate(half);
}

fn halves<T>(values: &[T]) -> (&[T], &[T]) {
    values.split_at(values.len() / 2)
}

// Each of these is compiled once for each vector width that the processor may have.

/// `sum x a`, lane by lane.
struct Sum<'a> {
    x: &'a [Packed],
    a: &'a [Packed],
}

impl pulp::WithSimd for Sum<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Packed {
        let terms = self.x.iter().zip(self.a);
        terms.fold(Packed::default(), |sum, (&x, &a)| sum.add(x.mul(a)))
    }
}

/// The low and the high half of both vectors: for `g(0)` and `g(2)`, or the coefficient of the square.
struct Message<'a, const IS_LEADING: bool> {
    x: [&'a [Packed]; 2],
    a: [&'a [Packed]; 2],
}

impl<const IS_LEADING: bool> pulp::WithSimd for Message<'_, IS_LEADING> {
    type Output = [Packed; 2];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [Packed; 2] {
        let ([x_low, x_high], [a_low, a_high]) = (self.x, self.a);
        let (mut at_0, mut second) = (Packed::default(), Packed::default());
        let pairs = x_low.iter().zip(x_high).zip(a_low.iter().zip(a_high));
        for ((&x_low, &x_high), (&a_low, &a_high)) in pairs {
            at_0 = at_0.add(x_low.mul(a_low));
            // One end after the other: with both slopes first, `g(2)` takes a tenth longer.
            let x = end::<IS_LEADING>(x_low, x_high);
            second = second.add(x.mul(end::<IS_LEADING>(a_low, a_high)));
        }
        [at_0, second]
    }
}

/// What a pair of ends gives to the second element of a message.
#[inline(always)]
fn end<const IS_LEADING: bool>(low: Packed, high: Packed) -> Packed {
    let slope = high.sub(low);
    if IS_LEADING { slope } else { high.add(slope) }
}

struct Bind<'a> {
    low: &'a mut [Packed],
    high: &'a [Packed],
    challenge: Packed,
}

impl pulp::WithSimd for Bind<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (low, &high) in self.low.iter_mut().zip(self.high) {
            *low = low.add(high.sub(*low).mul(self.challenge));
        }
    }
}

/// Packs that one task works on.
const BLOCK: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multilinear::evaluate;
    use crate::transcript::Transcript;

    #[test]
    fn messages_and_ends_are_those_of_the_definition() {
        let mut rng = Transcript::new();
        for n in [0, 1, 3, 4, 5, 12] {
            let (x, a) = (rng.sample_point(1 << n), rng.sample_point(1 << n));
            let mut pair = Pair::new(x.clone(), a.clone());
            let (mut bound_x, mut bound_a, mut point) = (x.clone(), a.clone(), Vec::new());
            for round in 0..n {
                let g = |t: K| -> K {
                    let (mut x, mut a) = (bound_x.clone(), bound_a.clone());
                    bind_short(&mut x, t);
                    bind_short(&mut a, t);
                    x.into_iter().zip(a).map(|(x, a)| x * a).sum()
                };
                assert_eq!(pair.message(), [g(K::ZERO), g(K::TWO)], "round {round} of {n}");
                assert_eq!(pair.sum(), g(K::ZERO) + g(K::ONE));
                let leading = (g(K::TWO) - g(K::ONE).double() + g(K::ZERO)).halve();
                assert_eq!(pair.leading_message(), [g(K::ZERO), leading]);
                let product = pair.first_times(&Packed::pack(&bound_a));
                assert_eq!(product, pair.sum());
                assert_eq!(pair.to_first(), bound_x);
                let (mut added, factor) = (pair.clone(), rng.sample_k());
                added.add_to_second(&Packed::pack(&bound_x), factor);
                let squares: K = bound_x.iter().map(|&x| x * x).sum();
                assert_eq!(added.sum(), pair.sum() + factor * squares);
                let challenge = rng.sample_k();
                pair.bind(challenge);
                bind_short(&mut bound_x, challenge);
                bind_short(&mut bound_a, challenge);
                assert_eq!(pair.first(), [bound_x[0], bound_a[0]]);
                point.push(challenge);
            }
            assert_eq!(pair.first().map(Ok), [evaluate(&x, &point), evaluate(&a, &point)]);
        }
    }
}
