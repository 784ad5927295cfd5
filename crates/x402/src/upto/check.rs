use alloy_primitives::{Address, U256};
use assay_chain::UPTO_PROXY;
use assay_primitives::Timestamp;

use super::{SignedPermit, TokenPermit, UptoPayload, UptoPermit, UptoRefusal, permit_hash};
use crate::evm::{address, check_signature};
use crate::payment::Examined;
use crate::wire::shown;
use crate::{
    MIN_REMAINING_SECONDS, PaymentPayload, PaymentRefusal, PaymentRequirements, Signed, UPTO,
};

/// Where an offer's `extra` names who may settle.
pub(crate) const FACILITATOR_ADDRESS: &str = "facilitatorAddress";

/// Reads a payment of an offer and checks all of it but its time.
pub(crate) fn examine(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
) -> Result<Examined, PaymentRefusal> {
    let recipient = Recipient::of(offer)
        .map_err(|(field, got)| PaymentRefusal::Unpayable { field, got: shown(&got) })?;
    let read = UptoPayload::from_json(&payload.payload)?;
    let permit = read.permit2_authorization;
    check_permit(&permit, &recipient, U256::from(offer.amount.0))?;
    let token_permit = TokenPermit::of(payload.extensions.as_ref())?;
    if let Some(token_permit) = &token_permit {
        token_permit.check(&permit)?;
    }
    let Recipient { token, chain_id, .. } = recipient;
    let hash = permit_hash(&permit, chain_id);
    let signature = check_signature(permit.from, &read.signature, &hash)
        .map_err(|fault| UptoRefusal::of_signature(permit.from, fault))?;
    let signed = Signed::Upto(Box::new(SignedPermit { payload: read, token_permit }));
    Ok(Examined { signed, token, chain_id, hash, signature })
}

/// The parts of an offer that a permit repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient {
    pub(crate) chain_id: u64,
    pub(crate) token: Address,
    pub(crate) pay_to: Address,
    pub(crate) facilitator: Address,
}

impl Recipient {
    /// Reads an offer; the error is the field that cannot be paid, and its value.
    pub(crate) fn of(offer: &PaymentRequirements) -> Result<Self, (&'static str, String)> {
        let extra = |key: &str| {
            let value = offer.extra.as_ref().and_then(|extra| extra.get(key));
            value.map_or_else(|| "missing".to_owned(), ToString::to_string)
        };
        if offer.scheme != UPTO {
            return Err(("scheme", offer.scheme.clone()));
        }
        if offer.extra_text("assetTransferMethod") != Some("permit2") {
            return Err(("extra.assetTransferMethod", extra("assetTransferMethod")));
        }
        let network = || ("network", offer.network.to_string());
        let facilitator = offer.extra_text(FACILITATOR_ADDRESS).and_then(address);
        Ok(Self {
            chain_id: offer.network.evm_chain_id().ok_or_else(network)?,
            token: address(offer.asset.as_str())
                .ok_or_else(|| ("asset", offer.asset.to_string()))?,
            pay_to: address(offer.pay_to.as_str())
                .ok_or_else(|| ("payTo", offer.pay_to.to_string()))?,
            facilitator: facilitator
                .ok_or_else(|| ("extra.facilitatorAddress", extra(FACILITATOR_ADDRESS)))?,
        })
    }
}

fn check_permit(
    permit: &UptoPermit,
    recipient: &Recipient,
    expected: U256,
) -> Result<(), UptoRefusal> {
    let (got, witness) = (permit.spender, permit.witness);
    if got != UPTO_PROXY {
        return Err(UptoRefusal::Spender { expected: UPTO_PROXY, got });
    }
    if witness.to != recipient.pay_to {
        return Err(UptoRefusal::Recipient { expected: recipient.pay_to, got: witness.to });
    }
    if witness.facilitator != recipient.facilitator {
        let (expected, got) = (recipient.facilitator, witness.facilitator);
        return Err(UptoRefusal::Facilitator { expected, got });
    }
    if permit.permitted.amount != expected {
        return Err(UptoRefusal::Amount { expected, got: permit.permitted.amount });
    }
    if permit.permitted.token != recipient.token {
        let (expected, got) = (recipient.token, permit.permitted.token);
        return Err(UptoRefusal::Token { expected, got });
    }
    Ok(())
}

impl SignedPermit {
    pub(crate) fn check_time(&self, now: Timestamp) -> Result<(), UptoRefusal> {
        let (valid_after, seconds) = (self.permit().witness.valid_after, now.as_seconds());
        if valid_after > U256::from(seconds) {
            return Err(UptoRefusal::NotYetValid { valid_after, now: seconds });
        }
        self.check_time_left(MIN_REMAINING_SECONDS, now)?;
        match &self.token_permit {
            Some(own)
                if own.deadline < U256::from(seconds.saturating_add(MIN_REMAINING_SECONDS)) =>
            {
                Err(UptoRefusal::TokenPermit {
                    field: "deadline",
                    expected: format!("{MIN_REMAINING_SECONDS} seconds after now, {seconds}"),
                    got: own.deadline.to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_time_left(&self, needed: u64, now: Timestamp) -> Result<(), UptoRefusal> {
        let (deadline, now) = (self.permit().deadline, now.as_seconds());
        if deadline < U256::from(now.saturating_add(needed)) {
            return Err(UptoRefusal::Expired { deadline, needed, now });
        }
        Ok(())
    }
}
