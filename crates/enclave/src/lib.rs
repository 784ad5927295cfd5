//! The enclave process.
//!
//! Inside are the engine, the models that it was started with, the key of the epoch and the attester;
//! nothing else: no payment, no storage, no HTTP. [`Enclave`] is that inside, [`Server`] lets it be
//! talked to, and [`Client`] is the gateway's end. What goes between is a bounded frame
//! ([`Frame`]): a header in JSON and bytes.
//!
//! Whoever is outside is not trusted with anything but to carry bytes: the enclave computes the
//! commitments itself, of the request that it ran and the output that it got, and signs them with a
//! key that never leaves it.

mod client;
mod enclave;
mod epoch;
mod frame;
mod message;
mod server;
mod stream;

pub use client::{Address, AddressError, Client, ClientError, Inferred};
pub use enclave::{Enclave, EnclaveError, Settings};
pub use frame::{Frame, FrameError};
pub use message::{Answer, Ask, Description, FailureReason};
pub use server::{Limits, Listener, Server};
