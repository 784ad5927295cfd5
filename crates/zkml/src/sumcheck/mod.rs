//! Sumchecks of degree 2 (section 1): what both sides know of a round, and the prover's vectors.
//!
//! A round message is `g(0), g(2)`; `g(1)` is the claim less `g(0)` and is never sent.

mod pair;

use p3_field::PrimeCharacteristicRing;

pub(crate) use self::pair::{Pair, add};
use crate::field::K;
use crate::transcript::{Label, Transcript};

/// A claim on its way through the rounds, with the coordinates that they have fixed.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    label: Label,
    claim: K,
    point: Vec<K>,
}

impl Walk {
    pub(crate) const fn new(label: Label, claim: K) -> Self {
        Self { label, claim, point: Vec::new() }
    }

    /// Absorbs a round message and returns the challenge.
    pub(crate) fn step(&mut self, message: [K; 2], transcript: &mut Transcript) -> K {
        transcript.absorb_k(self.label, &message);
        let challenge = transcript.sample_k();
        self.claim = interpolate(self.claim, message, challenge);
        self.point.push(challenge);
        challenge
    }

    /// Returns the coordinates fixed so far.
    pub(crate) fn point(&self) -> &[K] {
        &self.point
    }

    /// Returns what is claimed at the end, and where that is.
    pub(crate) fn end(self) -> (K, Vec<K>) {
        (self.claim, self.point)
    }
}

/// Returns `g(t)` for `g` of degree 2 with `g(0) + g(1) = claim` and the given `g(0), g(2)`.
fn interpolate(claim: K, [g0, g2]: [K; 2], t: K) -> K {
    let g1 = claim - g0;
    let leading = (g2 - g1.double() + g0).halve();
    g0 + t * (g1 - g0 - leading + t * leading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_message_is_the_polynomial_it_was_made_from() {
        let mut rng = Transcript::new();
        for _ in 0..10 {
            let c = rng.sample_point(3);
            let g = |t: K| c.iter().rev().fold(K::ZERO, |sum, &c| sum * t + c);
            let at = |t: u32| g(K::from_u32(t));
            for t in (0..4).map(K::from_u32).chain(rng.sample_point(3)) {
                assert_eq!(interpolate(at(0) + at(1), [at(0), at(2)], t), g(t));
            }
        }
    }

    #[test]
    fn every_message_and_the_label_change_the_challenges() {
        let mut rng = Transcript::new();
        let messages = [[rng.sample_k(), rng.sample_k()], [rng.sample_k(), rng.sample_k()]];
        let run = |label, messages: &[[K; 2]]| {
            let (mut walk, mut transcript) = (Walk::new(label, K::ONE), Transcript::new());
            for &message in messages {
                let _ = walk.step(message, &mut transcript);
            }
            walk.end().1
        };
        let base = run(Label::LayerRound, &messages);
        assert_ne!(base[0], run(Label::WeightRound, &messages)[0]);
        for (round, part) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut other = messages;
            other[round][part] += K::ONE;
            assert_ne!(base[1], run(Label::LayerRound, &other)[1]);
        }
    }
}
