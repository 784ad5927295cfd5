//! How much is taken on at a time, and which transactions are being worked on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_primitives::{Account, Amount, Network, TransactionId};
use assay_store::Payment;
use assay_x402::{PaymentRequirements, PaymentTerms};
use thiserror::Error;

/// How much is taken on at a time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most purchases under way, those that wait for their turn included.
    pub purchases: usize,
    /// The most purchases of one payer under way: before it is settled an inference is the seller's
    /// risk.
    pub per_payer: usize,
    /// The most that one payer may have outstanding in an asset, in its atomic units: the sum of what
    /// is taken on and not settled, in this run or an earlier one. Any sum when `None`.
    pub exposure: Option<Amount>,
}

/// An order that is not taken on now. Nothing was charged, and the payment is as good as before.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AdmissionRefusal {
    /// Too much is under way.
    #[error("{limit} purchases are under way")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// Too much of this payer is under way.
    #[error("{limit} purchases of this payer are under way")]
    Payer {
        /// The limit.
        limit: usize,
    },
    /// So much waits that the payment would expire before its turn came.
    #[error("a purchase takes {expected:?} now, and the payment lasts for {left:?}")]
    Late {
        /// How long it would probably take.
        expected: Duration,
        /// How long the payment can wait for its settlement.
        left: Duration,
    },
    /// Too much money of this payer is outstanding.
    #[error("payments of {open} are outstanding, this one included: the limit is {limit}")]
    Exposure {
        /// The sum of them, this one included.
        open: Amount,
        /// The limit.
        limit: Amount,
    },
    /// The payer's balance covers each of its payments under way, but not all of them.
    #[error("payments of {open} are under way, and the payer has {balance}")]
    Balance {
        /// The sum of them, this one included.
        open: Amount,
        /// What the payer has.
        balance: Amount,
    },
}

impl AdmissionRefusal {
    /// The names of the limits.
    pub(crate) const LIMITS: [&str; 5] = ["busy", "late", "payer", "exposure", "balance"];

    /// Returns the name of the limit that was reached.
    pub(crate) const fn limit(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Late { .. } => "late",
            Self::Payer { .. } => "payer",
            Self::Exposure { .. } => "exposure",
            Self::Balance { .. } => "balance",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { purchases: 4_096, per_payer: 64, exposure: None }
    }
}

/// What is under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    purchases: usize,
    /// Count and sum of a payer's payments in an asset.
    payers: HashMap<PayerKey, (usize, Amount)>,
    /// What is not settled though no purchase is under way for it.
    outstanding: HashMap<TransactionId, (PayerKey, Amount)>,
    /// The sum of that by payer.
    outstanding_sums: HashMap<PayerKey, Amount>,
    transactions: HashSet<TransactionId>,
}

/// Network, asset and payer.
type PayerKey = [String; 3];

/// A purchase that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    payer: PayerKey,
    amount: Amount,
}

/// A transaction that is being worked on until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    admission: Arc<Admission>,
    id: TransactionId,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes a purchase on, if the limits allow it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        payment: &Payment,
        amount: Amount,
    ) -> Result<Place, AdmissionRefusal> {
        let Limits { purchases, per_payer, exposure } = self.limits;
        let payer = payer_key(&payment.network, &payment.asset, &payment.payer);
        let state = self.lock();
        if state.purchases >= purchases {
            return Err(AdmissionRefusal::Busy { limit: purchases });
        }
        let outstanding = state.outstanding_sums.get(&payer).copied().unwrap_or_default();
        let (count, sum) = state.payers.get(&payer).copied().unwrap_or_default();
        if count >= per_payer {
            return Err(AdmissionRefusal::Payer { limit: per_payer });
        }
        let open = Amount(sum.0.saturating_add(outstanding.0).saturating_add(amount.0));
        if let Some(limit) = exposure.filter(|limit| open > *limit) {
            return Err(AdmissionRefusal::Exposure { open, limit });
        }
        Ok(self.place(state, payer, amount))
    }

    /// Counts a purchase that an earlier process took on, whatever the limits are now.
    pub(crate) fn readmit(self: &Arc<Self>, offer: &PaymentRequirements, payer: &Account) -> Place {
        let payer = payer_key(&offer.network, &offer.asset, payer);
        self.place(self.lock(), payer, offer.amount)
    }

    fn place(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        payer: PayerKey,
        amount: Amount,
    ) -> Place {
        let (count, sum) = state.payers.entry(payer.clone()).or_default();
        *count += 1;
        *sum = Amount(sum.0.saturating_add(amount.0));
        state.purchases += 1;
        Place { admission: self.clone(), payer, amount }
    }

    /// Counts a payment as outstanding, though no purchase is under way for it any more: its
    /// settlement is not known.
    pub(crate) fn hold(&self, id: TransactionId, payment: &PaymentTerms) {
        let mut state = self.lock();
        let payer = payer_key(&payment.network, &payment.asset, &payment.payer);
        if state.outstanding.insert(id, (payer.clone(), payment.amount)).is_none() {
            let sum = state.outstanding_sums.entry(payer).or_default();
            *sum = Amount(sum.0.saturating_add(payment.amount.0));
        }
    }

    /// Counts a transaction's payment no longer: it is settled, or never will be.
    pub(crate) fn let_go(&self, id: TransactionId) {
        let mut state = self.lock();
        let Some((payer, amount)) = state.outstanding.remove(&id) else { return };
        let Some(sum) = state.outstanding_sums.get_mut(&payer) else { return };
        *sum = Amount(sum.0.saturating_sub(amount.0));
        if *sum == Amount::ZERO {
            state.outstanding_sums.remove(&payer);
        }
    }

    /// Returns how many purchases are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.lock().purchases
    }

    /// Marks a transaction as being worked on, until the guard is dropped. `None` when it already
    /// is: two settlements of one transaction at a time would step on each other.
    pub(crate) fn take_up(self: &Arc<Self>, id: TransactionId) -> Option<InFlight> {
        self.lock().transactions.insert(id).then(|| InFlight { admission: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Checks that the payer's balance covers all of its payments under way. What was settled a
    /// moment ago may count twice, so this refuses too early rather than too late.
    pub(crate) fn check_balance(&self, balance: Amount) -> Result<(), AdmissionRefusal> {
        let open = self.admission.lock().payers.get(&self.payer).map(|(_, sum)| *sum);
        match open {
            Some(open) if open > balance => Err(AdmissionRefusal::Balance { open, balance }),
            _ => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.purchases = state.purchases.saturating_sub(1);
        let Some((count, sum)) = state.payers.get_mut(&self.payer) else { return };
        *count = count.saturating_sub(1);
        *sum = Amount(sum.0.saturating_sub(self.amount.0));
        if *count == 0 {
            state.payers.remove(&self.payer);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.admission.lock().transactions.remove(&self.id);
    }
}

/// One key however the accounts are spelt.
fn payer_key(network: &Network, asset: &Account, payer: &Account) -> PayerKey {
    let lower = |account: &Account| account.as_str().to_ascii_lowercase();
    [network.as_str().to_owned(), lower(asset), lower(payer)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(payer: &str) -> Payment {
        Payment {
            network: "eip155:31337".parse().unwrap(),
            asset: "0x01".parse().unwrap(),
            payer: payer.parse().unwrap(),
            nonce: "0x02".to_owned(),
        }
    }

    #[test]
    fn limits_hold_and_places_come_back() {
        let admission =
            Arc::new(Admission::new(Limits { purchases: 3, per_payer: 2, exposure: None }));
        let (one, two) = (payment("0x0a"), payment("0x0b"));
        let first = admission.admit(&one, Amount(5)).unwrap();
        let second = admission.admit(&one, Amount(5)).unwrap();
        let refusal = admission.admit(&one, Amount(5)).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::Payer { limit: 2 });
        let third = admission.admit(&two, Amount(1)).unwrap();
        let refusal = admission.admit(&two, Amount(1)).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::Busy { limit: 3 });
        drop(first);
        let again = admission.admit(&one, Amount(7)).unwrap();
        drop((second, third, again));
        let state = admission.lock();
        assert_eq!((state.purchases, state.payers.len()), (0, 0));
    }

    #[test]
    fn a_balance_covers_all_payments_under_way() {
        let admission = Arc::new(Admission::new(Limits::default()));
        let one = payment("0x0a");
        let first = admission.admit(&one, Amount(60)).unwrap();
        first.check_balance(Amount(60)).unwrap();
        let second = admission.admit(&one, Amount(60)).unwrap();
        let (open, balance) = (Amount(120), Amount(119));
        assert_eq!(second.check_balance(balance), Err(AdmissionRefusal::Balance { open, balance }));
        second.check_balance(Amount(120)).unwrap();
        drop(first);
        second.check_balance(Amount(60)).unwrap();
    }

    fn terms(payer: &str, amount: u128) -> PaymentTerms {
        PaymentTerms {
            scheme: "exact".to_owned(),
            network: "eip155:31337".parse().unwrap(),
            asset: "0x01".parse().unwrap(),
            payer: payer.parse().unwrap(),
            pay_to: "0x0c".parse().unwrap(),
            amount: Amount(amount),
            nonce: [2; 32].into(),
            valid_before: assay_primitives::Timestamp::from_seconds(1),
        }
    }

    #[test]
    fn a_payer_owes_up_to_a_limit() {
        let id = |n: u8| format!("00000000-0001-7fff-bfff-0000000000{n:02}").parse().unwrap();
        let limits = Limits { exposure: Some(Amount(100)), ..Limits::default() };
        let admission = Arc::new(Admission::new(limits));
        let refused =
            |open| Some(AdmissionRefusal::Exposure { open: Amount(open), limit: Amount(100) });
        // What an earlier run left counts, once, and however the payer is spelt.
        admission.hold(id(1), &terms("0x0A", 60));
        admission.hold(id(1), &terms("0x0a", 60));
        let one = payment("0x0a");
        let place = admission.admit(&one, Amount(40)).unwrap();
        assert_eq!(admission.admit(&one, Amount(1)).err(), refused(101));
        // Another payer owes nothing.
        drop(admission.admit(&payment("0x0b"), Amount(100)).unwrap());
        drop(place);
        assert_eq!(admission.admit(&one, Amount(41)).err(), refused(101));
        admission.let_go(id(2));
        assert_eq!(admission.admit(&one, Amount(41)).err(), refused(101));
        admission.let_go(id(1));
        admission.let_go(id(1));
        drop(admission.admit(&one, Amount(100)).unwrap());
        assert_eq!(admission.admit(&one, Amount(u128::MAX)).err(), refused(u128::MAX));
        let state = admission.lock();
        let left = (state.payers.len(), state.outstanding.len(), state.outstanding_sums.len());
        assert_eq!(left, (0, 0, 0));
    }

    #[test]
    fn a_transaction_is_worked_on_by_one_at_a_time() {
        let admission = Arc::new(Admission::new(Limits::default()));
        let id: TransactionId = "00000000-0001-7fff-bfff-ffffffffffff".parse().unwrap();
        let held = admission.take_up(id);
        assert!(held.is_some() && admission.take_up(id).is_none());
        drop(held);
        assert!(admission.take_up(id).is_some());
    }
}
