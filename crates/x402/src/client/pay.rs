use alloy_primitives::{B256, U256};
use assay_primitives::{Randomness, Timestamp};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{ChosenOffer, ExtensionConflict, OfferRefusal, merge_extensions};
use crate::exact::address;
use crate::{
    Authorization, ExactPayload, HeaderError, PaymentPayload, PaymentRequired, PaymentSigner,
    SigningError, X402_VERSION, authorization_hash, encode_payment_signature,
};

/// A signed payment, ready to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// What is sent.
    pub payload: PaymentPayload,
    /// The value of `PAYMENT-SIGNATURE`.
    pub header: String,
    /// What was signed: its nonce finds the payment on the chain.
    pub authorization: Authorization,
}

/// A payment that was not made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PayError {
    /// The offer cannot be paid.
    #[error(transparent)]
    Offer(#[from] OfferRefusal),
    /// An addition contradicts the seller's extensions.
    #[error(transparent)]
    Extension(#[from] ExtensionConflict),
    /// The header would be too long.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Nothing was signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Signs a payment of the chosen offer: valid from 0 until `now` and the offer's
/// `maxTimeoutSeconds`, with 32 random bytes as nonce (specification of the scheme `exact` on EVM,
/// EIP-3009).
///
/// The seller's resource and extensions are echoed; `additions` are merged into the extensions.
/// Signing is spending: call it for what [`choose_offer`](crate::choose_offer) returned, and once.
///
/// # Errors
/// When the offer cannot be paid by this scheme, the signer declines, there is no randomness, an
/// addition contradicts the seller, or the header would be too long.
pub fn pay(
    required: &PaymentRequired,
    chosen: ChosenOffer<'_>,
    additions: &Map<String, Value>,
    signer: &dyn PaymentSigner,
    now: Timestamp,
    randomness: &dyn Randomness,
) -> Result<Payment, PayError> {
    let offer = chosen.offer;
    let missing = |field| OfferRefusal::Field { field, got: "not usable".to_owned() };
    let extensions = merge_extensions(required.extensions.as_ref(), additions)?;
    let token = address(offer.asset.as_str()).ok_or_else(|| missing("asset"))?;
    let to = address(offer.pay_to.as_str()).ok_or_else(|| missing("payTo"))?;
    let name = offer.extra_text("name").ok_or_else(|| missing("extra.name"))?;
    let version = offer.extra_text("version").ok_or_else(|| missing("extra.version"))?;
    let chain_id = offer.network.evm_chain_id().ok_or_else(|| missing("network"))?;
    let expires = now.as_seconds().saturating_add(offer.max_timeout_seconds);
    let authorization = Authorization {
        from: signer.address(),
        to,
        value: U256::from(offer.amount.0),
        valid_after: U256::ZERO,
        valid_before: U256::from(expires),
        nonce: B256::new(randomness.array().map_err(SigningError::from)?),
    };
    let hash = authorization_hash(&authorization, token, name, version, chain_id);
    let signature = signer.sign_hash(&hash)?.to_vec().into();
    let payload = PaymentPayload {
        x402_version: X402_VERSION,
        resource: Some(required.resource.clone()),
        accepted: offer.clone(),
        payload: ExactPayload { signature, authorization }.to_json(),
        extensions,
    };
    let header = encode_payment_signature(&payload)?;
    Ok(Payment { payload, header, authorization })
}

#[cfg(test)]
mod tests {
    use assay_primitives::RandomnessError;
    use serde_json::json;

    use super::*;
    use crate::fixture::{Fixed, NOW, PAYER, offer, payer, required};
    use crate::{SignatureCheck, check_exact, decode_payment_signature};

    #[test]
    fn a_payment_passes_the_sellers_check() {
        let mut required = required(vec![offer()]);
        let declared = json!({"payment-identifier": {"info": {"required": false}}});
        required.extensions = declared.as_object().cloned();
        let additions = json!({"payment-identifier": {"info": {"id": "abc"}}});
        let chosen = ChosenOffer { index: 0, offer: &required.accepts[0] };
        let additions = additions.as_object().unwrap();
        let payment = pay(&required, chosen, additions, &payer(), NOW, &Fixed(7)).unwrap();
        let read = decode_payment_signature(&payment.header).unwrap();
        assert_eq!(read, payment.payload);
        assert_eq!(read.resource.as_ref(), Some(&required.resource));
        let expected = json!({"payment-identifier": {"info": {"required": false, "id": "abc"}}});
        assert_eq!(read.extensions.clone().map(Value::Object), Some(expected));
        let checked = check_exact(&read, &offer(), NOW).unwrap();
        assert_eq!(checked.signature_check(), SignatureCheck::Recovered);
        assert_eq!(checked.terms().payer.as_str(), PAYER);
        let authorization = payment.authorization;
        assert_eq!(authorization.valid_after, U256::ZERO);
        assert_eq!(authorization.valid_before, U256::from(NOW.as_seconds() + 60));
        assert_eq!(authorization.nonce, B256::repeat_byte(7));
    }

    #[derive(Debug)]
    struct Empty;

    impl Randomness for Empty {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomnessError> {
            Err(RandomnessError("none".into()))
        }
    }

    #[test]
    fn nothing_is_signed_without_randomness() {
        let required = required(vec![offer()]);
        let chosen = ChosenOffer { index: 0, offer: &required.accepts[0] };
        let error = pay(&required, chosen, &Map::new(), &payer(), NOW, &Empty).unwrap_err();
        assert!(matches!(error, PayError::Signing(SigningError::Randomness(_))), "{error}");
    }
}
