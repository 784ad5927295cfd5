//! Logs.

use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde_json::Value;

use super::blocks::resolve;
use super::value;
use crate::block::Block;
use crate::chain::{DevChain, State};
use crate::rpc::{Params, RpcError, convert};

/// The most logs that one query returns.
const LIMIT: usize = 10_000;

pub(super) fn find(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let filter: Filter = params.required("filter")?;
    params.end()?;
    let state = chain.state();
    let mut found = Vec::new();
    for number in range(&state, &filter)? {
        let Some(block) = state.block(number) else { break };
        collect(block, &filter, &mut found);
        if found.len() > LIMIT {
            let reason = format!("query returned more than {LIMIT} results");
            return Err(RpcError::too_large(reason));
        }
    }
    drop(state);
    value(found)
}

/// Returns the numbers of the blocks to look through.
fn range(state: &State, filter: &Filter) -> Result<std::ops::RangeInclusive<u64>, RpcError> {
    let head = state.head().number;
    match &filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let Some(block) = state.block_by_hash(hash) else {
                return Err(RpcError::refused("unknown block"));
            };
            let number = block.head().number;
            Ok(number..=number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let number = |tag: Option<_>| tag.map_or(head, |tag| resolve(state, tag));
            let (from, to) = (number(*from_block), number(*to_block));
            if from > to {
                let reason = format!("invalid block range: from {from} to {to}");
                return Err(RpcError::invalid_params(reason));
            }
            Ok(from..=to.min(head))
        }
    }
}

/// Adds the logs of a block that match.
fn collect(block: &Block, filter: &Filter, found: &mut Vec<Log>) {
    let Some(mined) = block.mined().filter(|_| filter.matches_bloom(block.header().logs_bloom))
    else {
        return;
    };
    let logs = convert::logs(block, mined).into_iter();
    found.extend(logs.filter(|log| filter.matches(&log.inner)));
}
