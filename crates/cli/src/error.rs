use std::fmt;
use std::path::PathBuf;

use assay_verify::Refusal;
use serde_json::{Value, json};
use thiserror::Error;

/// What ended a command.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// A file or stream that was named.
    #[error("{}: {}", .0.display(), Plain(.1))]
    Io(PathBuf, std::io::Error),
    /// What the command was given cannot be used.
    #[error("{0}")]
    Input(String),
    /// What the command set out to do failed.
    #[error("{0}")]
    Failed(String),
    /// What is offered is not what the policy accepts.
    #[error("nothing was paid, as the policy does not accept what the gateway announces: {0}")]
    NotAccepted(Box<Refusal>),
    /// What was paid for did not come, or does not verify.
    #[error("{}", .0.message)]
    Undelivered(Box<Undelivered>),
    /// The user did not want to wait.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// Makes an error of what the command was given.
    pub(crate) fn input(error: impl fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    /// Makes an error of what the command set out to do.
    pub(crate) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// Makes an error of a file.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |error| Self::Io(path, error)
    }

    /// The exit code: 1 refused or failed, 2 unusable input, 130 interrupted, as shells have it.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::NotAccepted(_) | Self::Undelivered(_) => 1,
            Self::Io(..) | Self::Input(_) => 2,
            Self::Interrupted => 130,
        }
    }

    /// Returns the error for a program.
    pub(crate) fn to_json(&self) -> Value {
        let mut told = json!({ "error": self.to_string(), "exitCode": self.code() });
        if let (Self::Undelivered(undelivered), Some(told)) = (self, told.as_object_mut()) {
            let Undelivered { transaction, access_token, refusal, evidence, .. } = &**undelivered;
            told.insert("transaction".to_owned(), json!(transaction));
            told.insert("accessToken".to_owned(), json!(access_token));
            told.insert("refusal".to_owned(), json!(refusal));
            told.insert("evidence".to_owned(), json!(evidence));
        }
        if let (Self::NotAccepted(refusal), Some(told)) = (self, told.as_object_mut()) {
            told.insert("refusal".to_owned(), json!(refusal));
        }
        told
    }
}

/// A payment that was taken without a result to be believed.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// What is wrong, and what the buyer can do.
    pub(crate) message: String,
    /// The transaction, by the gateway.
    pub(crate) transaction: String,
    /// The token that opens it at the gateway.
    pub(crate) access_token: String,
    /// Which check refused what came.
    pub(crate) refusal: Option<Box<Refusal>>,
    /// Where what came is kept.
    pub(crate) evidence: Option<PathBuf>,
}

/// An error of the system in the words that people know, without its number.
pub(crate) struct Plain<'a>(pub(crate) &'a std::io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::io::ErrorKind;
        match self.0.kind() {
            ErrorKind::NotFound => f.write_str("there is no such file or folder"),
            ErrorKind::PermissionDenied => f.write_str("permission denied"),
            ErrorKind::IsADirectory => f.write_str("this is a folder, not a file"),
            ErrorKind::NotADirectory => f.write_str("a part of the path is a file, not a folder"),
            ErrorKind::AlreadyExists => f.write_str("exists already"),
            ErrorKind::AddrInUse => f.write_str("the address is in use"),
            _ => f.write_str(without_number(&self.0.to_string())),
        }
    }
}

/// Returns the text of a system error without its number.
pub(crate) fn without_number(text: &str) -> &str {
    text.split(" (os error").next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn system_errors_are_told_without_numbers() {
        let missing = CliError::io("nine.assay")(ErrorKind::NotFound.into());
        assert_eq!(missing.to_string(), "nine.assay: there is no such file or folder");
        assert_eq!(missing.code(), 2);
        // EIO has no kind of its own.
        let broken = Error::from_raw_os_error(5);
        assert!(broken.to_string().contains("os error"), "{broken}");
        assert!(!Plain(&broken).to_string().contains("os error"), "{}", Plain(&broken));
    }
}
