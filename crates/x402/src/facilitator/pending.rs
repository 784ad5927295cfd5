use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_primitives::{Digest, Timestamp};

use super::SettlementIntent;
use crate::{CheckedPayment, SettleResponse};

/// How long an outcome is remembered after it was last asked for.
const TTL: Duration = Duration::from_secs(5 * 60);
/// How many payments are remembered.
const CAPACITY: usize = 10_000;

/// What a facilitator remembers of the payments it was asked to settle, so that asking again gives
/// the same outcome and never a second transaction. In memory: a restart forgets it, and then the
/// authorisation's nonce is what keeps the money from moving twice.
#[derive(Debug, Default)]
pub(super) struct PendingSettlements {
    entries: Mutex<HashMap<Digest, Entry>>,
}

/// Where one payment stands. Whoever holds the lock works on it; others wait for the outcome.
#[derive(Debug, Default)]
pub(super) enum Progress {
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
    /// Returns where a payment stands, or `None` when too many are remembered.
    pub(super) fn progress(
        &self,
        payment: &CheckedPayment,
        now: Timestamp,
    ) -> Option<Arc<tokio::sync::Mutex<Progress>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(payment);
        if !entries.contains_key(&key) && entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.forget_at > now);
            if entries.len() >= CAPACITY {
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
}

/// The network and the hash that is signed: it holds every field of the authorisation, and no
/// second form of the same signature leads past it.
fn key(payment: &CheckedPayment) -> Digest {
    let network = payment.terms().network.as_str().as_bytes();
    let payer = payment.authorization().from;
    Digest::of_parts(&[payment.hash().as_slice(), payer.as_slice(), network])
}
