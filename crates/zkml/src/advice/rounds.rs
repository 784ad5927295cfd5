//! Rounds of the opening's sumchecks, in p3's form: `g(0)` and the coefficient of the square.

use p3_sumcheck::strategy::Basis;
use p3_sumcheck::transcript::{ProverTranscript, SumcheckShape};

use crate::field::{F, K};
use crate::sumcheck::Pair;
use crate::transcript::Challenger;

/// Plays `rounds` rounds over `pair`; returns their messages and challenges.
pub(super) fn play(
    pair: &mut Pair,
    rounds: usize,
    pow_bits: usize,
    challenger: &mut Challenger,
) -> (Vec<[K; 2]>, Vec<K>) {
    let shape = SumcheckShape::new(rounds, pow_bits, Basis::Evaluation);
    let mut transcript = ProverTranscript::<Challenger, F, K>::new(challenger, shape);
    let mut round = || {
        let message = pair.leading_message();
        let [at_0, leading] = message;
        let (challenge, _) = transcript.round(at_0, leading);
        pair.bind(challenge);
        (message, challenge)
    };
    let played = (0..rounds).map(|_| round()).unzip();
    transcript.finish();
    played
}
