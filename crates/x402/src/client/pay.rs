use alloy_primitives::{B256, U256};
use assay_chain::{PERMIT2, UPTO_PROXY};
use assay_primitives::{Randomness, Timestamp};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{ChosenOffer, ExtensionConflict, OfferRefusal, merge_extensions};
use crate::evm::address;
use crate::upto::Recipient;
use crate::wire::shown;
use crate::{
    Authorization, EIP2612_GAS_SPONSORING, ExactPayload, HeaderError, PaymentPayload,
    PaymentRequired, PaymentRequirements, PaymentSigner, Permit2Standing, PermittedAmount, Signed,
    SignedPermit, SigningError, TokenPermit, UPTO, UptoPayload, UptoPermit, UptoWitness,
    X402_VERSION, authorization_hash, encode_payment_signature, permit_hash,
};

/// A signed payment, ready to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// What is sent.
    pub payload: PaymentPayload,
    /// The value of `PAYMENT-SIGNATURE`.
    pub header: String,
    /// What was signed: its nonce finds the payment on the chain.
    pub signed: Signed,
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
    /// Permit2 may not move enough of the token, and no permit of the token can go along.
    #[error("Permit2 may move {got}, the most is {needed}: give {PERMIT2} an allowance first")]
    Allowance {
        /// The most that the offer charges, in atomic units.
        needed: U256,
        /// The allowance.
        got: U256,
    },
    /// Nothing was signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Signs a payment of the chosen offer, by its scheme: valid from 0 until `now` and the offer's
/// `maxTimeoutSeconds`, with 32 random bytes as nonce (specifications of the schemes `exact` on EVM,
/// EIP-3009, and `upto` on EVM).
///
/// The seller's resource and extensions are echoed; `additions` are merged into the extensions.
/// Signing is spending: call it for what [`choose_offer`](crate::choose_offer) returned, and once.
///
/// # Errors
/// When the offer cannot be paid by its scheme, the signer declines, there is no randomness, an
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
    let nonce: [u8; 32] = randomness.array().map_err(SigningError::from)?;
    let signed = if offer.scheme == UPTO {
        Signed::Upto(Box::new(sign_permit(offer, signer, now, nonce)?))
    } else {
        Signed::Exact(sign_authorization(offer, signer, now, nonce)?)
    };
    Payment::new(required, offer, additions, signed)
}

/// Signs a payment of a chosen offer of the scheme `upto` as [`pay`] does, by an account of which the
/// token says this: where the allowance of Permit2 does not cover the most, the token's own permit
/// (EIP-2612) goes along, if the seller's challenge declares
/// [`EIP2612_GAS_SPONSORING`](crate::EIP2612_GAS_SPONSORING).
///
/// # Errors
/// As [`pay`], and [`PayError::Allowance`] when the allowance is missing and cannot be given so.
pub fn pay_upto(
    required: &PaymentRequired,
    chosen: ChosenOffer<'_>,
    additions: &Map<String, Value>,
    signer: &dyn PaymentSigner,
    (now, randomness): (Timestamp, &dyn Randomness),
    standing: &Permit2Standing,
) -> Result<Payment, PayError> {
    let offer = chosen.offer;
    let nonce: [u8; 32] = randomness.array().map_err(SigningError::from)?;
    let mut signed = sign_permit(offer, signer, now, nonce)?;
    let needed = U256::from(offer.amount.0);
    let mut additions = additions.clone();
    if standing.allowance < needed {
        let declared = required.extensions.as_ref();
        let is_declared = declared.is_some_and(|all| all.contains_key(EIP2612_GAS_SPONSORING));
        let domain = offer.extra_text("name").zip(offer.extra_text("version"));
        let missing = PayError::Allowance { needed, got: standing.allowance };
        let (domain, nonce) =
            domain.zip(standing.permit_nonce).filter(|_| is_declared).ok_or(missing)?;
        let chain_id = recipient(offer)?.chain_id;
        let own = TokenPermit::sign(signed.permit(), nonce, domain, chain_id, signer)?;
        additions.extend(own.to_extension());
        signed.token_permit = Some(own);
    }
    Payment::new(required, offer, &additions, Signed::Upto(Box::new(signed)))
}

impl Payment {
    fn new(
        required: &PaymentRequired,
        offer: &PaymentRequirements,
        additions: &Map<String, Value>,
        signed: Signed,
    ) -> Result<Self, PayError> {
        let payload = PaymentPayload {
            x402_version: X402_VERSION,
            resource: Some(required.resource.clone()),
            accepted: offer.clone(),
            payload: match &signed {
                Signed::Exact(exact) => exact.to_json(),
                Signed::Upto(upto) => upto.payload.to_json(),
            },
            extensions: merge_extensions(required.extensions.as_ref(), additions)?,
        };
        let header = encode_payment_signature(&payload)?;
        Ok(Self { payload, header, signed })
    }
}

fn sign_authorization(
    offer: &PaymentRequirements,
    signer: &dyn PaymentSigner,
    now: Timestamp,
    nonce: [u8; 32],
) -> Result<ExactPayload, PayError> {
    let missing = |field| OfferRefusal::Field { field, got: "not usable".to_owned() };
    let token = address(offer.asset.as_str()).ok_or_else(|| missing("asset"))?;
    let to = address(offer.pay_to.as_str()).ok_or_else(|| missing("payTo"))?;
    let name = offer.extra_text("name").ok_or_else(|| missing("extra.name"))?;
    let version = offer.extra_text("version").ok_or_else(|| missing("extra.version"))?;
    let chain_id = offer.network.evm_chain_id().ok_or_else(|| missing("network"))?;
    let authorization = Authorization {
        from: signer.address(),
        to,
        value: U256::from(offer.amount.0),
        valid_after: U256::ZERO,
        valid_before: expiry(offer, now),
        nonce: B256::new(nonce),
    };
    let hash = authorization_hash(&authorization, token, name, version, chain_id);
    Ok(ExactPayload { signature: signer.sign_hash(&hash)?.to_vec().into(), authorization })
}

fn sign_permit(
    offer: &PaymentRequirements,
    signer: &dyn PaymentSigner,
    now: Timestamp,
    nonce: [u8; 32],
) -> Result<SignedPermit, PayError> {
    let Recipient { chain_id, token, pay_to, facilitator } = recipient(offer)?;
    let permit = UptoPermit {
        from: signer.address(),
        permitted: PermittedAmount { token, amount: U256::from(offer.amount.0) },
        spender: UPTO_PROXY,
        nonce: U256::from_be_bytes(nonce),
        deadline: expiry(offer, now),
        witness: UptoWitness { to: pay_to, facilitator, valid_after: U256::ZERO },
    };
    let signature = signer.sign_hash(&permit_hash(&permit, chain_id))?.to_vec().into();
    let payload = UptoPayload { signature, permit2_authorization: permit };
    Ok(SignedPermit { payload, token_permit: None })
}

fn recipient(offer: &PaymentRequirements) -> Result<Recipient, OfferRefusal> {
    Recipient::of(offer).map_err(|(field, got)| OfferRefusal::Field { field, got: shown(&got) })
}

fn expiry(offer: &PaymentRequirements, now: Timestamp) -> U256 {
    U256::from(now.as_seconds().saturating_add(offer.max_timeout_seconds))
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
        let authorization = payment.signed.authorization().unwrap();
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
