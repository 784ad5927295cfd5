//! Chains that answer badly, late, or not at all.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod node;
mod outage;
mod signer;
mod watch;
