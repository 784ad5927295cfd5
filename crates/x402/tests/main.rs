//! The payment crates against the development chain: every way a settlement can go.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod foreign;
mod outage;
mod remote;
mod router;
mod settle;
mod support;
mod upto;
mod wallet;
