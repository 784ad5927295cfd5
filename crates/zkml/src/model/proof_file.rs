//! The file of a proof: what a verifier needs beside key, inputs and outputs.
//!
//! | part | bytes |
//! |---|---|
//! | `assay-zkml-proof`, version | 16, 4 |
//! | id of the model | 32 |
//! | `lb` | 4 |
//! | number of instances, the salt of each | 4, 32 each |
//! | proof | the rest |

use super::file::{FileError, PROOF_MAGIC as MAGIC, begin};
use crate::circuit::Circuit;
use crate::program::{Encoded as _, MAX_LB, ModelId};
use crate::statement::{Claim, Hash, Instance, IoTree, Statement, TooManyInstances};
use crate::tensor_code::Digest;

/// Largest proof file that is read, in bytes: above what any key allows within this version's caps
/// on weights, columns and rounds.
pub const MAX_PROOF_BYTES: usize = 1 << 28;

const VERSION: u32 = 1;
const CONTEXT_DOMAIN: &[u8] = b"assay-zkml/1/context\0";

/// A proof with what its statement was made with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProofFile {
    model: ModelId,
    lb: u32,
    salts: Vec<Hash>,
    proof: Vec<u8>,
}

/// Returns `BLAKE3("assay-zkml/1/context" || 0 || verifying file's digest || request)`: the context
/// of an instance, under which stand scales and the caller's own digest of his request.
#[must_use]
pub fn context(verifying_file: &Digest, request: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(CONTEXT_DOMAIN)
        .update(verifying_file.as_bytes())
        .update(request)
        .finalize()
        .into()
}

/// Returns the statement about `instances`, in their order, with a claim for each.
///
/// # Errors
///
/// Returns [`TooManyInstances`] if they do not fit the circuit's batch.
pub fn statement<'a>(
    circuit: &Circuit,
    instances: &[Instance<'a>],
) -> Result<(Statement, Vec<Claim<'a>>), TooManyInstances> {
    let lb = circuit.sizes().lb;
    let tree = IoTree::new(lb, instances)?;
    let alone = instances.first().filter(|_| lb == 0);
    let context = alone.map_or([0; 32], |instance| instance.context);
    let claims = (0_u32..).zip(instances).zip(0_usize..).map(|((index, &instance), place)| Claim {
        index,
        instance,
        path: tree.path(place),
    });
    let claims = claims.collect();
    Ok((Statement { model: circuit.model_id(), context, lb, io_root: tree.root() }, claims))
}

/// Returns the least `lb` for `count` instances.
#[must_use]
pub const fn batch_bits(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

impl ProofFile {
    /// Puts a proof to the salts of its instances.
    #[must_use]
    pub const fn new(model: ModelId, lb: u32, salts: Vec<Hash>, proof: Vec<u8>) -> Self {
        Self { model, lb, salts, proof }
    }

    /// Returns the id of the model that it speaks of.
    #[must_use]
    pub const fn model(&self) -> ModelId {
        self.model
    }

    /// Returns `lb`.
    #[must_use]
    pub const fn lb(&self) -> u32 {
        self.lb
    }

    /// Returns the salt of each instance.
    #[must_use]
    pub fn salts(&self) -> &[Hash] {
        &self.salts
    }

    /// Returns the proof.
    #[must_use]
    pub fn proof(&self) -> &[u8] {
        &self.proof
    }

    /// Returns the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        VERSION.write(&mut out);
        out.extend_from_slice(self.model.as_bytes());
        self.lb.write(&mut out);
        u32::try_from(self.salts.len()).unwrap_or(u32::MAX).write(&mut out);
        out.extend_from_slice(self.salts.as_flattened());
        out.extend_from_slice(&self.proof);
        out
    }

    /// Reads a file; the proof in it is not looked at.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = begin(bytes, MAGIC, VERSION, MAX_PROOF_BYTES)?;
        let model = ModelId::from(reader.array("model id")?);
        let lb = u32::read(&mut reader)?;
        let instances = u32::read(&mut reader)?;
        if lb > MAX_LB || instances > 1 << lb {
            return Err(FileError::Batch { lb, instances });
        }
        let salts = reader.bytes("salts", 32 * instances as usize)?.as_chunks().0.to_vec();
        let proof = reader.bytes("proof", reader.left())?.to_vec();
        Ok(Self { model, lb, salts, proof })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_round_trips_and_what_is_none_is_refused() {
        let model = ModelId::from([7; 32]);
        let file = ProofFile::new(model, 2, vec![[1; 32], [2; 32], [3; 32]], vec![9; 10]);
        let bytes = file.encode();
        assert_eq!(ProofFile::decode(&bytes).unwrap(), file);
        let head = bytes.len() - 10;
        for length in 0..head {
            assert!(ProofFile::decode(&bytes[..length]).is_err(), "{length}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = to;
            ProofFile::decode(&bytes)
        };
        assert!(matches!(changed(0, b'A'), Err(FileError::Magic { .. })));
        assert_eq!(changed(16, 2).unwrap_err(), FileError::Version { expected: 1, got: 2 });
        assert_eq!(changed(52, 11).unwrap_err(), FileError::Batch { lb: 11, instances: 3 });
        assert_eq!(changed(52, 1).unwrap_err(), FileError::Batch { lb: 1, instances: 3 });
    }

    #[test]
    fn batches_are_the_least_that_hold_all() {
        assert_eq!([1, 2, 3, 4, 5, 64, 65].map(batch_bits), [0, 1, 2, 2, 3, 6, 7]);
    }
}
