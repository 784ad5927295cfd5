//! The file of a proof: what a verifier needs beside key, inputs and outputs.
//!
//! | part | bytes |
//! |---|---|
//! | `ASSAYZKP`, version | 8, 4 |
//! | id of the model | 32 |
//! | `lb` | 4 |
//! | number of instances, the salt of each | 4, 32 each |
//! | proof | the rest |

use crate::circuit::Circuit;
use crate::program::ModelId;
use crate::statement::{Claim, Hash, Instance, IoTree, Statement, TooManyInstances};
use crate::wire::{DIGEST_BYTES, Reader, encode_length};

use super::file::{FileError, head};

/// Largest proof file that is read, in bytes: above what any key allows within this version's caps
/// on weights, columns and rounds.
pub const MAX_PROOF_FILE_BYTES: usize = 1 << 28;

const MAGIC: &[u8; 8] = b"ASSAYZKP";
const MAX_LB: u32 = 10;
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
pub fn context(verifying_digest: &Hash, request: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(CONTEXT_DOMAIN).update(verifying_digest).update(request).finalize().into()
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
        out.extend_from_slice(&super::file::VERSION.to_le_bytes());
        out.extend_from_slice(self.model.as_bytes());
        out.extend_from_slice(&self.lb.to_le_bytes());
        encode_length(self.salts.len(), &mut out);
        self.salts.iter().for_each(|salt| out.extend_from_slice(salt));
        out.extend_from_slice(&self.proof);
        out
    }

    /// Reads a file; the proof in it is not looked at.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] with the first thing that does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let mut reader = Reader::new(bytes, MAX_PROOF_FILE_BYTES)?;
        head(&mut reader, "proof file", MAGIC)?;
        let model = reader.list::<DIGEST_BYTES>("id of the model", 1)?.first().copied();
        let lb = reader.length("bits of the batch", MAX_LB as usize)?;
        let salts = reader.length("instances", 1 << lb)?;
        let salts = reader.list::<32>("salts", salts)?.to_vec();
        let lb = u32::try_from(lb).unwrap_or(MAX_LB);
        let model = ModelId::from(model.unwrap_or_default());
        Ok(Self { model, lb, salts, proof: reader.rest().to_vec() })
    }
}
