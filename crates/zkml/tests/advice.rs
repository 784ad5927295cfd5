//! The opening of advice against a prover that cheats and against bytes that lie.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use assay_zkml::advice::{
    self, AdviceError, AdviceProfile, AdviceProof, DecodeError, Openings, Rows, Schedule,
    ScheduleError,
};
use assay_zkml::field::{F, K, MODULUS};
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
        let committed =
            advice::commit(&schedule, columns.iter().collect(), &mut transcript).expect("fits");
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

    /// One column of 64 cells: no round between, every row of the tree opened.
    fn tiny() -> Self {
        Self::new(&[6], 1)
    }

    /// Two rounds of queries, the first with repeated ones.
    fn medium() -> Self {
        Self::new(&[10, 9, 8], 2)
    }

    fn verify_bytes(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let proof = AdviceProof::decode(&self.schedule, bytes).map_err(Refusal::Decode)?;
        self.verify(&proof).map_err(|_| Refusal::Advice)
    }

    /// Returns why a changed proof is refused.
    fn tampered(&self, change: impl FnOnce(&mut AdviceProof)) -> AdviceError {
        let mut proof = self.proof.clone();
        change(&mut proof);
        assert_ne!(proof, self.proof, "the change changed nothing");
        self.verify(&proof).expect_err("a tampered proof was accepted")
    }

    fn verify(&self, proof: &AdviceProof) -> Result<(), AdviceError> {
        self.verify_with(&self.root, &self.points, &self.values, proof)
    }

    fn verify_with(
        &self,
        root: &Digest,
        points: &[Vec<K>],
        values: &[Vec<K>],
        proof: &AdviceProof,
    ) -> Result<(), AdviceError> {
        let mut transcript = start();
        advice::observe_root(root, &mut transcript);
        let drawn: usize = distinct(&self.points);
        transcript.sample_point(drawn);
        advice::verify(&self.schedule, root, points, values, proof, &mut transcript)
    }
}

/// What a cheating prover does to a proof.
type Change = fn(&mut AdviceProof);

/// Where an encoded proof is refused.
#[derive(Debug)]
enum Refusal {
    Decode(DecodeError),
    Advice,
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
        case.verify(&case.proof).expect("an honest opening");
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
    let committed = advice::commit(&schedule, columns.iter().collect(), &mut prover).expect("fits");
    let root = committed.root();
    let at = points(&arities, &batches, &mut prover);
    let proof = committed.open(&at, &mut prover).expect("fits");
    let values: Vec<Vec<K>> = batches
        .iter()
        .map(|batch| batch.iter().map(|&column| K::from_u32(arities[column])).collect())
        .collect();

    let mut verifier = start();
    advice::observe_root(&root, &mut verifier);
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

#[test]
fn every_byte_counts() {
    let case = Case::tiny();
    let bytes = case.proof.encode();
    assert!(case.verify_bytes(&bytes).is_ok());
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1 << (position % 8);
        assert!(case.verify_bytes(&changed).is_err(), "byte {position}");
    }
    // Where there are rounds between: some bytes of every part.
    for (case, step) in [(Case::medium(), 501), (Case::new(&[16, 16, 15], 4), 4001)] {
        let bytes = case.proof.encode();
        for position in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << (position % 7);
            assert!(case.verify_bytes(&changed).is_err(), "byte {position}");
        }
    }
}

#[test]
fn bytes_cut_off_or_added_are_refused() {
    let case = Case::tiny();
    let bytes = case.proof.encode();
    for length in 0..bytes.len() {
        match case.verify_bytes(&bytes[..length]) {
            Err(Refusal::Decode(DecodeError::Truncated { needed, left, .. })) => {
                assert!(left < needed, "{length} bytes");
            }
            other => panic!("{length} bytes: {other:?}"),
        }
    }
    // No sibling is sent where all leaves are opened, so this proof has its greatest size.
    assert_eq!(bytes.len(), case.schedule.max_proof_bytes());
    let longer = [bytes.as_slice(), &[0]].concat();
    let (max, got) = (bytes.len(), bytes.len() + 1);
    let error = AdviceProof::decode(&case.schedule, &longer);
    assert_eq!(error, Err(DecodeError::TooLong { max, got }));

    let case = Case::medium();
    let bytes = case.proof.encode();
    let longer = [bytes.as_slice(), &[0]].concat();
    let error = AdviceProof::decode(&case.schedule, &longer);
    assert_eq!(error, Err(DecodeError::Trailing { expected: bytes.len(), extra: 1 }));
}

/// No byte more than a proof of which every row needs its own siblings, as far up as there are
/// enough nodes.
#[test]
fn the_largest_proof_is_computed_to_the_byte() {
    // `lg` of the leaves of each tree, by the rates and folds of section 7.
    let cases = [
        (Case::tiny(), &[4][..]),
        (Case::medium(), &[10, 10]),
        (Case::new(&[16, 16, 15], 4), &[14, 14, 14]),
    ];
    for (case, depths) in cases {
        let rounds = case.proof.rounds.iter().map(|round| &round.openings);
        let trees: Vec<&Openings> = rounds.chain([&case.proof.final_openings]).collect();
        assert_eq!(trees.len(), depths.len());
        let sent: usize = trees.iter().map(|tree| tree.siblings.len()).sum();
        let most = trees.iter().zip(depths).map(|(tree, &depth)| most_siblings(tree, depth));
        let most = case.proof.encode().len() - 32 * sent + 32 * most.sum::<usize>();
        assert_eq!(case.schedule.max_proof_bytes(), most, "{depths:?}");
    }
}

/// `1 + 2 + 4 + ..` as long as there are fewer pairs than rows, then one for each row.
fn most_siblings(tree: &Openings, depth: u32) -> usize {
    let rows = match &tree.rows {
        Rows::Base(rows) => rows.len(),
        Rows::Extension(rows) => rows.len(),
    };
    let full = rows.ilog2() + 1;
    if rows == 1 << depth { 0 } else { (1 << full) - 1 + rows * (depth - full) as usize }
}

#[test]
fn lengths_that_lie_are_refused_before_they_are_believed() {
    let case = Case::medium();
    let bytes = case.proof.encode();
    // The length stands before the siblings of the first tree, which all differ from everything.
    let first = case.proof.rounds[0].openings.siblings[0];
    let at = bytes.windows(32).position(|window| window == first.as_bytes()).expect("it is there");
    let count = case.proof.rounds[0].openings.siblings.len();
    assert_eq!(bytes[at - 4..at], u32::try_from(count).unwrap().to_le_bytes());
    let with = |length: u32| {
        let mut changed = bytes.clone();
        changed[at - 4..at].copy_from_slice(&length.to_le_bytes());
        AdviceProof::decode(&case.schedule, &changed)
    };
    for huge in [u32::MAX, 1 << 31, 1 << 20] {
        let error = with(huge).expect_err("a huge length");
        let got = huge as usize;
        assert!(matches!(error, DecodeError::TooMany { part: "siblings", got: g, .. } if g == got));
    }
    for count in [count - 1, count + 1] {
        let mut changed = bytes.clone();
        changed[at - 4..at].copy_from_slice(&(count as u32).to_le_bytes());
        assert!(case.verify_bytes(&changed).is_err());
    }
}

#[test]
fn words_from_the_modulus_on_are_refused() {
    let case = Case::tiny();
    let mut bytes = case.proof.encode();
    bytes[4..8].copy_from_slice(&MODULUS.to_le_bytes());
    let error = AdviceProof::decode(&case.schedule, &bytes);
    let Err(DecodeError::Element { part, index, source }) = error else { panic!("{error:?}") };
    assert_eq!((part, index, source.got), ("answers outside the domain", 0, MODULUS));
}

#[test]
fn every_field_is_checked() {
    let case = Case::medium();
    let one = K::ONE;
    let changes: [(&str, Change); 9] = [
        ("answer", |p| p.initial_answers[0] += K::ONE),
        ("first fold", |p| p.initial_rounds[1][0] += K::ONE),
        ("leading coefficient", |p| p.initial_rounds[2][1] += K::ONE),
        ("root", |p| p.rounds[0].root = Digest::from([7; 32])),
        ("answer of a round", |p| p.rounds[0].answers[0] += K::ONE),
        ("fold of a round", |p| p.rounds[0].rounds[0][1] += K::ONE),
        ("last polynomial", |p| p.final_polynomial[5] += K::ONE),
        ("last fold", |p| p.final_rounds[3][0] += K::ONE),
        ("sibling", |p| p.final_openings.siblings[2] = Digest::from([7; 32])),
    ];
    for (what, change) in changes {
        let error = case.tampered(change);
        assert!(matches!(error, AdviceError::Whir(_)), "{what}: {error}");
    }
    let error = case.tampered(|proof| match &mut proof.rounds[0].openings.rows {
        Rows::Base(rows) => rows[3][1] += F::ONE,
        Rows::Extension(rows) => rows[3][1] += one,
    });
    assert!(matches!(error, AdviceError::Whir(_)), "{error}");
}

/// The one way in which a row could be free: a query drawn twice.
#[test]
fn repeated_queries_open_one_row() {
    let case = Case::medium();
    let Rows::Base(rows) = &case.proof.rounds[0].openings.rows else { panic!("the first tree") };
    let repeated = (0..rows.len()).find(|&at| rows[..at].contains(&rows[at]));
    let at = repeated.expect("115 queries to 1024 leaves repeat some");
    let error = case.tampered(|proof| {
        let Rows::Base(rows) = &mut proof.rounds[0].openings.rows else { panic!("as above") };
        rows[at][0] += F::ONE;
    });
    assert!(error.to_string().contains("Merkle"), "{error}");
}

#[test]
fn wrong_lengths_are_refused_before_p3_sees_them() {
    let case = Case::medium();
    let shorter: [(&str, Change); 12] = [
        ("answers outside the domain 0", |p| p.initial_answers.clear()),
        ("sumcheck rounds of fold 0", |p| _ = p.initial_rounds.pop()),
        ("WHIR rounds 0", |p| p.rounds.clear()),
        ("answers outside the domain 1", |p| p.rounds[0].answers.push(K::ONE)),
        ("sumcheck rounds of fold 1", |p| p.rounds[0].rounds.push([K::ONE; 2])),
        ("values of the last polynomial 1", |p| _ = p.final_polynomial.pop()),
        ("sumcheck rounds of fold 2", |p| p.final_rounds.clear()),
        ("opened rows of tree 0", |p| shorten(&mut p.rounds[0].openings)),
        ("opened rows of tree 1", |p| shorten(&mut p.final_openings)),
        ("length of a row of tree 0", |p| ragged(&mut p.rounds[0].openings)),
        ("base-field rows of tree 0", |p| p.rounds[0].openings = p.final_openings.clone()),
        ("Merkle siblings of tree 1", |p| {
            p.final_openings.siblings = vec![Digest::from([1; 32]); 1 << 12];
        }),
    ];
    for (what, change) in shorter {
        let error = case.tampered(change);
        assert!(matches!(error, AdviceError::Length { .. }), "{what}: {error}");
        assert!(error.to_string().starts_with(what), "{what}: {error}");
    }
    for change in [(|s| _ = s.pop()) as fn(&mut Vec<Digest>), |s| s.push(Digest::from([1; 32]))] {
        let error = case.tampered(|proof| change(&mut proof.final_openings.siblings));
        assert!(matches!(error, AdviceError::Whir(_)), "{error}");
    }
}

fn shorten(openings: &mut Openings) {
    match &mut openings.rows {
        Rows::Base(rows) => _ = rows.pop(),
        Rows::Extension(rows) => _ = rows.pop(),
    }
}

fn ragged(openings: &mut Openings) {
    match &mut openings.rows {
        Rows::Base(rows) => rows[1].push(F::ONE),
        Rows::Extension(rows) => rows[1].push(K::ONE),
    }
}

#[test]
fn points_and_values_of_other_lengths_are_refused() {
    let case = Case::small();
    let changes: [fn(&mut Vec<Vec<K>>); 5] = [
        |lists| _ = lists.pop(),
        |lists| lists.push(vec![K::ONE; 6]),
        |lists| _ = lists[1].pop(),
        |lists| lists[2].push(K::ONE),
        Vec::clear,
    ];
    for change in changes {
        let (mut points, mut values) = (case.points.clone(), case.values.clone());
        change(&mut points);
        let result = case.verify_with(&case.root, &points, &case.values, &case.proof);
        assert!(matches!(result, Err(AdviceError::Length { .. })), "{result:?}");
        change(&mut values);
        let result = case.verify_with(&case.root, &case.points, &values, &case.proof);
        assert!(matches!(result, Err(AdviceError::Length { .. })), "{result:?}");

        let columns = vec![vec![F::ONE; 64]];
        let schedule = Schedule::new(AdviceProfile::default(), vec![6], vec![vec![0]]);
        let schedule = schedule.expect("valid");
        let committed = advice::commit(&schedule, columns, &mut start()).expect("fits");
        let opened = committed.open(&points, &mut start());
        assert!(matches!(opened, Err(AdviceError::Length { .. })), "{opened:?}");
    }
}

#[test]
fn a_proof_of_another_schedule_is_refused() {
    let (small, medium) = (Case::small(), Case::medium());
    let result = small.verify(&medium.proof);
    assert!(matches!(result, Err(AdviceError::Length { .. })), "{result:?}");
    // The same sizes, other columns in the batches.
    let arities = [6, 8, 6, 7, 8];
    let batches = vec![vec![2], vec![0, 2], vec![3], vec![3], vec![1, 4], vec![1]];
    let other = Schedule::new(AdviceProfile::default(), arities.to_vec(), batches);
    let other = other.expect("valid");
    let reordered = [3, 0, 1, 4, 2, 5].map(|batch| small.values[batch].clone());
    let points = [3, 0, 1, 4, 2, 5].map(|batch| small.points[batch].clone());
    let mut transcript = start();
    advice::observe_root(&small.root, &mut transcript);
    transcript.sample_point(distinct(&small.points));
    let proof = &small.proof;
    let result = advice::verify(&other, &small.root, &points, &reordered, proof, &mut transcript);
    assert!(matches!(result, Err(AdviceError::Whir(_))), "{result:?}");
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let (schedule, _) = scheduled(&[6, 7]);
    let columns = |sizes: &[usize]| sizes.iter().map(|&n| vec![F::ONE; n]).collect::<Vec<_>>();
    for sizes in [&[64][..], &[64, 127], &[128, 64], &[64, 128, 64], &[]] {
        let result = advice::commit(&schedule, columns(sizes), &mut start());
        assert!(matches!(result, Err(AdviceError::Length { .. })), "{sizes:?}");
    }
}

#[test]
fn schedules_that_the_protocol_does_not_allow_are_refused() {
    let new = |arities: &[u32], batches: &[&[usize]]| {
        let batches = batches.iter().map(|batch| batch.to_vec()).collect();
        Schedule::new(AdviceProfile::default(), arities.to_vec(), batches)
            .expect_err("an invalid schedule")
            .to_string()
    };
    assert_eq!(new(&[], &[&[0]]), "advice schedule has no columns");
    assert_eq!(new(&[6], &[]), "advice schedule has no batches");
    assert_eq!(new(&[6], &[&[0], &[]]), "advice schedule has no columns in a batch");
    assert_eq!(new(&[5], &[&[0]]), "advice column 0: arity must be between 6 and 28, got 5");
    assert_eq!(new(&[6, 29], &[&[0]]), "advice column 1: arity must be between 6 and 28, got 29");
    let cells = "advice has 268435520 cells, at most 268435456 are allowed";
    assert_eq!(new(&[28, 6], &[&[0]]), cells);
    let columns = "advice schedule has 32769 columns, at most 32768 are allowed";
    assert_eq!(new(&[6; 32769], &[&[0]]), columns);
    let values = "advice schedule has 65537 opened values, at most 65536 are allowed";
    assert_eq!(new(&[6], &[&[0][..]; 65537]), values);
    assert_eq!(new(&[6], &[&[1]]), "opening batch 0 names column 1 of 1");
    assert_eq!(new(&[6, 6], &[&[1], &[1, 1]]), "opening batch 1 names column 1 twice");
    let mixed = "opening batch 0: column 1 has arity 7, the first has 6";
    assert_eq!(new(&[6, 7], &[&[0, 1]]), mixed);
    let error = Schedule::new(AdviceProfile::default(), vec![64], vec![vec![0]]);
    assert!(matches!(error, Err(ScheduleError::Arity { got: 64, .. })));
}

#[test]
fn as_many_columns_as_the_protocol_allows_are_accepted() {
    let schedule = Schedule::new(AdviceProfile::default(), vec![6; 32768], vec![vec![0]]);
    assert_eq!(schedule.expect("at the cap").columns(), 32768);
}

#[test]
fn a_schedule_prints_what_it_is_of() {
    let (schedule, _) = scheduled(&[6, 7]);
    let printed = "Schedule { arities: [6, 7], batches: 4, .. }";
    assert_eq!(format!("{schedule:?}"), printed);
}

/// Fixed by this implementation: another layout of the columns, another rate, fold or transcript, or
/// another encoding shows here.
#[test]
fn golden_root_and_proof() {
    let case = Case::new(&[8, 11, 8, 9, 10], 7);
    let digest = blake3::hash(&case.proof.encode());
    assert_eq!((case.root.to_string().as_str(), digest.to_string().as_str()), GOLDEN);
}

const GOLDEN: (&str, &str) = (
    "6d7268611acb99bb1098c51badabb776c53eef5b60b2b19b68a22543a45e6553",
    "2828917a28b1a8092e291245c7e3780e6c2c48221eed2875cbaa9a35e7aa2db7",
);
