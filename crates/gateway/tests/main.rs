//! The gateway over real parts: what is answered, and what became of the money.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wrong_self_convention,
    reason = "a test that cannot go on says so by panicking"
)]

mod buying;
mod contents;
mod discovery;
mod disk;
mod each;
mod harness;
mod http;
mod http2;
mod jobs;
mod limits;
mod methods;
mod outage;
mod payments;
mod quotas;
mod races;
mod receipts;
mod refunds;
mod replay;
mod requests;
mod restart;
mod shutdown;
mod tensors;
mod transactions;
