//! Evidence of any kind, and its appraisal.

use assay_primitives::{Timestamp, encoding};
use serde::{Deserialize, Serialize};

use crate::refusal::Checks;
use crate::tpm::{self, AttestationKey, Pcr, Quoted};
use crate::{Attested, Claims, Collateral, EvidenceKind, Policy, Refusal, Roots};
use crate::{dcap, nitro, nvidia, snp};

/// Evidence with the endorsements that its verification needs and that are not pinned: certificates
/// below the vendor's root, collateral.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum Evidence {
    /// An AWS Nitro attestation document.
    #[serde(rename_all = "camelCase")]
    Nitro {
        /// The document: COSE_Sign1, as the Nitro Secure Module gives it.
        #[serde(with = "encoding::base64_bytes")]
        document: Vec<u8>,
    },
    /// An Intel TDX quote.
    #[serde(rename_all = "camelCase")]
    Tdx {
        /// The quote, of version 4 or 5; zeros may follow it.
        #[serde(with = "encoding::base64_bytes")]
        quote: Vec<u8>,
        /// What Intel says of the platform.
        collateral: Box<Collateral>,
    },
    /// An Intel SGX quote.
    #[serde(rename_all = "camelCase")]
    Sgx {
        /// The quote, of version 3; zeros may follow it.
        #[serde(with = "encoding::base64_bytes")]
        quote: Vec<u8>,
        /// What Intel says of the platform.
        collateral: Box<Collateral>,
    },
    /// An AMD SEV-SNP report.
    #[serde(rename_all = "camelCase")]
    Snp {
        /// The report, as the firmware gives it.
        #[serde(with = "encoding::base64_bytes")]
        report: Vec<u8>,
        /// The certificates of the VCEK or VLEK, of the ASK or ASVK, and of the ARK, in DER.
        #[serde(with = "base64_list")]
        certificates: Vec<Vec<u8>>,
    },
    /// An NVIDIA GPU's report.
    #[serde(rename_all = "camelCase")]
    Nvidia {
        /// The SPDM request and the response to it, as the driver gives them; zeros may follow.
        #[serde(with = "encoding::base64_bytes")]
        report: Vec<u8>,
        /// The certificates from the GPU's to the root, in DER.
        #[serde(with = "base64_list")]
        certificates: Vec<Vec<u8>>,
    },
    /// A TPM 2.0 quote.
    #[serde(rename_all = "camelCase")]
    Tpm {
        /// TPMS_ATTEST, as the TPM gives it.
        #[serde(with = "encoding::base64_bytes")]
        quote: Vec<u8>,
        /// TPMT_SIGNATURE over it.
        #[serde(with = "encoding::base64_bytes")]
        signature: Vec<u8>,
        /// The values of the PCRs that are quoted, in the quote's order.
        pcrs: Vec<Pcr>,
        /// The key that signed.
        ak: AttestationKey,
    },
    /// A quote by the virtual TPM of a confidential machine of Azure's.
    #[serde(rename_all = "camelCase")]
    AzureVtpm {
        /// The HCL report, as it stands at NV index 0x01400001: it has the key that signed.
        #[serde(with = "encoding::base64_bytes")]
        hcl_report: Vec<u8>,
        /// TPMS_ATTEST, as the TPM gives it.
        #[serde(with = "encoding::base64_bytes")]
        quote: Vec<u8>,
        /// TPMT_SIGNATURE over it.
        #[serde(with = "encoding::base64_bytes")]
        signature: Vec<u8>,
        /// The values of the PCRs that are quoted, in the quote's order.
        pcrs: Vec<Pcr>,
        /// The SNP or TDX evidence of the report in the HCL report.
        hardware: Box<Self>,
    },
}

/// What a verifier of one kind needs beside the evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The time of verification.
    pub(crate) now: Timestamp,
    /// Whom evidence may end at.
    pub(crate) roots: &'a Roots,
    /// What is accepted.
    pub(crate) policy: &'a Policy,
    /// Makes the checks.
    pub(crate) checks: Checks,
}

impl Evidence {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> EvidenceKind {
        match self {
            Self::Nitro { .. } => EvidenceKind::Nitro,
            Self::Tdx { .. } => EvidenceKind::Tdx,
            Self::Sgx { .. } => EvidenceKind::Sgx,
            Self::Snp { .. } => EvidenceKind::Snp,
            Self::Nvidia { .. } => EvidenceKind::Nvidia,
            Self::Tpm { .. } => EvidenceKind::Tpm,
            Self::AzureVtpm { hardware, .. } => hardware.kind(),
        }
    }

    /// Returns what the attester signed.
    pub(crate) fn signed(&self) -> &[u8] {
        match self {
            Self::Nitro { document } => document,
            Self::Snp { report, .. } | Self::Nvidia { report, .. } => report,
            Self::Tdx { quote, .. }
            | Self::Sgx { quote, .. }
            | Self::Tpm { quote, .. }
            | Self::AzureVtpm { quote, .. } => quote,
        }
    }

    /// Says whether a TPM signed what its user gave it: that has room for a shorter hash alone.
    pub(crate) const fn is_of_tpm(&self) -> bool {
        matches!(self, Self::Tpm { .. } | Self::AzureVtpm { .. })
    }

    pub(crate) fn claims(&self, context: &Context<'_>) -> Result<Claims, Refusal> {
        match self {
            Self::Nitro { document } => nitro::claims(document, context),
            Self::Tdx { quote, collateral } | Self::Sgx { quote, collateral } => {
                dcap::claims(self.kind(), quote, collateral, context)
            }
            Self::Snp { report, certificates } => snp::claims(report, certificates, context),
            Self::Nvidia { report, certificates } => nvidia::claims(report, certificates, context),
            Self::Tpm { quote, signature, pcrs, ak } => {
                tpm::claims(&Quoted { quote, signature, pcrs }, ak, context)
            }
            Self::AzureVtpm { hcl_report, quote, signature, pcrs, hardware } => {
                let quoted = Quoted { quote, signature, pcrs };
                tpm::azure_claims(hcl_report, &quoted, hardware, context)
            }
        }
    }
}

/// Appraises evidence at a time: its signatures up to a root, then the policy.
///
/// # Errors
/// Names the first check that fails.
pub fn appraise(
    evidence: &Evidence,
    roots: &Roots,
    policy: &Policy,
    now: Timestamp,
) -> Result<Attested, Refusal> {
    let context = Context { now, roots, policy, checks: Checks::default() };
    context.appraise(evidence)
}

impl Context<'_> {
    pub(crate) fn appraise(&self, evidence: &Evidence) -> Result<Attested, Refusal> {
        let claims = evidence.claims(self)?;
        self.policy.accept(claims, self.now, self.checks)
    }
}

/// Serde form of a list of bytes as base64 texts.
pub(crate) mod base64_list {
    use super::{Deserialize, encoding};

    #[derive(Deserialize)]
    struct Item(#[serde(with = "encoding::base64_bytes")] Vec<u8>);

    pub(crate) fn serialize<S: serde::Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|item| encoding::base64(item)))
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let items = Vec::<Item>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}
