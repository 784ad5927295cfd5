//! The file of a claim: what says which instance of a proven batch an inference is, beside its input.
//!
//! | part | bytes |
//! |---|---|
//! | `assay-zkml-claim`, version | 16, 4 |
//! | index in the batch | 4 |
//! | salt | 32 |
//! | length of the path, its hashes from the leaf up | 4, 32 each |
//! | number of raw outputs, the outputs | 4, 4 each |
//!
//! Whoever has it learns nothing of the other instances but hashes under salts that he does not have.

use super::file::{CLAIM_MAGIC as MAGIC, FileError, begin};
use crate::circuit::Circuit;
use crate::program::{DecodeError, Encoded as _, MAX_LB};
use crate::statement::{Claim, Hash, Instance, Statement, root_of};

/// Largest claim file that is read, in bytes: `2^28` outputs are the most that any program has.
pub const MAX_CLAIM_BYTES: usize = (4 << 28) + 1024;

const VERSION: u32 = 1;

/// An instance of a batch, without its input and context.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimFile {
    index: u32,
    salt: Hash,
    path: Vec<Hash>,
    output: Vec<i32>,
}

impl ClaimFile {
    /// Returns the file of a claim.
    #[must_use]
    pub fn of(claim: &Claim<'_>) -> Self {
        let Claim { index, instance, path } = claim;
        let (salt, output) = (instance.salt, instance.output.to_vec());
        Self { index: *index, salt, path: path.clone(), output }
    }

    /// Returns the raw output, in the program's order.
    #[must_use]
    pub fn output(&self) -> &[i32] {
        &self.output
    }

    /// Returns which instance of the batch it is about.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Returns the claim about an input under a context.
    #[must_use]
    pub fn claim<'a>(&'a self, context: Hash, input: &'a [i32]) -> Claim<'a> {
        let instance = Instance { context, salt: self.salt, input, output: &self.output };
        Claim { index: self.index, instance, path: self.path.clone() }
    }

    /// Returns the bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        VERSION.write(&mut out);
        self.index.write(&mut out);
        out.extend_from_slice(&self.salt);
        count(self.path.len()).write(&mut out);
        out.extend_from_slice(self.path.as_flattened());
        count(self.output.len()).write(&mut out);
        out.extend(self.output.iter().flat_map(|value| value.to_le_bytes()));
        out
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = begin(bytes, MAGIC, VERSION, MAX_CLAIM_BYTES)?;
        let index = u32::read(&mut reader)?;
        let salt = reader.array("salt")?;
        let length = u32::read(&mut reader)?;
        if length > MAX_LB || index >= 1 << length {
            return Err(FileError::Batch { lb: length, instances: index.saturating_add(1) });
        }
        let path = reader.bytes("path", 32 * length as usize)?.as_chunks().0.to_vec();
        let length = u32::read(&mut reader)? as usize;
        let expected = length.saturating_mul(4);
        if expected != reader.left() {
            let at = bytes.len() - reader.left();
            return Err(DecodeError::Truncated {
                what: "output",
                at,
                expected,
                got: reader.left(),
            }
            .into());
        }
        let output = reader.bytes("output", expected)?.as_chunks().0;
        let output = output.iter().map(|value| i32::from_le_bytes(*value)).collect();
        Ok(Self { index, salt, path, output })
    }
}

/// Returns the statement about the batch that `claim` is an instance of.
#[must_use]
pub fn statement_of(circuit: &Circuit, claim: &Claim<'_>) -> Statement {
    let lb = circuit.sizes().lb;
    let context = if lb == 0 { claim.instance.context } else { [0; 32] };
    let io_root = root_of(claim.instance.leaf(), claim.index, &claim.path);
    Statement { model: circuit.model_id(), context, lb, io_root }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_what_is_none_is_refused() {
        let (path, output) = (vec![[1; 32], [2; 32]], vec![-1, 0, i32::MAX]);
        let file = ClaimFile { index: 3, salt: [7; 32], path, output };
        let bytes = file.encode();
        assert_eq!(ClaimFile::decode(&bytes).unwrap(), file);
        for length in 0..bytes.len() {
            assert!(ClaimFile::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(ClaimFile::decode(&[&bytes[..], &[0]].concat()).is_err());
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            ClaimFile::decode(&bytes)
        };
        assert!(matches!(changed(0, b'A'), Err(FileError::Magic { .. })));
        assert_eq!(changed(16, 2).unwrap_err(), FileError::Version { expected: 1, got: 2 });
        // An index behind the batch, a path that no batch has, more outputs than there are.
        assert_eq!(changed(20, 4).unwrap_err(), FileError::Batch { lb: 2, instances: 5 });
        assert_eq!(changed(56, 11).unwrap_err(), FileError::Batch { lb: 11, instances: 4 });
        assert!(matches!(changed(124, 4), Err(FileError::Decode(_))));
        assert!(matches!(changed(127, 255), Err(FileError::Decode(_))));
    }
}
