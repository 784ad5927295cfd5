//! NVIDIA's GPU reports and the certificates that go with them.

use std::time::Duration;

use assay_attest::{
    Attested, Check, Claims, Evidence, EvidenceKind, Policy, Refusal, Roots, Strength, Trust,
    appraise,
};
use assay_primitives::{Timestamp, encoding};
use proptest::prelude::*;
use proptest::sample::Index;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use super::{Row, Samples};

/// When reports are judged: they have no clock, and their certificates no end.
const AT: &str = "2026-01-01T00:00:00Z";
/// A byte of how many in the report's middle is flipped.
const STRIDE: usize = 15;

/// The reports, and the chain of each.
const REPORTS: [(&str, &str); 3] = [
    ("nvidia/nvtrust-hopperAttestationReport.txt", "nvidia/nvtrust-hopperCertChain.txt"),
    ("nvidia/trustee-hopperAttestationReport.txt", "nvidia/trustee-hopper_cert_chain_case1.txt"),
    ("nvidia/trustee-hopper_coco_report1.txt", "nvidia/trustee-hopper_coco_certs1.txt"),
];

pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    if let Some((_, certificates)) = REPORTS.iter().find(|(report, _)| *report == file) {
        return Some(report_row(samples, file, certificates));
    }
    if let Some((report, _)) = REPORTS.iter().find(|(_, certificates)| *certificates == file) {
        judge(samples, report, file, &signature_only(), at()).unwrap();
        return Some(Row::file("endorsement", &format!("the chain of {report}")));
    }
    match file {
        "roots/nvidia-verifier_device_root.pem" => {
            assert_eq!(chain(samples, file), chain(samples, REPORTS[0].1)[4..]);
            Some(Row::file("root", "pinned: of the GPUs' certificates"))
        }
        "roots/nvidia-verifier_RIM_root.pem" => {
            assert_eq!(chain(samples, file).len(), 1);
            Some(Row::file("root", "not pinned: of NVIDIA's reference values"))
        }
        "roots/openpcc-nras_root.pem" => {
            assert_eq!(chain(samples, file).len(), 2);
            Some(Row::file("endorsement", "intermediates of NVIDIA's service, not read"))
        }
        "nvidia/trustee-hopper_cert_chain_case2.txt" => {
            Some(refused_chain(samples, file, Check::ChainPath, "the root alone"))
        }
        "nvidia/trustee-hopper_cert_chain_case3.txt" => {
            Some(refused_chain(samples, file, Check::ChainPath, "an intermediate is missing"))
        }
        "nvidia/trustee-hopper_cert_chain_case4.txt" => {
            Some(refused_chain(samples, file, Check::EvidenceSignature, "the GPU's is missing"))
        }
        "nvidia/trustee-hopper_signing_cert.pem" => {
            assert_eq!(chain(samples, file), chain(samples, REPORTS[1].1)[..1]);
            Some(Row::file("endorsement", "the GPU's certificate of a chain"))
        }
        "nvidia/trustee-hopperAttestationReport-claims.txt" => {
            assert_oracle(samples, file);
            Some(Row::file("other", "what another verifier reads in the report: the same"))
        }
        _ if file.ends_with(".swidtag") => {
            assert!(samples.read(file).starts_with(b"<SoftwareIdentity"));
            Some(Row::file("endorsement", "NVIDIA's reference values, which are not read"))
        }
        _ => None,
    }
}

fn report_row(samples: &Samples, file: &str, certificates: &str) -> Row {
    let attested = judge(samples, file, certificates, &signature_only(), at()).unwrap();
    assert_eq!((attested.kind, attested.trust), (EvidenceKind::Nvidia, Trust::Vendor));
    assert_eq!((attested.time, attested.debug), (None, false));
    assert_eq!((attested.measurements.len(), attested.warnings.len()), (64, 1));
    assert_eq!(attested.platform, "GH100 A01 GSP FMC LF");
    assert_eq!(attested.user_data.as_deref(), Some(&report(samples, file)[4..36]));
    assert_bounds(samples, file, certificates, &attested);
    let refusal = judge(samples, file, certificates, &Policy::default(), at()).unwrap_err();
    assert_eq!(refusal.check, Check::PolicyStrength);
    assert_eq!(attested.strength, Strength::SignatureOnly);
    let versions = &attested.tcb.as_ref().unwrap().versions;
    Row::judged(AT, &Err(refusal)).with(&format!("{}, {versions}", attested.platform))
}

fn refused_chain(samples: &Samples, file: &str, check: Check, why: &str) -> Row {
    let refusal = judge(samples, REPORTS[1].0, file, &signature_only(), at()).unwrap_err();
    assert_eq!(refusal.check, check, "{refusal}");
    Row::judged(AT, &Err(refusal)).with(why)
}

fn judge(
    samples: &Samples,
    report_file: &str,
    certificates: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<Attested, Refusal> {
    let report = report(samples, report_file);
    appraise_report(report, chain(samples, certificates), policy, now)
}

fn appraise_report(
    report: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Attested, Refusal> {
    appraise(&Evidence::Nvidia { report, certificates }, &Roots::vendors(), policy, now)
}

fn signature_only() -> Policy {
    Policy { min_strength: Some(Strength::SignatureOnly), ..Policy::default() }
}

fn at() -> Timestamp {
    Timestamp::from_rfc3339(AT).unwrap()
}

/// Reads a report, which is in hexadecimal.
fn report(samples: &Samples, file: &str) -> Vec<u8> {
    let digit = |digit: &u8| u8::try_from(char::from(*digit).to_digit(16).unwrap()).unwrap();
    let digits: Vec<u8> = samples.read(file).iter().map(digit).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn chain(samples: &Samples, file: &str) -> Vec<Vec<u8>> {
    let pem = samples.read(file);
    CertificateDer::pem_slice_iter(&pem).map(|der| der.unwrap().to_vec()).collect()
}

fn assert_bounds(samples: &Samples, file: &str, certificates: &str, claims: &Claims) {
    let millisecond = Duration::from_millis(1);
    let policy = signature_only();
    let verdict = |time| {
        let verdict = judge(samples, file, certificates, &policy, time);
        verdict.map(|_| ()).map_err(|refusal| refusal.check)
    };
    let validity = claims.validity;
    let second = Duration::from_secs(1);
    assert_eq!(verdict(validity.not_before.minus(second)), Err(Check::ChainValidity));
    assert_eq!(verdict(validity.not_before.minus(millisecond)), Err(Check::ChainValidity));
    assert_eq!(verdict(validity.not_before), Ok(()));
    // The certificates end with the year 9999: no time is after them.
    assert_eq!(validity.not_after, Timestamp::from_millis(u64::MAX));
    assert_eq!(verdict(validity.not_after), Ok(()));
}

/// Compares with what another verifier reads in the report. It counts the measurements from 1.
fn assert_oracle(samples: &Samples, file: &str) {
    let (report, certificates) = REPORTS[1];
    let attested = judge(samples, report, certificates, &signature_only(), at()).unwrap();
    let oracle: Value = serde_json::from_slice(&samples.read(file)).unwrap();
    let config = &oracle["config"];
    let text = |name: &str| config[name].as_str().unwrap().to_owned();
    let versions = format!("driver {}, VBIOS {}", text("driver_version"), text("vbios_version"));
    assert_eq!(attested.tcb.as_ref().unwrap().versions, versions);
    let measurements = oracle["measurements"].as_object().unwrap();
    assert_eq!(measurements.len(), attested.measurements.len());
    for (index, value) in measurements {
        let index: u8 = index.parse().unwrap();
        let got = attested.measurement(&format!("m{}", index - 1)).unwrap();
        assert_eq!(encoding::hex(got), value.as_str().unwrap(), "measurement {index}");
    }
}

/// Every byte of both ends of the report and one of [`STRIDE`] between, and of the certificates, with a
/// bit flipped: no byte is without meaning, up to the zero that follows one of the reports.
#[test]
fn no_byte_of_a_report_may_change() {
    let Some(samples) = Samples::open() else { return };
    let policy = signature_only();
    for (file, certificates) in [REPORTS[0], REPORTS[2]] {
        let (mut report, mut chain) = (report(&samples, file), chain(&samples, certificates));
        let judge = |report: &[u8], chain: &[Vec<u8>]| {
            appraise_report(report.to_vec(), chain.to_vec(), &policy, self::at())
        };
        judge(&report, &chain).unwrap();
        let refused = |report: &[u8], chain: &[Vec<u8>], at: usize| {
            assert!(judge(report, chain).is_err(), "byte {at} may change");
        };
        let length = report.len();
        let is_chosen = |at: &usize| *at < 48 || length - at <= 104 || at.is_multiple_of(STRIDE);
        let chosen: Vec<usize> = (0..length).filter(is_chosen).collect();
        assert!(chosen.len() >= 400);
        for at in chosen {
            report[at] ^= 1 << (at % 8);
            refused(&report, &chain, at);
            report[at] ^= 1 << (at % 8);
        }
        for of in 0..chain.len() {
            for at in (0..chain[of].len()).step_by(STRIDE) {
                chain[of][at] ^= 1 << (at % 8);
                refused(&report, &chain, at);
                chain[of][at] ^= 1 << (at % 8);
            }
        }
    }
}

#[test]
fn zeros_may_follow_a_report_and_nothing_else() {
    let Some(samples) = Samples::open() else { return };
    let (file, certificates) = REPORTS[2];
    let padded = report(&samples, file);
    let (last, report) = padded.split_last().unwrap();
    assert_eq!(*last, 0);
    let verdict = |more: &[u8]| {
        let report = [report, more].concat();
        let verdict =
            appraise_report(report, chain(&samples, certificates), &signature_only(), at());
        verdict.map(|_| ()).map_err(|refusal| refusal.check)
    };
    assert_eq!(verdict(&[]), Ok(()));
    assert_eq!(verdict(&[0; 4000]), Ok(()));
    assert_eq!(verdict(&[0, 1]), Err(Check::EvidenceReserved));
    assert_eq!(verdict(&[0; 8192]), Err(Check::EvidenceSize));
}

/// A report by one GPU with the chain of another.
#[test]
fn the_chain_is_that_of_the_gpu() {
    let Some(samples) = Samples::open() else { return };
    let verdict = judge(&samples, REPORTS[0].0, REPORTS[2].1, &signature_only(), at());
    assert_eq!(verdict.unwrap_err().check, Check::EvidenceSignature);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_that_was_cut_or_changed_is_refused(
        at in any::<Index>(),
        removed in 0..512_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let Some(samples) = Samples::open() else { return Ok(()) };
        let (file, certificates) = REPORTS[0];
        let original = report(&samples, file);
        let at = at.index(original.len());
        let end = original.len().min(at + removed);
        let changed = [&original[..at], &inserted, &original[end..]].concat();
        prop_assume!(!changed.starts_with(&original));
        let chain = chain(&samples, certificates);
        prop_assert!(appraise_report(changed, chain, &signature_only(), self::at()).is_err());
    }
}
