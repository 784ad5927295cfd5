//! AMD SEV-SNP: reports of Milan with VCEKs and a VLEK, and certificates of every product.

use std::time::Duration;

use assay_attest::{
    Attested, Check, Claims, Evidence, EvidenceKind, Policy, Refusal, Roots, Strength, Trust,
    appraise,
};
use assay_primitives::Timestamp;
use assay_primitives::encoding::hex;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Row, Samples};

const FILES: &[&str] = &[
    "roots/amd-genoa_ask_ark_asvk.pem",
    "roots/amd-milan_ask_ark_asvk.pem",
    "roots/amd-turin_ask_ark_asvk.pem",
    "snp/dstack-sev_snp_ask.pem",
    "snp/dstack-sev_snp_attestation.bin",
    "snp/dstack-sev_snp_vcek.pem",
    "snp/trustee-test-report.bin",
    "snp/trustee-test-vcek-invalid-legacy.der",
    "snp/trustee-test-vcek-invalid-new.der",
    "snp/trustee-test-vcek.der",
    "snp/trustee-test-vlek-report.bin",
    "snp/trustee-test-vlek.der",
    "snp/virtee-cert_chain_milan",
    "snp/virtee-cert_chain_turin",
    "snp/virtee-report_milan.hex",
    "snp/virtee-vcek_milan.der",
    "snp/virtee-vcek_turin.der",
];

/// A report of the samples with its certificates, and a time at which all of them are valid.
struct Sample {
    file: &'static str,
    at: &'static str,
    ca: Ca,
    vek: &'static str,
}

/// Where the certificates above a leaf are: a file, and which certificates of it.
type Ca = (&'static str, [usize; 2]);

const MILAN: Ca = ("roots/amd-milan_ask_ark_asvk.pem", [0, 1]);
const MILAN_VLEK: Ca = ("roots/amd-milan_ask_ark_asvk.pem", [2, 1]);
const GENOA: Ca = ("roots/amd-genoa_ask_ark_asvk.pem", [0, 1]);
const TURIN: Ca = ("roots/amd-turin_ask_ark_asvk.pem", [0, 1]);
const VIRTEE_MILAN: Ca = ("snp/virtee-cert_chain_milan", [0, 1]);
const VIRTEE_TURIN: Ca = ("snp/virtee-cert_chain_turin", [0, 1]);

const DSTACK: Sample = Sample {
    file: "snp/dstack-sev_snp_attestation.bin",
    at: "2026-07-01T00:00:00.000Z",
    ca: MILAN,
    vek: "snp/dstack-sev_snp_vcek.pem",
};
const TRUSTEE: Sample = Sample {
    file: "snp/trustee-test-report.bin",
    at: "2026-07-01T00:00:00.000Z",
    ca: MILAN,
    vek: "snp/trustee-test-vcek.der",
};
const TRUSTEE_VLEK: Sample = Sample {
    file: "snp/trustee-test-vlek-report.bin",
    at: "2025-06-01T00:00:00.000Z",
    ca: MILAN_VLEK,
    vek: "snp/trustee-test-vlek.der",
};
const VIRTEE: Sample = Sample {
    file: "snp/virtee-report_milan.hex",
    at: "2026-07-01T00:00:00.000Z",
    ca: VIRTEE_MILAN,
    vek: "snp/virtee-vcek_milan.der",
};
const ACCEPTED: &[Sample] = &[DSTACK, TRUSTEE, TRUSTEE_VLEK, VIRTEE];

/// Judges a file; `None` if it is none of AMD's.
pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    let vek = |file, ca| {
        let sample = Sample { vek: file, ca, ..TRUSTEE };
        (sample.at, samples.appraise(&sample.evidence(samples), sample.at))
    };
    let (at, result) = match file {
        "snp/trustee-test-vcek-invalid-legacy.der" => {
            vek("snp/trustee-test-vcek-invalid-legacy.der", MILAN)
        }
        "snp/trustee-test-vcek-invalid-new.der" => {
            vek("snp/trustee-test-vcek-invalid-new.der", MILAN)
        }
        _ => match ACCEPTED.iter().find(|sample| sample.file == file) {
            Some(sample) => (sample.at, samples.appraise(&sample.evidence(samples), sample.at)),
            None => return ingredient(file),
        },
    };
    Some(Row::judged(at, &result))
}

fn ingredient(file: &str) -> Option<Row> {
    let (verdict, why) = match file {
        "roots/amd-genoa_ask_ark_asvk.pem" => ("root", "pinned: ARK-Genoa; its CAs are ASK, ASVK"),
        "roots/amd-milan_ask_ark_asvk.pem" => ("root", "pinned: ARK-Milan; its CAs are ASK, ASVK"),
        "roots/amd-turin_ask_ark_asvk.pem" => ("root", "pinned: ARK-Turin; its CAs are ASK, ASVK"),
        "snp/dstack-sev_snp_ask.pem" => ("endorsement", "ASK of Milan"),
        "snp/dstack-sev_snp_vcek.pem" => {
            ("endorsement", "VCEK of snp/dstack-sev_snp_attestation.bin")
        }
        "snp/trustee-test-vcek.der" => ("endorsement", "VCEK of snp/trustee-test-report.bin"),
        "snp/trustee-test-vlek.der" => ("endorsement", "VLEK of snp/trustee-test-vlek-report.bin"),
        "snp/virtee-cert_chain_milan" => ("endorsement", "ASK and ARK of Milan"),
        "snp/virtee-cert_chain_turin" => ("endorsement", "ASK and ARK of Turin"),
        "snp/virtee-vcek_milan.der" => ("endorsement", "VCEK of snp/virtee-report_milan.hex"),
        "snp/virtee-vcek_turin.der" => ("endorsement", "VCEK of a Turin; no report is of it"),
        _ => return None,
    };
    Some(Row::file(verdict, why))
}

impl Sample {
    fn evidence(&self, samples: &Samples) -> Evidence {
        let bytes = samples.read(self.file);
        let report = match self.file {
            // A SCALE-encoded variant with the report's length before it, other records behind it.
            "snp/dstack-sev_snp_attestation.bin" => bytes[4..][..1184].to_vec(),
            "snp/virtee-report_milan.hex" => unhex(std::str::from_utf8(&bytes).unwrap().trim()),
            _ => bytes,
        };
        let (cas, [ca, root]) = self.ca;
        let cas = certificates(samples, cas);
        let vek = certificates(samples, self.vek).remove(0);
        Evidence::Snp { report, certificates: vec![vek, cas[ca].clone(), cas[root].clone()] }
    }
}

impl Samples {
    fn appraise(&self, evidence: &Evidence, at: &str) -> Result<Attested, Refusal> {
        appraise(evidence, &Roots::vendors(), &Policy::default(), at.parse().expect("a time"))
    }
}

fn certificates(samples: &Samples, file: &str) -> Vec<Vec<u8>> {
    let bytes = samples.read(file);
    if file.ends_with(".der") {
        return vec![bytes];
    }
    CertificateDer::pem_slice_iter(&bytes).map(|der| der.unwrap().to_vec()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn judged(evidence: &Evidence, now: Timestamp) -> Result<Attested, Check> {
    appraise(evidence, &Roots::vendors(), &Policy::default(), now).map_err(|refusal| refusal.check)
}

#[test]
fn every_file_has_its_verdict() {
    let Some(samples) = Samples::open() else { return };
    let of_amd = |file: &&str| file.starts_with("snp/") || file.starts_with("roots/amd-");
    let mut files: Vec<&str> = samples.files().filter(of_amd).collect();
    files.sort_unstable();
    assert_eq!(files, FILES);
    for file in FILES {
        let row = row(&samples, file).unwrap();
        let expected = match *file {
            file if ACCEPTED.iter().any(|sample| sample.file == file) => "accepted",
            // AMD's extensions in them are well-formed: it is the ASK's signature that is wrong.
            file if file.contains("invalid") => "refused",
            file if file.starts_with("roots/") => "root",
            _ => "endorsement",
        };
        assert_eq!(row.verdict, expected, "{file}: {}", row.why);
        if expected == "refused" {
            assert!(row.why.starts_with("`chain.path`: "), "{file}: {}", row.why);
        }
    }
}

#[test]
fn claims_are_what_the_manifest_says() {
    let Some(samples) = Samples::open() else { return };
    for sample in ACCEPTED {
        let claims = samples.appraise(&sample.evidence(&samples), sample.at).unwrap();
        assert_eq!(claims.kind, EvidenceKind::Snp);
        assert_eq!(claims.strength, Strength::Tee);
        assert_eq!(claims.trust, Trust::Vendor);
        assert!(!claims.debug && !claims.is_simulated() && claims.time.is_none());
        assert!(claims.warnings.iter().any(|warning| warning.contains("2605.12990")));
        let names = ["measurement", "host_data", "id_key_digest", "author_key_digest"];
        let lengths = names.map(|name| claims.measurement(name).unwrap().len());
        assert_eq!(lengths, [48, 32, 48, 48]);
        let entry = samples.entry(sample.file);
        let shown = |claims: &Claims| hex(claims.user_data.as_deref().unwrap());
        if let Some(expected) = entry["measurement"].as_str() {
            assert_eq!(hex(claims.measurement("measurement").unwrap()), expected);
            assert_eq!(shown(&claims), entry["report_data"].as_str().unwrap());
            assert!(claims.platform.contains(&format!("VMPL {}", entry["vmpl"])));
        }
    }
}

#[test]
fn platforms_and_tcbs_are_in_words() {
    let Some(samples) = Samples::open() else { return };
    let shown = |sample: &Sample| {
        let claims = samples.appraise(&sample.evidence(&samples), sample.at).unwrap();
        (claims.platform.clone(), claims.tcb.as_ref().unwrap().versions.clone())
    };
    let (platform, tcb) = shown(&TRUSTEE);
    assert_eq!(platform, "Milan, VMPL 0, chip c38427a3…");
    assert_eq!(tcb, "bootloader 3, tee 0, snp 8, microcode 115");
    let (platform, tcb) = shown(&TRUSTEE_VLEK);
    assert_eq!(platform, "Milan, VMPL 1, VLEK of CN=cc-us-east-2.amazonaws.com");
    assert_eq!(tcb, "bootloader 4, tee 0, snp 24, microcode 217");
    assert_eq!(shown(&VIRTEE).0, "Milan, VMPL 0, chip d49554ec…");
    let (platform, tcb) = shown(&DSTACK);
    assert_eq!(platform, "Milan, VMPL 0, chip 38d17458…");
    assert_eq!(tcb, "bootloader 4, tee 0, snp 23, microcode 213");
}

#[test]
fn certificates_are_valid_from_first_to_last() {
    let Some(samples) = Samples::open() else { return };
    let little = Duration::from_millis(1);
    for sample in ACCEPTED {
        let evidence = sample.evidence(&samples);
        let validity = judged(&evidence, sample.at.parse().unwrap()).unwrap().validity;
        let at = |now| judged(&evidence, now).map(|_| ());
        assert_eq!(at(validity.not_before), Ok(()), "{}", sample.file);
        assert_eq!(at(validity.not_after), Ok(()), "{}", sample.file);
        assert_eq!(at(validity.not_before.minus(little)), Err(Check::ChainValidity));
        assert_eq!(at(validity.not_after.plus(little)), Err(Check::ChainValidity));
    }
    // The VLEK was for a year.
    let evidence = TRUSTEE_VLEK.evidence(&samples);
    let later = judged(&evidence, "2026-07-01T00:00:00.000Z".parse().unwrap());
    assert_eq!(later.map(|_| ()), Err(Check::ChainValidity));
}

/// The chain of a certificate that no report is of is shown to hold by the check that comes next.
#[test]
fn chains_of_every_product_hold() {
    let Some(samples) = Samples::open() else { return };
    let genoa = "azure/trustee-snp-vcek-genoa.pem";
    let turin = "snp/virtee-vcek_turin.der";
    for (vek, ca) in [(genoa, GENOA), (turin, TURIN), (turin, VIRTEE_TURIN)] {
        let sample = Sample { vek, ca, ..TRUSTEE };
        let result = judged(&sample.evidence(&samples), sample.at.parse().unwrap());
        assert_eq!(result.map(|_| ()), Err(Check::EvidenceSignature), "{vek}");
    }
    for (vek, ca) in [(genoa, TURIN), (turin, MILAN), (TRUSTEE.vek, MILAN_VLEK)] {
        let sample = Sample { vek, ca, ..TRUSTEE };
        let result = judged(&sample.evidence(&samples), sample.at.parse().unwrap());
        assert_eq!(result.map(|_| ()), Err(Check::ChainPath), "{vek}");
    }
}

/// The only report of a Genoa is in Azure's HCL report, 32 bytes into it.
#[test]
fn a_genoa_is_accepted_with_no_warning_but_of_its_tcb() {
    let Some(samples) = Samples::open() else { return };
    let azure = samples.read("azure/trustee-snp-evidence-genoa.json");
    let azure: serde_json::Value = serde_json::from_slice(&azure).unwrap();
    let hcl: Vec<u8> = serde_json::from_value(azure["report"].clone()).unwrap();
    let sample = Sample { vek: "azure/trustee-snp-vcek-genoa.pem", ca: GENOA, ..TRUSTEE };
    let Evidence::Snp { certificates, .. } = sample.evidence(&samples) else { panic!() };
    let evidence = Evidence::Snp { report: hcl[32..][..1184].to_vec(), certificates };
    let claims = samples.appraise(&evidence, sample.at).unwrap();
    assert_eq!(claims.platform, "Genoa, VMPL 0, chip 0506ffba…");
    let any = "TCB: any version of bootloader, tee, snp, microcode, as no policy sets a least one";
    assert_eq!(claims.warnings, [any]);
}

#[test]
fn copies_of_the_cas_are_amds() {
    let Some(samples) = Samples::open() else { return };
    let milan = certificates(&samples, MILAN.0);
    assert_eq!(certificates(&samples, VIRTEE_MILAN.0), milan[..2]);
    assert_eq!(certificates(&samples, VIRTEE_TURIN.0), certificates(&samples, TURIN.0)[..2]);
    assert_eq!(certificates(&samples, "snp/dstack-sev_snp_ask.pem"), milan[..1]);
}

#[test]
fn certificates_of_others_do_not_endorse_a_report() {
    let Some(samples) = Samples::open() else { return };
    let other = Sample { vek: VIRTEE.vek, ..TRUSTEE };
    let result = judged(&other.evidence(&samples), other.at.parse().unwrap());
    assert_eq!(result.map(|_| ()), Err(Check::EvidenceSignature));
    let vlek = Sample { vek: TRUSTEE_VLEK.vek, ca: MILAN_VLEK, at: TRUSTEE_VLEK.at, ..TRUSTEE };
    let result = judged(&vlek.evidence(&samples), vlek.at.parse().unwrap());
    assert_eq!(result.map(|_| ()), Err(Check::ChainPlatform));
}

/// Every byte of a report, and bytes all over the certificates: no flip goes unnoticed.
#[test]
fn flipped_bytes_are_refused() {
    let Some(samples) = Samples::open() else { return };
    for sample in ACCEPTED {
        let evidence = sample.evidence(&samples);
        let Evidence::Snp { report, certificates } = &evidence else { panic!("another kind") };
        let mut parts = vec![report.clone()];
        parts.extend(certificates.iter().cloned());
        for (part, step) in [(0, 1), (1, 5), (2, 13), (3, 29)] {
            for at in (0..parts[part].len()).step_by(step) {
                let mut parts = parts.clone();
                parts[part][at] ^= 1 << (at % 8);
                let result = judged(&of_parts(parts), sample.at.parse().unwrap());
                assert!(result.is_err(), "{}: part {part}, byte {at}", sample.file);
            }
        }
    }
}

fn of_parts(mut parts: Vec<Vec<u8>>) -> Evidence {
    let certificates = parts.split_off(1);
    Evidence::Snp { report: parts.remove(0), certificates }
}

#[test]
fn a_sample_goes_through_json() {
    let Some(samples) = Samples::open() else { return };
    let evidence = TRUSTEE.evidence(&samples);
    let json = serde_json::to_value(&evidence).unwrap();
    assert_eq!(json["kind"], "snp");
    assert_eq!(json["certificates"].as_array().unwrap().len(), 3);
    assert_eq!(serde_json::from_value::<Evidence>(json).unwrap(), evidence);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_samples_never_panic(
        part in 0..4_usize,
        cut in 0..2_000_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
        removed in 0..64_usize,
    ) {
        let Some(samples) = Samples::open() else { return Ok(()) };
        let evidence = TRUSTEE.evidence(&samples);
        let Evidence::Snp { report, certificates } = &evidence else { panic!("another kind") };
        let mut parts = vec![report.clone()];
        parts.extend(certificates.iter().cloned());
        let changed = &mut parts[part];
        let at = cut.min(changed.len());
        let end = (at + removed).min(changed.len());
        changed.splice(at..end, inserted);
        let is_same = of_parts(parts.clone()) == evidence;
        let result = judged(&of_parts(parts), TRUSTEE.at.parse().unwrap());
        prop_assert_eq!(result.is_ok(), is_same);
    }
}
