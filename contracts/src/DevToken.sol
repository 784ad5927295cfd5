// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/**
 * @title Assay Development Dollar
 * @notice A dollar-like token for development chains. It is worth nothing: anyone may {mint} any
 * amount to any account. Never deploy it where its balance could be taken for money.
 *
 * It behaves as the stablecoins that x402 settles in do: six decimals, EIP-2612 permits, and
 * EIP-3009 authorisations in both forms, with the signature split into `v, r, s` and as `bytes`.
 * The `bytes` form also accepts EIP-1271 signatures of contract wallets; an account that has code
 * is never checked by ECDSA there.
 */
contract DevToken is ERC20Permit, ERC3009 {
    string private constant NAME = "Assay Development Dollar";

    /// @dev {ERC20Permit} gives the EIP-712 domain the token's name and version "1".
    constructor() ERC20(NAME, "devUSD") ERC20Permit(NAME) {}

    /// @notice Creates `value` units for `to`. Open to anyone.
    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    /// @notice The version in the EIP-712 domain.
    function version() external view returns (string memory) {
        return _EIP712Version();
    }

    /// @notice As the form with `v, r, s`, with the signature of a key or of a contract wallet.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _requireSigned(
            from,
            abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As the form with `v, r, s`, with the signature of a key or of a contract wallet.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(to == _msgSender(), ERC20InvalidReceiver(to));
        _requireSigned(
            from,
            abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As the form with `v, r, s`, with the signature of a key or of a contract wallet.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _requireSigned(
            authorizer,
            abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce),
            signature
        );
        _cancelAuthorization(authorizer, nonce);
    }

    /// @notice Six, as the stablecoins in use have.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /**
     * @dev Reads both limits as Unix times and nothing else, as EIP-3009 says. The parent contract
     * would read two values that both have bit 47 set as block numbers.
     */
    function _checkValidity(uint256 validAfter, uint256 validBefore) internal view override {
        require(
            block.timestamp > validAfter && block.timestamp < validBefore,
            ERC3009InvalidAuthorizationTime(validAfter, validBefore)
        );
    }

    function _requireSigned(address signer, bytes memory message, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(keccak256(message));
        require(
            SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature),
            ERC3009InvalidSignature()
        );
    }
}
