use assay_primitives::{Digest, Network, OperatorId, Timestamp};
use assay_receipt::{
    Envelope, KeyManifest, KeyPurpose, ManifestContent, ManifestKey, SettlementAddress, SigningKey,
};

use crate::SeededRandomness;
use crate::transaction::{DEVELOPMENT, PAY_TO, account};

/// An operator with its keys and what its key manifest says.
#[derive(Clone, Debug)]
pub struct SampleOperator {
    /// Signs the key manifest.
    pub identity: SigningKey,
    /// Signs receipts and settlement records.
    pub receipt_key: SigningKey,
    /// What the manifest says; the operator's id and identity key are filled in when it is signed.
    pub manifest: ManifestContent,
}

/// 2026-01-01T00:00:00.000Z
const KEYS_FROM: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// 2028-01-01T00:00:00.000Z
const KEYS_TO: Timestamp = Timestamp::from_seconds(1_830_297_600);
/// `SubjectPublicKeyInfo { id-Ed25519 }` up to the 32 bytes of the key (RFC 8410).
const ED25519_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl SampleOperator {
    /// Makes the operator of a seed. It is paid on eip155:31337 and on eip155:8453.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let randomness = SeededRandomness::new(seed);
        let key = || SigningKey::generate(&randomness).expect("seeded randomness does not fail");
        let (identity, receipt_key) = (key(), key());
        let listed = |purpose, public_key| ManifestKey {
            purpose,
            public_key,
            valid_from: KEYS_FROM,
            valid_to: KEYS_TO,
        };
        let ledger_key = [ED25519_PREFIX.as_slice(), Digest::of(b"ledger").as_bytes()].concat();
        let paid_on =
            |chain| SettlementAddress { network: Network::eip155(chain), account: account(PAY_TO) };
        let manifest = ManifestContent {
            operator: OperatorId(Digest::ZERO),
            identity_key: Vec::new(),
            version: 1,
            previous: None,
            issued_at: KEYS_FROM,
            keys: vec![
                listed(KeyPurpose::Receipt, receipt_key.public().as_der().to_vec()),
                listed(KeyPurpose::Ledger, ledger_key),
            ],
            settlement_addresses: vec![paid_on(DEVELOPMENT), paid_on(8_453)],
            gateways: vec!["https://gateway.example".to_owned()],
            enclave_measurements: Vec::new(),
            revocations: Vec::new(),
        };
        Self { identity, receipt_key, manifest }
    }

    /// Returns the operator's id.
    #[must_use]
    pub fn id(&self) -> OperatorId {
        OperatorId(self.identity.public().id().0)
    }

    /// Signs the manifest.
    #[must_use]
    pub fn manifest_envelope(&self) -> Envelope {
        KeyManifest::sign(self.manifest.clone(), &self.identity).expect("a manifest is JSON")
    }
}
