use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;

use crate::bindings::Token;
use crate::{Log, Receipt};

/// What became of an EIP-3009 authorisation, according to the token's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthorizationFate {
    /// The authoriser cancelled it.
    Canceled {
        /// The transaction that cancelled it.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// Nobody has used it.
    Unused,
    /// Somebody used it: for the transfer that was expected, or for another one that the authoriser
    /// signed with the same nonce. [`transfer_under`] says which.
    Used {
        /// The transaction that used it.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// The token says that it is used or cancelled, but no log says how in the blocks looked at.
    Untraced,
}

/// A token transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transfer {
    /// Who paid.
    pub from: Address,
    /// Who was paid.
    pub to: Address,
    /// How much, in atomic units.
    pub value: U256,
}

/// Returns the transfer that was made under an EIP-3009 authorisation in a transaction.
///
/// It is the token's very next log after `AuthorizationUsed(authorizer, nonce)`, where the tokens
/// in use put it. Any other transfer in the transaction is not looked at: a payer who uses two
/// authorisations in one transaction, one of them for a transfer to himself, has paid once.
#[must_use]
pub fn transfer_under(
    receipt: &Receipt,
    token: Address,
    authorizer: Address,
    nonce: B256,
) -> Option<Transfer> {
    let mut logs = receipt.logs.iter().filter(|log| log.address == token);
    logs.find(|log| is_use(log, authorizer, nonce))?;
    let next = logs.next()?;
    let event = Token::Transfer::decode_raw_log(next.topics.iter().copied(), &next.data).ok()?;
    (event.from == authorizer).then_some(Transfer {
        from: event.from,
        to: event.to,
        value: event.value,
    })
}

fn is_use(log: &Log, authorizer: Address, nonce: B256) -> bool {
    Token::AuthorizationUsed::decode_raw_log(log.topics.iter().copied(), &log.data)
        .is_ok_and(|event| event.authorizer == authorizer && event.nonce == nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Address = Address::repeat_byte(1);
    const PAYER: Address = Address::repeat_byte(2);
    const SELLER: Address = Address::repeat_byte(3);

    fn log<E: SolEvent>(address: Address, event: &E) -> Log {
        let data = event.encode_log_data();
        Log { address, topics: data.topics().to_vec(), data: data.data, index: 0 }
    }

    fn used(nonce: u8) -> Log {
        let nonce = B256::repeat_byte(nonce);
        log(TOKEN, &Token::AuthorizationUsed { authorizer: PAYER, nonce })
    }

    fn transfer(token: Address, to: Address, value: u64) -> Log {
        log(token, &Token::Transfer { from: PAYER, to, value: U256::from(value) })
    }

    fn under(logs: Vec<Log>, nonce: u8) -> Option<(Address, U256)> {
        let receipt = Receipt {
            transaction: B256::ZERO,
            block: 1,
            block_hash: B256::ZERO,
            succeeded: true,
            gas_used: 0,
            logs,
        };
        transfer_under(&receipt, TOKEN, PAYER, B256::repeat_byte(nonce)).map(|t| (t.to, t.value))
    }

    #[test]
    fn the_transfer_follows_the_use() {
        let other = Address::repeat_byte(9);
        let logs = vec![transfer(other, SELLER, 5), used(1), transfer(TOKEN, SELLER, 7)];
        assert_eq!(under(logs, 1), Some((SELLER, U256::from(7))));
        assert_eq!(under(vec![used(1)], 1), None);
        assert_eq!(under(vec![transfer(TOKEN, SELLER, 7)], 1), None);
        assert_eq!(under(vec![used(1), transfer(other, SELLER, 7)], 1), None);
    }

    /// Two authorisations in one transaction, one of them spent on a transfer to the payer: the one
    /// transfer to the seller pays for one of them.
    #[test]
    fn one_transfer_pays_once() {
        let logs = vec![used(1), transfer(TOKEN, SELLER, 7), used(2), transfer(TOKEN, PAYER, 7)];
        assert_eq!(under(logs.clone(), 1), Some((SELLER, U256::from(7))));
        assert_eq!(under(logs, 2), Some((PAYER, U256::from(7))));
        let swapped = vec![used(2), used(1), transfer(TOKEN, SELLER, 7)];
        assert_eq!(under(swapped, 2), None);
    }
}
