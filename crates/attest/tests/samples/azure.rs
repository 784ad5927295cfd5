//! Azure's virtual TPMs: quotes that reports of SEV-SNP and TDX vouch for.
//!
//! The samples are in others' containers (bincode, JSON); what is in them is taken out here.

use std::time::Duration;

use assay_attest::{
    AttestationKey, Attested, Check, Collateral, Evidence, EvidenceKind, Pcr, Policy, Refusal,
    Roots, Strength, TpmHash, Trust, appraise,
};
use assay_primitives::Timestamp;
use assay_primitives::encoding::{from_base64, hex};
use proptest::prelude::*;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::Value;

use super::tpm::{from_hex, policy};
use super::{Row, Samples, change_bytes};

/// When the certificates of every sample are valid.
const AT: &str = "2026-07-01T00:00:00.000Z";

/// Machines whose evidence is complete, with the CA of their VCEK.
const SNP: &[(&str, Ca)] = &[
    ("azure/trustee-snp-evidence-genoa.json", GENOA),
    ("azure/trustee-snp-evidence-v0.json", MILAN),
    ("azure/trustee-snp-evidence-v1.json", MILAN),
    ("azure/trustee-snp-evidence-v2.json", MILAN),
];
const TDX: &[&str] = &["azure/trustee-tdx-evidence-v0.json", "azure/trustee-tdx-evidence-v1.json"];

type Ca = &'static str;
const GENOA: Ca = "roots/amd-genoa_ask_ark_asvk.pem";
const MILAN: Ca = "roots/amd-milan_ask_ark_asvk.pem";

/// Files that are not judged by themselves, and what they are.
const PARTS: &[(&str, &str, &str)] = &[
    ("azure/akpub.pem", "part", "the bare key of azure/quote.bin"),
    (
        "azure/certs.pem",
        "endorsement",
        "AMD's certificates of a machine no report of which is there",
    ),
    ("azure/hcl-report-tdx.bin", "part", "an HCL report; no TDX quote of it is there"),
    ("azure/trustee-snp-tpm-quote.msg", "part", "a quote; its key is not there"),
    ("azure/trustee-snp-tpm-quote.sig", "part", "the signature of trustee-snp-tpm-quote.msg"),
    (
        "azure/trustee-snp-vcek-genoa.pem",
        "endorsement",
        "AMD's certificate for trustee-snp-evidence-genoa.json",
    ),
    (
        "azure/trustee-snp-vcek.pem",
        "endorsement",
        "AMD's certificates for trustee-snp-hcl-report.bin",
    ),
    ("azure/trustee-tdx-hcl-report.bin", "part", "the HCL report of trustee-tdx-evidence-v1.json"),
    ("azure/trustee-tdx-quote.bin", "part", "the TPM's quote of trustee-tdx-evidence-v1.json"),
    ("azure/trustee-tdx-td-quote.bin", "part", "the TDX quote of trustee-tdx-evidence-v1.json"),
    (
        "azure/trustee-tdx-tpm-quote-v1.json",
        "part",
        "the TPM's quote of trustee-tdx-evidence-v1.json",
    ),
    ("azure/var-data.bin", "part", "runtime data; no report over them is there"),
];

/// Judges a file; `None` if it is none of Azure's.
pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    if let Some((_, part, why)) = PARTS.iter().find(|(known, ..)| *known == file) {
        return Some(Row::file(part, why));
    }
    let row = Row::judged(AT, &judge(&evidence(samples, file)?));
    Some(match file {
        "azure/hcl-report-snp.bin" => row.with("no certificate of its machine is there"),
        _ if TDX.contains(&file) => row.with("no collateral of its platform is there"),
        _ => row,
    })
}

fn judge(evidence: &Evidence) -> Result<Attested, Refusal> {
    appraise(evidence, &Roots::vendors(), &Policy::default(), AT.parse().unwrap())
}

pub(crate) fn evidence(samples: &Samples, file: &str) -> Option<Evidence> {
    if let Some((_, ca)) = SNP.iter().find(|(known, _)| *known == file) {
        return Some(snp_evidence(samples, file, ca));
    }
    if TDX.contains(&file) {
        return Some(tdx_evidence(samples, file));
    }
    let of_trustee = |quote| {
        let hcl_report = samples.read("azure/trustee-snp-hcl-report.bin");
        let certificates = certificates(&samples.read("azure/trustee-snp-vcek.pem"));
        snp(hcl_report, quote, certificates)
    };
    match file {
        "azure/hcl-report-snp.bin" => {
            let quote = bincode(&samples.read("azure/quote.bin"));
            let certificates = certificates(&samples.read("azure/certs.pem"));
            Some(snp(samples.read(file), quote, certificates))
        }
        "azure/quote.bin" => {
            let (quote, signature, pcrs) = bincode(&samples.read(file));
            let key = samples.read("azure/akpub.pem");
            let key = SubjectPublicKeyInfoDer::from_pem_slice(&key).unwrap().to_vec();
            Some(Evidence::Tpm { quote, signature, pcrs, ak: AttestationKey::PublicKey(key) })
        }
        "azure/trustee-snp-hcl-report.bin" | "azure/trustee-snp-quote.bin" => {
            Some(of_trustee(bincode(&samples.read("azure/trustee-snp-quote.bin"))))
        }
        "azure/trustee-snp-tpm-quote-v1.json" => {
            Some(of_trustee(quote(&serde_json::from_slice(&samples.read(file)).unwrap())))
        }
        _ => None,
    }
}

/// TPMS_ATTEST, TPMT_SIGNATURE, PCRs.
type Quote = (Vec<u8>, Vec<u8>, Vec<Pcr>);

fn snp(hcl_report: Vec<u8>, quote: Quote, certificates: Vec<Vec<u8>>) -> Evidence {
    let hardware = Evidence::Snp { report: hcl_report[32..1216].to_vec(), certificates };
    bound(hcl_report, quote, hardware)
}

fn bound(hcl_report: Vec<u8>, quote: Quote, hardware: Evidence) -> Evidence {
    let (quote, signature, pcrs) = quote;
    Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware: Box::new(hardware) }
}

fn snp_evidence(samples: &Samples, file: &str, ca: Ca) -> Evidence {
    let json: Value = serde_json::from_slice(&samples.read(file)).unwrap();
    let vcek = json["vcek"].as_str().unwrap();
    let mut chain = match CertificateDer::from_pem_slice(vcek.as_bytes()) {
        Ok(der) => vec![der.to_vec()],
        Err(_) => vec![base64url(vcek)],
    };
    chain.extend(certificates(&samples.read(ca)).into_iter().take(2));
    snp(hcl_report(&json), quote(tpm_quote(&json)), chain)
}

/// No collateral of Azure's platform is there: that of another stands in.
fn tdx_evidence(samples: &Samples, file: &str) -> Evidence {
    let json: Value = serde_json::from_slice(&samples.read(file)).unwrap();
    let collateral = samples.read("tdx/dcap-qvl-tdx_quote_collateral.json");
    let collateral: Value = serde_json::from_slice(&collateral).unwrap();
    let text = |name: &str| collateral[name].as_str().unwrap().to_owned();
    let bytes = |name: &str| from_hex(collateral[name].as_str().unwrap());
    let collateral = Collateral {
        tcb_info: text("tcb_info"),
        tcb_info_signature: bytes("tcb_info_signature"),
        tcb_info_issuer_chain: text("tcb_info_issuer_chain"),
        qe_identity: text("qe_identity"),
        qe_identity_signature: bytes("qe_identity_signature"),
        qe_identity_issuer_chain: text("qe_identity_issuer_chain"),
        root_ca_crl: bytes("root_ca_crl"),
        pck_crl: bytes("pck_crl"),
        pck_certificate_chain: None,
    };
    let hardware =
        Evidence::Tdx { quote: blob(&json["td_quote"]), collateral: Box::new(collateral) };
    bound(hcl_report(&json), quote(tpm_quote(&json)), hardware)
}

fn hcl_report(json: &Value) -> Vec<u8> {
    blob(json.get("hcl_report").unwrap_or(&json["report"]))
}

fn tpm_quote(json: &Value) -> &Value {
    json.get("tpm_quote").unwrap_or(&json["quote"])
}

fn quote(json: &Value) -> Quote {
    let pcrs = json["pcrs"].as_array().unwrap().iter().map(octets).collect();
    assemble(octets(&json["message"]), &octets(&json["signature"]), pcrs)
}

/// Reads what az-cvm-vtpm keeps of a quote: signature, message and 24 PCRs behind their counts.
fn bincode(bytes: &[u8]) -> Quote {
    let count =
        |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let (signature, rest) = bytes[8..].split_at(count(bytes));
    let (message, rest) = rest[8..].split_at(count(rest));
    assert_eq!((count(rest), rest.len()), (24, 8 + 24 * 32));
    let pcrs = rest[8..].chunks(32).map(<[u8]>::to_vec).collect();
    assemble(message.to_vec(), signature, pcrs)
}

/// The samples have the bare number of an RSASSA signature with SHA-256.
fn assemble(message: Vec<u8>, number: &[u8], pcrs: Vec<Vec<u8>>) -> Quote {
    let signature = [&[0, 0x14, 0, 0x0b, 1, 0], number].concat();
    let pcr = |(value, index)| Pcr::new(TpmHash::Sha256, index, value);
    (message, signature, pcrs.into_iter().zip(0..).map(pcr).collect())
}

/// Reads hexadecimal, or a list of numbers.
fn octets(json: &Value) -> Vec<u8> {
    match json {
        Value::String(text) => from_hex(text),
        _ => serde_json::from_value(json.clone()).unwrap(),
    }
}

/// Reads base64url, or a list of numbers.
fn blob(json: &Value) -> Vec<u8> {
    json.as_str().map_or_else(|| octets(json), base64url)
}

fn base64url(text: &str) -> Vec<u8> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    from_base64(&format!("{text}{}", "=".repeat(text.len().wrapping_neg() % 4))).unwrap()
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).map(|der| der.unwrap().to_vec()).collect()
}

#[test]
fn real_machines_are_snp_with_the_pcrs_of_their_tpm() {
    let Some(samples) = Samples::open() else { return };
    for (file, product, user_data) in [
        ("azure/trustee-snp-evidence-genoa.json", "Genoa", "0218488bae25d2509232bf676f1a66a3"),
        ("azure/trustee-snp-evidence-v0.json", "Milan", "6368616c6c656e6765"),
        ("azure/trustee-snp-evidence-v1.json", "Milan", "6368616c6c656e6765"),
        ("azure/trustee-snp-evidence-v2.json", "Milan", "982f5c6e45df0ed3f10b6f60b02f0c83"),
        ("azure/trustee-snp-quote.bin", "Milan", "6368616c6c656e6765"),
    ] {
        let evidence = evidence(&samples, file).unwrap();
        let attested = judge(&evidence).unwrap();
        assert_eq!((attested.kind, attested.trust), (EvidenceKind::Snp, Trust::Vendor));
        assert_eq!(attested.strength, Strength::Tee);
        assert!(attested.platform.starts_with(product) && attested.platform.ends_with("vTPM"));
        assert!(hex(attested.user_data.as_deref().unwrap()).starts_with(user_data));
        assert_eq!(attested.measurement("measurement").unwrap().len(), 48);
        let Evidence::AzureVtpm { pcrs, .. } = &evidence else { panic!() };
        assert_eq!(pcrs.len(), 24);
        for pcr in pcrs {
            let name = format!("pcr{}", pcr.index);
            assert_eq!(attested.measurement(&name), Some(pcr.value.as_slice()));
        }
        assert!(attested.warnings.iter().any(|warning| warning.contains("PCRs")));
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
        let (first, last) = (attested.validity.not_before, attested.validity.not_after);
        let second = Duration::from_secs(1);
        for (time, is_valid) in
            [(first, true), (last, true), (first.minus(second), false), (last.plus(second), false)]
        {
            let at =
                |time: Timestamp| appraise(&evidence, &Roots::vendors(), &Policy::default(), time);
            let refused = at(time).map(|_| ()).map_err(|refusal| refusal.check);
            assert_eq!(refused, if is_valid { Ok(()) } else { Err(Check::ChainValidity) });
        }
    }
}

/// The hardware measured the paravisor alone: a policy has to say what that booted.
#[test]
fn what_azure_measured_is_no_guest_without_its_pcrs() {
    let Some(samples) = Samples::open() else { return };
    let evidence = evidence(&samples, "azure/trustee-snp-quote.bin").unwrap();
    let claims = judge(&evidence).unwrap();
    let judged = |names: &[&str]| {
        let of = |name: &&str| format!("{name} = \"{}\"", hex(claims.measurement(name).unwrap()));
        let policy = format!(
            "[[reference_values]]\nname = \"a\"\nkind = \"snp\"\nmeasurements = {{ {} }}",
            names.iter().map(of).collect::<Vec<_>>().join(", ")
        );
        let policy = Policy::from_toml(&policy).unwrap();
        appraise(&evidence, &Roots::vendors(), &policy, AT.parse().unwrap()).map(|_| ())
    };
    for names in [&["measurement"][..], &["measurement", "pcr0", "pcr7", "pcr11"]] {
        let refusal = judged(names).unwrap_err();
        assert_eq!(refusal.check, Check::PolicyMeasurement);
        assert!(refusal.expected.contains("without pcr4"), "{refusal}");
    }
    judged(&["measurement", "pcr4"]).unwrap();
}

#[test]
fn parts_of_different_machines_are_refused() {
    let Some(samples) = Samples::open() else { return };
    let of = |file| match evidence(&samples, file).unwrap() {
        Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware } => {
            (hcl_report, (quote, signature, pcrs), *hardware)
        }
        _ => panic!("{file}"),
    };
    let check = |hcl_report: &[u8], quote: &Quote, hardware: &Evidence| {
        judge(&bound(hcl_report.to_vec(), quote.clone(), hardware.clone())).unwrap_err().check
    };
    let one = of("azure/trustee-snp-evidence-v0.json");
    let other = of("azure/trustee-snp-evidence-v2.json");
    let tdx = of("azure/trustee-tdx-evidence-v1.json");
    assert_eq!(check(&one.0, &one.1, &other.2), Check::BindingAttestationKey);
    assert_eq!(check(&one.0, &one.1, &tdx.2), Check::BindingAttestationKey);
    assert_eq!(check(&tdx.0, &tdx.1, &one.2), Check::BindingAttestationKey);
    assert_eq!(check(&other.0, &one.1, &other.2), Check::EvidenceSignature);
    // The HCL report that a guest would like: its own key under its neighbour's hardware.
    let mine = [&other.0[..1216], &one.0[1216..]].concat();
    assert_eq!(check(&mine, &one.1, &other.2), Check::BindingAttestationKey);
    let (message, signature, mut pcrs) = one.1.clone();
    pcrs[4].value[0] ^= 1;
    assert_eq!(check(&one.0, &(message, signature, pcrs), &one.2), Check::EvidenceDigest);
    let nested = bound(one.0.clone(), one.1.clone(), one.2.clone());
    assert_eq!(check(&one.0, &one.1, &nested), Check::BindingAttestationKey);
    let trustee = of("azure/trustee-snp-quote.bin");
    let number = samples.read("azure/trustee-snp-tpm-quote.sig");
    let unknown = assemble(samples.read("azure/trustee-snp-tpm-quote.msg"), &number, Vec::new());
    assert_eq!(check(&trustee.0, &unknown, &trustee.2), Check::EvidenceSignature);
}

#[test]
fn tdx_evidence_holds_up_to_the_collateral_that_is_missing() {
    let Some(samples) = Samples::open() else { return };
    for file in TDX {
        let mut evidence = evidence(&samples, file).unwrap();
        assert_eq!(judge(&evidence).unwrap_err().check, Check::CollateralMatch);
        let Evidence::AzureVtpm { hardware, .. } = &mut evidence else { panic!() };
        let Evidence::Tdx { quote, .. } = hardware.as_mut() else { panic!() };
        quote[600] ^= 1;
        assert_eq!(judge(&evidence).unwrap_err().check, Check::BindingAttestationKey);
    }
}

#[test]
fn a_bare_key_of_azures_is_vouched_for_by_nobody() {
    let Some(samples) = Samples::open() else { return };
    let evidence = evidence(&samples, "azure/quote.bin").unwrap();
    let at = AT.parse().unwrap();
    let refusal = appraise(&evidence, &Roots::vendors(), &policy(), at).unwrap_err();
    assert_eq!(refusal.check, Check::BindingAttestationKey);
}

#[test]
fn files_that_are_there_twice_are_the_same() {
    let Some(samples) = Samples::open() else { return };
    let Some(Evidence::AzureVtpm { hcl_report, quote: message, signature, pcrs, hardware }) =
        evidence(&samples, "azure/trustee-tdx-evidence-v1.json")
    else {
        panic!()
    };
    let Evidence::Tdx { quote: td_quote, .. } = *hardware else { panic!() };
    assert_eq!(hcl_report, samples.read("azure/trustee-tdx-hcl-report.bin"));
    assert_eq!(td_quote, samples.read("azure/trustee-tdx-td-quote.bin"));
    let same = (message, signature, pcrs);
    assert_eq!(same, bincode(&samples.read("azure/trustee-tdx-quote.bin")));
    let json = samples.read("azure/trustee-tdx-tpm-quote-v1.json");
    assert_eq!(same, quote(&serde_json::from_slice(&json).unwrap()));
    let vcek = certificates(&samples.read("azure/trustee-snp-vcek-genoa.pem"));
    let genoa = evidence(&samples, "azure/trustee-snp-evidence-genoa.json");
    let Some(Evidence::AzureVtpm { hardware, .. }) = genoa else { panic!() };
    let Evidence::Snp { certificates, .. } = *hardware else { panic!() };
    assert_eq!(certificates[..1], vcek);
}

/// The parts of evidence that is Azure's own; the hardware's is flipped where it is verified.
fn part_of(evidence: &mut Evidence, part: usize) -> Option<&mut Vec<u8>> {
    let Evidence::AzureVtpm { hcl_report, quote, signature, pcrs, hardware } = evidence else {
        panic!("it is Azure's")
    };
    let Evidence::Snp { report, .. } = hardware.as_mut() else { panic!("it is SNP's") };
    let values = pcrs.iter_mut().map(|pcr| &mut pcr.value);
    [hcl_report, quote, signature, report].into_iter().chain(values).nth(part)
}

#[test]
fn every_changed_byte_is_refused() {
    let Some(samples) = Samples::open() else { return };
    let evidence = evidence(&samples, "azure/trustee-snp-evidence-v2.json").unwrap();
    change_bytes(&evidence, part_of, 3, |changed| judge(changed).is_err());
}

#[test]
fn samples_that_were_cut_or_changed_never_panic() {
    let Some(samples) = Samples::open() else { return };
    let evidence = evidence(&samples, "azure/trustee-snp-evidence-genoa.json").unwrap();
    let put = prop::collection::vec(any::<u8>(), 0..16);
    let strategy = (0..28_usize, 0..2700_usize, 0..16_usize, put);
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() };
    proptest!(config, |((part, at, cut, put) in strategy)| {
        let mut changed = evidence.clone();
        let bytes = part_of(&mut changed, part).unwrap();
        let at = at.min(bytes.len());
        let end = (at + cut).min(bytes.len());
        // The zeros behind the runtime data may be more or fewer.
        let padding = part == 0 && bytes[at..].iter().chain(&put).all(|byte| *byte == 0);
        bytes.splice(at..end, put);
        prop_assert_eq!(judge(&changed).is_ok(), changed == evidence || padding);
    });
}
