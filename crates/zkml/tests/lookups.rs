//! The lookups from outside: honest proofs, forged counts and tuples, changed messages, and bytes
//! that lie (section 12).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use assay_zkml::field::{F, K, K_BYTES, MODULUS, NonCanonical};
use assay_zkml::lookups::{
    CountError, DecodeError, Layout, LeafValues, Lookup, LookupError, LookupProof, ProveError,
    extend_point, leaf_values, multiplicities, prove, verify,
};
use assay_zkml::program::Table;
use assay_zkml::transcript::{Label, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::words::Words;

/// A layout, the columns of its lookups and the multiplicities of its tables.
#[derive(Clone)]
struct Case {
    layout: Layout,
    columns: Vec<Vec<Vec<F>>>,
    counts: Vec<Vec<F>>,
}

impl Case {
    /// Columns of random rows, with their honest counts.
    fn new(tables: Vec<Table>, lookups: &[(usize, usize)]) -> Self {
        let mut words = Words::new(3);
        let lookups: Vec<Lookup> =
            lookups.iter().map(|&(table, arity)| Lookup { table, arity }).collect();
        let column = |lookup: &Lookup| {
            let rows = tables[lookup.table].columns();
            let picks: Vec<usize> =
                (0..1 << lookup.arity).map(|_| words.below(rows[0].len())).collect();
            rows.iter().map(|rows| picks.iter().map(|&i| rows[i]).collect()).collect()
        };
        let columns = lookups.iter().map(column).collect();
        let layout = Layout::new(tables, lookups).expect("a valid layout");
        let mut case = Self { layout, columns, counts: Vec::new() };
        case.recount().expect("honest tuples");
        case
    }

    /// Every kind of table; slots of several sizes; a gap.
    fn mixed() -> Self {
        Self::new(
            vec![
                Table::Range { bits: 8 },
                Table::Range { bits: 4 },
                Table::Max2 { kmax: 31 },
                Table::Clamp { bq: 40, lo: -7, hi: 9 },
                Table::Function { bq: 40, values: (-40..=40).map(|q| q * q - 5).collect() },
            ],
            &[(0, 9), (1, 6), (2, 8), (3, 9), (4, 7), (3, 2)],
        )
    }

    fn tuples(&self) -> Vec<Vec<&[F]>> {
        self.columns.iter().map(|columns| columns.iter().map(Vec::as_slice).collect()).collect()
    }

    fn recount(&mut self) -> Result<(), CountError> {
        self.counts = multiplicities(&self.layout, &self.tuples())?;
        Ok(())
    }

    /// Proves as it stands and gives the proof with the values of its columns.
    fn prove(&self) -> (LookupProof, LeafValues) {
        let mut transcript = start();
        let proved = prove(&self.layout, &self.tuples(), &self.counts, &mut transcript)
            .expect("the shape fits");
        let values = leaf_values(&self.layout, &self.tuples(), &self.counts, &proved.point)
            .expect("the shape fits");
        (proved.proof, values)
    }

    fn verify(&self, proof: &LookupProof, values: &LeafValues) -> Result<(), LookupError> {
        let claim = verify(&self.layout, proof, &mut start())?;
        claim.check_leaves(&self.layout, values)
    }

    fn run(&self) -> Result<(), LookupError> {
        let (proof, values) = self.prove();
        self.verify(&proof, &values)
    }

    /// Asserts that neither these columns nor their values under the honest proof are accepted.
    fn assert_refused(&self, honest: &Self, what: &str) {
        let error = self.run().expect_err(what);
        assert!(matches!(error, LookupError::RootNumerator { .. }), "{what}: {error}");
        let (proof, _) = honest.prove();
        let claim = verify(&honest.layout, &proof, &mut start()).expect("an honest tree");
        let values = leaf_values(&self.layout, &self.tuples(), &self.counts, claim.point())
            .expect("the shape fits");
        let error = claim.check_leaves(&self.layout, &values).expect_err(what);
        let leaf = matches!(
            error,
            LookupError::LeafNumerator { .. } | LookupError::LeafDenominator { .. }
        );
        assert!(leaf, "{what}: {error}");
    }
}

fn start() -> Transcript {
    let mut transcript = Transcript::new();
    transcript.absorb(Label::Proof, b"the commitment to all columns");
    transcript
}

fn f(value: i32) -> F {
    F::from_i32(value)
}

#[test]
fn honest_lookups_of_every_layout_are_accepted() {
    let range = |bits| Table::Range { bits };
    let cases = [
        Case::mixed(),
        // One slot only: a table that nothing uses.
        Case::new(vec![range(3)], &[]),
        // No gap.
        Case::new(vec![range(6)], &[(0, 6)]),
        Case::new(vec![range(7), range(2), range(3)], &[(0, 8)]),
        // Slots smaller than a table, and of one leaf.
        Case::new(vec![range(6)], &[(0, 3), (0, 0), (0, 1)]),
        // More leaves than a block of the prover holds.
        Case::new(vec![range(10), Table::Max2 { kmax: 9 }], &[(0, 12), (1, 11), (0, 5)]),
        Case::new(vec![range(12)], &[(0, 12)]),
    ];
    for case in cases {
        let (proof, values) = case.prove();
        let bytes = proof.encode();
        assert_eq!(bytes.len(), LookupProof::encoded_bytes(case.layout.log_leaves()));
        let decoded = LookupProof::decode(case.layout.log_leaves(), &bytes).expect("its encoding");
        assert_eq!(decoded, proof);
        case.verify(&decoded, &values).expect("an honest proof");
    }
}

#[test]
fn prover_and_verifier_leave_the_transcript_in_one_state() {
    let case = Case::mixed();
    let (mut prover, mut verifier) = (start(), start());
    let proved = prove(&case.layout, &case.tuples(), &case.counts, &mut prover).expect("it fits");
    let claim = verify(&case.layout, &proved.proof, &mut verifier).expect("an honest proof");
    assert_eq!(claim.point(), proved.point);
    let arity = proved.point.len() + 3;
    let rho = extend_point(&proved.point, arity, &mut prover);
    assert_eq!((rho.len(), &rho[3..]), (arity, proved.point.as_slice()));
    assert_eq!(rho, extend_point(claim.point(), arity, &mut verifier));
    assert_eq!(extend_point(&rho, 0, &mut prover), rho);
}

/// Pitfall 1.
#[test]
fn forged_multiplicities_are_refused() {
    let honest = Case::mixed();
    for table in 0..honest.counts.len() {
        let used = honest.counts[table].iter().position(|&n| n != F::ZERO).expect("it is used");
        let forge = |change: &dyn Fn(&mut Vec<Vec<F>>), what: &str| {
            let mut forged = honest.clone();
            change(&mut forged.counts);
            assert_ne!(forged.counts, honest.counts, "{what}: nothing changed");
            forged.assert_refused(&honest, &format!("table {table}: {what}"));
        };
        forge(&|counts| counts[table][used] += F::ONE, "one more");
        forge(&|counts| counts[table][used] -= F::ONE, "one fewer");
        forge(&|counts| counts[table].fill(F::ZERO), "none at all");
        let other = (table + 1) % honest.counts.len();
        let moved = |counts: &mut Vec<Vec<F>>, table: usize, row: usize| {
            counts[table][used] -= F::ONE;
            counts[table][row] += F::ONE;
        };
        forge(&|counts| moved(counts, table, used + 1), "moved to another row");
        forge(
            &|counts| {
                counts[table][used] -= F::ONE;
                counts[other][used] += F::ONE;
            },
            "moved to another table",
        );
    }
}

/// Repeats of one row are one row: only the sum of their counts is fixed (section 1).
#[test]
fn a_count_may_be_split_among_the_repeats_of_a_row() {
    let mut case = Case::mixed();
    assert!(case.counts[1][16..].iter().all(|&count| count == F::ZERO), "the first takes all");
    case.counts[1][0] -= f(3);
    case.counts[1][16] += f(1);
    case.counts[1][63] += f(2);
    assert!(case.run().is_ok());
}

/// Replaces cell 5 of a lookup. The counts lose the row that was there.
fn with_cell(honest: &Case, lookup: usize, tuple: &[i32]) -> Case {
    let mut forged = honest.clone();
    let table = honest.layout.lookups()[lookup].table;
    let old: Vec<F> = honest.columns[lookup].iter().map(|column| column[5]).collect();
    let row = honest.layout.tables()[table].position(&old).expect("an honest tuple");
    forged.counts[table][row] -= F::ONE;
    for (column, &value) in forged.columns[lookup].iter_mut().zip(tuple) {
        column[5] = f(value);
    }
    let counted = forged.clone().recount();
    let Err(CountError::NotInTable { lookup: l, cell, table: t, tuple: got }) = counted else {
        panic!("{tuple:?} was found in table {table}");
    };
    assert_eq!((l, cell, t, got.len()), (lookup, 5, table, tuple.len()));
    forged
}

/// Pitfalls 3 and 12: tuples that no table has, with every place for the missing count.
#[test]
fn tuples_outside_their_table_are_refused() {
    let honest = Case::mixed();
    let cases: [(usize, &[i32], &str); 12] = [
        (0, &[256], "rem = 2^s"),
        (0, &[-1], "rem = -1"),
        (1, &[16], "first value after RANGE_4"),
        (1, &[63], "last row of RANGE_6"),
        (2, &[5, 6], "y greater than both operands"),
        (2, &[0, -3], "y the smaller operand"),
        (2, &[-3, 0], "y the smaller operand, on the other side"),
        (2, &[0, 32], "a difference above kmax"),
        (3, &[3, 4], "a clamp row with another y"),
        (3, &[-20, -8], "a clamp row beyond its end"),
        (3, &[41, 9], "q beyond Bq"),
        (4, &[3, 5], "a function row with another y"),
    ];
    for (lookup, tuple, what) in cases {
        let forged = with_cell(&honest, lookup, tuple);
        forged.assert_refused(&honest, what);
        let table = honest.layout.lookups()[lookup].table;
        for row in [0, 1, 5, 63] {
            let mut moved = forged.clone();
            moved.counts[table][row] += F::ONE;
            moved.assert_refused(&honest, what);
        }
    }
}

/// Pitfall 11: the row exists and is counted, in a table with another tag.
#[test]
fn a_row_of_one_table_is_refused_under_the_tag_of_another() {
    let honest = Case::mixed();
    let cases: [(usize, &[i32], usize, &str); 4] = [
        (1, &[200], 0, "RANGE_8 for RANGE_4"),
        (3, &[0, 25], 2, "MAX2 for a clamp"),
        (4, &[0, 0], 3, "a clamp for a function"),
        (3, &[7, 44], 4, "a function for a clamp"),
    ];
    for (lookup, tuple, other, what) in cases {
        let mut forged = with_cell(&honest, lookup, tuple);
        let tuple: Vec<F> = tuple.iter().map(|&value| f(value)).collect();
        let row = honest.layout.tables()[other].position(&tuple).expect("a row of the other");
        forged.counts[other][row] += F::ONE;
        forged.assert_refused(&honest, what);
    }
}

/// Pitfall 5: each element of each message.
#[test]
fn changed_messages_are_refused_at_their_level() {
    let case = Case::mixed();
    let (honest, values) = case.prove();
    let refuse = |change: &dyn Fn(&mut LookupProof)| {
        let mut proof = honest.clone();
        change(&mut proof);
        assert_ne!(proof, honest);
        case.verify(&proof, &values).expect_err("a changed message")
    };
    let error = refuse(&|proof| proof.root_denominator += K::ONE);
    assert!(matches!(error, LookupError::RootDenominator { .. }), "{error}");
    for level in 0..honest.levels.len() {
        for (round, element) in (0..level).flat_map(|round| (0..3).map(move |e| (round, e))) {
            let error = refuse(&|proof| proof.levels[level].rounds[round][element] += K::ONE);
            let at_level = matches!(error, LookupError::Level { level: at, .. } if at == level);
            assert!(at_level, "level {level} round {round} element {element}: {error}");
        }
        let changes: [fn(&mut LookupProof, usize); 6] = [
            |proof, level| proof.levels[level].children[0] += K::ONE,
            |proof, level| proof.levels[level].children[1] += K::ONE,
            |proof, level| proof.levels[level].children[2] += K::ONE,
            |proof, level| proof.levels[level].children[3] += K::ONE,
            |proof, level| proof.levels[level].children.swap(0, 1),
            |proof, level| proof.levels[level].children.swap(2, 3),
        ];
        for change in changes {
            let error = refuse(&|proof| change(proof, level));
            let expected = match error {
                LookupError::RootNumerator { .. } => level == 0,
                LookupError::Level { level: at, .. } => at == level,
                _ => false,
            };
            assert!(expected, "children of level {level}: {error}");
        }
    }
}

/// Both children swapped pass the sum of their level; what they claim of the next does not.
#[test]
fn swapped_children_are_refused_one_level_on() {
    let case = Case::mixed();
    let (honest, values) = case.prove();
    let last = honest.levels.len() - 1;
    for level in 0..=last {
        let mut proof = honest.clone();
        proof.levels[level].children.swap(0, 1);
        proof.levels[level].children.swap(2, 3);
        let error = case.verify(&proof, &values).expect_err("swapped children");
        match error {
            LookupError::Level { level: at, .. } => assert_eq!(at, level + 1),
            LookupError::LeafNumerator { .. } => assert_eq!(level, last),
            _ => panic!("level {level}: {error}"),
        }
    }
}

#[test]
fn a_root_denominator_of_zero_is_refused() {
    let case = Case::mixed();
    let (mut proof, values) = case.prove();
    proof.root_denominator = K::ZERO;
    for level in &mut proof.levels {
        level.rounds.fill([K::ZERO; 3]);
        level.children = [K::ZERO; 4];
    }
    assert_eq!(case.verify(&proof, &values), Err(LookupError::ZeroRoot { got: K::ZERO }));
}

#[test]
fn changed_leaf_values_and_challenges_are_refused() {
    let case = Case::mixed();
    let (proof, honest) = case.prove();
    for lookup in 0..honest.lookups.len() {
        for value in 0..honest.lookups[lookup].len() {
            let mut values = honest.clone();
            values.lookups[lookup][value] += K::ONE;
            let error = case.verify(&proof, &values).expect_err("a changed value");
            assert!(matches!(error, LookupError::LeafDenominator { .. }), "{error}");
        }
    }
    for table in 0..honest.multiplicities.len() {
        let mut values = honest.clone();
        values.multiplicities[table] += K::ONE;
        let error = case.verify(&proof, &values).expect_err("a changed value");
        assert!(matches!(error, LookupError::LeafNumerator { .. }), "{error}");
    }
    let mut other = Transcript::new();
    other.absorb(Label::Proof, b"the commitment to other columns");
    let error = verify(&case.layout, &proof, &mut other).expect_err("another commitment");
    assert!(matches!(error, LookupError::Level { level: 1, .. }), "{error}");
}

#[test]
fn bytes_that_are_not_the_one_encoding_are_refused() {
    let case = Case::mixed();
    let levels = case.layout.log_leaves();
    let bytes = case.prove().0.encode();
    let expected = bytes.len();
    let decode = |bytes: &[u8]| LookupProof::decode(levels, bytes).expect_err("not an encoding");
    for got in [0, 1, K_BYTES, expected - K_BYTES, expected - 1] {
        assert_eq!(decode(&bytes[..got]), DecodeError::Length { expected, got });
    }
    for extra in [1, 4, K_BYTES, 10 * expected] {
        let got = expected + extra;
        let long = [bytes.as_slice(), &vec![0; extra]].concat();
        assert_eq!(decode(&long), DecodeError::Length { expected, got });
    }
    assert!(LookupProof::decode(levels + 1, &bytes).is_err());
    for (word, index) in (0..expected / 4).map(|word| (word, word / 5)) {
        let mut changed = bytes.clone();
        changed[4 * word..4 * word + 4].copy_from_slice(&MODULUS.to_le_bytes());
        let source = LookupProof::decode(levels, &changed).expect_err("not canonical");
        let DecodeError::Element { index: at, source: NonCanonical { got, .. } } = source else {
            panic!("word {word}: {source}");
        };
        assert_eq!((at, got), (index, MODULUS));
    }
}

#[test]
fn lists_of_other_lengths_are_refused() {
    let case = Case::mixed();
    let (honest, values) = case.prove();
    let changes: [&dyn Fn(&mut LookupProof); 4] = [
        &|proof| {
            proof.levels.pop();
        },
        &|proof| proof.levels.push(proof.levels[0].clone()),
        &|proof| {
            proof.levels[3].rounds.pop();
        },
        &|proof| proof.levels[0].rounds.push([K::ZERO; 3]),
    ];
    for change in changes {
        let mut proof = honest.clone();
        change(&mut proof);
        assert!(matches!(case.verify(&proof, &values), Err(LookupError::Arity(_))));
    }
    let changes: [&dyn Fn(&mut LeafValues); 4] = [
        &|values| {
            values.lookups.pop();
        },
        &|values| {
            values.lookups[0].pop();
        },
        &|values| values.lookups[0].push(K::ZERO),
        &|values| {
            values.multiplicities.pop();
        },
    ];
    for change in changes {
        let mut values = values.clone();
        change(&mut values);
        assert!(matches!(case.verify(&honest, &values), Err(LookupError::Arity(_))));
    }
    let mut short = case.clone();
    short.columns[0][0].pop();
    assert!(matches!(short.recount(), Err(CountError::Arity(_))));
    let counts = &case.counts[1..];
    let error = prove(&case.layout, &case.tuples(), counts, &mut start()).expect_err("short");
    assert!(matches!(error, ProveError::Arity(_)), "{error}");
}
