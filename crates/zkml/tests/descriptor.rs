//! The descriptor: one encoding, and an id over every byte of it.

use assay_zkml::columns::Columns;
use assay_zkml::execute::execute;
use assay_zkml::program::{
    DecodeError, Descriptor, DescriptorError, MAX_DESCRIPTOR_BYTES, Program, Site, Term,
};
use assay_zkml::tensor_code::Digest;
use assay_zkml::witness::Witness;
use proptest::prelude::*;

use crate::linear::refuse_any_linear_proof;
use crate::network::network;

fn descriptor() -> Descriptor {
    Descriptor::new(network(0).checked(), Digest::from([7; 32])).unwrap()
}

#[test]
fn a_descriptor_round_trips() {
    let original = descriptor();
    let bytes = original.encode();
    let read = Descriptor::decode(&bytes).unwrap();
    assert_eq!(read, original);
    assert_eq!(read.model_id(), original.model_id());

    let mut message = b"assay-zkml/1/model\0".to_vec();
    message.extend_from_slice(&bytes);
    assert_eq!(original.model_id().as_bytes(), blake3::hash(&message).as_bytes());
    assert_eq!(read.weight_root().as_bytes(), &[7; 32]);
}

#[test]
fn the_format_is_pinned() {
    let bytes = descriptor().encode();
    // Version 1, advice profile 0, B = 8, 11 tensors, the first 6 x 5 x 3.
    let start = [1, 0, 0, 0, 0, 8, 0, 0, 0, 11, 0, 0, 0, 6, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0];
    assert_eq!(bytes[..start.len()], start);
    assert_eq!(bytes[bytes.len() - 32..], [7; 32]);
    assert_eq!(descriptor().model_id().to_string(), PINNED_ID);
}

const PINNED_ID: &str = "ef2c262b71873b1f160889228d1a255b6ba8f386ba6efe331d58582615a1f3c3";

#[test]
fn every_truncation_and_every_byte_behind_is_refused() {
    let mut bytes = descriptor().encode();
    for length in 0..bytes.len() {
        let error = Descriptor::decode(&bytes[..length]).unwrap_err();
        assert!(matches!(error, DescriptorError::Decode(_)), "{length}: {error}");
    }
    let expected = bytes.len();
    bytes.push(0);
    let error = Descriptor::decode(&bytes).unwrap_err();
    assert_eq!(error, DescriptorError::NotCanonical { expected, got: expected + 1 });
}

#[test]
fn every_changed_byte_is_refused_or_another_model() {
    let original = descriptor();
    let mut bytes = original.encode();
    let mut accepted = 0;
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            bytes[at] ^= flip;
            if let Ok(read) = Descriptor::decode(&bytes) {
                assert_ne!(read.model_id(), original.model_id(), "byte {at}");
                assert_eq!(read.encode(), bytes);
                run(&read);
                accepted += 1;
            }
            bytes[at] ^= flip;
        }
    }
    // At least the root's bytes are free.
    assert!(accepted >= 64, "{accepted}");
}

#[test]
fn every_constant_is_under_the_id() {
    let changes: &[fn(&mut Program)] = &[
        |p| p.tensors[0].interval.lo = -126,
        |p| {
            let Site::Requant { form, .. } = &mut p.sites[4] else { panic!("a Requant") };
            form.terms[0] = Term::Local { tensor: 3, m: 701 };
        },
        |p| p.segments[0].off += 4,
        |p| p.tables.swap(0, 1),
    ];
    let original = descriptor().model_id();
    for change in changes {
        let mut program = network(0).program;
        change(&mut program);
        let changed = Descriptor::new(program.check().unwrap(), Digest::from([7; 32])).unwrap();
        assert_ne!(changed.model_id(), original);
    }
}

#[test]
fn announced_lengths_need_their_bytes() {
    let mut bytes = descriptor().encode();
    // The number of tensors.
    bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = Descriptor::decode(&bytes).unwrap_err();
    let DescriptorError::Decode(DecodeError::Truncated { what, expected, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((what, expected), ("list", u32::MAX as usize * 20));

    let large = vec![0; MAX_DESCRIPTOR_BYTES + 1];
    let got = large.len();
    assert_eq!(Descriptor::decode(&large).unwrap_err(), DescriptorError::TooLarge { got });
    let version = Descriptor::decode(&[2, 0, 0, 0]).unwrap_err();
    assert_eq!(version, DescriptorError::Version { expected: 1, got: 2 });
}

/// Verifies a proof for what was read, and runs it unless it is large: any result will do, except a
/// panic.
fn run(read: &Descriptor) {
    let program = read.program();
    for lb in [0, 3] {
        refuse_any_linear_proof(program, lb);
    }
    if program.sizes(0).unwrap().advice_cells > 1 << 20 {
        return;
    }
    let weights = network(0).weights;
    let _ = program.check_weights(&weights);
    let input = vec![1; program.program().tensors[0].shape.cells()];
    if let Ok(run) = execute(program, &weights, &input) {
        let columns = Columns::new(program, &program.sizes(0).unwrap()).unwrap();
        let _ = Witness::new(program, &columns, 0, &[run]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Descriptor::decode(&bytes);
        let mut versioned = vec![1, 0, 0, 0, 0];
        versioned.extend_from_slice(&bytes);
        let _ = Descriptor::decode(&versioned);
    }

    #[test]
    fn changed_descriptors_never_panic(at in 0_usize..1500, bytes in any::<[u8; 4]>()) {
        let mut changed = descriptor().encode();
        let at = at % (changed.len() - 4);
        changed[at..at + 4].copy_from_slice(&bytes);
        if let Ok(read) = Descriptor::decode(&changed) {
            prop_assert_eq!(read.encode(), changed);
            run(&read);
        }
    }
}
