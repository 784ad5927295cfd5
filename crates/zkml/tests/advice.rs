//! The opening of advice against a prover that cheats and against bytes that lie.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use assay_zkml::advice::{self, AdviceError, AdviceProfile, AdviceProof, Schedule, VerifiedAdvice};
use assay_zkml::field::{F, K};
use assay_zkml::multilinear::evaluate;
use assay_zkml::tensor_code::Digest;
use assay_zkml::transcript::{Label, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::words::Words;

/// A commitment and the honest opening of it.
struct Case {
    schedule: Schedule,
    root: Digest,
    points: Vec<Vec<K>>,
    values: Vec<Vec<K>>,
    proof: AdviceProof,
}

impl Case {
    /// Columns of random cells, all opened at suffixes of one point, and every third of a class
    /// at a second point.
    fn new(arities: &[u32], seed: u64) -> Self {
        let (schedule, batches) = scheduled(arities);
        let mut words = Words::new(seed);
        let columns: Vec<Vec<F>> = arities
            .iter()
            .map(|&arity| (0..1 << arity).map(|_| F::from_u64(words.next())).collect())
            .collect();
        let mut transcript = start();
        let committed = advice::commit(&schedule, columns.clone(), &mut transcript).expect("fits");
        let points = points(arities, &batches, &mut transcript);
        let value = |point: &[K], column: &usize| evaluate(&columns[*column], point).expect("fits");
        let values: Vec<Vec<K>> = batches
            .iter()
            .zip(&points)
            .map(|(batch, point)| batch.iter().map(|column| value(point, column)).collect())
            .collect();
        let root = committed.root();
        let proof = committed.open(&points, &mut transcript).expect("fits");
        Self { schedule, root, points, values, proof }
    }

    fn small() -> Self {
        Self::new(&[6, 8, 6, 7, 8], 3)
    }

    fn verify(&self, proof: &AdviceProof) -> Result<VerifiedAdvice, AdviceError> {
        self.verify_with(&self.root, &self.points, &self.values, proof)
    }

    fn verify_with(
        &self,
        root: &Digest,
        points: &[Vec<K>],
        values: &[Vec<K>],
        proof: &AdviceProof,
    ) -> Result<VerifiedAdvice, AdviceError> {
        let mut transcript = start();
        advice::observe_root(&self.schedule, root, &mut transcript);
        let drawn: usize = distinct(&self.points);
        transcript.sample_point(drawn);
        advice::verify(&self.schedule, root, points, values, proof, &mut transcript)
    }
}

fn start() -> Transcript {
    let mut transcript = Transcript::new();
    transcript.absorb(Label::Proof, b"test");
    transcript
}

/// One batch with all columns for each arity, and one with every third column.
fn scheduled(arities: &[u32]) -> (Schedule, Vec<Vec<usize>>) {
    let of = |arity: u32| (0..arities.len()).filter(move |&column| arities[column] == arity);
    let mut distinct = arities.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let all = distinct.iter().map(|&arity| of(arity).collect::<Vec<_>>());
    let thirds = distinct.iter().map(|&arity| of(arity).step_by(3).collect::<Vec<_>>());
    let batches: Vec<Vec<usize>> = all.chain(thirds).collect();
    let schedule = Schedule::new(AdviceProfile::default(), arities.to_vec(), batches.clone());
    (schedule.expect("a valid schedule"), batches)
}

/// Suffixes of one point for the first half of the batches, of another for the second.
fn points(arities: &[u32], batches: &[Vec<usize>], transcript: &mut Transcript) -> Vec<Vec<K>> {
    let longest = arities.iter().max().copied().expect("columns") as usize;
    let (rho, tau) = (transcript.sample_point(longest), transcript.sample_point(longest));
    let suffix = |(index, batch): (usize, &Vec<usize>)| {
        let whole = if index < batches.len() / 2 { &rho } else { &tau };
        whole[longest - arities[batch[0]] as usize..].to_vec()
    };
    batches.iter().enumerate().map(suffix).collect()
}

/// Coordinates that [`points`] draws.
fn distinct(points: &[Vec<K>]) -> usize {
    2 * points.iter().map(Vec::len).max().unwrap_or(0)
}

#[test]
fn honest_openings_of_mixed_arities_are_accepted() {
    let mut words = Words::new(9);
    let mut shapes: Vec<Vec<u32>> = vec![vec![6], vec![6, 7], vec![12], vec![9; 5]];
    shapes.extend(
        (10..=22)
            .step_by(4)
            .map(|count| (0..count).map(|_| 6 + words.below(7) as u32).collect::<Vec<u32>>()),
    );
    for arities in shapes {
        let case = Case::new(&arities, arities.len() as u64);
        let verified = case.verify(&case.proof).expect("an honest opening");
        assert_eq!(verified.root(), case.root);
        let bytes = case.proof.encode();
        assert!(bytes.len() <= case.schedule.max_proof_bytes());
        assert_eq!(AdviceProof::decode(&case.schedule, &bytes), Ok(case.proof));
    }
}

#[test]
fn prover_and_verifier_leave_the_transcript_in_one_state() {
    let arities = [6, 8, 8];
    let (schedule, batches) = scheduled(&arities);
    let columns: Vec<Vec<F>> = arities.iter().map(|&n| vec![F::from_u32(n); 1 << n]).collect();
    let mut prover = start();
    let committed = advice::commit(&schedule, columns.clone(), &mut prover).expect("fits");
    let root = committed.root();
    let at = points(&arities, &batches, &mut prover);
    let proof = committed.open(&at, &mut prover).expect("fits");
    let values: Vec<Vec<K>> = batches
        .iter()
        .map(|batch| batch.iter().map(|&column| K::from_u32(arities[column])).collect())
        .collect();

    let mut verifier = start();
    advice::observe_root(&schedule, &root, &mut verifier);
    assert_eq!(points(&arities, &batches, &mut verifier), at);
    advice::verify(&schedule, &root, &at, &values, &proof, &mut verifier).expect("honest");
    assert_eq!(prover.sample_k(), verifier.sample_k());
}

#[test]
fn changed_values_points_and_roots_are_refused() {
    let case = Case::small();
    for batch in 0..case.values.len() {
        for index in 0..case.values[batch].len() {
            let mut values = case.values.clone();
            values[batch][index] += K::ONE;
            let result = case.verify_with(&case.root, &case.points, &values, &case.proof);
            assert!(matches!(result, Err(AdviceError::Whir(_))), "{result:?}");
        }
        for index in 0..case.points[batch].len() {
            let mut points = case.points.clone();
            points[batch][index] += K::ONE;
            let result = case.verify_with(&case.root, &points, &case.values, &case.proof);
            assert!(matches!(result, Err(AdviceError::Whir(_))), "{result:?}");
        }
    }
    let mut bytes = *case.root.as_bytes();
    bytes[7] ^= 1;
    let result = case.verify_with(&Digest::from(bytes), &case.points, &case.values, &case.proof);
    assert!(matches!(result, Err(AdviceError::Whir(_))), "{result:?}");
    // Values that agree as lists but stand for other columns.
    let mut values = case.values.clone();
    values.swap(0, 1);
    values[0].truncate(case.values[0].len());
    assert!(case.verify_with(&case.root, &case.points, &values, &case.proof).is_err());
}
