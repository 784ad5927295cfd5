//! How much is taken on at a time, and which transactions are being worked on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_primitives::{Account, Amount, Network, TransactionId};
use assay_x402::{PaymentRequirements, PaymentTerms};
use thiserror::Error;

/// The most inferences of a payer within a minute that come to nothing: cancelled, or a model did not
/// run. What was released may be sent again, and costs its payer nothing.
const UNFINISHED: u32 = 32;
const MINUTE: Duration = Duration::from_secs(60);

/// From how many payers on those are forgotten whose minute is over.
const MANY_PAYERS: usize = 1_024;

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
    /// is taken on and not settled, in this run or an earlier one, and of what was given away in this run
    /// for payments that failed. Any sum when `None`.
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
    /// Too many inferences of this payer came to nothing within a minute.
    #[error("{limit} inferences of this payer came to nothing within a minute")]
    Unfinished {
        /// The limit.
        limit: u32,
        /// When the minute is over.
        wait: Duration,
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
    pub(crate) const LIMITS: [&str; 6] =
        ["busy", "late", "payer", "unfinished", "exposure", "balance"];

    /// Returns the name of the limit that was reached.
    pub(crate) const fn limit(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Late { .. } => "late",
            Self::Unfinished { .. } => "unfinished",
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
    /// The sum of that by payer, and of what was given away for payments that failed.
    owed: HashMap<PayerKey, Amount>,
    /// How many inferences of a payer came to nothing, and since when by the monotonic clock.
    unfinished: HashMap<PayerKey, (u32, Duration)>,
    transactions: HashSet<TransactionId>,
}

/// Network, asset and payer.
type PayerKey = [String; 3];

/// Room for a purchase, whoever pays: until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    admission: Arc<Admission>,
}

/// A purchase that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Room,
    payer: PayerKey,
    amount: Amount,
    /// How many inferences it is.
    items: usize,
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

    /// Makes room for a purchase, if there is any.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Room, AdmissionRefusal> {
        let limit = self.limits.purchases;
        let mut state = self.lock();
        if state.purchases >= limit {
            return Err(AdmissionRefusal::Busy { limit });
        }
        state.purchases += 1;
        Ok(Room { admission: self.clone() })
    }

    /// Counts a purchase that an earlier process took on, whatever the limits are now.
    pub(crate) fn readmit(self: &Arc<Self>, offer: &PaymentRequirements, payer: &Account) -> Place {
        let mut state = self.lock();
        state.purchases += 1;
        let room = Room { admission: self.clone() };
        // How many an earlier process took on nobody counts against anybody.
        room.place(state, payer_key(&offer.network, &offer.asset, payer), offer.amount, 1)
    }

    /// Counts a payment as outstanding, though no purchase is under way for it any more: its
    /// settlement is not known.
    pub(crate) fn hold(&self, id: TransactionId, payment: &PaymentTerms, amount: Amount) {
        let mut state = self.lock();
        let payer = payer_key(&payment.network, &payment.asset, &payment.payer);
        if state.outstanding.insert(id, (payer.clone(), amount)).is_none() {
            let sum = state.owed.entry(payer).or_default();
            *sum = Amount(sum.0.saturating_add(amount.0));
        }
    }

    /// Counts a transaction's payment no longer: it is settled, or bought nothing.
    pub(crate) fn let_go(&self, id: TransactionId) {
        let mut state = self.lock();
        let Some((payer, amount)) = state.outstanding.remove(&id) else { return };
        let Some(sum) = state.owed.get_mut(&payer) else { return };
        *sum = Amount(sum.0.saturating_sub(amount.0));
        if *sum == Amount::ZERO {
            state.owed.remove(&payer);
        }
    }

    /// Counts what a transaction was to pay as owed for as long as this process runs: its contents were
    /// released, and it never will be settled.
    pub(crate) fn write_off(&self, id: TransactionId, payment: &PaymentTerms, amount: Amount) {
        if self.limits_exposure() {
            self.hold(id, payment, amount);
            self.lock().outstanding.remove(&id);
        }
    }

    /// Says whether there is a limit on what a payer may owe.
    pub(crate) const fn limits_exposure(&self) -> bool {
        self.limits.exposure.is_some()
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

    /// Counts inferences of a payer that came to nothing.
    fn count_unfinished(&self, payer: &PayerKey, items: usize, now: Duration) {
        let mut state = self.lock();
        let is_over = |since: Duration| now.saturating_sub(since) >= MINUTE;
        if state.unfinished.len() >= MANY_PAYERS {
            state.unfinished.retain(|_, (_, since)| !is_over(*since));
        }
        let (count, since) = state.unfinished.entry(payer.clone()).or_insert((0, now));
        if is_over(*since) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(u32::try_from(items).unwrap_or(u32::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes a purchase on, if the limits allow it: of who is known to have signed the payment.
    /// Otherwise anybody could use up what another may have.
    pub(crate) fn admit(
        self,
        payment: &PaymentTerms,
        items: usize,
        now: Duration,
    ) -> Result<Place, AdmissionRefusal> {
        let admission = self.admission.clone();
        let Limits { per_payer, exposure, .. } = admission.limits;
        let (payer, amount) =
            (payer_key(&payment.network, &payment.asset, &payment.payer), payment.amount);
        let state = admission.lock();
        let (count, sum) = state.payers.get(&payer).copied().unwrap_or_default();
        if count >= per_payer {
            return Err(AdmissionRefusal::Payer { limit: per_payer });
        }
        if let Some((count, since)) = state.unfinished.get(&payer) {
            let wait = MINUTE.saturating_sub(now.saturating_sub(*since));
            if *count >= UNFINISHED && !wait.is_zero() {
                return Err(AdmissionRefusal::Unfinished { limit: UNFINISHED, wait });
            }
        }
        let owed = state.owed.get(&payer).copied().unwrap_or_default();
        let open = Amount(sum.0.saturating_add(owed.0).saturating_add(amount.0));
        if let Some(limit) = exposure.filter(|limit| open > *limit) {
            return Err(AdmissionRefusal::Exposure { open, limit });
        }
        Ok(self.place(state, payer, amount, items))
    }

    fn place(
        self,
        mut state: MutexGuard<'_, State>,
        payer: PayerKey,
        amount: Amount,
        items: usize,
    ) -> Place {
        let (count, sum) = state.payers.entry(payer.clone()).or_default();
        *count += 1;
        *sum = Amount(sum.0.saturating_add(amount.0));
        Place { room: self, payer, amount, items }
    }
}

impl Place {
    /// Checks that the payer's balance covers all of its payments under way. What was settled a
    /// moment ago may count twice, so this refuses too early rather than too late.
    pub(crate) fn check_balance(&self, balance: Amount) -> Result<(), AdmissionRefusal> {
        let open = self.room.admission.lock().payers.get(&self.payer).map(|(_, sum)| *sum);
        match open {
            Some(open) if open > balance => Err(AdmissionRefusal::Balance { open, balance }),
            _ => Ok(()),
        }
    }

    /// Counts so many of its inferences as come to nothing, all where it is `None`: their work was for nothing,
    /// and its payer may ask for as much again.
    pub(crate) fn count_unfinished(&self, items: Option<usize>, now: Duration) {
        let items = items.unwrap_or(self.items);
        self.room.admission.count_unfinished(&self.payer, items, now);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.purchases = state.purchases.saturating_sub(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.admission.lock();
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

    fn payment(payer: &str) -> PaymentTerms {
        terms(payer, 0)
    }

    fn admit(
        admission: &Arc<Admission>,
        payment: &PaymentTerms,
        amount: u128,
    ) -> Result<Place, AdmissionRefusal> {
        let payment = PaymentTerms { amount: Amount(amount), ..payment.clone() };
        admission.enter()?.admit(&payment, 1, Duration::ZERO)
    }

    #[test]
    fn limits_hold_and_places_come_back() {
        let admission =
            Arc::new(Admission::new(Limits { purchases: 3, per_payer: 2, exposure: None }));
        let (one, two) = (payment("0x0a"), payment("0x0b"));
        let first = admit(&admission, &one, 5).unwrap();
        let second = admit(&admission, &one, 5).unwrap();
        let refusal = admit(&admission, &one, 5).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::Payer { limit: 2 });
        let third = admit(&admission, &two, 1).unwrap();
        let refusal = admit(&admission, &two, 1).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::Busy { limit: 3 });
        drop(first);
        let again = admit(&admission, &one, 7).unwrap();
        drop((second, third, again));
        let state = admission.lock();
        assert_eq!((state.purchases, state.payers.len()), (0, 0));
    }

    #[test]
    fn a_balance_covers_all_payments_under_way() {
        let admission = Arc::new(Admission::new(Limits::default()));
        let one = payment("0x0a");
        let first = admit(&admission, &one, 60).unwrap();
        first.check_balance(Amount(60)).unwrap();
        let second = admit(&admission, &one, 60).unwrap();
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
        admission.hold(id(1), &terms("0x0A", 60), Amount(60));
        admission.hold(id(1), &terms("0x0a", 60), Amount(60));
        let one = payment("0x0a");
        let place = admit(&admission, &one, 40).unwrap();
        assert_eq!(admit(&admission, &one, 1).err(), refused(101));
        // Another payer owes nothing.
        drop(admit(&admission, &payment("0x0b"), 100).unwrap());
        drop(place);
        assert_eq!(admit(&admission, &one, 41).err(), refused(101));
        admission.let_go(id(2));
        assert_eq!(admit(&admission, &one, 41).err(), refused(101));
        admission.let_go(id(1));
        admission.let_go(id(1));
        drop(admit(&admission, &one, 100).unwrap());
        assert_eq!(admit(&admission, &one, u128::MAX).err(), refused(u128::MAX));
        // What was given away for nothing is owed for good, once.
        admission.hold(id(3), &terms("0x0a", 30), Amount(30));
        admission.write_off(id(3), &terms("0x0a", 30), Amount(30));
        admission.let_go(id(3));
        admission.write_off(id(4), &terms("0x0a", 20), Amount(20));
        assert_eq!(admit(&admission, &one, 51).err(), refused(101));
        drop(admit(&admission, &one, 50).unwrap());
        let state = admission.lock();
        let left = (state.payers.len(), state.outstanding.len(), state.owed.len());
        assert_eq!(left, (0, 0, 1));
    }

    #[test]
    fn what_comes_to_nothing_is_counted_for_a_minute() {
        let admission = Arc::new(Admission::default());
        let at = |seconds| Duration::from_secs(seconds);
        let enters = |payer: &str, now| {
            let place = admission.enter().unwrap().admit(&terms(payer, 1), 1, at(now));
            place.inspect(|place| place.count_unfinished(None, at(now)))
        };
        for second in 0..u64::from(UNFINISHED) {
            drop(enters("0x0a", 100 + second).unwrap());
        }
        let refusal = enters("0x0a", 150).unwrap_err();
        assert_eq!(refusal, AdmissionRefusal::Unfinished { limit: UNFINISHED, wait: at(10) });
        drop(enters("0x0b", 150).unwrap());
        drop(enters("0x0a", 160).unwrap());
        drop(enters("0x0a", 161).unwrap());
        // Those of long ago are forgotten when there are many.
        for payer in 0..2 * MANY_PAYERS {
            drop(enters(&format!("0x{payer:x}"), 1_000 + payer as u64).unwrap());
        }
        assert!(admission.lock().unfinished.len() <= MANY_PAYERS);
        assert_eq!(admission.under_way(), 0);
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
