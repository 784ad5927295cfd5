//! Key attestations by a simulated Nitro module, GPUs, a TPM and an SNP guest of the tests: each
//! refusal is by one check, without which it would get through.
#![cfg(feature = "collect")]

mod binding;
mod cache;
mod gpus;
mod spelling;

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{Digest, ModelId, Timestamp};
use assay_receipt::{EngineUsed, EvidenceScope, SigningKey};
use assay_testkit::{FakeClock, SeededRandomness};

use super::*;
use crate::collect::{Attester as _, SimulatedNitro, SimulatedNitroRoot};
use crate::testing::NOW;
use crate::{
    AttestationKey, DevelopmentRoot, Expectation, Policy, ReferenceValue, Roots, Strength, snp, tpm,
};

/// How long the epochs of the tests are; they begin at [`NOW`].
const EPOCH: Duration = Duration::from_secs(1_800);
const SECOND: Duration = Duration::from_secs(1);

/// A machine with a simulated Nitro module, and whom its evidence may end at.
struct Machine {
    clock: Arc<FakeClock>,
    nitro: SimulatedNitro,
    roots: Roots,
}

impl Machine {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new(NOW));
        // Valid long before, so that a test can set its clock back.
        let root = SimulatedNitroRoot::generate(NOW.minus(24 * EPOCH)).unwrap();
        let roots = Roots::vendors().with_development(root.certificate().clone());
        let nitro = SimulatedNitro::new(root, [7; 48], clock.clone());
        Self { clock, nitro, roots }
    }

    fn attest(&self, binding: KeyBinding) -> KeyAttestation {
        let evidence = self.nitro.attest(&binding).unwrap();
        KeyAttestation::new(binding, evidence)
    }

    /// The same, as of another time.
    fn attest_at(&self, time: Timestamp, binding: KeyBinding) -> KeyAttestation {
        self.clock.set(time);
        let attestation = self.attest(binding);
        self.clock.set(NOW);
        attestation
    }

    fn judge(
        &self,
        attestation: &KeyAttestation,
        now: Timestamp,
        without: Option<Check>,
    ) -> Result<AttestedKey, Refusal> {
        judge(attestation, &self.roots, &Policy::default(), now, without)
    }

    fn accepts(&self, attestation: &KeyAttestation, now: Timestamp) -> AttestedKey {
        self.judge(attestation, now, None).unwrap()
    }

    /// Asserts that a check refuses, and that nothing else does.
    #[track_caller]
    fn refuses(&self, attestation: &KeyAttestation, now: Timestamp, check: Check) -> Refusal {
        let refusal = self.judge(attestation, now, None).unwrap_err();
        assert_eq!(refusal.check, check, "{refusal}");
        let passed = self.judge(attestation, now, Some(check)).map(|_| ());
        assert_eq!(passed, Ok(()), "without {check}");
        refusal
    }
}

fn answers(key: &AttestedKey, sent: &[u8]) -> Result<(), Refusal> {
    Expectation { nonce: Some(sent.to_vec()), user_data: None }.check_key(key)
}

/// Judges a key attestation as its file, with one check left out.
fn judge(
    attestation: &KeyAttestation,
    roots: &Roots,
    policy: &Policy,
    now: Timestamp,
    without: Option<Check>,
) -> Result<AttestedKey, Refusal> {
    let checks = Checks { without };
    let context = Context { now, roots, policy, checks };
    let attestation = KeyAttestation::read(&attestation.to_bytes().unwrap(), checks)?;
    attestation.accept(attestation.claims(&context)?, &context)
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&SeededRandomness::new(seed)).unwrap()
}

fn model(name: &str) -> ModelId {
    ModelId(Digest::of(name.as_bytes()))
}

fn sample() -> KeyBinding {
    let mut models = vec![model("digits"), model("tumour")];
    models.sort_unstable();
    let configuration = EnclaveConfiguration {
        engine: EngineUsed { name: "tract-onnx".to_owned(), version: "1.2.3".to_owned() },
        models,
        scope: EvidenceScope::Model,
    };
    KeyBinding::new(key(1).public(), (NOW, NOW.plus(EPOCH)), configuration)
}

#[test]
fn a_key_of_an_attested_enclave_is_accepted_and_simulated() {
    let machine = Machine::new();
    let attestation = machine.attest(sample());
    let attested = machine.accepts(&attestation, NOW);
    assert_eq!(attested.key(), key(1).public());
    assert_eq!(*attested.binding(), sample());
    assert!(attested.is_simulated() && attested.gpus().is_empty());
    assert_eq!(attested.attested().kind, EvidenceKind::Nitro);
    // Its root is no vendor's.
    let refusal = judge(&attestation, &Roots::vendors(), &Policy::default(), NOW, None);
    assert_eq!(refusal.unwrap_err().check, Check::ChainRoot);
}

/// Pitfall 7: the evidence is genuine, and was made for another key than is sent alongside.
#[test]
fn a_key_that_is_merely_sent_alongside_is_refused() {
    let machine = Machine::new();
    let mut attestation = machine.attest(sample());
    attestation.binding.epoch_key = key(2).public().as_der().to_vec();
    let refusal = machine.refuses(&attestation, NOW, Check::BindingKey);
    let hex = encoding::hex;
    assert_eq!(refusal.expected, hex(&attestation.binding.digest()));
    assert_eq!(refusal.got, hex(&sample().digest()));
    // Or the other way round: evidence of another key.
    let other = KeyBinding { epoch_key: attestation.binding.epoch_key.clone(), ..sample() };
    let evidence = machine.attest(other).evidence;
    machine.refuses(&KeyAttestation::new(sample(), evidence), NOW, Check::BindingKey);
}

/// Whatever else the host would like to say of the key.
#[test]
fn nothing_that_is_bound_can_be_changed() {
    let machine = Machine::new();
    let attestation = machine.attest(sample());
    for (what, changed) in binding::changes() {
        let mut binding = changed;
        // These are refused by checks of their own before.
        binding.epoch_key.clone_from(&sample().epoch_key);
        if binding == sample() {
            continue;
        }
        let attestation = KeyAttestation { binding, ..attestation.clone() };
        let now = NOW.plus(SECOND);
        let refusal = machine.judge(&attestation, now, None).unwrap_err();
        assert_eq!(refusal.check, Check::BindingKey, "{what}: {refusal}");
    }
}

#[test]
fn a_document_for_another_public_key_is_refused() {
    let machine = Machine::new();
    let binding = sample();
    let other = key(2);
    for public_key in [other.public().as_der(), b""] {
        let evidence = machine.nitro.sign(&binding.digest(), public_key, None).unwrap();
        let attestation = KeyAttestation::new(binding.clone(), evidence);
        machine.refuses(&attestation, NOW, Check::BindingKey);
    }
}

#[test]
fn a_document_without_what_it_should_bind_is_refused() {
    let machine = Machine::new();
    let binding = sample();
    for user_data in [&b""[..], &binding.digest()[..63], &[0; 64]] {
        let evidence = machine.nitro.sign(user_data, &binding.epoch_key, None).unwrap();
        let attestation = KeyAttestation::new(binding.clone(), evidence);
        machine.refuses(&attestation, NOW, Check::BindingKey);
    }
}

#[test]
fn a_key_that_is_none_is_refused() {
    let machine = Machine::new();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut off_the_curve = sample().epoch_key;
    off_the_curve[90] ^= 1;
    for wrong in [rcgen::PublicKeyData::subject_public_key_info(&p384), off_the_curve, vec![4]] {
        let attestation = machine.attest(KeyBinding { epoch_key: wrong, ..sample() });
        let refusal = machine.judge(&attestation, NOW, None).unwrap_err();
        assert_eq!(refusal.check, Check::BindingKey);
        assert_eq!(refusal.expected, "a P-256 key");
    }
}

#[test]
fn evidence_answers_the_nonce_that_was_sent() {
    let machine = Machine::new();
    let asked = |nonce: &[u8]| KeyBinding { nonce: Some(nonce.to_vec()), ..sample() };
    let attested = machine.accepts(&machine.attest(asked(b"mine")), NOW);
    assert_eq!(answers(&attested, b"mine"), Ok(()));
    // Replayed: it answers somebody else, or an earlier question, or nobody.
    let refusal = answers(&attested, b"mine, too").unwrap_err();
    assert_eq!(refusal.check, Check::BindingNonce);
    assert_eq!(refusal.got, encoding::hex(b"mine"));
    let unasked = machine.accepts(&machine.attest(sample()), NOW);
    assert_eq!(answers(&unasked, b"mine").unwrap_err().check, Check::BindingNonce);
    assert_eq!(answers(&unasked, b"").unwrap_err().got, "none");
}

/// The document's own nonce is the binding's: two of them could each be told to be the answer.
#[test]
fn the_documents_nonce_is_the_bindings() {
    let machine = Machine::new();
    for (bound, in_document) in [("a", "b"), ("a", ""), ("", "a")] {
        let [bound, in_document] =
            [bound, in_document].map(|nonce| Some(nonce.as_bytes()).filter(|it| !it.is_empty()));
        let binding = KeyBinding { nonce: bound.map(<[u8]>::to_vec), ..sample() };
        let evidence =
            machine.nitro.sign(&binding.digest(), &binding.epoch_key, in_document).unwrap();
        let attestation = KeyAttestation::new(binding, evidence);
        machine.refuses(&attestation, NOW, Check::BindingNonce);
    }
    // Changed on the way it is not what was bound.
    let mut attestation = machine.attest(KeyBinding { nonce: Some(b"a".to_vec()), ..sample() });
    attestation.binding.nonce = Some(b"b".to_vec());
    assert_eq!(machine.judge(&attestation, NOW, None).unwrap_err().check, Check::BindingKey);
}

#[test]
fn an_epoch_is_an_hour_at_most_and_not_over_before_it_begins() {
    let machine = Machine::new();
    let until = |to: Timestamp| machine.attest(KeyBinding { not_after: to, ..sample() });
    machine.accepts(&until(NOW.plus(MAX_EPOCH)), NOW);
    machine.accepts(&until(NOW), NOW);
    let long = NOW.plus(MAX_EPOCH).plus(Duration::from_millis(1));
    machine.refuses(&until(long), NOW, Check::BindingEpoch);
    machine.refuses(&until(Timestamp::from_millis(u64::MAX)), NOW, Check::BindingEpoch);
    machine.refuses(&until(NOW.minus(SECOND)), NOW, Check::BindingEpoch);
}

#[test]
fn a_key_counts_in_its_epoch_alone() {
    let machine = Machine::new();
    let attestation = machine.attest(sample());
    let end = sample().not_after;
    for now in [NOW, NOW.plus(SECOND), end] {
        let attested = machine.accepts(&attestation, now);
        assert!(!attested.is_rotated_away(now));
        assert!(attested.is_rotated_away(end.plus(Duration::from_millis(1))));
    }
    let before = NOW.minus(Duration::from_millis(1));
    machine.refuses(&attestation, before, Check::BindingEpoch);
    machine.refuses(&attestation, end.plus(Duration::from_millis(1)), Check::BindingEpoch);
}

/// Nitro's is the one clock that is not the host's.
#[test]
fn evidence_is_made_in_the_epoch() {
    let machine = Machine::new();
    let end = sample().not_after;
    let made = |time: Timestamp| machine.attest_at(time, sample());
    machine.accepts(&made(end), end);
    machine.accepts(&made(NOW.minus(MAX_SKEW)), NOW);
    let late = made(end.plus(SECOND));
    assert!(machine.refuses(&late, end, Check::BindingEpoch).expected.contains("made in"));
    let early = made(NOW.minus(MAX_SKEW).minus(SECOND));
    machine.refuses(&early, NOW, Check::BindingEpoch);
}

#[test]
fn the_policy_judges_what_the_evidence_says() {
    let machine = Machine::new();
    let attestation = machine.attest(sample());
    let judged = |policy: &Policy, without| {
        let judged = judge(&attestation, &machine.roots, policy, NOW, without);
        judged.map(|_| ()).map_err(|refusal| refusal.check)
    };
    let value = |pcr0: u8| ReferenceValue {
        name: "of the test".to_owned(),
        kind: EvidenceKind::Nitro,
        source: None,
        builder: None,
        measurements: [("pcr0".to_owned(), encoding::hex(&[pcr0; 48]))].into(),
    };
    let reference = |values| Policy { reference_values: Some(values), ..Policy::default() };
    assert_eq!(judged(&reference(vec![value(8), value(7)]), None), Ok(()));
    let other = reference(vec![value(8)]);
    assert_eq!(judged(&other, None), Err(Check::PolicyMeasurement));
    assert_eq!(judged(&other, Some(Check::PolicyMeasurement)), Ok(()));
    let kinds = Policy { kinds: Some(vec![EvidenceKind::Tdx]), ..Policy::default() };
    assert_eq!(judged(&kinds, None), Err(Check::PolicyKind));
    assert_eq!(judged(&kinds, Some(Check::PolicyKind)), Ok(()));
}

/// Returns the roots with the one that evidence of the tests ends at.
fn roots_of(evidence: &Evidence) -> Roots {
    let (Evidence::Tpm { ak: AttestationKey::Certificates(certificates), .. }
    | Evidence::Snp { certificates, .. }) = evidence
    else {
        panic!("another kind")
    };
    let root = DevelopmentRoot::from_bytes(certificates.last().unwrap()).unwrap();
    Roots::vendors().with_development(root)
}

/// Judges evidence beside [`sample`], with one check left out.
fn judge_other(
    evidence: Evidence,
    least: Strength,
    without: Option<Check>,
) -> Result<AttestedKey, Check> {
    let roots = roots_of(&evidence);
    let policy = Policy { min_strength: Some(least), ..Policy::default() };
    let attestation = KeyAttestation::new(sample(), evidence);
    judge(&attestation, &roots, &policy, NOW, without).map_err(|refusal| refusal.check)
}

#[test]
fn a_tpm_binds_the_digest_of_the_binding() {
    let boot = Strength::MeasuredBoot;
    let digest = sample().digest();
    let attested = judge_other(tpm::tests::evidence(&tpm_extra_data(&digest)), boot, None).unwrap();
    assert_eq!(attested.attested().strength, boot);
    // Another binding's; the binding itself, which has no room in a TPM; none.
    let other = KeyBinding { hpke_key: Some(vec![1]), ..sample() };
    for extra in [tpm_extra_data(&other.digest()).as_slice(), &digest[..32], &[]] {
        let judged = |without| judge_other(tpm::tests::evidence(extra), boot, without).map(|_| ());
        assert_eq!(judged(None), Err(Check::BindingKey));
        assert_eq!(judged(Some(Check::BindingKey)), Ok(()));
    }
}

#[test]
fn a_guest_binds_it_as_its_report_data() {
    let digest = sample().digest();
    judge_other(snp::tests::evidence(&digest), Strength::Tee, None).unwrap();
    let other = KeyBinding { tls_key: Some(Digest::ZERO), ..sample() };
    // A TPM's form of it is for TPMs alone.
    let short = [tpm_extra_data(&digest), [0; 32]].concat();
    for data in [other.digest().as_slice(), &short] {
        let judged =
            |without| judge_other(snp::tests::evidence(data), Strength::Tee, without).map(|_| ());
        assert_eq!(judged(None), Err(Check::BindingKey));
        assert_eq!(judged(Some(Check::BindingKey)), Ok(()));
    }
}
