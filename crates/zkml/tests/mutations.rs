//! Pitfalls 5 and 9: every field of a proof flipped, dropped, doubled, swapped and cut; bytes
//! flipped, cut and added; lengths that lie.

use assay_zkml::advice::{AdviceProof, Openings, Rows, Schedule};
use assay_zkml::field::{F, K};
use assay_zkml::proof::Proof;
use assay_zkml::tensor_code::{Digest, OpeningProof};
use assay_zkml::verifier::verify;
use assay_zkml::weight_commitment::WeightOpening;
use p3_field::PrimeCharacteristicRing;

use crate::cheats::{Public, Stage};
use crate::nets;
use crate::network::network;

/// A proof with what its verifier is given.
struct Case {
    stage: Stage,
    outputs: Vec<Vec<i32>>,
    proof: Proof,
}

impl Case {
    fn new(stage: Stage) -> Self {
        let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
        let statement = Public::new(&stage, &outputs).statement;
        let proof = stage.model.prove_witness(&stage.circuit, &statement, &stage.witness).unwrap();
        let case = Self { stage, outputs, proof };
        assert!(case.accepts(&case.proof));
        case
    }

    fn all() -> Vec<Self> {
        let stages = [
            Stage::new(nets::one_layer(), 0, 1),
            Stage::new(nets::residual(), 0, 1),
            Stage::new(nets::no_lookups(), 1, 2),
            Stage::new(network(20), 0, 1),
            Stage::new(network(21), 2, 3),
            // One fold of the weights, and two.
            Stage::new(nets::one_layer().small(0), 0, 1),
            Stage::new(network(20).small(13), 0, 1),
        ];
        stages.into_iter().map(Self::new).collect()
    }

    fn accepts(&self, proof: &Proof) -> bool {
        let public = Public::new(&self.stage, &self.outputs);
        verify(&self.stage.circuit, &public.statement, &public.claims(), proof).is_ok()
    }

    fn accepts_bytes(&self, bytes: &[u8]) -> bool {
        Proof::decode(&self.stage.circuit, bytes).is_ok_and(|proof| self.accepts(&proof))
    }

    /// Asserts that `change` changes the proof and that the result is refused, as a value and in
    /// its encoding.
    fn refuse(&self, what: &str, change: impl FnOnce(&mut Proof)) {
        let mut changed = self.proof.clone();
        change(&mut changed);
        assert!(changed != self.proof, "{what}: nothing changed");
        assert!(!self.accepts(&changed), "{what}: accepted");
        let bytes = changed.encode();
        // Fields of one kind that follow one another may trade elements without a trace.
        if bytes != self.proof.encode() {
            assert!(!self.accepts_bytes(&bytes), "{what}: accepted when decoded");
        }
    }
}

/// Every element of `K` outside the openings and the lookups' messages, with its field.
fn elements(proof: &mut Proof) -> Vec<(&'static str, &mut K)> {
    let Proof { values, layer_rounds, ends, weight_rounds, weight_value, lookups, .. } = proof;
    let mut all: Vec<(&'static str, &mut K)> = Vec::new();
    let lists: [(&'static str, &mut [K]); 9] = [
        ("values of columns", &mut values.columns),
        ("values of virtual columns", &mut values.virtuals),
        ("values of outputs", &mut values.outputs),
        ("rounds of the layers", layer_rounds.as_flattened_mut()),
        ("ends of tensors", &mut ends.tensors),
        ("ends of convolutions", &mut ends.convs),
        ("ends of biases", &mut ends.biases),
        ("ends of inputs", &mut ends.inputs),
        ("rounds of the weights", weight_rounds.as_flattened_mut()),
    ];
    for (name, list) in lists {
        all.extend(list.iter_mut().map(|element| (name, element)));
    }
    all.push(("value of the weights", weight_value));
    if let Some(lookups) = lookups {
        all.push(("root of the lookups", &mut lookups.root_denominator));
        for level in &mut lookups.levels {
            let rounds = level.rounds.as_flattened_mut().iter_mut();
            all.extend(rounds.map(|element| ("rounds of the lookups", element)));
            all.extend(level.children.iter_mut().map(|element| ("children", element)));
        }
    }
    all
}

fn fast(proof: &mut Proof) -> Option<&mut OpeningProof> {
    match &mut proof.weights {
        WeightOpening::Fast(opening) => Some(opening),
        WeightOpening::Small(_) => None,
    }
}

/// Every element of `K` in the openings.
fn opened(proof: &mut Proof) -> Vec<(&'static str, &mut K)> {
    let Proof { weights, advice, .. } = proof;
    let mut all: Vec<(&'static str, &mut K)> = Vec::new();
    match weights {
        WeightOpening::Fast(opening) => {
            all.extend(opening.row.iter_mut().map(|element| ("row", element)));
        }
        WeightOpening::Small(opening) => opened_by_whir(opening, &mut all),
    }
    advice.iter_mut().for_each(|advice| opened_by_whir(advice, &mut all));
    all
}

fn opened_by_whir<'a>(opening: &'a mut AdviceProof, all: &mut Vec<(&'static str, &'a mut K)>) {
    let mut rows: Vec<&mut Openings> = Vec::new();
    for round in &mut opening.rounds {
        all.extend(round.answers.iter_mut().map(|element| ("answers", element)));
        let rounds = round.rounds.as_flattened_mut().iter_mut();
        all.extend(rounds.map(|element| ("rounds of a fold", element)));
        rows.push(&mut round.openings);
    }
    all.extend(opening.initial_answers.iter_mut().map(|element| ("first answers", element)));
    let first = opening.initial_rounds.as_flattened_mut().iter_mut();
    all.extend(first.map(|element| ("rounds of the first fold", element)));
    let last = opening.final_rounds.as_flattened_mut().iter_mut();
    all.extend(last.map(|element| ("last rounds", element)));
    all.extend(opening.final_polynomial.iter_mut().map(|element| ("last polynomial", element)));
    rows.push(&mut opening.final_openings);
    for openings in rows {
        if let Rows::Extension(rows) = &mut openings.rows {
            all.extend(rows.iter_mut().flatten().map(|element| ("opened row", element)));
        }
    }
}

fn base_elements(proof: &mut Proof) -> Vec<&mut F> {
    let Proof { weights, advice, .. } = proof;
    let mut all: Vec<&mut F> = Vec::new();
    let mut whir: Vec<&mut AdviceProof> = advice.iter_mut().collect();
    match weights {
        WeightOpening::Fast(opening) => all.extend(opening.columns.iter_mut().flatten()),
        WeightOpening::Small(opening) => whir.push(opening),
    }
    for opening in whir {
        let rounds = opening.rounds.iter_mut().map(|round| &mut round.openings);
        for openings in rounds.chain([&mut opening.final_openings]) {
            if let Rows::Base(rows) = &mut openings.rows {
                all.extend(rows.iter_mut().flatten());
            }
        }
    }
    all
}

fn digests(proof: &mut Proof) -> Vec<&mut Digest> {
    let Proof { weights, advice, advice_root, .. } = proof;
    let mut all: Vec<&mut Digest> = advice_root.iter_mut().collect();
    let mut whir: Vec<&mut AdviceProof> = advice.iter_mut().collect();
    match weights {
        WeightOpening::Fast(opening) => all.extend(&mut opening.siblings),
        WeightOpening::Small(opening) => whir.push(opening),
    }
    for opening in whir {
        for round in &mut opening.rounds {
            all.push(&mut round.root);
            all.extend(&mut round.openings.siblings);
        }
        all.extend(&mut opening.final_openings.siblings);
    }
    all
}

/// Adds 1 to one coordinate of an element.
fn flip(element: &mut K, coordinate: usize) {
    let mut bytes = Vec::new();
    assay_zkml::field::encode_k(*element, &mut bytes);
    let mut unit = [0; 20];
    unit[4 * coordinate] = 1;
    *element += assay_zkml::field::decode_k(unit).unwrap();
    let mut after = Vec::new();
    assay_zkml::field::encode_k(*element, &mut after);
    assert_ne!(bytes, after);
}

#[test]
fn every_flipped_element_is_refused() {
    for case in Case::all() {
        let count = elements(&mut case.proof.clone()).len();
        for index in 0..count {
            case.refuse(&format!("element {index}"), |proof| {
                let (_, element) = elements(proof).swap_remove(index);
                flip(element, index % 5);
            });
        }
    }
}

#[test]
fn flipped_elements_of_the_openings_are_refused() {
    for case in Case::all() {
        let mut copy = case.proof.clone();
        let (large, base, hashes) = (
            opened(&mut copy).len(),
            base_elements(&mut case.proof.clone()).len(),
            digests(&mut case.proof.clone()).len(),
        );
        // Coprime steps: every field is met, not every element.
        for index in (0..large).step_by(1 + large / 60) {
            case.refuse(&format!("opened {index}"), |proof| {
                flip(opened(proof).swap_remove(index).1, index % 5);
            });
        }
        for index in (0..base).step_by(1 + base / 40) {
            case.refuse(&format!("base {index}"), |proof| {
                *base_elements(proof).swap_remove(index) += F::ONE;
            });
        }
        for index in (0..hashes).step_by(1 + hashes / 30) {
            case.refuse(&format!("digest {index}"), |proof| {
                let digest = digests(proof).swap_remove(index);
                let mut bytes = *digest.as_bytes();
                bytes[index % 32] ^= 1 << (index % 8);
                *digest = Digest::from(bytes);
            });
        }
    }
}

/// A change of a list's length or order.
#[derive(Clone, Copy, Debug)]
enum Change {
    DropFirst,
    DropLast,
    DoubleFirst,
    DoubleLast,
    SwapEnds,
    SwapFirst,
    Rotate,
    Clear,
}

const CHANGES: [Change; 8] = [
    Change::DropFirst,
    Change::DropLast,
    Change::DoubleFirst,
    Change::DoubleLast,
    Change::SwapEnds,
    Change::SwapFirst,
    Change::Rotate,
    Change::Clear,
];

fn change<T: Clone>(list: &mut Vec<T>, change: Change) {
    let Some(last) = list.len().checked_sub(1) else { return };
    match change {
        Change::DropFirst => drop(list.drain(..1)),
        Change::DropLast => list.truncate(last),
        Change::DoubleFirst => list.insert(0, list[0].clone()),
        Change::DoubleLast => list.push(list[last].clone()),
        Change::SwapEnds => list.swap(0, last),
        Change::SwapFirst => list.swap(0, last.min(1)),
        Change::Rotate => list.rotate_left(1),
        Change::Clear => list.clear(),
    }
}

type List = fn(&mut Proof, Change);

/// Every list of a proof.
const LISTS: &[(&str, List)] = &[
    ("values of columns", |p, c| change(&mut p.values.columns, c)),
    ("values of virtual columns", |p, c| change(&mut p.values.virtuals, c)),
    ("values of outputs", |p, c| change(&mut p.values.outputs, c)),
    ("rounds of the layers", |p, c| change(&mut p.layer_rounds, c)),
    ("ends of tensors", |p, c| change(&mut p.ends.tensors, c)),
    ("ends of convolutions", |p, c| change(&mut p.ends.convs, c)),
    ("ends of biases", |p, c| change(&mut p.ends.biases, c)),
    ("ends of inputs", |p, c| change(&mut p.ends.inputs, c)),
    ("rounds of the weights", |p, c| change(&mut p.weight_rounds, c)),
    ("levels of the lookups", |p, c| {
        p.lookups.iter_mut().for_each(|lookups| change(&mut lookups.levels, c));
    }),
    ("rounds of the first level of the lookups with any", |p, c| {
        let levels = p.lookups.iter_mut().flat_map(|lookups| &mut lookups.levels);
        levels.skip(2).take(1).for_each(|level| change(&mut level.rounds, c));
    }),
    ("rounds of the last level of the lookups", |p, c| {
        let level = p.lookups.iter_mut().filter_map(|lookups| lookups.levels.last_mut());
        level.for_each(|level| change(&mut level.rounds, c));
    }),
    ("row of the weights", |p, c| {
        fast(p).into_iter().for_each(|opening| change(&mut opening.row, c));
    }),
    ("columns of the weights", |p, c| {
        fast(p).into_iter().for_each(|opening| change(&mut opening.columns, c));
    }),
    ("a column of the weights", |p, c| {
        fast(p).into_iter().for_each(|opening| change(&mut opening.columns[1], c));
    }),
    ("siblings of the weights", |p, c| {
        fast(p).into_iter().for_each(|opening| change(&mut opening.siblings, c));
    }),
];

/// Which opening by WHIR.
type Of = fn(&mut Proof) -> Option<&mut AdviceProof>;

const BY_WHIR: [(&str, Of); 2] = [
    ("advice", |proof| proof.advice.as_mut()),
    ("weights", |proof| match &mut proof.weights {
        WeightOpening::Fast(_) => None,
        WeightOpening::Small(opening) => Some(opening),
    }),
];

type WhirList = fn(&mut AdviceProof, Change);

/// Every list of an opening by WHIR.
const WHIR_LISTS: &[(&str, WhirList)] = &[
    ("answers", |opening, c| change(&mut opening.initial_answers, c)),
    ("first rounds", |opening, c| change(&mut opening.initial_rounds, c)),
    ("rounds", |opening, c| change(&mut opening.rounds, c)),
    ("answers of a round", |opening, c| {
        opening.rounds.iter_mut().take(1).for_each(|round| change(&mut round.answers, c));
    }),
    ("rounds of a fold", |opening, c| {
        opening.rounds.iter_mut().take(1).for_each(|round| change(&mut round.rounds, c));
    }),
    ("opened rows of a round", |opening, c| {
        opening.rounds.iter_mut().take(1).for_each(|round| change_rows(&mut round.openings, c));
    }),
    ("siblings of a round", |opening, c| {
        let rounds = opening.rounds.iter_mut().take(1);
        rounds.for_each(|round| change(&mut round.openings.siblings, c));
    }),
    ("last polynomial", |opening, c| change(&mut opening.final_polynomial, c)),
    ("last opened rows", |opening, c| change_rows(&mut opening.final_openings, c)),
    ("last siblings", |opening, c| change(&mut opening.final_openings.siblings, c)),
    ("last rounds", |opening, c| change(&mut opening.final_rounds, c)),
];

fn change_rows(openings: &mut Openings, by: Change) {
    match &mut openings.rows {
        Rows::Base(rows) => change(rows, by),
        Rows::Extension(rows) => change(rows, by),
    }
}

/// Changes one list of a proof.
type ListChange = Box<dyn Fn(&mut Proof, Change)>;

#[test]
fn every_list_dropped_doubled_or_reordered_is_refused() {
    let mut lists: Vec<(String, ListChange)> = Vec::new();
    for &(name, list) in LISTS {
        lists.push((name.to_owned(), Box::new(list)));
    }
    for (whose, of) in BY_WHIR {
        for &(name, list) in WHIR_LISTS {
            let list = move |proof: &mut Proof, by| {
                of(proof).into_iter().for_each(|opening| list(opening, by));
            };
            lists.push((format!("{name} of the {whose}"), Box::new(list)));
        }
    }
    let mut met = vec![0; lists.len()];
    for case in Case::all() {
        for (met, (name, list)) in met.iter_mut().zip(&lists) {
            for by in CHANGES {
                let mut changed = case.proof.clone();
                list(&mut changed, by);
                // Too short for this change, or absent in this proof.
                if changed != case.proof {
                    *met += 1;
                    case.refuse(&format!("{name}: {by:?}"), |proof| list(proof, by));
                }
            }
        }
    }
    for (met, (name, _)) in met.iter().zip(&lists) {
        assert!(*met >= 4, "{name} was changed in {met} ways");
    }
}

#[test]
fn parts_that_are_absent_or_too_many_are_refused() {
    let cases = Case::all();
    for case in &cases {
        let has = [
            case.proof.advice_root.is_some(),
            case.proof.lookups.is_some(),
            case.proof.advice.is_some(),
        ];
        let donor = &cases[3].proof;
        case.refuse("root", |proof| {
            proof.advice_root = if has[0] { None } else { donor.advice_root };
        });
        case.refuse("lookups", |proof| {
            proof.lookups = if has[1] { None } else { donor.lookups.clone() };
        });
        case.refuse("advice", |proof| {
            proof.advice = if has[2] { None } else { donor.advice.clone() };
        });
    }
    // Another proof's part, of the same model and lengths.
    let (one, other) = (&cases[3], Case::new(Stage::new(network(20), 0, 1)));
    assert_eq!(one.proof, other.proof, "a proof is a function of statement and witness");
    let mut net = network(20);
    let _ = net.input();
    let other = Case::new(Stage::new(net, 0, 1));
    type Move = fn(&mut Proof, &Proof);
    let moves: [(&str, Move); 9] = [
        ("root", |to, from| to.advice_root = from.advice_root),
        ("lookups", |to, from| to.lookups.clone_from(&from.lookups)),
        ("values", |to, from| to.values.clone_from(&from.values)),
        ("rounds", |to, from| to.layer_rounds.clone_from(&from.layer_rounds)),
        ("ends", |to, from| to.ends.clone_from(&from.ends)),
        ("weight rounds", |to, from| to.weight_rounds.clone_from(&from.weight_rounds)),
        ("value", |to, from| to.weight_value = from.weight_value),
        ("weights", |to, from| to.weights.clone_from(&from.weights)),
        ("advice", |to, from| to.advice.clone_from(&from.advice)),
    ];
    for (name, part) in moves {
        one.refuse(name, |proof| part(proof, &other.proof));
    }
    assert!(!one.accepts(&other.proof), "the proof of another input");
}

/// Flips one bit of a byte in all places, or in so many that are spread over the proof.
fn flip_bytes(case: &Case, most: usize) {
    let bytes = case.proof.encode();
    assert!(case.accepts_bytes(&bytes));
    for at in (0..bytes.len()).step_by(1 + bytes.len() / most) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(!case.accepts_bytes(&changed), "byte {at}");
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    let cases = Case::all();
    flip_bytes(&cases[0], usize::MAX - 1);
    cases[1..].iter().for_each(|case| flip_bytes(case, 250));
}

#[test]
fn cut_and_longer_proofs_are_refused() {
    for case in Case::all() {
        let bytes = case.proof.encode();
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
            assert!(Proof::decode(&case.stage.circuit, &bytes[..length]).is_err(), "{length}");
        }
        for extra in [1, 4, 20, 32, 1000] {
            let longer = [bytes.clone(), vec![0; extra]].concat();
            assert!(Proof::decode(&case.stage.circuit, &longer).is_err(), "{extra} more");
        }
        let most = case.stage.circuit.max_proof_bytes();
        let error = Proof::decode(&case.stage.circuit, &vec![0; most + 1]).unwrap_err();
        assert!(error.to_string().contains(&most.to_string()), "{error}");
    }
}

/// No byte more than the openings' own maxima and what is fixed.
#[test]
fn the_largest_proof_is_computed_to_the_byte() {
    for case in Case::all() {
        let circuit = &case.stage.circuit;
        let advice = case.proof.advice.as_ref().map_or(0, |advice| advice.encode().len());
        let openings = case.proof.weights.encode().len() + advice;
        let fixed = case.proof.encode().len() - openings;
        let most = circuit.schedule().map_or(0, Schedule::max_proof_bytes);
        let weights = match circuit.weight_schedule() {
            Some(schedule) => schedule.max_proof_bytes(),
            None => circuit.weights().max_proof_bytes(),
        };
        let most = fixed + weights + most;
        assert_eq!(circuit.max_proof_bytes(), most);
    }
}

/// The length of the weights' opening: off by one, off by an element, and huge.
#[test]
fn lengths_that_lie_are_refused() {
    for case in Case::all() {
        let bytes = case.proof.encode();
        let weights = case.proof.weights.encode();
        let prefix = u32::try_from(weights.len()).unwrap().to_le_bytes();
        let with_prefix = [prefix.as_slice(), &weights].concat();
        let at = bytes.windows(with_prefix.len()).position(|window| window == with_prefix).unwrap();
        let length = weights.len() as u32;
        for lie in [0, 1, length - 20, length - 1, length + 1, length + 20, 1 << 31, u32::MAX] {
            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            let error = Proof::decode(&case.stage.circuit, &changed).unwrap_err();
            if lie >= 1 << 31 {
                assert!(error.to_string().contains("at most"), "{error}");
            }
        }
    }
}
