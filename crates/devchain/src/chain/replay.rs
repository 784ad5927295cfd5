//! Opening a chain: the genesis state, and the recorded blocks run again.

use alloy_primitives::B256;

use super::State;
use crate::block::Block;
use crate::config::Config;
use crate::error::OpenError;
use crate::evm::Database;
use crate::genesis::{self, Edition, GenesisError};
use crate::journal::{Journal, Record, ReplayError};
use crate::transaction;

/// Opens the chain that `config` describes.
pub(super) fn open(config: Config) -> Result<State, OpenError> {
    let Config { folder, fsync } = config;
    let recorded = folder.as_deref().map(Journal::recorded_genesis).transpose()?.flatten();
    let (database, genesis) = start(recorded)?;
    let hash = genesis.head().hash;
    let mut state = State::new(database, genesis);
    if let Some(folder) = folder {
        let journal = Journal::open(&folder, hash, fsync, |record| replay(&mut state, &record))?;
        state.journal = Some(journal);
    }
    Ok(state)
}

/// Builds the genesis that is recorded, if it is one of this program's, or else that of a new chain.
fn start(recorded: Option<B256>) -> Result<(Database, Block), GenesisError> {
    let newest = genesis::build(Edition::NEWEST)?;
    let Some(recorded) = recorded.filter(|hash| *hash != newest.1.head().hash) else {
        return Ok(newest);
    };
    for edition in Edition::OLDER {
        let older = genesis::build(edition)?;
        if older.1.head().hash == recorded {
            return Ok(older);
        }
    }
    Ok(newest)
}

/// Runs one recorded block again. It must come out with the hash that was recorded.
fn replay(state: &mut State, record: &Record) -> Result<(), ReplayError> {
    let number = state.head().number.saturating_add(1);
    let invalid = |reason: String| ReplayError::Invalid { number, reason };
    let transaction = if record.transaction.is_empty() {
        None
    } else {
        let decoded = transaction::decode(&record.transaction);
        Some(decoded.map_err(|error| invalid(error.to_string()))?)
    };
    let prepared = state
        .prepare(record.timestamp, transaction.as_ref())
        .map_err(|error| invalid(error.to_string()))?;
    let replayed = prepared.block.head().hash;
    if replayed != record.hash {
        return Err(ReplayError::Differs { number, recorded: record.hash, replayed });
    }
    state.apply(prepared);
    Ok(())
}
