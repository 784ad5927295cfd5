use std::fmt;

use alloy_primitives::{Address, B256};
use assay_primitives::{Network, Timestamp};
use serde::{Deserialize, Serialize};

use crate::payment::check_untimed;
use crate::{PaymentPayload, PaymentRefusal, PaymentRequirements};

/// What a payment is reserved under before any work is done for it: one authorisation pays once,
/// however often its signature is sent.
///
/// It is written in lower case, whatever the spelling of the addresses on the wire was:
/// `eip155:8453/0x8335…/0x4363…/0x1111…`.
///
/// Permit2 counts a payer's nonces for all tokens together: two permits of one nonce for two tokens are
/// one here.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReservationKey {
    /// The network.
    pub network: Network,
    /// The contract that keeps which nonces are used: the token, or Permit2.
    pub contract: Address,
    /// Who pays.
    pub payer: Address,
    /// The authorisation's nonce.
    pub nonce: B256,
}

impl ReservationKey {
    /// Returns the key of a payment of an offer, whether its time is over or not: it may have been
    /// settled in time, and is asked for again.
    ///
    /// # Errors
    /// As [`check_payment`](crate::check_payment), but for the time.
    pub fn of(
        payload: &PaymentPayload,
        offer: &PaymentRequirements,
    ) -> Result<Self, PaymentRefusal> {
        Ok(check_untimed(payload, offer, Timestamp::from_seconds(0))?.reservation_key())
    }
}

impl fmt::Display for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, contract, payer, nonce } = self;
        write!(f, "{network}/{contract:#x}/{payer:#x}/{nonce:#x}")
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn has_one_spelling() {
        let key = ReservationKey {
            network: Network::eip155(8453),
            contract: address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            payer: "0x43630AAE77454A8B3AFFD1B83441E9AD8F799464".parse().unwrap(),
            nonce: B256::repeat_byte(0xAB),
        };
        let expected = format!(
            "eip155:8453/0x833589fcd6edb6e08f4c7c32d4f71b54bda02913/\
             0x43630aae77454a8b3affd1b83441e9ad8f799464/0x{}",
            "ab".repeat(32)
        );
        assert_eq!(key.to_string(), expected);
    }
}
