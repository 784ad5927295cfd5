use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use assay_primitives::{Digest, ModelId};
use thiserror::Error;

use crate::{CardError, ModelCard, Samples};

/// The files of a package, in the order of its encoding, and the most bytes each may have.
const FILES: [(&str, u64); 3] =
    [("model.onnx", 256 << 20), ("model.toml", 64 << 10), ("samples.json", 16 << 20)];

/// A model package, read and with its id.
#[derive(Clone, Debug)]
pub struct ModelPackage {
    id: ModelId,
    card: ModelCard,
    artifact: Vec<u8>,
    samples: Samples,
}

/// A model package that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A file cannot be read.
    #[error("model package: {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is too large.
    #[error("model package: {path}: more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes it may have.
        limit: u64,
    },
    /// The card is wrong.
    #[error("{path}: {error}")]
    Card {
        /// The package's folder.
        path: PathBuf,
        /// What is wrong.
        error: CardError,
    },
    /// The samples are wrong.
    #[error("{path}: samples.json: {error}")]
    Samples {
        /// The package's folder.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

impl ModelPackage {
    /// Reads a package from its folder.
    ///
    /// # Errors
    /// When a file is missing, too large or not what it should be.
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let [artifact, card, samples] = FILES.map(|(name, limit)| read(&folder.join(name), limit));
        let (artifact, card, samples) = (artifact?, card?, samples?);
        Self::from_parts(artifact, &card, &samples).map_err(|error| error.in_folder(folder))
    }

    /// Makes a package of the contents of its three files.
    ///
    /// # Errors
    /// When card or samples are not what they should be.
    pub fn from_parts(
        artifact: Vec<u8>,
        card: &[u8],
        samples: &[u8],
    ) -> Result<Self, PackageError> {
        let id = package_id([&artifact, card, samples]);
        let path = PathBuf::new;
        let text = std::str::from_utf8(card).map_err(|error| PackageError::Card {
            path: path(),
            error: CardError(error.to_string()),
        })?;
        let card = ModelCard::from_toml(text)
            .map_err(|error| PackageError::Card { path: path(), error })?;
        let samples = Samples::from_json(samples, &card)
            .map_err(|error| PackageError::Samples { path: path(), error })?;
        Ok(Self { id, card, artifact, samples })
    }

    /// Returns the package's id: the SHA-256 of `assay model package v1`, a line feed, and then for
    /// `model.onnx`, `model.toml` and `samples.json`, in this order: the length of its name in 8
    /// bytes big-endian, its name, the length of its content in 8 bytes big-endian, its content.
    #[must_use]
    pub const fn id(&self) -> ModelId {
        self.id
    }

    /// Returns the card.
    #[must_use]
    pub const fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Returns the artifact's bytes.
    #[must_use]
    pub fn artifact(&self) -> &[u8] {
        &self.artifact
    }

    /// Returns the labelled sample inputs.
    #[must_use]
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }
}

impl PackageError {
    fn in_folder(self, folder: &Path) -> Self {
        let path = folder.to_path_buf();
        match self {
            Self::Card { error, .. } => Self::Card { path, error },
            Self::Samples { error, .. } => Self::Samples { path, error },
            other => other,
        }
    }
}

fn package_id(contents: [&[u8]; 3]) -> ModelId {
    let lengths: Vec<([u8; 8], [u8; 8])> = FILES
        .iter()
        .zip(contents)
        .map(|((name, _), content)| {
            ((name.len() as u64).to_be_bytes(), (content.len() as u64).to_be_bytes())
        })
        .collect();
    let mut parts: Vec<&[u8]> = vec![b"assay model package v1\n"];
    for (((name, _), content), (name_length, length)) in FILES.iter().zip(contents).zip(&lengths) {
        parts.extend([name_length.as_slice(), name.as_bytes(), length, content]);
    }
    ModelId(Digest::of_parts(&parts))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PackageError> {
    let error = |error| PackageError::Read { path: path.to_path_buf(), error };
    let mut content = Vec::new();
    File::open(path).map_err(error)?.take(limit + 1).read_to_end(&mut content).map_err(error)?;
    if content.len() as u64 > limit {
        return Err(PackageError::TooLarge { path: path.to_path_buf(), limit });
    }
    Ok(content)
}
