//! The command line of `assay attest`.

use std::path::PathBuf;

use assay_attest::EvidenceKind;
use clap::{Args, Subcommand, ValueEnum};

const VERIFY: &str = "\
Files by kind, in any order, raw or as hexadecimal or base64 text; certificates in PEM or DER:
  nitro   the attestation document
  tdx     the quote; with --collateral
  sgx     the quote; with --collateral
  snp     the report, and the certificates of the VCEK or VLEK, of the ASK or ASVK, and of the ARK
  nvidia  the report, and the certificates of the GPU
  tpm     what `tpm2_quote -m -s -o` writes, and the certificates of the attestation key; for a
          virtual TPM of Azure's --hcl-report, and instead of those certificates AMD's, or the
          TDX quote with --collateral
Without --kind: a key attestation, or a bundle that has one. That is verified as of the time that
its first item by `tee` says it was signed, unless --at gives another.

Exit codes:
  0  accepted: every check held
  1  refused: a check failed
  2  unusable: a file or an option is not what it should be, or a file is missing
  3  simulated: every check held, but under a development root";

const INSPECT: &str = "\
It finds out by itself what the file is: evidence of any kind, raw or as hexadecimal or base64
text, a key attestation, certificates, a revocation list, collateral, a TPM's signature or PCRs.

Exit codes:
  0  it was read
  2  unusable: it is nothing that is known here, or not laid out as it should be";

#[derive(Debug, Subcommand)]
pub(crate) enum AttestCommand {
    /// Verify attestation evidence offline
    #[command(after_help = VERIFY)]
    Verify(AttestVerifyArgs),
    /// Say what is in evidence, without verifying anything
    #[command(after_help = INSPECT)]
    Inspect(AttestInspectArgs),
}

impl AttestCommand {
    pub(crate) const fn wants_json(&self) -> bool {
        match self {
            Self::Verify(args) => args.json,
            Self::Inspect(args) => args.json,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AttestVerifyArgs {
    /// The evidence, and the certificates that go with it
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What it is evidence of; not needed for a key attestation
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,
    /// Verify as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Intel's collateral of a TDX or SGX quote, in JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) collateral: Option<PathBuf>,
    /// The HCL report of Azure's virtual TPM, as it stands at NV index 0x01400001
    #[arg(long, value_name = "FILE")]
    pub(crate) hcl_report: Option<PathBuf>,
    /// The attestation policy; without one every TEE that is not in debug mode, and of Intel's what is up
    /// to date
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A root that simulated evidence may end at, PEM or DER (can be repeated): what ends at it is
    /// simulated, whatever it says
    #[arg(long, value_name = "FILE")]
    pub(crate) development_root: Vec<PathBuf>,
    /// Compare the nonce with the one that was sent; TDX, SGX and SNP have report data instead
    #[arg(long, value_name = "HEX")]
    pub(crate) nonce: Option<String>,
    /// Compare what the attested software had signed: report data, Nitro's user data, a TPM's extra data
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AttestInspectArgs {
    /// The file
    pub(crate) file: PathBuf,
    /// Print one JSON object, with every value whole
    #[arg(long)]
    pub(crate) json: bool,
}

/// A kind of evidence.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum KindArg {
    Nitro,
    Tdx,
    Sgx,
    Snp,
    Nvidia,
    Tpm,
}

impl KindArg {
    pub(crate) const fn kind(self) -> EvidenceKind {
        match self {
            Self::Nitro => EvidenceKind::Nitro,
            Self::Tdx => EvidenceKind::Tdx,
            Self::Sgx => EvidenceKind::Sgx,
            Self::Snp => EvidenceKind::Snp,
            Self::Nvidia => EvidenceKind::Nvidia,
            Self::Tpm => EvidenceKind::Tpm,
        }
    }
}
