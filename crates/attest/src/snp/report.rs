//! The attestation report (AMD 56860 revision 1.58, section 7.3, table ATTESTATION_REPORT).

use std::ops::Range;

use assay_primitives::encoding::hex;

use super::product::{Product, TcbVersion};
use crate::refusal::Checks;
use crate::{Check, Refusal};

/// How long a report is.
pub(crate) const LEN: usize = 1184;
/// What of it is signed.
pub(super) const SIGNED: Range<usize> = 0..0x2a0;

/// Versions whose layout is published. Version 4 is not; what it reserves is unknown.
const VERSIONS: &[u32] = &[2, 3, 5];

/// A field: where it is, and from which version on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) at: usize,
    pub(super) len: usize,
    since: u32,
}

/// Names the fields, in order; what none of them covers is reserved.
macro_rules! fields {
    ($($name:ident = $text:literal, $at:literal, $len:literal, $since:literal;)*) => {
        $(pub(super) const $name: Field =
            Field { name: $text, at: $at, len: $len, since: $since };)*

        /// Every field.
        pub(super) const FIELDS: &[Field] = &[$($name),*];
    };
}

fields! {
    VERSION = "version", 0x000, 4, 2;
    GUEST_SVN = "guest_svn", 0x004, 4, 2;
    POLICY = "policy", 0x008, 8, 2;
    FAMILY_ID = "family_id", 0x010, 16, 2;
    IMAGE_ID = "image_id", 0x020, 16, 2;
    VMPL = "vmpl", 0x030, 4, 2;
    SIGNATURE_ALGO = "signature_algo", 0x034, 4, 2;
    CURRENT_TCB = "current_tcb", 0x038, 8, 2;
    PLATFORM_INFO = "platform_info", 0x040, 8, 2;
    KEY_INFO = "key_info", 0x048, 4, 2;
    REPORT_DATA = "report_data", 0x050, 64, 2;
    MEASUREMENT = "measurement", 0x090, 48, 2;
    HOST_DATA = "host_data", 0x0c0, 32, 2;
    ID_KEY_DIGEST = "id_key_digest", 0x0e0, 48, 2;
    AUTHOR_KEY_DIGEST = "author_key_digest", 0x110, 48, 2;
    REPORT_ID = "report_id", 0x140, 32, 2;
    REPORT_ID_MA = "report_id_ma", 0x160, 32, 2;
    REPORTED_TCB = "reported_tcb", 0x180, 8, 2;
    CPUID_FAM_ID = "cpuid_fam_id", 0x188, 1, 3;
    CPUID_MOD_ID = "cpuid_mod_id", 0x189, 1, 3;
    CPUID_STEP = "cpuid_step", 0x18a, 1, 3;
    CHIP_ID = "chip_id", 0x1a0, 64, 2;
    COMMITTED_TCB = "committed_tcb", 0x1e0, 8, 2;
    CURRENT_VERSION = "current_version", 0x1e8, 3, 2;
    COMMITTED_VERSION = "committed_version", 0x1ec, 3, 2;
    LAUNCH_TCB = "launch_tcb", 0x1f0, 8, 2;
    LAUNCH_MIT_VECTOR = "launch_mit_vector", 0x1f8, 8, 5;
    CURRENT_MIT_VECTOR = "current_mit_vector", 0x200, 8, 5;
    // Each in 72 bytes, little-endian (section 10.2): a number of P-384 has 48.
    SIGNATURE_R = "signature_r", 0x2a0, 48, 2;
    SIGNATURE_S = "signature_s", 0x2e8, 48, 2;
}

/// The TCBs of a report: what the key was derived for, what cannot be rolled back, what runs, and
/// what ran when the guest was started.
pub(super) const TCBS: &[Field] = &[REPORTED_TCB, COMMITTED_TCB, CURRENT_TCB, LAUNCH_TCB];

/// ECDSA on P-384 with SHA-384 (section 10.1).
const ECDSA_P384_SHA384: u32 = 1;

/// The guest's policy (section 4.3): bit 17 is one.
const POLICY_ONE: u64 = 1 << 17;
const POLICY_MIGRATE_MA: u64 = 1 << 18;
const POLICY_DEBUG: u64 = 1 << 19;
/// The ABI version, SMT, and what came up to revision 1.55: CXL, AES-256-XTS, RAPL, ciphertext hiding.
const POLICY_KNOWN: u64 = (1 << 25) - 1;
/// PAGE_SWAP_DISABLE, of revision 1.58.
const POLICY_KNOWN_5: u64 = POLICY_KNOWN | 1 << 25;

/// PLATFORM_INFO: SMT, TSME, ECC, RAPL, ciphertext hiding, alias check.
const PLATFORM_KNOWN: u64 = (1 << 6) - 1;
const PLATFORM_ALIAS_CHECK: u64 = 1 << 5;
/// Turin's firmware sets it (IOMMU_WRITE_SAFE); revision 1.58 has no name for it.
const PLATFORM_TURIN: u64 = 1 << 6;
/// TIO_EN, of revision 1.58.
const PLATFORM_KNOWN_5: u64 = PLATFORM_KNOWN | 1 << 7;

/// The key information at 0x48: AUTHOR_KEY_EN, MASK_CHIP_KEY, SIGNING_KEY.
const KEY_INFO_KNOWN: u64 = (1 << 5) - 1;
const MASK_CHIP_KEY: u64 = 1 << 1;

/// The greatest VMPL. A report that the host asked for says 0xffffffff, and nothing in it is the
/// guest's.
const MAX_VMPL: u64 = 3;

/// Which key signs a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SigningKey {
    /// The versioned chip endorsement key.
    Vcek,
    /// The versioned loaded endorsement key, of a cloud provider.
    Vlek,
}

impl SigningKey {
    /// Returns the common name of its certificates.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Vcek => "SEV-VCEK",
            Self::Vlek => "SEV-VLEK",
        }
    }
}

/// A report of a known version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    bytes: &'a [u8],
    version: u32,
}

impl<'a> Report<'a> {
    /// Reads a report: its length, version and algorithm, and that what is reserved is zero.
    pub(super) fn read(bytes: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let expected = format!("{LEN} bytes");
        let is_short_enough = bytes.len() <= LEN;
        checks.require(Check::EvidenceSize, is_short_enough, &expected, bytes.len())?;
        if bytes.len() < LEN {
            return Err(Refusal::new(Check::EvidenceEncoding, expected, bytes.len()));
        }
        let mut report = Self { bytes, version: 0 };
        report.version = report.u32(VERSION);
        let is_known = VERSIONS.contains(&report.version);
        checks.require(Check::EvidenceVersion, is_known, "version 2, 3 or 5", report.version)?;
        let (expected, algorithm) = (ECDSA_P384_SHA384, report.u32(SIGNATURE_ALGO));
        let expected = format!("{expected} (ECDSA P-384 with SHA-384)");
        let is_ecdsa = algorithm == ECDSA_P384_SHA384;
        checks.require(Check::EvidenceAlgorithm, is_ecdsa, expected, algorithm)?;
        report.check_reserved(checks)?;
        Ok(report)
    }

    /// Returns the bytes that are signed.
    pub(super) fn signed(&self) -> &'a [u8] {
        self.bytes.get(SIGNED).unwrap_or_default()
    }

    /// Returns the signature as r and s, big-endian.
    pub(super) fn signature(&self) -> Vec<u8> {
        let reversed = |field| self.bytes(field).iter().rev();
        reversed(SIGNATURE_R).chain(reversed(SIGNATURE_S)).copied().collect()
    }

    /// Returns the fields that its version has.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        let version = self.version;
        FIELDS.iter().copied().filter(move |field| field.since <= version)
    }

    /// Returns the bytes of a field.
    pub(super) fn bytes(&self, field: Field) -> &'a [u8] {
        self.bytes.get(field.at..field.at + field.len).unwrap_or_default()
    }

    /// Returns a number of at most 8 bytes, which reports have little-endian.
    pub(super) fn number(&self, field: Field) -> u64 {
        self.bytes(field).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn u32(&self, field: Field) -> u32 {
        u32::try_from(self.number(field)).unwrap_or(u32::MAX)
    }

    /// Returns a TCB version, in the layout of a product.
    pub(super) fn tcb(&self, field: Field, product: Product) -> TcbVersion {
        TcbVersion::new(product, self.number(field).to_le_bytes())
    }

    /// Returns the CPU's family and model, which version 2 does not tell.
    pub(super) fn cpu(&self) -> Option<(u8, u8)> {
        let [family] = *self.bytes(CPUID_FAM_ID) else { return None };
        let [model] = *self.bytes(CPUID_MOD_ID) else { return None };
        (self.version >= CPUID_FAM_ID.since).then_some((family, model))
    }

    /// Returns the privilege level that asked for the report.
    pub(super) fn vmpl(&self) -> u64 {
        self.number(VMPL)
    }

    /// Says whether the guest's owner allows that the host debugs it.
    pub(super) fn is_debug(&self) -> bool {
        self.number(POLICY) & POLICY_DEBUG != 0
    }

    /// Says whether the guest's owner allows a migration agent.
    pub(super) fn may_migrate(&self) -> bool {
        self.number(POLICY) & POLICY_MIGRATE_MA != 0
    }

    /// Says whether the firmware found no two addresses of the same memory (CVE-2024-21944).
    pub(super) fn has_alias_check(&self) -> bool {
        self.number(PLATFORM_INFO) & PLATFORM_ALIAS_CHECK != 0
    }

    /// Returns the key that the report says it is signed with. Where the chip's key is masked, reports
    /// are signed with a VLEK or not at all.
    pub(super) fn signing_key(&self) -> Result<SigningKey, Refusal> {
        let info = self.number(KEY_INFO);
        match info >> 2 & 0b111 {
            0 if info & MASK_CHIP_KEY == 0 => Ok(SigningKey::Vcek),
            1 => Ok(SigningKey::Vlek),
            got => {
                let masked = if info & MASK_CHIP_KEY == 0 { "" } else { ", the chip's masked" };
                let expected = "a report signed with key 0 (VCEK) or 1 (VLEK)";
                Err(Refusal::new(Check::ChainPlatform, expected, format!("key {got}{masked}")))
            }
        }
    }

    fn check_reserved(&self, checks: Checks) -> Result<(), Refusal> {
        let mut reserved = vec![true; LEN];
        for field in self.fields() {
            let bytes = reserved.get_mut(field.at..field.at + field.len).unwrap_or_default();
            bytes.fill(false);
        }
        let mut all = self.bytes.iter().zip(reserved).enumerate();
        if let Some((at, (byte, _))) = all.find(|(_, (byte, reserved))| *reserved && **byte != 0) {
            let expected = format!("zero at {at:#05x} in version {}", self.version);
            checks.fail(Refusal::new(Check::EvidenceReserved, expected, format!("{byte:#04x}")))?;
        }
        let policy = if self.version < 5 { POLICY_KNOWN } else { POLICY_KNOWN_5 };
        self.check_bits(POLICY, policy, checks)?;
        let one = self.number(POLICY) & POLICY_ONE;
        checks.require(Check::EvidenceReserved, one != 0, "one as bit 17 of policy", one)?;
        self.check_bits(KEY_INFO, KEY_INFO_KNOWN, checks)?;
        let vmpl = self.vmpl();
        let expected = format!("a VMPL from 0 to {MAX_VMPL}, at which a guest asks");
        checks.require(Check::EvidenceReserved, vmpl <= MAX_VMPL, expected, vmpl)
    }

    /// Checks what is reserved or not by the product.
    pub(super) fn check_reserved_of(&self, of: Product, checks: Checks) -> Result<(), Refusal> {
        let platform = if self.version < 5 { PLATFORM_KNOWN } else { PLATFORM_KNOWN_5 };
        let turin = if of == Product::Turin { PLATFORM_TURIN } else { 0 };
        self.check_bits(PLATFORM_INFO, platform | turin, checks)?;
        for field in TCBS {
            let reserved = |(part, version): &(_, _)| is_set_and_reserved(*part, *version);
            if let Some((part, version)) = self.tcb(*field, of).components().find(reserved) {
                let expected = format!("zero as {} of {}", part.as_str(), field.name);
                checks.fail(Refusal::new(Check::EvidenceReserved, expected, version))?;
            }
        }
        let unused = self.bytes(CHIP_ID).get(of.chip_id_len()..).unwrap_or_default();
        let is_zero = unused.iter().all(|byte| *byte == 0);
        let expected = format!("zeros after {} bytes of chip_id", of.chip_id_len());
        checks.require(Check::EvidenceReserved, is_zero, expected, hex(unused))
    }

    fn check_bits(&self, field: Field, known: u64, checks: Checks) -> Result<(), Refusal> {
        let value = self.number(field);
        let expected =
            format!("no bits of {} but {known:#x} in version {}", field.name, self.version);
        let holds = value & !known == 0;
        checks.require(Check::EvidenceReserved, holds, expected, format!("{value:#x}"))
    }
}

const fn is_set_and_reserved(part: super::product::Component, version: u8) -> bool {
    part.is_reserved() && version != 0
}
