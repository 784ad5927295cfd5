//! Blocks.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use serde_json::Value;

use super::{quantity, value};
use crate::block::Block;
use crate::chain::{DevChain, State};
use crate::rpc::{Params, RpcError, convert};

pub(super) fn number(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    value(quantity(chain.head().number))
}

pub(super) fn by_number(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let tag: BlockNumberOrTag = params.required("block")?;
    let full = params.optional("full transactions")?.unwrap_or(false);
    params.end()?;
    let block = find(&chain.state(), tag.into());
    value(block.map(|block| convert::block(&block, full)))
}

pub(super) fn by_hash(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required("block hash")?;
    let full = params.optional("full transactions")?.unwrap_or(false);
    params.end()?;
    let block = find(&chain.state(), hash.into());
    value(block.map(|block| convert::block(&block, full)))
}

pub(super) fn receipts(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let id: BlockId = params.required("block")?;
    params.end()?;
    let block = find(&chain.state(), id);
    value(block.map(|block| {
        let mined = block.mined().into_iter();
        mined.map(|mined| convert::receipt(&block, mined)).collect::<Vec<_>>()
    }))
}

/// Returns a block. Every block is safe and final, and there is none that is pending: that is the
/// latest too.
fn find(state: &State, id: BlockId) -> Option<Arc<Block>> {
    match id {
        BlockId::Hash(hash) => state.block_by_hash(&hash.block_hash).cloned(),
        BlockId::Number(tag) => state.block(resolve(state, tag)).cloned(),
    }
}

/// Returns the number that a tag stands for.
pub(super) fn resolve(state: &State, tag: BlockNumberOrTag) -> u64 {
    match tag {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        _ => state.head().number,
    }
}
