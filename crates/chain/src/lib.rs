//! Access to an EVM chain for a seller that is paid in EIP-3009 tokens: what a payment needs to be
//! looked at, sent, and found again, and nothing else.
//!
//! - [`Chain`] reads: code, balances, authorisation states, blocks, receipts, logs, simulations. It
//!   speaks JSON-RPC over HTTP with time-outs everywhere, and never prints its URL, which often
//!   carries an API key.
//! - [`SettlementSigner`] writes: it [prepares](SettlementSigner::prepare) a [`SignedTransaction`]
//!   under a [`NonceLease`]. The caller stores the transaction, [keeps](PreparedTransaction::keep)
//!   the nonce, and only then [broadcasts](Chain::broadcast). A transaction that was never stored
//!   gives its nonce back when it is dropped.
//! - [`Chain::wait`] says what became of a transaction once it is as deep as asked;
//!   [`Chain::authorization_fate`] says what became of an EIP-3009 authorisation, whoever used it.
//!
//! ```no_run
//! # async fn f(chain: assay_chain::Chain, key: assay_chain::AccountKey) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use assay_chain::{Address, Bytes, FeeLimits, SettlementSigner};
//!
//! let signer = SettlementSigner::new(chain.clone(), key, FeeLimits::default())?;
//! let prepared = signer.prepare(Address::ZERO, Bytes::new()).await?;
//! // ... store `prepared.transaction()` in the same database transaction as the receipt ...
//! let transaction = prepared.keep();
//! chain.broadcast(&transaction).await?;
//! let outcome = chain.wait(transaction.hash, 1, Duration::from_secs(60)).await;
//! # Ok(()) }
//! ```

mod authorization;
pub mod bindings;
mod chain;
mod development;
mod error;
mod http;
mod key;
mod nonce;
mod receipt;
mod rpc;
mod signer;
mod transaction;

pub use alloy_primitives::{Address, B256, Bytes, U256};

pub use authorization::{AuthorizationFate, Transfer, transfer_under};
pub use chain::{Block, Chain, ChainConfig};
pub use development::{development_key, is_development_address};
pub use error::{BroadcastError, ChainError, SignerError};
pub use http::{http_client, install_tls_provider};
pub use key::{AccountKey, KeyError, recover};
pub use nonce::{NonceLease, NonceQueue};
pub use receipt::{Log, MinedTransaction, Receipt, TransactionOutcome};
pub use rpc::RpcObserver;
pub use signer::{FeeLimits, PreparedTransaction, SettlementSigner};
pub use transaction::{Broadcast, SignedTransaction};
