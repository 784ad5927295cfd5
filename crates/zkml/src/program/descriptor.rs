//! The descriptor, which is the verifying key, and the model's id (section 3).

use std::fmt;

use thiserror::Error;

use super::Program;
use super::check::CheckedProgram;
use super::codec::{DecodeError, Encoded, Reader};
use super::error::ProgramError;
use crate::tensor_code::Digest;

/// Largest descriptor, in bytes.
pub const MAX_DESCRIPTOR_BYTES: usize = 4 << 20;

const VERSION: u32 = 1;
const ID_DOMAIN: &[u8] = b"assay-zkml/1/model\0";

/// A checked program with the root of its weights.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    program: CheckedProgram,
    weight_root: Digest,
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
    /// Returns the descriptor of `program` with weights under `weight_root`.
    ///
    /// # Errors
    ///
    /// Returns [`DescriptorError::TooLarge`] if no verifier would read it.
    pub fn new(program: CheckedProgram, weight_root: Digest) -> Result<Self, DescriptorError> {
        let encoding = encode(program.program(), weight_root);
        let got = encoding.len();
        if got > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLarge { got });
        }
        Ok(Self { program, weight_root, model: ModelId::of(&encoding) })
    }

    /// Returns the program.
    #[must_use]
    pub const fn program(&self) -> &CheckedProgram {
        &self.program
    }

    /// Returns the root of the weights' commitment.
    #[must_use]
    pub const fn weight_root(&self) -> Digest {
        self.weight_root
    }

    /// Returns the encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.program.program(), self.weight_root)
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
        let weight_root = Digest::read(&mut reader)?;
        let encoding = encode(&program, weight_root);
        if encoding != bytes {
            return Err(DescriptorError::NotCanonical { expected: encoding.len(), got });
        }
        Ok(Self { program: program.check()?, weight_root, model: ModelId::of(bytes) })
    }

    /// Returns the id of the model.
    #[must_use]
    pub const fn model_id(&self) -> ModelId {
        self.model
    }
}

fn encode(program: &Program, weight_root: Digest) -> Vec<u8> {
    let mut out = Vec::new();
    VERSION.write(&mut out);
    program.write(&mut out);
    weight_root.write(&mut out);
    out
}
