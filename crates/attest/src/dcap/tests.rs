use std::collections::BTreeMap;

use assay_primitives::{Timestamp, encoding};
use assay_testkit::reference;
use serde_json::Value;

use super::forge::{Day, Days, Made, Wish, make};
use super::quote::Quote;
use super::{Collateral, pem, report};
use crate::evidence::Context;
use crate::policy::TcbStatus;
use crate::refusal::Checks;
use crate::{
    Attested, Check, Claims, Evidence, EvidenceKind, Policy, ReferenceValue, Refusal, Roots, Trust,
};

const NOW: &str = "2026-06-15T12:00:00Z";

/// Appraises, with one check left out.
fn appraise_without(
    without: Option<Check>,
    evidence: &Evidence,
    roots: &Roots,
    policy: &Policy,
    now: &str,
) -> Result<Attested, Refusal> {
    let now = Timestamp::from_rfc3339(now).unwrap();
    Context { now, roots, policy, checks: Checks { without } }.appraise(evidence)
}

fn appraise(
    made: &Made,
    kind: EvidenceKind,
    policy: &Policy,
    now: &str,
) -> Result<Attested, Refusal> {
    let roots = Roots::vendors().with_development(made.root.clone());
    appraise_without(None, &made.evidence(kind), &roots, policy, now)
}

/// Asserts that what is wished for is refused by a check under the default policy in June 2026, and
/// returns what comes of it without that check.
fn refused_by(check: Check, wish: &Wish) -> Result<Attested, Refusal> {
    refused_at(check, wish, &Policy::default(), NOW)
}

fn refused_at(check: Check, wish: &Wish, policy: &Policy, now: &str) -> Result<Attested, Refusal> {
    let made = make(wish);
    let refusal = appraise(&made, wish.kind, policy, now).unwrap_err();
    assert_eq!(refusal.check, check, "{refusal}");
    let roots = Roots::vendors().with_development(made.root.clone());
    appraise_without(Some(check), &made.evidence(wish.kind), &roots, policy, now)
}

/// Asserts that without the check before, the library refuses in its own words.
fn library_says(got: Result<Attested, Refusal>, check: Check, words: &str) {
    let refusal = got.unwrap_err();
    assert_eq!(refusal.check, check, "{refusal}");
    assert!(refusal.got.contains(words), "{refusal}");
}

fn value(claims: &Claims, name: &str) -> String {
    encoding::hex(claims.measurement(name).unwrap_or_else(|| panic!("no {name}")))
}

#[test]
fn a_td_of_the_tests_is_simulated() {
    let wish = Wish::default();
    let claims = appraise(&make(&wish), wish.kind, &Policy::default(), NOW).unwrap();
    assert!(claims.is_simulated());
    assert_eq!(claims.kind, EvidenceKind::Tdx);
    assert_eq!(claims.platform, "FMSPC 00906ed50000");
    assert_eq!(value(&claims, "mrtd"), "3d".repeat(48));
    assert_eq!(value(&claims, "rtmr0"), "a0".repeat(48));
    assert_eq!(value(&claims, "rtmr3"), "a3".repeat(48));
    assert_eq!(value(&claims, "tdattributes"), "0000001000000000");
    assert_eq!(claims.user_data.as_deref(), Some(&[0xda; 64][..]));
    assert!(!claims.debug);
    assert_eq!(claims.validity.not_before.to_string(), "2026-06-01T00:00:00.000Z");
    // The revocation lists end first.
    assert_eq!(claims.validity.not_after.to_string(), "2026-06-30T23:59:59.999Z");
    let tcb = claims.tcb.as_ref().unwrap();
    assert_eq!(tcb.status.as_deref(), Some("UpToDate"));
    assert_eq!(tcb.advisories, ["INTEL-SA-00003"]);
    assert!(tcb.versions.ends_with("qe 4, evaluation data number 18"), "{}", tcb.versions);
}

#[test]
fn an_enclave_of_the_tests_is_simulated() {
    let wish = Wish::sgx();
    let claims = appraise(&make(&wish), wish.kind, &Policy::default(), NOW).unwrap();
    assert_eq!((claims.kind, claims.trust), (EvidenceKind::Sgx, Trust::Development));
    assert_eq!(value(&claims, "mrenclave"), "e1".repeat(32));
    assert_eq!(value(&claims, "mrsigner"), "51".repeat(32));
    assert_eq!(value(&claims, "isvprodid"), "0107");
    assert_eq!(value(&claims, "isvsvn"), "0009");
    assert_eq!(claims.user_data.as_deref(), Some(&[0xda; 64][..]));
}

#[test]
fn a_td_of_version_5_shows_its_service_td_and_may_have_none() {
    let wish = Wish { version: 5, ..Wish::default() };
    let claims = appraise(&make(&wish), wish.kind, &Policy::default(), NOW).unwrap();
    assert_eq!(value(&claims, "mrservicetd"), "00".repeat(48));
    let wish = Wish { service_td: 1, ..wish };
    library_says(refused_by(Check::PolicyGuest, &wish), Check::PolicyGuest, "service TD");
}

#[test]
fn nobody_elses_root_is_the_vendors() {
    let made = make(&Wish::default());
    let evidence = made.evidence(EvidenceKind::Tdx);
    let appraise =
        |without| appraise_without(without, &evidence, &Roots::vendors(), &Policy::default(), NOW);
    assert_eq!(appraise(None).unwrap_err().check, Check::ChainRoot);
    library_says(appraise(Some(Check::ChainRoot)), Check::CollateralSignature, "root CA CRL");
}

// Pitfall 1: debug mode.
#[test]
fn debug_mode_is_for_the_policy_to_accept() {
    let debug = [0x01, 0, 0, 0x10, 0, 0, 0, 0];
    let profiled = [0x10, 0, 0, 0x10, 0, 0, 0, 0];
    let enclave = [0x07, 0, 0, 0, 0, 0, 0, 0];
    for wish in [
        Wish { attributes: debug, ..Wish::default() },
        Wish { attributes: debug, version: 5, ..Wish::default() },
        Wish { attributes: profiled, ..Wish::default() },
        Wish { attributes: enclave, ..Wish::sgx() },
    ] {
        assert!(refused_by(Check::PolicyDebug, &wish).unwrap().debug);
        let policy = Policy { allow_debug: true, ..Policy::default() };
        assert!(appraise(&make(&wish), wish.kind, &policy, NOW).unwrap().debug);
    }
}

// Pitfall 2: time. Each thing that has a window is outside of it on June 15.
#[test]
fn every_certificate_is_valid_at_the_time_of_verification() {
    let past: Days = ((2020, 1, 1), (2026, 6, 15));
    let future: Days = ((2026, 6, 16), (2049, 1, 1));
    for days in [past, future] {
        for wish in [
            Wish { pck_days: days, ..Wish::default() },
            Wish { ca_days: days, ..Wish::default() },
            Wish { root_days: days, ..Wish::default() },
            Wish { signer_days: days, ..Wish::default() },
        ] {
            refused_by(Check::ChainValidity, &wish).unwrap();
        }
    }
}

#[test]
fn all_collateral_is_valid_at_the_time_of_verification() {
    let past: Days = ((2026, 5, 15), (2026, 6, 15));
    let future: Days = ((2026, 6, 16), (2026, 7, 15));
    for days in [past, future] {
        for wish in [
            Wish { tcb_days: days, ..Wish::default() },
            Wish { qe_days: days, ..Wish::default() },
            Wish { root_crl_days: days, ..Wish::default() },
            Wish { pck_crl_days: days, ..Wish::default() },
        ] {
            refused_by(Check::CollateralValidity, &wish).unwrap();
        }
    }
}

#[test]
fn the_validity_ends_with_what_ends_first() {
    let day: Day = (2026, 6, 20);
    let until = |from| (from, day);
    for (wish, end) in [
        (Wish { pck_days: until((2020, 1, 1)), ..Wish::default() }, "2026-06-20T00:00:00.000Z"),
        (Wish { signer_days: until((2020, 1, 1)), ..Wish::default() }, "2026-06-20T00:00:00.000Z"),
        (Wish { tcb_days: until((2026, 6, 1)), ..Wish::default() }, "2026-06-20T00:00:00.000Z"),
        (Wish { qe_days: until((2026, 6, 1)), ..Wish::default() }, "2026-06-20T00:00:00.000Z"),
        (Wish { pck_crl_days: until((2026, 6, 1)), ..Wish::default() }, "2026-06-19T23:59:59.999Z"),
    ] {
        let made = make(&wish);
        let claims = appraise(&made, wish.kind, &Policy::default(), NOW).unwrap();
        assert_eq!(claims.validity.not_after.to_string(), end);
        appraise(&made, wish.kind, &Policy::default(), end).unwrap();
        let after = "2026-06-20T00:00:00.001Z";
        let refusal = appraise(&made, wish.kind, &Policy::default(), after).unwrap_err();
        let is_validity = matches!(refusal.check, Check::ChainValidity | Check::CollateralValidity);
        assert!(is_validity, "{refusal}");
    }
}

// Pitfall 3: collateral that was signed before an advisory knows nothing of it.
#[test]
fn old_collateral_does_not_make_an_unpatched_platform_up_to_date() {
    let new: &[(u8, &str)] = &[(5, "UpToDate"), (3, "OutOfDate")];
    let today = Wish { levels: new, tcb_number: 20, qe_number: 20, ..Wish::default() };
    let got = refused_by(Check::PolicyTcbStatus, &today).unwrap();
    assert_eq!(got.tcb.as_ref().unwrap().status.as_deref(), Some("OutOfDate"));
    // What was said in May of the same platform, at a time in June.
    let may = ((2026, 5, 1), (2026, 5, 31));
    let old = Wish {
        tcb_days: may,
        qe_days: may,
        root_crl_days: may,
        pck_crl_days: may,
        ..Wish::default()
    };
    let got = refused_by(Check::CollateralValidity, &old).unwrap();
    assert_eq!(got.tcb.as_ref().unwrap().status.as_deref(), Some("UpToDate"));
    // The same in between what is new.
    let old = Wish { tcb_days: may, ..Wish::default() };
    let got = refused_by(Check::CollateralValidity, &old);
    library_says(got, Check::CollateralValidity, "TCBInfo expired");
    // What is valid yet, of either statement: the policy names a least number.
    let policy = Policy { min_tcb_evaluation_data_number: Some(20), ..Policy::default() };
    for wish in [
        Wish { tcb_number: 18, qe_number: 20, ..Wish::default() },
        Wish { tcb_number: 20, qe_number: 18, ..Wish::default() },
    ] {
        appraise(&make(&wish), wish.kind, &Policy::default(), NOW).unwrap();
        let got = refused_at(Check::CollateralAge, &wish, &policy, NOW);
        library_says(got, Check::PolicyTcbStatus, "TCB eval data number 18 is below minimum 20");
    }
    let wish = Wish { tcb_number: 20, qe_number: 20, ..Wish::default() };
    appraise(&make(&wish), wish.kind, &policy, NOW).unwrap();
}

// Pitfall 4: status.
#[test]
fn a_status_is_accepted_by_name_only() {
    let cases: [(&[(u8, &str)], TcbStatus); 5] = [
        (&[(3, "SWHardeningNeeded")], TcbStatus::SWHardeningNeeded),
        (&[(3, "ConfigurationNeeded")], TcbStatus::ConfigurationNeeded),
        (&[(3, "ConfigurationAndSWHardeningNeeded")], TcbStatus::ConfigurationAndSWHardeningNeeded),
        (&[(3, "OutOfDate")], TcbStatus::OutOfDate),
        (&[(3, "OutOfDateConfigurationNeeded")], TcbStatus::OutOfDateConfigurationNeeded),
    ];
    for (levels, status) in cases {
        for base in [Wish::default(), Wish::sgx()] {
            let wish = Wish { levels, ..base };
            refused_by(Check::PolicyTcbStatus, &wish).unwrap();
            let accepting = |statuses: &[TcbStatus]| Policy {
                tcb_statuses: Some(statuses.to_vec()),
                ..Policy::default()
            };
            let made = make(&wish);
            let claims = appraise(&made, wish.kind, &accepting(&[status]), NOW).unwrap();
            let tcb = claims.tcb.as_ref().unwrap();
            assert_eq!(tcb.status.as_deref(), Some(levels[0].1));
            assert_eq!(tcb.advisories, ["INTEL-SA-00003"]);
            let none = appraise(&made, wish.kind, &accepting(&[]), NOW).unwrap_err();
            assert_eq!(none.check, Check::PolicyTcbStatus, "{none}");
        }
    }
}

#[test]
fn a_policy_that_names_another_status_refuses_what_is_up_to_date() {
    let policy = Policy { tcb_statuses: Some(vec![TcbStatus::OutOfDate]), ..Policy::default() };
    refused_at(Check::PolicyTcbStatus, &Wish::default(), &policy, NOW).unwrap();
}

#[test]
fn a_quoting_enclave_or_module_that_is_out_of_date_makes_the_status() {
    for wish in [
        Wish { qe_status: "OutOfDate", ..Wish::default() },
        Wish { module_status: "OutOfDate", ..Wish::default() },
    ] {
        let got = refused_by(Check::PolicyTcbStatus, &wish).unwrap();
        assert_eq!(got.tcb.as_ref().unwrap().status.as_deref(), Some("OutOfDate"));
    }
}

#[test]
fn a_td_that_was_launched_out_of_date_is_not_up_to_date_by_a_later_update() {
    let levels: &[(u8, &str)] = &[(5, "UpToDate"), (3, "OutOfDate")];
    let wish = Wish { version: 5, svn: 5, launch_svn: Some(3), levels, ..Wish::default() };
    let got = refused_by(Check::PolicyTcbStatus, &wish).unwrap();
    assert_eq!(got.tcb.as_ref().unwrap().status.as_deref(), Some("TDRelaunchAdvised"));
}

#[test]
fn no_policy_accepts_what_is_revoked_or_on_no_level() {
    let all = vec![
        TcbStatus::UpToDate,
        TcbStatus::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded,
    ];
    let policy = Policy { tcb_statuses: Some(all), ..Policy::default() };
    let cases: [(&[(u8, &str)], &str); 3] = [
        (&[(3, "Revoked")], "Revoked"),
        (&[(4, "UpToDate")], "No matching TCB level"),
        (&[(3, "TDRelaunchAdvised")], "Unrecognized TCB status"),
    ];
    for (levels, words) in cases {
        let wish = Wish { levels, ..Wish::default() };
        let got = refused_at(Check::PolicyTcbStatus, &wish, &policy, NOW);
        library_says(got, Check::PolicyTcbStatus, words);
    }
}

// Pitfall 5: chains.
#[test]
fn a_ca_has_to_be_one() {
    let wish = Wish { ca_is_ca: false, ..Wish::default() };
    library_says(refused_by(Check::ChainUsage, &wish), Check::ChainPath, "certificate chain");
}

#[test]
fn quote_and_collateral_end_at_one_root() {
    let (mut made, other) = (make(&Wish::default()), make(&Wish::default()));
    made.collateral = other.collateral;
    let roots = Roots::vendors().with_development(made.root.clone());
    let roots = roots.with_development(other.root);
    let evidence = made.evidence(EvidenceKind::Tdx);
    let appraise = |without| appraise_without(without, &evidence, &roots, &Policy::default(), NOW);
    assert_eq!(appraise(None).unwrap_err().check, Check::ChainRoot);
    library_says(appraise(Some(Check::ChainRoot)), Check::CollateralSignature, "root CA CRL");
}

#[test]
fn a_revoked_certificate_vouches_for_nothing() {
    for wish in [
        Wish { revoked_by_ca: &[3], ..Wish::default() },
        Wish { revoked_by_root: &[2], ..Wish::default() },
        Wish { revoked_by_root: &[4], ..Wish::default() },
        Wish { revoked_by_root: &[1], ..Wish::default() },
    ] {
        let got = refused_by(Check::CollateralRevocation, &wish);
        library_says(got, Check::CollateralRevocation, "CertRevoked");
    }
    // A serial number counts with its issuer only.
    let wish = Wish { revoked_by_ca: &[4], revoked_by_root: &[3], ..Wish::default() };
    appraise(&make(&wish), wish.kind, &Policy::default(), NOW).unwrap();
}

#[test]
fn collateral_is_of_the_platform() {
    for (wish, words) in [
        (Wish { tcb_fmspc: "00606A000000", ..Wish::default() }, "Fmspc mismatch"),
        (Wish { tcb_id: Some("SGX"), ..Wish::default() }, "non-TDX TCB info"),
        (Wish { tcb_id: Some("TDX"), ..Wish::sgx() }, "non-SGX TCB info"),
        (Wish { qe_id: Some("QE"), ..Wish::default() }, "Unsupported QE Identity"),
        (Wish { qe_id: Some("TD_QE"), ..Wish::sgx() }, "Unsupported QE Identity"),
        (Wish { pck_crl_of_root: true, ..Wish::default() }, "UnknownRevocationStatus"),
    ] {
        let got = refused_by(Check::CollateralMatch, &wish);
        library_says(got, Check::CollateralMatch, words);
    }
}

#[test]
fn a_guest_that_is_open_to_others_is_refused() {
    for (attributes, check, words) in [
        ([0, 0, 0, 0x30, 0, 0, 0, 0], Check::PolicyGuest, "TD migration"),
        ([0; 8], Check::PolicyGuest, "SEPT_VE_DISABLE"),
        ([0, 0, 0x02, 0x10, 0, 0, 0, 0], Check::PolicyGuest, "SERVTD_EXT"),
        ([0, 0x80, 0, 0x10, 0, 0, 0, 0], Check::EvidenceReserved, "Reserved bits"),
    ] {
        let wish = Wish { attributes, ..Wish::default() };
        library_says(refused_by(check, &wish), check, words);
    }
}

#[test]
fn a_key_that_the_quoting_enclave_has_not_reported_signs_no_quote() {
    let wish = Wish { other_key: true, ..Wish::default() };
    library_says(refused_by(Check::EvidenceDigest, &wish), Check::EvidenceDigest, "hash");
}

// Pitfall 9: what the software chose is no measurement, whatever it looks like.
#[test]
fn report_data_is_no_measurement() {
    let mut report_data = [0; 64];
    report_data[..48].fill(0x77);
    let wish = Wish { report_data, ..Wish::default() };
    let made = make(&wish);
    let known = appraise(&made, wish.kind, &Policy::default(), NOW).unwrap();
    let accepting = |name: &str, value: String| {
        let launch =
            ["mrtd", "rtmr1", "rtmr2"].map(|name| (name, known.measurement(name).unwrap()));
        let launch = launch.map(|(name, value)| (name.to_owned(), encoding::hex(value)));
        let mut measurements: BTreeMap<String, String> = launch.into();
        measurements.insert(name.to_owned(), value);
        let value = ReferenceValue {
            name: "a".to_owned(),
            kind: EvidenceKind::Tdx,
            source: None,
            builder: None,
            measurements,
        };
        Policy { reference_values: Some(vec![value]), ..Policy::default() }
    };
    appraise(&made, wish.kind, &accepting("mrtd", "3d".repeat(48)), NOW).unwrap();
    let data = encoding::hex(&report_data);
    for (name, value) in [
        ("mrtd", "77".repeat(48)),
        ("rtmr3", "77".repeat(48)),
        ("reportdata", data.clone()),
        ("report_data", data.clone()),
        ("userdata", data),
    ] {
        let policy = accepting(name, value);
        let refusal = appraise(&made, wish.kind, &policy, NOW).unwrap_err();
        assert_eq!(refusal.check, Check::PolicyMeasurement, "{refusal}");
        refused_at(Check::PolicyMeasurement, &wish, &policy, NOW).unwrap();
    }
}

#[test]
fn a_quote_is_of_the_kind_that_it_is_shown_as() {
    for (wish, other) in [(Wish::default(), EvidenceKind::Sgx), (Wish::sgx(), EvidenceKind::Tdx)] {
        let refusal = appraise(&make(&wish), other, &Policy::default(), NOW).unwrap_err();
        assert_eq!(refusal.check, Check::EvidenceEncoding, "{refusal}");
    }
}

#[test]
fn zeros_and_nothing_else_may_follow_a_quote() {
    let wish = Wish::default();
    let made = make(&wish);
    let with = |tail: &[u8]| {
        let made = Made { quote: [&made.quote[..], tail].concat(), ..made.clone() };
        appraise(&made, wish.kind, &Policy::default(), NOW).map_err(|refusal| refusal.check)
    };
    with(&[0; 70]).unwrap();
    with(&vec![0; (64 << 10) - made.quote.len()]).unwrap();
    let too_long = vec![0; (64 << 10) - made.quote.len() + 1];
    assert_eq!(with(&too_long).unwrap_err(), Check::EvidenceSize);
    assert_eq!(with(&[0, 0, 1]).unwrap_err(), Check::EvidenceEncoding);
}

#[test]
fn the_chain_may_be_in_the_collateral_but_not_be_another() {
    let (mut made, other) = (make(&Wish::default()), make(&Wish::default()));
    let chain = |made: &Made| {
        let quote = Quote::read(&made.quote, EvidenceKind::Tdx).unwrap();
        String::from_utf8(quote.pck_chain().unwrap().to_vec()).unwrap()
    };
    made.collateral.pck_certificate_chain = Some(chain(&made));
    appraise(&made, EvidenceKind::Tdx, &Policy::default(), NOW).unwrap();
    made.collateral.pck_certificate_chain = Some(chain(&other));
    let refusal = appraise(&made, EvidenceKind::Tdx, &Policy::default(), NOW).unwrap_err();
    assert_eq!(refusal.check, Check::CollateralMatch, "{refusal}");
}

#[test]
fn a_chain_has_one_spelling() {
    let made = make(&Wish::default());
    let chain = made.collateral.tcb_info_issuer_chain.clone();
    let with = |chain: String| {
        let mut made = made.clone();
        made.collateral.tcb_info_issuer_chain = chain;
        appraise(&made, EvidenceKind::Tdx, &Policy::default(), NOW).map_err(|refusal| refusal.check)
    };
    with(chain.trim_end().to_owned()).unwrap();
    for (other, check) in [
        (format!("{chain}\n"), Check::ChainEncoding),
        (format!("Subject: CN=a\n{chain}"), Check::ChainEncoding),
        (chain.replace('\n', "\r\n"), Check::ChainEncoding),
        (chain.replacen("\n-----END", "\n\n-----END", 1), Check::ChainEncoding),
        (format!("{chain}{chain}"), Check::ChainPath),
        (String::new(), Check::ChainPath),
        ("a".repeat((16 << 10) + 1), Check::EvidenceSize),
    ] {
        assert_eq!(with(other).unwrap_err(), check);
    }
}

#[test]
fn collateral_is_bounded() {
    let made = make(&Wish::default());
    let with = |change: &dyn Fn(&mut Collateral)| {
        let mut made = made.clone();
        change(&mut made.collateral);
        appraise(&made, EvidenceKind::Tdx, &Policy::default(), NOW).unwrap_err().check
    };
    let statement = " ".repeat((64 << 10) + 1);
    assert_eq!(with(&|c| c.tcb_info.clone_from(&statement)), Check::EvidenceSize);
    assert_eq!(with(&|c| c.qe_identity.clone_from(&statement)), Check::EvidenceSize);
    assert_eq!(with(&|c| c.root_ca_crl = vec![0; (256 << 10) + 1]), Check::EvidenceSize);
    assert_eq!(with(&|c| c.pck_crl = vec![0; (256 << 10) + 1]), Check::EvidenceSize);
    let deep = "[".repeat(1 << 15);
    assert_eq!(with(&|c| c.tcb_info.clone_from(&deep)), Check::CollateralSignature);
    let json = vec![b' '; (1 << 20) + 1];
    assert_eq!(Collateral::from_json(&json).unwrap_err().check, Check::EvidenceSize);
    let deep = deep.as_bytes();
    assert_eq!(Collateral::from_json(deep).unwrap_err().check, Check::CollateralSignature);
}

#[test]
fn what_is_signed_cannot_be_changed() {
    let made = make(&Wish::default());
    let with = |change: &dyn Fn(&mut Made)| {
        let mut made = made.clone();
        change(&mut made);
        appraise(&made, EvidenceKind::Tdx, &Policy::default(), NOW).unwrap_err().check
    };
    let next = |text: &mut String| *text = text.replace(":18,", ":19,");
    assert_eq!(with(&|made| next(&mut made.collateral.tcb_info)), Check::CollateralSignature);
    assert_eq!(with(&|made| next(&mut made.collateral.qe_identity)), Check::CollateralSignature);
    assert_eq!(
        with(&|made| made.collateral.tcb_info_signature.truncate(63)),
        Check::CollateralSignature
    );
    assert_eq!(
        with(&|made| made.collateral.qe_identity_signature.push(0)),
        Check::CollateralSignature
    );
    // Report data, the quote's signature, the QE's report, its signature, the QE's data.
    for (at, check) in [
        (600, Check::EvidenceSignature),
        (640, Check::EvidenceSignature),
        (800, Check::EvidenceSignature),
        (1200, Check::EvidenceSignature),
        (1230, Check::EvidenceDigest),
    ] {
        assert_eq!(with(&|made| made.quote[at] ^= 1), check, "byte {at}");
    }
}

/// Real quotes: of most there is no collateral of their time, but what they say can be read.
#[test]
fn real_quotes_say_what_the_manifest_says() {
    let Some(folder) = reference("data/attestation") else { return };
    let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let mut debug = Vec::new();
    for item in manifest["items"].as_array().unwrap() {
        let of = item["kind"].as_str().unwrap();
        if !matches!(of, "intel-dcap-quote" | "intel-tdx-quote") {
            continue;
        }
        let file = item["file"].as_str().unwrap();
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let is_enclave = item["tee_type"] == 0;
        let kind = if is_enclave { EvidenceKind::Sgx } else { EvidenceKind::Tdx };
        // This one has a text after it, which the repository put there for a test.
        let tail = if file.ends_with("SPR_E4.dat") { 39 } else { 0 };
        assert_eq!(Quote::read(&bytes, kind).is_err(), tail > 0, "{file}");
        let quote = Quote::read(&bytes[..bytes.len() - tail], kind).unwrap();
        let said = &quote.fields.report;
        assert!(pem::read(quote.pck_chain().unwrap(), file).unwrap().len() == 3, "{file}");
        for (name, measured) in [
            ("mrtd", "mrtd"),
            ("rtmr0", "rtmr0"),
            ("rtmr3", "rtmr3"),
            ("td_attributes", "tdattributes"),
        ] {
            let Some(expected) = item[name].as_str() else { continue };
            let all = report::measurements(said);
            let got = all.iter().find(|measurement| measurement.name == measured).unwrap();
            assert_eq!(encoding::hex(&got.value), expected, "{file} {name}");
        }
        if let Some(expected) = item["report_data"].as_str() {
            assert_eq!(encoding::hex(report::data(said)), expected, "{file}");
            assert_eq!(report::is_debug(said), item["debug"] == true, "{file}");
        }
        if report::is_debug(said) {
            debug.push(file.to_owned());
        }
    }
    assert_eq!(debug, ["tdx/trustee-tdx_quote_4.dat"]);
}
