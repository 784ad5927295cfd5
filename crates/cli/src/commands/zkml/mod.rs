//! `assay zkml`: models whose inferences are proven.

mod compile;
pub(super) mod data;
mod inspect;
mod prove;
mod run;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use assay_primitives::{Clock as _, Digest, SystemClock, printable};
use assay_zkml::model::{FileError, MAX_KEY_BYTES, MAX_MODEL_BYTES, ModelFile, VerifyingFile};
use assay_zkml::prover::ProvingModel;
use assay_zkml_onnx::CompileError;

use crate::args::ZkmlCommand;
use crate::error::CliError;
use crate::{files, output};

/// How a file of outputs begins.
const OUTPUTS: &[u8; 16] = br#"{"output_data":["#;

pub(super) fn run(command: &ZkmlCommand) -> Result<ExitCode, CliError> {
    match command {
        ZkmlCommand::Compile(args) => compile::run(args),
        ZkmlCommand::Run(args) => run::run(args),
        ZkmlCommand::Prove(args) => prove::run(args),
        ZkmlCommand::Verify(args) => verify::run(args),
        ZkmlCommand::Inspect(args) => inspect::run(args),
    }
}

/// Reads a compiled model; also says how long the file is.
fn load(path: &Path) -> Result<(ModelFile, usize), CliError> {
    let content = files::read(path, MAX_MODEL_BYTES as u64)?;
    Ok((ModelFile::decode(&content).map_err(in_file(path))?, content.len()))
}

/// Commits to a model's weights again, which is what shows that they are the key's.
fn proving(file: ModelFile, path: &Path) -> Result<(VerifyingFile, ProvingModel), CliError> {
    file.into_prover().map_err(in_file(path))
}

fn load_verifying(path: &Path) -> Result<(VerifyingFile, usize), CliError> {
    let content = files::read(path, MAX_KEY_BYTES as u64)?;
    Ok((VerifyingFile::decode(&content).map_err(in_file(path))?, content.len()))
}

fn in_file(path: &Path) -> impl Fn(FileError) -> CliError {
    move |error| CliError::Input(format!("{}: {error}", path.display()))
}

/// Says why an ONNX file cannot be used; the names in it are whatever its maker wrote there.
fn in_onnx(path: &Path) -> impl Fn(CompileError) -> CliError {
    move |error| {
        let told = printable(&error.to_string(), 1_024);
        CliError::Input(format!("{}: {told}", path.display()))
    }
}

/// The caller's text as 32 bytes.
fn request_digest(context: &str) -> [u8; 32] {
    Digest::of(context.as_bytes()).0
}

/// Milliseconds since a clock was started, to the microsecond.
pub(super) fn milliseconds(started: SystemClock) -> f64 {
    (started.monotonic().as_secs_f64() * 1e6).round() / 1e3
}

/// The most memory that this process has held, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn tell_clamped(clamped: usize) {
    if clamped > 0 {
        output::note(format_args!("{clamped} input values lay outside the calibrated range."));
    }
}
