//! Programs whose weights are under WHIR: section 6.6.

use assay_zkml::advice::{AdviceError, Schedule};
use assay_zkml::circuit::Circuit;
use assay_zkml::field::K;
use assay_zkml::program::{
    DecodeError, Descriptor, DescriptorError, Mode, Place, Program, ProgramError, Rule,
};
use assay_zkml::proof::Proof;
use assay_zkml::prover::ProvingModel;
use assay_zkml::soundness::small_opening_terms;
use assay_zkml::statement::Statement;
use assay_zkml::tensor_code::{CodeProfile, Digest, Shape};
use assay_zkml::verifier::{VerifyError, verify, verify_bytes};
use assay_zkml::weight_commitment::{CommitError, CommittedWeights, WeightCommitment};
use p3_field::PrimeCharacteristicRing;

use crate::cheats::{Public, Stage};
use crate::nets;
use crate::network::network;
use crate::proofs::Case;

#[test]
fn small_programs_are_proven_alone_and_in_batches() {
    for (_, net) in nets::all() {
        let case = Case::new(&mut net().small(0), 0, 1);
        let _ = case.verify(&case.proof).unwrap();
    }
    for (seed, log_weights, lb, count) in [(0, 0, 0, 1), (1, 13, 0, 1), (2, 16, 2, 3)] {
        let case = Case::new(&mut network(seed).small(log_weights), lb, count);
        let verified = case.verify(&case.proof).unwrap();
        assert!(verified.security_bits() >= 100.0);
        assert_eq!(verified.security_bits(), case.circuit.budget().bits());
        assert!(case.proof.len() <= case.circuit.max_proof_bytes());
    }
}

/// One program in both modes: other ids, and a proof of one is none of the other.
#[test]
fn a_proof_of_one_mode_is_refused_by_the_other() {
    let stages = [network(60).small(13), network(60)].map(|net| Stage::new(net, 0, 1));
    let [small, fast] = &stages;
    assert_ne!(small.circuit.model_id(), fast.circuit.model_id());
    let proofs = stages.each_ref().map(|stage| honest(stage, &stage.circuit));
    for (stage, other) in [(small, 1), (fast, 0)] {
        let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
        let public = Public::new(stage, &outputs);
        let bytes = proofs[other].1.encode();
        let (said, claims) = (&public.statement, public.claims());
        let error = verify_bytes(&stage.circuit, said, &claims, &bytes).unwrap_err();
        assert!(matches!(error, VerifyError::Decode(_)), "{error}");
        let error = verify(&stage.circuit, &proofs[other].0, &claims, &proofs[other].1);
        let error = error.unwrap_err();
        assert!(matches!(error, VerifyError::Model { .. }), "{error}");
        // The opening of the other mode among messages that are right.
        let mut mixed = proofs[1 - other].1.clone();
        mixed.weights.clone_from(&proofs[other].1.weights);
        let error = verify(&stage.circuit, said, &claims, &mixed).unwrap_err();
        let (expected, got) = (stage.circuit.mode(), mixed.weights.mode());
        assert!(
            matches!(error, VerifyError::Mode { expected: e, got: g } if (e, g) == (expected, got)),
            "{error}"
        );
        assert!(Proof::decode(&stage.circuit, &mixed.encode()).is_err());
    }
}

/// A proof of the witness under another circuit, with a statement of that circuit.
fn honest(stage: &Stage, circuit: &Circuit) -> (Statement, Proof) {
    let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
    let public = Public::new(stage, &outputs);
    let statement = Statement { model: circuit.model_id(), ..public.statement };
    let proof = stage.model.prove_witness(circuit, &statement, &stage.witness).unwrap();
    (statement, proof)
}

/// Keys whose root or sample is not that of the prover's weights: everything else fits.
#[test]
fn another_root_and_another_sample_are_refused() {
    let stage = Stage::new(network(61).small(13), 0, 1);
    let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
    let public = Public::new(&stage, &outputs);
    let WeightCommitment::Small { root, sample } = stage.circuit.commitment() else { panic!() };
    let mut bytes = *root.as_bytes();
    bytes[31] ^= 1;
    let keys = [
        (WeightCommitment::Small { root, sample }, true),
        (WeightCommitment::Small { root, sample: sample + K::ONE }, false),
        (WeightCommitment::Small { root: Digest::from(bytes), sample }, false),
    ];
    for (key, is_right) in keys {
        let descriptor = Descriptor::new(stage.circuit.program().clone(), key).unwrap();
        let circuit = Circuit::new(&descriptor, 0).unwrap();
        let (statement, proof) = honest(&stage, &circuit);
        match verify(&circuit, &statement, &public.claims(), &proof) {
            Ok(_) => assert!(is_right, "{key}"),
            Err(VerifyError::SmallOpening(AdviceError::Whir(_))) => assert!(!is_right, "{key}"),
            Err(error) => panic!("{key}: {error}"),
        }
    }
}

#[test]
fn weights_or_a_mode_that_are_not_the_keys_are_refused() {
    let net = network(62).small(0);
    let model = ProvingModel::register(net.checked(), net.weights.clone()).unwrap();
    let shape = net.program.weights;
    let commit =
        |mode, weights: &[i16]| CommittedWeights::commit(mode, shape, weights.to_vec()).unwrap();
    let load = |weights| ProvingModel::load(model.descriptor().clone(), weights);
    assert!(load(commit(Mode::Small, &net.weights)).is_ok());
    let mut other = net.weights.clone();
    other[3] += 1;
    for (mode, weights) in [(Mode::Small, &other), (Mode::Fast, &net.weights)] {
        let error = load(commit(mode, weights)).unwrap_err();
        assert_eq!(error.expected, model.descriptor().weights());
        assert_eq!(error.got.mode(), mode);
        assert_ne!(error.got.root(), error.expected.root());
    }
    let error = Descriptor::new(net.checked(), Digest::from([7; 32])).unwrap_err();
    assert_eq!(error, DescriptorError::Mode { expected: Mode::Small, got: Mode::Fast });
    let error = Descriptor::new(network(62).checked(), model.descriptor().weights()).unwrap_err();
    assert_eq!(error, DescriptorError::Mode { expected: Mode::Fast, got: Mode::Small });
}

#[test]
fn more_weights_than_places_and_sizes_that_whir_does_not_take_are_refused() {
    let shape = |log_weights| Shape::new(CodeProfile::default(), log_weights, 2, 1).unwrap();
    let error = CommittedWeights::commit(Mode::Small, shape(6), vec![0; 5]).unwrap_err();
    assert!(matches!(error, CommitError::Places(_)), "{error}");
    for log_weights in [5, 17] {
        let commits = CommittedWeights::commit(Mode::Small, shape(log_weights), vec![1; 4]);
        match commits {
            Ok(_) => assert_eq!(log_weights, 17),
            Err(error) => assert_eq!(error, CommitError::Size { low: 6, high: 28, got: 5 }),
        }
    }
}

#[test]
fn the_key_of_a_small_program_is_pinned_and_has_one_encoding() {
    let net = network(0).small(0);
    let model = ProvingModel::register(net.checked(), net.weights.clone()).unwrap();
    let descriptor = model.descriptor();
    let bytes = descriptor.encode();
    assert_eq!(Descriptor::decode(&bytes).as_ref(), Ok(descriptor));
    assert_eq!(descriptor.model_id().to_string(), PINNED_ID);
    for length in 0..bytes.len() {
        let error = Descriptor::decode(&bytes[..length]).unwrap_err();
        assert!(matches!(error, DescriptorError::Decode(_)), "{length}: {error}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let error = Descriptor::decode(&longer).unwrap_err();
    assert!(matches!(error, DescriptorError::NotCanonical { .. }), "{error}");
    // A word of the sample that is not below p.
    let mut changed = bytes.clone();
    let at = changed.len() - 4;
    changed[at..].fill(0xff);
    let error = Descriptor::decode(&changed).unwrap_err();
    let place = bytes.len() - 20;
    assert!(
        matches!(error, DescriptorError::Decode(DecodeError::Element { at, .. }) if at == place),
        "{error}"
    );
}

const PINNED_ID: &str = "2d2a06ea106237edea0bf0071e69f08808e814aa1ddf9faf569a6fd23d87b7c7";

type Change = fn(&mut Program);

#[test]
fn matrices_that_a_small_program_does_not_have_are_refused() {
    let table: [(Change, Rule); 3] = [
        (|p| p.weights = Shape::new(CodeProfile::default(), 5, 2, 8).unwrap(), Rule::WeightPlaces),
        (
            |p| p.weights = Shape::new(CodeProfile::default(), 29, 22, 128).unwrap(),
            Rule::WeightPlaces,
        ),
        (|p| p.weights = Shape::new(CodeProfile::default(), 20, 10, 512).unwrap(), Rule::RowsUsed),
    ];
    for (change, rule) in table {
        let mut program = network(0).small(0).program;
        change(&mut program);
        let error = program.clone().check().unwrap_err();
        assert!(
            matches!(error, ProgramError { place: Place::Program, rule: r, .. } if r == rule),
            "{error}"
        );
        program.mode = Mode::Fast;
        let error = program.check().err();
        assert!(error.is_none_or(|error| error.rule != rule));
    }
}

/// Each size is worth 104 bits, and two vectors behind a root agree at the sample's point with a
/// chance that the sum does not notice.
#[test]
fn every_size_has_a_proven_bound() {
    for log_weights in 6..=28 {
        let schedule = Schedule::for_weights(log_weights).unwrap();
        assert!(schedule.security_bits() >= 104.0, "2^{log_weights}");
        let parts: f64 = schedule.terms().iter().map(|term| term.log2_error.exp2()).sum();
        assert!((schedule.security_bits() + parts.log2()).abs() < 1e-6, "2^{log_weights}");
        let columns = log_weights.min(12) as usize;
        let rows = 1 << (log_weights as usize - columns);
        let shape = Shape::new(CodeProfile::default(), log_weights as usize, columns, rows);
        let [sample, opening] = small_opening_terms(&shape.unwrap(), &schedule);
        assert_eq!(opening.log2_error, -schedule.security_bits());
        // At rate 1/16, 160 vectors: 12,720 pairs.
        let vectors = schedule.log2_list_size().exp2();
        assert!((20.0 - 1e-6..=160.0 + 1e-6).contains(&vectors), "{vectors}");
        let pairs = vectors * (vectors - 1.0) / 2.0;
        let expected = (pairs * f64::from(log_weights)).log2() - 154.94;
        assert!((sample.log2_error - expected).abs() < 0.01, "{sample:?}");
        assert!(sample.log2_error < -136.0);
    }
    assert!(Schedule::for_weights(5).is_err() && Schedule::for_weights(29).is_err());
}
