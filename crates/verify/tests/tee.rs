//! Items that an attested enclave ran: what certifies them, and each way in which it does not.
//!
//! The enclave's evidence is of a simulated Nitro module, laid out and signed as a real one's, under a
//! root that the tests made: what they find is `simulated` and never better. Evidence under a vendor's
//! root for a key of the tests does not exist.

mod images;
mod told;

use std::sync::Arc;
use std::time::Duration;

use assay_attest::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
use assay_attest::{
    self as attest, EnclaveConfiguration, EvidenceKind, KEY_ATTESTATION_MEDIA_TYPE, KeyAttestation,
    KeyBinding, ReferenceValue, Roots,
};
use assay_primitives::{Digest, Method, ModelId, Timestamp, encoding};
use assay_receipt::{
    Bundle, DSSE_MEDIA_TYPE, DsseSignature, ENCLAVE_STATEMENT_PAYLOAD_TYPE, EnclaveStatement,
    Envelope, EvidenceScope, SigningKey, TransactionSecret, commit_output, commit_request,
};
use assay_testkit::{
    DEVELOPMENT, FakeClock, ISSUED_AT, SampleTransaction, SeededRandomness, VERIFIED_AT,
    sample_transaction,
};
use assay_verify::{Check, Methods, Policy, Report, Tee, Verifier};

use crate::mutation::signatures::twin;
use crate::support::{pinning, refused, verdict, verify, verify_at};

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);
/// What the enclaves of the tests measured.
const IMAGE: [u8; 48] = [7; 48];

/// A simulated enclave with the key of an epoch.
struct Enclave {
    clock: Arc<FakeClock>,
    nitro: SimulatedNitro,
    roots: Roots,
    key: SigningKey,
    binding: KeyBinding,
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&SeededRandomness::new(seed)).unwrap()
}

/// Makes a simulated Nitro module that measured an image, and the roots with its own.
fn simulated(image: [u8; 48]) -> (SimulatedNitro, Roots, Arc<FakeClock>) {
    let root = SimulatedNitroRoot::generate(ISSUED_AT.minus(5_000 * MINUTE)).unwrap();
    let roots = Roots::vendors().with_development(root.certificate().clone());
    let clock = Arc::new(FakeClock::new(ISSUED_AT));
    (SimulatedNitro::new(root, image, clock.clone()), roots, clock)
}

impl Enclave {
    /// The epoch is from 10 minutes before the receipt to 20 after it.
    fn new(transaction: &SampleTransaction) -> Self {
        let (nitro, roots, clock) = simulated(IMAGE);
        let key = key(40);
        let model = &transaction.items[0].details.model;
        let configuration = EnclaveConfiguration {
            engine: model.engine.clone(),
            models: vec![model.package],
            scope: EvidenceScope::Model,
        };
        let epoch = (ISSUED_AT.minus(10 * MINUTE), ISSUED_AT.plus(20 * MINUTE));
        let binding = KeyBinding::new(key.public(), epoch, configuration);
        Self { clock, nitro, roots, key, binding }
    }

    /// Has it measure another image.
    fn measure(&mut self, image: [u8; 48]) {
        (self.nitro, self.roots, self.clock) = simulated(image);
    }

    /// Returns the key's attestation, made at the beginning of its epoch.
    fn attestation(&self) -> Vec<u8> {
        self.clock.set(self.binding.not_before);
        let evidence = self.nitro.attest(&self.binding).unwrap();
        KeyAttestation::new(self.binding.clone(), evidence).to_bytes().unwrap()
    }
}

/// A transaction whose first item an enclave ran. Change what is to be wrong with it.
struct Sale {
    transaction: SampleTransaction,
    enclave: Enclave,
    statement: EnclaveStatement,
}

type Evidence = Vec<(&'static str, Vec<u8>)>;

impl Sale {
    fn new() -> Self {
        Self::of(sample_transaction(8_453).settled())
    }

    fn of(mut transaction: SampleTransaction) -> Self {
        for item in &mut transaction.items {
            item.details.method = Method::TEE;
        }
        let enclave = Enclave::new(&transaction);
        let statement = statement(&transaction, 0);
        Self { transaction, enclave, statement }
    }

    fn evidence(&self) -> Evidence {
        vec![
            (KEY_ATTESTATION_MEDIA_TYPE, self.enclave.attestation()),
            (DSSE_MEDIA_TYPE, self.statement.sign(&self.enclave.key).unwrap()),
        ]
    }

    fn bundle(&self) -> Bundle {
        self.bundle_with(&self.evidence())
    }

    fn bundle_with(&self, evidence: &[(&str, Vec<u8>)]) -> Bundle {
        with_evidence(self.transaction.clone(), evidence).bundle()
    }

    /// Returns the bundle with the statement's envelope changed after it was signed.
    fn bundle_resigned(&self, change: impl FnOnce(&mut Envelope)) -> Bundle {
        let mut evidence = self.evidence();
        let mut envelope: Envelope = assay_primitives::json::from_slice(&evidence[1].1).unwrap();
        change(&mut envelope);
        evidence[1].1 = assay_primitives::json::to_vec(&envelope).unwrap();
        self.bundle_with(&evidence)
    }

    fn verifier(&self) -> Verifier {
        self.verifier_with(self.pinning(), attest::Policy::default())
    }

    fn verifier_with(&self, policy: Policy, attestation: attest::Policy) -> Verifier {
        let tee = Tee::new(self.enclave.roots.clone(), attestation);
        Verifier::new(policy, Methods::standard().with(tee))
    }

    /// A policy that pins operator and model.
    fn pinning(&self) -> Policy {
        pinning(&self.transaction)
    }

    fn report(&self) -> Report {
        verify(&self.verifier(), &self.bundle())
    }

    #[track_caller]
    fn assert_holds(&self) -> Report {
        let report = self.report();
        assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
        report
    }

    /// Asserts that the item is not certified, and returns what was expected and what was found.
    #[track_caller]
    fn assert_refused(&self) -> (String, String) {
        assert_uncertified(&self.report())
    }
}

#[track_caller]
fn assert_uncertified(report: &Report) -> (String, String) {
    assert_eq!(refused(report), (Check::ItemCertification, Some(0)));
    assert_eq!(report.items[0].believe, "");
    let refusal = report.refusal.clone().unwrap();
    (refusal.expected, refusal.got)
}

fn with_evidence(
    mut transaction: SampleTransaction,
    evidence: &[(&str, Vec<u8>)],
) -> SampleTransaction {
    for (kind, content) in evidence {
        transaction = transaction.with_evidence(0, kind, content);
    }
    transaction
}

/// What an enclave says of an item of a transaction, a second before the receipt.
fn statement(transaction: &SampleTransaction, index: u32) -> EnclaveStatement {
    let item = &transaction.items[usize::try_from(index).unwrap()];
    let secret = &transaction.secret;
    let output = item.output.as_deref().unwrap();
    EnclaveStatement {
        model: item.details.model.clone(),
        usage: item.details.usage.clone(),
        request_commitment: commit_request(&secret.request_salt(index), &item.request),
        output_commitment: commit_output(&secret.output_salt(index), output),
        scope: EvidenceScope::Model,
        signed_at: ISSUED_AT.minus(Duration::from_secs(1)),
    }
}

/// A reference value of an image.
fn reference(image: [u8; 48]) -> attest::Policy {
    let value = ReferenceValue {
        name: "of the tests".to_owned(),
        kind: EvidenceKind::Nitro,
        source: None,
        builder: None,
        measurements: [("pcr0".to_owned(), encoding::hex(&image))].into(),
    };
    attest::Policy { reference_values: Some(vec![value]), ..attest::Policy::default() }
}

#[test]
fn an_item_that_an_enclave_signed_is_certified() {
    let sale = Sale::new();
    // The length of signatures varies.
    let bundle = sale.bundle();
    let report = verify(&sale.verifier(), &bundle);
    assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
    assert_eq!(report.items[0].believe, "nobody: its enclave is simulated");
    assert_eq!(report.items[0].method, Method::TEE);
    assert!(report.items[0].model.pinned);
    assert_eq!(report.items[0].signed_at, Some(sale.statement.signed_at));
    let json = serde_json::to_value(&report.items[0]).unwrap();
    assert_eq!(json["signedAt"], sale.statement.signed_at.to_string());
    // The evidence is the buyer's to look at.
    let sizes: usize = bundle.evidence.iter().map(|blob| blob.content.len()).sum();
    assert_eq!(report.items[0].evidence_bytes, sizes as u64);
}

/// Whatever a policy says: evidence under a root for development stays simulated.
#[test]
fn no_policy_makes_more_of_a_development_root() {
    for network in [8_453, DEVELOPMENT] {
        let sale = Sale::of(sample_transaction(network).settled());
        let mut unpinned = Policy::default();
        unpinned.methods = Some(vec![Method::TEE]);
        let mut no_operator = sale.pinning();
        no_operator.operators = None;
        let mut no_model = sale.pinning();
        no_model.models = None;
        let mut with_attestation = sale.pinning();
        with_attestation.attestation = Some(reference(IMAGE));
        let policies =
            [Policy::default(), unpinned, no_operator, no_model, with_attestation, sale.pinning()];
        let lenient = attest::Policy {
            allow_debug: true,
            min_strength: Some(attest::Strength::SignatureOnly),
            ..attest::Policy::default()
        };
        for attestation in [attest::Policy::default(), lenient, reference(IMAGE)] {
            for policy in &policies {
                let verifier = sale.verifier_with(policy.clone(), attestation.clone());
                let report = verify(&verifier, &sale.bundle());
                assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
                assert_eq!(report.items[0].verdict.as_str(), "simulated");
            }
        }
    }
}

#[test]
fn a_root_that_was_not_given_is_believed_by_nobody() {
    let sale = Sale::new();
    let verifier = Verifier::new(sale.pinning(), Methods::standard());
    let (expected, _) = assert_uncertified(&verify(&verifier, &sale.bundle()));
    assert!(expected.starts_with("chain.root: "), "{expected}");
    // Nor one of another such enclave.
    let other = Sale::new();
    let (expected, _) = assert_uncertified(&verify(&other.verifier(), &sale.bundle()));
    assert!(expected.starts_with("chain.root: "), "{expected}");
}

/// Pitfall 10: evidence that is relayed certifies nothing, as a statement is of one item of one
/// transaction.
#[test]
fn the_evidence_of_another_buyers_item_is_refused() {
    let mut sale = Sale::new();
    let mut other = sale.transaction.clone();
    other.secret = TransactionSecret::from_bytes([8; 32]);
    // The same question and the same answer, of the same enclave in the same epoch.
    sale.statement = statement(&other, 0);
    let (expected, got) = sale.assert_refused();
    assert!(expected.contains("request commitment"), "{expected}");
    assert_eq!(got, sale.statement.request_commitment.to_string());
}

#[test]
fn the_statement_is_of_the_item() {
    let two = || Sale::of(sample_transaction(8_453).with_items(2).settled());
    let mut sale = two();
    // The second item has its own.
    let other = statement(&sale.transaction, 1).sign(&sale.enclave.key).unwrap();
    let evidence = sale.evidence();
    let bundle = |first: &[u8], second: &[u8]| {
        let attestation = evidence[0].1.as_slice();
        let transaction = sale.transaction.clone();
        let kinds = [KEY_ATTESTATION_MEDIA_TYPE, DSSE_MEDIA_TYPE];
        transaction
            .with_evidence(0, kinds[0], attestation)
            .with_evidence(0, kinds[1], first)
            .with_evidence(1, kinds[0], attestation)
            .with_evidence(1, kinds[1], second)
            .bundle()
    };
    let verifier = sale.verifier();
    let first = evidence[1].1.as_slice();
    let report = verify(&verifier, &bundle(first, &other));
    assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
    let (expected, _) = assert_uncertified(&verify(&verifier, &bundle(&other, first)));
    assert!(expected.contains("request commitment"), "{expected}");
    // One for both.
    let report = verify(&verifier, &bundle(first, first));
    assert_eq!(refused(&report), (Check::ItemCertification, Some(1)));
    assert_eq!(report.items[0].verdict.as_str(), "simulated");
    // Another answer to the same question.
    sale = Sale::new();
    sale.statement.output_commitment = Digest::of(b"another");
    assert!(sale.assert_refused().0.contains("output commitment"));
    // An answer to another question.
    sale = Sale::new();
    sale.statement.request_commitment = Digest::of(b"another");
    assert!(sale.assert_refused().0.contains("request commitment"));
}

#[test]
fn the_statement_is_of_the_model_that_is_named() {
    type Change = fn(&mut assay_receipt::ModelUsed);
    let other = ModelId(Digest([0xff; 32]));
    let changes: [Change; 5] = [
        |model| model.name.push('x'),
        |model| model.version.push('x'),
        |model| model.package = ModelId(Digest([0xff; 32])),
        |model| model.program = Some(ModelId(Digest([1; 32]))),
        |model| model.engine.version.push('x'),
    ];
    for change in changes {
        let mut sale = Sale::new();
        sale.enclave.binding.configuration.models.push(other);
        change(&mut sale.statement.model);
        let (expected, got) = sale.assert_refused();
        assert_ne!(expected, got);
        assert!(expected.starts_with("digits 1.0.0 "), "{expected}");
    }
}

#[test]
fn the_model_and_the_engine_are_those_that_were_attested() {
    let mut sale = Sale::new();
    let package = sale.statement.model.package;
    sale.enclave.binding.configuration.models = vec![ModelId(Digest([0xff; 32]))];
    let (expected, got) = sale.assert_refused();
    assert_eq!(expected, "a model that the enclave was attested with");
    assert_eq!(got, package.to_string());
    sale.enclave.binding.configuration.models.clear();
    sale.assert_refused();
    sale.enclave.binding.configuration.models = vec![package, ModelId(Digest([0xff; 32]))];
    sale.enclave.binding.configuration.models.sort_unstable();
    sale.assert_holds();

    let mut sale = Sale::new();
    sale.enclave.binding.configuration.engine.version = "0".to_owned();
    let (expected, got) = sale.assert_refused();
    assert_eq!((expected.as_str(), got.as_str()), ("engine tract 0", "tract 0.23.9"));
    let mut sale = Sale::new();
    sale.enclave.binding.configuration.engine.name = "another".to_owned();
    sale.assert_refused();
}

#[test]
fn usage_is_what_the_enclave_counted() {
    let mut sale = Sale::new();
    sale.statement.usage.inferences = 2;
    let (expected, got) = sale.assert_refused();
    assert_eq!((expected.as_str(), got.as_str()), ("1 inferences", "2"));
}

/// Pitfall 12: an enclave that only forwards says so, and so does the verdict.
#[test]
fn how_far_an_enclave_speaks_is_said_alike_everywhere() {
    let (model, gateway) = (EvidenceScope::Model, EvidenceScope::Gateway);
    let judged = |attested, stated, referred: [EvidenceScope; 2]| {
        let mut sale = Sale::new();
        sale.enclave.binding.configuration.scope = attested;
        sale.statement.scope = stated;
        let mut transaction = with_evidence(sale.transaction.clone(), &sale.evidence());
        for (evidence, scope) in transaction.items[0].details.evidence.iter_mut().zip(referred) {
            evidence.scope = scope;
        }
        verify(&sale.verifier(), &transaction.bundle())
    };
    let said = |report: &Report| report.items[0].notes.iter().any(|n| n.starts_with("scope: "));
    let report = judged(model, model, [model; 2]);
    assert!(verdict(&report) == "simulated" && !said(&report));
    let report = judged(gateway, gateway, [gateway; 2]);
    assert!(verdict(&report) == "simulated" && said(&report));
    for (attested, stated, referred) in [
        (gateway, model, [model; 2]),
        (gateway, gateway, [model; 2]),
        (gateway, gateway, [gateway, model]),
        (gateway, gateway, [model, gateway]),
        (gateway, model, [gateway; 2]),
        (model, gateway, [model; 2]),
        (model, model, [gateway; 2]),
        (model, gateway, [gateway; 2]),
    ] {
        let (expected, got) = assert_uncertified(&judged(attested, stated, referred));
        assert_eq!(expected, format!("scope {attested:?}"));
        assert_ne!(got, format!("{attested:?}"));
    }
}

#[test]
fn a_statement_is_signed_in_the_epoch_of_its_key() {
    let mut sale = Sale::new();
    let KeyBinding { not_before, not_after, .. } = sale.enclave.binding;
    // An epoch that is over before the receipt, and one that begins with it.
    let times = [(not_before, ISSUED_AT.minus(MINUTE)), (ISSUED_AT, not_after)];
    for (from, to) in times {
        (sale.enclave.binding.not_before, sale.enclave.binding.not_after) = (from, to);
        for time in [from, to.min(ISSUED_AT.plus(5 * MINUTE))] {
            sale.statement.signed_at = time;
            sale.assert_holds();
        }
        sale.statement.signed_at = from.minus(MILLISECOND);
        let (expected, _) = sale.assert_refused();
        assert!(expected.starts_with("binding.epoch: "), "{expected}");
    }
    (sale.enclave.binding.not_before, sale.enclave.binding.not_after) = times[0];
    sale.statement.signed_at = times[0].1.plus(MILLISECOND);
    assert!(sale.assert_refused().0.starts_with("binding.epoch: "));
    // An epoch that is long enough for it is too long.
    sale.enclave.binding.not_before = ISSUED_AT.minus(80 * MINUTE);
    assert!(sale.assert_refused().0.contains("an epoch of at most"));
}

#[test]
fn a_statement_is_of_the_receipts_time() {
    let mut sale = Sale::new();
    let latest = ISSUED_AT.plus(5 * MINUTE);
    sale.statement.signed_at = latest;
    sale.assert_holds();
    sale.statement.signed_at = latest.plus(MILLISECOND);
    let (expected, got) = sale.assert_refused();
    assert!(expected.contains(&latest.to_string()), "{expected}");
    assert_eq!(got, sale.statement.signed_at.to_string());

    // With a key of the day before: it was good then, and is for what was sold then.
    let oldest = ISSUED_AT.minus(24 * 60 * MINUTE);
    let binding = &mut sale.enclave.binding;
    (binding.not_before, binding.not_after) = (oldest.minus(MINUTE), oldest.plus(MINUTE));
    sale.statement.signed_at = oldest;
    sale.assert_holds();
    sale.statement.signed_at = oldest.minus(MILLISECOND);
    assert!(sale.assert_refused().0.contains(&oldest.to_string()));
}

/// What was signed while its key was good stays good.
#[test]
fn a_key_that_was_rotated_away_certifies_what_it_signed() {
    let sale = Sale::new();
    let (bundle, verifier) = (sale.bundle(), sale.verifier());
    let end = sale.enclave.binding.not_after;
    let notes = |now: Timestamp| {
        let report = verify_at(&verifier, &bundle, now);
        assert_eq!(verdict(&report), "simulated", "{now}: {:?}", report.refusal);
        report.items[0].notes.clone()
    };
    let is_over = |notes: &[String]| notes.iter().any(|note| note.contains("was in use until"));
    assert!(!is_over(&notes(ISSUED_AT.plus(MINUTE))));
    assert!(!is_over(&notes(end)));
    for late in [end.plus(MILLISECOND), VERIFIED_AT, VERIFIED_AT.plus(365 * 24 * 60 * MINUTE)] {
        let notes = notes(late);
        assert!(is_over(&notes));
        assert!(notes.iter().any(|note| note.contains(&end.to_string())), "{notes:?}");
    }
}

#[test]
fn the_evidence_is_an_attestation_and_a_statement() {
    let sale = Sale::new();
    let good = sale.evidence();
    let [attestation, statement] = [good[0].clone(), good[1].clone()];
    let also = |more: &[u8]| (DSSE_MEDIA_TYPE, [statement.1.as_slice(), more].concat());
    for (wrong, shown) in [
        (vec![], "[]"),
        (vec![attestation.clone()], "[application/vnd.assay"),
        (vec![statement.clone()], "[application/vnd.dsse"),
        (vec![statement.clone(), attestation.clone()], "[application/vnd.dsse"),
        (vec![attestation.clone(), statement.clone(), also(b" ")], "[application/vnd.assay"),
        (vec![attestation.clone(), statement.clone(), ("application/json", vec![1])], "[app"),
        (
            vec![(DSSE_MEDIA_TYPE, attestation.1.clone()), statement.clone()],
            "[application/vnd.dsse",
        ),
        (vec![attestation.clone(), ("application/json", statement.1.clone())], "[application/vnd"),
    ] {
        let report = verify(&sale.verifier(), &sale.bundle_with(&wrong));
        let (expected, got) = assert_uncertified(&report);
        assert!(expected.contains(KEY_ATTESTATION_MEDIA_TYPE), "{expected}");
        assert!(got.starts_with(shown), "{got}");
    }
    // Under their kinds, and each the other.
    let swapped = [(KEY_ATTESTATION_MEDIA_TYPE, statement.1), (DSSE_MEDIA_TYPE, attestation.1)];
    assert_uncertified(&verify(&sale.verifier(), &sale.bundle_with(&swapped)));
}

#[test]
fn a_piece_that_is_not_there_is_missed() {
    let mut bundle = Sale::new().bundle();
    bundle.evidence.pop();
    let report = verify(&Sale::new().verifier(), &bundle);
    assert_eq!(refused(&report).0, Check::ItemEvidence);
}

#[test]
fn the_statement_is_signed_with_the_attested_key() {
    let sale = Sale::new();
    let refused = |change: &dyn Fn(&mut Envelope)| {
        assert_uncertified(&verify(&sale.verifier(), &sale.bundle_resigned(change)))
    };
    let resign = |envelope: &mut Envelope, kind: &str, by: &SigningKey| {
        *envelope = Envelope::sign(kind, envelope.payload.clone(), by);
    };
    let (own, other, kind) = (&sale.enclave.key, key(41), ENCLAVE_STATEMENT_PAYLOAD_TYPE);
    // Signed anew as it was it holds.
    let same = sale.bundle_resigned(|envelope| resign(envelope, kind, own));
    assert_eq!(verdict(&verify(&sale.verifier(), &same)), "simulated");
    let (expected, got) = refused(&|envelope| resign(envelope, kind, &other));
    assert_eq!(expected, "the enclave's signature");
    assert!(got.starts_with("keyid: "), "{got}");
    let (_, got) = refused(&|envelope| {
        resign(envelope, kind, &other);
        envelope.signatures[0].keyid = own.public().id().to_string();
    });
    assert!(got.contains("does not verify"), "{got}");
    // The operator's own key is no enclave's.
    refused(&|envelope| resign(envelope, kind, &sale.transaction.operator.receipt_key));
    let (_, got) = refused(&|envelope| resign(envelope, "application/json", own));
    assert!(got.starts_with("payload type: "), "{got}");
    let (_, got) = refused(&|envelope| envelope.signatures.clear());
    assert!(got.starts_with("signatures: "), "{got}");
    refused(&|envelope| {
        let DsseSignature { keyid, sig } = envelope.signatures[0].clone();
        envelope.signatures.push(DsseSignature { keyid, sig });
    });
    refused(&|envelope| envelope.signatures[0].sig.clear());
    let (_, got) = refused(&|envelope| envelope.signatures[0].sig[10] ^= 1);
    assert!(got.contains("signature"), "{got}");
}

#[test]
fn a_statement_has_one_signature() {
    let sale = Sale::new();
    let bundle = sale.bundle_resigned(|envelope| {
        envelope.signatures[0].sig = twin(&envelope.signatures[0].sig);
    });
    let (_, got) = assert_uncertified(&verify(&sale.verifier(), &bundle));
    assert!(got.contains("high S"), "{got}");
}

#[test]
fn a_statement_has_one_spelling() {
    let sale = Sale::new();
    for change in [
        |text: &str| format!("{text} "),
        |text: &str| text.replacen(r#"{"model""#, r#"{ "model""#, 1),
        |text: &str| text.replacen(r#"{"model""#, r#"{"more":1,"model""#, 1),
        |text: &str| text.replacen(r#""inferences":1"#, r#""inferences":1,"inferences":1"#, 1),
        |text: &str| text.replacen(r#""inferences":1"#, r#""inferences":1.0"#, 1),
    ] {
        // The enclave's own signature over it does not help.
        let bundle = sale.bundle_resigned(|envelope| {
            let payload = String::from_utf8(envelope.payload.clone()).unwrap();
            let changed = change(&payload);
            assert_ne!(changed, payload);
            *envelope = Envelope::sign(
                ENCLAVE_STATEMENT_PAYLOAD_TYPE,
                changed.into_bytes(),
                &sale.enclave.key,
            );
        });
        let (expected, _) = assert_uncertified(&verify(&sale.verifier(), &bundle));
        assert_eq!(expected, "an enclave's statement");
    }
    let mut evidence = sale.evidence();
    evidence[1].1.push(b'\n');
    assert_uncertified(&verify(&sale.verifier(), &sale.bundle_with(&evidence)));
    for garbage in [Vec::new(), b"null".to_vec(), vec![b'['; 10_000]] {
        evidence[1].1 = garbage;
        assert_uncertified(&verify(&sale.verifier(), &sale.bundle_with(&evidence)));
    }
}

/// The key of an epoch is vouched for by the attestation of that epoch.
#[test]
fn the_attestation_of_another_epoch_does_not_stand_for_it() {
    let sale = Sale::new();
    let mut evidence = sale.evidence();
    // The next epoch of the same enclave.
    let mut next = sale.enclave.binding.clone();
    next.epoch_key = key(42).public().as_der().to_vec();
    let attested = sale.enclave.nitro.attest(&next).unwrap();
    let attestation = KeyAttestation::new(next, attested);
    evidence[0].1 = attestation.to_bytes().unwrap();
    let (expected, got) =
        assert_uncertified(&verify(&sale.verifier(), &sale.bundle_with(&evidence)));
    assert_eq!(expected, "the enclave's signature");
    assert!(got.starts_with("keyid: "), "{got}");
    // Its evidence with this epoch's key beside it.
    let KeyAttestation { evidence: attested, .. } = attestation;
    let forged = KeyAttestation::new(sale.enclave.binding.clone(), attested);
    evidence[0].1 = forged.to_bytes().unwrap();
    let (expected, _) = assert_uncertified(&verify(&sale.verifier(), &sale.bundle_with(&evidence)));
    assert!(expected.starts_with("binding.key: "), "{expected}");
}

#[test]
fn measurements_are_pinned_by_reference_values() {
    let sale = Sale::new();
    let judged = |policy| verify(&sale.verifier_with(sale.pinning(), policy), &sale.bundle());
    let is_said = |report: &Report| {
        report.items[0].notes.iter().any(|note| note.contains("no policy pins them"))
    };
    let open = judged(attest::Policy::default());
    assert!(verdict(&open) == "simulated" && is_said(&open));
    let pinned = judged(reference(IMAGE));
    assert!(verdict(&pinned) == "simulated" && !is_said(&pinned));
    let (expected, got) = assert_uncertified(&judged(reference([8; 48])));
    assert!(expected.starts_with("policy.measurement: "), "{expected}");
    assert!(got.contains(&encoding::hex(&IMAGE)), "{got}");
    let kinds = attest::Policy {
        kinds: Some(vec![EvidenceKind::Tdx, EvidenceKind::Snp]),
        ..attest::Policy::default()
    };
    assert!(assert_uncertified(&judged(kinds)).0.starts_with("policy.kind: "));
}

/// An enclave signs what it ran: of an item that failed there is nothing to sign.
#[test]
fn a_failed_item_is_not_certified_by_the_statement_of_one_that_ran() {
    let mut sale = Sale::new();
    sale.transaction = sale.transaction.with_last_failed();
    sale.transaction.records.clear();
    let (expected, _) = sale.assert_refused();
    assert!(expected.contains(&Digest::ZERO.to_string()), "{expected}");
}

#[test]
fn one_verifier_judges_many_of_one_epoch() {
    let sale = Sale::of(sample_transaction(8_453).with_items(3).settled());
    let attestation = sale.enclave.attestation();
    let mut transaction = sale.transaction.clone();
    for index in 0..3 {
        let statement = statement(&sale.transaction, index).sign(&sale.enclave.key).unwrap();
        let at = usize::try_from(index).unwrap();
        transaction = transaction
            .with_evidence(at, KEY_ATTESTATION_MEDIA_TYPE, &attestation)
            .with_evidence(at, DSSE_MEDIA_TYPE, &statement);
    }
    let (bundle, verifier) = (transaction.bundle(), sale.verifier());
    for _ in 0..2 {
        let report = verify(&verifier, &bundle);
        assert_eq!(verdict(&report), "simulated", "{:?}", report.refusal);
        assert_eq!(report.items.len(), 3);
    }
    // The attestation is in the bundle once.
    assert_eq!(bundle.evidence.len(), 4);
}

/// Whoever writes `[attestation]` into a policy need not hand it to the method as well.
#[test]
fn the_policy_counts_more_than_what_the_method_was_made_with() {
    let sale = Sale::new();
    let judged = |of_policy: attest::Policy, of_method: attest::Policy| {
        let mut policy = sale.pinning();
        policy.attestation = Some(of_policy);
        verify(&sale.verifier_with(policy, of_method), &sale.bundle())
    };
    let other = || reference([8; 48]);
    let (expected, _) = assert_uncertified(&judged(other(), attest::Policy::default()));
    assert!(expected.starts_with("policy.measurement: "), "{expected}");
    assert_eq!(verdict(&judged(reference(IMAGE), other())), "simulated");
}
