//! Accounts that pay, and their money.

use std::sync::Arc;
use std::time::Duration;

use alloy_sol_types::SolCall as _;
use assay_chain::bindings::Token;
use assay_chain::{
    AccountKey, Address, Chain, ChainConfig, FeeLimits, SettlementSigner, TransactionOutcome, U256,
    development_key,
};
use assay_primitives::{Clock, Digest};

use crate::Failure;
use crate::args::{Args, Plan};
use crate::payments::Offer;

/// What a payer has beyond what it will pay, in payments: a gateway counts what is under way, and
/// what was settled a moment ago may count twice.
const RESERVE: usize = 256;
/// How long a transfer may take to be in a block.
const MINED: Duration = Duration::from_secs(10);

/// Returns the payers, each with the money for its part of the plan.
///
/// Their keys are known to everybody, so this is for development chains alone.
pub(crate) async fn funded(
    args: &Args,
    offer: &Offer,
    plan: &Plan,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<AccountKey>, Failure> {
    let network = &offer.chosen.network;
    if !network.is_development() {
        return Err(format!("network: expected a development chain, got {network}").into());
    }
    let token: Address = offer.chosen.asset.as_str().parse()?;
    let config = ChainConfig::new(&args.rpc_url).on(network.clone());
    let chain = Chain::connect(config, clock.clone()).await?;
    let funder = AccountKey::from_bytes(&development_key(args.funder).0)?;
    let funder = SettlementSigner::new(chain, funder, FeeLimits::default())?;
    let payments = plan.count.div_ceil(args.payers).saturating_add(RESERVE);
    let needed = U256::from(offer.chosen.amount.0).saturating_mul(U256::from(payments));
    let mut payers = Vec::with_capacity(args.payers);
    for n in 0..args.payers {
        let key = Digest::of(format!("assay load payer {n}").as_bytes());
        let payer = AccountKey::from_bytes(key.as_bytes())?;
        fund(&funder, token, payer.address(), needed).await?;
        payers.push(payer);
    }
    Ok(payers)
}

/// Brings a payer's balance up to what it needs.
async fn fund(
    funder: &SettlementSigner,
    token: Address,
    payer: Address,
    needed: U256,
) -> Result<(), Failure> {
    let chain = funder.chain();
    let missing = needed.saturating_sub(chain.balance(token, payer).await?);
    if missing.is_zero() {
        return Ok(());
    }
    let call = Token::transferCall { to: payer, value: missing }.abi_encode();
    let transaction = funder.prepare(token, call.into()).await?.keep();
    chain.broadcast(&transaction).await?;
    match chain.wait(transaction.hash, 1, MINED).await {
        TransactionOutcome::Mined(_) => Ok(()),
        outcome => Err(format!("funding of {payer} with {missing}: {outcome:?}").into()),
    }
}
