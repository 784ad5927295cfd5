//! What is sold at which price, by whom, and what a payment is bound to. The pipeline is tested with
//! real parts around it, by the gateway's tests.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod binding;
mod catalogue;
mod operator;
mod plan;
mod prices;
mod tee;
mod zkml;
