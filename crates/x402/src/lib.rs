//! x402 version 2: HTTP requests that are paid for one by one. This crate knows the wire and the
//! chain, and nothing of what is sold.
//!
//! # Selling
//!
//! ```no_run
//! # use assay_x402::*;
//! # use assay_primitives::Timestamp;
//! # async fn sell(
//! #     facilitator: &dyn Facilitator, resource: ResourceInfo, offers: Vec<PaymentRequirements>,
//! #     header: Option<&str>, now: Timestamp,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let challenge = Challenge::new(resource, offers.clone())?; // 402 + `PAYMENT-REQUIRED` + body
//! let Some(header) = header else { return Ok(()) /* answer with `challenge` */ };
//! let payload = decode_payment_signature(header)?; // 400 when malformed
//! let offer = match_offer(&offers, &payload)?; // 402: compares every field
//! let checked = check_payment(&payload, offer, now)?; // pure: no chain, under 150 µs
//! let key = checked.reservation_key(); // reserve it durably, bound to the request, before any work
//! let verified = facilitator.verify(&checked).await?; // chain state
//! // ... run the model, sign the receipt ...
//! let intent = verified.intent(); // under `upto`: `verified.intent_of(what_was_used)?`
//! // ... store the intent and the receipt in one database transaction ...
//! match facilitator.settle(&intent).await {
//!     Ok(settled) => {} // release the result with `settled.response()` in `PAYMENT-RESPONSE`
//!     Err(SettleError::Failed { .. }) => {} // not charged: 402, drop the result
//!     Err(SettleError::Pending { .. }) => {} // unknown: `reconcile` later, never ask to sign again
//!     Err(SettleError::Unreachable { .. }) => {} // this call sent nothing: settle again later
//!     Err(_) => {}
//! }
//! # Ok(()) }
//! ```
//!
//! After a restart call [`Facilitator::resume`]; then, for every stored intent whose outcome is not
//! known, [`Facilitator::reconcile`], and settle it if that is still pending.
//!
//! Two schemes take the same way: `exact` (an EIP-3009 authorisation of the price) and `upto` (a permit
//! of Permit2 for the most, settled for what was used). An offer of `upto` has in `extra`
//! `assetTransferMethod: "permit2"` and as `facilitatorAddress` the account that will settle it.
//!
//! | type | proves |
//! |---|---|
//! | [`CheckedPayment`] | every field equals one's offer; the signature is the payer's, or a contract wallet's to judge |
//! | [`VerifiedPayment`] | the chain would carry it out now |
//! | [`SettlementIntent`] | nothing: it is data, to be stored before it is settled |
//! | [`Settled`] | the token's log shows the transfer, as deep as configured, or there was none to make |
//!
//! # Buying
//!
//! [`decode_payment_required`], [`choose_offer`] under one's [`Preferences`] (spend caps are the
//! only way in: an asset without a cap is not paid in), [`pay`], send `PAYMENT-SIGNATURE`, read
//! `PAYMENT-RESPONSE` with [`decode_payment_response`]. Offers of `upto` are paid where the preferences
//! say so, with [`pay_upto`] by an account whose [`Permit2Standing`] is known.
//!
//! # Signing in
//!
//! A payer shows who he is without paying: [`SignIn::sign`] and [`encode_sign_in`] make the header
//! `SIGN-IN-WITH-X`, [`check_sign_in`] checks it, and [`SpentSignIns`] lets each be used once.
//!
//! # Facilitators
//!
//! [`LocalFacilitator`] settles from one's own key; [`HttpFacilitator`] through a remote service;
//! [`facilitator_router`] serves a local one to others.

mod client;
mod evm;
mod exact;
mod facilitator;
#[cfg(test)]
mod fixture;
mod header;
mod payment;
mod reason;
mod reservation;
mod server;
mod sign_in;
mod upto;
mod wire;

pub use client::{
    ChooseError, ChosenOffer, ExtensionConflict, OfferRefusal, PayError, Payment, Preferences,
    choose_offer, merge_extensions, pay, pay_upto,
};
pub use evm::{PaymentSigner, SignatureCheck, SigningError};
pub use exact::{Authorization, ExactPayload, authorization_hash};
pub use facilitator::{
    Facilitator, FacilitatorError, HttpConfig, HttpFacilitator, LocalConfig, LocalFacilitator,
    RouterConfig, SettleError, Settled, SettledBlock, SettlementIntent, VerifiedPayment,
    facilitator_router,
};
pub use header::{
    HeaderError, MAX_INBOUND_HEADER, MAX_OUTBOUND_HEADER, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE, SIGN_IN_WITH_X, decode_payment_required, decode_payment_response,
    decode_payment_signature, decode_sign_in, encode_payment_required, encode_payment_response,
    encode_payment_signature, encode_sign_in,
};
pub use payment::{
    CheckedPayment, MIN_REMAINING_SECONDS, Note, PaymentRefusal, PaymentTerms, Signed, check_exact,
    check_payment, check_upto,
};
pub use reason::ErrorReason;
pub use reservation::ReservationKey;
pub use server::{Challenge, ChallengeError, check_extensions_echo, match_offer};
pub use sign_in::{
    CheckedSignIn, MAX_SIGN_IN_AGE, SignIn, SignInRefusal, SignInScope, SpentSignIns, check_sign_in,
};
pub use upto::{
    EIP2612_GAS_SPONSORING, Permit2Standing, PermittedAmount, SignedPermit, TokenPermit,
    UptoPayload, UptoPermit, UptoRefusal, UptoWitness, eip2612_gas_sponsoring, permit_hash,
    token_permit_hash,
};
pub use wire::{
    EXACT, PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo, SettleRequest,
    SettleResponse, SupportedKind, SupportedResponse, UPTO, UptoSupport, VerifyRequest,
    VerifyResponse, X402_VERSION,
};
