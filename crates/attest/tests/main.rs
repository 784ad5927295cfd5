//! What verifiers of attestation evidence accept, and what they refuse by which check.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[cfg(feature = "collect")]
mod collect;
mod pitfalls;
mod samples;
