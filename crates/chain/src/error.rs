use alloy_primitives::{Address, Bytes};
use assay_primitives::Network;
use thiserror::Error;

/// A question to the chain that got no usable answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ChainError {
    /// No connection was made, so the node never saw the request.
    #[error("{method}: not connected to the RPC node: {detail}")]
    NotConnected {
        /// The JSON-RPC method.
        method: &'static str,
        /// What failed, without the URL.
        detail: String,
    },
    /// The request may have reached the node, but no answer came back.
    #[error("{method}: no answer from the RPC node: {detail}")]
    NoAnswer {
        /// The JSON-RPC method.
        method: &'static str,
        /// What failed, without the URL.
        detail: String,
    },
    /// The node answered with something that is not what the method returns.
    #[error("{method}: the RPC node's answer cannot be read: {detail}")]
    Malformed {
        /// The JSON-RPC method.
        method: &'static str,
        /// What was expected.
        detail: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{method}: the RPC node refused with code {code}: {message}")]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words, shortened.
        message: String,
    },
    /// A call or a gas estimate reverted.
    #[error("call to {to} reverted: {reason}")]
    Reverted {
        /// The contract that was called.
        to: Address,
        /// The revert reason: its text, or the name of its custom error.
        reason: String,
        /// What the contract returned.
        data: Bytes,
    },
    /// A contract returned something else than the function that was called returns.
    #[error("{to} is no such contract: {function} returned {length} bytes that cannot be read")]
    NotAsCalled {
        /// The contract that was called.
        to: Address,
        /// The function.
        function: &'static str,
        /// How many bytes it returned.
        length: usize,
    },
    /// The RPC URL cannot be used.
    #[error("not a usable RPC URL: {0}")]
    Url(String),
    /// The node serves another chain than the one that was asked for.
    #[error("wrong chain behind the RPC URL: expected {expected}, got {got}")]
    WrongNetwork {
        /// The configured network.
        expected: Network,
        /// What `eth_chainId` says.
        got: Network,
    },
}

impl ChainError {
    /// Says whether the chain gave no answer at all, so that asking again later may help.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::NotConnected { .. } | Self::NoAnswer { .. } | Self::Malformed { .. })
    }

    /// Says whether a contract did not know the function that was called: it reverted without a
    /// reason, or returned something else than the function returns.
    #[must_use]
    pub fn is_no_such_function(&self) -> bool {
        match self {
            Self::Reverted { data, .. } => data.is_empty(),
            Self::NotAsCalled { .. } => true,
            _ => false,
        }
    }

    /// Returns the revert reason, when it is one.
    #[must_use]
    pub fn revert_reason(&self) -> Option<&str> {
        match self {
            Self::Reverted { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// A signed transaction that was not taken.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BroadcastError {
    /// No connection was made: the node has not seen the transaction.
    #[error("transaction not sent: {0}")]
    NotSent(#[source] ChainError),
    /// The transaction may have reached the node.
    #[error("transaction sent, and no answer came: {0}")]
    NoAnswer(#[source] ChainError),
    /// A transaction with this account nonce is mined already: this one, or another.
    #[error("account nonce {nonce} is spent already: {message}")]
    NonceTooLow {
        /// The nonce of the transaction.
        nonce: u64,
        /// The node's words.
        message: String,
    },
    /// Another transaction with this account nonce waits to be mined.
    #[error("account nonce {nonce} is taken by another waiting transaction: {message}")]
    NonceTaken {
        /// The nonce of the transaction.
        nonce: u64,
        /// The node's words.
        message: String,
    },
    /// The node did not take the transaction.
    #[error("the RPC node refused the transaction with code {code}: {message}")]
    Rejected {
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
    },
}

/// A transaction that was not prepared.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SignerError {
    /// Everybody knows this key.
    #[error("the key of {address} is a public development key: refused on {network}")]
    DevelopmentKey {
        /// The key's address.
        address: Address,
        /// The network it was to be used on.
        network: Network,
    },
    /// The call costs more gas than the operator allows.
    #[error("the call to {to} needs {needed} gas: the cap is {cap}")]
    GasCap {
        /// The contract.
        to: Address,
        /// The estimate with its margin.
        needed: u64,
        /// The configured cap.
        cap: u64,
    },
    /// Gas is dearer than the operator allows.
    #[error("a transaction needs {needed} wei per gas: the cap is {cap}")]
    FeeCap {
        /// The lowest fee with a prospect of being mined.
        needed: u128,
        /// The configured cap.
        cap: u128,
    },
    /// The account has no gas money left for another call.
    #[error("{address} has gas for {calls} calls, and {under_way} are under way")]
    OutOfGas {
        /// The account.
        address: Address,
        /// How many calls it can pay for.
        calls: u64,
        /// How many wait for a transaction, or for it to be as deep in the chain as asked.
        under_way: u64,
    },
    /// The chain could not be asked, or says that the call would revert.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The transaction could not be signed.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
}
