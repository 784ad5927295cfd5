//! The JSON of x402 version 2, field by field as its schemas have it.
//!
//! What comes from others may have unknown fields, and explicit `null` where a field is optional.

mod facilitator;
mod lenient;
mod payment;

pub use facilitator::{
    SettleRequest, SettleResponse, SupportedKind, SupportedResponse, UptoSupport, VerifyRequest,
    VerifyResponse,
};
pub use payment::{PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo};

pub(crate) use lenient::{json_equal, shown};

/// The protocol version spoken here.
pub const X402_VERSION: u64 = 2;

/// The scheme that pays exactly the offered amount.
pub const EXACT: &str = "exact";

/// The scheme that pays at most the offered amount.
pub const UPTO: &str = "upto";
