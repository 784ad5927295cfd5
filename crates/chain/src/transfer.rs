use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};

use crate::bindings::Token;
use crate::{Call, Receipt, Transfer};

/// Returns the call by which an account gives tokens of its own. It goes out as a transaction of its
/// own: from another contract's account it would give that contract's. Its id stands behind the
/// arguments, where no token reads: so the transactions of two calls are never the same one, though all
/// else is, the account's nonce included.
#[must_use]
pub fn transfer_call(id: B256, token: Address, to: Address, value: U256) -> Call {
    let data = [Token::transferCall { to, value }.abi_encode(), id.to_vec()].concat();
    Call { id, to: token, data: data.into(), alone: true }
}

/// Returns every transfer of a token in a transaction, in order; none in one that was reverted.
#[must_use]
pub fn transfers_of(receipt: &Receipt, token: Address) -> Vec<Transfer> {
    let logs = receipt.logs.iter().filter(|log| receipt.succeeded && log.address == token);
    logs.filter_map(|log| {
        Token::Transfer::decode_raw_log(log.topics.iter().copied(), &log.data).ok()
    })
    .map(|event| Transfer { from: event.from, to: event.to, value: event.value })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    #[test]
    fn no_two_calls_are_the_same() {
        let [token, to] = [1, 2].map(Address::repeat_byte);
        let call = |id| transfer_call(B256::repeat_byte(id), token, to, U256::from(7));
        assert_ne!(call(3).data, call(4).data);
        let transfer = Token::transferCall::abi_decode(&call(3).data).unwrap();
        assert_eq!((transfer.to, transfer.value), (to, U256::from(7)));
    }

    #[test]
    fn transfers_are_the_tokens_own_and_in_a_transaction_that_succeeded() {
        let [token, other, from, to] = [1, 2, 3, 4].map(Address::repeat_byte);
        let log = |address, value| {
            let event = Token::Transfer { from, to, value: U256::from(value) }.encode_log_data();
            Log { address, topics: event.topics().to_vec(), data: event.data, index: 0 }
        };
        let mut noise = log(token, 9);
        noise.topics.truncate(2);
        let mut receipt = Receipt {
            transaction: B256::ZERO,
            block: 1,
            block_hash: B256::ZERO,
            succeeded: true,
            gas_used: 0,
            logs: vec![log(other, 7), noise, log(token, 5), log(token, 6)],
        };
        let transfer = |value| Transfer { from, to, value: U256::from(value) };
        assert_eq!(transfers_of(&receipt, token), [transfer(5), transfer(6)]);
        receipt.succeeded = false;
        assert_eq!(transfers_of(&receipt, token), []);
    }

    #[test]
    fn a_transfer_is_called_alone() {
        let call = transfer_call(B256::ZERO, Address::ZERO, Address::repeat_byte(4), U256::from(5));
        // The selector of `transfer(address,uint256)`.
        assert_eq!(call.data.get(..4), Some(&[0xa9, 0x05, 0x9c, 0xbb][..]));
        assert!(call.alone);
    }
}
