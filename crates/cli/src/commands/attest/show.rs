//! What verification of evidence found, in words.

use assay_attest::{Check, Claims, EvidenceKind, KeyBinding, Strength, Trust};
use assay_primitives::printable;
use assay_receipt::EvidenceScope;

use super::bytes_shown;
use super::verify::Report;
use crate::output::{self, Style, detail};

/// The most bytes of a value that people are shown.
const MAX_BYTES: usize = 96;

/// Prints a report.
pub(super) fn report(report: &Report, style: Style) {
    output::line(format_args!("{} {}", verdict(report.verdict, style), reason(report)));
    if let Some(refusal) = &report.refusal {
        detail("check", refusal.check);
        detail("expected", &refusal.expected);
        detail("got", &refusal.got);
    }
    detail("as of", report.at);
    if let Some(bound) = &report.binding {
        binding(bound);
    }
    if let Some(said) = &report.claims {
        claims(said);
    }
    if let Some(image) = &report.image {
        detail("image", image);
    }
    if let Some(reference) = &report.reference_value {
        detail("measured as", &reference.name);
        for (label, value) in [("source", &reference.source), ("builder", &reference.builder)] {
            if let Some(value) = value {
                detail(label, value);
            }
        }
    }
    for (at, gpu) in report.gpus.iter().enumerate() {
        output::line(format_args!("  GPU {at}"));
        claims(gpu);
    }
    for note in &report.notes {
        let note = printable(note, 256);
        output::line(style.faint(&format!("  {:<11} {note}", "note")));
    }
}

fn binding(binding: &KeyBinding) {
    let configuration = &binding.configuration;
    detail("key", bytes_shown(&binding.epoch_key, MAX_BYTES));
    detail("epoch", format_args!("{} to {}", binding.not_before, binding.not_after));
    let engine = &configuration.engine;
    detail("engine", format_args!("{} {}", engine.name, engine.version));
    for model in &configuration.models {
        detail("model", model);
    }
    let scope = match configuration.scope {
        EvidenceScope::Model => "model: the model ran in the enclave",
        EvidenceScope::Gateway => "gateway: the enclave asked a provider, the model ran elsewhere",
        _ => "one that this version does not know",
    };
    detail("scope", scope);
    if let Some(nonce) = &binding.nonce {
        detail("answers", bytes_shown(nonce, MAX_BYTES));
    }
    if let Some(beacon) = &binding.beacon {
        let (number, network) = (beacon.number, &beacon.network);
        detail("younger than", format_args!("block {number} of {network}, {}", beacon.hash));
    }
}

fn claims(claims: &Claims) {
    let strength = match claims.strength {
        Strength::Tee => "a trusted execution environment",
        Strength::MeasuredBoot => "measured boot, which isolates nothing",
        _ => "a signature alone, what was measured is compared with nothing",
    };
    detail("evidence", format_args!("{}: {strength}", claims.kind));
    detail("platform", &claims.platform);
    detail(
        "root",
        match claims.trust {
            Trust::Vendor => "the vendor's",
            Trust::Development => "for development",
        },
    );
    if let Some(time) = claims.time {
        detail("made", format_args!("{time} by the platform's clock"));
    }
    detail(
        "valid",
        format_args!("{} to {}", claims.validity.not_before, claims.validity.not_after),
    );
    if let Some(tcb) = &claims.tcb {
        let status = tcb.status.as_ref().map(|status| format!("{status}; ")).unwrap_or_default();
        detail("TCB", format_args!("{status}{}", tcb.versions));
        if !tcb.advisories.is_empty() {
            detail("advisories", tcb.advisories.join(", "));
        }
    }
    if claims.debug {
        detail("debug", "who runs the machine can look inside");
    }
    let user_data = match claims.kind {
        EvidenceKind::Nvidia => "nonce",
        EvidenceKind::Tpm => "extra data",
        EvidenceKind::Nitro => "user data",
        _ => "report data",
    };
    for (label, value) in [
        (user_data, &claims.user_data),
        ("public key", &claims.public_key),
        ("nonce", &claims.nonce),
    ] {
        if let Some(value) = value {
            detail(label, bytes_shown(value, MAX_BYTES));
        }
    }
    let names = claims.measurements.iter().map(|one| one.name.len());
    let width = names.max().unwrap_or_default().max(11);
    for one in &claims.measurements {
        let value = bytes_shown(&one.value, MAX_BYTES);
        output::line(format_args!("  {:<width$} {value}", printable(&one.name, MAX_BYTES)));
    }
}

fn verdict(verdict: &str, style: Style) -> String {
    let name = format!("{verdict:<11}");
    match verdict {
        "accepted" => style.good(&name),
        "refused" => style.bad(&name),
        _ => style.middling(&name),
    }
}

fn reason(report: &Report) -> &'static str {
    match &report.refusal {
        Some(refusal) => meaning(refusal.check),
        None if report.verdict == "simulated" => "every check held, but under a development root",
        None => "every check held",
    }
}

/// What it means that a check failed.
fn meaning(check: Check) -> &'static str {
    match check {
        Check::BindingNonce => "it answers another nonce than yours",
        Check::BindingUserData => "it binds other data than yours",
        Check::ChainValidity | Check::CollateralValidity => "it is not valid at this time",
        Check::BindingEpoch => "the key is not of this time",
        _ => match check.as_str().split('.').next() {
            Some("evidence") => "the evidence does not hold",
            Some("chain") => "the certificates do not vouch for it",
            Some("collateral") => "the collateral does not hold for it",
            Some("policy") => "the policy does not accept it",
            Some("binding") => "it is bound to something else",
            _ => "a check failed",
        },
    }
}
