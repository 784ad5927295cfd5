//! The framing of quotes, strictly: `dcap-qvl` reads what it needs and leaves over what follows.
//!
//! Version 3: Intel SGX ECDSA QuoteLib reference, appendix A.4. Versions 4 and 5: Intel TDX DCAP
//! Quoting Library API, appendix A.3 and A.4.

use assay_primitives::encoding;
use dcap_qvl::INTEL_QE_VENDOR_ID;
use dcap_qvl::quote as fields;

use crate::reader::Reader;
use crate::{Check, EvidenceKind, Refusal};

/// The most bytes of a quote, with the zeros after it: some drivers hand out a whole buffer.
const MAX_QUOTE: usize = 64 << 10;

const ECDSA_P256: u16 = 2;
const PCK_CHAIN: u16 = 5;
const QE_REPORT: u16 = 6;
const ENCLAVE_REPORT: usize = 384;
const SIGNATURE: usize = 64;
const KEY: usize = 64;
/// The quoting enclave's own data beside the key, whose digest it reports.
const QE_DATA: usize = 32;

/// A quote whose every byte has its place.
#[derive(Clone, Debug)]
pub(super) struct Quote<'a> {
    /// The quote without the zeros after it.
    pub(super) bytes: &'a [u8],
    /// Its fields.
    pub(super) fields: fields::Quote,
}

impl<'a> Quote<'a> {
    /// Reads a quote of a kind.
    pub(super) fn read(bytes: &'a [u8], kind: EvidenceKind) -> Result<Self, Refusal> {
        if bytes.len() > MAX_QUOTE {
            let expected = format!("a quote of at most {MAX_QUOTE} bytes");
            return Err(Refusal::new(Check::EvidenceSize, expected, bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        frame(&mut reader, kind)?;
        let rest = reader.rest();
        let read = bytes.len().saturating_sub(rest.len());
        if let Some(at) = rest.iter().position(|byte| *byte != 0) {
            let expected = format!("nothing but zeros after the quote's {read} bytes");
            let got = format!("another byte at {}", read.saturating_add(at));
            return Err(wrong(expected, got));
        }
        let bytes = bytes.get(..read).unwrap_or(bytes);
        let fields = fields::Quote::parse(bytes)
            .map_err(|error| wrong(format!("a {kind} quote"), format!("{error:#}")))?;
        Ok(Self { bytes, fields })
    }

    /// Returns the chain of the PCK certificate, in PEM, if the quote has it.
    pub(super) fn pck_chain(&self) -> Option<&[u8]> {
        let is_chain = self.fields.inner_cert_type() == PCK_CHAIN;
        is_chain.then(|| self.fields.inner_cert_data())
    }
}

fn frame(reader: &mut Reader<'_>, kind: EvidenceKind) -> Result<(), Refusal> {
    let version = reader.u16_le("version")?;
    let algorithm = reader.u16_le("type of the attestation key")?;
    let tee_type = reader.u32_le("TEE type")?;
    let (named, versions): (u32, &[u16]) = match kind {
        EvidenceKind::Tdx => (0x81, &[4, 5]),
        _ => (0, &[3]),
    };
    if tee_type != named {
        let got = format!("TEE type {tee_type:#x}");
        return Err(wrong(format!("a quote of {kind}, TEE type {named:#x}"), got));
    }
    if !versions.contains(&version) {
        let expected = format!("a {kind} quote of version {versions:?}");
        return Err(Refusal::new(Check::EvidenceVersion, expected, version));
    }
    if algorithm != ECDSA_P256 {
        let expected = format!("attestation key type {ECDSA_P256} (ECDSA with P-256)");
        return Err(Refusal::new(Check::EvidenceAlgorithm, expected, algorithm));
    }
    reader.take(4, "SVNs of QE and PCE")?;
    let vendor = reader.take(16, "vendor of the QE")?;
    if vendor != INTEL_QE_VENDOR_ID {
        let expected = format!("QE vendor {}", encoding::hex(&INTEL_QE_VENDOR_ID));
        return Err(wrong(expected, encoding::hex(vendor)));
    }
    reader.take(20, "user data")?;
    let report = match version {
        3 => ENCLAVE_REPORT,
        4 => 584,
        _ => body(reader)?,
    };
    reader.take(report, "report")?;
    let length = reader.u32_le("length of the signature data")?;
    let signature = reader.part(length, "signature data")?;
    authentication(signature, version)
}

/// Reads the type and size of the body of a quote of version 5.
fn body(reader: &mut Reader<'_>) -> Result<usize, Refusal> {
    let kind = reader.u16_le("type of the body")?;
    let size = reader.u32_le("size of the body")?;
    let expected: usize = match kind {
        2 => 584,
        3 => 648,
        4 => 885,
        _ => return Err(wrong("a TD report as body, type 2 to 4", kind)),
    };
    if usize::try_from(size) != Ok(expected) {
        return Err(wrong(format!("{expected} bytes of a body of type {kind}"), size));
    }
    Ok(expected)
}

fn authentication(mut reader: Reader<'_>, version: u16) -> Result<(), Refusal> {
    reader.take(SIGNATURE + KEY, "signature and attestation key")?;
    if version == 3 {
        return qe_report(reader);
    }
    let kind = reader.u16_le("type of the certification data")?;
    if kind != QE_REPORT {
        return Err(wrong(format!("certification data of type {QE_REPORT}"), kind));
    }
    let length = reader.u32_le("length of the certification data")?;
    qe_report(reader.part(length, "certification data")?)?;
    reader.finish("signature data")
}

fn qe_report(mut reader: Reader<'_>) -> Result<(), Refusal> {
    reader.take(ENCLAVE_REPORT + SIGNATURE, "the QE's report and its signature")?;
    let length = usize::from(reader.u16_le("length of the QE's data")?);
    if length != QE_DATA {
        return Err(wrong(format!("{QE_DATA} bytes of the QE's data"), length));
    }
    reader.take(length, "the QE's data")?;
    reader.u16_le("type of the PCK's certification data")?;
    let length = reader.u32_le("length of the PCK's certification data")?;
    reader.part(length, "the PCK's certification data")?;
    reader.finish("certification data")
}

fn wrong(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, expected, got)
}
