//! Offline verification: a bundle, a policy and a time in, a verdict out.
//!
//! Nothing here touches the network or a clock. What a client, an auditor and the
//! gateway itself believe of a receipt is decided by the same code:
//!
//! - [`Verifier::verify`] checks a whole bundle and gives a [`Report`];
//! - [`open_manifest`], [`open_receipt`], [`open_item`] and [`open_settlement`] check one part each
//!   and give a [`Verified`] part, which cannot be had in another way; [`open_payment`] checks all
//!   settlement records of a receipt;
//! - [`Policy`] says what a verifier accepts; [`Methods`] holds one [`MethodVerifier`] a method, and
//!   is where a new method is added.
//!
//! Every refusal names its [`Check`] and both values. `docs/verification.md` lists the checks.

mod bundle;
mod expectation;
mod explain;
mod items;
mod known;
mod methods;
mod parts;
mod payment;
mod policy;
mod refusal;
mod report;
mod settlement;
mod verified;

pub use bundle::Verifier;
pub use expectation::Expectation;
pub use explain::{CheckedPart, ProofExplanation, explain_proofs};
pub use methods::{
    Certification, ItemEvidence, MethodContext, MethodVerifier, Methods, Signed, Tee, Zkml,
};
pub use parts::{CLOCK_TOLERANCE, open_item, open_manifest, open_receipt};
pub use payment::{PaymentReport, PaymentState, open_payment};
pub use policy::{Announcement, PinnedPrice, Policy, PolicyError, TimeBasis};
pub use refusal::{Check, Refusal, Unusable};
pub use report::{ItemReport, ModelReport, Report, Verdict};
pub use settlement::open_settlement;
pub use verified::Verified;
