//! One file for each kind of route. A handler translates and nothing else.

pub(crate) mod attestation;
pub(crate) mod catalogue;
pub(crate) mod health;
pub(crate) mod infer;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod receipts;
pub(crate) mod refunds;
pub(crate) mod transactions;
