//! The store: its contract, over every backend, and what is SQLite's own.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod blobs;
mod contract;
mod erasing;
mod sqlite;
