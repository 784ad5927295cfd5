use std::path::Path;
use std::process::ExitCode;

use assay_primitives::{InferenceRequest, Timestamp};
use assay_receipt::Bundle;
use assay_verify::{Expectation, Methods, Policy, Verdict, Verifier};

use super::{input, show, system_clock};
use crate::args::VerifyArgs;
use crate::error::CliError;
use crate::output::{self, Style};

/// The most bytes a bundle may have.
const MAX_BUNDLE: u64 = 256 << 20;
/// The most bytes a policy may have.
const MAX_POLICY: u64 = 1 << 20;

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let file = input::read_file(&args.bundle, MAX_BUNDLE)?;
    let now = match &args.at {
        Some(text) => Timestamp::from_rfc3339(text).map_err(CliError::input)?,
        None => system_clock().now(),
    };
    let verifier = Verifier::new(policy(args.policy.as_deref())?, Methods::standard());
    let expectation = match &args.input {
        Some(path) => Expectation { input: Some(own_input(path, &file)?), nonce: None },
        None => Expectation::default(),
    };
    let report = verifier
        .verify(&file, &expectation, now)
        .map_err(|error| CliError::Input(format!("{}: {error}", args.bundle.display())))?;
    if args.json {
        output::json(&report)?;
    } else {
        show::report(&report, Style::of_stdout());
    }
    Ok(exit_code(&report.verdict))
}

/// Reads a policy, or gives the one that pins nothing.
pub(super) fn policy(path: Option<&Path>) -> Result<Policy, CliError> {
    let Some(path) = path else { return Ok(Policy::default()) };
    let text = String::from_utf8(input::read_file(path, MAX_POLICY)?).map_err(CliError::input)?;
    Policy::from_toml(&text)
        .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
}

/// 0 verified, 1 refused, 3 anything between.
pub(super) fn exit_code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Verified { .. } => ExitCode::SUCCESS,
        Verdict::Refused(_) => ExitCode::from(1),
        _ => ExitCode::from(3),
    }
}

/// Reads the verifier's own input in the shape of the request that the bundle discloses.
fn own_input(path: &Path, file: &[u8]) -> Result<InferenceRequest, CliError> {
    let disclosed = Bundle::from_bytes(file).ok().and_then(|bundle| {
        let item = bundle.items.into_iter().next()?;
        InferenceRequest::from_bytes(&item.request).ok()
    });
    let specs = disclosed.as_ref().map(input::specs_of).unwrap_or_default();
    input::read(path, &specs)
}
