//! A development chain: an EVM behind JSON-RPC on loopback.
//!
//! [`DevChain`] is the chain itself and needs no network; [`serve`] answers JSON-RPC for it. It
//! exists so that paying and settling can be tried and tested with the code that talks to any
//! other EVM chain. It holds nothing of value: its keys ([`dev_accounts`]) are public, and anyone
//! may mint its token ([`DEV_TOKEN`]).
//!
//! # Contracts
//!
//! The token, and at the addresses that they have on other chains: Multicall3, Permit2's signed
//! transfers ([`PERMIT2`]) and the spender of x402's scheme `upto` ([`UPTO_PROXY`]). A chain that an
//! older version of this program started goes on without what that version did not place.
//!
//! # Methods
//!
//! `eth_accounts` (none), `eth_blockNumber`, `eth_call`, `eth_chainId`, `eth_estimateGas`,
//! `eth_feeHistory`, `eth_gasPrice`, `eth_getBalance`, `eth_getBlockByHash`,
//! `eth_getBlockByNumber`, `eth_getBlockReceipts`, `eth_getCode`, `eth_getLogs`,
//! `eth_getStorageAt`, `eth_getTransactionByHash`, `eth_getTransactionCount`,
//! `eth_getTransactionReceipt`, `eth_maxPriorityFeePerGas`, `eth_sendRawTransaction`,
//! `eth_syncing`, `net_version`, `web3_clientVersion`, and for tests:
//!
//! | method | does |
//! |---|---|
//! | `dev_mine` | makes empty blocks (parameter: how many, 1 if left out), for confirmations |
//! | `dev_pause` | stops mining: transactions are accepted and wait |
//! | `dev_resume` | mines what waits, in the order in which it came, and goes on mining |
//!
//! Requests come as HTTP POST, alone or in batches of up to 1000.
//!
//! # How it differs from a public chain
//!
//! - Every accepted transaction makes a block of its own, at once; [`DevChain::pause`] stops that.
//! - A block's time is the clock's, or its parent's if that is later. Two blocks may have the same
//!   time: moving on by a second per block would leave the clock behind under load, and payments
//!   would expire early.
//! - The base fee never changes ([`BASE_FEE`]).
//! - Only the latest state is kept. A query of an older one is refused, not answered wrongly.
//! - Calls and estimates run as if in the next block: `latest`, `safe`, `finalized` and `pending`
//!   are one state.
//! - The headers' state root is zero, and the contracts that a consensus layer feeds (beacon roots,
//!   block hashes, withdrawals) are absent. Transactions and receipts roots are real.
//! - Blob (EIP-4844) and set-code (EIP-7702) transactions are refused.
//! - Blocks persist if [`Config`] names a folder. Transactions that wait for an earlier nonce do
//!   not, and are gone after a restart.

mod accounts;
mod block;
mod chain;
mod config;
mod error;
mod evm;
mod genesis;
mod journal;
mod pool;
mod rpc;
mod server;
mod transaction;

pub use accounts::{DevAccount, dev_accounts};
pub use block::Head;
pub use chain::DevChain;
pub use config::{BASE_FEE, CHAIN_ID, Config};
pub use error::{CallError, OpenError, SubmitError};
pub use genesis::{DEV_TOKEN, GenesisError, PERMIT2, UPTO_PROXY};
pub use journal::JournalError;
pub use server::{RunningServer, ServeError, serve};
