//! The methods, by name.

mod blocks;
mod dev;
mod fees;
mod logs;
mod state;
mod transactions;

use serde::Serialize;
use serde_json::Value;

use super::{Params, RpcError};
use crate::chain::DevChain;
use crate::config::CHAIN_ID;

/// Calls a method.
pub(super) fn call(chain: &DevChain, method: &str, params: Params) -> Result<Value, RpcError> {
    match method {
        "dev_mine" => dev::mine(chain, params),
        "dev_pause" => dev::pause(chain, params),
        "dev_resume" => dev::resume(chain, params),
        "eth_accounts" => constant(params, Vec::<Value>::new()),
        "eth_blockNumber" => blocks::number(chain, params),
        "eth_call" => state::call(chain, params),
        "eth_chainId" => constant(params, quantity(CHAIN_ID)),
        "eth_estimateGas" => state::estimate_gas(chain, params),
        "eth_feeHistory" => fees::history(chain, params),
        "eth_gasPrice" => constant(params, quantity(fees::GAS_PRICE)),
        "eth_getBalance" => state::balance(chain, params),
        "eth_getBlockByHash" => blocks::by_hash(chain, params),
        "eth_getBlockByNumber" => blocks::by_number(chain, params),
        "eth_getBlockReceipts" => blocks::receipts(chain, params),
        "eth_getCode" => state::code(chain, params),
        "eth_getLogs" => logs::find(chain, params),
        "eth_getStorageAt" => state::storage(chain, params),
        "eth_getTransactionByHash" => transactions::by_hash(chain, params),
        "eth_getTransactionCount" => state::transaction_count(chain, params),
        "eth_getTransactionReceipt" => transactions::receipt(chain, params),
        "eth_maxPriorityFeePerGas" => constant(params, quantity(fees::PRIORITY_FEE)),
        "eth_sendRawTransaction" => transactions::send(chain, params),
        "eth_syncing" => constant(params, false),
        "net_version" => constant(params, CHAIN_ID.to_string()),
        "web3_clientVersion" => constant(params, CLIENT_VERSION),
        _ => Err(RpcError::unknown_method(method)),
    }
}

const CLIENT_VERSION: &str = concat!("assay-devchain/", env!("CARGO_PKG_VERSION"));

/// Answers a method that has no parameters and always the same result.
fn constant(params: Params, result: impl Serialize) -> Result<Value, RpcError> {
    params.end()?;
    value(result)
}

/// Returns a result as JSON.
fn value(result: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| RpcError::internal(error.to_string()))
}

/// Writes a number as the interface does: hexadecimal without leading zeros.
fn quantity(number: u64) -> String {
    format!("{number:#x}")
}
