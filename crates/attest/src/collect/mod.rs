//! Attesters: where evidence comes from, on the machine that it is of.

#[cfg(target_os = "linux")]
mod nsm;
pub mod tpm;
mod tsm;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

#[cfg(target_os = "linux")]
pub use self::nsm::Nsm;
pub use self::tsm::Tsm;
pub use crate::nitro::{SimulatedNitro, SimulatedNitroRoot};
use crate::{Evidence, KeyBinding, Refusal};

/// Collects evidence that binds a key (RFC 9334, "attester").
pub trait Attester: Debug + Send + Sync {
    /// Collects evidence. It takes as long as the device does.
    ///
    /// # Errors
    /// When the device is not there or fails; it is said what was looked for.
    fn attest(&self, binding: &KeyBinding) -> Result<Evidence, CollectError>;
}

/// Evidence that cannot be collected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// There is no such device here.
    #[error("no {what} here: {path} is not there")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The device cannot be used.
    #[error("{path}: {error}")]
    Device {
        /// The device, or its file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The device answers what it should not.
    #[error("{device}: expected {expected}, got {got}")]
    Answer {
        /// The device.
        device: &'static str,
        /// What it should answer.
        expected: String,
        /// What it answers.
        got: String,
    },
    /// What the device gave cannot be read as evidence.
    #[error(transparent)]
    Evidence(#[from] Refusal),
}
