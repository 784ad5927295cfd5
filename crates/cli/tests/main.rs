//! The binary as its users see it. Every test starts it, on loopback and in a folder of its own;
//! what still runs when a test ends is killed.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod attest;
mod bundles;
mod buying;
mod config;
mod demo;
mod doctor;
mod facilitator;
mod faults;
mod help;
mod keys;
mod logging;
mod machine;
mod metrics;
mod models;
mod outside;
mod proven;
mod real_network;
mod receipts;
mod refunds;
mod restart;
mod serving;
mod shutdown;
mod support;
mod swtpm;
mod tee;
mod telemetry;
mod transactions;
mod zkml;
