//! The crate from outside.
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod files;
mod graphs;
mod int16;
mod models;
mod net;
mod operators;
mod products;
mod proofs;
mod quantised;
mod refusals;
mod selections;
mod sequences;
mod softmax;
mod trained;
mod trees;
