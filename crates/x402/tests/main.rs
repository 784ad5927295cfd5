//! The payment crates against the development chain: every way a settlement can go.

mod outage;
mod remote;
mod router;
mod settle;
mod support;
mod wallet;
