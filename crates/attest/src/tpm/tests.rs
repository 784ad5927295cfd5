use assay_primitives::Timestamp;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::*;
use crate::refusal::Checks;
use crate::{DevelopmentRoot, Evidence, Policy, Roots};

mod vectors;

const NOW: u64 = 1_790_000_000;
const EXTRA: &[u8] = &[7; 32];

/// A TPM with a certificate for its attestation key.
pub(super) struct Machine {
    key: EcdsaKeyPair,
    public: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    root: DevelopmentRoot,
}

/// What the certificate of an attestation key says.
struct Leaf {
    usage: KeyUsagePurpose,
    extended: Option<Vec<u64>>,
    last_year: i32,
}

const LEAF: Leaf =
    Leaf { usage: KeyUsagePurpose::DigitalSignature, extended: None, last_year: 2030 };

fn params(name: &str, last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::with(LEAF)
    }

    fn with(leaf: Leaf) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = params("A root for development", 2040);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = ca.self_signed(&ca_key).unwrap().der().to_vec();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut params = params("An attestation key", leaf.last_year);
        params.key_usages = vec![leaf.usage];
        let extended = leaf.extended.map(ExtendedKeyUsagePurpose::Other);
        params.extended_key_usages = extended.into_iter().collect();
        let certificate = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let pkcs8 = key.serialize_der();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self {
            public: key.subject_public_key_info(),
            key: EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random).unwrap(),
            root: DevelopmentRoot::from_bytes(&root).unwrap(),
            certificates: vec![certificate, root],
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), message).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        [&[0, 0x18, 0, 0x0b, 0, 32], r, &[0, 32], s].concat()
    }

    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey::from_der(&self.public).unwrap()
    }

    fn evidence(&self, quote: Vec<u8>) -> Evidence {
        let ak = AttestationKey::Certificates(self.certificates.clone());
        Evidence::Tpm { signature: self.sign(&quote), quote, pcrs: pcrs(), ak }
    }

    fn appraise(&self, evidence: &Evidence, without: Option<Check>) -> Result<Claims, Refusal> {
        let roots = Roots::vendors().with_development(self.root.clone());
        appraise(evidence, &roots, NOW, without)
    }

    /// The evidence is refused by a check, and by no other.
    fn refuses(&self, evidence: &Evidence, check: Check) -> Claims {
        assert_eq!(self.appraise(evidence, None).unwrap_err().check, check);
        self.appraise(evidence, Some(check)).unwrap()
    }
}

/// Makes evidence with extra data, which ends at a root of the tests.
#[cfg(feature = "collect")]
pub(crate) fn evidence(extra_data: &[u8]) -> Evidence {
    Machine::new().evidence(quote(extra_data))
}

fn appraise(
    evidence: &Evidence,
    roots: &Roots,
    now: u64,
    without: Option<Check>,
) -> Result<Claims, Refusal> {
    let policy = Policy { min_strength: Some(Strength::MeasuredBoot), ..Policy::default() };
    let now = Timestamp::from_seconds(now);
    let context = Context { now, roots, policy: &policy, checks: Checks { without } };
    let attested = context.appraise(evidence)?;
    assert_eq!(attested.is_simulated(), attested.trust == Trust::Development);
    Ok((*attested).clone())
}

pub(super) fn pcrs() -> Vec<Pcr> {
    vec![
        Pcr::new(TpmHash::Sha256, 0, vec![1; 32]),
        Pcr::new(TpmHash::Sha256, 11, vec![2; 32]),
        Pcr::new(TpmHash::Sha384, 7, vec![3; 48]),
    ]
}

/// Says a quote of [`pcrs`].
pub(super) fn quote(extra_data: &[u8]) -> Vec<u8> {
    let values: Vec<u8> = pcrs().into_iter().flat_map(|pcr| pcr.value).collect();
    let selection = [0, 0, 0, 2, 0, 0x0b, 3, 1, 8, 0, 0, 0x0c, 3, 0x80, 0, 0];
    quote_of(extra_data, &selection, &TpmHash::Sha256.digest(&values))
}

fn quote_of(extra_data: &[u8], selection: &[u8], digest: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let clock = [&[0; 4][..], &[0, 0, 1, 0], &[0, 0, 0, 2], &[0, 0, 0, 3], &[1]].concat();
    let firmware = [0x20, 0x26, 1, 1, 0, 0, 0, 1];
    let start = [0xff, 0x54, 0x43, 0x47, 0x80, 0x18];
    let name = [0, 0x0b].into_iter().chain([9; 32]).collect::<Vec<u8>>();
    [
        &start,
        sized(&name).as_slice(),
        &sized(extra_data),
        &clock,
        &firmware,
        selection,
        &sized(digest),
    ]
    .concat()
}

#[test]
fn a_quote_by_a_certified_key_is_measured_boot_and_simulated_under_a_development_root() {
    let machine = Machine::new();
    let evidence = machine.evidence(quote(EXTRA));
    let claims = machine.appraise(&evidence, None).unwrap();
    assert_eq!(claims.kind, EvidenceKind::Tpm);
    assert_eq!(claims.strength, Strength::MeasuredBoot);
    assert_eq!(claims.trust, Trust::Development);
    assert_eq!(claims.platform, "TPM 2.0, firmware 2026010100000001");
    assert_eq!(claims.user_data.as_deref(), Some(EXTRA));
    assert_eq!(claims.measurement("pcr0"), Some(&[1; 32][..]));
    assert_eq!(claims.measurement("pcr11"), Some(&[2; 32][..]));
    assert_eq!(claims.measurement("pcr7-sha384"), Some(&[3; 48][..]));
    assert_eq!((claims.measurements.len(), claims.debug, claims.time), (3, false, None));
    let text = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
}

#[test]
fn by_the_default_policy_a_tpm_alone_is_too_weak() {
    let machine = Machine::new();
    let evidence = machine.evidence(quote(EXTRA));
    let roots = Roots::vendors().with_development(machine.root.clone());
    let now = Timestamp::from_seconds(NOW);
    let refusal = crate::appraise(&evidence, &roots, &Policy::default(), now).unwrap_err();
    assert_eq!(refusal.check, Check::PolicyStrength);
}

#[test]
fn every_field_of_a_quote_is_read() {
    let bytes = quote(EXTRA);
    let quote = Quote::parse(&bytes, Checks::default()).unwrap();
    assert_eq!(quote.qualified_signer.len(), 34);
    assert_eq!(quote.extra_data, EXTRA);
    assert_eq!((quote.clock, quote.reset_count, quote.restart_count), (256, 2, 3));
    assert!(quote.safe);
    assert_eq!(quote.firmware_version, 0x2026_0101_0000_0001);
    let selected = [(TpmHash::Sha256, 0), (TpmHash::Sha256, 11), (TpmHash::Sha384, 7)];
    assert_eq!(quote.selected, selected);
    assert_eq!(quote.pcr_digest.len(), 32);
    assert!(bytes.len() < MAX_QUOTE);
}

#[test]
fn another_machines_key_has_not_signed_it() {
    let (machine, other) = (Machine::new(), Machine::new());
    let mut evidence = machine.evidence(quote(EXTRA));
    let Evidence::Tpm { ak, .. } = &mut evidence else { panic!() };
    *ak = AttestationKey::Certificates(other.certificates.clone());
    other.refuses(&evidence, Check::EvidenceSignature);
}

#[test]
fn extra_data_are_what_was_signed_and_nothing_beside_it() {
    let machine = Machine::new();
    let mut evidence = machine.evidence(quote(EXTRA));
    let Evidence::Tpm { quote: signed, .. } = &mut evidence else { panic!() };
    *signed = quote(&[8; 32]);
    let claims = machine.refuses(&evidence, Check::EvidenceSignature);
    assert_eq!(claims.user_data, Some(vec![8; 32]));
}

#[test]
fn a_bare_key_is_vouched_for_by_nobody() {
    let machine = Machine::new();
    let mut evidence = machine.evidence(quote(EXTRA));
    let Evidence::Tpm { ak, .. } = &mut evidence else { panic!() };
    *ak = AttestationKey::PublicKey(machine.public.clone());
    let claims = machine.refuses(&evidence, Check::BindingAttestationKey);
    assert_eq!(claims.trust, Trust::Development);
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(text.contains(r#""ak":{"publicKey":""#));
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
}

#[test]
fn what_ends_at_no_known_root_is_refused() {
    let machine = Machine::new();
    let evidence = machine.evidence(quote(EXTRA));
    let refused = |without| appraise(&evidence, &Roots::vendors(), NOW, without);
    assert_eq!(refused(None).unwrap_err().check, Check::ChainRoot);
    assert!(refused(Some(Check::ChainRoot)).is_ok());
}

#[test]
fn what_is_signed_but_was_not_made_by_the_tpm_as_a_quote_is_refused() {
    let machine = Machine::new();
    for (at, byte) in [(0, 0xfe), (3, 0), (4, 0), (5, 0x17)] {
        let mut quote = quote(EXTRA);
        quote[at] = byte;
        machine.refuses(&machine.evidence(quote), Check::EvidenceEncoding);
    }
}

#[test]
fn other_values_of_pcrs_are_refused() {
    let machine = Machine::new();
    let changes: [fn(&mut Vec<Pcr>); 6] = [
        |pcrs| pcrs[0].value[31] ^= 1,
        |pcrs| pcrs[0].index = 1,
        |pcrs| pcrs[0].bank = TpmHash::Sha384,
        |pcrs| pcrs.swap(0, 1),
        |pcrs| pcrs.truncate(2),
        // The digest is the same: only the border between two values has moved.
        |pcrs| {
            let byte = pcrs[0].value.pop().unwrap();
            pcrs[1].value.insert(0, byte);
        },
    ];
    for change in changes {
        let mut evidence = machine.evidence(quote(EXTRA));
        let Evidence::Tpm { pcrs, .. } = &mut evidence else { panic!() };
        change(pcrs);
        machine.refuses(&evidence, Check::EvidenceDigest);
    }
}

#[test]
fn a_quote_of_no_pcrs_is_refused() {
    let machine = Machine::new();
    let digest = TpmHash::Sha256.digest(&[]);
    for selection in [&[0; 4][..], &[0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 0]] {
        let mut evidence = machine.evidence(quote_of(EXTRA, selection, &digest));
        let Evidence::Tpm { pcrs, .. } = &mut evidence else { panic!() };
        pcrs.clear();
        let claims = machine.refuses(&evidence, Check::EvidenceDigest);
        assert_eq!(claims.measurements, []);
    }
}

#[test]
fn selections_that_are_none_are_refused() {
    let machine = Machine::new();
    let cases = [
        (&[0, 0, 0, 4][..], Check::EvidenceEncoding),
        (&[0xff; 4], Check::EvidenceEncoding),
        (&[0, 0, 0, 1, 0, 4, 3, 1, 0, 0], Check::EvidenceAlgorithm),
        (&[0, 0, 0, 1, 0, 0x0b, 5, 1, 0, 0, 0, 0], Check::EvidenceEncoding),
        (&[0, 0, 0, 2, 0, 0x0b, 1, 1, 0, 0x0b, 1, 2], Check::EvidenceEncoding),
    ];
    for (selection, check) in cases {
        let evidence = machine.evidence(quote_of(EXTRA, selection, &[0; 32]));
        assert_eq!(machine.appraise(&evidence, None).unwrap_err().check, check);
    }
}

#[test]
fn evidence_has_an_end_and_limits() {
    let machine = Machine::new();
    let check = |evidence: &Evidence, check| {
        assert_eq!(machine.appraise(evidence, None).unwrap_err().check, check);
    };
    let longer = [quote(EXTRA), vec![0]].concat();
    check(&machine.evidence(longer), Check::EvidenceEncoding);
    check(&machine.evidence(quote(&[0; 67])), Check::EvidenceEncoding);
    let safe = quote(EXTRA).len() - 2 - 32 - 16 - 8 - 1;
    let mut neither = quote(EXTRA);
    neither[safe] = 2;
    check(&machine.evidence(neither), Check::EvidenceEncoding);
    let mut evidence = machine.evidence([quote(EXTRA), vec![0; MAX_QUOTE]].concat());
    check(&evidence, Check::EvidenceSize);
    let Evidence::Tpm { quote: bytes, signature, .. } = &mut evidence else { panic!() };
    *bytes = quote(EXTRA);
    signature.resize(MAX_SIGNATURE + 1, 0);
    check(&evidence, Check::EvidenceSize);
}

#[test]
fn certificates_of_other_keys_than_attestation_keys_are_refused() {
    let endorsement_key = Leaf { usage: KeyUsagePurpose::KeyEncipherment, ..LEAF };
    let machine = Machine::with(endorsement_key);
    machine.refuses(&machine.evidence(quote(EXTRA)), Check::ChainUsage);
    // tcg-kp-EKCertificate, and tcg-kp-AIKCertificate.
    let machine = Machine::with(Leaf { extended: Some(vec![2, 23, 133, 8, 1]), ..LEAF });
    machine.refuses(&machine.evidence(quote(EXTRA)), Check::ChainUsage);
    let machine = Machine::with(Leaf { extended: Some(vec![2, 23, 133, 8, 3]), ..LEAF });
    assert!(machine.appraise(&machine.evidence(quote(EXTRA)), None).is_ok());
}

#[test]
fn certificates_are_judged_at_the_time_of_verification() {
    let machine = Machine::with(Leaf { last_year: 2027, ..LEAF });
    let evidence = machine.evidence(quote(EXTRA));
    let roots = Roots::vendors().with_development(machine.root.clone());
    let claims = appraise(&evidence, &roots, NOW, None).unwrap();
    let first = claims.validity.not_before.as_millis() / 1000;
    let last = claims.validity.not_after.as_millis() / 1000;
    for now in [first, last] {
        assert!(appraise(&evidence, &roots, now, None).is_ok());
    }
    for now in [first - 1, last + 1] {
        let refusal = appraise(&evidence, &roots, now, None).unwrap_err();
        assert_eq!(refusal.check, Check::ChainValidity);
        assert!(appraise(&evidence, &roots, now, Some(Check::ChainValidity)).is_ok());
    }
}

#[test]
fn a_chain_has_a_leaf_and_a_root() {
    let machine = Machine::new();
    for count in [0, 1] {
        let mut evidence = machine.evidence(quote(EXTRA));
        let Evidence::Tpm { ak: AttestationKey::Certificates(all), .. } = &mut evidence else {
            panic!()
        };
        all.truncate(count);
        let refusal = machine.appraise(&evidence, None).unwrap_err();
        assert_eq!(refusal.check, Check::ChainEncoding);
    }
}

#[test]
fn pss_is_accepted_with_the_salt_that_is_as_long_as_the_digest() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    let key = PublicKey::from_der(&bytes(vectors::KEY)).unwrap();
    let verify = |scheme: u8, signature: &str| {
        let signature = [vec![0, scheme, 0, 0x0b, 1, 0], bytes(signature)].concat();
        key.verify(b"a quote", &Signature::parse(&signature).unwrap())
    };
    assert_eq!(verify(0x16, vectors::SALT_32), Ok(()));
    for (scheme, signature) in [(0x16, vectors::SALT_222), (0x14, vectors::SALT_32)] {
        let refusal = verify(scheme, signature).unwrap_err();
        assert_eq!(refusal.check, Check::EvidenceSignature);
    }
}

#[test]
fn signatures_of_other_algorithms_are_refused() {
    let machine = Machine::new();
    let good = machine.sign(b"");
    let with = |at: usize, byte: u8| {
        let mut signature = good.clone();
        signature[at] = byte;
        signature
    };
    let long = [&good[..], &[0]].concat();
    for (signature, check) in [
        (with(1, 0x1a), Check::EvidenceAlgorithm),
        (with(1, 0x05), Check::EvidenceAlgorithm),
        (with(3, 0x04), Check::EvidenceAlgorithm),
        (with(5, 49), Check::EvidenceEncoding),
        (with(1, 0x14), Check::EvidenceEncoding),
        (long, Check::EvidenceEncoding),
    ] {
        assert_eq!(Signature::parse(&signature).unwrap_err().check, check);
    }
    let key = machine.public_key();
    let rsa = [0, 0x14, 0, 0x0b, 0, 1, 1];
    for signature in [&with(3, 0x0c)[..], &rsa] {
        let refusal = key.verify(b"", &Signature::parse(signature).unwrap()).unwrap_err();
        assert_eq!(refusal.check, Check::EvidenceAlgorithm);
    }
    assert_eq!(key.verify(b"", &Signature::parse(&good).unwrap()), Ok(()));
}

#[test]
fn numbers_of_a_signature_may_have_leading_zeros() {
    let machine = Machine::new();
    let good = machine.sign(b"");
    let (r, s) = (&good[6..38], &good[40..72]);
    let padded = [&[0, 0x18, 0, 0x0b, 0, 33, 0], r, &[0, 33, 0], s].concat();
    let key = machine.public_key();
    assert_eq!(key.verify(b"", &Signature::parse(&padded).unwrap()), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parsers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Quote::parse(&bytes, Checks::default());
        let _ = Signature::parse(&bytes);
        let _ = PublicKey::from_der(&bytes);
        let start = [&[0xff, 0x54, 0x43, 0x47, 0x80, 0x18], &bytes[..]].concat();
        if let Ok(quote) = Quote::parse(&start, Checks::default()) {
            prop_assert!(quote.selected.len() <= 96);
        }
    }

    #[test]
    fn what_was_cut_or_changed_never_panics(
        at in 0_usize..140, cut in 0_usize..8, put in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = quote(EXTRA);
        let at = at.min(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        let changed = bytes != quote(EXTRA);
        let parsed = Quote::parse(&bytes, Checks::default());
        prop_assert!(!changed || parsed != Quote::parse(&quote(EXTRA), Checks::default()));
    }
}
