//! What was given back, kept in the data folder: a file for each receipt, written before anything is
//! broadcast, so that nothing is given back twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_chain::{Address, B256, JournalError, OutgoingTransaction, TransactionJournal};
use assay_primitives::{Amount, Digest, Network, TransactionId, failpoint};
use assay_receipt::{Envelope, SettlementBlock};
use assay_store::FolderLock;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::CliError;
use crate::files::{self, Readers};

/// The most bytes a file may have.
const MAX_FILE: u64 = 4 << 20;
/// The file that keeps other processes from giving back at the same time.
const LOCK: &str = "lock";

/// The refunds of one receipt.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Ledger {
    /// The transaction's id.
    pub(super) transaction: TransactionId,
    /// The receipt's digest.
    pub(super) receipt: Digest,
    /// Where it was paid.
    pub(super) network: Network,
    /// Oldest first.
    pub(super) refunds: Vec<Entry>,
}

/// One refund.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Entry {
    /// Which refund of its receipt it is; the first is 1.
    pub(super) sequence: u64,
    /// How much, in atomic units.
    pub(super) amount: Amount,
    /// What the chain's transactions know it by.
    pub(super) call: B256,
    /// The signed transactions, any of which may be mined, the oldest first.
    pub(super) versions: Vec<OutgoingTransaction>,
    /// Whether their nonce is spent.
    pub(super) is_closed: bool,
    /// How far it is.
    pub(super) state: State,
    /// The settlement record, once signed.
    pub(super) record: Option<Envelope>,
}

/// How far a refund is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub(super) enum State {
    /// Signed; it may be in the chain or not.
    Open,
    /// In the chain; the gateway has not taken its record yet.
    Mined(Mined),
    /// In the chain, and the gateway has its record.
    Recorded(Mined),
    /// It did nothing: another transaction had its nonce, or it reverted.
    Undone {
        /// The block that shows it; it counts as long as it is in the chain.
        #[serde(default)]
        block: Option<SettlementBlock>,
    },
}

/// Where a refund is in the chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Mined {
    pub(super) transaction: B256,
    pub(super) block: SettlementBlock,
}

/// The refunds of a data folder, held by one process at a time.
#[derive(Debug)]
pub(super) struct Refunds {
    folder: PathBuf,
    state: Mutex<Held>,
    /// Told when a nonce is spent.
    closed: watch::Sender<u64>,
    _lock: FolderLock,
}

#[derive(Debug, Default)]
struct Held {
    ledgers: BTreeMap<TransactionId, Ledger>,
    /// The refund that is about to be signed.
    planned: Option<(Ledger, Entry)>,
}

impl Refunds {
    /// Opens the refunds of a network in a data folder.
    pub(super) fn open(data: &Path, network: &Network) -> Result<Self, CliError> {
        let folder = data.join("refunds");
        files::private_folder(&folder).map_err(CliError::io(&folder))?;
        let lock = FolderLock::take(&folder, LOCK).map_err(CliError::io(folder.join(LOCK)))?;
        let lock = lock.ok_or_else(|| {
            CliError::Failed(format!("{}: another refund is under way", folder.display()))
        })?;
        let mut ledgers = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(CliError::io(&folder))? {
            let path = entry.map_err(CliError::io(&folder))?.path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            let ledger: Ledger = serde_json::from_slice(&files::read(&path, MAX_FILE)?)
                .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))?;
            if ledger.network == *network {
                ledgers.insert(ledger.transaction, ledger);
            }
        }
        let state = Mutex::new(Held { ledgers, planned: None });
        Ok(Self { folder, state, closed: watch::Sender::new(0), _lock: lock })
    }

    /// Returns the refunds of a receipt.
    pub(super) fn of(&self, id: TransactionId) -> Vec<Entry> {
        self.held().ledgers.get(&id).map(|ledger| ledger.refunds.clone()).unwrap_or_default()
    }

    /// Plans a refund: it is stored when it is signed.
    pub(super) fn plan(&self, ledger: Ledger, entry: Entry) {
        self.held().planned = Some((ledger, entry));
    }

    /// Changes a refund, and stores that.
    pub(super) fn change(
        &self,
        id: TransactionId,
        sequence: u64,
        change: impl FnOnce(&mut Entry),
    ) -> Result<(), CliError> {
        let mut held = self.held();
        let ledger = held.ledgers.get_mut(&id);
        let ledger = ledger.ok_or_else(|| CliError::failed("the refund is not in its journal"))?;
        let mut changed = ledger.clone();
        if let Some(entry) = changed.refunds.iter_mut().find(|e| e.sequence == sequence) {
            change(entry);
        }
        self.write(&changed)?;
        *ledger = changed;
        Ok(())
    }

    /// Waits until the nonce of a refund is spent.
    pub(super) async fn wait_until_closed(&self, id: TransactionId, sequence: u64) {
        let mut closed = self.closed.subscribe();
        let is_open = || {
            let mut entries = self.of(id).into_iter();
            entries.any(|entry| entry.sequence == sequence && !entry.is_closed)
        };
        while is_open() {
            if closed.changed().await.is_err() {
                return;
            }
        }
    }

    fn write(&self, ledger: &Ledger) -> Result<(), CliError> {
        let path = self.folder.join(format!("{}.json", ledger.transaction));
        let content = serde_json::to_vec_pretty(ledger).map_err(CliError::failed)?;
        files::replace(&path, &content, Readers::Owner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a version of the refund that a call is.
    fn append_to(&self, outgoing: &OutgoingTransaction) -> Result<(), CliError> {
        let [call] = outgoing.calls[..] else {
            // What is missing below one's own nonce is another's to send.
            return Err(CliError::failed("a refund fills no gap in the account's nonces"));
        };
        let mut held = self.held();
        let known = held.ledgers.values().find(|ledger| ledger.has(call)).cloned();
        let mut ledger = match (known, held.planned.take()) {
            (Some(known), planned) => {
                held.planned = planned;
                known
            }
            (None, Some((mut ledger, entry))) if entry.call == call => {
                ledger.refunds.push(entry);
                ledger
            }
            _ => return Err(CliError::failed("the call is no refund that was planned")),
        };
        for entry in ledger.refunds.iter_mut().filter(|entry| entry.call == call) {
            entry.versions.push(outgoing.clone());
        }
        self.write(&ledger)?;
        held.ledgers.insert(ledger.transaction, ledger);
        Ok(())
    }

    /// Returns copies of the refunds that an account signed.
    fn signed_by(&self, signer: Address) -> Vec<(TransactionId, Entry)> {
        let held = self.held();
        let all = held.ledgers.values().flat_map(|ledger| {
            ledger.refunds.iter().map(|entry| (ledger.transaction, entry.clone()))
        });
        all.filter(|(_, entry)| entry.place().is_some_and(|(found, _)| found == signer)).collect()
    }
}

impl Ledger {
    fn has(&self, call: B256) -> bool {
        self.refunds.iter().any(|entry| entry.call == call)
    }
}

impl Entry {
    /// Returns the account and the nonce that it was signed under.
    fn place(&self) -> Option<(Address, u64)> {
        let first = self.versions.first()?;
        Some((first.transaction.signer, first.transaction.nonce))
    }

    /// Returns where it is in the chain, if it is known to be.
    pub(super) const fn mined(&self) -> Option<&Mined> {
        match &self.state {
            State::Mined(mined) | State::Recorded(mined) => Some(mined),
            State::Open | State::Undone { .. } => None,
        }
    }
}

#[async_trait]
impl TransactionJournal for Refunds {
    async fn append(&self, outgoing: &OutgoingTransaction) -> Result<(), JournalError> {
        self.append_to(outgoing).map_err(|error| JournalError(error.to_string()))?;
        failpoint!("cli.refund.before_broadcast");
        Ok(())
    }

    async fn close(&self, signer: Address, nonce: u64) -> Result<(), JournalError> {
        for (id, entry) in self.signed_by(signer) {
            if entry.place() == Some((signer, nonce)) {
                let closed = self.change(id, entry.sequence, |entry| entry.is_closed = true);
                closed.map_err(|error| JournalError(error.to_string()))?;
            }
        }
        self.closed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    async fn open(&self, signer: Address) -> Result<Vec<OutgoingTransaction>, JournalError> {
        let mut open: Vec<Entry> = self.signed_by(signer).into_iter().map(|(_, e)| e).collect();
        open.retain(|entry| entry.state == State::Open && !entry.is_closed);
        open.sort_by_key(Entry::place);
        Ok(open.into_iter().flat_map(|entry| entry.versions).collect())
    }

    async fn versions(
        &self,
        signer: Address,
        nonce: u64,
    ) -> Result<Vec<OutgoingTransaction>, JournalError> {
        let found = self.signed_by(signer).into_iter().map(|(_, entry)| entry);
        // One that was undone is not sent again: another may have been made in its place.
        let found = found.filter(|entry| {
            entry.place() == Some((signer, nonce)) && !matches!(entry.state, State::Undone { .. })
        });
        Ok(found.flat_map(|entry| entry.versions).collect())
    }

    /// The chain knows every nonce that is spent; others spend this account's, too.
    async fn highest(&self, signer: Address) -> Result<Option<u64>, JournalError> {
        let open = self.open(signer).await?;
        Ok(open.iter().map(|outgoing| outgoing.transaction.nonce).max())
    }
}
