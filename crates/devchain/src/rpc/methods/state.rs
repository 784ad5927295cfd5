//! Queries of the state.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::TransactionRequest;
use serde_json::{Map, Value};

use super::{quantity, value};
use crate::chain::{DevChain, State};
use crate::rpc::{Params, RpcError};

pub(super) fn balance(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    let state = chain.state();
    let address = account(params, &state)?;
    value(state.account(address).balance)
}

pub(super) fn code(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    let state = chain.state();
    let address = account(params, &state)?;
    value(state.code(address))
}

pub(super) fn storage(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required("address")?;
    let slot: U256 = params.required("slot")?;
    let block = params.optional("block")?;
    params.end()?;
    let state = chain.state();
    require_latest(&state, block)?;
    value(B256::from(state.storage(address, slot)))
}

pub(super) fn transaction_count(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required("address")?;
    let block: Option<BlockId> = params.optional("block")?;
    params.end()?;
    let state = chain.state();
    let nonce = match block_number(&state, block)? {
        _ if block == Some(BlockId::Number(BlockNumberOrTag::Pending)) => {
            state.pending_nonce(address)
        }
        Some(number) => state.nonce_at(address, number),
        None => state.account(address).nonce,
    };
    value(quantity(nonce))
}

pub(super) fn call(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    let state = chain.state();
    let request = simulation(params, &state)?;
    value(state.call(&request, chain.now())?)
}

pub(super) fn estimate_gas(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    let state = chain.state();
    let request = simulation(params, &state)?;
    value(quantity(state.estimate_gas(&request, chain.now())?))
}

/// Takes an account's address and a block, which must be the latest.
fn account(mut params: Params, state: &State) -> Result<Address, RpcError> {
    let address = params.required("address")?;
    let block = params.optional("block")?;
    params.end()?;
    require_latest(state, block)?;
    Ok(address)
}

/// Takes a call and a block, which must be the latest. What a client may send after them, changes
/// to state and block for this call alone, must be empty.
fn simulation(mut params: Params, state: &State) -> Result<TransactionRequest, RpcError> {
    let request = params.required("transaction")?;
    let block = params.optional("block")?;
    for name in ["state overrides", "block overrides"] {
        let overrides: Option<Map<String, Value>> = params.optional(name)?;
        if overrides.is_some_and(|overrides| !overrides.is_empty()) {
            return Err(RpcError::invalid_params(format!("{name} are not supported")));
        }
    }
    params.end()?;
    require_latest(state, block)?;
    Ok(request)
}

/// Refuses a block other than the latest, of which the state is not kept.
fn require_latest(state: &State, block: Option<BlockId>) -> Result<(), RpcError> {
    let latest = state.head().number;
    match block_number(state, block)? {
        Some(number) if number < latest => {
            let reason = format!("only the latest state is kept: block {number} of {latest}");
            Err(RpcError::refused(reason))
        }
        _ => Ok(()),
    }
}

/// Returns the number of a block that is named; `None` for the latest, by whichever word.
fn block_number(state: &State, block: Option<BlockId>) -> Result<Option<u64>, RpcError> {
    let number = match block {
        Some(BlockId::Number(BlockNumberOrTag::Number(number))) => number,
        Some(BlockId::Number(BlockNumberOrTag::Earliest)) => 0,
        None | Some(BlockId::Number(_)) => return Ok(None),
        Some(BlockId::Hash(hash)) => match state.block_by_hash(&hash.block_hash) {
            Some(block) => block.head().number,
            None => return Err(RpcError::refused("unknown block")),
        },
    };
    if number > state.head().number {
        return Err(RpcError::refused("unknown block"));
    }
    Ok(Some(number))
}
