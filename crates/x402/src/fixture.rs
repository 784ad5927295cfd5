//! One offer, one payer, one moment: what unit tests start from.

use alloy_primitives::hex;
use assay_chain::AccountKey;
use assay_primitives::{Account, Amount, AssetId, Network, Randomness, RandomnessError, Timestamp};
use serde_json::{Map, json};

use crate::{
    Authorization, ChosenOffer, ExactPayload, Payment, PaymentPayload, PaymentRequired,
    PaymentRequirements, ResourceInfo, X402_VERSION, authorization_hash, pay,
};

/// 2026-11-21T09:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_253_400);
pub(crate) const PAYER: &str = "0x43630AAe77454A8b3AFFD1b83441E9Ad8f799464";
pub(crate) const SELLER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

pub(crate) fn network() -> Network {
    Network::eip155(84_532)
}

pub(crate) fn account(text: &str) -> Account {
    text.parse().unwrap()
}

pub(crate) fn asset() -> AssetId {
    AssetId::erc20(network(), account(USDC))
}

pub(crate) fn payer() -> AccountKey {
    AccountKey::from_hex("0917ef2e4a3d84b9d61084aae8786ae99764087363bc09d8526f9a2cfb9a1c1b")
        .unwrap()
}

pub(crate) fn offer() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".to_owned(),
        network: network(),
        amount: Amount(1_000),
        asset: account(USDC),
        pay_to: account(SELLER),
        max_timeout_seconds: 60,
        extra: json!({ "name": "USDC", "version": "2", "method": "zkml" }).as_object().cloned(),
        other: Map::new(),
    }
}

pub(crate) fn required(accepts: Vec<PaymentRequirements>) -> PaymentRequired {
    PaymentRequired {
        x402_version: X402_VERSION,
        error: None,
        resource: ResourceInfo::new("https://seller.example/v1/run"),
        accepts,
        extensions: None,
    }
}

pub(crate) fn payment(offer: &PaymentRequirements) -> Payment {
    let required = required(vec![offer.clone()]);
    let chosen = ChosenOffer { index: 0, offer };
    pay(&required, chosen, &Map::new(), &payer(), NOW, &Fixed(7)).unwrap()
}

pub(crate) fn authorization() -> Authorization {
    *payment(&offer()).signed.authorization().unwrap()
}

/// Signs an authorisation as it is and wraps it in a payment of the offer.
pub(crate) fn signed(offer: &PaymentRequirements, authorization: Authorization) -> PaymentPayload {
    let hash = authorization_hash(
        &authorization,
        offer.asset.as_str().parse().unwrap(),
        offer.extra_text("name").unwrap(),
        offer.extra_text("version").unwrap(),
        offer.network.evm_chain_id().unwrap(),
    );
    let signature = payer().sign_hash(&hash);
    with_signature(offer, authorization, &hex::encode(signature))
}

pub(crate) fn with_signature(
    offer: &PaymentRequirements,
    authorization: Authorization,
    signature: &str,
) -> PaymentPayload {
    let signature = signature.parse().unwrap();
    PaymentPayload {
        payload: ExactPayload { signature, authorization }.to_json(),
        ..payment(offer).payload
    }
}

/// Randomness that is one byte, again and again.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) u8);

impl Randomness for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        bytes.fill(self.0);
        Ok(())
    }
}
