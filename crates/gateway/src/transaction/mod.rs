//! A transaction of several inferences on the wire.

mod request;
mod response;

pub(crate) use request::{TransactionRequest, read};
pub(crate) use response::{TransactionResponse, answer, json};
