//! Control over mining, for tests.

use alloy_primitives::U64;
use serde_json::Value;

use super::{quantity, value};
use crate::chain::DevChain;
use crate::rpc::{Params, RpcError};

/// The most blocks that one request makes.
const BLOCK_LIMIT: u64 = 1000;

/// Makes empty blocks, one unless more are asked for, and answers with the head's number.
pub(super) fn mine(chain: &DevChain, mut params: Params) -> Result<Value, RpcError> {
    let count: Option<U64> = params.optional("block count")?;
    params.end()?;
    let count = count.map_or(1, |count| count.to::<u64>());
    if count > BLOCK_LIMIT {
        return Err(RpcError::invalid_params(format!("{count} blocks, limit {BLOCK_LIMIT}")));
    }
    for _ in 0..count {
        chain.mine()?;
    }
    value(quantity(chain.head().number))
}

/// Stops mining: transactions are accepted and wait.
pub(super) fn pause(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    chain.pause();
    value(true)
}

/// Mines what waits and goes on mining; answers with the head's number.
pub(super) fn resume(chain: &DevChain, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    value(quantity(chain.resume()?.number))
}
