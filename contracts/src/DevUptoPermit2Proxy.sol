// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {DevPermit2} from "./DevPermit2.sol";

/// The spender of x402's scheme `upto`, for development chains: they have it at the address at which
/// other chains have x402UptoPermit2Proxy. What a payer signs names whom it pays and who may settle;
/// that one chooses how much, up to what is permitted, and nothing else.
contract DevUptoPermit2Proxy is ReentrancyGuard {
    /// What is signed beside the permit.
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// A token's own permit (EIP-2612), which gives Permit2 its allowance.
    struct EIP2612Permit {
        uint256 value;
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    event Settled();
    event SettledWithPermit();

    error AmountExceedsPermitted();
    error InvalidDestination();
    error InvalidOwner();
    /// Of the other contract's constructor alone: this one has none.
    error InvalidPermit2Address();
    error PaymentTooEarly();
    error Permit2612AmountMismatch();
    error UnauthorizedFacilitator();

    DevPermit2 public constant PERMIT2 = DevPermit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    bytes32 public constant WITNESS_TYPEHASH =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)"
        "Witness(address to,address facilitator,uint256 validAfter)";

    /// Moves `amount` from the owner to whom the witness names.
    function settle(
        DevPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        _settle(permit, amount, owner, witness, signature);
        emit Settled();
    }

    /// As {settle}, after the token's own permit. That one may fail: somebody else may have handed it in
    /// before, and then the allowance is there.
    function settleWithPermit(
        EIP2612Permit calldata permit2612,
        DevPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external nonReentrant {
        require(permit2612.value == permit.permitted.amount, Permit2612AmountMismatch());
        try IERC20Permit(permit.permitted.token).permit(
            owner,
            address(PERMIT2),
            permit2612.value,
            permit2612.deadline,
            permit2612.v,
            permit2612.r,
            permit2612.s
        ) {} catch {}
        _settle(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _settle(
        DevPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        require(msg.sender == witness.facilitator, UnauthorizedFacilitator());
        require(amount <= permit.permitted.amount, AmountExceedsPermitted());
        require(owner != address(0), InvalidOwner());
        require(witness.to != address(0), InvalidDestination());
        require(block.timestamp >= witness.validAfter, PaymentTooEarly());
        bytes32 hash =
            keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter));
        PERMIT2.permitWitnessTransferFrom(
            permit,
            DevPermit2.SignatureTransferDetails({to: witness.to, requestedAmount: amount}),
            owner,
            hash,
            WITNESS_TYPE_STRING,
            signature
        );
    }
}
