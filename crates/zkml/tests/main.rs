//! The crate from outside.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod advice;
mod bounds;
mod cheats;
mod columns;
mod descriptor;
mod executor;
mod field;
mod files;
mod fuzz;
mod graphs;
mod linear;
mod lookups;
mod mutations;
mod nets;
mod network;
mod opening;
mod pitfalls;
mod profile;
mod proofs;
mod reference;
mod refusals;
mod security_document;
mod small;
mod vectors;
mod words;
