//! What real evidence does not show: reports and certificates of the tests' own keys, each refused by
//! one check, which is there for it and for nothing else.

mod made;

use assay_primitives::encoding::hex;
use proptest::prelude::*;
use rcgen::KeyUsagePurpose;

use self::made::{CSP_ID, HWID, Made, NAME, NOW, STRUCT_VERSION, integer};
use super::report::{self, FIELDS, LEN, TCBS};
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{Check, Policy, Roots, Trust};

/// Makes evidence on Genoa with bytes of the guest's own, which ends at a root of the tests.
#[cfg(feature = "collect")]
pub(crate) fn evidence(report_data: &[u8]) -> crate::Evidence {
    Made::genoa().setting(report::REPORT_DATA, report_data).evidence()
}

/// Asserts that a check refuses what is made, and that nothing else does.
fn refused(made: &Made, check: Check) {
    refused_then(made, check, None);
}

/// Asserts that a check refuses what is made, and which one does when that is left out.
fn refused_then(made: &Made, check: Check, then: Option<Check>) {
    let got = made.judged().map(|_| ()).map_err(|refusal| refusal.check);
    assert_eq!(got, Err(check));
    let got = made.judged_without(Some(check)).map_err(|refusal| refusal.check).err();
    assert_eq!(got, then, "without {check}");
}

fn accepted(made: &Made) -> crate::Attested {
    made.judged().unwrap()
}

#[test]
fn what_is_made_is_accepted_as_simulated() {
    let shown = |made: Made| {
        let claims = accepted(&made);
        assert!(claims.is_simulated() && claims.trust == Trust::Development);
        (claims.platform.clone(), claims.tcb.as_ref().unwrap().versions.clone())
    };
    let (platform, tcb) = shown(Made::milan());
    assert_eq!(platform, "Milan, VMPL 0, chip c1c1c1c1…");
    assert_eq!(tcb, "bootloader 3, tee 0, snp 8, microcode 115");
    let (platform, tcb) = shown(Made::genoa());
    assert_eq!(platform, "Genoa, VMPL 0, chip c1c1c1c1…");
    assert_eq!(tcb, "bootloader 10, tee 1, snp 23, microcode 200");
    let (platform, tcb) = shown(Made::turin());
    assert_eq!(platform, "Turin, VMPL 0, chip c1c1c1c1…");
    assert_eq!(tcb, "fmc 1, bootloader 2, tee 1, snp 4, microcode 73");
    assert_eq!(shown(Made::vlek()).0, "Genoa, VMPL 0, VLEK of cn=example");
}

#[test]
fn fields_are_in_order_and_apart() {
    let mut end = 0;
    for field in FIELDS {
        assert!(field.at >= end, "{}", field.name);
        end = field.at + field.len;
    }
    assert!(end <= LEN);
}

#[test]
fn lengths_are_exact() {
    let judged = |report: Vec<u8>, certificates: &[Vec<u8>]| {
        let (roots, policy) = (Roots::vendors(), Policy::default());
        let checks = Checks::default();
        let context = Context { now: NOW, roots: &roots, policy: &policy, checks };
        super::claims(&report, certificates, &context).unwrap_err().check
    };
    let (report, certificates) = Made::genoa().parts();
    assert_eq!(judged(report[..LEN - 1].to_vec(), &certificates), Check::EvidenceEncoding);
    assert_eq!(judged([&report[..], &[0]].concat(), &certificates), Check::EvidenceSize);
    assert_eq!(judged(Vec::new(), &certificates), Check::EvidenceEncoding);
    assert_eq!(judged(report.clone(), &certificates[..2]), Check::EvidenceEncoding);
    let more = [&certificates[..], &certificates[2..]].concat();
    assert_eq!(judged(report, &more), Check::EvidenceEncoding);
}

#[test]
fn unknown_versions_are_refused() {
    for version in [6, 7, 255] {
        refused(&Made::turin().setting(report::VERSION, &[version]), Check::EvidenceVersion);
    }
    for version in [0, 1] {
        // Nothing is known of these, so that everything in them is reserved.
        let made = Made::milan().setting(report::VERSION, &[version]);
        refused_then(&made, Check::EvidenceVersion, Some(Check::EvidenceReserved));
    }
    // Version 4 exists, but AMD has not published it.
    refused(&Made::genoa().setting(report::VERSION, &[4]), Check::EvidenceVersion);
}

#[test]
fn other_signature_algorithms_are_refused() {
    for algorithm in [0, 2] {
        let made = Made::genoa().setting(report::SIGNATURE_ALGO, &[algorithm]);
        refused(&made, Check::EvidenceAlgorithm);
    }
    let p256 = Made { vek_is_p256: true, ..Made::genoa() };
    refused_then(&p256, Check::EvidenceAlgorithm, Some(Check::EvidenceSignature));
}

#[test]
fn reserved_bytes_are_zero_by_version() {
    let v5 = [0x4c, 0x4f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x208, 0x29f];
    let set = |mut made: Made, at: usize| {
        made.report[at] = 1;
        made
    };
    for at in v5 {
        refused(&set(Made::turin(), at), Check::EvidenceReserved);
    }
    for at in [0x1f8, 0x207] {
        refused(&set(Made::genoa(), at), Check::EvidenceReserved);
        accepted(&set(Made::turin(), at));
    }
    for at in [0x188, 0x189, 0x18a] {
        refused(&set(Made::milan(), at), Check::EvidenceReserved);
    }
    // Of the signature, which is not signed: what is above the numbers, and what is after them.
    for at in [0x2d0, 0x2e7, 0x318, 0x32f, 0x330, 0x49f] {
        let made = Made { forged: vec![(at, 0x80)], ..Made::genoa() };
        refused(&made, Check::EvidenceReserved);
    }
}

#[test]
fn reserved_bits_are_zero_by_version_and_product() {
    let policy = |made: Made, bytes: [u8; 8]| made.setting(report::POLICY, &bytes);
    refused(&policy(Made::genoa(), [0, 0, 0b01, 0, 0, 0, 0, 0]), Check::EvidenceReserved);
    refused(&policy(Made::genoa(), [0, 0, 0b11, 0b100, 0, 0, 0, 0]), Check::EvidenceReserved);
    refused(&policy(Made::turin(), [0, 0, 0b11, 0b100, 0, 0, 0, 0]), Check::EvidenceReserved);
    refused(&policy(Made::turin(), [0, 0, 0b11, 0, 0, 0, 0, 0x80]), Check::EvidenceReserved);
    // Ciphertext hiding since before, page swap since version 5.
    accepted(&policy(Made::genoa(), [0, 0, 0b1111_0011, 0b01, 0, 0, 0, 0]));
    refused(&policy(Made::genoa(), [0, 0, 0b11, 0b10, 0, 0, 0, 0]), Check::EvidenceReserved);
    accepted(&policy(Made::turin(), [0, 0, 0b11, 0b10, 0, 0, 0, 0]));
    let platform = |made: Made, bits: u8| made.setting(report::PLATFORM_INFO, &[bits]);
    refused(&platform(Made::genoa(), 1 << 6), Check::EvidenceReserved);
    accepted(&platform(Made::turin(), 1 << 6));
    refused(&platform(Made::genoa(), 1 << 7), Check::EvidenceReserved);
    accepted(&platform(Made::turin(), 1 << 7));
    refused(&Made::turin().setting(report::PLATFORM_INFO, &[0, 1]), Check::EvidenceReserved);
    refused(&Made::genoa().setting(report::KEY_INFO, &[1 << 5]), Check::EvidenceReserved);
    accepted(&Made::genoa().setting(report::KEY_INFO, &[1]));
}

#[test]
fn reserved_components_and_chip_ids_are_zero() {
    let mut made = Made::genoa().with(&[3, 4], integer(1));
    made.set(report::REPORTED_TCB, &[10, 1, 1, 0, 0, 0, 23, 200]);
    refused(&made, Check::EvidenceReserved);
    let tcb = Made::turin().setting(report::LAUNCH_TCB, &[1, 2, 1, 4, 0, 0, 1, 73]);
    refused(&tcb, Check::EvidenceReserved);
    let chip = Made::turin().setting(report::CHIP_ID, &[0xc1; 9]);
    refused(&chip, Check::EvidenceReserved);
}

/// The host asks for reports of its own; nothing in them is the guest's.
#[test]
fn a_report_that_no_guest_asked_for_is_refused() {
    refused(&Made::genoa().setting(report::VMPL, &[0xff; 4]), Check::EvidenceReserved);
    refused(&Made::genoa().setting(report::VMPL, &[4]), Check::EvidenceReserved);
}

#[test]
fn the_vmpl_is_told() {
    let claims = accepted(&Made::genoa().setting(report::VMPL, &[3]));
    assert_eq!(claims.platform, "Genoa, VMPL 3, chip c1c1c1c1…");
    assert!(claims.warnings[0].starts_with("VMPL 3:"), "{:?}", claims.warnings);
    assert_eq!(accepted(&of_any_tcb(Made::genoa(), &[])).warnings, [""; 0]);
}

#[test]
fn a_missing_alias_check_is_told() {
    let claims = accepted(&Made::genoa().setting(report::PLATFORM_INFO, &[0b101]));
    assert!(claims.warnings[0].contains("CVE-2024-21944"), "{:?}", claims.warnings);
}

#[test]
fn forged_reports_are_refused() {
    let chip = Made { forged: vec![(report::MEASUREMENT.at, 1)], ..Made::genoa() };
    refused(&chip, Check::EvidenceSignature);
    let r = Made { forged: vec![(report::SIGNATURE_R.at, 1)], ..Made::genoa() };
    refused(&r, Check::EvidenceSignature);
    let last = Made { forged: vec![(report::SIGNED.end - 1, 1)], ..Made::genoa() };
    refused_then(&last, Check::EvidenceReserved, Some(Check::EvidenceSignature));
}

/// Firmware signs with s as it comes: neither half of the numbers is preferred.
#[test]
fn s_is_not_normalised() {
    for negates_s in [false, true] {
        accepted(&Made { negates_s, ..Made::genoa() });
    }
}

/// Pitfall 1.
#[test]
fn debug_mode_is_refused_unless_allowed() {
    let mut made = Made::genoa().setting(report::POLICY, &[31, 0, 0b1011]);
    refused(&made, Check::PolicyDebug);
    made.policy.allow_debug = true;
    assert!(accepted(&made).debug);
}

#[test]
fn a_migration_agent_is_refused_unless_allowed() {
    let mut made = Made::genoa().setting(report::POLICY, &[31, 0, 0b111]);
    refused(&made, Check::PolicyGuest);
    made.policy.snp.allow_migration_agent = true;
    assert_eq!(accepted(&made).warnings[0], "a migration agent may move the guest");
}

/// Pitfall 2: the time is the caller's.
#[test]
fn an_expired_vcek_is_refused() {
    refused(&Made { vek_until: 2027, ..Made::genoa() }, Check::ChainValidity);
    accepted(&Made { vek_until: 2028, ..Made::genoa() });
    let early = Made { now: crate::Validity::ALWAYS.not_before, ..Made::genoa() };
    refused(&early, Check::ChainValidity);
}

/// Pitfall 5: a root that nobody pinned, and a CA that is none.
#[test]
fn chains_that_do_not_hold_are_refused() {
    refused(&Made { is_foreign: true, ..Made::genoa() }, Check::ChainRoot);
    refused(&Made { ca_is_ca: false, ca_usages: Vec::new(), ..Made::genoa() }, Check::ChainUsage);
    let usages = vec![KeyUsagePurpose::DigitalSignature];
    refused(&Made { ca_usages: usages, ..Made::genoa() }, Check::ChainUsage);
}

/// Pitfall 5: certificates in another order.
#[test]
fn the_root_is_the_last_certificate() {
    let (report, certificates) = Made::genoa().parts();
    let root = crate::DevelopmentRoot::from_bytes(&certificates[2]).unwrap();
    let (roots, policy) = (Roots::vendors().with_development(root), Policy::default());
    let judged = |order: [usize; 3], without| {
        let context =
            Context { now: NOW, roots: &roots, policy: &policy, checks: Checks { without } };
        let certificates = order.map(|at| certificates[at].clone());
        super::claims(&report, &certificates, &context).map(|_| ()).map_err(|it| it.check)
    };
    assert_eq!(judged([0, 1, 2], None), Ok(()));
    assert_eq!(judged([0, 2, 1], None), Err(Check::ChainRoot));
    assert_eq!(judged([0, 2, 1], Some(Check::ChainRoot)), Err(Check::ChainPlatform));
    assert_eq!(judged([1, 0, 2], None), Err(Check::ChainUsage));
    assert_eq!(judged([0, 0, 2], None), Err(Check::ChainPath));
}

#[test]
fn the_chip_is_that_of_the_certificate() {
    refused(&Made::genoa().with(HWID, vec![0xc2; 64]), Check::ChainPlatform);
    refused(&Made::genoa().setting(report::CHIP_ID, &[0xc2]), Check::ChainPlatform);
    refused(&Made::genoa().without(HWID), Check::ChainPlatform);
    refused(&Made::turin().with(HWID, vec![0xc2; 8]), Check::ChainPlatform);
    // Both are zero: a masked chip id is none.
    let masked = Made::genoa().with(HWID, vec![0; 64]).setting(report::CHIP_ID, &[0; 64]);
    refused(&masked, Check::ChainPlatform);
    refused(&Made::genoa().setting(report::CHIP_ID, &[0; 64]), Check::ChainPlatform);
}

#[test]
fn the_chip_is_written_in_two_ways() {
    accepted(&Made::genoa().with(HWID, [&[4, 64][..], &[0xc1; 64]].concat()));
    accepted(&Made::turin().with(HWID, [&[4, 8][..], &[0xc1; 8]].concat()));
    let other = [&[4, 63][..], &[0xc1; 63]].concat();
    refused(&Made::genoa().with(HWID, other), Check::ChainPlatform);
    for wrong in [vec![0xc1; 63], vec![0xc1; 66], [&[4, 64][..], &[0xc1; 65]].concat(), vec![]] {
        let check = Made::genoa().with(HWID, wrong).judged().unwrap_err().check;
        assert_eq!(check, Check::ChainEncoding);
    }
}

#[test]
fn the_signing_key_is_that_of_the_certificate() {
    // None, and those that are reserved.
    for key in 2..8_u8 {
        refused(&Made::genoa().setting(report::KEY_INFO, &[key << 2]), Check::ChainPlatform);
    }
    // A VCEK that is masked signs nothing.
    refused(&Made::genoa().setting(report::KEY_INFO, &[0b10]), Check::ChainPlatform);
    accepted(&Made::vlek().setting(report::KEY_INFO, &[0b110]));
    refused(&Made::genoa().setting(report::KEY_INFO, &[0b100]), Check::ChainPlatform);
    refused(&Made::vlek().setting(report::KEY_INFO, &[0]), Check::ChainPlatform);
}

#[test]
fn a_vlek_is_of_a_provider_and_a_vcek_of_a_chip() {
    refused(&Made::vlek().without(CSP_ID), Check::ChainPlatform);
    refused(&Made::vlek().with(HWID, vec![0xc1; 64]), Check::ChainPlatform);
    let csp_id = b"\x16\x02cn".to_vec();
    refused(&Made::genoa().with(CSP_ID, csp_id), Check::ChainPlatform);
    // No chip is named by a VLEK's certificate, so that the report may name one.
    accepted(&Made::vlek().setting(report::CHIP_ID, &[0xc1; 64]));
}

#[test]
fn the_product_is_that_of_the_certificates() {
    let name = |at: usize, name: &str| {
        let mut made = Made::genoa();
        name.clone_into(&mut made.names[at]);
        made
    };
    for (at, other) in [(0, "SEV-VLEK"), (1, "SEV-Turin"), (1, "SEV-VLEK-Genoa"), (2, "ARK-Milan")]
    {
        refused(&name(at, other), Check::ChainPlatform);
    }
    accepted(&Made::genoa().with(NAME, b"\x16\x08Genoa-B1".to_vec()));
    for other in [&b"\x16\x05Milan"[..], b"\x16\x05Turin"] {
        refused(&Made::genoa().with(NAME, other.to_vec()), Check::ChainPlatform);
    }
    for unknown in [Made::genoa().without(NAME), Made::genoa().with(NAME, b"\x16\0".to_vec())] {
        assert_eq!(unknown.judged().unwrap_err().check, Check::ChainPlatform);
    }
    // Zen 3 of another kind, and one that does not exist.
    for cpu in [[0x19, 0x21], [0x19, 0x01], [0x1a, 0x02], [0, 0]] {
        assert_eq!(Made::genoa().on_cpu(cpu).judged().unwrap_err().check, Check::ChainPlatform);
    }
    refused(&Made::genoa().on_cpu([0x19, 0x21]), Check::ChainPlatform);
    // Version 2 names no CPU: the product is the certificates'.
    let mut made = Made::milan();
    made.names[2] = "ARK-Genoa".to_owned();
    refused(&made, Check::ChainPlatform);
}

#[test]
fn the_tcb_is_that_of_the_certificate() {
    for (made, arcs) in
        [(Made::genoa(), [1, 2, 3, 4, 5, 6, 7, 8]), (Made::turin(), [1, 2, 3, 5, 6, 7, 8, 9])]
    {
        for arc in arcs {
            refused(&made.clone().with(&[3, arc], integer(99)), Check::ChainTcb);
            refused(&made.clone().without(&[3, arc]), Check::ChainTcb);
        }
    }
    refused(&Made::genoa().with(&[3, 9], integer(0)), Check::ChainTcb);
    refused(&Made::turin().with(&[3, 4], integer(0)), Check::ChainTcb);
    // The key is of the reported TCB, whatever runs.
    let newer = [11, 1, 0, 0, 0, 0, 24, 220];
    refused(&Made::genoa().setting(report::REPORTED_TCB, &newer), Check::ChainTcb);
    let made = Made::genoa().setting(report::CURRENT_TCB, &newer);
    accepted(&made.setting(report::COMMITTED_TCB, &newer));
}

#[test]
fn extensions_are_strict() {
    let encoding = |made: &Made| {
        assert_eq!(made.judged().unwrap_err().check, Check::ChainEncoding);
    };
    let long: [&[u8]; 7] =
        [&[], &[2, 0], &[2, 2, 0, 10], &[2, 1, 10, 0], &[2, 1, 0xff], &[2, 2, 1, 0], &[4, 1, 10]];
    for wrong in long {
        encoding(&Made::genoa().with(&[3, 1], wrong.to_vec()));
    }
    for wrong in [&b"\x0c\x05Genoa"[..], b"Genoa", b"\x16\x05Genoa\0", b"\x16\x04Genoa", b""] {
        encoding(&Made::genoa().with(NAME, wrong.to_vec()));
    }
    encoding(&Made::vlek().with(CSP_ID, b"\x0c\x02cn".to_vec()));
    refused(&Made::genoa().with(STRUCT_VERSION, integer(2)), Check::ChainEncoding);
    refused(&Made::genoa().without(STRUCT_VERSION), Check::ChainEncoding);
    encoding(&Made::genoa().with(STRUCT_VERSION, vec![2, 2, 0, 1]));
    for arcs in [STRUCT_VERSION, NAME, &[3, 1], HWID] {
        let mut made = Made::genoa();
        let again = made.extensions.iter().find(|(other, _)| other == arcs).unwrap().clone();
        made.extensions.push(again);
        encoding(&made);
    }
}

/// Sets a least version of all but some components.
fn of_any_tcb(mut made: Made, open: &[&str]) -> Made {
    let snp = &mut made.policy.snp;
    for (name, least) in [
        ("bootloader", &mut snp.min_bootloader),
        ("tee", &mut snp.min_tee),
        ("snp", &mut snp.min_snp),
        ("microcode", &mut snp.min_microcode),
        ("fmc", &mut snp.min_fmc),
    ] {
        *least = (!open.contains(&name)).then_some(0);
    }
    made
}

/// AMD says of no TCB that it is up to date: without least versions one of any age does.
#[test]
fn what_may_have_any_version_is_told_and_not_pinned() {
    let value = hex(accepted(&Made::genoa()).measurement("measurement").unwrap());
    let pinning = format!(
        "[[reference_values]]\nname = \"a\"\nkind = \"snp\"\nmeasurements.measurement = \"{value}\""
    );
    let all = &["bootloader", "tee", "snp", "microcode", "fmc"][..];
    for (made, open, expected) in [
        (Made::genoa(), all, "bootloader, tee, snp, microcode"),
        (Made::turin(), all, "fmc, bootloader, tee, snp, microcode"),
        (Made::turin(), &["fmc"], "fmc"),
        // A Genoa has none.
        (Made::genoa(), &["fmc"], ""),
        (Made::turin(), &["microcode", "tee"], "tee, microcode"),
        (Made::turin(), &[], ""),
    ] {
        let policy = Policy::from_toml(&pinning).unwrap();
        let made = of_any_tcb(Made { policy, ..made }, open);
        let claims = accepted(&made);
        assert_eq!(claims.tcb.as_ref().unwrap().open.join(", "), expected);
        let told = format!("TCB: any version of {expected}, as no policy sets a least one");
        assert_eq!(claims.warnings.contains(&told), !expected.is_empty(), "{:?}", claims.warnings);
        assert_eq!(made.policy.pins(&claims), expected.is_empty());
        // Least versions alone do not pin what runs.
        let unmeasured = Policy { reference_values: None, ..made.policy.clone() };
        assert!(!unmeasured.pins(&claims));
    }
}

#[test]
fn the_minimum_holds_for_every_tcb() {
    let tcb = [10, 1, 0, 0, 0, 0, 23, 200];
    let with = |change: fn(&mut crate::SnpPolicy)| {
        let mut made = Made::genoa();
        change(&mut made.policy.snp);
        made
    };
    accepted(&with(|snp| {
        (snp.min_bootloader, snp.min_tee) = (Some(10), Some(1));
        (snp.min_snp, snp.min_microcode) = (Some(23), Some(200));
        // Genoa has no FMC.
        snp.min_fmc = Some(9);
    }));
    let too_much: [fn(&mut crate::SnpPolicy); 4] = [
        |snp| snp.min_bootloader = Some(11),
        |snp| snp.min_tee = Some(2),
        |snp| snp.min_snp = Some(24),
        |snp| snp.min_microcode = Some(201),
    ];
    for change in too_much {
        refused(&with(change), Check::PolicyTcbMinimum);
    }
    let mut turin = Made::turin();
    turin.policy.snp.min_fmc = Some(2);
    refused(&turin, Check::PolicyTcbMinimum);
    for field in TCBS.iter().filter(|field| field.at != report::REPORTED_TCB.at) {
        let mut old = tcb;
        old[6] = 22;
        let made = with(|snp| snp.min_snp = Some(23)).setting(*field, &old);
        refused(&made, Check::PolicyTcbMinimum);
        assert!(made.judged().unwrap_err().got.contains(field.name));
    }
}

/// Pitfall 11.
#[test]
fn milan_is_told_and_can_be_refused() {
    let mut made = Made::milan();
    let warnings = accepted(&made).warnings.clone();
    assert!(warnings[0].starts_with("Milan:") && warnings[0].contains("2605.12990"));
    made.policy.snp.products = Some(vec!["Genoa".to_owned(), "Turin".to_owned()]);
    refused(&made, Check::PolicyPlatform);
    let policy = made.policy;
    accepted(&Made { policy: policy.clone(), ..Made::genoa() });
    accepted(&Made { policy, ..Made::turin() });
}

/// Pitfall 9: what the guest may set says nothing of the platform.
#[test]
fn report_data_is_the_guests_alone() {
    let known = accepted(&Made::genoa());
    let mut made = Made::genoa().setting(report::MEASUREMENT, &[0xbd; 48]);
    made.set(report::REPORT_DATA, known.measurement("measurement").unwrap());
    let claims = accepted(&made);
    assert_eq!(claims.user_data.as_ref().unwrap()[..48], [0x3e; 48]);
    assert_eq!(claims.measurement("measurement"), Some(&[0xbd; 48][..]));
    assert_eq!(claims.platform, known.platform);
    let value = hex(known.measurement("measurement").unwrap());
    let policy = format!(
        "[[reference_values]]\nname = \"known\"\nkind = \"snp\"\nmeasurements.measurement = \"{value}\""
    );
    made.policy = Policy::from_toml(&policy).unwrap();
    refused(&made, Check::PolicyMeasurement);
    accepted(&Made { policy: made.policy, ..Made::genoa() });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        report in prop::collection::vec(any::<u8>(), 0..1_300),
        certificates in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..256), 0..5),
        without in prop::sample::select(Check::ALL),
    ) {
        let (roots, policy) = (Roots::vendors(), Policy::default());
        let checks = Checks { without: Some(without) };
        let context = Context { now: NOW, roots: &roots, policy: &policy, checks };
        prop_assert!(super::claims(&report, &certificates, &context).is_err());
    }

    /// Signed anew, every value of every field gets to the checks behind it.
    #[test]
    fn arbitrary_fields_never_panic(
        at in 0..LEN - 16,
        bytes in prop::collection::vec(any::<u8>(), 1..16),
        extension in 0..11_usize,
        value in prop::collection::vec(any::<u8>(), 0..80),
        changes_extension in any::<bool>(),
    ) {
        let mut made = Made::turin();
        if changes_extension {
            made.extensions[extension].1 = value;
        } else {
            made.report[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        let evidence = made.evidence();
        for without in [None, Some(Check::EvidenceReserved), Some(Check::ChainPlatform)] {
            let _ = made.judge(&evidence, without);
        }
    }
}
