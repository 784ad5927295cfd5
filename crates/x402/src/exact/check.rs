use std::time::Duration;

use alloy_primitives::{Address, B256, U256, b256};
use assay_chain::recover;
use assay_primitives::{Account, Amount, Network, Timestamp};
use serde::{Deserialize, Serialize};

use super::payload::{address, uses_eip3009};
use super::{Authorization, ExactPayload, PaymentRefusal, authorization_hash};
use crate::server::offer_difference;
use crate::wire::shown;
use crate::{EXACT, PaymentPayload, PaymentRequirements, ReservationKey, X402_VERSION};

/// How long an authorisation has to stay valid for a transaction to be mined under it.
pub const MIN_REMAINING_SECONDS: u64 = 6;

/// An authorisation that stays valid for longer than the offer asks, by more than this, is noted.
const LONG_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// The last 32 bytes of a signature by a wallet that is not deployed yet (ERC-6492).
pub(crate) const ERC6492_SUFFIX: B256 =
    b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// Half the order of secp256k1: `s` is at most that (EIP-2).
pub(crate) const HALF_ORDER: B256 =
    b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// A payment whose every field equals the seller's offer and whose signature is the payer's, or a
/// contract wallet's to judge. Made by [`check_exact`] alone.
#[derive(Clone, Debug)]
pub struct CheckedPayment {
    payload: PaymentPayload,
    offer: PaymentRequirements,
    exact: ExactPayload,
    token: Address,
    chain_id: u64,
    hash: B256,
    signature: SignatureCheck,
    terms: PaymentTerms,
    notes: Vec<Note>,
}

/// Who has to say whether the signature is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignatureCheck {
    /// Nobody any more: the key of `from` made it.
    Recovered,
    /// `from`, if it is a contract wallet (EIP-1271): the signature is not 65 bytes, or not by the
    /// key of `from`. If `from` has no code, the signature is bad.
    NeedsChain,
}

/// What is odd about a payment and yet no reason to refuse it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// The authorisation stays valid far longer than the offer asks.
    LongValidity {
        /// What the offer asks, in seconds.
        asked: u64,
        /// When the authorisation expires.
        valid_before: Timestamp,
    },
}

/// What a payer authorised: what a receipt says about a payment, and what is looked for on the
/// chain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentTerms {
    /// The payment scheme.
    pub scheme: String,
    /// The network.
    pub network: Network,
    /// The token, as in the offer.
    pub asset: Account,
    /// Who pays, in EIP-55 spelling.
    pub payer: Account,
    /// Who is paid, as in the offer.
    pub pay_to: Account,
    /// The amount to be settled.
    pub amount: Amount,
    /// The authorisation's nonce.
    pub nonce: B256,
    /// When the authorisation expires; the year 9999 where it is later.
    pub valid_before: Timestamp,
}

/// Checks a payment against the seller's own offer, with no look at the chain.
///
/// Every field of `accepted` has to equal the offer's, `extra` and `maxTimeoutSeconds` included;
/// recipient and value of the authorisation have to be the offer's; `now` has to lie in its time,
/// with [`MIN_REMAINING_SECONDS`] left; the signature has to be that of `from`, with a low `s`
/// (specification of the scheme `exact` on EVM, EIP-3009).
///
/// # Errors
/// The first of these that does not hold, with both values.
pub fn check_exact(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Result<CheckedPayment, PaymentRefusal> {
    let checked = check_untimed(payload, offer, now)?;
    checked.check_time(now)?;
    Ok(checked)
}

/// Checks a payment as [`check_exact`] does, but for its time: one that was settled in time is
/// asked for later.
pub(crate) fn check_untimed(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Result<CheckedPayment, PaymentRefusal> {
    if payload.x402_version != X402_VERSION {
        return Err(PaymentRefusal::Version { got: payload.x402_version });
    }
    if let Some(difference) = offer_difference(offer, &payload.accepted) {
        return Err(difference.into_refusal());
    }
    let domain = Domain::of(offer)?;
    let exact = ExactPayload::from_json(&payload.payload)?;
    let authorization = exact.authorization;
    check_transfer(&authorization, domain.pay_to, offer.amount)?;
    let hash = authorization_hash(
        &authorization,
        domain.token,
        domain.name,
        domain.version,
        domain.chain_id,
    );
    let signature = check_signature(&exact, &hash)?;
    let valid_before = Timestamp::from_seconds(authorization.valid_before.saturating_to());
    let terms = PaymentTerms {
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        asset: offer.asset.clone(),
        payer: account(authorization.from)?,
        pay_to: offer.pay_to.clone(),
        amount: offer.amount,
        nonce: authorization.nonce,
        valid_before,
    };
    Ok(CheckedPayment {
        payload: payload.clone(),
        offer: offer.clone(),
        exact,
        token: domain.token,
        chain_id: domain.chain_id,
        hash,
        signature,
        terms,
        notes: notes(offer, valid_before, now),
    })
}

impl CheckedPayment {
    /// Returns what the payer authorised.
    #[must_use]
    pub const fn terms(&self) -> &PaymentTerms {
        &self.terms
    }

    /// Checks that the authorisation stays valid for so many seconds.
    ///
    /// # Errors
    /// [`PaymentRefusal::Expired`] when it does not.
    pub fn check_time_left(&self, seconds: u64, now: Timestamp) -> Result<(), PaymentRefusal> {
        time_left(self.exact.authorization.valid_before, seconds, now.as_seconds())
    }

    /// Returns who has to say whether the signature is good.
    #[must_use]
    pub const fn signature_check(&self) -> SignatureCheck {
        self.signature
    }

    /// Returns what is odd about the payment.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Returns what to reserve the payment under.
    #[must_use]
    pub fn reservation_key(&self) -> ReservationKey {
        ReservationKey {
            network: self.offer.network.clone(),
            asset: self.token,
            payer: self.exact.authorization.from,
            nonce: self.exact.authorization.nonce,
        }
    }

    /// Returns the payment as it came.
    #[must_use]
    pub const fn payload(&self) -> &PaymentPayload {
        &self.payload
    }

    /// Returns the seller's offer.
    #[must_use]
    pub const fn offer(&self) -> &PaymentRequirements {
        &self.offer
    }

    /// Returns what is signed.
    #[must_use]
    pub const fn authorization(&self) -> &Authorization {
        &self.exact.authorization
    }

    /// Returns the signature and what is signed.
    #[must_use]
    pub const fn exact(&self) -> &ExactPayload {
        &self.exact
    }

    /// Returns the token's address.
    #[must_use]
    pub const fn token(&self) -> Address {
        self.token
    }

    /// Returns the EVM chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Returns the EIP-712 hash that is signed.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Says whether the payment is still, or again, inside its time: what changes between the check
    /// and the settlement.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_time(&self, now: Timestamp) -> Result<(), PaymentRefusal> {
        check_time(&self.exact.authorization, now)
    }
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

fn check_time(authorization: &Authorization, now: Timestamp) -> Result<(), PaymentRefusal> {
    let Authorization { valid_after, valid_before, .. } = *authorization;
    let now = now.as_seconds();
    // As the token has it: after, not at.
    if valid_after >= U256::from(now) {
        return Err(PaymentRefusal::NotYetValid { valid_after, now });
    }
    time_left(valid_before, MIN_REMAINING_SECONDS, now)
}

fn time_left(valid_before: U256, needed: u64, now: u64) -> Result<(), PaymentRefusal> {
    if valid_before < U256::from(now.saturating_add(needed)) {
        return Err(PaymentRefusal::Expired { valid_before, needed, now });
    }
    Ok(())
}

fn check_signature(exact: &ExactPayload, hash: &B256) -> Result<SignatureCheck, PaymentRefusal> {
    let payer = exact.authorization.from;
    if exact.signature.is_empty() {
        return Err(PaymentRefusal::SignatureEmpty { payer });
    }
    if exact.signature.ends_with(ERC6492_SUFFIX.as_slice()) {
        return Err(PaymentRefusal::Deployment { factory: factory_of(&exact.signature) });
    }
    let Some((r_s, odd)) = split_signature(&exact.signature) else {
        return Ok(SignatureCheck::NeedsChain);
    };
    if recover(hash, r_s, odd) != Ok(payer) {
        return Ok(SignatureCheck::NeedsChain);
    }
    // Checked last: what a contract wallet packs into 65 bytes need not be an ECDSA signature.
    let s = r_s.get(32..).unwrap_or_default();
    if s > HALF_ORDER.as_slice() {
        let s = alloy_primitives::hex::encode(s);
        let detail = format!("s is 0x{s}, above half the order, which tokens refuse");
        return Err(PaymentRefusal::SignatureForm { detail });
    }
    Ok(SignatureCheck::Recovered)
}

/// Splits a 65-byte ECDSA signature into `r || s` and the parity that `v` stands for.
pub(crate) fn split_signature(signature: &[u8]) -> Option<(&[u8; 64], bool)> {
    let (v, r_s) = signature.split_last()?;
    let odd = match v {
        0 | 27 => false,
        1 | 28 => true,
        _ => return None,
    };
    Some((r_s.try_into().ok()?, odd))
}

/// The first word of an ERC-6492 wrapper is the factory's address.
fn factory_of(signature: &[u8]) -> Address {
    signature.get(12..32).map_or(Address::ZERO, Address::from_slice)
}

fn account(address: Address) -> Result<Account, PaymentRefusal> {
    address
        .to_checksum(None)
        .parse()
        .map_err(|error| PaymentRefusal::Payload { detail: format!("authorization.from: {error}") })
}

fn notes(offer: &PaymentRequirements, valid_before: Timestamp, now: Timestamp) -> Vec<Note> {
    let asked = offer.max_timeout_seconds;
    let expected = now.plus(Duration::from_secs(asked)).plus(LONG_VALIDITY);
    if valid_before > expected { vec![Note::LongValidity { asked, valid_before }] } else { vec![] }
}
