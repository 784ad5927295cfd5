//! The gateway over real parts: what is answered, and what became of the money.

mod buying;
mod discovery;
mod harness;
mod limits;
mod methods;
mod outage;
mod payments;
mod races;
mod receipts;
mod replay;
mod requests;
mod restart;
mod shutdown;
mod tensors;
