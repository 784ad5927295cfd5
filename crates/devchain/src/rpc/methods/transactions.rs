//! Transactions.

use alloy_primitives::{B256, Bytes};
use serde_json::Value;

use super::value;
use crate::chain::DevChain;
use crate::rpc::{Params, RpcError, convert};

pub(super) fn send(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let raw: Bytes = params.required("transaction")?;
    params.end()?;
    value(chain.submit(&raw)?)
}

pub(super) fn by_hash(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required("transaction hash")?;
    params.end()?;
    let state = chain.state();
    let mined =
        state.block_of(&hash).and_then(|block| Some(convert::transaction(block, block.mined()?)));
    value(mined.or_else(|| state.waiting(&hash).map(convert::waiting)))
}

pub(super) fn receipt(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required("transaction hash")?;
    params.end()?;
    let block = chain.state().block_of(&hash).cloned();
    value(block.and_then(|block| Some(convert::receipt(&block, block.mined()?))))
}
