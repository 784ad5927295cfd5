use std::path::PathBuf;

use alloy_primitives::{Address, address};

/// The chain id of every development chain.
pub const CHAIN_ID: u64 = 31_337;

/// What a unit of gas costs, in wei. It never changes, so that costs are known beforehand.
pub const BASE_FEE: u64 = 1_000_000_000;

/// The most gas a block may use.
pub(crate) const BLOCK_GAS_LIMIT: u64 = 60_000_000;

/// The most gas a transaction may ask for (EIP-7825).
pub(crate) const TRANSACTION_GAS_LIMIT: u64 = revm::primitives::eip7825::TX_GAS_LIMIT_CAP;

/// The largest transaction that is accepted, in bytes. Public nodes draw the same line.
pub(crate) const TRANSACTION_SIZE_LIMIT: usize = 128 * 1024;

/// Who earns the priority fees: the last 20 bytes of keccak256("assay development coinbase").
pub(crate) const COINBASE: Address = address!("0x4a089fdf61b70944a4D62c89A68Fd17c4f4601BF");

/// Where a chain keeps its blocks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// The folder of the block file; none keeps the chain in memory alone.
    pub folder: Option<PathBuf>,
    /// Whether each block is forced to the disk before it counts.
    ///
    /// Off by default: a block is handed to the operating system, so it outlives this process but
    /// not a power cut, after which the chain resumes at the last block that reached the disk.
    pub fsync: bool,
}

impl Config {
    /// Keeps the chain in memory; it is gone when the last handle is dropped.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Keeps the blocks in `folder`, which is made if it does not exist.
    #[must_use]
    pub fn persistent(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), fsync: false }
    }

    /// Sets whether each block is forced to the disk.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn the_coinbase_has_no_key() {
        assert_eq!(COINBASE, Address::from_word(keccak256("assay development coinbase")));
    }
}
