use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Panic, Revert, SolError};
use thiserror::Error;

use crate::genesis::GenesisError;
use crate::journal::JournalError;

/// Why a chain cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The genesis state could not be built.
    #[error("the genesis block cannot be built: {0}")]
    Genesis(#[from] GenesisError),
    /// The block file is unusable, or its blocks do not give the chain they claim to.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why a transaction is not accepted. The wording of what public nodes also say follows theirs,
/// because client libraries recognise errors by it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The same transaction is waiting already.
    #[error("already known")]
    AlreadyKnown,
    /// The sender's balance cannot cover what the transaction may cost.
    #[error("insufficient funds for gas * price + value: have {balance} want {cost}")]
    InsufficientFunds {
        /// The sender's balance, in wei.
        balance: U256,
        /// The value and the most that gas may cost, in wei.
        cost: U256,
    },
    /// The gas limit is under what the transaction costs before any code runs.
    #[error("intrinsic gas too low: have {limit}, want {needed}")]
    IntrinsicGas {
        /// The gas limit.
        limit: u64,
        /// What it costs before any code runs.
        needed: u64,
    },
    /// The block could not be recorded. The chain is as it was before.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The bytes are no transaction.
    #[error("the transaction cannot be decoded: {0}")]
    Malformed(String),
    /// The nonce is too far ahead to wait for.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}")]
    NonceTooHigh {
        /// The nonce that the sender's next transaction must have.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// The nonce was used already.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The nonce that the sender's next transaction must have.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// Too many transactions are waiting.
    #[error("txpool is full: {limit} transactions are waiting")]
    PoolFull {
        /// How many may wait.
        limit: usize,
    },
    /// Another transaction with this nonce is waiting, and this one does not pay 10 % more.
    #[error("replacement transaction underpriced: maxFeePerGas {offered}, needed {needed}")]
    ReplacementUnderpriced {
        /// What it offers per unit of gas, in wei.
        offered: u128,
        /// What it would have to offer.
        needed: u128,
    },
    /// The signature is no sender's, or its `s` is in the upper half of the order (EIP-2).
    #[error("invalid sender: the signature recovers no address")]
    Sender,
    /// The sender has code (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// The transaction is longer than is accepted.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The greatest length accepted.
        limit: usize,
    },
    /// A blob or set-code transaction.
    #[error("transaction type not supported: type {0} (this chain takes types 0, 1 and 2)")]
    Type(u8),
    /// The fees are under the base fee, which never changes.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {offered}, baseFee: {base}")]
    Underpriced {
        /// What it offers per unit of gas, in wei.
        offered: u128,
        /// The base fee.
        base: u64,
    },
    /// The transaction is signed for another chain.
    #[error("invalid chain id for signer: have {signed} want {expected}")]
    WrongChain {
        /// The chain id that it is signed for.
        signed: u64,
        /// This chain's.
        expected: u64,
    },
    /// The EVM refuses it for another reason.
    #[error("transaction rejected: {0}")]
    Rejected(String),
    /// The EVM failed.
    #[error("the EVM failed: {0}")]
    Evm(String),
}

/// Why a call or an estimate has no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The EVM failed.
    #[error("the EVM failed: {0}")]
    Evm(String),
    /// It ended abnormally, as by running out of gas.
    #[error("{0}")]
    Halt(String),
    /// The sender has less than the call would transfer.
    #[error("insufficient funds for transfer: have {balance} want {value}")]
    InsufficientFunds {
        /// The sender's balance, in wei.
        balance: U256,
        /// The value.
        value: U256,
    },
    /// The request contradicts itself or asks for what the chain does not do.
    #[error("invalid call: {0}")]
    Invalid(String),
    /// It does not succeed with any gas limit that it may have.
    #[error("gas required exceeds allowance ({allowance})")]
    OutOfGas {
        /// The most gas it may use.
        allowance: u64,
    },
    /// A contract reverted.
    #[error("{}", describe_revert(output))]
    Revert {
        /// What it returned: the encoded error.
        output: Bytes,
    },
}

/// The text of a revert, with its reason if that is a string or a panic code.
fn describe_revert(output: &[u8]) -> String {
    if let Ok(revert) = Revert::abi_decode(output) {
        format!("execution reverted: {}", revert.reason)
    } else if let Ok(panic) = Panic::abi_decode(output) {
        format!("execution reverted: {panic}")
    } else {
        "execution reverted".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_says_why_if_it_can() {
        let text = |output: Vec<u8>| CallError::Revert { output: output.into() }.to_string();
        assert_eq!(text(Revert::from("no").abi_encode()), "execution reverted: no");
        let panic = text(Panic { code: U256::from(0x11) }.abi_encode());
        assert!(panic.starts_with("execution reverted: ") && panic.contains("0x11"), "{panic}");
        assert_eq!(text(vec![1, 2, 3, 4]), "execution reverted");
        assert_eq!(text(Vec::new()), "execution reverted");
    }
}
