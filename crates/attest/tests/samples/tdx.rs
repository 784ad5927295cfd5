use std::collections::BTreeMap;
use std::time::Duration;

use assay_attest::{
    Attested, Check, Collateral, DevelopmentRoot, Evidence, Policy, Refusal, Roots, TcbStatus,
    appraise,
};
use assay_primitives::{Digest, Timestamp, encoding};
use serde_json::Value;
use sha2::{Digest as _, Sha384};

use super::{Row, Samples, workspace};

/// SHA-256 of the Intel SGX Root CA's certificate.
const ROOT: &str = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3";

/// A time in June 2025, of the first collateral.
const JUNE: &str = "2025-06-21T10:00:00.000Z";
/// A time in February 2026, of the collateral of another FMSPC.
const FEBRUARY: &str = "2026-02-25T00:00:00.000Z";
/// A time of the collateral beside Google's quote.
const GOOGLE: &str = "2023-06-20T00:00:00.000Z";

/// Collateral is of all platforms with one FMSPC: a quote may be judged with what came with another.
#[derive(Clone, Copy)]
enum With {
    June,
    JuneSgx,
    February,
    /// What is beside Google's quote of 2023. The signer's certificate, which is not, is the one of
    /// 2025: it has the same key.
    Google,
    /// Google's TCB information of 2026, and the rest of [`With::February`].
    GoogleFebruary,
}

struct Case {
    file: &'static str,
    with: With,
    at: &'static str,
    /// The check that refuses it, and what it finds.
    refused: Option<(Check, &'static str)>,
}

const fn case(
    file: &'static str,
    with: With,
    at: &'static str,
    refused: Option<(Check, &'static str)>,
) -> Case {
    Case { file, with, at, refused }
}

const CASES: &[Case] = &[
    case("tdx/dcap-qvl-tdx_quote.bin", With::June, JUNE, None),
    case("tdx/dstack-quote-report.json", With::February, FEBRUARY, None),
    case("tdx/google-quote_v5_sample.dat", With::GoogleFebruary, FEBRUARY, None),
    case(
        "tdx/dcap-qvl-sgx_quote.bin",
        With::JuneSgx,
        JUNE,
        Some((
            Check::PolicyTcbStatus,
            "ConfigurationAndSWHardeningNeeded (INTEL-SA-00289, INTEL-SA-00615)",
        )),
    ),
    case(
        "tdx/dcap-qvl-tdx_quote_outdated.bin",
        With::February,
        FEBRUARY,
        Some((Check::PolicyTcbStatus, "No matching TCB level found")),
    ),
    case(
        "tdx/dstack-ra-tls-tdx_quote",
        With::June,
        JUNE,
        Some((Check::PolicyTcbStatus, "No matching TCB level found")),
    ),
    case(
        "tdx/trustee-tdx_quote_5.dat",
        With::February,
        FEBRUARY,
        Some((Check::PolicyTcbStatus, "No matching TCB level found")),
    ),
    case(
        "tdx/dstack-tdx-lite-getquote.json",
        With::February,
        FEBRUARY,
        Some((Check::ChainValidity, "2026-02-25T00:00:00.000Z")),
    ),
    case(
        "tdx/google-cos-113-tdx-quote.dat",
        With::June,
        JUNE,
        Some((Check::CollateralMatch, "b0c06f000000")),
    ),
    case(
        "tdx/trustee-tdx_quote_6.dat",
        With::June,
        JUNE,
        Some((Check::CollateralMatch, "b0c06f000000")),
    ),
    case(
        "tdx/trustee-tdx_quote_4.dat",
        With::Google,
        GOOGLE,
        Some((Check::ChainValidity, "2023-06-20T00:00:00.000Z")),
    ),
    case(
        "tdx/google-tdx_prod_quote_SPR_E4.dat",
        With::Google,
        GOOGLE,
        Some((Check::EvidenceEncoding, "another byte at 4935")),
    ),
];

/// Files that others are judged with.
const INGREDIENTS: &[(&str, &str, &str)] = &[
    ("tdx/dcap-qvl-tdx_quote_collateral.json", "endorsement", "of FMSPC b0c06f000000, June 2025"),
    ("tdx/dcap-qvl-sgx_quote_collateral.json", "endorsement", "of FMSPC 00a067110000, June 2025"),
    (
        "tdx/dcap-qvl-tdx_quote_outdated_collateral.json",
        "endorsement",
        "of FMSPC 90c06f000000, February 2026",
    ),
    ("tdx/google-sample_tcbInfo_response", "endorsement", "of FMSPC 50806f000000, June 2023"),
    ("tdx/google-sample_qeIdentity_response", "endorsement", "of June 2023"),
    ("tdx/google-pckcrl", "endorsement", "of the Platform CA, June 2023"),
    ("tdx/google-rootcrl.der", "endorsement", "of the root, April 2023"),
    (
        "tdx/google-sample_tcbinfo_response_v5",
        "endorsement",
        "of FMSPC 90c06f000000, February 2026",
    ),
];

/// Judges a file of the folder, and Intel's root.
pub(crate) fn row(samples: &Samples, file: &str) -> Option<Row> {
    if let Some(case) = CASES.iter().find(|case| case.file == file) {
        return Some(judged(samples, case));
    }
    match file {
        "tdx/google-ccel_data.dat" => Some(Row::file(
            "other",
            "event log: replays to RTMR0 to 3 of google-cos-113-tdx-quote.dat",
        )),
        "roots/intel-sgx-root-google.pem" | "roots/openpcc-tdx_root.pem" => {
            let root = DevelopmentRoot::from_bytes(&samples.read(file)).unwrap();
            assert_eq!(Digest::of(root.as_der()).to_string(), ROOT, "{file}");
            Some(Row::file("root", "pinned: Intel SGX Root CA"))
        }
        _ => {
            let (_, verdict, why) = INGREDIENTS.iter().find(|(name, ..)| *name == file)?;
            Some(Row::file(verdict, why))
        }
    }
}

fn judged(samples: &Samples, case: &Case) -> Row {
    let evidence = evidence(samples, case);
    let judged = judge(&evidence, case.at);
    match (&judged, case.refused) {
        (Ok(claims), None) => {
            assert_said(samples, case.file, claims);
        }
        (Err(refusal), Some((check, found))) => {
            assert_eq!(refusal.check, check, "{}: {refusal}", case.file);
            assert!(refusal.got.contains(found), "{}: {refusal}", case.file);
        }
        (Ok(_), Some(_)) => panic!("{} is accepted", case.file),
        (Err(refusal), None) => panic!("{}: {refusal}", case.file),
    }
    Row::judged(case.at, &judged)
}

fn judge(evidence: &Evidence, at: &str) -> Result<Attested, Refusal> {
    let at = Timestamp::from_rfc3339(at).unwrap();
    appraise(evidence, &Roots::vendors(), &Policy::default(), at)
}

fn assert_said(samples: &Samples, file: &str, claims: &Attested) {
    assert!(!claims.is_simulated(), "{file}");
    let item = samples.entry(file);
    let names = [
        ("mrtd", "mrtd"),
        ("rtmr0", "rtmr0"),
        ("rtmr3", "rtmr3"),
        ("td_attributes", "tdattributes"),
    ];
    for (name, measured) in names {
        let Some(expected) = item[name].as_str() else { continue };
        let got = encoding::hex(claims.measurement(measured).unwrap());
        assert_eq!(got, expected, "{file} {name}");
    }
    if let Some(expected) = item["report_data"].as_str() {
        assert_eq!(encoding::hex(claims.user_data.as_ref().unwrap()), expected, "{file}");
    }
    if let Some(expected) = item["fmspc"].as_str() {
        assert_eq!(claims.platform, format!("FMSPC {}", expected.to_lowercase()));
    }
    assert!(!claims.debug, "{file}");
}

fn evidence(samples: &Samples, case: &Case) -> Evidence {
    let mut quote = samples.read(case.file);
    let mut report_data = None;
    if case.file.ends_with(".json") {
        let json: Value = serde_json::from_slice(&quote).unwrap();
        quote = unhex(json["quote"].as_str().unwrap());
        report_data = json["report_data"].as_str().map(unhex);
    }
    if let Some(data) = report_data {
        assert!(quote.windows(64).any(|window| window == data), "{}", case.file);
    }
    let collateral = Box::new(collateral(samples, case.with));
    match case.with {
        With::JuneSgx => Evidence::Sgx { quote, collateral },
        _ => Evidence::Tdx { quote, collateral },
    }
}

fn collateral(samples: &Samples, with: With) -> Collateral {
    let kept = |file| Collateral::from_json(&samples.read(file)).unwrap();
    let february = || kept("tdx/dcap-qvl-tdx_quote_outdated_collateral.json");
    match with {
        With::June => kept("tdx/dcap-qvl-tdx_quote_collateral.json"),
        With::JuneSgx => kept("tdx/dcap-qvl-sgx_quote_collateral.json"),
        With::February => february(),
        With::Google => {
            let tcb = statement(samples, "tdx/google-sample_tcbInfo_response", "tcbInfo");
            let qe = statement(samples, "tdx/google-sample_qeIdentity_response", "enclaveIdentity");
            Collateral {
                tcb_info: tcb.0,
                tcb_info_signature: tcb.1,
                qe_identity: qe.0,
                qe_identity_signature: qe.1,
                root_ca_crl: samples.read("tdx/google-rootcrl.der"),
                pck_crl: samples.read("tdx/google-pckcrl"),
                ..february()
            }
        }
        With::GoogleFebruary => {
            let tcb = statement(samples, "tdx/google-sample_tcbinfo_response_v5", "tcbInfo");
            Collateral { tcb_info: tcb.0, tcb_info_signature: tcb.1, ..february() }
        }
    }
}

/// Takes a statement out of a response of Intel's service, to the byte, and its signature.
fn statement(samples: &Samples, file: &str, name: &str) -> (String, Vec<u8>) {
    let text = String::from_utf8(samples.read(file)).unwrap();
    let (statement, signature) = text.split_once(r#","signature":""#).unwrap();
    let statement = statement.strip_prefix(&format!(r#"{{"{name}":"#)).unwrap();
    (statement.to_owned(), unhex(signature.trim_end().strip_suffix(r#""}"#).unwrap()))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Evidence that is accepted, by which policy and when.
struct Accepted {
    file: &'static str,
    evidence: Evidence,
    policy: Policy,
    at: Timestamp,
}

impl Accepted {
    fn judge(&self, evidence: &Evidence, at: Timestamp) -> Result<Attested, Refusal> {
        appraise(evidence, &Roots::vendors(), &self.policy, at)
    }

    fn parts(&self) -> (&Vec<u8>, &Collateral) {
        match &self.evidence {
            Evidence::Tdx { quote, collateral } | Evidence::Sgx { quote, collateral } => {
                (quote, collateral)
            }
            _ => panic!("another kind"),
        }
    }

    fn with(&self, quote: Vec<u8>, collateral: Collateral) -> Evidence {
        let collateral = Box::new(collateral);
        match &self.evidence {
            Evidence::Tdx { .. } => Evidence::Tdx { quote, collateral },
            _ => Evidence::Sgx { quote, collateral },
        }
    }
}

fn accepted(samples: &Samples) -> Vec<Accepted> {
    let hardened = Policy {
        tcb_statuses: Some(vec![TcbStatus::ConfigurationAndSWHardeningNeeded]),
        ..Policy::default()
    };
    let of = |case: &Case| {
        let policy = match (case.refused, case.with) {
            (None, _) => Policy::default(),
            (_, With::JuneSgx) => hardened.clone(),
            _ => return None,
        };
        let at = Timestamp::from_rfc3339(case.at).unwrap();
        Some(Accepted { file: case.file, evidence: evidence(samples, case), policy, at })
    };
    let all: Vec<Accepted> = CASES.iter().filter_map(of).collect();
    assert_eq!(all.len(), 4);
    all
}

#[test]
fn every_file_has_a_row() {
    let Some(samples) = Samples::open() else { return };
    let mut count = 0;
    for file in samples.files().filter(|file| file.starts_with("tdx/")) {
        assert!(row(&samples, file).is_some(), "{file}");
        count += 1;
    }
    assert_eq!(count, CASES.len() + INGREDIENTS.len() + 1);
}

#[test]
fn evidence_survives_its_json() {
    let Some(samples) = Samples::open() else { return };
    for of in accepted(&samples) {
        let json = serde_json::to_string(&of.evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), of.evidence);
        let more = json.replacen(r#"{"tcbInfo""#, r#"{"more":1,"tcbInfo""#, 1);
        assert_ne!(more, json);
        serde_json::from_str::<Evidence>(&more).unwrap_err();
    }
}

#[test]
fn an_enclave_is_accepted_by_a_policy_that_names_its_status() {
    let Some(samples) = Samples::open() else { return };
    let of = accepted(&samples).into_iter().find(|of| of.file.contains("sgx")).unwrap();
    let claims = of.judge(&of.evidence, of.at).unwrap();
    assert_said(&samples, of.file, &claims);
    let names = ["mrenclave", "mrsigner", "isvprodid", "isvsvn"];
    let lengths = names.map(|name| claims.measurement(name).unwrap().len());
    assert_eq!(lengths, [32, 32, 2, 2]);
    let tcb = claims.tcb.as_ref().unwrap();
    assert_eq!(tcb.advisories, ["INTEL-SA-00289", "INTEL-SA-00615"]);
}

#[test]
fn a_root_that_is_passed_by_hand_and_the_vendors_stays_the_vendors() {
    let Some(samples) = Samples::open() else { return };
    let root = samples.read("roots/intel-sgx-root-google.pem");
    let roots = Roots::vendors().with_development(DevelopmentRoot::from_bytes(&root).unwrap());
    let of = accepted(&samples).remove(0);
    let claims = appraise(&of.evidence, &roots, &of.policy, of.at).unwrap();
    assert!(!claims.is_simulated());
}

#[test]
fn evidence_is_accepted_from_the_first_to_the_last_millisecond() {
    let Some(samples) = Samples::open() else { return };
    for of in accepted(&samples) {
        let validity = of.judge(&of.evidence, of.at).unwrap().validity;
        let (first, last) = (validity.not_before, validity.not_after);
        for at in [first, last] {
            of.judge(&of.evidence, at).unwrap();
        }
        for millis in [1, 1000] {
            let by = Duration::from_millis(millis);
            for at in [first.minus(by), last.plus(by)] {
                let refusal = of.judge(&of.evidence, at).unwrap_err();
                assert_eq!(refusal.check, Check::CollateralValidity, "{}: {refusal}", of.file);
            }
        }
    }
}

#[test]
fn a_bit_of_a_quote_makes_it_another() {
    let Some(samples) = Samples::open() else { return };
    for of in accepted(&samples) {
        let (quote, collateral) = of.parts();
        let mut checks = BTreeMap::<Check, usize>::new();
        for at in (0..quote.len()).step_by(quote.len() / 400) {
            let mut quote = quote.clone();
            quote[at] ^= 1 << (at % 8);
            let refusal = of.judge(&of.with(quote, collateral.clone()), of.at).unwrap_err();
            *checks.entry(refusal.check).or_default() += 1;
        }
        assert!(checks.values().sum::<usize>() >= 400);
        assert!(checks[&Check::EvidenceSignature] > 80, "{checks:?}");
    }
}

#[test]
fn a_bit_of_collateral_makes_it_anothers() {
    let Some(samples) = Samples::open() else { return };
    for of in accepted(&samples) {
        let (quote, collateral) = of.parts();
        let step = (0..PARTS).map(|part| change(collateral, part, None).1).sum::<usize>() / 400;
        let mut count = 0;
        for part in 0..PARTS {
            let (_, length) = change(collateral, part, None);
            for at in (0..length).step_by(step) {
                let (collateral, _) = change(collateral, part, Some(at));
                let judged = of.judge(&of.with(quote.clone(), collateral), of.at);
                assert!(judged.is_err(), "{}: part {part}, byte {at}", of.file);
                count += 1;
            }
        }
        assert!(count >= 400, "{count}");
    }
}

const PARTS: usize = 8;

/// Flips the lowest bit of a byte of a part, so that a text stays one, and returns the part's length.
fn change(collateral: &Collateral, part: usize, at: Option<usize>) -> (Collateral, usize) {
    let mut changed = collateral.clone();
    let flip = |bytes: &mut Vec<u8>| {
        if let Some(at) = at {
            bytes[at] ^= 1;
        }
        bytes.len()
    };
    let flip_text = |text: &mut String| {
        let mut bytes = text.clone().into_bytes();
        let length = flip(&mut bytes);
        *text = String::from_utf8(bytes).unwrap();
        length
    };
    let length = match part {
        0 => flip_text(&mut changed.tcb_info),
        1 => flip(&mut changed.tcb_info_signature),
        2 => flip_text(&mut changed.tcb_info_issuer_chain),
        3 => flip_text(&mut changed.qe_identity),
        4 => flip(&mut changed.qe_identity_signature),
        5 => flip_text(&mut changed.qe_identity_issuer_chain),
        6 => flip(&mut changed.root_ca_crl),
        _ => flip(&mut changed.pck_crl),
    };
    (changed, length)
}

#[test]
fn a_text_after_a_quote_hides_nothing_but_it() {
    let Some(samples) = Samples::open() else { return };
    let case = CASES.iter().find(|case| case.file.ends_with("SPR_E4.dat")).unwrap();
    let Evidence::Tdx { mut quote, collateral } = evidence(&samples, case) else { panic!() };
    quote.truncate(4935);
    let evidence = Evidence::Tdx { quote, collateral };
    // The certificate of the signer of June 2023 is not among the samples; its successor is of 2025.
    let refusal = judge(&evidence, case.at).unwrap_err();
    assert_eq!(refusal.check, Check::ChainValidity, "{refusal}");
    assert!(refusal.expected.contains("TCB Signing"), "{refusal}");
    // By the time of the successor the collateral is long replaced.
    let refusal = judge(&evidence, JUNE).unwrap_err();
    assert_eq!(refusal.check, Check::CollateralValidity, "{refusal}");
}

#[test]
fn event_logs_replay_to_the_registers() {
    let Some(samples) = Samples::open() else { return };
    let log = samples.read("tdx/google-ccel_data.dat");
    let quote = samples.read("tdx/google-cos-113-tdx-quote.dat");
    let registers = replay(ccel(&log));
    assert_eq!(registers.concat(), quote[48 + 328..48 + 520]);
    for file in ["tdx/dstack-quote-report.json", "tdx/dstack-tdx-lite-getquote.json"] {
        let json: Value = serde_json::from_slice(&samples.read(file)).unwrap();
        let quote = unhex(json["quote"].as_str().unwrap());
        let log: Vec<Value> = serde_json::from_str(json["event_log"].as_str().unwrap()).unwrap();
        let event = |event: &Value| {
            let text = |name: &str| event[name].as_str().unwrap();
            let register = usize::try_from(event["imr"].as_u64().unwrap()).unwrap();
            if !text("digest").is_empty() {
                return (register, unhex(text("digest")));
            }
            // One that is left out is that of type, name and payload.
            let kind = u32::try_from(event["event_type"].as_u64().unwrap()).unwrap();
            let name = format!(":{}:", text("event"));
            let payload = unhex(text("event_payload"));
            let event = [&kind.to_le_bytes(), name.as_bytes(), &payload].concat();
            (register, Sha384::digest(event).to_vec())
        };
        let registers = replay(log.iter().map(event).collect());
        assert_eq!(registers.concat(), quote[48 + 328..48 + 520], "{file}");
    }
}

/// Extends the four runtime registers: SHA-384 of what is there and the digest.
fn replay(events: Vec<(usize, Vec<u8>)>) -> Vec<Vec<u8>> {
    let mut registers = vec![vec![0; 48]; 4];
    for (register, digest) in events {
        let mut hash = Sha384::new();
        hash.update(&registers[register]);
        hash.update(digest);
        registers[register] = hash.finalize().to_vec();
    }
    registers
}

/// Reads a log of the firmware (TCG PC Client Platform Firmware Profile, section 10.2; its PCR 1 is
/// RTMR0, UEFI 2.10 section 38.4.1).
fn ccel(log: &[u8]) -> Vec<(usize, Vec<u8>)> {
    const NO_ACTION: u32 = 3;
    const SHA_384: u16 = 0x0c;
    let mut rest = log;
    let mut take = |count: usize| {
        let (taken, after) = rest.split_at(count);
        rest = after;
        taken
    };
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    // The first event is of the old form, with a digest of SHA-1, and says what follows.
    let size = number(&take(32)[28..]);
    take(usize::try_from(size).unwrap());
    let mut events = Vec::new();
    loop {
        let (register, kind) = (number(take(4)), number(take(4)));
        if register == u32::MAX || register == 0 && kind == 0 {
            return events;
        }
        assert_eq!(number(take(4)), 1, "one digest");
        assert_eq!(take(2), SHA_384.to_le_bytes());
        let digest = take(48).to_vec();
        let size = number(take(4));
        take(usize::try_from(size).unwrap());
        if kind != NO_ACTION {
            events.push((usize::try_from(register).unwrap() - 1, digest));
        }
    }
}

/// The policy that the documentation gives for an image is of a quote that is there, and of no other.
#[test]
fn the_policy_in_the_documentation_pins_one_image() {
    let Some(samples) = Samples::open() else { return };
    let text = std::fs::read_to_string(workspace().join("docs/attestation.md")).unwrap();
    let (example, _) = text.split("```toml\n").nth(2).unwrap().split_once("```").unwrap();
    let policy = Policy::from_toml(example).unwrap();
    for case in CASES.iter().filter(|case| case.refused.is_none()) {
        let at = Timestamp::from_rfc3339(case.at).unwrap();
        let judged = appraise(&evidence(&samples, case), &Roots::vendors(), &policy, at);
        let judged = judged.map(|_| ()).map_err(|refusal| refusal.check);
        let is_image = case.file == "tdx/dcap-qvl-tdx_quote.bin";
        assert_eq!(judged, if is_image { Ok(()) } else { Err(Check::PolicyMeasurement) });
    }
}
