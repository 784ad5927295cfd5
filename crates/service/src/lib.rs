//! What Assay sells and how: the catalogue, the prices, the certifiers, and the pipeline from a
//! payment to a released result. It knows no HTTP.
//!
//! A [`Service`] makes [offers](Service::offers) for a model and [begins](Service::start) an
//! [`Order`], which it carries to its [outcome](Service::outcome_of). The steps of a purchase are
//! types (`pipeline`): a step can only be made from the one before, and what a step needs to be safe
//! is in its type. Settling takes a receipt that was [verified](assay_verify::Verified), never one
//! that was only signed.
//!
//! A new method of verification is one [`Certifier`] in `methods/` and one line in
//! [`Certifiers::standard`].

mod access;
mod admission;
mod catalogue;
mod contents;
mod extension;
mod jobs;
mod latency;
mod methods;
mod metrics;
mod operator;
mod outgoing;
mod pipeline;
mod plan;
mod prices;
mod quote;
mod receipts;
mod refunds;
mod results;
mod service;
mod trace;

pub use access::Access;
pub use admission::{AdmissionRefusal, Limits};
pub use catalogue::{Catalogue, CatalogueEntry, CatalogueError};
pub use extension::{VERIFIED_INFERENCE, settled_extension};
pub use jobs::{ItemFailure, ItemProgress, ItemState, Load, Progress, Started};
pub use latency::{Latency, LatencySummary};
pub use methods::{
    Batching, Certified, CertifiedEvidence, Certifier, CertifierError, Certifiers, Inference,
    Program, ProgramError, ProofOffered, Signed, Stages, Tee, Zkml,
};
pub use metrics::ServiceMetrics;
pub use operator::{Operator, OperatorError};
pub use outgoing::StoredJournal;
pub use pipeline::{
    Cancelled, ItemOutcome, Order, Outcome, Pass, Purchase, PurchaseError, PurchasedItem,
    RequestBinding, Taken,
};
pub use plan::{
    MAX_ITEMS, NamedItem, NewItem, NewReference, Plan, PlanError, Quote, ReferenceError,
};
pub use prices::{AssetTerms, Price, PriceError, PriceList};
pub use quote::Quoted;
pub use receipts::{PublicReceipt, ReceiptError, ReleasedBundle};
pub use refunds::RefundError;
pub use results::{Asked, Status};
pub use service::{Release, Service, ServiceParts, Settings};
