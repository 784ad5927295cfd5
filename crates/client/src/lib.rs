//! Buying an inference and verifying what came.
//!
//! A [`Buyer`] asks, looks at the offers, pays the one that it wants and can afford, fetches the
//! bundle and verifies it against its own request, nonce and payment. A result that does not verify
//! is an error; nothing of it is returned as a result.

mod buyer;
mod error;

pub use buyer::{Bought, Buyer, BuyerConfig, InferenceOrder};
pub use error::ClientError;
