//! Chains that answer badly, late, or not at all.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod miner;
mod node;
mod outage;
mod outgoing;
mod signer;
mod watch;
