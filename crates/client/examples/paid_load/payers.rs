//! Accounts that pay, and their money.

use std::sync::Arc;

use alloy_sol_types::SolCall as _;
use assay_chain::bindings::Token;
use assay_chain::{
    AccountKey, Address, B256, Call, CallOutcome, Chain, ChainConfig, FeeLimits, MemoryJournal,
    OutgoingConfig, OutgoingQueue, SettlementSigner, U256, development_key,
};
use assay_primitives::{Clock, Digest};

use crate::Failure;
use crate::args::{Args, Plan};
use crate::payments::Offer;

/// What a payer has beyond what it will pay, in payments: a gateway counts what is under way, and
/// what was settled a moment ago may count twice.
const RESERVE: usize = 256;

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
    let journal = Arc::<MemoryJournal>::default();
    let funder = OutgoingQueue::new(funder, journal, OutgoingConfig::default());
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
    funder: &OutgoingQueue,
    token: Address,
    payer: Address,
    needed: U256,
) -> Result<(), Failure> {
    let chain = funder.signer().chain();
    let missing = needed.saturating_sub(chain.balance(token, payer).await?);
    if missing.is_zero() {
        return Ok(());
    }
    let data = Token::transferCall { to: payer, value: missing }.abi_encode().into();
    let id = B256::left_padding_from(payer.as_slice());
    match funder.carry_out(Call { id, to: token, data, alone: true }).await? {
        CallOutcome::Mined { .. } => Ok(()),
        outcome => Err(format!("funding of {payer} with {missing}: {outcome:?}").into()),
    }
}
