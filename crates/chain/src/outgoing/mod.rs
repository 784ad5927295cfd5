//! One's own transactions: from calls that wait to transactions in the chain.
//!
//! ```text
//! Call --waits--> batch --signed under the next nonce--> journal --> broadcast --> mined
//!                                                           ^                |
//!                                                           `-- replaced ----'
//! ```
//!
//! One dispatcher for an account takes what waits, signs one transaction for it and stores that in
//! the [journal](TransactionJournal); only then is it broadcast. A nonce that was stored is carried
//! on until it is spent, over restarts too, so there are no gaps and no nonce is taken twice. A
//! transaction that is not mined while blocks go by is replaced by one with higher fees; all versions
//! are watched. Where a reorganisation drops a transaction that counted as mined, it is sent again.
//!
//! Calls that come while others are under way wait a moment for one another and go out together,
//! where the chain has [`MULTICALL3`].

pub(crate) mod batch;
mod carrier;
mod dispatch;
mod journal;
mod mined;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub use self::batch::{Call, MULTICALL3};
use self::dispatch::{Command, Dispatcher, Submission};
pub use self::journal::{JournalError, MemoryJournal, OutgoingTransaction, TransactionJournal};
use crate::{MinedTransaction, SettlementSigner, SignerError};

/// How many commands may wait for the dispatcher.
const COMMANDS: usize = 1_024;

/// How calls become transactions.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingConfig {
    /// How many blocks have to hold a transaction, its own included. 1 by default.
    pub confirmations: u64,
    /// The most calls in one transaction. 100 by default; 1 for never a batch.
    pub batch: usize,
    /// How long a call waits for others while transactions are under way. 10 ms by default.
    pub window: Duration,
    /// The most transactions under way at a time. 16 by default: nodes hold no more of one account.
    pub in_flight: usize,
    /// After how many blocks without it a transaction is replaced. 5 by default.
    pub stuck_blocks: u64,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// A transaction with it was mined. In a batch the call itself may have failed: what it wrote to
    /// the log says whether it did.
    Mined {
        /// The transaction.
        mined: Arc<MinedTransaction>,
        /// Whether it was the only call.
        alone: bool,
    },
    /// A transaction with it was mined and reverted: it did nothing.
    Reverted(Arc<MinedTransaction>),
    /// The account nonce went to a transaction that is not of this journal: it did nothing.
    Superseded,
}

/// A call that was not carried out, and of which nothing was broadcast.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum OutgoingError {
    /// It was not signed: it would revert, costs too much, or the node does not answer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// It was not stored.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The account's transactions are not sent any more.
    #[error("the queue of outgoing transactions has stopped")]
    Stopped,
}

/// What is under way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutgoingStatus {
    /// Calls that wait for a transaction.
    pub waiting: usize,
    /// Transactions that are not mined as deep as asked.
    pub in_flight: usize,
    /// How many transactions were signed, replacements not counted.
    pub sent: u64,
    /// How many replaced another.
    pub replaced: u64,
    /// How many were stuck at the most that the limits let a transaction cost.
    pub capped: u64,
}

/// The calls of one account. Clones share it; with the last one its tasks end, and what is under way
/// is carried on by the next over the same journal.
#[derive(Clone, Debug)]
pub struct OutgoingQueue {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    dispatcher: Arc<Mutex<DispatcherTask>>,
}

/// What dispatcher and carriers share.
#[derive(Debug)]
struct Shared {
    signer: SettlementSigner,
    journal: Arc<dyn TransactionJournal>,
    config: OutgoingConfig,
    view: Mutex<View>,
}

#[derive(Debug, Default)]
struct View {
    status: OutgoingStatus,
    /// The newest transaction of each call that is under way.
    transactions: HashMap<B256, B256>,
    /// The lowest nonce that is under way.
    lowest: Option<u64>,
}

/// The dispatcher's task: it ends with the queue, and its carriers with it.
#[derive(Debug)]
struct DispatcherTask {
    task: JoinSet<()>,
    /// What it is told, until it begins.
    commands: Option<mpsc::Receiver<Command>>,
}

impl Default for OutgoingConfig {
    fn default() -> Self {
        Self {
            confirmations: 1,
            batch: 100,
            window: Duration::from_millis(10),
            in_flight: 16,
            stuck_blocks: 5,
        }
    }
}

impl OutgoingQueue {
    /// Makes the queue of a signer's account. There must be one only. Its task begins with the first
    /// call.
    #[must_use]
    pub fn new(
        signer: SettlementSigner,
        journal: Arc<dyn TransactionJournal>,
        config: OutgoingConfig,
    ) -> Self {
        let shared = Arc::new(Shared { signer, journal, config, view: Mutex::default() });
        let (commands, received) = mpsc::channel(COMMANDS);
        let dispatcher = DispatcherTask { task: JoinSet::new(), commands: Some(received) };
        Self { shared, commands, dispatcher: Arc::new(Mutex::new(dispatcher)) }
    }

    /// Returns the signer.
    #[must_use]
    pub fn signer(&self) -> &SettlementSigner {
        &self.shared.signer
    }

    /// Takes up what the journal holds from before. The first call does it, too.
    ///
    /// # Errors
    /// When the journal or the node does not answer.
    pub async fn resume(&self) -> Result<(), OutgoingError> {
        let (done, resumed) = oneshot::channel();
        self.send(Command::Resume(done)).await?;
        resumed.await.map_err(|_| OutgoingError::Stopped)?
    }

    /// Carries a call out, and waits until that is as deep in the chain as configured. It goes on
    /// when nobody waits any more; who asks again with the same id meanwhile waits for the same.
    ///
    /// # Errors
    /// When nothing was broadcast, nor will be.
    pub async fn carry_out(&self, call: Call) -> Result<CallOutcome, OutgoingError> {
        // What is under way has its gas. Estimated again it may revert, as it is done already.
        let gas = match self.transaction_of(call.id) {
            Some(_) => None,
            None => Some(self.shared.signer.gas_of(call.to, &call.data, call.alone).await?),
        };
        let (done, outcome) = oneshot::channel();
        self.send(Command::Submit(Submission { call, gas, done })).await?;
        outcome.await.map_err(|_| OutgoingError::Stopped)?
    }

    /// Checks that the account can pay for a settlement more than those that are under way.
    ///
    /// # Errors
    /// [`SignerError::OutOfGas`] when it cannot, and as [`SettlementSigner::affordable`].
    pub async fn check_gas(&self) -> Result<(), SignerError> {
        let calls = self.shared.signer.affordable().await?;
        let under_way = {
            let view = self.shared.view();
            view.transactions.len().saturating_add(view.status.waiting) as u64
        };
        if calls > under_way {
            return Ok(());
        }
        Err(SignerError::OutOfGas { address: self.shared.address(), calls, under_way })
    }

    /// Returns the newest transaction of a call that is under way.
    #[must_use]
    pub fn transaction_of(&self, call: B256) -> Option<B256> {
        self.shared.view().transactions.get(&call).copied()
    }

    /// Says what is under way.
    #[must_use]
    pub fn status(&self) -> OutgoingStatus {
        self.shared.view().status
    }

    async fn send(&self, command: Command) -> Result<(), OutgoingError> {
        self.start();
        self.commands.send(command).await.map_err(|_| OutgoingError::Stopped)
    }

    fn start(&self) {
        let mut dispatcher = self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(commands) = dispatcher.commands.take() {
            dispatcher.task.spawn(Dispatcher::new(Arc::clone(&self.shared), commands).run());
        }
    }
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> Address {
        self.signer.address()
    }

    /// Makes a transaction the newest one of its calls.
    fn show(&self, outgoing: &OutgoingTransaction) {
        let mut view = self.view();
        for call in &outgoing.calls {
            view.transactions.insert(*call, outgoing.transaction.hash);
        }
    }
}
