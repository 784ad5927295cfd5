//! Access to an EVM chain for a seller that is paid in EIP-3009 tokens, or through Permit2: what a payment needs to be
//! looked at, sent, and found again, and nothing else.
//!
//! - [`Chain`] reads: code, balances, authorisation states, blocks, receipts, logs, simulations. It
//!   speaks JSON-RPC over HTTP with time-outs everywhere, and never prints its URL, which often
//!   carries an API key.
//! - [`OutgoingQueue`] writes: calls of contracts become transactions of a [`SettlementSigner`]'s
//!   account, are kept in a [`TransactionJournal`] before they are broadcast, and are carried on until
//!   they are in the chain, over restarts, stuck fees and reorganisations.
//! - [`Chain::authorization_fate`] says what became of an EIP-3009 authorisation, whoever used it, and
//!   [`Chain::permit_fate`] of a permit that x402's scheme `upto` settles.
//!
//! ```no_run
//! # async fn f(
//! #     chain: assay_chain::Chain,
//! #     key: assay_chain::AccountKey,
//! #     journal: std::sync::Arc<dyn assay_chain::TransactionJournal>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use assay_chain::{
//!     Address, B256, Bytes, Call, CallOutcome, FeeLimits, OutgoingConfig, OutgoingQueue,
//!     SettlementSigner,
//! };
//!
//! let signer = SettlementSigner::new(chain, key, FeeLimits::default())?;
//! let queue = OutgoingQueue::new(signer, journal, OutgoingConfig::default());
//! queue.resume().await?;
//! let call = Call { id: B256::ZERO, to: Address::ZERO, data: Bytes::new(), alone: false };
//! let CallOutcome::Mined { mined, .. } = queue.carry_out(call).await? else { return Ok(()) };
//! println!("{} logs", mined.receipt.logs.len());
//! # Ok(()) }
//! ```

mod authorization;
pub mod bindings;
mod chain;
mod development;
mod error;
mod http;
mod key;
mod multicall;
mod nonces;
mod outgoing;
mod pace;
mod permit;
mod receipt;
mod rpc;
mod signer;
mod transaction;
mod transfer;

pub use alloy_primitives::{Address, B256, Bytes, U256};

pub use authorization::{AuthorizationFate, Transfer, transfer_under};
pub use chain::{Block, Chain, ChainConfig};
pub use development::{development_key, is_development_address};
pub use error::{BroadcastError, ChainError, SignerError};
pub use http::{http_client, install_tls_provider};
pub use key::{AccountKey, KeyError, recover};
pub use nonces::SpentNonce;
pub use outgoing::{
    Call, CallOutcome, JournalError, MULTICALL3, MemoryJournal, OutgoingConfig, OutgoingError,
    OutgoingQueue, OutgoingStatus, OutgoingTransaction, TransactionJournal,
};
pub use permit::{
    PERMIT2, PermitFate, PermittedTransfer, UPTO_PROXY, is_nonce_used, nonce_bitmap_call,
};
pub use receipt::{Log, MinedTransaction, Receipt, TransactionOutcome};
pub use rpc::RpcObserver;
pub use signer::{FeeLimits, SettlementSigner};
pub use transaction::{Broadcast, SignedTransaction};
pub use transfer::{transfer_call, transfers_of};
