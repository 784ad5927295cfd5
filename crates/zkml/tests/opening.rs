//! The weight opening against a prover that cheats and against bytes that lie.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use assay_zkml::field::{F, K, K_BYTES, MODULUS, NonCanonical};
use assay_zkml::multilinear::evaluate;
use assay_zkml::tensor_code::{
    CodeProfile, CommitError, CommittedWeights, DecodeError, Digest, Opening, OpeningError,
    OpeningProof, Point, Shape, verify,
};
use assay_zkml::transcript::{Label, Transcript};
use p3_field::PrimeCharacteristicRing;

use crate::words::{Words, weights};

/// A commitment and the honest opening of it.
struct Case {
    shape: Shape,
    weights: Vec<i16>,
    root: Digest,
    point: Point,
    opening: Opening,
}

/// Where an encoded opening is refused.
#[derive(Debug)]
enum Refusal {
    Decode(DecodeError),
    Opening,
}

impl Case {
    fn new(log_weights: usize, log_columns: usize, rows: usize, seed: u64) -> Self {
        let shape = Shape::new(CodeProfile::default(), log_weights, log_columns, rows)
            .expect("a valid shape");
        let weights = weights(seed, shape.capacity());
        let committed = CommittedWeights::commit(shape, weights.clone()).expect("they fit");
        let mut transcript = start();
        let point = shape.sample_point(&mut transcript);
        let opening = committed.open(&mut transcript, &point).expect("the point fits");
        Self { shape, weights, root: committed.root(), point, opening }
    }

    /// Large enough that the 152 indices repeat few columns: `2^11` leaves, 10 rows of 16.
    fn medium() -> Self {
        Self::new(13, 9, 10, 1)
    }

    fn verify(&self, value: K, proof: &OpeningProof) -> Result<(), OpeningError> {
        let (mut transcript, point) = self.verifier();
        verify(&self.shape, &self.root, &mut transcript, &point, value, proof)
    }

    fn verify_bytes(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let proof = OpeningProof::decode(&self.shape, bytes).map_err(Refusal::Decode)?;
        self.verify(self.opening.value, &proof).map_err(|_| Refusal::Opening)
    }

    fn decode_error(&self, bytes: &[u8]) -> DecodeError {
        match self.verify_bytes(bytes) {
            Err(Refusal::Decode(error)) => error,
            other => panic!("expected a decoding error, got {other:?}"),
        }
    }

    fn verifier(&self) -> (Transcript, Point) {
        let mut transcript = start();
        let point = self.shape.sample_point(&mut transcript);
        (transcript, point)
    }

    fn tampered(&self, change: impl FnOnce(&mut OpeningProof)) -> OpeningError {
        let mut proof = self.opening.proof.clone();
        change(&mut proof);
        assert_ne!(proof, self.opening.proof, "the change changed nothing");
        self.verify(self.opening.value, &proof).expect_err("a tampered proof was accepted")
    }

    fn encoded(&self) -> Vec<u8> {
        self.opening.proof.encode()
    }

    /// Where the number of columns stands in the encoding.
    fn column_count_at(&self) -> usize {
        self.shape.columns() * K_BYTES
    }

    fn sibling_count_at(&self) -> usize {
        let columns = self.opening.proof.columns.len();
        self.column_count_at() + 4 + columns * self.shape.rows_used() * 4
    }
}

fn start() -> Transcript {
    let mut transcript = Transcript::new();
    transcript.absorb(Label::Proof, b"test");
    transcript
}

#[test]
fn honest_openings_are_accepted_and_give_the_extension() {
    for (log_weights, log_columns, rows) in
        [(0, 0, 1), (3, 0, 5), (3, 3, 1), (6, 3, 8), (10, 8, 3), (13, 9, 10), (14, 7, 128)]
    {
        let case = Case::new(log_weights, log_columns, rows, 7);
        case.verify_bytes(&case.encoded()).expect("an honest opening");

        let mut all: Vec<F> = case.weights.iter().map(|&w| F::from_i16(w)).collect();
        all.resize(1 << log_weights, F::ZERO);
        let point = [case.point.rows.as_slice(), &case.point.columns].concat();
        assert_eq!(evaluate(&all, &point), Ok(case.opening.value));
    }
}

#[test]
fn prover_and_verifier_leave_the_transcript_in_one_state() {
    let case = Case::medium();
    let committed = CommittedWeights::commit(case.shape, case.weights.clone()).expect("they fit");
    let (mut prover, point) = case.verifier();
    let opening = committed.open(&mut prover, &point).expect("the point fits");
    let (mut verifier, _) = case.verifier();
    let (shape, root) = (&case.shape, &case.root);
    let verified = verify(shape, root, &mut verifier, &point, opening.value, &opening.proof);
    assert!(verified.is_ok());
    assert_eq!(prover.sample_k(), verifier.sample_k());
}

#[test]
fn encoding_round_trips_and_respects_the_maximum() {
    for (log_weights, log_columns, rows) in [(0, 0, 1), (10, 8, 3), (13, 9, 10)] {
        let case = Case::new(log_weights, log_columns, rows, 3);
        let bytes = case.encoded();
        assert!(bytes.len() <= case.shape.max_proof_bytes());
        let decoded = OpeningProof::decode(&case.shape, &bytes).expect("an honest encoding");
        assert_eq!(decoded, case.opening.proof);
        assert_eq!(decoded.encode(), bytes);
    }
}

/// `u`, its columns and its siblings, each number of the two lists in 4 bytes.
#[test]
fn the_largest_opening_is_computed_to_the_byte() {
    let table = [
        // One row of one; all 4 leaves; siblings on levels of 1 and 2 nodes.
        ((0, 0, 1), 20 + 4 + 4 * 4 + 4 + 32 * 3),
        // 512 of a row; 152 of `2^11` leaves, 10 rows; siblings 1 + 2 + .. + 128, then 3 * 152.
        ((13, 9, 10), 512 * 20 + 4 + 152 * 10 * 4 + 4 + 32 * 711),
    ];
    for ((log_weights, log_columns, rows), expected) in table {
        let shape = Shape::new(CodeProfile::default(), log_weights, log_columns, rows);
        assert_eq!(shape.expect("a valid shape").max_proof_bytes(), expected, "2^{log_weights}");
    }
}

#[test]
fn points_of_other_lengths_are_refused() {
    let case = Case::medium();
    let committed = CommittedWeights::commit(case.shape, case.weights.clone()).expect("they fit");
    let changes: [fn(&mut Point); 4] = [
        |point| _ = point.rows.pop(),
        |point| point.rows.push(K::ZERO),
        |point| _ = point.columns.pop(),
        |point| point.columns.push(K::ZERO),
    ];
    for change in changes {
        let (mut transcript, mut point) = case.verifier();
        change(&mut point);
        assert!(committed.open(&mut transcript.clone(), &point).is_err(), "{point:?}");
        let Opening { value, proof } = &case.opening;
        let result = verify(&case.shape, &case.root, &mut transcript, &point, *value, proof);
        assert!(matches!(result, Err(OpeningError::Arity(_))), "{result:?}");
    }
}

#[test]
fn a_wrong_value_is_refused() {
    let case = Case::medium();
    let wrong = case.opening.value + K::ONE;
    let error = case.verify(wrong, &case.opening.proof).expect_err("a wrong value");
    assert!(
        matches!(error, OpeningError::Value { claimed, computed }
            if claimed == wrong && computed == case.opening.value),
        "{error}"
    );
}

#[test]
fn another_row_point_is_refused_by_the_code() {
    let case = Case::medium();
    let (mut transcript, mut point) = case.verifier();
    point.rows[0] += K::ONE;
    let (value, proof) = (case.opening.value, &case.opening.proof);
    let error = verify(&case.shape, &case.root, &mut transcript, &point, value, proof);
    assert!(matches!(error, Err(OpeningError::Column { .. })), "{error:?}");
}

#[test]
fn another_column_point_is_refused_by_the_value() {
    let case = Case::medium();
    let (mut transcript, mut point) = case.verifier();
    point.columns[0] += K::ONE;
    let (value, proof) = (case.opening.value, &case.opening.proof);
    let error = verify(&case.shape, &case.root, &mut transcript, &point, value, proof);
    assert!(matches!(error, Err(OpeningError::Value { .. })), "{error:?}");
}

#[test]
fn a_point_of_another_length_is_refused() {
    let case = Case::medium();
    for cut_rows in [true, false] {
        let (mut transcript, mut point) = case.verifier();
        let cut = if cut_rows { &mut point.rows } else { &mut point.columns };
        let _ = cut.pop();
        let (value, proof) = (case.opening.value, &case.opening.proof);
        let error = verify(&case.shape, &case.root, &mut transcript, &point, value, proof);
        assert!(matches!(error, Err(OpeningError::Arity(_))), "{error:?}");
    }
}

#[test]
fn another_transcript_is_refused() {
    let case = Case::medium();
    let mut transcript = start();
    transcript.absorb(Label::Proof, b"more");
    let (value, proof) = (case.opening.value, &case.opening.proof);
    let result = verify(&case.shape, &case.root, &mut transcript, &case.point, value, proof);
    assert!(
        matches!(
            result,
            Err(OpeningError::ColumnCount { .. }
                | OpeningError::SiblingCount { .. }
                | OpeningError::Root { .. })
        ),
        "{result:?}"
    );
}

/// The row of another matrix, changed so that the value still fits: the columns catch it.
#[test]
fn a_forged_row_with_the_right_value_is_refused_by_the_code() {
    let case = Case::medium();
    // Adds a multiple of a vector that `eq(chi)` does not see.
    let chi = assay_zkml::multilinear::eq_table(&case.point.columns);
    let (mut row, value) = (case.opening.proof.row.clone(), case.opening.value);
    row[0] += chi[1];
    row[1] -= chi[0];
    // The cheating prover answers the indices that follow from its own row with true columns.
    let committed = CommittedWeights::commit(case.shape, case.weights.clone()).expect("they fit");
    let (mut prover, _) = case.verifier();
    let proof = committed.open_columns(&mut prover, value, row);
    let error = case.verify(value, &proof).expect_err("a forged row");
    assert!(
        matches!(error, OpeningError::Column { encoded, combined, .. } if encoded != combined),
        "{error}"
    );
}

#[test]
fn a_changed_row_element_is_refused_by_the_value() {
    let case = Case::medium();
    let error = case.tampered(|proof| proof.row[17] += K::ONE);
    assert!(matches!(error, OpeningError::Value { .. }), "{error}");
}

#[test]
fn a_row_of_another_length_is_refused() {
    let case = Case::medium();
    let shorter = case.tampered(|proof| {
        let _ = proof.row.pop();
    });
    let longer = case.tampered(|proof| proof.row.push(K::ZERO));
    for error in [shorter, longer] {
        assert!(matches!(error, OpeningError::Arity(_)), "{error}");
    }
}

#[test]
fn a_changed_column_is_refused_by_the_root() {
    let case = Case::medium();
    for (column, element) in [(0, 0), (70, 9), (3, 4)] {
        let error = case.tampered(|proof| proof.columns[column][element] += F::ONE);
        assert!(
            matches!(error, OpeningError::Root { committed, computed }
                if committed == case.root && computed != committed),
            "{error}"
        );
    }
}

#[test]
fn a_changed_sibling_is_refused_by_the_root() {
    let case = Case::medium();
    let count = case.opening.proof.siblings.len();
    for index in [0, count / 2, count - 1] {
        let error = case.tampered(|proof| {
            let mut bytes = *proof.siblings[index].as_bytes();
            bytes[31] ^= 1;
            proof.siblings[index] = bytes.into();
        });
        assert!(matches!(error, OpeningError::Root { .. }), "{error}");
    }
}

#[test]
fn another_root_is_refused() {
    let case = Case::medium();
    let (mut transcript, point) = case.verifier();
    let mut root = *case.root.as_bytes();
    root[0] ^= 1;
    let root = Digest::from(root);
    let (value, proof) = (case.opening.value, &case.opening.proof);
    let error = verify(&case.shape, &root, &mut transcript, &point, value, proof);
    assert!(
        matches!(error, Err(OpeningError::Root { committed, computed })
            if committed == root && computed == case.root),
        "{error:?}"
    );
}

#[test]
fn columns_out_of_order_are_refused_by_the_root() {
    let case = Case::medium();
    let error = case.tampered(|proof| proof.columns.swap(3, 4));
    assert!(matches!(error, OpeningError::Root { .. }), "{error}");
    let error = case.tampered(|proof| proof.columns.reverse());
    assert!(matches!(error, OpeningError::Root { .. }), "{error}");
}

#[test]
fn columns_opened_twice_or_not_at_all_are_refused_by_their_number() {
    let case = Case::medium();
    let right = case.opening.proof.columns.len();
    assert!(right < 152, "the seed is such that an index repeats");
    let twice = case.tampered(|proof| {
        let again = proof.columns[5].clone();
        proof.columns.insert(5, again);
    });
    let dropped = case.tampered(|proof| {
        let _ = proof.columns.pop();
    });
    for (error, count) in [(twice, right + 1), (dropped, right - 1)] {
        assert!(
            matches!(error, OpeningError::ColumnCount { expected, got }
                if expected == right && got == count),
            "{error}"
        );
    }
    // The right number, but one column in place of another.
    let error = case.tampered(|proof| proof.columns[6] = proof.columns[5].clone());
    assert!(matches!(error, OpeningError::Root { .. }), "{error}");
}

#[test]
fn a_column_of_another_height_is_refused() {
    let case = Case::medium();
    let error = case.tampered(|proof| {
        let _ = proof.columns[2].pop();
    });
    assert!(matches!(error, OpeningError::ColumnLength { expected: 10, got: 9, .. }), "{error}");
}

#[test]
fn siblings_added_or_dropped_are_refused_by_their_number() {
    let case = Case::medium();
    let right = case.opening.proof.siblings.len();
    let dropped = case.tampered(|proof| {
        let _ = proof.siblings.pop();
    });
    let added = case.tampered(|proof| proof.siblings.push(case.root));
    for (error, count) in [(dropped, right - 1), (added, right + 1)] {
        assert!(
            matches!(error, OpeningError::SiblingCount { expected, got }
                if expected == right && got == count),
            "{error}"
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    let case = Case::new(6, 3, 8, 5);
    let bytes = case.encoded();
    for length in 0..bytes.len() {
        let error = case.decode_error(&bytes[..length]);
        assert!(matches!(error, DecodeError::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let case = Case::medium();
    let mut bytes = case.encoded();
    let expected = bytes.len();
    bytes.push(0);
    assert_eq!(case.decode_error(&bytes), DecodeError::Trailing { expected, extra: 1 });
}

#[test]
fn more_bytes_than_any_opening_has_are_refused_first() {
    let case = Case::medium();
    let max = case.shape.max_proof_bytes();
    let error = case.decode_error(&vec![0xff; max + 1]);
    assert_eq!(error, DecodeError::TooLong { max, got: max + 1 });
}

#[test]
fn huge_lengths_are_refused_before_allocation() {
    let case = Case::medium();
    for (at, part, max) in [
        (case.column_count_at(), "columns", case.shape.max_columns_opened()),
        (case.sibling_count_at(), "siblings", case.shape.max_siblings()),
    ] {
        for got in [max + 1, u32::MAX as usize] {
            let mut bytes = case.encoded();
            bytes[at..at + 4].copy_from_slice(&(got as u32).to_le_bytes());
            assert_eq!(case.decode_error(&bytes), DecodeError::TooMany { part, max, got });
        }
    }
}

#[test]
fn length_prefixes_off_by_one_are_refused() {
    let case = Case::medium();
    for at in [case.column_count_at(), case.sibling_count_at()] {
        for change in [1_u32, u32::MAX] {
            let mut bytes = case.encoded();
            let count = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            bytes[at..at + 4].copy_from_slice(&count.wrapping_add(change).to_le_bytes());
            let _ = case.decode_error(&bytes);
        }
    }
}

#[test]
fn field_elements_that_are_not_canonical_are_refused() {
    let case = Case::medium();
    let columns_at = case.column_count_at() + 4;
    let (row, columns) = (("row u", 2), ("columns", 7));
    for (at, (part, index)) in [(2 * K_BYTES + 8, row), (columns_at + 28, columns)] {
        let mut bytes = case.encoded();
        bytes[at..at + 4].copy_from_slice(&MODULUS.to_le_bytes());
        let DecodeError::Element { part: found, index: at, source } = case.decode_error(&bytes)
        else {
            panic!("expected an element error");
        };
        assert_eq!((found, at), (part, index));
        assert!(matches!(source, NonCanonical { got: MODULUS, .. }));
    }
}

/// A second encoding of an accepted proof: some word plus `p`, where that fits 32 bits.
#[test]
fn no_element_has_two_encodings() {
    let case = Case::new(6, 3, 8, 5);
    let bytes = case.encoded();
    let elements = (0..case.column_count_at()).step_by(4);
    let columns = (case.column_count_at() + 4..case.sibling_count_at()).step_by(4);
    for at in elements.chain(columns) {
        let word = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let mut other = bytes.clone();
        other[at..at + 4].copy_from_slice(&(word + MODULUS).to_le_bytes());
        let error = case.decode_error(&other);
        assert!(matches!(error, DecodeError::Element { .. }), "{error}");
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let case = Case::new(6, 3, 8, 5);
    let bytes = case.encoded();
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert!(case.verify_bytes(&changed).is_err(), "byte {at} xor {flip}");
        }
    }
}

#[test]
fn random_bytes_are_refused_without_panic() {
    let case = Case::new(6, 3, 8, 5);
    let mut words = Words::new(11);
    for _ in 0..2000 {
        let length = words.below(case.shape.max_proof_bytes() + 10);
        let bytes: Vec<u8> = (0..length).map(|_| words.next() as u8).collect();
        assert!(case.verify_bytes(&bytes).is_err());
    }
}

/// A committed word that is no codeword: one codeword's column after another is someone else's.
#[test]
fn a_root_over_another_matrix_is_another_root() {
    let case = Case::medium();
    for index in [0, 9, case.weights.len() - 1] {
        let mut weights = case.weights.clone();
        weights[index] ^= 1;
        let other = CommittedWeights::commit(case.shape, weights).expect("they fit");
        assert_ne!(other.root(), case.root, "weight {index}");
    }
}

#[test]
fn too_many_weights_are_refused() {
    let shape = Shape::new(CodeProfile::default(), 4, 2, 3).expect("a valid shape");
    let error = CommittedWeights::commit(shape, vec![0; 13]).expect_err("13 weights in 12 places");
    assert_eq!(error, CommitError::TooMany { capacity: 12, got: 13 });
}

#[test]
fn shapes_outside_the_caps_are_refused() {
    let new = |n, kappa, rows| Shape::new(CodeProfile::default(), n, kappa, rows);
    for (n, kappa, rows) in [(31, 20, 1), (30, 23, 1), (4, 5, 1), (20, 3, 1), (4, 2, 0), (4, 2, 5)]
    {
        assert!(new(n, kappa, rows).is_err(), "{n} {kappa} {rows}");
    }
    let error = new(4, 2, 5).expect_err("five rows of four");
    assert_eq!(error.to_string(), "weight matrix shape: rows_used must be between 1 and 4, got 5");
    for count in [0, (1 << 30) + 1, usize::MAX] {
        let error = Shape::for_weights(count).expect_err("outside the cap");
        let range = format!("number of weights must be between 1 and 1073741824, got {count}");
        assert_eq!(error.to_string(), format!("weight matrix shape: {range}"));
    }
    assert_eq!(Shape::for_weights(1 << 30).expect("at the cap").log_weights(), 30);
}

/// The table of section 6.4.
#[test]
fn smallest_proofs_have_the_shapes_of_the_protocol() {
    let table = [
        (16, 10),
        (17, 11),
        (18, 11),
        (19, 12),
        (20, 12),
        (21, 13),
        (22, 13),
        (23, 14),
        (24, 14),
        (25, 15),
        (26, 15),
        (27, 16),
    ];
    for (log_weights, log_columns) in table {
        let shape = Shape::for_weights(1 << log_weights).expect("a valid shape");
        assert_eq!(shape.log_columns(), log_columns, "2^{log_weights}");
    }
    let dense = Shape::for_weights(514 << 13).expect("a valid shape");
    assert_eq!((dense.log_weights(), dense.rows_used()), (23, 514));
}

/// `608 R + 20 * 2^kappa + 4864 (kappa - 5)`, without siblings where all leaves are opened.
#[test]
fn shapes_are_the_smallest_by_the_estimate_of_the_protocol() {
    for count in (1..1000).chain((1000..200_000).step_by(997)) {
        let shape = Shape::for_weights(count).expect("a valid shape");
        let bytes = |kappa: usize| {
            608 * count.div_ceil(1 << kappa) + 20 * (1 << kappa) + 4864 * kappa.saturating_sub(5)
        };
        let narrowest = shape.log_weights().saturating_sub(16);
        let kappa = (narrowest..=shape.log_weights()).min_by_key(|&kappa| bytes(kappa));
        assert_eq!(Some(shape.log_columns()), kappa, "{count} weights");
        assert_eq!(shape.rows_used(), count.div_ceil(shape.columns()), "{count} weights");
    }
}
