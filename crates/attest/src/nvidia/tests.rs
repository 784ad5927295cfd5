use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose};

use super::made::{DIGEST, FIRMWARE, Gpu, NONCE, Parts, block, der, device_id, field};
use super::report::{DRIVER_VERSION, FIRMWARE_ID, Report, VBIOS_VERSION};
use crate::refusal::Checks;
use crate::testing::{LEAF, NOW, judge_without, set_validity};
use crate::{Attested, Check, Evidence, EvidenceKind, Policy, Refusal, Roots, Strength};

impl Gpu {
    fn judge_with(
        &self,
        report: &[u8],
        certificates: Vec<Vec<u8>>,
        without: Option<Check>,
    ) -> Result<Attested, Refusal> {
        let policy = Policy { min_strength: Some(Strength::SignatureOnly), ..Policy::default() };
        let evidence = Evidence::Nvidia { report: report.to_vec(), certificates };
        judge_without(&evidence, &self.roots, &policy, NOW, without)
    }

    fn judge(&self, report: &[u8], without: Option<Check>) -> Result<Attested, Check> {
        self.judge_with(report, self.certificates(), without).map_err(|refusal| refusal.check)
    }

    /// Asserts that a report is refused by a check and by nothing else.
    #[track_caller]
    fn assert_refused(&self, report: &[u8], check: Check) -> Attested {
        assert_eq!(self.judge(report, None).map(|_| ()), Err(check));
        self.judge(report, Some(check)).unwrap()
    }

    /// The same of a report that was changed before it was signed.
    #[track_caller]
    fn assert_change_refused(&self, change: impl FnOnce(&mut Parts), check: Check) -> Attested {
        let mut parts = Parts::good();
        change(&mut parts);
        self.assert_refused(&self.sign(&parts), check)
    }

    /// Asserts that a report cannot be read: there is nothing to go on with.
    #[track_caller]
    fn assert_unreadable(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = Parts::good();
        change(&mut parts);
        let report = self.sign(&parts);
        let encoding = Check::EvidenceEncoding;
        assert_eq!(self.judge(&report, None).map(|_| ()), Err(encoding));
        assert_eq!(self.judge(&report, Some(encoding)).map(|_| ()), Err(encoding));
    }
}

#[test]
fn a_report_says_what_was_measured_and_asked() {
    let gpu = Gpu::good();
    let attested = gpu.judge(&gpu.sign(&Parts::good()), None).unwrap();
    assert!(attested.is_simulated());
    assert_eq!(attested.kind, EvidenceKind::Nvidia);
    assert_eq!(attested.strength, Strength::SignatureOnly);
    assert_eq!(attested.platform, "level 3");
    assert_eq!(attested.user_data.as_deref(), Some(&NONCE[..]));
    assert_eq!(attested.measurement("m0"), Some(&DIGEST[..]));
    assert_eq!(attested.measurement("m63"), Some(&b"raw"[..]));
    let tcb = attested.tcb.as_ref().unwrap();
    assert_eq!(tcb.versions, "driver 550.90.07, VBIOS 96.00.9f.00.01");
    assert_eq!(attested.warnings.len(), 1);
}

/// What a genuine GPU signs is no TEE by itself.
#[test]
fn a_report_is_too_weak_for_the_default_policy() {
    let gpu = Gpu::good();
    let report = gpu.sign(&Parts::good());
    let evidence = Evidence::Nvidia { report, certificates: gpu.certificates() };
    let policy = Policy::default();
    let refusal = judge_without(&evidence, &gpu.roots, &policy, NOW, None).unwrap_err();
    assert_eq!(refusal.check, Check::PolicyStrength);
    let without = Some(Check::PolicyStrength);
    judge_without(&evidence, &gpu.roots, &policy, NOW, without).unwrap();
}

/// Pitfall 8: the nonce is signed, so that another cannot be put in its place.
#[test]
fn the_nonce_is_the_one_that_was_asked_with() {
    let gpu = Gpu::good();
    let mut report = gpu.sign(&Parts::good());
    report[4..36].copy_from_slice(&[8; 32]);
    let attested = gpu.assert_refused(&report, Check::EvidenceSignature);
    assert_eq!(attested.user_data.as_deref(), Some(&[8; 32][..]));
}

#[test]
fn a_signature_by_another_gpu_is_refused() {
    let (gpu, other) = (Gpu::good(), Gpu::good());
    gpu.assert_refused(&other.sign(&Parts::good()), Check::EvidenceSignature);
}

/// The signature is over the request, too: the response alone is not what is asked for.
#[test]
fn the_request_is_signed() {
    let gpu = Gpu::good();
    let signed = Parts::good().signed();
    let report = [signed.as_slice(), &gpu.chain.sign(&signed[37..])].concat();
    gpu.assert_refused(&report, Check::EvidenceSignature);
}

#[test]
fn the_messages_are_those_of_spdm_1_1() {
    let gpu = Gpu::good();
    gpu.assert_change_refused(|parts| parts.request[0] = 0x12, Check::EvidenceVersion);
    gpu.assert_change_refused(|parts| parts.response[0] = 0x12, Check::EvidenceVersion);
    gpu.assert_change_refused(|parts| parts.request[1] = 0xe1, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.request[2] = 0, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.request[3] = 1, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.response[1] = 0x7f, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.response[2] = 1, Check::EvidenceReserved);
    gpu.assert_change_refused(|parts| parts.response[3] = 1, Check::EvidenceEncoding);
    let slot = |parts: &mut Parts| (parts.slot, parts.response[3]) = (8, 8);
    gpu.assert_change_refused(slot, Check::EvidenceReserved);
    let mut parts = Parts::good();
    (parts.slot, parts.response[3]) = (7, 7);
    gpu.judge(&gpu.sign(&parts), None).unwrap();
}

#[test]
fn measurements_come_once_and_are_digests() {
    let gpu = Gpu::good();
    let twice = |parts: &mut Parts| {
        parts.record = [block(1, 1, &DIGEST), block(1, 1, &[8; 48])].concat();
        parts.count = 1;
    };
    let attested = gpu.assert_change_refused(twice, Check::EvidenceEncoding);
    assert_eq!(attested.measurement("m0"), Some(&[8; 48][..]));
    gpu.assert_change_refused(|parts| parts.count = 1, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.count = 3, Check::EvidenceEncoding);
    let none = |parts: &mut Parts| {
        parts.record.clear();
        parts.count = 0;
    };
    gpu.assert_change_refused(none, Check::EvidenceEncoding);
    for wrong in [block(0, 1, &DIGEST), block(255, 1, &DIGEST), block(2, 1, &DIGEST[1..])] {
        let change = |parts: &mut Parts| {
            parts.record.extend(wrong);
            parts.count = 3;
        };
        gpu.assert_change_refused(change, Check::EvidenceEncoding);
    }
    // Not DMTF's specification; a value that is shorter than its block.
    gpu.assert_change_refused(|parts| parts.record[1] = 2, Check::EvidenceEncoding);
    gpu.assert_change_refused(|parts| parts.record[5] = 47, Check::EvidenceEncoding);
    let raw = |parts: &mut Parts| parts.record[DIGEST.len() + 7 + 5] = 2;
    gpu.assert_change_refused(raw, Check::EvidenceEncoding);
    gpu.assert_unreadable(|parts| parts.record[5] = 49);
    gpu.assert_unreadable(|parts| parts.record.push(1));
    gpu.assert_unreadable(|parts| parts.record.truncate(parts.record.len() - 1));
}

#[test]
fn opaque_data_is_fields_that_come_once() {
    let gpu = Gpu::good();
    let twice = |parts: &mut Parts| parts.opaque.extend(field(DRIVER_VERSION, b"1\0"));
    let attested = gpu.assert_change_refused(twice, Check::EvidenceEncoding);
    assert!(attested.tcb.as_ref().unwrap().versions.starts_with("driver 1,"));
    gpu.assert_unreadable(|parts| parts.opaque.push(0));
    gpu.assert_unreadable(|parts| parts.opaque.truncate(parts.opaque.len() - 1));
    gpu.assert_unreadable(|parts| parts.opaque.extend([1, 0, 0xff, 0xff]));
    let long = |parts: &mut Parts| parts.opaque.extend(field(1000, &[0; 1024]));
    gpu.assert_change_refused(long, Check::EvidenceSize);
    let mut parts = Parts::good();
    parts.opaque = [field(DRIVER_VERSION, b"\x1b[2J\xff"), field(VBIOS_VERSION, b"1234")].concat();
    let attested = gpu.judge(&gpu.sign(&parts), None).unwrap();
    let versions = &attested.tcb.as_ref().unwrap().versions;
    assert_eq!(versions, "driver \\u{1b}[2J\u{fffd}, VBIOS unknown");
    parts.opaque.clear();
    let attested = gpu.judge(&gpu.sign(&parts), None).unwrap();
    assert_eq!(attested.tcb.as_ref().unwrap().versions, "driver unknown, VBIOS unknown");
}

#[test]
fn a_report_ends_with_its_signature() {
    let gpu = Gpu::good();
    let report = gpu.sign(&Parts::good());
    gpu.judge(&[report.as_slice(), &[0; 9]].concat(), None).unwrap();
    gpu.assert_refused(&[report.as_slice(), &[0, 1]].concat(), Check::EvidenceReserved);
    let long = [report.as_slice(), &[0; 8 << 10]].concat();
    gpu.assert_refused(&long, Check::EvidenceSize);
    for end in 0..report.len() {
        assert_eq!(gpu.judge(&report[..end], None).unwrap_err(), Check::EvidenceEncoding);
    }
}

/// The firmware that the report names is the one that the key was derived from.
#[test]
fn the_certificate_is_of_the_firmware() {
    let gpu = Gpu::good();
    let other = |parts: &mut Parts| parts.opaque = field(FIRMWARE_ID, &[8; 48]);
    gpu.assert_change_refused(other, Check::ChainPlatform);
    let unnamed = Gpu::new(|_, params| params.custom_extensions.clear());
    let report = unnamed.sign(&Parts::good());
    unnamed.assert_refused(&report, Check::ChainPlatform);
    let mut parts = Parts::good();
    parts.opaque.clear();
    unnamed.judge(&unnamed.sign(&parts), None).unwrap();
    let other_digest = [der(6, &[0x2a]), der(4, &FIRMWARE)].concat();
    let other_digest = [der(2, &[1]), der(0x30, &[]), der(0x30, &other_digest)].concat();
    let refused = |extensions: &[CustomExtension]| {
        let gpu = Gpu::new(|level, params| {
            if level == LEAF {
                params.custom_extensions = extensions.to_vec();
            }
        });
        gpu.judge(&gpu.sign(&Parts::good()), None).unwrap_err()
    };
    for wrong in [
        vec![],
        der(0x30, &[]),
        der(0x30, &der(2, &[1])),
        der(0x30, &other_digest),
        [device_id(&FIRMWARE).content(), &[0]].concat(),
    ] {
        let wrong = CustomExtension::from_oid_content(&[2, 23, 133, 5, 4, 1], wrong);
        assert_eq!(refused(&[wrong]), Check::ChainEncoding);
    }
    assert_eq!(refused(&[device_id(&FIRMWARE), device_id(&FIRMWARE)]), Check::ChainEncoding);
}

/// Pitfall 5, for the chain of a GPU.
#[test]
fn the_chain_ends_at_a_pinned_root() {
    let gpu = Gpu { roots: Roots::vendors(), ..Gpu::good() };
    gpu.assert_refused(&gpu.sign(&Parts::good()), Check::ChainRoot);
}

#[test]
fn every_certificate_is_there_and_in_its_place() {
    let gpu = Gpu::good();
    let report = gpu.sign(&Parts::good());
    let refused = |certificates: Vec<Vec<u8>>, without| {
        gpu.judge_with(&report, certificates, without).map(|_| ()).map_err(|refusal| refusal.check)
    };
    for missing in 1..LEAF {
        let mut certificates = gpu.certificates();
        certificates.remove(missing);
        assert_eq!(refused(certificates.clone(), None), Err(Check::ChainPath));
        assert_eq!(refused(certificates, Some(Check::ChainPath)), Ok(()));
    }
    let mut without_root = gpu.certificates();
    without_root.pop();
    assert_eq!(refused(without_root, None), Err(Check::ChainRoot));
    let without_leaf = gpu.certificates()[1..].to_vec();
    assert_eq!(refused(without_leaf, None), Err(Check::EvidenceSignature));
    for few in [0, 1] {
        let few = gpu.certificates()[..few].to_vec();
        assert_eq!(refused(few.clone(), None), Err(Check::ChainPath));
        assert_eq!(refused(few, Some(Check::ChainPath)), Err(Check::ChainPath));
    }
    let mut many = gpu.certificates();
    for _ in 0..7 {
        many.insert(1, gpu.chain.certificates[1].clone());
    }
    assert_eq!(refused(many.clone(), None), Err(Check::EvidenceSize));
    assert_eq!(refused(many, Some(Check::EvidenceSize)), Ok(()));
}

/// Pitfall 2, for the chain of a GPU.
#[test]
fn every_certificate_has_to_be_valid() {
    let second = std::time::Duration::from_secs(1);
    for of in 0..=LEAF {
        for (from, to) in
            [(NOW.plus(second), NOW.plus(2 * second)), (NOW.minus(second), NOW.minus(second))]
        {
            let gpu = Gpu::new(|level, params| {
                if level == of {
                    set_validity(params, from, to);
                }
            });
            gpu.assert_refused(&gpu.sign(&Parts::good()), Check::ChainValidity);
        }
    }
}

#[test]
fn certificates_are_used_as_they_may_be() {
    type Change = fn(usize, &mut CertificateParams);
    let cases: [Change; 3] = [
        |level, params| params.is_ca = if level == 1 { IsCa::NoCa } else { params.is_ca },
        |level, params| {
            if level == 2 {
                params.key_usages = vec![KeyUsagePurpose::CrlSign];
            }
        },
        |level, params| {
            if level == LEAF {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
        },
    ];
    for change in cases {
        let gpu = Gpu::new(change);
        gpu.assert_refused(&gpu.sign(&Parts::good()), Check::ChainUsage);
    }
}

/// A GPU and a report of it.
static REPORT: LazyLock<(Gpu, Vec<u8>)> = LazyLock::new(|| {
    let gpu = Gpu::good();
    let report = gpu.sign(&Parts::good());
    (gpu, report)
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused(report in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Report::read(&report, Checks::default()).is_err());
    }

    #[test]
    fn a_report_that_was_cut_or_changed_is_refused(
        at in any::<Index>(),
        removed in 0..64_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (gpu, report) = &*REPORT;
        let at = at.index(report.len());
        let end = report.len().min(at + removed);
        let changed = [&report[..at], &inserted, &report[end..]].concat();
        prop_assume!(!changed.starts_with(report));
        prop_assert!(gpu.judge(&changed, None).is_err());
        // Also without the signature reading it ends, whatever it says.
        let _ = gpu.judge(&changed, Some(Check::EvidenceSignature));
    }
}
