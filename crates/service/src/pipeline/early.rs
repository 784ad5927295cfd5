//! What leaves before the payment is settled.

use std::sync::{Arc, Mutex, PoisonError};

use assay_primitives::Amount;
use assay_receipt::OutcomePolicy;

use super::steps::sum;
use crate::plan::Item;
use crate::{Release, Service};

/// How much was released before its payment was settled: the seller's loss, if it never is.
#[derive(Debug)]
pub(super) struct Early(Mutex<Amount>);

impl Early {
    /// Looks whether contents leave early: under `each`, where results are released before they are settled and
    /// the operator says how much a payer may owe, to who is told how far it is. Of an earlier attempt nobody
    /// knows how much was released.
    pub(super) fn new(
        service: &Service,
        outcome_policy: OutcomePolicy,
        items: &[Item],
        attempts: u64,
        is_told: bool,
    ) -> Option<Arc<Self>> {
        let is_allowed = service.parts().settings.release == Release::Verification
            && service.admission.limits_exposure()
            && outcome_policy == OutcomePolicy::Each
            && is_told;
        let released = if attempts > 1 { sum(items)? } else { Amount::ZERO };
        is_allowed.then(|| Arc::new(Self(Mutex::new(released))))
    }

    pub(super) fn add(&self, price: Amount) {
        let mut released = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *released = Amount(released.0.saturating_add(price.0));
    }

    /// Returns how much was released.
    pub(super) fn released(&self) -> Amount {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
