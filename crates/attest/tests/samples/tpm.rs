//! TPM 2.0: quotes of software TPMs and of Google's, and the roots of virtual TPMs.
//!
//! No sample has a certificate for its attestation key, so none is accepted as it is; with a
//! certificate that the test makes for the real key, the real quotes are, as simulated.

use assay_attest::{
    AttestationKey, Attested, Check, DevelopmentRoot, Evidence, EvidenceKind, Pcr, Policy, Refusal,
    Roots, Strength, TpmHash, Trust, appraise,
};
use assay_primitives::Timestamp;
use assay_primitives::encoding::{from_base64, hex};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::Value;
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{Row, Samples, change_bytes};

/// When the quotes that have no clock are judged.
pub(crate) const AT: &str = "2026-11-22T00:00:00.000Z";

const DSTACK: &str = "tpm/dstack-tpm_quote_sample.bin";
const SWTPM: &str = "tpm/swtpm/quote.msg";
const TRUSTEE: &str = "tpm/trustee-tpm_evidence.json";
const ROOTS: &[(&str, &str)] = &[
    ("roots/gcp-vtpm-root.pem", "pinned: Google's EK/AK CA Root"),
    ("roots/openpcc-gce_ek_ak_root.pem", "pinned: Google's EK/AK CA Root"),
    ("roots/openpcc-azure_tpm_root_2023.pem", "pinned: Azure's root of virtual TPMs"),
];

/// Judges a file; `None` if it is no TPM's.
pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    if let Some((_, why)) = ROOTS.iter().find(|(root, _)| *root == file) {
        return Some(Row::file("root", why));
    }
    let evidence = match file {
        DSTACK => dstack(samples),
        SWTPM => swtpm(samples),
        TRUSTEE => trustee(samples),
        _ => return None,
    };
    let judged = judge(&evidence, &Roots::vendors());
    assert!(judged.is_err(), "{file}");
    Some(Row::judged(AT, &judged))
}

pub(crate) fn policy() -> Policy {
    Policy { min_strength: Some(Strength::MeasuredBoot), ..Policy::default() }
}

fn judge(evidence: &Evidence, roots: &Roots) -> Result<Attested, Refusal> {
    appraise(evidence, roots, &policy(), AT.parse().unwrap())
}

/// A quote alone: its signature and its key are not there.
fn dstack(samples: &Samples) -> Evidence {
    let ak = AttestationKey::PublicKey(public_key(samples));
    Evidence::Tpm { quote: samples.read(DSTACK), signature: Vec::new(), pcrs: Vec::new(), ak }
}

fn swtpm(samples: &Samples) -> Evidence {
    // tpm2-tools' file: the selection in 132 bytes, one list of 3 digests, each with 64 bytes of room.
    let file = samples.read("tpm/swtpm/quote.pcrs");
    assert_eq!(file[132..140], [1, 0, 0, 0, 3, 0, 0, 0]);
    let values = file[140..].chunks(66).take(3).map(|digest| digest[2..34].to_vec());
    let pcr = |(index, value)| Pcr::new(TpmHash::Sha256, index, value);
    Evidence::Tpm {
        quote: samples.read(SWTPM),
        signature: samples.read("tpm/swtpm/quote.sig"),
        pcrs: [0, 7, 16].into_iter().zip(values).map(pcr).collect(),
        ak: AttestationKey::PublicKey(public_key(samples)),
    }
}

fn public_key(samples: &Samples) -> Vec<u8> {
    SubjectPublicKeyInfoDer::from_pem_slice(&samples.read("tpm/swtpm/ak.pem")).unwrap().to_vec()
}

fn trustee(samples: &Samples) -> Evidence {
    let file: Value = serde_json::from_slice(&samples.read(TRUSTEE)).unwrap();
    let base64 = |value: &Value| from_base64(value.as_str().unwrap()).unwrap();
    let quote = &file["tpm_quote"];
    let pcr = |(value, index): (&Value, u8)| {
        Pcr::new(TpmHash::Sha256, index, from_hex(value.as_str().unwrap()))
    };
    Evidence::Tpm {
        quote: base64(&quote["message"]),
        signature: base64(&quote["signature"]),
        pcrs: quote["pcrs"].as_array().unwrap().iter().zip(0..).map(pcr).collect(),
        ak: AttestationKey::PublicKey(base64(&file["ak_public"])),
    }
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// A public key that rcgen puts into a certificate.
struct Key(Vec<u8>, &'static SignatureAlgorithm);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.1
    }
}

/// Has a development root certify the bare key of evidence.
pub(crate) fn certified(evidence: Evidence) -> (Evidence, Roots) {
    let Evidence::Tpm { quote, signature, pcrs, ak: AttestationKey::PublicKey(key) } = evidence
    else {
        panic!("it has a bare key")
    };
    let key = SubjectPublicKeyInfoOwned::from_der(&key).unwrap();
    let is_rsa = key.algorithm.oid.to_string() == "1.2.840.113549.1.1.1";
    let algorithm = if is_rsa { &PKCS_RSA_SHA256 } else { &PKCS_ECDSA_P256_SHA256 };
    let key = Key(key.subject_public_key.raw_bytes().to_vec(), algorithm);
    let params = |name: &str, usage, year| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![usage];
        params.not_before = date_time_ymd(2026, 11, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params
    };
    let mut ca = params("A root for development", KeyUsagePurpose::KeyCertSign, 2030);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let root = ca.self_signed(&ca_key).unwrap().der().to_vec();
    let leaf = params("An attestation key", KeyUsagePurpose::DigitalSignature, 2028);
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().der().to_vec();
    let roots = Roots::vendors().with_development(DevelopmentRoot::from_bytes(&root).unwrap());
    let ak = AttestationKey::Certificates(vec![leaf, root]);
    (Evidence::Tpm { quote, signature, pcrs, ak }, roots)
}

/// The manifest's nonce of swtpm's quote.
const NONCE: &str = "ee005d05ea1f83a69518";

#[test]
fn a_software_tpms_quote_holds_but_nobody_vouches_for_its_key() {
    let Some(samples) = Samples::open() else { return };
    let evidence = swtpm(&samples);
    assert_eq!(samples.entry(SWTPM)["kind"], "tpm2-quote-swtpm");
    let ca = samples.read("tpm/swtpm/swtpm-localca-rootca-cert.pem");
    let local = Roots::vendors().with_development(DevelopmentRoot::from_bytes(&ca).unwrap());
    for roots in [Roots::vendors(), local] {
        let refusal = judge(&evidence, &roots).unwrap_err();
        assert_eq!(refusal.check, Check::BindingAttestationKey);
    }
}

#[test]
fn the_certificate_of_a_software_tpms_endorsement_key_does_not_do() {
    let Some(samples) = Samples::open() else { return };
    let der = |file: &str| CertificateDer::from_pem_slice(&samples.read(file)).unwrap().to_vec();
    let root = der("tpm/swtpm/swtpm-localca-rootca-cert.pem");
    let endorsement_key = samples.read("tpm/swtpm/ekrsa.der");
    let chain = vec![endorsement_key, der("tpm/swtpm/issuercert.pem"), root.clone()];
    let mut evidence = swtpm(&samples);
    let Evidence::Tpm { ak, .. } = &mut evidence else { panic!() };
    *ak = AttestationKey::Certificates(chain);
    assert_eq!(judge(&evidence, &Roots::vendors()).unwrap_err().check, Check::ChainRoot);
    let local = Roots::vendors().with_development(DevelopmentRoot::from_bytes(&root).unwrap());
    assert_eq!(judge(&evidence, &local).unwrap_err().check, Check::ChainUsage);
}

#[test]
fn with_a_certificate_for_their_key_real_quotes_are_simulated_measured_boot() {
    let Some(samples) = Samples::open() else { return };
    for (evidence, platform, user_data, count) in [
        (swtpm(&samples), "TPM 2.0, firmware 2019102300163636", NONCE, 3),
        (
            trustee(&samples),
            "TPM 2.0, firmware 2019102300163636",
            "a04182b506878d4f29b91ee606a71a0d",
            24,
        ),
    ] {
        let (evidence, roots) = certified(evidence);
        assert_eq!(judge(&evidence, &Roots::vendors()).unwrap_err().check, Check::ChainRoot);
        let attested = judge(&evidence, &roots).unwrap();
        assert!(attested.is_simulated());
        assert_eq!((attested.kind, attested.trust), (EvidenceKind::Tpm, Trust::Development));
        assert_eq!(attested.strength, Strength::MeasuredBoot);
        assert_eq!(attested.platform, platform);
        let bound = hex(attested.user_data.as_deref().unwrap());
        assert!(bound.starts_with(user_data), "{bound}");
        assert_eq!(attested.measurements.len(), count);
        let now = AT.parse().unwrap();
        let refusal = appraise(&evidence, &roots, &Policy::default(), now).unwrap_err();
        assert_eq!(refusal.check, Check::PolicyStrength);
        for (time, is_valid) in [
            (attested.validity.not_before.as_millis(), true),
            (attested.validity.not_after.as_millis(), true),
            (attested.validity.not_before.as_millis() - 1, false),
            (attested.validity.not_after.as_millis() + 1, false),
        ] {
            let result = appraise(&evidence, &roots, &policy(), Timestamp::from_millis(time));
            let refused = result.map(|_| ()).map_err(|refusal| refusal.check);
            assert_eq!(refused, if is_valid { Ok(()) } else { Err(Check::ChainValidity) });
        }
    }
}

#[test]
fn the_pcr_values_are_as_the_quote_says() {
    let Some(samples) = Samples::open() else { return };
    let (evidence, roots) = certified(swtpm(&samples));
    let attested = judge(&evidence, &roots).unwrap();
    assert_eq!(attested.measurement("pcr0"), Some(&[0; 32][..]));
    assert_eq!(attested.measurement("pcr7"), Some(&[0; 32][..]));
    let extended = attested.measurement("pcr16").unwrap();
    assert!(hex(extended).starts_with("28eb33cbb851c9b7"));
}

#[test]
fn every_changed_byte_is_refused() {
    let Some(samples) = Samples::open() else { return };
    let (evidence, roots) = certified(swtpm(&samples));
    change_bytes(&evidence, part_of, 1, |changed| judge(changed, &roots).is_err());
}

fn part_of(evidence: &mut Evidence, part: usize) -> Option<&mut Vec<u8>> {
    let Evidence::Tpm { quote, signature, pcrs, ak: AttestationKey::Certificates(chain) } =
        evidence
    else {
        panic!("it is certified")
    };
    let values = pcrs.iter_mut().map(|pcr| &mut pcr.value);
    [quote, signature].into_iter().chain(values).chain(chain).nth(part)
}

#[test]
fn a_quote_without_its_signature_is_nothing() {
    let Some(samples) = Samples::open() else { return };
    let refusal = judge(&dstack(&samples), &Roots::vendors()).unwrap_err();
    assert_eq!(refusal.check, Check::EvidenceEncoding);
    assert!(refusal.expected.starts_with("sigAlg"), "{refusal}");
    // With a signature in form, it is read and the signature is not the key's.
    let mut evidence = dstack(&samples);
    let Evidence::Tpm { signature, .. } = &mut evidence else { panic!() };
    *signature = samples.read("tpm/swtpm/quote.sig");
    let refusal = judge(&evidence, &Roots::vendors()).unwrap_err();
    assert_eq!(refusal.check, Check::EvidenceSignature);
}

#[test]
fn the_vendors_roots_are_known_and_no_attestation_keys() {
    let Some(samples) = Samples::open() else { return };
    let (evidence, _) = certified(swtpm(&samples));
    for (file, _) in ROOTS {
        let root = CertificateDer::from_pem_slice(&samples.read(file)).unwrap().to_vec();
        let mut evidence = evidence.clone();
        let Evidence::Tpm { ak, .. } = &mut evidence else { panic!() };
        *ak = AttestationKey::Certificates(vec![root.clone(), root.clone()]);
        assert_eq!(judge(&evidence, &Roots::vendors()).unwrap_err().check, Check::ChainUsage);
        // A made certificate of the key is not signed by it.
        let (Evidence::Tpm { ak: AttestationKey::Certificates(mut chain), .. }, _) =
            certified(swtpm(&samples))
        else {
            panic!()
        };
        chain[1] = root;
        let Evidence::Tpm { ak, .. } = &mut evidence else { panic!() };
        *ak = AttestationKey::Certificates(chain);
        assert_eq!(judge(&evidence, &Roots::vendors()).unwrap_err().check, Check::ChainPath);
    }
}

#[test]
fn samples_that_were_cut_or_changed_never_panic() {
    let Some(samples) = Samples::open() else { return };
    let (evidence, roots) = certified(swtpm(&samples));
    let strategy =
        (0..7_usize, 0..700_usize, 0..16_usize, prop::collection::vec(any::<u8>(), 0..16));
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() };
    proptest!(config, |((part, at, cut, put) in strategy)| {
        let mut changed = evidence.clone();
        let bytes = part_of(&mut changed, part).unwrap();
        let at = at.min(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        prop_assert_eq!(judge(&changed, &roots).is_ok(), changed == evidence);
    });
}
