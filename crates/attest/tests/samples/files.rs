//! Evidence put together from files of the samples, in any order and spelling.

use assay_attest::{
    AttestationKey, Check, Collateral, Evidence, EvidenceKind, Files, FilesError, Policy, Refusal,
    Roots, Strength, appraise,
};
use assay_primitives::Timestamp;
use assay_primitives::encoding::{base64, hex};

use super::Samples;

fn files(samples: &Samples, names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| samples.read(name)).collect()
}

fn put(kind: EvidenceKind, files: &[Vec<u8>]) -> Result<Evidence, FilesError> {
    Evidence::from_files(kind, Files { files, ..Files::default() })
}

fn judge(evidence: &Evidence, least: Strength, at: &str) -> Result<(), Refusal> {
    let policy = Policy { min_strength: Some(least), ..Policy::default() };
    let at = Timestamp::from_rfc3339(at).unwrap();
    appraise(evidence, &Roots::vendors(), &policy, at).map(|_| ())
}

#[test]
fn a_document_may_be_text() {
    let Some(samples) = Samples::open() else { return };
    let document = samples.read("nitro/base-sample_attestation.cbor");
    let at = "2024-02-26T07:02:01.439Z";
    for file in [document.clone(), hex(&document).into_bytes(), base64(&document).into_bytes()] {
        let evidence = put(EvidenceKind::Nitro, &[file]).unwrap();
        judge(&evidence, Strength::Tee, at).unwrap();
    }
    assert!(matches!(put(EvidenceKind::Nitro, &[]), Err(FilesError::Missing(_))));
    let two = put(EvidenceKind::Nitro, &[document.clone(), document]);
    assert!(matches!(two, Err(FilesError::Unusable { at: 1, .. })));
}

#[test]
fn a_quote_needs_its_collateral_in_either_spelling() {
    let Some(samples) = Samples::open() else { return };
    let quote = files(&samples, &["tdx/dcap-qvl-tdx_quote.bin"]);
    let missing = put(EvidenceKind::Tdx, &quote).unwrap_err();
    assert_eq!(missing, FilesError::Missing("the collateral"));
    let theirs = samples.read("tdx/dcap-qvl-tdx_quote_collateral.json");
    let read = Collateral::from_json(&theirs).unwrap();
    let ours = serde_json::to_vec(&read).unwrap();
    assert_eq!(Collateral::from_json(&ours).unwrap(), read);
    for json in [theirs, ours] {
        let collateral = Collateral::from_json(&json).unwrap();
        let from = Files { files: &quote, collateral: Some(collateral), hcl_report: None };
        let evidence = Evidence::from_files(EvidenceKind::Tdx, from).unwrap();
        judge(&evidence, Strength::Tee, "2025-06-21T10:00:00.000Z").unwrap();
    }
    for wrong in [&b""[..], b"{}", b"{\"tcbInfo\":\"\"}", b"[1]"] {
        Collateral::from_json(wrong).unwrap_err();
    }
}

#[test]
fn amds_certificates_are_told_apart() {
    let Some(samples) = Samples::open() else { return };
    let milan = "roots/amd-milan_ask_ark_asvk.pem";
    for (names, at) in [
        (
            ["snp/trustee-test-report.bin", "snp/trustee-test-vcek.der", milan],
            "2026-07-01T00:00:00Z",
        ),
        (
            [milan, "snp/trustee-test-vcek.der", "snp/trustee-test-report.bin"],
            "2026-07-01T00:00:00Z",
        ),
        (
            [milan, "snp/trustee-test-vlek.der", "snp/trustee-test-vlek-report.bin"],
            "2025-06-01T00:00:00Z",
        ),
        (
            ["snp/virtee-vcek_milan.der", "snp/virtee-report_milan.hex", milan],
            "2026-07-01T00:00:00Z",
        ),
    ] {
        let evidence = put(EvidenceKind::Snp, &files(&samples, &names)).unwrap();
        judge(&evidence, Strength::Tee, at)
            .unwrap_or_else(|refusal| panic!("{names:?}: {refusal}"));
    }
    // Those of all products at once: the chain goes by the names.
    let names = [
        "roots/amd-turin_ask_ark_asvk.pem",
        "roots/amd-genoa_ask_ark_asvk.pem",
        milan,
        "snp/trustee-test-report.bin",
        "snp/trustee-test-vcek.der",
    ];
    let evidence = put(EvidenceKind::Snp, &files(&samples, &names)).unwrap();
    judge(&evidence, Strength::Tee, "2026-07-01T00:00:00Z").unwrap();
}

#[test]
fn what_is_missing_of_a_report_is_named() {
    let Some(samples) = Samples::open() else { return };
    let missing = |names: &[&str]| match put(EvidenceKind::Snp, &files(&samples, names)) {
        Err(FilesError::Missing(what)) => what,
        other => panic!("{other:?}"),
    };
    let (report, vcek) = ("snp/trustee-test-report.bin", "snp/trustee-test-vcek.der");
    assert!(missing(&[report]).contains("VCEK"));
    assert!(missing(&[report, vcek]).contains("ASK"));
    assert!(missing(&[report, vcek, "snp/dstack-sev_snp_ask.pem"]).contains("ARK"));
    assert_eq!(missing(&[vcek]), "the report");
    let two =
        put(EvidenceKind::Snp, &files(&samples, &[report, "snp/trustee-test-vlek-report.bin"]));
    assert!(matches!(two, Err(FilesError::Unusable { at: 1, .. })));
}

#[test]
fn a_gpus_certificates_may_be_in_any_order() {
    let Some(samples) = Samples::open() else { return };
    let report = samples.read("nvidia/nvtrust-hopperAttestationReport.txt");
    let chain = String::from_utf8(samples.read("nvidia/nvtrust-hopperCertChain.txt")).unwrap();
    let end = "-----END CERTIFICATE-----";
    let mut all: Vec<Vec<u8>> =
        chain.split_inclusive(end).map(|one| one.trim().as_bytes().to_vec()).collect();
    all.retain(|one| !one.is_empty());
    assert_eq!(all.len(), 5);
    let judged = |all: &[Vec<u8>]| {
        let evidence =
            put(EvidenceKind::Nvidia, &[std::slice::from_ref(&report), all].concat()).unwrap();
        judge(&evidence, Strength::SignatureOnly, "2026-01-01T00:00:00Z")
    };
    all.swap(0, 3);
    all.reverse();
    judged(&all).unwrap();
    let names = |file| judged(&[samples.read(file)]).unwrap_err().check;
    assert_eq!(names("nvidia/trustee-hopper_cert_chain_case3.txt"), Check::ChainPath);
    assert_eq!(names("nvidia/trustee-hopper_cert_chain_case4.txt"), Check::EvidenceSignature);
    let none = put(EvidenceKind::Nvidia, &[report]).unwrap_err();
    assert!(matches!(none, FilesError::Missing(_)));
}

/// The values of swtpm's quote, as tools print them.
const PRINTED: &str = "\
sha256:
  0 : 0x0000000000000000000000000000000000000000000000000000000000000000
  1 : 0x1111111111111111111111111111111111111111111111111111111111111111
  7 : 0x0000000000000000000000000000000000000000000000000000000000000000
  16: 0x28EB33CBB851C9B7D8553D9E592DAA3FD11058CF35D32D18EE4FFA8C01D09E56
";

#[test]
fn values_of_pcrs_are_read_as_tools_write_them() {
    let Some(samples) = Samples::open() else { return };
    let quote = ["tpm/swtpm/quote.msg", "tpm/swtpm/quote.sig", "tpm/swtpm/ak.pem"];
    let serialized = samples.read("tpm/swtpm/quote.pcrs");
    let bare: Vec<u8> =
        serialized[140..].chunks(66).take(3).flat_map(|one| &one[2..34]).copied().collect();
    for values in [serialized, bare, PRINTED.as_bytes().to_vec()] {
        let mut all = files(&samples, &quote);
        all.insert(1, values);
        let evidence = put(EvidenceKind::Tpm, &all).unwrap();
        let Evidence::Tpm { pcrs, ak, .. } = &evidence else { panic!() };
        let named: Vec<u8> = pcrs.iter().map(|pcr| pcr.index).collect();
        assert_eq!(named, [0, 7, 16]);
        assert!(matches!(ak, AttestationKey::PublicKey(_)));
        // All of it holds, but for the key, for which nobody vouches.
        let refusal = judge(&evidence, Strength::MeasuredBoot, super::tpm::AT).unwrap_err();
        assert_eq!(refusal.check, Check::BindingAttestationKey);
    }
}

#[test]
fn what_is_missing_of_a_tpms_quote_is_named() {
    let Some(samples) = Samples::open() else { return };
    let all =
        ["tpm/swtpm/quote.msg", "tpm/swtpm/quote.sig", "tpm/swtpm/quote.pcrs", "tpm/swtpm/ak.pem"];
    for (left_out, what) in [
        (0, "the quote"),
        (1, "the signature"),
        (2, "the file with the values"),
        (3, "the certificate"),
    ] {
        let mut some = files(&samples, &all);
        some.remove(left_out);
        match put(EvidenceKind::Tpm, &some) {
            Err(FilesError::Missing(missing)) => assert!(missing.starts_with(what), "{missing}"),
            other => panic!("{other:?}"),
        }
    }
    let mut twice = files(&samples, &all);
    twice.push(twice[0].clone());
    assert!(matches!(put(EvidenceKind::Tpm, &twice), Err(FilesError::Unusable { at: 4, .. })));
    let mut garbage = files(&samples, &all);
    garbage.insert(2, vec![1, 2, 3]);
    assert!(matches!(put(EvidenceKind::Tpm, &garbage), Err(FilesError::Unusable { at: 2, .. })));
}

#[test]
fn azures_quote_is_put_together_with_its_hardware() {
    let Some(samples) = Samples::open() else { return };
    let evidence = super::azure::evidence(&samples, "azure/trustee-snp-quote.bin").unwrap();
    let Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, .. } = &evidence else {
        panic!()
    };
    let values: Vec<u8> = pcrs.iter().flat_map(|pcr| pcr.value.clone()).collect();
    let vcek = samples.read("azure/trustee-snp-vcek.pem");
    let all = [vcek, values, signature.clone(), quote.clone()];
    let from = Files { files: &all, collateral: None, hcl_report: Some(hcl_report.clone()) };
    let read = Evidence::from_files(EvidenceKind::Tpm, from).unwrap();
    assert_eq!(read, evidence);
    judge(&read, Strength::Tee, "2026-07-01T00:00:00Z").unwrap();
    let tdx = super::azure::evidence(&samples, "azure/trustee-tdx-evidence-v1.json").unwrap();
    let Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware } = &tdx else {
        panic!()
    };
    let Evidence::Tdx { quote: td_quote, collateral } = hardware.as_ref() else { panic!() };
    let values: Vec<u8> = pcrs.iter().flat_map(|pcr| pcr.value.clone()).collect();
    let all = [td_quote.clone(), values, signature.clone(), quote.clone()];
    let collateral = Some(collateral.as_ref().clone());
    let from = Files { files: &all, collateral, hcl_report: Some(hcl_report.clone()) };
    assert_eq!(Evidence::from_files(EvidenceKind::Tpm, from.clone()).unwrap(), tdx);
    let from = Files { collateral: None, ..from };
    let missing = Evidence::from_files(EvidenceKind::Tpm, from).unwrap_err();
    assert_eq!(missing, FilesError::Missing("the collateral"));
}
