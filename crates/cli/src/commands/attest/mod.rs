//! `assay attest`: attestation evidence by itself.

mod inspect;
mod show;
mod verify;

use std::process::ExitCode;

use assay_primitives::encoding;

use crate::args::AttestCommand;
use crate::error::CliError;

/// The most bytes of a file of evidence.
const MAX_FILE: u64 = 1 << 20;

pub(crate) fn run(command: &AttestCommand) -> Result<ExitCode, CliError> {
    match command {
        AttestCommand::Verify(args) => verify::run(args),
        AttestCommand::Inspect(args) => inspect::run(args),
    }
}

/// From how many bytes on zeros are told in a word.
const MIN_ZEROS: usize = 8;

/// Says bytes in at most so many bytes of hexadecimal; those that are all zero in a word.
fn bytes_shown(bytes: &[u8], most: usize) -> String {
    match bytes.get(..most) {
        _ if bytes.is_empty() => "empty".to_owned(),
        _ if bytes.len() >= MIN_ZEROS && bytes.iter().all(|byte| *byte == 0) => {
            format!("zeros ({} bytes)", bytes.len())
        }
        Some(first) if first.len() < bytes.len() => {
            format!("{}… ({} bytes)", encoding::hex(first), bytes.len())
        }
        _ => encoding::hex(bytes),
    }
}
