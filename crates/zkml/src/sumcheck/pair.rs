//! The prover's two vectors, whose product is summed.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::field::K;
use crate::product::{Factor, mul};

/// `sum_i x_i a_i` with both vectors in full, of the same power of two.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    x: Vec<K>,
    a: Vec<K>,
}

impl Pair {
    /// Takes vectors of one length, a power of two.
    pub(crate) const fn new(x: Vec<K>, a: Vec<K>) -> Self {
        Self { x, a }
    }

    /// Returns the sum over all indices.
    pub(crate) fn sum(&self) -> K {
        let parts = self.x.par_chunks(BLOCK).zip(self.a.par_chunks(BLOCK));
        parts.map(|(x, a)| x.iter().zip(a).map(|(&x, &a)| mul(x, a)).sum::<K>()).sum()
    }

    /// Returns `g(0), g(2)` of the first variable.
    pub(crate) fn message(&self) -> [K; 2] {
        let (x_low, x_high) = halves(&self.x);
        let (a_low, a_high) = halves(&self.a);
        let x = x_low.par_chunks(BLOCK).zip(x_high.par_chunks(BLOCK));
        let a = a_low.par_chunks(BLOCK).zip(a_high.par_chunks(BLOCK));
        let parts = x.zip(a).map(|((x_low, x_high), (a_low, a_high))| {
            let mut message = [K::ZERO; 2];
            let pairs = x_low.iter().zip(x_high).zip(a_low.iter().zip(a_high));
            for ((&x_low, &x_high), (&a_low, &a_high)) in pairs {
                let at_2 = mul(x_high.double() - x_low, a_high.double() - a_low);
                message = add(message, [mul(x_low, a_low), at_2]);
            }
            message
        });
        parts.reduce(|| [K::ZERO; 2], add)
    }

    /// Binds the first variable.
    pub(crate) fn bind(&mut self, challenge: K) {
        bind(&mut self.x, challenge);
        bind(&mut self.a, challenge);
    }

    /// Returns the first elements: the values of both once everything is bound.
    pub(crate) fn first(&self) -> [K; 2] {
        [&self.x, &self.a].map(|values| values.first().copied().unwrap_or(K::ZERO))
    }
}

/// Sums messages.
pub(crate) fn add([a, b]: [K; 2], [c, d]: [K; 2]) -> [K; 2] {
    [a + c, b + d]
}

fn bind(values: &mut Vec<K>, challenge: K) {
    let half = values.len() / 2;
    let challenge = Factor::new(challenge);
    let (low, high) = values.split_at_mut(half);
    low.par_chunks_mut(BLOCK).zip(high.par_chunks(BLOCK)).for_each(|(low, high)| {
        for (low, high) in low.iter_mut().zip(high) {
            *low += challenge.times(*high - *low);
        }
    });
    values.truncate(half);
}

fn halves(values: &[K]) -> (&[K], &[K]) {
    values.split_at(values.len() / 2)
}

/// Elements that one task works on.
const BLOCK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multilinear::evaluate;
    use crate::transcript::Transcript;

    #[test]
    fn messages_and_ends_are_those_of_the_definition() {
        let mut rng = Transcript::new();
        for n in [1, 2, 12] {
            let (x, a) = (rng.sample_point(1 << n), rng.sample_point(1 << n));
            let mut pair = Pair::new(x.clone(), a.clone());
            let mut point = Vec::new();
            for round in 0..n {
                let g = |t: K| -> K {
                    let bound = |values: &[K]| {
                        let mut bound = Pair::new(values.to_vec(), Vec::new());
                        point.iter().chain([&t]).for_each(|&t| bind(&mut bound.x, t));
                        bound.x
                    };
                    bound(&x).into_iter().zip(bound(&a)).map(|(x, a)| x * a).sum()
                };
                assert_eq!(pair.message(), [g(K::ZERO), g(K::TWO)], "round {round} of {n}");
                assert_eq!(pair.sum(), g(K::ZERO) + g(K::ONE));
                let challenge = rng.sample_k();
                pair.bind(challenge);
                point.push(challenge);
            }
            assert_eq!(pair.first().map(Ok), [evaluate(&x, &point), evaluate(&a, &point)]);
        }
    }
}
