//! The call of `dcap-qvl`, and what its answers mean.

use std::time::Duration;

use assay_primitives::{Timestamp, encoding};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{
    PckCertFlag, Policy as _, QuoteClaims, QuoteCollateralV3, QuotePolicy, TcbStatus as Of,
};

use super::quote::Quote;
use crate::evidence::Context;
use crate::policy::TcbStatus;
use crate::{Check, Policy, Refusal, Tcb, Trust};

/// Verifies a quote up to a root and judges its TCB by the policy.
pub(super) fn verify(
    quote: &Quote<'_>,
    collateral: QuoteCollateralV3,
    trust: Trust,
    root: &[u8],
    time: Timestamp,
    context: &Context<'_>,
) -> Result<QuoteClaims, Refusal> {
    let verifier = match trust {
        Trust::Vendor => QuoteVerifier::new_prod(),
        Trust::Development => QuoteVerifier::new(root.to_vec()),
    };
    let now = time.as_seconds();
    // Debug mode is a claim, which the policy judges with those of the other kinds. The library's
    // policy comes after, so that a refusal by it is not one of the evidence.
    let verified = verifier
        .allow_debug(true)
        .verify_with_policy(quote.bytes, collateral, now, &QuotePolicy::claims_only(now))
        .map_err(|error| refused(&format!("{error:#}")))?;
    check_tcb(&verified, context)?;
    if let Err(error) = quote_policy(context.policy, now).validate(&verified) {
        let expected = "a TCB that the policy accepts";
        context.checks.fail(Refusal::new(Check::PolicyTcbStatus, expected, error))?;
    }
    Ok(verified)
}

/// Returns the TCB as the claims tell it.
pub(super) fn tcb(verified: &QuoteClaims) -> Tcb {
    let pck = &verified.platform.pck;
    let mut versions = format!("cpusvn {}, pcesvn {}", encoding::hex(&pck.cpu_svn), pck.pce_svn);
    if let Some(td) = verified.report.as_td10() {
        versions.push_str(&format!(", tee-tcb-svn {}", encoding::hex(&td.tee_tcb_svn)));
    }
    if let Some(td) = verified.report.as_td15() {
        versions.push_str(&format!(", now {}", encoding::hex(&td.tee_tcb_svn2)));
    }
    let number = verified.tcb.eval_data_number;
    versions.push_str(&format!(", qe {}", verified.qe.report.isv_svn));
    versions.push_str(&format!(", evaluation data number {number}"));
    Tcb {
        status: Some(verified.tcb.status.to_string()),
        versions,
        advisories: verified.tcb.advisory_ids.clone(),
        open: Vec::new(),
    }
}

/// Returns what the PCK certificate says of the platform that is no refusal: hardly a server is
/// without.
pub(super) fn warnings(verified: &QuoteClaims) -> Vec<String> {
    let pck = &verified.platform.pck;
    let flags = [
        (pck.dynamic_platform, "processors can be added to the platform"),
        (pck.cached_keys, "Intel keeps the platform's root keys"),
        (pck.smt_enabled, "threads of others can share a core (SMT)"),
    ];
    let set = flags.into_iter().filter(|(flag, _)| *flag == PckCertFlag::True);
    set.map(|(_, what)| what.to_owned()).collect()
}

fn check_tcb(verified: &QuoteClaims, context: &Context<'_>) -> Result<(), Refusal> {
    let least = context.policy.min_tcb_evaluation_data_number.unwrap_or(0);
    let number = verified.tcb.eval_data_number;
    let expected = format!("TCB evaluation data number {least} or later");
    context.checks.require(Check::CollateralAge, number >= least, expected, number)?;
    let status = verified.tcb.status;
    let accepted = accepted(context.policy);
    let names: Vec<String> = accepted.iter().map(ToString::to_string).collect();
    let expected = format!("TCB status {}", names.join(" or "));
    let advisories = verified.tcb.advisory_ids.join(", ");
    let got =
        if advisories.is_empty() { status.to_string() } else { format!("{status} ({advisories})") };
    context.checks.require(Check::PolicyTcbStatus, accepted.contains(&status), expected, got)
}

fn accepted(policy: &Policy) -> Vec<Of> {
    let named = policy.tcb_statuses.as_deref().unwrap_or(&[TcbStatus::UpToDate]);
    named.iter().copied().map(library).collect()
}

const fn library(status: TcbStatus) -> Of {
    match status {
        TcbStatus::UpToDate => Of::UpToDate,
        TcbStatus::SWHardeningNeeded => Of::SWHardeningNeeded,
        TcbStatus::ConfigurationNeeded => Of::ConfigurationNeeded,
        TcbStatus::ConfigurationAndSWHardeningNeeded => Of::ConfigurationAndSWHardeningNeeded,
        TcbStatus::OutOfDate => Of::OutOfDate,
        TcbStatus::OutOfDateConfigurationNeeded => Of::OutOfDateConfigurationNeeded,
    }
}

/// The library's policy that says what ours does. What a PCK certificate says of the platform is told
/// as warnings: every server that clouds rent out has those flags.
fn quote_policy(policy: &Policy, now: u64) -> QuotePolicy {
    let mut quote_policy = QuotePolicy::strict(now)
        .allow_dynamic_platform(true)
        .allow_cached_keys(true)
        .allow_smt(true);
    for status in accepted(policy) {
        quote_policy = quote_policy.allow_status(status);
        if matches!(status, Of::OutOfDate | Of::OutOfDateConfigurationNeeded) {
            // Whoever accepts it by name accepts it of any age: there is no grace of which nobody
            // said anything.
            let ever = Duration::from_secs(now);
            quote_policy = quote_policy.platform_grace_period(ever).qe_grace_period(ever);
        }
    }
    match policy.min_tcb_evaluation_data_number {
        Some(least) => quote_policy.min_tcb_eval_data_number(least),
        None => quote_policy,
    }
}

/// What the library's messages are about. It has no codes; its version is pinned, and what is not
/// among these is refused all the same.
const MEANINGS: &[(&str, Check)] = &[
    ("CertRevoked", Check::CollateralRevocation),
    ("CrlExpired", Check::CollateralValidity),
    ("UnknownRevocationStatus", Check::CollateralMatch),
    ("InvalidCrlSignature", Check::CollateralSignature),
    ("CRL", Check::CollateralSignature),
    ("CertExpired", Check::ChainValidity),
    ("CertNotValidYet", Check::ChainValidity),
    ("certificate chain", Check::ChainPath),
    ("must be issued directly by the root", Check::ChainPath),
    ("issue date is in the future", Check::CollateralValidity),
    ("expired", Check::CollateralValidity),
    ("Signature is invalid for tcb_info", Check::CollateralSignature),
    ("Signature is invalid for qe_identity", Check::CollateralSignature),
    ("Signature is invalid for qe_report", Check::EvidenceSignature),
    ("ISV enclave report signature is invalid", Check::EvidenceSignature),
    ("QE report hash mismatch", Check::EvidenceDigest),
    ("QE ISVSVN", Check::PolicyTcbStatus),
    ("No matching TCB level found", Check::PolicyTcbStatus),
    ("TDX module ISVSVN", Check::PolicyTcbStatus),
    ("No TDX module identity", Check::PolicyTcbStatus),
    ("TCB status is invalid: Revoked", Check::PolicyTcbStatus),
    ("Unrecognized TCB status", Check::PolicyTcbStatus),
    ("QE report validation failed", Check::CollateralMatch),
    ("Fmspc mismatch", Check::CollateralMatch),
    ("mismatch", Check::CollateralMatch),
    ("SEAMATTRIBUTES", Check::CollateralMatch),
    ("in the collateral", Check::CollateralMatch),
    ("Unsupported QE Identity", Check::CollateralMatch),
    ("Reserved bits in TD attributes", Check::EvidenceReserved),
    ("TD migration is enabled", Check::PolicyGuest),
    ("SERVTD_EXT is enabled", Check::PolicyGuest),
    ("SEPT_VE_DISABLE is not enabled", Check::PolicyGuest),
    ("Invalid MR service TD", Check::PolicyGuest),
];

fn refused(message: &str) -> Refusal {
    let meaning = MEANINGS.iter().find(|(part, _)| message.contains(part));
    let check = meaning.map_or(Check::EvidenceSignature, |(_, check)| *check);
    Refusal::new(check, "a quote and collateral that Intel's rules accept", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_of_what_it_is_about() {
        for (message, check) in [
            ("Failed to verify certificate chain: CertRevoked", Check::CollateralRevocation),
            ("Failed to verify certificate chain: UnknownIssuer", Check::ChainPath),
            ("Failed to parse root CA CRL: BadDer", Check::CollateralSignature),
            ("TCBInfo expired", Check::CollateralValidity),
            ("what nobody has said before", Check::EvidenceSignature),
        ] {
            assert_eq!(refused(message).check, check, "{message}");
        }
    }
}
