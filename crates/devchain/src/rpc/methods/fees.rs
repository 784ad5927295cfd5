//! What a transaction costs. As the base fee never changes, there is little to tell.

use alloy_consensus::Transaction;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U64;
use alloy_rpc_types_eth::FeeHistory;
use serde_json::Value;

use super::blocks::resolve;
use super::value;
use crate::block::Block;
use crate::chain::DevChain;
use crate::config::{BASE_FEE, BLOCK_GAS_LIMIT};
use crate::rpc::{Params, RpcError};

/// The suggested priority fee. Transactions do not compete, so there is no need to pay one.
pub(super) const PRIORITY_FEE: u64 = 0;

/// The suggested price of gas.
pub(super) const GAS_PRICE: u64 = BASE_FEE + PRIORITY_FEE;

/// The most blocks and percentiles in one answer.
const BLOCK_LIMIT: u64 = 1024;
const PERCENTILE_LIMIT: usize = 100;

pub(super) fn history(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let count: U64 = params.required("block count")?;
    let newest: BlockNumberOrTag = params.required("newest block")?;
    let percentiles: Vec<f64> = params.optional("reward percentiles")?.unwrap_or_default();
    params.end()?;
    check_percentiles(&percentiles)?;
    let state = chain.state();
    let newest = resolve(&state, newest);
    if newest > state.head().number {
        return Err(RpcError::refused("unknown block"));
    }
    let after = newest.saturating_add(1);
    let oldest = after.saturating_sub(count.to::<u64>().min(BLOCK_LIMIT));
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for block in (oldest..after).filter_map(|number| state.block(number)) {
        history.base_fee_per_gas.push(BASE_FEE.into());
        history.gas_used_ratio.push(block.header().gas_used as f64 / BLOCK_GAS_LIMIT as f64);
        rewards.push(vec![reward(block); percentiles.len()]);
    }
    history.base_fee_per_gas.push(BASE_FEE.into());
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    value(history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > PERCENTILE_LIMIT {
        let reason = format!("{} percentiles, limit {PERCENTILE_LIMIT}", percentiles.len());
        return Err(RpcError::invalid_params(reason));
    }
    let valid = percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if !valid || !percentiles.is_sorted() {
        return Err(RpcError::invalid_params("percentiles must rise from 0 to 100"));
    }
    Ok(())
}

/// Returns the priority fee that the block's transaction paid: with one transaction, every
/// percentile is that.
fn reward(block: &Block) -> u128 {
    block.mined().and_then(|mined| mined.transaction.effective_tip_per_gas(BASE_FEE)).unwrap_or(0)
}
