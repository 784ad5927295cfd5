//! `assay zkml`: models whose inferences are proven.

mod compile;
mod data;
mod inspect;
mod prove;
mod run;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use assay_zkml::model::{
    FileError, MAX_MODEL_BYTES, MAX_VERIFYING_BYTES, ModelFile, VerifyingFile,
};
use assay_zkml::prover::{ProveError, ProvingModel};

use crate::args::ZkmlCommand;
use crate::error::CliError;
use crate::files;

pub(super) fn run(command: &ZkmlCommand) -> Result<ExitCode, CliError> {
    match command {
        ZkmlCommand::Compile(args) => compile::run(args),
        ZkmlCommand::Run(args) => run::run(args),
        ZkmlCommand::Prove(args) => prove::run(args),
        ZkmlCommand::Verify(args) => verify::run(args),
        ZkmlCommand::Inspect(args) => inspect::run(args),
    }
}

/// A compiled model as it is on the disk.
struct Loaded {
    verifying: VerifyingFile,
    weights: Vec<i16>,
    bytes: usize,
}

fn load(path: &Path) -> Result<Loaded, CliError> {
    let content = files::read(path, MAX_MODEL_BYTES as u64)?;
    let file = ModelFile::decode(&content).map_err(in_file(path))?;
    let (verifying, weights) = file.into_parts();
    Ok(Loaded { verifying, weights, bytes: content.len() })
}

impl Loaded {
    /// Commits to the weights again, which is what shows that they are the key's.
    fn proving(&mut self, path: &Path) -> Result<ProvingModel, CliError> {
        let weights = std::mem::take(&mut self.weights);
        let model = ProvingModel::load(self.verifying.descriptor().clone(), weights);
        model.map_err(|error: ProveError| CliError::Input(format!("{}: {error}", path.display())))
    }
}

fn load_verifying(path: &Path) -> Result<(VerifyingFile, usize), CliError> {
    let content = files::read(path, MAX_VERIFYING_BYTES as u64)?;
    Ok((VerifyingFile::decode(&content).map_err(in_file(path))?, content.len()))
}

fn in_file(path: &Path) -> impl Fn(FileError) -> CliError {
    move |error| CliError::Input(format!("{}: {error}", path.display()))
}

/// The caller's text as 32 bytes.
fn request_digest(context: &str) -> [u8; 32] {
    use assay_primitives::Sha256Digest;
    *Sha256Digest::of(context.as_bytes()).as_bytes()
}

/// Milliseconds since `start`, to the microsecond.
fn milliseconds(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The most memory that this process has held, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}
