use std::path::{Path, PathBuf};
use std::process::ExitCode;

use assay_attest::{DevelopmentRoot, Roots};
use assay_primitives::{InferenceRequest, Timestamp};
use assay_receipt::Bundle;
use assay_verify::{
    CheckedPart, Expectation, Methods, Policy, ProofExplanation, Report, Tee, Verdict, Verifier,
    explain_proofs,
};
use serde::Serialize;

use super::{input, show, system_clock};
use crate::args::{TrustArgs, VerifyArgs};
use crate::error::CliError;
use crate::files;
use crate::output::{self, Style};

/// The most bytes a bundle may have.
pub(super) const MAX_BUNDLE: u64 = 256 << 20;
/// The most bytes a policy may have.
const MAX_POLICY: u64 = 1 << 20;
/// The most bytes a root may have.
const MAX_ROOT: u64 = 64 << 10;
/// The most bytes a key manifest may have.
const MAX_MANIFEST: u64 = 4 << 20;
/// From how many bytes on it is said that verifying may take a while.
const LONG: usize = 16 << 20;

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let policy = policy(args.policy.as_deref())?;
    let now = time(args.at.as_deref())?;
    let file = files::read(&args.bundle, MAX_BUNDLE)?;
    if file.len() > LONG {
        output::note(format_args!("Verifying {} MB.", file.len() >> 20));
    }
    let input = match &args.input {
        Some(path) => own_input(path, &file)?,
        None => None,
    };
    let expectation = Expectation { input, nonce: args.nonce.clone() };
    let verifier = verifier(policy, &args.development_root)?;
    let report = with_manifest(verifier, args.manifest.as_deref())?
        .verify(&file, &expectation, now)
        .map_err(|error| CliError::Input(format!("{}: {error}", args.bundle.display())))?;
    let explained = if args.explain { explained(&file) } else { None };
    if args.json {
        output::json(&Told { report: &report, proofs: explained.as_deref() })?;
    } else {
        show::report(&report, Style::of_stdout());
        explained.iter().flatten().for_each(explain);
    }
    Ok(exit_code(&report.verdict))
}

/// What the proofs of a bundle claim. What cannot be read is said, and in no way of the verdict.
fn explained(file: &[u8]) -> Option<Vec<ProofExplanation>> {
    let bundle = Bundle::from_bytes(file).ok()?;
    let proofs = explain_proofs(&bundle, system_clock().as_ref());
    proofs
        .inspect_err(|refusal| output::note(format_args!("No proof is explained: {refusal}.")))
        .ok()
}

/// The report, and what the proofs claim if that is asked for.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    proofs: Option<&'a [ProofExplanation]>,
}

/// Says what a proof claims. Its texts are ours, and its numbers those of the proof.
fn explain(proof: &ProofExplanation) {
    let style = Style::of_stdout();
    output::line("");
    output::line(style.bold(&format!("What the proof of item {} claims", proof.item)));
    output::detail("program", proof.program);
    for layer in &proof.layers {
        let [rows, columns, channels] = layer.shape;
        let what = format_args!("{} {rows}x{columns}x{channels}", layer.kind);
        output::detail(&format!("layer {}", layer.tensor), what);
        output::detail("", &layer.claim);
        output::detail("", format_args!("sums: {}", layer.sums.join(", ")));
        if layer.committed > 0 {
            let (committed, lookups) = (layer.committed, layer.lookups);
            let told = format!("{committed} values committed to, {lookups} looked up");
            output::detail("", told);
        }
    }
    output::line("");
    output::line(style.bold("What each part of it shows"));
    for part in &proof.parts {
        let CheckedPart { part, checked_in_us, .. } = part;
        let checked = match checked_in_us {
            Some(took) => format!(", checked in {}.{:03} ms", took / 1_000, took % 1_000),
            None => ", does not hold, or was not reached".to_owned(),
        };
        output::detail(part.name, format_args!("{} bytes{checked}", part.bytes));
        lines(&part.shows).iter().for_each(|line| output::detail("", line));
    }
    let (bits, batch) = (proof.security_bits, proof.batch);
    output::detail("in all", format_args!("{bits:.1} bits of security, in a batch of {batch}"));
}

/// Breaks a text where a terminal would.
fn lines(text: &str) -> Vec<String> {
    const WIDTH: usize = 64;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Reads the time of verification, or the clock.
pub(super) fn time(at: Option<&str>) -> Result<Timestamp, CliError> {
    let Some(text) = at else { return Ok(system_clock().now()) };
    Timestamp::from_rfc3339(text).map_err(|error| CliError::Input(format!("--at: {error}")))
}

/// Reads whom evidence may end at beside the vendors, which is given by hand.
pub(super) fn roots(paths: &[PathBuf]) -> Result<Roots, CliError> {
    let mut trusted = Roots::vendors();
    for path in paths {
        let root = DevelopmentRoot::from_bytes(&files::read(path, MAX_ROOT)?)
            .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))?;
        trusted = trusted.with_development(root);
    }
    Ok(trusted)
}

/// Makes the verifier that accepts what the command line says.
pub(super) fn trusting(args: &TrustArgs) -> Result<Verifier, CliError> {
    verifier(policy(args.policy.as_deref())?, &args.development_root)
}

/// Makes a verifier.
pub(super) fn verifier(policy: Policy, development: &[PathBuf]) -> Result<Verifier, CliError> {
    let tee = Tee::new(roots(development)?, assay_attest::Policy::default());
    Ok(Verifier::new(policy, Methods::standard().with(tee)))
}

/// Has a verifier remember the operator's key manifest, if one is given.
fn with_manifest(verifier: Verifier, manifest: Option<&Path>) -> Result<Verifier, CliError> {
    let Some(path) = manifest else { return Ok(verifier) };
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let envelope = serde_json::from_slice(&files::read(path, MAX_MANIFEST)?)
        .map_err(|error| wrong(format!("not a key manifest: {error}")))?;
    verifier.with_manifest(envelope).map_err(|refusal| wrong(refusal.to_string()))
}

/// Reads a policy, or gives the one that pins nothing.
pub(super) fn policy(path: Option<&Path>) -> Result<Policy, CliError> {
    let Some(path) = path else { return Ok(Policy::default()) };
    Policy::from_toml(&files::read_text(path, MAX_POLICY)?)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
}

/// 0 verified, 1 refused, 3 anything between.
fn exit_code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Verified { .. } => ExitCode::SUCCESS,
        Verdict::Refused(_) => ExitCode::from(1),
        _ => ExitCode::from(3),
    }
}

/// Reads the verifier's own input in the shape of the request that the bundle discloses. `None`
/// when the file is no bundle, which is then what there is to say.
fn own_input(path: &Path, file: &[u8]) -> Result<Option<InferenceRequest>, CliError> {
    let Ok(bundle) = Bundle::from_bytes(file) else { return Ok(None) };
    let disclosed = bundle.items.first();
    let disclosed = disclosed.and_then(|item| InferenceRequest::from_bytes(&item.request).ok());
    let specs = disclosed.as_ref().map(input::specs_of).unwrap_or_default();
    input::read(path, specs).map(Some)
}
