//! Several calls in one transaction, by the Multicall3 contract that stands at one address on nearly
//! every EVM chain: what one call does is no other's concern.

use alloy_primitives::{Address, B256, Bytes, address};
use alloy_sol_types::{SolCall, sol};

/// Where Multicall3 is (<https://www.multicall3.com>).
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// The gas that a batch costs beside its calls, and each of its calls beside what it does.
const BATCH_GAS: u64 = 40_000;
const CALL_GAS: u64 = 12_000;

sol! {
    #[derive(Debug)]
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    #[derive(Debug)]
    struct Returned {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Returned[] memory returned);
}

/// A call of a contract that is to be carried out by one's own account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// What it is known by: while a call is on its way, another with its id is the same one.
    pub id: B256,
    /// The contract.
    pub to: Address,
    /// The function and its arguments.
    pub data: Bytes,
    /// Whether it has to be a transaction's only call: one whose gas or outcome is for a stranger's
    /// contract to decide.
    pub alone: bool,
}

/// What is called, with how much gas at most.
pub(super) struct Target {
    pub(super) to: Address,
    pub(super) data: Bytes,
    pub(super) gas: u64,
}

/// Returns the transaction that carries calls out, each with the gas it needs.
pub(super) fn target(calls: &[(Call, u64)]) -> Target {
    if let [(call, gas)] = calls {
        return Target { to: call.to, data: call.data.clone(), gas: *gas };
    }
    let one = |(call, _): &(Call, u64)| Call3 {
        target: call.to,
        allowFailure: true,
        callData: call.data.clone(),
    };
    let data = aggregate3Call { calls: calls.iter().map(one).collect() }.abi_encode();
    Target { to: MULTICALL3, data: data.into(), gas: gas(calls.iter().map(|(_, gas)| *gas)) }
}

/// Returns the gas of a batch of calls that need so much each.
pub(super) fn gas(calls: impl Iterator<Item = u64>) -> u64 {
    calls.fold(BATCH_GAS, |sum, gas| sum.saturating_add(gas).saturating_add(CALL_GAS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_is_made_directly_and_several_by_the_contract() {
        let call = |byte: u8| Call {
            id: B256::repeat_byte(byte),
            to: Address::repeat_byte(byte),
            data: vec![byte; 5].into(),
            alone: false,
        };
        let one = target(&[(call(1), 50_000)]);
        assert_eq!((one.to, one.data.len(), one.gas), (Address::repeat_byte(1), 5, 50_000));
        let two = target(&[(call(1), 50_000), (call(2), 60_000)]);
        assert_eq!((two.to, two.gas), (MULTICALL3, 174_000));
        // The selector of `aggregate3((address,bool,bytes)[])`.
        assert_eq!(two.data.get(..4), Some(&[0x82, 0xad, 0x56, 0xcb][..]));
        let calls = aggregate3Call::abi_decode(&two.data).unwrap().calls;
        assert!(calls.iter().all(|call| call.allowFailure));
        assert_eq!(calls[1].callData.as_ref(), [2; 5]);
    }
}
