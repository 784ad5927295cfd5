use std::time::Duration;

use alloy_primitives::{Address, B256};
use assay_primitives::{Account, Amount, Network, Timestamp};
use serde::{Deserialize, Serialize};

use super::{PaymentRefusal, Signed};
use crate::server::offer_difference;
use crate::{
    Authorization, ExactPayload, PaymentPayload, PaymentRequirements, ReservationKey,
    SignatureCheck, SignedPermit, UPTO, UptoRefusal, X402_VERSION, exact, upto,
};

/// How long an authorisation has to stay valid for a transaction to be mined under it.
pub const MIN_REMAINING_SECONDS: u64 = 6;

/// An authorisation that stays valid for longer than the offer asks, by more than this, is noted.
const LONG_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// A payment whose every field equals the seller's offer and whose signature is the payer's, or a
/// contract wallet's to judge. Made by [`check_payment`], [`check_exact`] and [`check_upto`] alone.
#[derive(Clone, Debug)]
pub struct CheckedPayment {
    payload: PaymentPayload,
    offer: PaymentRequirements,
    examined: Examined,
    terms: PaymentTerms,
    notes: Vec<Note>,
}

/// What a scheme reads from a payment that fits the offer.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    pub(crate) signed: Signed,
    pub(crate) token: Address,
    pub(crate) chain_id: u64,
    /// What is signed.
    pub(crate) hash: B256,
    pub(crate) signature: SignatureCheck,
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
    /// The amount that is authorised: under `upto` the most that is settled.
    pub amount: Amount,
    /// The authorisation's nonce; the bytes of Permit2's.
    pub nonce: B256,
    /// The first second in which the authorisation cannot be carried out any more; the year 9999
    /// where it is later.
    pub valid_before: Timestamp,
}

type Examine = fn(&PaymentPayload, &PaymentRequirements) -> Result<Examined, PaymentRefusal>;

/// Checks a payment against the seller's own offer, by the offer's scheme: as [`check_exact`] or
/// [`check_upto`].
///
/// # Errors
/// As these.
pub fn check_payment(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Result<CheckedPayment, PaymentRefusal> {
    let checked = check_untimed(payload, offer, now)?;
    checked.check_time(now)?;
    Ok(checked)
}

/// Checks a payment against the seller's own offer of the scheme `exact`, with no look at the chain.
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
    let checked = check_as(exact::examine, payload, offer, now)?;
    checked.check_time(now)?;
    Ok(checked)
}

/// Checks a payment against the seller's own offer of the scheme `upto`, with no look at the chain.
///
/// Every field of `accepted` has to equal the offer's; the permit has to be for the offer's token and
/// amount, which is the most that is settled, and name the proxy of `upto`, the offer's recipient and
/// its `facilitatorAddress`; `now` has to lie in its time, with [`MIN_REMAINING_SECONDS`] left; the
/// signature has to be that of `from`, with a low `s`. A token's own permit that comes along
/// (`eip2612GasSponsoring`) has to fit (specification of the scheme `upto` on EVM).
///
/// # Errors
/// The first of these that does not hold, with both values.
pub fn check_upto(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Result<CheckedPayment, PaymentRefusal> {
    let checked = check_as(upto::examine, payload, offer, now)?;
    checked.check_time(now)?;
    Ok(checked)
}

/// Checks a payment as [`check_payment`] does, but for its time: one that was settled in time is
/// asked for later.
pub(crate) fn check_untimed(
    payload: &PaymentPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Result<CheckedPayment, PaymentRefusal> {
    let examine: Examine = if offer.scheme == UPTO { upto::examine } else { exact::examine };
    check_as(examine, payload, offer, now)
}

fn check_as(
    examine: Examine,
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
    let examined = examine(payload, offer)?;
    let valid_before = examined.signed.valid_before();
    let terms = PaymentTerms {
        scheme: offer.scheme.clone(),
        network: offer.network.clone(),
        asset: offer.asset.clone(),
        payer: account(examined.signed.payer())?,
        pay_to: offer.pay_to.clone(),
        amount: offer.amount,
        nonce: examined.signed.nonce(),
        valid_before,
    };
    Ok(CheckedPayment {
        payload: payload.clone(),
        offer: offer.clone(),
        examined,
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
    /// One of which [`PaymentRefusal::is_expired`] says so, when it does not.
    pub fn check_time_left(&self, seconds: u64, now: Timestamp) -> Result<(), PaymentRefusal> {
        self.signed().check_time_left(seconds, now)
    }

    /// Checks that an amount may be settled: under `exact` the one that is authorised, under `upto` at
    /// most that.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_amount(&self, actual: Amount) -> Result<(), PaymentRefusal> {
        let authorised = self.terms.amount;
        match self.signed() {
            Signed::Exact(_) if actual != authorised => {
                let (expected, got) = (authorised.0, actual.0);
                let [expected, got] = [expected, got].map(alloy_primitives::U256::from);
                Err(PaymentRefusal::Value { expected, got })
            }
            Signed::Upto(_) if actual > authorised => {
                Err(UptoRefusal::Exceeds { permitted: authorised, actual }.into())
            }
            _ => Ok(()),
        }
    }

    /// Returns who has to say whether the signature is good.
    #[must_use]
    pub const fn signature_check(&self) -> SignatureCheck {
        self.examined.signature
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
            contract: self.signed().nonce_keeper(self.token()),
            payer: self.signed().payer(),
            nonce: self.terms.nonce,
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

    /// Returns what is signed, with its signature.
    #[must_use]
    pub const fn signed(&self) -> &Signed {
        &self.examined.signed
    }

    /// Returns the authorisation of the scheme `exact`.
    #[must_use]
    pub const fn authorization(&self) -> Option<&Authorization> {
        self.signed().authorization()
    }

    /// Returns the signature and what is signed, of the scheme `exact`.
    #[must_use]
    pub const fn exact(&self) -> Option<&ExactPayload> {
        match self.signed() {
            Signed::Exact(exact) => Some(exact),
            Signed::Upto(_) => None,
        }
    }

    /// Returns the signature and what is signed, of the scheme `upto`.
    #[must_use]
    pub const fn upto(&self) -> Option<&SignedPermit> {
        match self.signed() {
            Signed::Exact(_) => None,
            Signed::Upto(upto) => Some(upto),
        }
    }

    /// Returns the token's address.
    #[must_use]
    pub const fn token(&self) -> Address {
        self.examined.token
    }

    /// Returns the EVM chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.examined.chain_id
    }

    /// Returns the EIP-712 hash that is signed.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.examined.hash
    }

    /// Says whether the payment is still, or again, inside its time: what changes between the check
    /// and the settlement.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_time(&self, now: Timestamp) -> Result<(), PaymentRefusal> {
        self.signed().check_time(now)
    }
}

fn account(address: Address) -> Result<Account, PaymentRefusal> {
    address
        .to_checksum(None)
        .parse()
        .map_err(|error| PaymentRefusal::Payload { detail: format!("from: {error}") })
}

fn notes(offer: &PaymentRequirements, valid_before: Timestamp, now: Timestamp) -> Vec<Note> {
    let asked = offer.max_timeout_seconds;
    let expected = now.plus(Duration::from_secs(asked)).plus(LONG_VALIDITY);
    if valid_before > expected { vec![Note::LongValidity { asked, valid_before }] } else { vec![] }
}
