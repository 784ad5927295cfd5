// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

/// Several calls in one transaction, for development chains: they have it at the address at which
/// other chains have Multicall3 (https://www.multicall3.com), with the one function that is used.
contract DevMulticall {
    struct Call {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Returned {
        bool success;
        bytes returnData;
    }

    error CallFailed(uint256 index, bytes returnData);

    /// Makes the calls in their order. One that fails and may fail changes nothing and hinders no
    /// other; one that may not fail takes all of them back.
    function aggregate3(Call[] calldata calls) external payable returns (Returned[] memory returned) {
        returned = new Returned[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool success, bytes memory data) = calls[i].target.call(calls[i].callData);
            if (!success && !calls[i].allowFailure) revert CallFailed(i, data);
            returned[i] = Returned(success, data);
        }
    }
}
