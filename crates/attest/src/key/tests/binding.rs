use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Every part of a binding changed, by name.
pub(super) fn changes() -> Vec<(&'static str, KeyBinding)> {
    let later = |time: Timestamp| time.plus(Duration::from_millis(1));
    let configuration = |change: fn(&mut EnclaveConfiguration)| {
        let mut binding = sample();
        change(&mut binding.configuration);
        binding
    };
    let beacon = |network: &str, number, hash| {
        let network = network.to_owned();
        let beacon = Some(Beacon { network, number, hash: Digest::of(hash) });
        KeyBinding { beacon, ..sample() }
    };
    vec![
        ("epoch key", KeyBinding { epoch_key: key(2).public().as_der().to_vec(), ..sample() }),
        ("HPKE key", KeyBinding { hpke_key: Some(vec![1; 32]), ..sample() }),
        ("another HPKE key", KeyBinding { hpke_key: Some(vec![2; 32]), ..sample() }),
        ("TLS key", KeyBinding { tls_key: Some(Digest([1; 32])), ..sample() }),
        ("a TLS key of zeros", KeyBinding { tls_key: Some(Digest::ZERO), ..sample() }),
        ("beginning", KeyBinding { not_before: later(sample().not_before), ..sample() }),
        ("end", KeyBinding { not_after: later(sample().not_after), ..sample() }),
        ("engine", configuration(|it| it.engine.name.push('x'))),
        ("engine's version", configuration(|it| it.engine.version.push('x'))),
        ("fewer models", configuration(|it| it.models.truncate(1))),
        ("another model", configuration(|it| it.models[1] = ModelId(Digest([0xff; 32])))),
        ("scope", configuration(|it| it.scope = EvidenceScope::Gateway)),
        ("beacon", beacon("eip155:1", 1, b"a")),
        ("beacon's network", beacon("eip155:2", 1, b"a")),
        ("beacon's number", beacon("eip155:1", 2, b"a")),
        ("beacon's hash", beacon("eip155:1", 1, b"b")),
        ("nonce", KeyBinding { nonce: Some(vec![1; 32]), ..sample() }),
        ("another nonce", KeyBinding { nonce: Some(vec![1; 31]), ..sample() }),
    ]
}

#[test]
fn every_part_of_a_binding_changes_its_digest() {
    let digests = changes().into_iter().map(|(_, binding)| binding).chain([sample()]);
    let digests: BTreeSet<_> = digests.map(|binding| binding.digest()).collect();
    assert_eq!(digests.len(), changes().len() + 1);
}

/// The bytes that are hashed, spelt out: whoever verifies with other software has to find the same.
#[test]
fn the_digest_is_that_of_the_documentation() {
    use sha2::{Digest as _, Sha256, Sha512};

    let binding = KeyBinding {
        epoch_key: b"epoch".to_vec(),
        hpke_key: Some(b"hpke".to_vec()),
        tls_key: Some(Digest([3; 32])),
        not_before: Timestamp::from_millis(0x0102),
        not_after: Timestamp::from_millis(0x0304),
        configuration: EnclaveConfiguration {
            engine: EngineUsed { name: "e".to_owned(), version: "1".to_owned() },
            models: vec![ModelId(Digest([4; 32]))],
            scope: EvidenceScope::Gateway,
        },
        beacon: Some(Beacon { network: "eip155:1".to_owned(), number: 5, hash: Digest([6; 32]) }),
        nonce: Some(b"nonce".to_vec()),
    };
    let configuration = format!(
        r#"{{"engine":{{"name":"e","version":"1"}},"models":["{}"],"scope":"gateway"}}"#,
        "04".repeat(32)
    );
    let beacon = format!(r#"{{"network":"eip155:1","number":5,"hash":"{}"}}"#, "06".repeat(32));
    let mut hash = Sha512::new();
    hash.update(b"assay/tee-bind/v1");
    for (length, part) in [
        (5, b"epoch".to_vec()),
        (4, b"hpke".to_vec()),
        (32, vec![3; 32]),
        (8, vec![0, 0, 0, 0, 0, 0, 1, 2]),
        (8, vec![0, 0, 0, 0, 0, 0, 3, 4]),
        (32, Sha256::digest(configuration).to_vec()),
        (u8::try_from(beacon.len()).unwrap(), beacon.into_bytes()),
        (5, b"nonce".to_vec()),
    ] {
        hash.update([0, 0, 0, 0, 0, 0, 0, length]);
        hash.update(part);
    }
    let expected: [u8; 64] = hash.finalize().into();
    assert_eq!(binding.digest(), expected);
    assert_eq!(tpm_extra_data(&expected), <[u8; 32]>::from(Sha256::digest(expected)));
    let cpu = Digest([8; 32]);
    let nonce = Sha256::digest([&b"gpu"[..], &expected, cpu.as_bytes()].concat());
    assert_eq!(gpu_nonce(&expected, cpu), <[u8; 32]>::from(nonce));
}

fn optional(most: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(0..2_u8, 1..most))
}

prop_compose! {
    /// Bindings of few and short values, so that parts of one could stand for parts of another.
    fn bindings()(
        epoch_key in prop::collection::vec(0..2_u8, 0..4),
        hpke_key in optional(4),
        nonce in optional(4),
        tls_key in prop::option::of((0..2_u8).prop_map(|byte| Digest([byte; 32]))),
        times in [0..2_u64, 0..2_u64],
        models in prop::collection::btree_set(0..3_u8, 0..3),
        number in prop::option::of(0..2_u64),
        is_gateway in any::<bool>(),
        engine in ["[ab]{0,2}", "[ab]{0,2}"],
    ) -> KeyBinding {
        let [name, version] = engine;
        let [not_before, not_after] = times.map(Timestamp::from_millis);
        let network = String::new();
        KeyBinding {
            epoch_key,
            hpke_key,
            tls_key,
            not_before,
            not_after,
            configuration: EnclaveConfiguration {
                engine: EngineUsed { name, version },
                models: models.into_iter().map(|byte| ModelId(Digest([byte; 32]))).collect(),
                scope: if is_gateway { EvidenceScope::Gateway } else { EvidenceScope::Model },
            },
            beacon: number.map(|number| Beacon { network, number, hash: Digest::ZERO }),
            nonce,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No part can be taken for another: each has its length before it.
    #[test]
    fn two_bindings_have_two_digests(one in bindings(), other in bindings()) {
        prop_assert_eq!(one == other, one.digest() == other.digest());
    }

    /// What is moved from the end of one part to the beginning of the next is another binding.
    #[test]
    fn bytes_cannot_be_moved_between_parts(
        bytes in prop::collection::vec(any::<u8>(), 2..40),
        one in 1..20_usize,
        other in 1..20_usize,
    ) {
        let split = |at: usize| {
            let (key, hpke) = bytes.split_at(at % bytes.len());
            let hpke_key = Some(hpke.to_vec());
            KeyBinding { epoch_key: key.to_vec(), hpke_key, ..sample() }
        };
        prop_assume!(one % bytes.len() != other % bytes.len());
        prop_assert_ne!(split(one).digest(), split(other).digest());
    }
}
