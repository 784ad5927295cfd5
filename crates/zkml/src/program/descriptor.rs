//! The descriptor, which is the verifying key, and the model's id (section 3).

use std::fmt;

use thiserror::Error;

use super::Mode;
use super::Program;
use super::check::CheckedProgram;
use super::codec::{DecodeError, Encoded, Reader};
use super::error::ProgramError;
use crate::field::K;
use crate::tensor_code::Digest;
use crate::weight_commitment::WeightCommitment;

/// Largest descriptor, in bytes.
pub const MAX_DESCRIPTOR_BYTES: usize = 4 << 20;

const VERSION: u32 = 1;
const ID_DOMAIN: &[u8] = b"assay-zkml/1/model\0";

/// A checked program with the commitment to its weights.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    program: CheckedProgram,
    weights: WeightCommitment,
    model: ModelId,
}

/// Bytes that are not the descriptor of a program.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// There are too many bytes to read any.
    #[error("descriptor has {got} bytes, at most {MAX_DESCRIPTOR_BYTES} are allowed")]
    TooLarge {
        /// Bytes given.
        got: usize,
    },
    /// Another version of the protocol.
    #[error("descriptor has version {got}, expected {expected}")]
    Version {
        /// The version of this code.
        expected: u32,
        /// The version found.
        got: u32,
    },
    /// The bytes do not encode a program.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The bytes are not the one encoding of what they say, or go on behind it.
    #[error("descriptor of {got} bytes is not canonical: its encoding has {expected} bytes")]
    NotCanonical {
        /// Bytes of the encoding.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The weights are committed to in another mode than the program's.
    #[error("weights are committed to in mode {got}, the program is of mode {expected}")]
    Mode {
        /// The program's.
        expected: Mode,
        /// The commitment's.
        got: Mode,
    },
    /// A rule for loading a key does not hold.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// `BLAKE3("assay-zkml/1/model" || 0x00 || descriptor)`.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ModelId([u8; 32]);

impl ModelId {
    fn of(descriptor: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        Self(hasher.update(ID_DOMAIN).update(descriptor).finalize().into())
    }

    /// Returns the bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ModelId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelId({self})")
    }
}

impl Descriptor {
    /// Returns the descriptor of `program` with its weights' commitment; a mere root is that of a
    /// `fast` program.
    ///
    /// # Errors
    ///
    /// Returns [`DescriptorError::Mode`] if the commitment is of another mode than the program, and
    /// [`DescriptorError::TooLarge`] if no verifier would read it.
    pub fn new(
        program: CheckedProgram,
        weights: impl Into<WeightCommitment>,
    ) -> Result<Self, DescriptorError> {
        let weights = weights.into();
        let (expected, got) = (program.program().mode, weights.mode());
        if expected != got {
            return Err(DescriptorError::Mode { expected, got });
        }
        let encoding = encode(program.program(), &weights);
        let got = encoding.len();
        if got > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLarge { got });
        }
        Ok(Self { program, weights, model: ModelId::of(&encoding) })
    }

    /// Returns the program.
    #[must_use]
    pub const fn program(&self) -> &CheckedProgram {
        &self.program
    }

    /// Returns the root of the weights' commitment.
    #[must_use]
    pub const fn weight_root(&self) -> Digest {
        self.weights.root()
    }

    /// Returns the weights' commitment.
    #[must_use]
    pub const fn weights(&self) -> WeightCommitment {
        self.weights
    }

    /// Returns the mode that the weights are opened in.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.weights.mode()
    }

    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.program.program(), &self.weights)
    }

    /// Reads a descriptor and checks every rule for loading a key.
    ///
    /// # Errors
    ///
    /// Returns [`DescriptorError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let got = bytes.len();
        if got > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLarge { got });
        }
        let mut reader = Reader::new(bytes);
        let version = u32::read(&mut reader)?;
        if version != VERSION {
            return Err(DescriptorError::Version { expected: VERSION, got: version });
        }
        let program = Program::read(&mut reader)?;
        let root = Digest::read(&mut reader)?;
        let weights = match program.mode {
            Mode::Fast => WeightCommitment::Fast { root },
            Mode::Small => WeightCommitment::Small { root, sample: K::read(&mut reader)? },
        };
        let encoding = encode(&program, &weights);
        if encoding != bytes {
            return Err(DescriptorError::NotCanonical { expected: encoding.len(), got });
        }
        Ok(Self { program: program.check()?, weights, model: ModelId::of(bytes) })
    }

    /// Returns the id of the model.
    #[must_use]
    pub const fn model_id(&self) -> ModelId {
        self.model
    }
}

fn encode(program: &Program, weights: &WeightCommitment) -> Vec<u8> {
    let mut out = Vec::new();
    VERSION.write(&mut out);
    program.write(&mut out);
    weights.root().write(&mut out);
    if let WeightCommitment::Small { sample, .. } = weights {
        sample.write(&mut out);
    }
    out
}
