//! The chain as clients see it: alloy's provider and plain HTTP against a served chain.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]
#![expect(clippy::too_many_arguments, reason = "the token's functions have as many")]

mod errors;
mod evm;
mod logs;
mod mining;
mod permits;
mod protocol;
mod restart;
mod support;
mod token;
mod transactions;
