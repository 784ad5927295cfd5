use std::fmt;

use assay_primitives::{checks, printable};
use serde::Serialize;
use thiserror::Error;

checks! {
    /// A check that evidence can fail.
    pub enum Check {
        /// The evidence is no longer than its kind can be.
        EvidenceSize = "evidence.size",
        /// The evidence can be read, in one way only, to its last byte.
        EvidenceEncoding = "evidence.encoding",
        /// The evidence is of a version that is known here.
        EvidenceVersion = "evidence.version",
        /// Bits and bytes that have no meaning are zero.
        EvidenceReserved = "evidence.reserved",
        /// The signature is made with the algorithm that the kind prescribes.
        EvidenceAlgorithm = "evidence.algorithm",
        /// The evidence is signed by the key that its certificate has.
        EvidenceSignature = "evidence.signature",
        /// Values that the evidence states beside what is signed are those that were signed.
        EvidenceDigest = "evidence.digest",
        /// The platform's own clock, where it has one, is not ahead of the time of verification.
        EvidenceTime = "evidence.time",
        /// A certificate can be read, and has no critical extension that is unknown here.
        ChainEncoding = "chain.encoding",
        /// The chain of certificates ends at a root of the vendor's, or at one passed by hand.
        ChainRoot = "chain.root",
        /// Each certificate is signed by the next.
        ChainPath = "chain.path",
        /// Every certificate is valid at the time of verification.
        ChainValidity = "chain.validity",
        /// Every certificate may be used as it is: a CA signs certificates, a leaf does not.
        ChainUsage = "chain.usage",
        /// The leaf's certificate is about the platform that the evidence is of.
        ChainPlatform = "chain.platform",
        /// The leaf's certificate is for the TCB that the evidence reports.
        ChainTcb = "chain.tcb",
        /// The collateral can be read and is signed by the vendor.
        CollateralSignature = "collateral.signature",
        /// The collateral is valid at the time of verification.
        CollateralValidity = "collateral.validity",
        /// The collateral is as new as the policy asks.
        CollateralAge = "collateral.age",
        /// The collateral is of this platform.
        CollateralMatch = "collateral.match",
        /// No certificate is revoked.
        CollateralRevocation = "collateral.revocation",
        /// The kind of evidence is one that the policy accepts.
        PolicyKind = "policy.kind",
        /// The evidence is not of a debug mode, unless the policy accepts that.
        PolicyDebug = "policy.debug",
        /// The evidence isolates as strongly as the policy asks.
        PolicyStrength = "policy.strength",
        /// The platform is one that the policy accepts.
        PolicyPlatform = "policy.platform",
        /// The TCB's status is one that the policy accepts.
        PolicyTcbStatus = "policy.tcb-status",
        /// The TCB is at least the policy's.
        PolicyTcbMinimum = "policy.tcb-minimum",
        /// A guest's owner has allowed no more than the policy accepts.
        PolicyGuest = "policy.guest",
        /// The measurements are those of a reference value of the policy's.
        PolicyMeasurement = "policy.measurement",
        /// The evidence is as young as the policy asks.
        PolicyAge = "policy.age",
        /// The evidence answers the nonce that was sent.
        BindingNonce = "binding.nonce",
        /// The evidence has the user's data that were expected.
        BindingUserData = "binding.user-data",
        /// The evidence is bound to the key that it is shown for.
        BindingKey = "binding.key",
        /// The time lies in the epoch of the key.
        BindingEpoch = "binding.epoch",
        /// The GPU's evidence is bound to the CPU's.
        BindingGpu = "binding.gpu",
        /// A TPM's attestation key is bound to the hardware's evidence.
        BindingAttestationKey = "binding.attestation-key",
    }
}

/// A check that failed, with both values.
#[derive(Clone, Debug, Eq, Error, PartialEq, Serialize)]
#[error("{check}: expected {expected}, got {got}")]
#[non_exhaustive]
pub struct Refusal {
    /// Which check.
    pub check: Check,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// The most characters of a value that a refusal shows.
const MAX_VALUE: usize = 512;

impl Refusal {
    /// Makes a refusal.
    pub fn new(check: Check, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        let shown = |value: &dyn fmt::Display| printable(&value.to_string(), MAX_VALUE);
        Self { check, expected: shown(&expected), got: shown(&got) }
    }
}

/// Makes the checks. A unit test can leave one out, to show that another test would fail without it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checks {
    #[cfg(test)]
    pub(crate) without: Option<Check>,
}

impl Checks {
    /// Refuses unless the check holds.
    pub(crate) fn require(
        self,
        check: Check,
        holds: bool,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Result<(), Refusal> {
        if holds { Ok(()) } else { self.fail(Refusal::new(check, expected, got)) }
    }

    /// Refuses, unless the refusal's check is left out.
    pub(crate) fn fail(self, refusal: Refusal) -> Result<(), Refusal> {
        #[cfg(test)]
        if self.without == Some(refusal.check) {
            return Ok(());
        }
        Err(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (at, check) in Check::ALL.iter().enumerate() {
            assert!(!Check::ALL[..at].iter().any(|other| other.as_str() == check.as_str()));
        }
    }

    #[test]
    fn a_refusal_shows_no_raw_text_of_the_evidence() {
        let refusal = Refusal::new(Check::EvidenceEncoding, "a", "\u{1b}[2Jaccepted");
        assert_eq!(refusal.to_string(), "evidence.encoding: expected a, got \\u{1b}[2Jaccepted");
    }
}
