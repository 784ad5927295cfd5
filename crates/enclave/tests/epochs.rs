//! How keys come and go.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Duration;

use assay_attest::MAX_EPOCH;
use assay_enclave::{Answer, Ask, EnclaveError, FailureReason};
use assay_engine::Tract;
use assay_primitives::{KeyId, Timestamp};

use crate::support::{
    EPOCH, MILLISECOND, NOW, PACKAGES, Signed, Start, World, digits, request, salts,
};

const MINUTE: Duration = Duration::from_secs(60);

fn at(world: &World, time: Timestamp) -> Signed {
    world.clock.set(time);
    let signed = world.sign();
    assert_eq!(signed.statement.claimed_time(), time);
    signed
}

/// Says why a model is not run.
fn refused(world: &World) -> FailureReason {
    let (model, [request_salt, output_salt]) = (digits().id(), salts());
    let ask = Ask::Infer { model, request_salt, output_salt };
    let answer = world.ask(ask, &request(digits()).to_bytes().unwrap());
    match answer.header {
        Answer::Failed { reason, .. } => reason,
        other => panic!("it was run: {other:?}"),
    }
}

#[test]
fn the_next_epoch_begins_at_the_middle() {
    let world = World::new();
    let first = at(&world, NOW);
    for time in [NOW, NOW.plus(MINUTE), NOW.plus(EPOCH / 2).minus(MILLISECOND)] {
        world.clock.set(time);
        world.enclave.renew().unwrap();
        assert_eq!(world.sign().key, first.key);
    }
    assert_eq!(world.gate.asked(), 1);
    world.clock.set(NOW.plus(EPOCH / 2));
    world.enclave.renew().unwrap();
    let second = world.sign();
    assert_ne!(second.key, first.key);
    world.enclave.renew().unwrap();
    assert_eq!((world.sign().key, world.gate.asked()), (second.key, 2));
    for signed in [&first, &second] {
        world.assert_attested(signed);
    }
    // Neither key stands for the other.
    let key = world.appraise(&second.attestation, NOW.plus(EPOCH / 2)).unwrap();
    assert!(first.statement.verify(key.key()).is_err());
}

#[test]
fn a_key_is_never_used_after_its_epoch() {
    let world = World::new();
    let first = at(&world, NOW.plus(EPOCH));
    assert_eq!(world.gate.asked(), 1);
    let second = at(&world, NOW.plus(EPOCH).plus(MILLISECOND));
    assert_ne!(first.key, second.key);
    world.assert_attested(&first);
    world.assert_attested(&second);
    // What the first key would have signed then is refused.
    let late = second.statement.claimed_time();
    assert!(world.appraise(&first.attestation, late).is_err());
}

/// Day and night, whether somebody renews or not.
#[test]
fn every_statement_is_signed_with_a_key_attested_then() {
    for renews in [false, true] {
        let world = World::new();
        let mut keys = BTreeSet::new();
        let mut signed = Vec::new();
        for step in 0..200_u32 {
            let time = NOW.plus(step * Duration::from_secs(397));
            world.clock.set(time);
            if renews {
                world.enclave.renew().unwrap();
            }
            signed.push(at(&world, time));
            keys.insert(signed.last().unwrap().key);
        }
        assert_eq!(keys.len(), world.gate.asked());
        // 79,400 s are 44.1 epochs.
        assert!(if renews { keys.len() >= 66 } else { (40..=45).contains(&keys.len()) });
        // Old ones hold as of their time.
        for signed in &signed {
            world.assert_attested(signed);
        }
    }
}

#[test]
fn many_at_the_edge_of_an_epoch_begin_one() {
    let world = World::new();
    for number in 1..=4_u32 {
        let edge = NOW.plus(number * (EPOCH + MILLISECOND));
        let barrier = Barrier::new(16);
        let keys = std::sync::Mutex::new(BTreeSet::<KeyId>::new());
        world.clock.set(edge);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (world, barrier, keys) = (&world, &barrier, &keys);
                scope.spawn(move || {
                    barrier.wait();
                    if thread % 4 == 0 {
                        world.enclave.renew().unwrap();
                    }
                    let signed = world.sign();
                    world.assert_attested(&signed);
                    keys.lock().unwrap().insert(signed.key);
                });
            }
        });
        assert_eq!(keys.into_inner().unwrap().len(), 1);
        assert_eq!(world.gate.asked(), 1 + usize::try_from(number).unwrap());
    }
}

#[test]
fn a_key_without_evidence_signs_nothing() {
    let world = World::new();
    let first = at(&world, NOW);
    world.gate.set_closed(true);
    // In its epoch the old key serves, whoever asks for the next.
    for time in [NOW.plus(EPOCH / 2), NOW.plus(EPOCH).minus(MINUTE), NOW.plus(EPOCH)] {
        world.clock.set(time);
        assert!(matches!(world.enclave.renew(), Err(EnclaveError::Attester(_))));
        let signed = at(&world, time);
        assert_eq!(signed.key, first.key);
        world.assert_attested(&signed);
    }
    // Then nothing is signed, and nothing is answered that could be.
    world.clock.set(NOW.plus(EPOCH).plus(MILLISECOND));
    for _ in 0..3 {
        assert_eq!(refused(&world), FailureReason::Attester);
    }
    for ask in [Ask::Attestation, Ask::Attest] {
        let answer = world.ask(ask, b"nonce");
        let Answer::Failed { reason, .. } = answer.header else { panic!("{:?}", answer.header) };
        assert_eq!((reason, answer.body.len()), (FailureReason::Attester, 0));
    }
    assert!(matches!(world.enclave.renew(), Err(EnclaveError::Attester(_))));
    // It recovers by itself.
    world.gate.set_closed(false);
    let next = world.sign();
    assert_ne!(next.key, first.key);
    world.assert_attested(&next);
}

#[test]
fn an_enclave_does_not_start_without_evidence() {
    let start = Start::new();
    start.gate.set_closed(true);
    let started = start.enclave(EPOCH, PACKAGES.as_slice(), &Tract);
    assert!(matches!(started, Err(EnclaveError::Attester(_))));
}

#[test]
fn an_epoch_is_from_a_second_to_an_hour() {
    let start = Start::new();
    let second = Duration::from_secs(1);
    for epoch in [second, MAX_EPOCH] {
        start.enclave(epoch, &[], &Tract).unwrap();
    }
    for epoch in [Duration::ZERO, second - MILLISECOND, MAX_EPOCH + MILLISECOND, Duration::MAX] {
        let started = start.enclave(epoch, &[], &Tract);
        assert!(matches!(started, Err(EnclaveError::Epoch(got)) if got == epoch));
    }
}

/// Whoever gets an answer right before a key is rotated away asks for its attestation right after.
#[test]
fn the_attestation_of_the_key_before_is_still_to_be_had() {
    let world = World::new();
    let keys: Vec<KeyId> =
        (0..6_u32).map(|number| at(&world, NOW.plus(number * (EPOCH + MILLISECOND))).key).collect();
    let has = |key: &KeyId| {
        let answer = world.ask(Ask::AttestationOf { key: *key }, b"");
        match answer.header {
            Answer::Attestation => true,
            Answer::Failed { reason: FailureReason::UnknownKey, .. } => false,
            other => panic!("{other:?}"),
        }
    };
    let kept: Vec<bool> = keys.iter().map(has).collect();
    assert_eq!(kept, [false, false, true, true, true, true]);
}

#[test]
fn a_clock_that_steps_back_a_little_begins_no_epoch() {
    let world = World::new();
    let first = at(&world, NOW);
    for step in [MILLISECOND, MINUTE] {
        world.clock.set(NOW.minus(step));
        let signed = world.sign();
        // At the epoch's beginning, where its key is attested.
        assert_eq!((signed.key, signed.statement.claimed_time()), (first.key, NOW));
        world.assert_attested(&signed);
    }
    world.enclave.renew().unwrap();
    assert_eq!(world.gate.asked(), 1);
}

#[test]
fn a_clock_that_is_set_back_begins_one_epoch() {
    let world = World::new();
    let first = at(&world, NOW);
    let before = NOW.minus(2 * EPOCH);
    let second = at(&world, before);
    assert_ne!(first.key, second.key);
    for number in 1..20_u32 {
        let signed = at(&world, before.plus(number * MINUTE));
        assert_eq!(signed.key, second.key);
        world.assert_attested(&signed);
    }
    assert_eq!(world.gate.asked(), 2);
}

#[test]
fn the_models_are_attested_in_order_and_each_once() {
    let start = Start::new();
    let [one, two] = &*PACKAGES;
    let given = [two.clone(), one.clone(), two.clone()];
    let enclave = start.enclave(EPOCH, &given, &Tract).unwrap();
    let asked = assay_enclave::Frame { header: Ask::Describe, body: Vec::new() };
    let Answer::Description(description) = enclave.answer(&asked).header else { panic!() };
    let models = description.configuration.models;
    assert_eq!(models.len(), 2);
    assert!(models[0] < models[1]);
}
