//! The offer, and the payments of it.

use std::time::Duration;

use assay_chain::{AccountKey, Address, B256};
use assay_primitives::{AssetId, Clock, SystemRandomness};
use assay_x402::{
    ChosenOffer, PAYMENT_REQUIRED, PaymentRequired, PaymentRequirements, Preferences, choose_offer,
    decode_payment_required, pay,
};
use hyper::header::HeaderValue;
use serde_json::Map;

use crate::Failure;
use crate::args::{Args, Plan};
use crate::connections::Connections;

/// How long signing may take: by so much payments are valid longer than the offer asks.
const SIGNING: Duration = Duration::from_secs(120);

/// What the gateway asks for.
pub(crate) struct Offer {
    asked: PaymentRequired,
    pub(crate) chosen: PaymentRequirements,
}

/// A payment that is ready to be sent.
pub(crate) struct Signed {
    pub(crate) header: HeaderValue,
    pub(crate) payer: Address,
    pub(crate) nonce: B256,
}

/// Asks for the price, once.
pub(crate) async fn ask(args: &Args, connections: &Connections) -> Result<Offer, Failure> {
    let answer = connections.send(None).await?;
    let header = answer.headers.get(PAYMENT_REQUIRED).and_then(|header| header.to_str().ok());
    let Some(header) = header else {
        return Err(format!("expected 402 with {PAYMENT_REQUIRED}, got {}", answer.status).into());
    };
    let asked = decode_payment_required(header)?;
    let method = args.method.clone();
    let preferences = asked.accepts.iter().fold(Preferences::new(), |preferences, offer| {
        let asset = AssetId::erc20(offer.network.clone(), offer.asset.clone());
        preferences.with_cap(asset, offer.amount)
    });
    let preferences =
        preferences.with_filter(move |offer| offer.extra_text("method") == Some(method.as_str()));
    let chosen = choose_offer(&asked, &preferences)?.offer.clone();
    Ok(Offer { asked, chosen })
}

/// Signs every payment of the plan. The payers take turns.
pub(crate) fn sign(
    offer: &Offer,
    payers: &[AccountKey],
    plan: &Plan,
    clock: &dyn Clock,
) -> Result<Vec<Signed>, Failure> {
    let Offer { asked, chosen } = offer;
    let begun = clock.now();
    let turns = payers.iter().cycle().take(plan.count).enumerate();
    let signed = turns.map(|(number, payer)| {
        let chosen = ChosenOffer { index: 0, offer: chosen };
        let sent_at = begun.plus(SIGNING).plus(plan.due(number));
        let payment = pay(asked, chosen, &Map::new(), payer, sent_at, &SystemRandomness)?;
        let header = HeaderValue::try_from(payment.header)?;
        Ok(Signed { header, payer: payer.address(), nonce: payment.signed.nonce() })
    });
    signed.collect()
}
