//! The state that every development chain starts from.

use alloy_primitives::{Address, B256, Bytes, Keccak256, TxKind, U256, address, uint};
use alloy_sol_types::{SolCall, sol};
use revm::DatabaseCommit;
use revm::context::TxEnv;
use revm::context_interface::result::ExecutionResult;
use revm::state::{AccountInfo, Bytecode};
use serde::Deserialize;
use thiserror::Error;

use crate::accounts::dev_accounts;
use crate::block::Block;
use crate::config::{CHAIN_ID, TRANSACTION_GAS_LIMIT};
use crate::evm::{Checks, Database, block_environment, run};

/// The address of the development token, a dollar with six decimals that anyone may mint.
pub const DEV_TOKEN: Address = address!("0x5Fe8d7270F11F9eA5af4d68f6Ba63Cc478996ee6");

/// Where Permit2 is, here and on other chains (<https://github.com/Uniswap/permit2>).
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");

/// Where the spender of x402's scheme `upto` is, here and on other chains.
pub const UPTO_PROXY: Address = address!("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// What stands on a chain from its start. A chain goes on with what it started with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Edition {
    /// The token and Multicall3.
    First,
    /// Permit2 and the proxy of the scheme `upto` as well.
    Permits,
}

impl Edition {
    /// What a new chain starts with.
    pub(crate) const NEWEST: Self = Self::Permits;
    /// What older chains started with.
    pub(crate) const OLDER: [Self; 1] = [Self::First];
}

/// Why the genesis state cannot be built. All of it is a fault of the build, not of the machine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// A contract's compiled artifact cannot be read.
    #[error("a contract's artifact cannot be read: {0}")]
    Artifact(#[from] serde_json::Error),
    /// A step of the setup did not succeed.
    #[error("{step} failed: {reason}")]
    Step {
        /// Which step.
        step: &'static str,
        /// What the EVM said.
        reason: String,
    },
    /// The token was created elsewhere.
    #[error("the token is at {found:?}, expected {DEV_TOKEN}")]
    TokenAddress {
        /// Where it was created.
        found: Option<Address>,
    },
}

/// Builds the genesis state of an edition and its block.
pub(crate) fn build(edition: Edition) -> Result<(Database, Block), GenesisError> {
    let mut database = Database::default();
    for account in dev_accounts() {
        let info = AccountInfo::from_balance(ETHER_EACH);
        database.insert_account_info(account.address, info);
    }
    deploy_token(&mut database)?;
    place(&mut database, MULTICALL3, MULTICALL_ARTIFACT)?;
    if edition == Edition::Permits {
        place(&mut database, PERMIT2, PERMIT2_ARTIFACT)?;
        place(&mut database, UPTO_PROXY, UPTO_PROXY_ARTIFACT)?;
    }
    for account in dev_accounts() {
        let mint = mintCall { to: account.address, value: TOKENS_EACH };
        let input = mint.abi_encode().into();
        apply(&mut database, "minting", TxKind::Call(DEV_TOKEN), input)?;
    }
    let block = Block::genesis(digest(&database));
    Ok((database, block))
}

/// Puts a contract's code at an address without running its constructor.
fn place(
    database: &mut Database,
    address: Address,
    artifact: &'static str,
) -> Result<(), GenesisError> {
    let artifact: DeployedArtifact = serde_json::from_str(artifact)?;
    let code = Bytecode::new_raw(artifact.deployed_bytecode);
    database.insert_account_info(address, AccountInfo::default().with_code(code));
    Ok(())
}

/// Runs the token's constructor, which stores its own address and the chain id for EIP-712.
fn deploy_token(database: &mut Database) -> Result<(), GenesisError> {
    let artifact: Artifact = serde_json::from_str(TOKEN_ARTIFACT)?;
    let result = apply(database, "deploying the token", TxKind::Create, artifact.bytecode)?;
    match result.created_address() {
        Some(DEV_TOKEN) => Ok(()),
        found => Err(GenesisError::TokenAddress { found }),
    }
}

fn apply(
    database: &mut Database,
    step: &'static str,
    kind: TxKind,
    data: Bytes,
) -> Result<ExecutionResult, GenesisError> {
    let block = block_environment(0, 0, B256::ZERO);
    let transaction = TxEnv {
        caller: DEPLOYER,
        gas_limit: TRANSACTION_GAS_LIMIT,
        kind,
        data,
        chain_id: Some(CHAIN_ID),
        ..TxEnv::default()
    };
    let failed = |reason: String| GenesisError::Step { step, reason };
    let run = run(database, &block, transaction, Checks::Call)
        .map_err(|error| failed(error.to_string()))?;
    if !run.result.is_success() {
        return Err(failed(run.result.to_string()));
    }
    database.commit(run.state);
    Ok(run.result)
}

/// Returns a digest of all accounts and their storage. The genesis block holds it, so that chains
/// that start from different states have different genesis hashes, state root or no.
fn digest(database: &Database) -> B256 {
    let mut accounts: Vec<_> = database.cache.accounts.iter().collect();
    accounts.sort_by_key(|(address, _)| **address);
    let mut hasher = Keccak256::new();
    for (address, account) in accounts {
        hasher.update(address);
        hasher.update(account.info.balance.to_be_bytes::<32>());
        hasher.update(account.info.nonce.to_be_bytes());
        hasher.update(account.info.code_hash);
        let mut slots: Vec<_> = account.storage.iter().collect();
        slots.sort();
        hasher.update(slots.len().to_be_bytes());
        for (slot, value) in slots {
            hasher.update(slot.to_be_bytes::<32>());
            hasher.update(value.to_be_bytes::<32>());
        }
    }
    hasher.finalize()
}

#[derive(Deserialize)]
struct Artifact {
    bytecode: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeployedArtifact {
    deployed_bytecode: Bytes,
}

sol! {
    function mint(address to, uint256 value);
}

const TOKEN_ARTIFACT: &str = include_str!("../../../contracts/artifacts/DevToken.json");

const MULTICALL_ARTIFACT: &str = include_str!("../../../contracts/artifacts/DevMulticall.json");

const PERMIT2_ARTIFACT: &str = include_str!("../../../contracts/artifacts/DevPermit2.json");

const UPTO_PROXY_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/DevUptoPermit2Proxy.json");

/// Where Multicall3 is on other chains (<https://www.multicall3.com>).
const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// 10,000 ether, in wei.
const ETHER_EACH: U256 = uint!(10_000_000_000_000_000_000_000_U256);

/// 1,000,000 devUSD, in units of 10^-6.
const TOKENS_EACH: U256 = uint!(1_000_000_000_000_U256);

/// Who deploys the token, an address without a key: the last 20 bytes of
/// keccak256("assay development deployer").
const DEPLOYER: Address = address!("0xaea407160Ae8c27721B74f453E4b6bD0f06ACA9e");

#[cfg(test)]
mod tests {
    use alloy_primitives::{b256, keccak256};

    use super::*;

    /// The hash of the first edition's genesis block, as it is in old folders.
    const FIRST: B256 = b256!("963afe4b432bf057259a1d02c8ba9db3bd11848137c9757f7d8045dc03a390bb");

    #[test]
    fn the_constants_are_what_they_say() {
        assert_eq!(DEPLOYER, Address::from_word(keccak256("assay development deployer")));
        assert_eq!(DEV_TOKEN, DEPLOYER.create(0));
    }

    #[test]
    fn every_chain_has_the_genesis_of_its_edition() {
        let hash = |edition| build(edition).unwrap().1.head().hash;
        // Folders that older versions of this program made begin with the first.
        assert_eq!(hash(Edition::First), FIRST);
        assert_eq!(hash(Edition::NEWEST), hash(Edition::NEWEST));
        assert_ne!(hash(Edition::NEWEST), FIRST);
        assert_eq!(build(Edition::NEWEST).unwrap().1.head().number, 0);
    }
}
