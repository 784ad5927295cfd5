//! Running the EVM over the state. Nothing here changes the state: a run returns its changes.

mod call;

use alloy_primitives::{B256, U256};
use revm::context::{BlockEnv, CfgEnv, Context, Journal, TxEnv};
use revm::context_interface::result::{EVMError, InvalidTransaction, ResultAndState};
use revm::database::InMemoryDB;
use revm::database_interface::WrapDatabaseRef;
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteEvm, MainBuilder};
use std::convert::Infallible;

pub(crate) use call::{call, estimate_gas};

use crate::config::{BASE_FEE, BLOCK_GAS_LIMIT, CHAIN_ID, COINBASE};

/// The state: accounts, code, storage, and the hashes of recent blocks.
pub(crate) type Database = InMemoryDB;

/// What a run fails with if the EVM does not get to run at all.
pub(crate) type EvmError = EVMError<Infallible, InvalidTransaction>;

/// What is checked before a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Checks {
    /// All of it, for a transaction that goes into a block.
    All,
    /// All but the nonce, for a transaction that has to wait.
    AllButNonce,
    /// Little: a call needs no funds for gas, no nonce, and may come from a contract.
    Call,
}

/// Runs `transaction` in `block` and returns the result and the changes.
pub(crate) fn run(
    database: &Database,
    block: &BlockEnv,
    transaction: TxEnv,
    checks: Checks,
) -> Result<ResultAndState, EvmError> {
    let database = WrapDatabaseRef(database);
    let context: Context<BlockEnv, TxEnv, CfgEnv, _, Journal<_>, ()> =
        Context::new(database, SpecId::OSAKA);
    let mut evm =
        context.with_cfg(checks.configuration()).with_block(block.clone()).build_mainnet();
    evm.transact(transaction)
}

/// Returns what the EVM sees of a block.
pub(crate) fn block_environment(number: u64, timestamp: u64, randomness: B256) -> BlockEnv {
    BlockEnv {
        number: U256::from(number),
        beneficiary: COINBASE,
        timestamp: U256::from(timestamp),
        gas_limit: BLOCK_GAS_LIMIT,
        basefee: BASE_FEE,
        prevrandao: Some(randomness),
        ..BlockEnv::default()
    }
}

impl Checks {
    fn configuration(self) -> CfgEnv {
        let mut configuration = CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(CHAIN_ID);
        configuration.disable_nonce_check = self != Self::All;
        let call = self == Self::Call;
        configuration.disable_balance_check = call;
        configuration.disable_base_fee = call;
        configuration.disable_eip3607 = call;
        configuration
    }
}
