use std::fmt;
use std::ops::Deref;

use assay_primitives::{Timestamp, encoding};
use serde::{Deserialize, Serialize};

/// A kind of evidence.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EvidenceKind {
    /// An AWS Nitro attestation document.
    Nitro,
    /// An Intel TDX quote.
    Tdx,
    /// An Intel SGX quote.
    Sgx,
    /// An AMD SEV-SNP report.
    Snp,
    /// An NVIDIA GPU's SPDM measurement report.
    Nvidia,
    /// A TPM 2.0 quote.
    Tpm,
}

impl EvidenceKind {
    /// Every kind.
    pub const ALL: &[Self] =
        &[Self::Nitro, Self::Tdx, Self::Sgx, Self::Snp, Self::Nvidia, Self::Tpm];

    /// Returns the kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nitro => "nitro",
            Self::Tdx => "tdx",
            Self::Sgx => "sgx",
            Self::Snp => "snp",
            Self::Nvidia => "nvidia",
            Self::Tpm => "tpm",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What evidence of a kind shows at best, from weak to strong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strength {
    /// A device signed it; what runs on the device is not compared with anything.
    SignatureOnly,
    /// What was booted was measured; nothing isolates it from who runs the machine.
    MeasuredBoot,
    /// A trusted execution environment: measured, and isolated from who runs the machine.
    Tee,
}

impl Strength {
    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignatureOnly => "signature-only",
            Self::MeasuredBoot => "measured-boot",
            Self::Tee => "tee",
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// At whose root the chain of certificates ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// At the vendor's, which is pinned here.
    Vendor,
    /// At one that was passed by hand: what it signs is simulated, whatever it says.
    Development,
}

/// A measurement by the name that its kind gives it: `pcr0`, `mrtd`, `rtmr3`, `mrenclave`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Measurement {
    /// The name, in lower case.
    pub name: String,
    /// The value, in hexadecimal in JSON.
    #[serde(serialize_with = "hex")]
    pub value: Vec<u8>,
}

/// From when until when everything that the evidence rests on is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// Valid for ever.
    pub const ALWAYS: Self =
        Self { not_before: Timestamp::from_millis(0), not_after: Timestamp::from_millis(u64::MAX) };

    /// Returns when both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    /// Says whether a moment is in it.
    #[must_use]
    pub fn contains(self, time: Timestamp) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

/// How new the platform's trusted computing base is, by the vendor's account.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tcb {
    /// The vendor's status, as `UpToDate`; none where the vendor gives none.
    pub status: Option<String>,
    /// The versions in words, as `bootloader 3, tee 0, snp 8, microcode 115`.
    pub versions: String,
    /// The vendor's advisories that concern it.
    pub advisories: Vec<String>,
    /// The parts that may have any version: the vendor gives no status, and the policy no least version.
    pub open: Vec<String>,
}

/// What evidence says, once its signatures hold. Which of it is believed is the policy's business.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The kind of evidence.
    pub kind: EvidenceKind,
    /// What it shows at best.
    pub strength: Strength,
    /// At whose root it ends.
    pub trust: Trust,
    /// Which platform it is, in words, as `Milan`, `H100` or a Nitro module's id.
    pub platform: String,
    /// What was measured, in the kind's order.
    pub measurements: Vec<Measurement>,
    /// Whether who runs the machine can look inside.
    pub debug: bool,
    /// The bytes that the attested software had signed: `report_data`, Nitro's `user_data`, a TPM's
    /// `extraData`, a GPU's nonce.
    #[serde(serialize_with = "optional_hex")]
    pub user_data: Option<Vec<u8>>,
    /// Nitro's `public_key`.
    #[serde(serialize_with = "optional_hex")]
    pub public_key: Option<Vec<u8>>,
    /// Nitro's `nonce`.
    #[serde(serialize_with = "optional_hex")]
    pub nonce: Option<Vec<u8>>,
    /// When it was made by the platform's own clock; no other clock counts, so mostly none.
    pub time: Option<Timestamp>,
    /// When certificates and collateral are valid.
    pub validity: Validity,
    /// The trusted computing base, where the kind reports one.
    pub tcb: Option<Tcb>,
    /// What a reader should know that is no refusal.
    pub warnings: Vec<String>,
}

impl Claims {
    /// Finds a measurement by its name.
    #[must_use]
    pub fn measurement(&self, name: &str) -> Option<&[u8]> {
        let found = self.measurements.iter().find(|measurement| measurement.name == name);
        found.map(|measurement| measurement.value.as_slice())
    }
}

/// Claims that were appraised: signed by who the roots name, and accepted by the policy. Nothing but
/// [`crate::appraise`] makes one.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Attested(Claims);

impl Attested {
    /// Vouches for claims. Called where the policy was checked, and nowhere else.
    pub(crate) const fn assertion(claims: Claims) -> Self {
        Self(claims)
    }

    /// Says whether the evidence ends at a development root: nothing that rests on it is verified.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.trust == Trust::Development
    }
}

impl Deref for Attested {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

fn hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encoding::hex(bytes))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn optional_hex<S: serde::Serializer>(
    bytes: &Option<Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(|bytes| encoding::hex(bytes)).serialize(serializer)
}
