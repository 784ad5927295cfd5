//! HTTP to the service and back.
//!
//! | route | is |
//! |---|---|
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready` | the server, as the Open Inference Protocol v2 has it |
//! | `GET /v2/models/{model}`, `…/ready` | a model's tensors |
//! | `POST /v2/models/{model}/infer` | an inference: 402 with offers, or paid for and answered |
//! | `/v2/models/{model}/versions/{version}`, `…/ready`, `…/infer` | the same of a version |
//! | `POST /v1/transactions` | several inferences under one payment and one receipt: 402 with a quote, or paid for and answered |
//! | `GET /v1/models` | the catalogue: digests, methods, prices, latency, whom to believe |
//! | `GET`, `DELETE /v1/jobs/{location}` | a purchase that nobody waits for: how far it is, its result; cancel |
//! | `GET /v1/receipts/{id}` | a receipt; with its access token or the payer's sign-in the whole bundle |
//! | `DELETE /v1/receipts/{id}` | with either of them: erases the contents |
//! | `GET /v1/attestation` | the key attestation of the enclave that certifies now |
//! | `GET /v1/evidence/{sha256}` | a piece of evidence |
//! | `GET /.well-known/assay/keys` | the operator's key manifest |
//! | `GET /openapi.json` | all of this for machines |
//! | `GET /metrics` | figures for Prometheus |
//!
//! Handlers are thin: they translate, and [`assay_service::Service`] decides.

mod body;
mod client;
mod connections;
mod delivery;
mod error;
mod events;
mod headers;
mod http;
mod metrics;
mod oip;
mod path;
mod paywall;
mod purchase;
mod quota;
mod request_id;
mod router;
mod routes;
mod server;
mod state;
mod streams;
mod transaction;

pub use client::{ForwardedHeader, IpNetwork, IpNetworkError, TrustedProxies};
pub use error::{ApiError, ErrorCode};
pub use headers::{ACCESS_TOKEN, ACCESS_TOKEN_HASH, METHOD, NONCE, TRANSACTION};
pub use http::{HttpServer, ServeError, serve_routes};
pub use request_id::REQUEST_ID;
pub use router::{openapi, router};
pub use server::{RunningServer, serve};
pub use state::{ClientLimits, Gateway, GatewayConfig};
