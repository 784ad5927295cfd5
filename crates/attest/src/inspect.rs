//! What is in a file: every field of evidence and of what goes with it, of which nothing is verified.

mod guess;
mod section;

use assay_primitives::Digest;
use serde::Serialize;
use thiserror::Error;

pub use self::section::{Field, Section, Value};
use crate::{Collateral, EvidenceKind, KeyAttestation, Refusal, files};
use crate::{dcap, key, nitro, nvidia, snp, tpm, x509};

/// The most bytes of a file.
const MAX_FILE: usize = 1 << 20;

/// What a file is. Whether it is genuine is another question.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// An AWS Nitro attestation document.
    NitroDocument,
    /// An Intel TDX quote.
    TdxQuote,
    /// An Intel SGX quote.
    SgxQuote,
    /// An AMD SEV-SNP report.
    SnpReport,
    /// An HCL report of Azure's.
    HclReport,
    /// An NVIDIA GPU's SPDM measurement report.
    NvidiaReport,
    /// A TPM's quote: TPMS_ATTEST.
    TpmQuote,
    /// A TPM's signature: TPMT_SIGNATURE.
    TpmSignature,
    /// Values of PCRs, as tpm2-tools write them.
    TpmPcrs,
    /// A key attestation of this project's.
    KeyAttestation,
    /// X.509 certificates.
    Certificates,
    /// An X.509 certificate revocation list.
    RevocationList,
    /// A public key in PEM.
    PublicKey,
    /// Intel's collateral.
    Collateral,
}

impl Format {
    /// Returns what it is in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::NitroDocument => "AWS Nitro attestation document",
            Self::TdxQuote => "Intel TDX quote",
            Self::SgxQuote => "Intel SGX quote",
            Self::SnpReport => "AMD SEV-SNP attestation report",
            Self::HclReport => "Azure HCL report",
            Self::NvidiaReport => "NVIDIA GPU measurement report",
            Self::TpmQuote => "TPM 2.0 quote",
            Self::TpmSignature => "TPM 2.0 signature",
            Self::TpmPcrs => "TPM 2.0 PCR values",
            Self::KeyAttestation => "key attestation of an enclave",
            Self::Certificates => "X.509 certificates",
            Self::RevocationList => "X.509 certificate revocation list",
            Self::PublicKey => "public key",
            Self::Collateral => "Intel DCAP collateral",
        }
    }

    /// Returns the kind of evidence that it is, if it is evidence by itself.
    #[must_use]
    pub const fn kind(self) -> Option<EvidenceKind> {
        match self {
            Self::NitroDocument => Some(EvidenceKind::Nitro),
            Self::TdxQuote => Some(EvidenceKind::Tdx),
            Self::SgxQuote => Some(EvidenceKind::Sgx),
            Self::SnpReport => Some(EvidenceKind::Snp),
            Self::NvidiaReport => Some(EvidenceKind::Nvidia),
            Self::TpmQuote => Some(EvidenceKind::Tpm),
            _ => None,
        }
    }
}

/// What is in a file. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// What the file is.
    pub format: Format,
    /// What is in it, in its order.
    pub sections: Vec<Section>,
}

/// A file that cannot be inspected.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InspectError {
    /// It is longer than anything that is known here.
    #[error("expected at most {MAX_FILE} bytes, got {0}")]
    TooLong(usize),
    /// It begins like nothing that is known here.
    #[error("neither evidence nor anything that goes with it, as far as is known here")]
    Unknown,
    /// It begins like something, and cannot be read as that.
    #[error("it begins like this: {}; but as that it cannot be read: {refusal}", .format.describe())]
    Unreadable {
        /// What it begins like.
        format: Format,
        /// What is wrong with it.
        refusal: Refusal,
    },
}

/// Says what a file is by how it begins, raw or as hexadecimal or base64 text.
#[must_use]
pub fn guess(file: &[u8]) -> Option<Format> {
    (file.len() <= MAX_FILE)
        .then(|| files::unwrapped(file))
        .and_then(|(bytes, _)| guess::format(&bytes))
}

/// Finds out what a file is, raw or as hexadecimal or base64 text, and returns every field of it.
/// Nothing is verified.
///
/// # Errors
/// When it is nothing that is known here, or is not laid out as it should be.
pub fn inspect(file: &[u8]) -> Result<Inspection, InspectError> {
    if file.len() > MAX_FILE {
        return Err(InspectError::TooLong(file.len()));
    }
    let (bytes, spelling) = files::unwrapped(file);
    let format = guess::format(&bytes).ok_or(InspectError::Unknown)?;
    let about = Section::new("file")
        .number("bytes", file.len())
        .text("written as", spelling.describe())
        .hex("sha256", Digest::of(file).as_bytes());
    let read = sections(format, &bytes);
    let read = read.map_err(|refusal| InspectError::Unreadable { format, refusal })?;
    Ok(Inspection { format, sections: std::iter::once(about).chain(read).collect() })
}

fn sections(format: Format, bytes: &[u8]) -> Result<Vec<Section>, Refusal> {
    match format {
        Format::NitroDocument => nitro::inspect(bytes),
        Format::TdxQuote => dcap::inspect_quote(bytes, EvidenceKind::Tdx),
        Format::SgxQuote => dcap::inspect_quote(bytes, EvidenceKind::Sgx),
        Format::SnpReport => snp::inspect(bytes),
        Format::HclReport => tpm::inspect_hcl_report(bytes),
        Format::NvidiaReport => nvidia::inspect(bytes),
        Format::TpmQuote => tpm::inspect_quote(bytes),
        Format::TpmSignature => tpm::inspect_signature(bytes),
        Format::TpmPcrs => Ok(vec![tpm::inspect_pcrs(&files::pcrs(bytes).unwrap_or_default())]),
        Format::KeyAttestation => key::inspect(&KeyAttestation::from_bytes(bytes)?),
        Format::Certificates => x509::inspect_all(bytes),
        Format::PublicKey => {
            let key = files::public_key(bytes).unwrap_or_default();
            tpm::inspect_public_key("public key", &key).map(|one| vec![one])
        }
        Format::RevocationList => x509::inspect_crl("revocation list", bytes).map(|one| vec![one]),
        Format::Collateral => dcap::inspect_collateral(&Collateral::from_json(bytes)?),
    }
}
