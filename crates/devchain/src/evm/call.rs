//! Calls and gas estimates: transactions that are run and thrown away.

use alloy_primitives::{Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::DatabaseRef;
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction};

use super::{Checks, Database, EvmError, run};
use crate::config::{CHAIN_ID, TRANSACTION_GAS_LIMIT};
use crate::error::CallError;

/// Runs a call and returns what it returned.
pub(crate) fn call(
    database: &Database,
    block: &BlockEnv,
    request: &TransactionRequest,
) -> Result<Bytes, CallError> {
    let transaction = environment(request)?;
    require_funds(database, &transaction)?;
    match execute(database, block, transaction)? {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(CallError::Revert { output }),
        ExecutionResult::Halt { reason, .. } => Err(CallError::Halt(reason.to_string())),
    }
}

/// Returns the least gas limit with which the call succeeds, found by bisection.
pub(crate) fn estimate_gas(
    database: &Database,
    block: &BlockEnv,
    request: &TransactionRequest,
) -> Result<u64, CallError> {
    let mut transaction = environment(request)?;
    require_funds(database, &transaction)?;
    let allowance = affordable_gas(database, &transaction);
    transaction.gas_limit = allowance;
    let used = match execute(database, block, transaction.clone()) {
        Ok(ExecutionResult::Success { gas, .. }) => gas.tx_gas_used(),
        Ok(ExecutionResult::Revert { output, .. }) => return Err(CallError::Revert { output }),
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. }) => {
            return Err(CallError::OutOfGas { allowance });
        }
        Ok(ExecutionResult::Halt { reason, .. }) => {
            return Err(CallError::Halt(reason.to_string()));
        }
        Err(error) => return Err(error),
    };
    // Less than what was used is never enough. More may be: gas that is refunded, or held back from
    // a called contract (EIP-150), has to be there first.
    let (mut failing, mut succeeding) = (used.saturating_sub(1), allowance);
    while succeeding - failing > 1 {
        // What is needed is mostly close above what was used, so the first guesses stay there.
        let middle = failing + ((succeeding - failing) / 2).min(failing.max(2) / 2);
        transaction.gas_limit = middle;
        match execute(database, block, transaction.clone()) {
            Ok(ExecutionResult::Success { .. }) => succeeding = middle,
            Ok(_) | Err(CallError::OutOfGas { .. }) => failing = middle,
            Err(error) => return Err(error),
        }
    }
    Ok(succeeding)
}

fn execute(
    database: &Database,
    block: &BlockEnv,
    transaction: TxEnv,
) -> Result<ExecutionResult, CallError> {
    let limit = transaction.gas_limit;
    match run(database, block, transaction, Checks::Call) {
        Ok(run) => Ok(run.result),
        Err(EvmError::Transaction(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => Err(CallError::OutOfGas { allowance: limit }),
        Err(EvmError::Transaction(error)) => Err(CallError::Invalid(error.to_string())),
        Err(error) => Err(CallError::Evm(error.to_string())),
    }
}

/// Returns what the EVM runs for a request. What the request leaves out gets the value that
/// restricts least.
fn environment(request: &TransactionRequest) -> Result<TxEnv, CallError> {
    let invalid = |text: &str| Err(CallError::Invalid(text.to_owned()));
    if request.blob_versioned_hashes.is_some() || request.authorization_list.is_some() {
        return invalid("blobs and authorization lists are not supported");
    }
    if request.gas_price.is_some() && request.max_fee_per_gas.is_some() {
        return invalid("both gasPrice and maxFeePerGas are given");
    }
    if request.chain_id.is_some_and(|id| id != CHAIN_ID) {
        return invalid(&format!("the chain id is {CHAIN_ID}"));
    }
    let Ok(input) = request.input.unique_input() else {
        return invalid("both data and input are given, and they differ");
    };
    Ok(TxEnv {
        tx_type: if request.max_fee_per_gas.is_some() { 2 } else { 1 },
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(TRANSACTION_GAS_LIMIT).min(TRANSACTION_GAS_LIMIT),
        gas_price: request.gas_price.or(request.max_fee_per_gas).unwrap_or_default(),
        gas_priority_fee: request
            .max_fee_per_gas
            .map(|_| request.max_priority_fee_per_gas.unwrap_or_default()),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: input.cloned().unwrap_or_default(),
        nonce: request.nonce.unwrap_or_default(),
        chain_id: Some(CHAIN_ID),
        access_list: request.access_list.clone().unwrap_or_default(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: Vec::new(),
    })
}

fn balance(database: &Database, transaction: &TxEnv) -> U256 {
    let Ok(account) = database.basic_ref(transaction.caller);
    account.map_or(U256::ZERO, |account| account.balance)
}

fn require_funds(database: &Database, transaction: &TxEnv) -> Result<(), CallError> {
    let (balance, value) = (balance(database, transaction), transaction.value);
    if value > balance {
        return Err(CallError::InsufficientFunds { balance, value });
    }
    Ok(())
}

/// Returns the gas limit, or less if the sender could not pay for it at the price in the request.
fn affordable_gas(database: &Database, transaction: &TxEnv) -> u64 {
    if transaction.gas_price == 0 {
        return transaction.gas_limit;
    }
    let spendable = balance(database, transaction).saturating_sub(transaction.value);
    let affordable = spendable / U256::from(transaction.gas_price);
    u64::try_from(affordable).unwrap_or(u64::MAX).min(transaction.gas_limit)
}
