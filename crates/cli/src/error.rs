use std::path::PathBuf;

use thiserror::Error;

/// What ended a command.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// A file or stream.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// What the command was given cannot be used.
    #[error("{0}")]
    Input(String),
    /// What the command set out to do failed.
    #[error("{0}")]
    Failed(String),
    /// What was bought or given does not verify.
    #[error("{0}")]
    Refused(String),
}

impl CliError {
    /// Makes an error of what the command was given.
    pub(crate) fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    /// Makes an error of what the command set out to do.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// The exit code: 1 refused or failed, 2 unusable input.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Refused(_) => 1,
            Self::Io(..) | Self::Input(_) => 2,
        }
    }
}
