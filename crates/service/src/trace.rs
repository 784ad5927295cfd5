//! Spans that make the way of a transaction one search in the log: whatever is done for it, by a
//! request, in the background or after a restart, stands under a span with its id.

use assay_primitives::TransactionId;
use assay_store::Payment;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

/// How much of a payment's nonce is logged: enough to find it in the chain's log.
const NONCE_PREFIX: usize = 18;

/// Returns the span of a purchase, in the span of its request. Payment and transaction are noted in
/// it as soon as they are known.
pub(crate) fn purchase() -> Span {
    info_span!("purchase", transaction = Empty, payment = Empty, payer = Empty)
}

/// Returns the span of what is done for a transaction that no request waits for.
pub(crate) fn transaction(id: TransactionId) -> Span {
    info_span!("transaction", transaction = %id)
}

/// Notes in the present span which payment it is about.
pub(crate) fn note_payment(payment: &Payment) {
    let span = Span::current();
    let prefix = payment.nonce.get(..NONCE_PREFIX).unwrap_or(&payment.nonce);
    span.record("payment", display(prefix));
    span.record("payer", display(&payment.payer));
}

/// Notes in the present span which transaction it is about.
pub(crate) fn note_transaction(id: TransactionId) {
    Span::current().record("transaction", display(id));
}
