//! The virtual TPM of Azure's confidential machines.
//!
//! The paravisor (HCL) makes the TPM, and asks the hardware for a report over its "runtime data", which
//! has the TPM's attestation key. It leaves both in the TPM at NV index 0x01400001: the HCL report
//! (Azure, "Guest attestation for confidential VMs"; `attestation_report` of OpenHCL's
//! `openhcl_attestation_protocol::igvm_attest::get`). So hardware vouches for report data, these for
//! runtime data, that for the key, and the key for the quote.

use assay_primitives::{Digest, encoding};
use serde::Deserialize;

use super::Quoted;
use super::signature::PublicKey;
use crate::evidence::Context;
use crate::files::from_base64;
use crate::reader::Reader;
use crate::refusal::Checks;
use crate::{Check, Claims, Evidence, EvidenceKind, Refusal};

/// The most bytes of an HCL report; those of today have 2600 at most.
const MAX_REPORT: usize = 8 << 10;
/// The bytes before the hardware's report: signature, version, size, request, status, three reserved.
const HEADER: usize = 32;
/// The bytes of the hardware's report: an SNP report, or a TDREPORT and zeros.
const HARDWARE: usize = 1184;
/// The bytes before the runtime data: its size with these, version, kind of report, hash, its size.
const REQUEST: usize = 20;
/// The most keys in the runtime data.
const MAX_KEYS: usize = 8;
/// The attestation key's name among them.
const ATTESTATION_KEY: &str = "HCLAkPub";

/// An HCL report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HclReport<'a> {
    /// The version of its header.
    pub(crate) version: u32,
    /// Which hardware reports.
    pub(crate) kind: EvidenceKind,
    /// The hardware's report, which is not what is verified: that is evidence of its own.
    pub(crate) hardware: &'a [u8; HARDWARE],
    /// The runtime data, JSON.
    pub(crate) runtime_data: &'a [u8],
    /// The attestation key therein.
    pub(crate) key: PublicKey,
}

/// The runtime data: what it has beside the keys is read by nobody.
#[derive(Deserialize)]
struct RuntimeData {
    keys: Vec<Jwk>,
}

/// A JSON web key (RFC 7517), of RSA.
#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

pub(crate) fn claims(
    hcl_report: &[u8],
    quoted: &Quoted<'_>,
    hardware: &Evidence,
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    let report = HclReport::parse(hcl_report, context.checks)?;
    report.check_hardware(hardware, context.checks)?;
    let claims = hardware.claims(context)?;
    walk(&report, quoted, claims, context)
}

/// Walks from what the hardware vouches for to the quote.
fn walk(
    report: &HclReport<'_>,
    quoted: &Quoted<'_>,
    hardware: Claims,
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    report.check_binding(&hardware, context.checks)?;
    let quote = quoted.verify(&report.key, context)?;
    let mut claims = hardware;
    claims.platform = format!("{}, Azure vTPM", claims.platform);
    claims.measurements.extend(quoted.measurements());
    claims.user_data = Some(quote.extra_data.to_vec());
    // Report data are the guest's to choose: another firmware than Azure's could put any key there.
    claims.warnings.push(
        "the PCRs are those of a TPM in firmware: they mean what the firmware's measurement means"
            .to_owned(),
    );
    Ok(claims)
}

impl<'a> HclReport<'a> {
    /// Reads a report to its last byte.
    pub(crate) fn parse(bytes: &'a [u8], checks: Checks) -> Result<Self, Refusal> {
        let expected = format!("an HCL report of at most {MAX_REPORT} bytes");
        checks.require(Check::EvidenceSize, bytes.len() <= MAX_REPORT, expected, bytes.len())?;
        let mut reader = Reader::new(bytes);
        let magic = reader.array("the HCL report's signature")?;
        expect(magic == *b"HCLA", "`HCLA`", encoding::hex(&magic))?;
        let version = reader.u32_le("version")?;
        let is_known = matches!(version, 1 | 2);
        checks.require(Check::EvidenceVersion, is_known, "HCL report 1 or 2", version)?;
        let size = reader.u32_le("report size")?;
        let request = reader.u32_le("request type")?;
        expect(request == 2, "a request of type 2, with an attestation key", request)?;
        let status = reader.u32_le("status")?;
        expect(status == 0, "status 0", status)?;
        let reserved: [u8; 12] = reader.array("reserved")?;
        check_zero(checks, &reserved, "in the HCL report's header")?;
        let hardware = reader.take(HARDWARE, "the hardware's report")?;
        let hardware = hardware.first_chunk().ok_or_else(|| wrong("a hardware report", "less"))?;
        let data_size = reader.u32_le("size of the request data")?;
        let request_version = reader.u32_le("version of the request data")?;
        checks.require(
            Check::EvidenceVersion,
            request_version == 1,
            "request data of version 1",
            request_version,
        )?;
        let kind = kind(reader.u32_le("kind of report")?)?;
        let hash = reader.u32_le("hash")?;
        let is_sha256 = hash == 1;
        checks.require(Check::EvidenceAlgorithm, is_sha256, "hash 1, SHA-256", hash)?;
        let length = reader.u32_le("length of the runtime data")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let runtime_data = reader.take(length, "the runtime data")?;
        let sizes =
            (u32::try_from(REQUEST + length), u32::try_from(HEADER + HARDWARE + REQUEST + length));
        let got = format!("{data_size} and {size}");
        expect(sizes == (Ok(data_size), Ok(size)), "sizes that agree", got)?;
        check_zero(checks, reader.rest(), "behind the runtime data")?;
        let key = attestation_key(runtime_data)?;
        Ok(Self { version, kind, hardware, runtime_data, key })
    }

    /// Says whether an SNP report is the one in here.
    fn has_snp_report(&self, report: &[u8]) -> bool {
        self.kind == EvidenceKind::Snp && self.hardware == report
    }

    /// Says whether a TDX quote (version 4 or 5, TDX 1.0 body) is of the TDREPORT in here. What the
    /// TDREPORT has beyond that has a MAC, which its own machine alone can check.
    fn has_td_report_of(&self, quote: &[u8]) -> bool {
        let start = match quote.first_chunk() {
            Some([4, 0]) => 48,
            Some([5, 0]) => 54,
            _ => return false,
        };
        // TEE_TCB_INFO from its SVNs to the module's attributes, TDINFO from attributes to RTMR 3.
        let parts = [264..384, 512..912, 128..192].map(|range| self.hardware.get(range));
        let body: Vec<u8> = parts.into_iter().flatten().flatten().copied().collect();
        self.kind == EvidenceKind::Tdx && quote.get(start..start + body.len()) == Some(&body)
    }

    /// Checks that the hardware's evidence is of the report in here, before it is verified.
    fn check_hardware(&self, hardware: &Evidence, checks: Checks) -> Result<(), Refusal> {
        let is_same = match hardware {
            Evidence::Snp { report, .. } => self.has_snp_report(report),
            Evidence::Tdx { quote, .. } => self.has_td_report_of(quote),
            _ => false,
        };
        let expected = format!("evidence of the {} report in the HCL report", self.kind);
        let got = format!("another, of kind {}", hardware.kind());
        checks.require(Check::BindingAttestationKey, is_same, expected, got)
    }

    /// Checks that the hardware vouches for the attestation key: its report data, which are those in
    /// here, are the digest of the runtime data.
    fn check_binding(&self, hardware: &Claims, checks: Checks) -> Result<(), Refusal> {
        let check = Check::BindingAttestationKey;
        let vouched = hardware.user_data.as_deref().unwrap_or_default();
        let mut digest = Digest::of(self.runtime_data).as_bytes().to_vec();
        digest.resize(64, 0);
        let expected = format!("report data {}, of the runtime data", encoding::hex(&digest));
        checks.require(check, vouched == digest, expected, encoding::hex(vouched))?;
        if self.kind != EvidenceKind::Snp {
            return Ok(());
        }
        // The paravisor runs at level 0, the guest below: a guest cannot ask for such a report.
        let level = self.hardware.get(0x30..0x34).unwrap_or_default();
        checks.require(check, level == [0; 4], "a report of VMPL 0", encoding::hex(level))
    }
}

/// Returns the bytes of the hardware's report in an HCL report: none of what is too short for one.
pub(crate) fn hardware_report(hcl_report: &[u8]) -> &[u8] {
    hcl_report.get(HEADER..HEADER + HARDWARE).unwrap_or_default()
}

fn kind(kind: u32) -> Result<EvidenceKind, Refusal> {
    match kind {
        2 => Ok(EvidenceKind::Snp),
        4 => Ok(EvidenceKind::Tdx),
        _ => Err(wrong("a report of SNP, 2, or TDX, 4", kind)),
    }
}

fn attestation_key(runtime_data: &[u8]) -> Result<PublicKey, Refusal> {
    let data: RuntimeData = serde_json::from_slice(runtime_data)
        .map_err(|error| wrong("runtime data with keys", error))?;
    let most = format!("at most {MAX_KEYS} keys");
    expect(data.keys.len() <= MAX_KEYS, &most, data.keys.len())?;
    let mut found = data.keys.iter().filter(|key| key.kid == ATTESTATION_KEY);
    let (Some(key), None) = (found.next(), found.next()) else {
        return Err(wrong("one key `HCLAkPub`", "none, or more"));
    };
    if key.kty != "RSA" {
        return Err(Refusal::new(Check::EvidenceAlgorithm, "an RSA key `HCLAkPub`", &key.kty));
    }
    Ok(PublicKey::Rsa(base64url(&key.n)?, base64url(&key.e)?))
}

/// Reads base64url without padding (RFC 7515, section 2).
fn base64url(text: &str) -> Result<Vec<u8>, Refusal> {
    expect(!text.contains(['+', '/', '=']), "base64url", "base64")?;
    from_base64(text.as_bytes()).ok_or_else(|| wrong("base64url", "something else"))
}

fn check_zero(checks: Checks, bytes: &[u8], what: &str) -> Result<(), Refusal> {
    let is_zero = bytes.iter().all(|byte| *byte == 0);
    checks.require(Check::EvidenceReserved, is_zero, format!("zeros {what}"), "others")
}

fn expect(holds: bool, expected: &str, got: impl std::fmt::Display) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(wrong(expected, got)) }
}

fn wrong(expected: &str, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, expected, got)
}

#[cfg(test)]
mod tests;
