use assay_testkit::reference;
use proptest::prelude::*;

use super::*;
use crate::tpm::Pcr;
use crate::tpm::tests::{Machine, pcrs, quote};
use crate::{Policy, Roots, Strength, Trust, testing};
use assay_primitives::Timestamp;

const EXTRA: &[u8] = b"a digest of what is bound";
/// A runtime data of Azure's has more in it, and other keys.
const START: &str = r#"{"keys":[{"kid":"HCLAkPub","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":""#;
const END: &str = r#""},{"kid":"HCLEkPub","kty":"RSA","e":"AQAB","n":"AQAB"}],"user-data":"00"}"#;

fn runtime_data() -> Vec<u8> {
    format!("{START}{}{END}", "u".repeat(342) + "A").into_bytes()
}

/// Writes an HCL report with hardware's report of a kind over runtime data.
fn hcl_report(kind: u32, runtime_data: &[u8]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let length = u32::try_from(runtime_data.len()).unwrap();
    let mut hardware = vec![0x5a; HARDWARE];
    let at = if kind == 2 { 0x50 } else { 0x80 };
    hardware[at..at + 32].copy_from_slice(Digest::of(runtime_data).as_bytes());
    hardware[at + 32..at + 64].fill(0);
    hardware[0x30..0x34].fill(0);
    let header = [b"HCLA".to_vec(), words(&[2, 1216 + 20 + length, 2, 0, 0, 0, 0])].concat();
    let request = words(&[20 + length, 1, kind, 1, length]);
    [&header, &hardware, &request, runtime_data, &[0; 100]].concat()
}

fn hardware(kind: EvidenceKind, report: &[u8]) -> Claims {
    let at = HEADER + if kind == EvidenceKind::Snp { 0x50 } else { 0x80 };
    let (platform, user_data) = ("A processor".to_owned(), Some(report[at..at + 64].to_vec()));
    Claims { platform, user_data, ..testing::claims(kind) }
}

/// Walks from made claims of the hardware to a quote that a P-256 key signed, as none of Azure's does.
fn walked(
    machine: &Machine,
    report: &[u8],
    hardware: Claims,
    without: Option<Check>,
) -> Result<Claims, Refusal> {
    let checks = Checks { without };
    let (roots, policy) = (Roots::vendors(), Policy::default());
    let now = Timestamp::from_seconds(0);
    let context = Context { now, roots: &roots, policy: &policy, checks };
    let mut report = HclReport::parse(report, checks)?;
    report.key = machine.public_key();
    let quote = quote(EXTRA);
    let (signature, pcrs) = (machine.sign(&quote), pcrs());
    let quoted = Quoted { quote: &quote, signature: &signature, pcrs: &pcrs };
    walk(&report, &quoted, hardware, &context)
}

fn refuses(report: &[u8], hardware: &Claims, check: Check) {
    let machine = Machine::new();
    let refusal = walked(&machine, report, hardware.clone(), None).unwrap_err();
    assert_eq!(refusal.check, check, "{refusal}");
    assert!(walked(&machine, report, hardware.clone(), Some(check)).is_ok());
}

const KINDS: [(u32, EvidenceKind); 2] = [(2, EvidenceKind::Snp), (4, EvidenceKind::Tdx)];

#[test]
fn the_claims_are_the_hardwares_with_the_pcrs_and_what_the_quote_is_bound_to() {
    for (number, kind) in KINDS {
        let report = hcl_report(number, &runtime_data());
        let claims = walked(&Machine::new(), &report, hardware(kind, &report), None).unwrap();
        assert_eq!(
            (claims.kind, claims.strength, claims.trust),
            (kind, Strength::Tee, Trust::Vendor)
        );
        assert_eq!(claims.user_data.as_deref(), Some(EXTRA));
        assert_eq!(claims.measurement("pcr11"), Some(&[2; 32][..]));
        assert_eq!(claims.platform, "A processor, Azure vTPM");
        assert_eq!(claims.warnings.len(), 1);
    }
}

#[test]
fn another_machines_hardware_does_not_vouch_for_the_key() {
    for (number, kind) in KINDS {
        let report = hcl_report(number, &runtime_data());
        for at in [0, 31, 32, 63] {
            let mut hardware = hardware(kind, &report);
            hardware.user_data.as_mut().unwrap()[at] ^= 1;
            refuses(&report, &hardware, Check::BindingAttestationKey);
        }
        let mut silent = hardware(kind, &report);
        silent.user_data = None;
        refuses(&report, &silent, Check::BindingAttestationKey);
    }
}

#[test]
fn runtime_data_that_the_hardware_did_not_sign_are_refused() {
    for (number, kind) in KINDS {
        let mut report = hcl_report(number, &runtime_data());
        let hardware = hardware(kind, &report);
        let key = 1236 + START.len();
        report[key] = b'v';
        refuses(&report, &hardware, Check::BindingAttestationKey);
    }
}

#[test]
fn report_data_have_nothing_beside_the_digest() {
    for (number, kind) in KINDS {
        let mut report = hcl_report(number, &runtime_data());
        report[HEADER + if number == 2 { 0x50 } else { 0x80 } + 63] = 1;
        refuses(&report, &hardware(kind, &report), Check::BindingAttestationKey);
    }
}

#[test]
fn a_report_that_the_guest_asked_for_is_refused() {
    let mut report = hcl_report(2, &runtime_data());
    report[HEADER + 0x30] = 2;
    refuses(&report, &hardware(EvidenceKind::Snp, &report), Check::BindingAttestationKey);
}

#[test]
fn another_machines_quote_is_refused() {
    let report = hcl_report(2, &runtime_data());
    let (machine, other) = (Machine::new(), Machine::new());
    let checks = Checks::default();
    let quote = quote(EXTRA);
    let (signature, pcrs) = (other.sign(&quote), pcrs());
    let (roots, policy) = (Roots::vendors(), Policy::default());
    let now = Timestamp::from_seconds(0);
    let mut context = Context { now, roots: &roots, policy: &policy, checks };
    let mut parsed = HclReport::parse(&report, checks).unwrap();
    parsed.key = machine.public_key();
    let quoted = Quoted { quote: &quote, signature: &signature, pcrs: &pcrs };
    let claims = hardware(EvidenceKind::Snp, &report);
    let refusal = walk(&parsed, &quoted, claims.clone(), &context).unwrap_err();
    assert_eq!(refusal.check, Check::EvidenceSignature);
    context.checks.without = Some(Check::EvidenceSignature);
    assert!(walk(&parsed, &quoted, claims, &context).is_ok());
}

#[test]
fn evidence_that_is_none_of_the_hardwares_is_refused_before_it_is_looked_at() {
    let report = hcl_report(2, &runtime_data());
    let (roots, policy) = (Roots::vendors(), Policy::default());
    let checks = Checks::default();
    let context =
        Context { now: Timestamp::from_seconds(0), roots: &roots, policy: &policy, checks };
    let nitro = Evidence::Nitro { document: Vec::new() };
    let vtpm = Evidence::AzureVtpm {
        hcl_report: report.clone(),
        quote: Vec::new(),
        signature: Vec::new(),
        pcrs: Vec::new(),
        hardware: Box::new(nitro.clone()),
    };
    let quoted = Quoted { quote: &[], signature: &[], pcrs: &[] };
    for hardware in [nitro, vtpm] {
        let refusal = claims(&report, &quoted, &hardware, &context).unwrap_err();
        assert_eq!(refusal.check, Check::BindingAttestationKey);
    }
}

#[test]
fn an_hcl_report_is_read_in_one_way() {
    let good = hcl_report(2, &runtime_data());
    let parsed = HclReport::parse(&good, Checks::default()).unwrap();
    assert_eq!((parsed.version, parsed.kind), (2, EvidenceKind::Snp));
    assert_eq!(parsed.runtime_data, runtime_data());
    let refused = |report: &[u8]| HclReport::parse(report, Checks::default()).unwrap_err().check;
    for (at, check) in [
        (0, Check::EvidenceEncoding),
        (4, Check::EvidenceVersion),
        (8, Check::EvidenceEncoding),
        (12, Check::EvidenceEncoding),
        (16, Check::EvidenceEncoding),
        (20, Check::EvidenceReserved),
        (31, Check::EvidenceReserved),
        (1216, Check::EvidenceEncoding),
        (1220, Check::EvidenceVersion),
        (1224, Check::EvidenceEncoding),
        (1228, Check::EvidenceAlgorithm),
        (1232, Check::EvidenceEncoding),
        (good.len() - 1, Check::EvidenceReserved),
    ] {
        let mut report = good.clone();
        report[at] ^= 0x40;
        assert_eq!(refused(&report), check, "byte {at}");
    }
    for (at, check) in [(4, Check::EvidenceVersion), (31, Check::EvidenceReserved)] {
        let mut report = good.clone();
        report[at] ^= 0x40;
        assert!(HclReport::parse(&report, Checks { without: Some(check) }).is_ok());
    }
    assert_eq!(refused(&good[..1300]), Check::EvidenceEncoding);
    assert_eq!(refused(&[good, vec![0; MAX_REPORT]].concat()), Check::EvidenceSize);
}

#[test]
fn runtime_data_have_one_attestation_key() {
    let text = String::from_utf8(runtime_data()).unwrap();
    let refused = |text: &str| {
        let report = hcl_report(2, text.as_bytes());
        HclReport::parse(&report, Checks::default()).unwrap_err().check
    };
    assert_eq!(refused(&text.replace("HCLEkPub", "HCLAkPub")), Check::EvidenceEncoding);
    assert_eq!(refused(&text.replace("HCLAkPub", "HCLXkPub")), Check::EvidenceEncoding);
    assert_eq!(refused(&text.replacen("RSA", "EC", 1)), Check::EvidenceAlgorithm);
    assert_eq!(refused(&text.replacen("AQAB", "AQA=", 1)), Check::EvidenceEncoding);
    assert_eq!(refused(&text.replacen("AQAB", "AQ+B", 1)), Check::EvidenceEncoding);
    assert_eq!(
        refused(&text.replacen("{\"kid\"", "{\"kid\":\"\",\"kid\"", 1)),
        Check::EvidenceEncoding
    );
    assert_eq!(refused(&format!("{text} {{}}")), Check::EvidenceEncoding);
    let many = [r#"{"kid":"k","kty":"RSA"}"#; 9].join(",");
    assert_eq!(refused(&format!(r#"{{"keys":[{many}]}}"#)), Check::EvidenceEncoding);
    assert_eq!(refused(""), Check::EvidenceEncoding);
}

fn real(file: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(reference(&format!("data/attestation/{file}"))?).unwrap())
}

/// Reads what az-cvm-vtpm keeps of a quote (bincode): signature, message, 24 PCRs.
fn real_quote(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<Pcr>) {
    let signature = [&[0, 0x14, 0, 0x0b, 1, 0], &bytes[8..264]].concat();
    let length = usize::try_from(u64::from_le_bytes(bytes[264..272].try_into().unwrap())).unwrap();
    let (message, pcrs) = bytes[272..].split_at(length);
    let value = |(index, value): (usize, &[u8])| {
        Pcr::new(crate::TpmHash::Sha256, u8::try_from(index).unwrap(), value.to_vec())
    };
    (message.to_vec(), signature, pcrs[8..].chunks(32).enumerate().map(value).collect())
}

#[test]
fn real_reports_are_bound_to_real_quotes_where_they_are_of_one_machine() {
    // The first two reports are of other machines than any quote that is there.
    for (report, quote, is_one) in [
        ("azure/hcl-report-snp.bin", "azure/quote.bin", false),
        ("azure/hcl-report-tdx.bin", "azure/quote.bin", false),
        ("azure/trustee-snp-hcl-report.bin", "azure/trustee-snp-quote.bin", true),
        ("azure/trustee-tdx-hcl-report.bin", "azure/trustee-tdx-quote.bin", true),
    ] {
        let (Some(report), Some(quote)) = (real(report), real(quote)) else { return };
        let checks = Checks::default();
        let (roots, policy) = (Roots::vendors(), Policy::default());
        let now = Timestamp::from_seconds(0);
        let context = Context { now, roots: &roots, policy: &policy, checks };
        let parsed = HclReport::parse(&report, checks).unwrap();
        let claims = hardware(parsed.kind, &report);
        let (message, signature, pcrs) = real_quote(&quote);
        let quoted = Quoted { quote: &message, signature: &signature, pcrs: &pcrs };
        match walk(&parsed, &quoted, claims, &context) {
            Ok(claims) => {
                assert!(is_one);
                assert_eq!(claims.user_data.as_deref(), Some(&b"challenge"[..]));
                assert_eq!(claims.measurements.len(), 24);
            }
            Err(refusal) => {
                assert!(!is_one, "{refusal}");
                assert_eq!(refusal.check, Check::EvidenceSignature);
            }
        }
    }
}

#[test]
fn the_td_report_in_an_hcl_report_is_the_quotes() {
    let Some(report) = real("azure/trustee-tdx-hcl-report.bin") else { return };
    let Some(quote) = real("azure/trustee-tdx-td-quote.bin") else { return };
    let parsed = HclReport::parse(&report, Checks::default()).unwrap();
    assert!(parsed.has_td_report_of(&quote));
    assert!(!parsed.has_snp_report(&report[32..1216]));
    for at in (48..632).step_by(8) {
        let mut other = quote.clone();
        other[at] ^= 1;
        assert!(!parsed.has_td_report_of(&other));
    }
    assert!(!parsed.has_td_report_of(&quote[..600]));
    let Some(report) = real("azure/trustee-snp-hcl-report.bin") else { return };
    let parsed = HclReport::parse(&report, Checks::default()).unwrap();
    assert!(parsed.has_snp_report(&report[32..1216]));
    assert!(!parsed.has_snp_report(&report[32..1215]));
    assert!(!parsed.has_td_report_of(&quote));
}

#[test]
fn what_a_td_report_has_beyond_the_quote_is_without_meaning_and_nothing_else_is() {
    let Some(report) = real("azure/trustee-tdx-hcl-report.bin") else { return };
    let Some(quote) = real("azure/trustee-tdx-td-quote.bin") else { return };
    let signed = hardware(EvidenceKind::Tdx, &report);
    let accepts = |report: &[u8]| -> Result<(), Refusal> {
        let checks = Checks::default();
        let parsed = HclReport::parse(report, checks)?;
        let is_same = parsed.has_td_report_of(&quote);
        checks.require(Check::BindingAttestationKey, is_same, "", "")?;
        parsed.check_binding(&signed, checks)
    };
    assert_eq!(accepts(&report), Ok(()));
    // REPORTMACSTRUCT around the report data; the ends of TEE_TCB_INFO and TDINFO; zeros to the end.
    let unsigned = [32..160, 224..296, 416..544, 944..1216];
    for at in 0..report.len() {
        let mut changed = report.clone();
        changed[at] ^= 1 << (at % 8);
        let is_unsigned = unsigned.iter().any(|range| range.contains(&at));
        assert_eq!(accepts(&changed).is_ok(), is_unsigned, "byte {at}");
    }
}

#[test]
fn runtime_data_without_a_report_have_their_key() {
    let Some(data) = real("azure/var-data.bin") else { return };
    let PublicKey::Rsa(n, e) = attestation_key(&data).unwrap() else { panic!() };
    assert_eq!((n.len(), e.as_slice()), (256, &[1, 0, 1][..]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_parser_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = HclReport::parse(&bytes, Checks::default());
        let _ = attestation_key(&bytes);
        let report = hcl_report(4, &bytes);
        let _ = HclReport::parse(&report, Checks::default());
    }

    #[test]
    fn what_was_cut_or_changed_never_panics(
        at in 0_usize..2000, cut in 0_usize..40, put in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = hcl_report(2, &runtime_data());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at.min(end)..end, put);
        let _ = HclReport::parse(&bytes, Checks::default());
    }

    #[test]
    fn base64url_is_read_as_it_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let text = encoding::base64(&bytes).replace('+', "-").replace('/', "_");
        prop_assert_eq!(base64url(text.trim_end_matches('=')).unwrap(), bytes);
    }
}
