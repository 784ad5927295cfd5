use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_primitives::{Digest, Timestamp};

use super::SettlementIntent;
use crate::{CheckedPayment, SettleResponse};

/// How long an outcome is remembered after it was last asked for.
const TTL: Duration = Duration::from_secs(5 * 60);
/// What a facilitator remembers of the payments it was asked to settle, so that asking again gives
/// the same outcome and never a second transaction. In memory: a restart forgets it, and then the
/// authorisation's nonce is what keeps the money from moving twice.
#[derive(Debug)]
pub(super) struct PendingSettlements {
    entries: Mutex<HashMap<Digest, Entry>>,
    capacity: usize,
}

/// Where one payment stands. Whoever holds the lock works on it; others wait for the outcome.
#[derive(Debug, Default)]
pub(super) enum Progress {
    /// Nothing was sent, and it is no longer remembered: look it up again.
    Forgotten,
    /// Nothing was sent.
    #[default]
    New,
    /// A transaction was signed and may have been sent.
    Sent(SettlementIntent),
    /// The outcome is known.
    Done(SettleResponse),
}

#[derive(Debug)]
struct Entry {
    progress: Arc<tokio::sync::Mutex<Progress>>,
    forget_at: Timestamp,
}

impl PendingSettlements {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity }
    }

    /// Returns where a payment stands, or `None` when too many are remembered.
    pub(super) fn progress(
        &self,
        payment: &CheckedPayment,
        now: Timestamp,
    ) -> Option<Arc<tokio::sync::Mutex<Progress>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(payment);
        if !entries.contains_key(&key) && entries.len() >= self.capacity {
            entries.retain(|_, entry| entry.forget_at > now);
            if entries.len() >= self.capacity {
                return None;
            }
        }
        // A payment that is pending has to be remembered as long as it could be carried out.
        let last_use = payment.terms().valid_before.min(now.plus(TTL * 12));
        let forget_at = now.plus(TTL).max(last_use.plus(TTL));
        let entry =
            entries.entry(key).or_insert_with(|| Entry { progress: Arc::default(), forget_at });
        if entry.forget_at <= now {
            entry.progress = Arc::default();
        }
        entry.forget_at = entry.forget_at.max(forget_at);
        Some(Arc::clone(&entry.progress))
    }

    /// Forgets a payment for which nothing was sent: made-up payments must not crowd out real ones.
    /// The caller holds the lock on its progress.
    pub(super) fn forget(&self, payment: &CheckedPayment, progress: &mut Progress) {
        *progress = Progress::Forgotten;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&key(payment));
    }
}

/// The network and the hash that is signed: it holds every field of the authorisation, and no
/// second form of the same signature leads past it.
fn key(payment: &CheckedPayment) -> Digest {
    let network = payment.terms().network.as_str().as_bytes();
    let payer = payment.signed().payer();
    Digest::of_parts(&[payment.hash().as_slice(), payer.as_slice(), network])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_exact;
    use crate::fixture::{NOW, authorization, offer, signed};
    use crate::{Authorization, ExactPayload};

    fn checked(nonce: u8) -> CheckedPayment {
        let good = authorization();
        let authorization = Authorization { nonce: [nonce; 32].into(), ..good };
        check_exact(&signed(&offer(), authorization), &offer(), NOW).unwrap()
    }

    #[test]
    fn a_payment_is_remembered_by_what_is_signed() {
        let pending = PendingSettlements::new(10);
        let progress = |payment: &CheckedPayment| pending.progress(payment, NOW).unwrap();
        let first = progress(&checked(1));
        assert!(Arc::ptr_eq(&first, &progress(&checked(1))));
        assert!(!Arc::ptr_eq(&first, &progress(&checked(2))));
        // The same signature with the other spelling of `v`.
        let mut payload = checked(1).payload().clone();
        let mut exact = ExactPayload::from_json(&payload.payload).unwrap();
        let mut bytes = exact.signature.to_vec();
        bytes[64] -= 27;
        exact.signature = bytes.into();
        payload.payload = exact.to_json();
        let respelt = check_exact(&payload, &offer(), NOW).unwrap();
        assert!(Arc::ptr_eq(&first, &progress(&respelt)));
    }

    #[test]
    fn outcomes_are_forgotten_after_their_time() {
        let pending = PendingSettlements::new(10);
        let payment = checked(1);
        let first = pending.progress(&payment, NOW).unwrap();
        let soon = payment.terms().valid_before.plus(TTL - Duration::from_secs(1));
        assert!(Arc::ptr_eq(&first, &pending.progress(&payment, soon).unwrap()));
        let late = soon.plus(TTL * 2);
        assert!(!Arc::ptr_eq(&first, &pending.progress(&payment, late).unwrap()));
    }

    #[test]
    fn no_more_are_remembered_than_fit() {
        let pending = PendingSettlements::new(1);
        let first = pending.progress(&checked(1), NOW).unwrap();
        assert!(pending.progress(&checked(2), NOW).is_none());
        assert!(Arc::ptr_eq(&first, &pending.progress(&checked(1), NOW).unwrap()));
        let late = checked(1).terms().valid_before.plus(TTL * 2);
        assert!(pending.progress(&checked(2), late).is_some());
    }

    #[test]
    fn what_was_not_sent_leaves_no_trace() {
        let pending = PendingSettlements::new(10);
        let payment = checked(1);
        let first = pending.progress(&payment, NOW).unwrap();
        let mut progress = Progress::New;
        pending.forget(&payment, &mut progress);
        assert!(matches!(progress, Progress::Forgotten));
        assert!(!Arc::ptr_eq(&first, &pending.progress(&payment, NOW).unwrap()));
        assert_eq!(pending.entries.lock().unwrap().len(), 1);
    }
}
