//! The prover's side of the opening (step 10): WHIR (eprint 2024/1586, Construction 5.1), in the
//! form that p3's verifier takes.
//!
//! p3's own prover is the same and works on one element at a time in a plain build; here the tables
//! are vectors of words, and the columns are read where they are. p3's types walk the transcript.

use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use p3_multilinear_util::point::Point;
use p3_whir::WhirShape;
use p3_whir::transcript::WhirProverTranscript;

use super::claims::{Claims, FirstFold};
use super::error::AdviceError;
use super::proof::{AdviceProof, Openings, RoundProof};
use super::queries::power_packs;
use super::rounds::play;
use super::schedule::Schedule;
use super::scheme::{Config, to_commitment};
use super::tree::CodeTree;
use crate::field::{F, K};
use crate::multilinear::eq_packs;
use crate::sumcheck::Pair;
use crate::transcript::Challenger;

/// Opens `columns`, whose code is in `tree`, at the points of the schedule's batches.
pub(super) fn open(
    schedule: &Schedule,
    columns: &[&[F]],
    tree: &CodeTree,
    points: &[Vec<K>],
    challenger: &mut Challenger,
) -> Result<AdviceProof, AdviceError> {
    let config: &Config = schedule.pcs();
    let mut claims = Claims::new(schedule, columns);
    let samples = 0..config.commitment_ood_samples();
    let initial_answers =
        samples.map(|_| claims.sample(challenger)).collect::<Result<_, AdviceError>>()?;
    claims.batches(schedule.in_class_order(points), challenger)?;
    let shape = WhirShape::new(config, schedule.protocol().num_openings());
    let mut transcript = WhirProverTranscript::new(challenger, shape);
    let pow_bits = config.starting_folding_pow_bits();
    let FirstFold { rounds: initial_rounds, pair } =
        transcript.delegate_initial_fold(|challenger| claims.fold(pow_bits, challenger));
    let mut folded = Folded { config, transcript, pair };
    let (mut rounds, mut last) = (Vec::new(), None);
    for index in 0..config.n_rounds() {
        let (round, next) = folded.round(index, last.as_ref().unwrap_or(tree));
        rounds.push(round);
        last = Some(next);
    }
    let (final_polynomial, final_openings, final_rounds) =
        folded.finish(last.as_ref().unwrap_or(tree));
    Ok(AdviceProof {
        initial_answers,
        initial_rounds,
        rounds,
        final_polynomial,
        final_openings,
        final_rounds,
    })
}

/// A folded vector with the weights under which it is summed.
struct Folded<'a> {
    config: &'a Config,
    transcript: WhirProverTranscript<'a, Challenger, F, K>,
    pair: Pair,
}

impl Folded<'_> {
    /// Commits to the vector, opens `tree` of the one before, and folds the next variables.
    fn round(&mut self, index: usize, tree: &CodeTree) -> (RoundProof, CodeTree) {
        let (config, transcript) = (self.config, &mut self.transcript);
        let folds = config.folding_schedule().get(index + 1).copied().unwrap_or_default();
        let parameters = config.round_parameters().get(index);
        let (samples, rate, domain, variables, pow_bits) =
            parameters.map_or((0, 0, 0, 0, 0), |p| {
                let (rate, domain) = (p.log_inv_rate, p.log_folded_domain_size);
                (p.ood_samples, rate, domain, p.num_variables, p.folding_pow_bits)
            });
        let next = CodeTree::of_values(&self.pair.to_first(), folds, rate);
        transcript.commitment(to_commitment(&next.root()));
        let (mut tables, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            let point = Point::expand_from_univariate(transcript.ood_point(), variables);
            let table = eq_packs(point.as_slice());
            let answer = self.pair.first_times(&table);
            transcript.ood_answer(answer);
            tables.push(table);
            answers.push(answer);
        }
        let _ = transcript.query_pow(index);
        let indices = transcript.query_indices(index);
        let openings = tree.open(&indices);
        let combination = transcript.round_batching();
        let mut powers = combination.powers().skip(1);
        for (table, power) in tables.iter().zip(&mut powers) {
            self.pair.add_to_second(table, power);
        }
        let generator = F::two_adic_generator(domain);
        let places: Vec<F> = indices.iter().map(|&i| generator.exp_u64(i as u64)).collect();
        let powers: Vec<K> = powers.take(places.len()).collect();
        self.pair.add_to_second(&power_packs(&places, &powers, variables), K::ONE);
        let pair = &mut self.pair;
        let (rounds, _) =
            transcript.delegate_round_fold(|challenger| play(pair, folds, pow_bits, challenger));
        (RoundProof { root: next.root(), answers, openings, rounds }, next)
    }

    /// Sends the last vector in the clear and opens `tree` of the one before.
    fn finish(mut self, tree: &CodeTree) -> (Vec<K>, Openings, Vec<[K; 2]>) {
        let final_polynomial = self.pair.to_first();
        self.transcript.final_poly(&final_polynomial);
        let last = self.config.n_rounds();
        let _ = self.transcript.query_pow(last);
        let indices = self.transcript.query_indices(last);
        let final_openings = tree.open(&indices);
        let (rounds, pow_bits) =
            (self.config.final_sumcheck_rounds(), self.config.final_folding_pow_bits());
        let pair = &mut self.pair;
        let played = self
            .transcript
            .delegate_final_fold(|challenger| play(pair, rounds, pow_bits, challenger));
        self.transcript.finish();
        let final_rounds = played.map(|(rounds, _)| rounds).unwrap_or_default();
        (final_polynomial, final_openings, final_rounds)
    }
}

#[cfg(test)]
mod tests {
    use p3_commit::MultilinearPcs;
    use p3_matrix::dense::RowMajorMatrix;
    use p3_sumcheck::PrescribedPointPcs;
    use p3_sumcheck::layout::{Layout as _, Table};

    use super::*;
    use crate::advice::scheme::Layout;
    use crate::advice::{AdviceProfile, commit};
    use crate::transcript::{Label, Transcript};

    fn start() -> Transcript {
        let mut transcript = Transcript::new();
        transcript.absorb(Label::Proof, b"opening");
        transcript
    }

    fn points(batches: &[(usize, usize)], transcript: &mut Transcript) -> Vec<Vec<K>> {
        batches.iter().map(|&(arity, _)| transcript.sample_point(arity)).collect()
    }

    /// The proof that p3's own prover makes, and the challenge that comes after it.
    fn of_p3(schedule: &Schedule, columns: &[Vec<F>]) -> (AdviceProof, K) {
        let mut transcript = start();
        let table = |arity: usize, own: &[usize]| {
            let values = own.iter().flat_map(|&column| columns[column].clone()).collect();
            Table::new(RowMajorMatrix::new(values, 1 << arity))
        };
        let classes = schedule.classes().iter();
        let tables = classes.map(|class| table(class.arity, &class.columns)).collect();
        let witness = Layout::new_witness(tables, schedule.shape().initial_rounds);
        let pcs = schedule.pcs();
        let (_, data) = pcs.commit(witness, transcript.challenger()).unwrap();
        let points = points(&schedule.batch_sizes().collect::<Vec<_>>(), &mut transcript);
        let points: Vec<Point<K>> =
            schedule.in_class_order(&points).cloned().map(Point::new).collect();
        let challenger = transcript.challenger();
        let proof = pcs.open_at(data, schedule.protocol(), &points, challenger).unwrap();
        (AdviceProof::of_p3(proof.whir), transcript.sample_k())
    }

    fn ours(schedule: &Schedule, columns: &[Vec<F>]) -> (AdviceProof, K) {
        let mut transcript = start();
        let committed = commit(schedule, columns.to_vec(), &mut transcript).unwrap();
        let points = points(&schedule.batch_sizes().collect::<Vec<_>>(), &mut transcript);
        (committed.open(&points, &mut transcript).unwrap(), transcript.sample_k())
    }

    /// Cells at the ends of the range among others.
    fn column(arity: u32, seed: u32) -> Vec<F> {
        let word = |cell: u32| (cell ^ seed).wrapping_mul(0x9e37_79b1).rotate_left(7);
        let cell = |cell: u32| match word(cell) % 5 {
            0 => F::NEG_ONE,
            1 => F::ZERO,
            _ => F::from_u32(word(cell) >> 1),
        };
        (0..1 << arity).map(cell).collect()
    }

    fn assert_equal(schedule: &Schedule, arities: &[u32]) {
        let columns = (1..).zip(arities).map(|(seed, &arity)| column(arity, seed));
        let columns: Vec<Vec<F>> = columns.collect();
        assert!(ours(schedule, &columns) == of_p3(schedule, &columns), "{arities:?}");
    }

    #[test]
    fn the_proof_is_that_of_p3() {
        // No round between; one and two of them; a stack that is not full; more rows of a column
        // than a tile, and columns with one row only.
        let shapes: [&[u32]; 9] = [
            &[6],
            &[10],
            &[7, 6, 6],
            &[6; 17],
            &[11, 9, 9, 6],
            &[8, 12, 10, 8, 12, 6, 6],
            &[14, 6, 12, 13],
            &[15, 15, 16, 6, 9, 9, 9],
            &[17, 16, 15, 15, 6, 7, 8],
        ];
        for arities in shapes {
            let of = |arity| (0..arities.len()).filter(move |&c| arities[c] == arity);
            let mut distinct = arities.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            // Every class at one point, and all but its first column at another.
            let mut batches: Vec<Vec<usize>> = distinct.iter().map(|&a| of(a).collect()).collect();
            let others = distinct.iter().map(|&a| of(a).skip(1).collect::<Vec<_>>());
            batches.extend(others.filter(|others| !others.is_empty()));
            let schedule = Schedule::new(AdviceProfile::default(), arities.to_vec(), batches);
            assert_equal(&schedule.unwrap(), arities);
        }
    }

    #[test]
    fn the_proof_of_weights_is_that_of_p3() {
        for log_weights in [6, 9, 12, 13, 15, 17] {
            assert_equal(&Schedule::for_weights(log_weights).unwrap(), &[log_weights]);
        }
    }
}
