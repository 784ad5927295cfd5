//! From calls that wait to stored transactions, one nonce after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use alloy_primitives::B256;
use assay_primitives::failpoint;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::batch::{Call, MULTICALL3, gas, target};
use super::carrier::Carrier;
use super::mined::MinedNonces;
use super::{CallOutcome, OutgoingError, OutgoingTransaction, Shared};
use crate::SignerError;

/// The most gas that a batch may ask for: less than a transaction may have (EIP-7825).
const MAX_BATCH_GAS: u64 = 12_000_000;

/// How far behind one's own count the chain's may be: a reorganisation or a slow node. A count
/// further behind is that of a development chain that was started anew.
const MAX_BEHIND: u64 = 1_024;

/// What the dispatcher is told.
pub(super) enum Command {
    Resume(oneshot::Sender<Result<(), OutgoingError>>),
    Submit(Submission),
}

/// A call that somebody waits for.
pub(super) struct Submission {
    pub(super) call: Call,
    /// What it needs; `None` for a call that was under way when it was submitted.
    pub(super) gas: Option<u64>,
    pub(super) done: oneshot::Sender<Result<CallOutcome, OutgoingError>>,
}

/// A call that is in no transaction yet.
struct Waiting {
    since: Instant,
    call: Call,
    gas: u64,
    done: Waiter,
}

type Waiter = oneshot::Sender<Result<CallOutcome, OutgoingError>>;

pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    waiting: VecDeque<Waiting>,
    /// The nonces that are under way.
    flights: BTreeSet<u64>,
    waiters: HashMap<B256, Vec<Waiter>>,
    carriers: JoinSet<(Vec<OutgoingTransaction>, CallOutcome)>,
    /// Notes of spent nonces that are being stored.
    closings: JoinSet<()>,
    mined: MinedNonces,
    /// The next nonce; `None` until journal and chain were asked.
    next: Option<u64>,
    can_batch: Option<bool>,
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            shared,
            commands,
            waiting: VecDeque::new(),
            flights: BTreeSet::new(),
            waiters: HashMap::new(),
            carriers: JoinSet::new(),
            closings: JoinSet::new(),
            mined: MinedNonces::default(),
            next: None,
            can_batch: None,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let window = self.window_ends();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                Some(carried) = self.carriers.join_next() => match carried {
                    Ok((versions, outcome)) => self.arrived(versions, &outcome).await,
                    Err(error) => warn!(%error, "A transaction is not looked after any more."),
                },
                () = sleep_until(window.unwrap_or_else(Instant::now)), if window.is_some() => {}
            }
            // All that has come meanwhile may go into one transaction.
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command).await;
            }
            while self.is_due() {
                let batch = self.next_batch().await;
                self.dispatch(batch).await;
            }
            let mut view = self.shared.view();
            view.status.waiting = self.waiting.len();
            view.status.in_flight = self.flights.len();
            view.lowest = self.flights.first().copied();
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Resume(done) => {
                let _ = done.send(self.begin().await);
            }
            Command::Submit(submission) => {
                if let Err(error) = self.begin().await {
                    let _ = submission.done.send(Err(error));
                    return;
                }
                self.submit(submission).await;
            }
        }
    }

    /// Takes up what the journal holds, once.
    async fn begin(&mut self) -> Result<(), OutgoingError> {
        if self.next.is_some() {
            return Ok(());
        }
        let address = self.shared.address();
        let open = self.shared.journal.open(address).await?;
        let highest = self.shared.journal.highest(address).await?;
        let chain = self.shared.signer.chain();
        let count = chain.transaction_count(address, true).await.map_err(SignerError::from)?;
        let own = highest.map_or(0, |highest| highest.saturating_add(1));
        if own > count.saturating_add(MAX_BEHIND) {
            warn!(
                own,
                count, "The chain knows far fewer transactions than were sent: it is another."
            );
            self.next = Some(count);
            return Ok(());
        }
        self.next = Some(own.max(count));
        let mut versions: BTreeMap<u64, Vec<OutgoingTransaction>> = BTreeMap::new();
        for outgoing in open {
            versions.entry(outgoing.transaction.nonce).or_default().push(outgoing);
        }
        if !versions.is_empty() {
            info!(transactions = versions.len(), "Transactions of an earlier run are carried on.");
        }
        versions.into_values().for_each(|versions| self.carry(versions));
        Ok(())
    }

    async fn submit(&mut self, submission: Submission) {
        let Submission { call, gas, done } = submission;
        let (id, is_alone) = (call.id, call.alone);
        if let Some(waiters) = self.waiters.get_mut(&id) {
            waiters.push(done);
            return;
        }
        // It counted as mined: a reorganisation may have dropped it. The same one goes out again,
        // unless the call failed in a batch and is to be tried alone.
        if let Some(versions) = self.mined.take(id, is_alone) {
            self.waiters.entry(id).or_default().push(done);
            self.carry(versions);
            return;
        }
        let gas = match gas {
            Some(gas) => Ok(gas),
            None => self.shared.signer.gas_of(call.to, &call.data, is_alone).await,
        };
        match gas {
            Ok(gas) => {
                self.waiters.insert(id, Vec::new());
                self.waiting.push_back(Waiting { since: Instant::now(), call, gas, done });
            }
            Err(error) => {
                let _ = done.send(Err(error.into()));
            }
        }
    }

    /// Returns when the oldest call has waited for others long enough.
    fn window_ends(&self) -> Option<Instant> {
        if self.flights.len() >= self.shared.config.in_flight {
            return None;
        }
        Some(self.waiting.front()?.since + self.shared.config.window)
    }

    /// Says whether a transaction is to be made now: nothing is under way, a batch is full, or the
    /// oldest call has waited long enough.
    fn is_due(&self) -> bool {
        let config = &self.shared.config;
        if self.waiting.is_empty() || self.flights.len() >= config.in_flight {
            return false;
        }
        self.flights.is_empty()
            || self.waiting.len() >= config.batch
            || self.window_ends().is_some_and(|end| end <= Instant::now())
    }

    async fn next_batch(&mut self) -> Vec<Waiting> {
        let most = if self.waiting.len() > 1 && self.can_batch().await {
            self.shared.config.batch.max(1)
        } else {
            1
        };
        let mut batch: Vec<Waiting> = Vec::new();
        while batch.len() < most {
            let Some(next) = self.waiting.front() else { break };
            let total = gas(batch.iter().chain([next]).map(|waiting| waiting.gas));
            if !batch.is_empty() && (next.call.alone || total > MAX_BATCH_GAS) {
                break;
            }
            let alone = next.call.alone;
            batch.extend(self.waiting.pop_front());
            if alone {
                break;
            }
        }
        batch
    }

    /// Says whether the chain has the contract for batches. When nobody can say, there is none now.
    async fn can_batch(&mut self) -> bool {
        if self.shared.config.batch <= 1 {
            return false;
        }
        if let Some(can_batch) = self.can_batch {
            return can_batch;
        }
        let found = self.shared.signer.chain().is_contract(MULTICALL3).await;
        self.can_batch = found.as_ref().ok().copied();
        found.unwrap_or(false)
    }

    /// Signs and stores one transaction for a batch, and has it carried out. What fails before it is
    /// stored takes no nonce.
    async fn dispatch(&mut self, batch: Vec<Waiting>) {
        let (mut calls, mut waiters) = (Vec::new(), Vec::new());
        for Waiting { call, gas, done, .. } in batch {
            waiters.push((call.id, done));
            calls.push((call, gas));
        }
        match self.store(&calls).await {
            Ok(outgoing) => {
                for (id, done) in waiters {
                    self.waiters.entry(id).or_default().push(done);
                }
                self.shared.view().status.sent += 1;
                self.carry(vec![outgoing]);
            }
            Err(error) => {
                warn!(%error, calls = calls.len(), "No transaction was made.");
                for (id, done) in waiters {
                    let attached = self.waiters.remove(&id).unwrap_or_default();
                    for waiter in attached.into_iter().chain([done]) {
                        let _ = waiter.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    async fn store(&mut self, calls: &[(Call, u64)]) -> Result<OutgoingTransaction, OutgoingError> {
        let nonce = self.next.ok_or(OutgoingError::Stopped)?;
        let target = target(calls);
        let fees = self.shared.signer.fees().await?;
        let transaction =
            self.shared.signer.sign(nonce, target.to, target.data, target.gas, fees)?;
        let calls = calls.iter().map(|(call, _)| call.id).collect();
        let outgoing = OutgoingTransaction { transaction, calls };
        failpoint!("chain.append.before");
        self.shared.journal.append(&outgoing).await?;
        failpoint!("chain.append.after");
        self.next = Some(nonce.saturating_add(1));
        Ok(outgoing)
    }

    fn carry(&mut self, versions: Vec<OutgoingTransaction>) {
        let Some(newest) = versions.last() else { return };
        self.shared.show(newest);
        for call in &newest.calls {
            self.waiters.entry(*call).or_default();
        }
        self.flights.insert(newest.transaction.nonce);
        self.carriers.spawn(Carrier::new(Arc::clone(&self.shared), versions).run());
    }

    /// Tells everybody who waits what became of a transaction.
    async fn arrived(&mut self, versions: Vec<OutgoingTransaction>, outcome: &CallOutcome) {
        let Some(newest) = versions.last() else { return };
        let nonce = newest.transaction.nonce;
        self.flights.remove(&nonce);
        for call in &newest.calls {
            self.shared.view().transactions.remove(call);
            for waiter in self.waiters.remove(call).unwrap_or_default() {
                let _ = waiter.send(Ok(outcome.clone()));
            }
        }
        self.closings.spawn(close(Arc::clone(&self.shared), nonce));
        while self.closings.try_join_next().is_some() {}
        if *outcome == CallOutcome::Superseded {
            // Somebody else sends from this account: the chain knows how far it is.
            self.resync().await;
        } else {
            self.mined.remember(versions);
        }
    }

    async fn resync(&mut self) {
        let (address, chain) = (self.shared.address(), self.shared.signer.chain());
        match chain.transaction_count(address, true).await {
            Ok(count) => self.next = self.next.map(|next| next.max(count)),
            Err(error) => warn!(%error, "The account's nonces could not be asked for."),
        }
    }
}

/// Notes that a nonce is spent. Nobody waits for it: at worst it is looked at again after a restart.
async fn close(shared: Arc<Shared>, nonce: u64) {
    failpoint!("chain.close.before");
    if let Err(error) = shared.journal.close(shared.address(), nonce).await {
        warn!(%error, nonce, "A spent nonce will be looked at again.");
    }
    failpoint!("chain.close.after");
}
