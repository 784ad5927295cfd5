use alloy_primitives::{Address, U256};
use assay_primitives::{Amount, Timestamp};

use super::payload::uses_eip3009;
use super::{Authorization, ExactPayload, authorization_hash};
use crate::evm::{address, check_signature};
use crate::payment::Examined;
use crate::wire::shown;
use crate::{
    EXACT, MIN_REMAINING_SECONDS, PaymentPayload, PaymentRefusal, PaymentRequirements, Signed,
};

/// Reads a payment of an offer and checks all of it but its time.
pub(crate) fn examine(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
) -> Result<Examined, PaymentRefusal> {
    let domain = Domain::of(offer)?;
    let exact = ExactPayload::from_json(&payload.payload)?;
    let authorization = exact.authorization;
    check_transfer(&authorization, domain.pay_to, offer.amount)?;
    let Domain { name, version, chain_id, token, .. } = domain;
    let hash = authorization_hash(&authorization, token, name, version, chain_id);
    let payer = authorization.from;
    let signature = check_signature(payer, &exact.signature, &hash)
        .map_err(|fault| PaymentRefusal::of_signature(payer, fault))?;
    Ok(Examined { signed: Signed::Exact(exact), token, chain_id, hash, signature })
}

/// The parts of an offer that the signature is made under.
struct Domain<'a> {
    name: &'a str,
    version: &'a str,
    chain_id: u64,
    token: Address,
    pay_to: Address,
}

impl<'a> Domain<'a> {
    fn of(offer: &'a PaymentRequirements) -> Result<Self, PaymentRefusal> {
        let unpayable =
            |field, got: &str| Err(PaymentRefusal::Unpayable { field, got: shown(got) });
        if offer.scheme != EXACT {
            return unpayable("scheme", &offer.scheme);
        }
        let Some(chain_id) = offer.network.evm_chain_id() else {
            return unpayable("network", offer.network.as_str());
        };
        if !uses_eip3009(offer) {
            let method = offer.extra.as_ref().and_then(|extra| extra.get("assetTransferMethod"));
            let method = method.map(ToString::to_string).unwrap_or_default();
            return unpayable("extra.assetTransferMethod", &method);
        }
        let Some(token) = address(offer.asset.as_str()) else {
            return unpayable("asset", offer.asset.as_str());
        };
        let Some(pay_to) = address(offer.pay_to.as_str()) else {
            return unpayable("payTo", offer.pay_to.as_str());
        };
        let text = |field| {
            let text = offer.extra_text(field).filter(|text| !text.is_empty());
            text.ok_or(PaymentRefusal::MissingDomain { field })
        };
        Ok(Self { name: text("name")?, version: text("version")?, chain_id, token, pay_to })
    }
}

fn check_transfer(
    authorization: &Authorization,
    pay_to: Address,
    amount: Amount,
) -> Result<(), PaymentRefusal> {
    if authorization.to != pay_to {
        return Err(PaymentRefusal::Recipient { expected: pay_to, got: authorization.to });
    }
    let expected = U256::from(amount.0);
    if authorization.value != expected {
        return Err(PaymentRefusal::Value { expected, got: authorization.value });
    }
    Ok(())
}

impl Authorization {
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), PaymentRefusal> {
        let (valid_after, seconds) = (self.valid_after, now.as_seconds());
        // As the token has it: after, not at.
        if valid_after >= U256::from(seconds) {
            return Err(PaymentRefusal::NotYetValid { valid_after, now: seconds });
        }
        self.check_time_left(MIN_REMAINING_SECONDS, now)
    }

    pub(crate) fn check_time_left(
        &self,
        needed: u64,
        now: Timestamp,
    ) -> Result<(), PaymentRefusal> {
        let (valid_before, now) = (self.valid_before, now.as_seconds());
        if valid_before < U256::from(now.saturating_add(needed)) {
            return Err(PaymentRefusal::Expired { valid_before, needed, now });
        }
        Ok(())
    }
}
