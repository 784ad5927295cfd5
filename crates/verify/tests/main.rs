//! What verification accepts, and what it refuses by which check.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod docs;
mod each;
mod forgery;
mod golden;
mod guessing;
mod malice;
mod methods;
mod mutation;
mod order;
mod policy;
mod properties;
mod support;
mod tee;
mod zkml;
