//! Bytes that lie: fuzz bodies as plain functions, run on stable over mutations of valid encodings.
//! They may refuse anything; they may not panic, and may not allocate for a length that they were
//! only told.
//!
//! `ASSAY_ZKML_FUZZ=100000` runs each body so often.

use std::sync::LazyLock;

use assay_zkml::advice::AdviceProof;
use assay_zkml::circuit::Circuit;
use assay_zkml::field::K;
use assay_zkml::lookups::LookupProof;
use assay_zkml::program::{Descriptor, MAX_DESCRIPTOR_BYTES};
use assay_zkml::proof::Proof;
use assay_zkml::tensor_code::{self, OpeningProof};
use assay_zkml::transcript::Transcript;
use assay_zkml::verifier::verify_bytes;
use p3_field::PrimeCharacteristicRing;

use crate::cheats::{Public, Stage};
use crate::nets;
use crate::network::network;
use crate::words::Words;

/// Runs of each body, unless asked otherwise.
const RUNS: usize = 300;

/// What the bodies read their bytes for: a stage and its proof.
struct Target {
    stage: Stage,
    outputs: Vec<Vec<i32>>,
    proof: Proof,
}

static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(|| {
    let stages = [
        Stage::new(nets::one_layer(), 0, 1),
        Stage::new(nets::residual(), 1, 2),
        Stage::new(network(50), 0, 1),
        Stage::new(network(51).small(13), 0, 1),
    ];
    let target = |stage: Stage| {
        let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
        let statement = Public::new(&stage, &outputs).statement;
        let proof = stage.model.prove_witness(&stage.circuit, &statement, &stage.witness);
        Target { stage, outputs, proof: proof.unwrap() }
    };
    stages.into_iter().map(target).collect()
});

/// Reads a key; what it reads is one model, and can be set up for a proof.
fn descriptor(bytes: &[u8]) {
    let Ok(read) = Descriptor::decode(bytes) else { return };
    assert_eq!(read.encode(), bytes);
    for lb in [0, 3, 10, 11, u32::MAX] {
        if let Ok(circuit) = Circuit::new(&read, lb) {
            assert!(circuit.budget().bits() >= 100.0);
            let _ = Proof::decode(&circuit, bytes);
        }
    }
}

/// Reads a proof; what it reads has one encoding, of at most the computed size.
fn proof(bytes: &[u8]) {
    for target in TARGETS.iter() {
        let circuit = &target.stage.circuit;
        if let Ok(read) = Proof::decode(circuit, bytes) {
            assert_eq!(read.encode(), bytes);
            assert!(bytes.len() <= circuit.max_proof_bytes());
        }
    }
}

/// Verifies a proof; only the valid one is accepted.
fn verifier(bytes: &[u8]) {
    for target in TARGETS.iter() {
        let public = Public::new(&target.stage, &target.outputs);
        let circuit = &target.stage.circuit;
        let verified = verify_bytes(circuit, &public.statement, &public.claims(), bytes);
        assert_eq!(verified.is_ok(), bytes == target.proof.encode());
    }
}

/// Reads and verifies an opening of weights.
fn weights(bytes: &[u8]) {
    for target in TARGETS.iter() {
        let circuit = &target.stage.circuit;
        let shape = circuit.weights();
        if let Some(schedule) = circuit.weight_schedule() {
            let read = AdviceProof::decode(schedule, bytes);
            assert!(read.is_err() || read.is_ok_and(|read| read.encode() == bytes));
            continue;
        }
        let Ok(proof) = OpeningProof::decode(shape, bytes) else { continue };
        assert_eq!(proof.encode(), bytes);
        let mut transcript = Transcript::new();
        let point = shape.sample_point(&mut transcript);
        let (root, value) = (circuit.weight_root(), target.proof.weight_value);
        let verified = tensor_code::verify(shape, &root, &mut transcript, &point, value, &proof);
        // It is of another transcript: only a program without weights has the same one there.
        assert!(verified.is_err() || value == K::ZERO);
    }
}

/// Reads a lookup tree.
fn lookups(bytes: &[u8]) {
    for levels in 0..=28 {
        if let Ok(read) = LookupProof::decode(levels, bytes) {
            assert_eq!(read.encode(), bytes);
        }
    }
}

/// Reads an opening of advice.
fn advice(bytes: &[u8]) {
    for target in TARGETS.iter() {
        let Some(schedule) = target.stage.circuit.schedule() else { continue };
        if let Ok(read) = AdviceProof::decode(schedule, bytes) {
            assert_eq!(read.encode(), bytes);
        }
    }
}

/// Changes an encoding in one of the ways that parsers fail at.
fn mutate(words: &mut Words, bytes: &mut Vec<u8>) {
    let at = |words: &mut Words, bytes: &[u8]| words.below(bytes.len().max(1));
    for _ in 0..=words.below(3) {
        let place = at(words, bytes);
        let kind = words.below(9);
        match kind {
            _ if bytes.is_empty() => bytes.push(words.next() as u8),
            0 => bytes[place] ^= 1 << words.below(8),
            1 => bytes[place] = words.next() as u8,
            2 => bytes.truncate(place),
            3 => drop(bytes.drain(place..(place + 1 + words.below(40)).min(bytes.len()))),
            4 => {
                let run: Vec<u8> =
                    bytes[place..].iter().take(1 + words.below(64)).copied().collect();
                bytes.splice(place..place, run);
            }
            // A length, or an element: at its ends, and one beyond.
            5..8 => {
                let limits = [0, 1, u32::MAX, 1 << 31, 0x7f00_0001, 0x7f00_0000, 1 << 16];
                let word = limits[words.below(limits.len())].to_le_bytes();
                for (byte, new) in bytes[place..].iter_mut().zip(word) {
                    *byte = new;
                }
            }
            _ => {
                let from = at(words, bytes);
                let run: Vec<u8> = bytes[from..].iter().take(32).copied().collect();
                for (byte, new) in bytes[place..].iter_mut().zip(run) {
                    *byte = new;
                }
            }
        }
    }
}

/// Feeds a body with mutations of `seeds`, with every short string, and with noise.
fn feed(name: &str, seeds: &[Vec<u8>], body: fn(&[u8])) {
    let runs = std::env::var("ASSAY_ZKML_FUZZ").ok().and_then(|runs| runs.parse().ok());
    let mut words = Words::new(name.bytes().map(u64::from).sum());
    body(&[]);
    for byte in 0..=255 {
        body(&[byte; 1]);
        body(&[byte; 300]);
    }
    for seed in seeds {
        body(seed);
        for _ in 0..runs.unwrap_or(RUNS) {
            let mut bytes = seed.clone();
            mutate(&mut words, &mut bytes);
            body(&bytes);
        }
    }
}

fn encodings(of: impl Fn(&Target) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    TARGETS.iter().filter_map(of).collect()
}

#[test]
fn keys() {
    let seeds = encodings(|target| Some(target.stage.model.descriptor().encode()));
    feed("keys", &seeds, descriptor);
    descriptor(&vec![1; MAX_DESCRIPTOR_BYTES + 1]);
}

#[test]
fn proofs() {
    feed("proofs", &encodings(|target| Some(target.proof.encode())), proof);
}

#[test]
fn verified_proofs() {
    feed("verified", &encodings(|target| Some(target.proof.encode())), verifier);
}

#[test]
fn openings_of_weights() {
    feed("weights", &encodings(|target| Some(target.proof.weights.encode())), weights);
}

#[test]
fn lookup_trees() {
    let tree = |target: &Target| target.proof.lookups.as_ref().map(LookupProof::encode);
    feed("lookups", &encodings(tree), lookups);
}

#[test]
fn openings_of_advice() {
    let opening = |target: &Target| target.proof.advice.as_ref().map(AdviceProof::encode);
    feed("advice", &encodings(opening), advice);
}
