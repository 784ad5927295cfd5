use super::*;

/// A key that is the same in every run.
fn key(seed: u8) -> SigningKey {
    #[derive(Debug)]
    struct Fixed(u8);

    impl assay_primitives::Randomness for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), assay_primitives::RandomnessError> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    SigningKey::generate(&Fixed(seed)).unwrap()
}

fn listed(seed: u8) -> ManifestKey {
    ManifestKey {
        purpose: KeyPurpose::Receipt,
        public_key: key(seed).public().as_der().to_vec(),
        valid_from: Timestamp::from_seconds(100),
        valid_to: Timestamp::from_seconds(200),
    }
}

fn content() -> ManifestContent {
    ManifestContent {
        operator: OperatorId(Digest::ZERO),
        identity_key: Vec::new(),
        version: 1,
        previous: None,
        issued_at: Timestamp::from_seconds(100),
        keys: vec![listed(2)],
        settlement_addresses: vec![],
        gateways: vec![],
        enclave_measurements: vec![],
        revocations: vec![],
    }
}

fn open(content: ManifestContent) -> Result<KeyManifest, ManifestError> {
    KeyManifest::open(&KeyManifest::sign(content, &key(1)).unwrap())
}

fn revocation(seed: u8) -> KeyRevocation {
    let time = Timestamp::from_seconds(150);
    KeyRevocation { key: key(seed).public().id(), reason: "stolen".into(), time }
}

#[test]
fn keys_are_found_by_id_and_purpose() {
    let manifest = open(content()).unwrap();
    let id = key(2).public().id();
    assert_eq!(manifest.receipt_key(id), Some((key(2).public(), &listed(2))));
    assert_eq!(manifest.key(id, KeyPurpose::Ledger), None);
    assert_eq!(manifest.receipt_key(key(3).public().id()), None);
}

#[test]
fn another_identity_cannot_sign() {
    let mut envelope = KeyManifest::sign(content(), &key(1)).unwrap();
    let stolen = Envelope::sign(MANIFEST_PAYLOAD_TYPE, envelope.payload.clone(), &key(9));
    let error = KeyManifest::open(&stolen).unwrap_err();
    assert!(matches!(error, ManifestError::Envelope(DsseError::KeyId { .. })), "{error}");
    // With the right hint, the signature itself does not hold.
    envelope.signatures[0].sig.clone_from(&stolen.signatures[0].sig);
    let error = KeyManifest::open(&envelope).unwrap_err();
    assert!(matches!(error, ManifestError::Envelope(DsseError::Signature(_))), "{error}");
}

#[test]
fn the_operator_is_the_identity_key() {
    let mut wrong = content();
    wrong.identity_key = key(1).public().as_der().to_vec();
    let envelope = Envelope::sign(MANIFEST_PAYLOAD_TYPE, json::to_vec(&wrong).unwrap(), &key(1));
    let error = KeyManifest::open(&envelope).unwrap_err();
    assert!(matches!(error, ManifestError::Operator { .. }), "{error}");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let again = ManifestKey { valid_to: Timestamp::from_seconds(900), ..listed(2) };
    let ledger = ManifestKey { purpose: KeyPurpose::Ledger, ..listed(2) };
    let ended = ManifestKey { valid_to: Timestamp::from_seconds(99), ..listed(2) };
    for (field, wrong) in [
        ("length", ManifestContent { gateways: vec![" ".repeat(1 << 20)], ..content() }),
        ("keys", ManifestContent { keys: vec![listed(2), again], ..content() }),
        ("keys", ManifestContent { keys: vec![listed(2), ledger], ..content() }),
        ("validTo", ManifestContent { keys: vec![ended], ..content() }),
        ("version", ManifestContent { version: 0, ..content() }),
        ("previous", ManifestContent { version: 2, ..content() }),
        ("previous", ManifestContent { previous: Some(Digest::ZERO), ..content() }),
        ("revocations", ManifestContent { revocations: vec![revocation(2); 2], ..content() }),
    ] {
        match open(wrong).unwrap_err() {
            ManifestError::Field { field: got, .. } => assert_eq!(got, field),
            error => panic!("{field}: {error}"),
        }
    }
    let unread = ManifestKey { public_key: vec![0; 91], ..listed(2) };
    let error = open(ManifestContent { keys: vec![unread], ..content() }).unwrap_err();
    assert!(matches!(error, ManifestError::Key(_)), "{error}");
}

#[test]
fn a_manifest_only_grows() {
    let first = open(content()).unwrap();
    let next = ManifestContent {
        version: 2,
        previous: Some(first.digest()),
        keys: vec![listed(2), listed(3)],
        enclave_measurements: vec!["nitro:pcr0=00".into(), "what nobody reads".into()],
        revocations: vec![revocation(2)],
        ..content()
    };
    let second = open(next.clone()).unwrap();
    assert_eq!(second.check_follows(&first), Ok(()));
    assert_eq!(first.check_follows(&first), Ok(()));

    let later = ManifestContent { version: 4, previous: Some(Digest::ZERO), ..next.clone() };
    assert_eq!(open(later.clone()).unwrap().check_follows(&second), Ok(()));
    let mut more = later.clone();
    more.enclave_measurements.insert(0, "tdx:mrtd=00".into());
    assert_eq!(open(more).unwrap().check_follows(&second), Ok(()));

    let moved = ManifestKey { valid_from: Timestamp::from_seconds(50), ..listed(2) };
    for (lost, wrong) in [
        ("key", ManifestContent { keys: vec![listed(3)], ..later.clone() }),
        ("key", ManifestContent { keys: vec![moved, listed(3)], ..later.clone() }),
        (
            "the enclave image `what nobody reads`",
            ManifestContent { enclave_measurements: vec!["nitro:pcr0=00".into()], ..later.clone() },
        ),
        (
            "the enclave image `nitro:pcr0=00`",
            ManifestContent { enclave_measurements: vec![], ..later.clone() },
        ),
        ("the revocation", ManifestContent { revocations: vec![], ..later }),
        ("one is", ManifestContent { gateways: vec!["https://x".into()], ..next.clone() }),
    ] {
        let error = open(wrong).unwrap().check_follows(&second).unwrap_err();
        assert!(
            matches!(&error, ManifestError::History { lost: got, .. } if got.starts_with(lost)),
            "{error}"
        );
    }
    let stranger = ManifestContent { previous: Some(Digest::ZERO), ..next };
    let error = open(stranger).unwrap().check_follows(&first).unwrap_err();
    assert!(error.to_string().contains("does not name"), "{error}");
}
