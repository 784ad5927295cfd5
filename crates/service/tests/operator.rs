use std::time::Duration;

use assay_primitives::{OperatorId, SystemRandomness, Timestamp};
use assay_receipt::{
    Envelope, KeyManifest, KeyPurpose, KeyRevocation, ManifestContent, ManifestKey, SigningKey,
};
use assay_service::{Operator, OperatorError};

fn new_key() -> SigningKey {
    SigningKey::generate(&SystemRandomness).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

/// Signs a manifest whose one receipt key is in use for a minute.
fn manifest(receipt: &SigningKey, edit: impl FnOnce(&mut ManifestContent)) -> Envelope {
    let identity = new_key();
    let mut content = ManifestContent {
        operator: OperatorId(identity.public().id().0),
        identity_key: Vec::new(),
        version: 1,
        previous: None,
        issued_at: at(0),
        keys: vec![ManifestKey {
            purpose: KeyPurpose::Receipt,
            public_key: receipt.public().as_der().to_vec(),
            valid_from: at(0),
            valid_to: at(60),
        }],
        settlement_addresses: Vec::new(),
        gateways: Vec::new(),
        enclave_measurements: Vec::new(),
        revocations: Vec::new(),
    };
    edit(&mut content);
    KeyManifest::sign(content, &identity).unwrap()
}

#[test]
fn a_key_sells_while_it_is_in_use() {
    let key = new_key();
    let open = |now| Operator::new(manifest(&key, |_| {}), key.clone(), now);
    assert!(open(at(0)).is_ok() && open(at(60)).is_ok());
    let (from, to) = (at(0), at(60));
    for now in [Timestamp::from_seconds(1_799_999_999), at(60).plus(Duration::from_millis(1))] {
        assert_eq!(open(now).unwrap_err(), OperatorError::NotValid { from, to, now });
    }
}

#[test]
fn keys_that_cannot_sell_are_named() {
    let (key, other) = (new_key(), new_key());
    let id = key.public().id();
    let error = Operator::new(manifest(&other, |_| {}), key.clone(), at(1)).unwrap_err();
    assert_eq!(error, OperatorError::NotListed(id));
    let revoked = manifest(&key, |content| {
        let reason = "lost".to_owned();
        content.revocations.push(KeyRevocation { key: id, reason, time: at(1) });
    });
    let error = Operator::new(revoked, key.clone(), at(2)).unwrap_err();
    assert_eq!(error, OperatorError::Revoked(id));
    let mut altered = manifest(&key, |_| {});
    altered.payload.push(b' ');
    let error = Operator::new(altered, key, at(1)).unwrap_err();
    assert!(matches!(error, OperatorError::Manifest(_)), "{error}");
}
