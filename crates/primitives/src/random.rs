use std::fmt::Debug;

use thiserror::Error;

/// The machine has no randomness to give.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no randomness from the operating system: {0}")]
pub struct RandomnessError(pub String);

/// Where secrets, salts and nonces come from.
pub trait Randomness: Debug + Send + Sync {
    /// Fills `bytes` with bytes nobody can guess.
    ///
    /// # Errors
    /// When the source fails.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError>;
}

impl dyn Randomness + '_ {
    /// Returns `N` bytes nobody can guess.
    ///
    /// # Errors
    /// When the source fails.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], RandomnessError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    #[expect(clippy::disallowed_methods, reason = "this is the source of randomness")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        getrandom::fill(bytes).map_err(|error| RandomnessError(error.to_string()))
    }
}
