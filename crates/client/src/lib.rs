//! Buying inferences, one or several together, and verifying what came.
//!
//! A [`Buyer`] asks, looks at the offers, pays the one that it wants and can afford, fetches the
//! bundle and verifies it against its own request, nonce and payment. A result that does not verify
//! is an error; nothing of it is returned as a result. An error after the payment was taken keeps
//! what the buyer needs to get the result later or to show that there is none: [`Undelivered`].
//!
//! [`Receipts`] fetches later what was bought, with the access token or the payer's signature, and has
//! it erased.

mod announced;
mod buyer;
mod delivery;
mod error;
mod events;
mod receipts;
mod transaction;
mod wire;

pub use buyer::{Bought, Buyer, BuyerConfig, InferenceOrder, TransactionOrder};
pub use delivery::{FailedItem, ItemResult};
pub use error::{ClientError, DeliveryError, SignedPayment, Undelivered};
pub use events::{ItemUpdate, Watch};
pub use receipts::{Credential, PublicReceipt, Receipts};
pub use transaction::{ItemOrder, TensorOrder};
