//! The enclave process: what it answers, how its keys come and go, and what either end does when the
//! other misbehaves. Servers end with the tests.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod address;
mod answers;
mod client;
mod epochs;
mod frames;
mod server;
mod support;
