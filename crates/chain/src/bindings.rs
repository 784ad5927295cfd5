//! The token interface that payments need (ERC-20, EIP-2612, EIP-3009), EIP-1271, Permit2 with the
//! spender of x402's scheme `upto`, and the revert reasons of the implementations in use (Circle's
//! FiatToken, OpenZeppelin's, Permit2's).

use alloy_sol_types::sol;

sol! {
    /// An ERC-20 token with EIP-3009 authorisations.
    #[derive(Debug, PartialEq, Eq)]
    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        function name() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function approve(address spender, uint256 value) external returns (bool);
        function transfer(address to, uint256 value) external returns (bool);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            uint8 v,
            bytes32 r,
            bytes32 s
        ) external;
        function transferWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            bytes signature
        ) external;
        function cancelAuthorization(
            address authorizer,
            bytes32 nonce,
            uint8 v,
            bytes32 r,
            bytes32 s
        ) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature) external;
    }
}

sol! {
    /// A contract wallet that says which signatures are its own (EIP-1271).
    #[derive(Debug, PartialEq, Eq)]
    interface ContractWallet {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

sol! {
    /// What Permit2 keeps of its signed transfers.
    #[derive(Debug, PartialEq, Eq)]
    interface Permit2 {
        event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
        function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external;
    }
}

sol! {
    /// The spender of x402's scheme `upto`.
    #[derive(Debug, PartialEq, Eq)]
    interface UptoProxy {
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        struct PermitTransferFrom {
            TokenPermissions permitted;
            uint256 nonce;
            uint256 deadline;
        }

        struct Witness {
            address to;
            address facilitator;
            uint256 validAfter;
        }

        struct EIP2612Permit {
            uint256 value;
            uint256 deadline;
            bytes32 r;
            bytes32 s;
            uint8 v;
        }

        function settle(
            PermitTransferFrom permit,
            uint256 amount,
            address owner,
            Witness witness,
            bytes signature
        ) external;
        function settleWithPermit(
            EIP2612Permit permit2612,
            PermitTransferFrom permit,
            uint256 amount,
            address owner,
            Witness witness,
            bytes signature
        ) external;
    }
}

sol! {
    /// Errors that Permit2 and the spender of `upto` revert with.
    #[derive(Debug, PartialEq, Eq)]
    interface PermitErrors {
        error AmountExceedsPermitted();
        error InvalidAmount(uint256 maxAmount);
        error InvalidContractSignature();
        error InvalidDestination();
        error InvalidNonce();
        error InvalidOwner();
        error InvalidSignature();
        error InvalidSignatureLength();
        error InvalidSigner();
        error PaymentTooEarly();
        error Permit2612AmountMismatch();
        error ReentrancyGuardReentrantCall();
        error SignatureExpired(uint256 signatureDeadline);
        error UnauthorizedFacilitator();
    }
}

sol! {
    /// Custom errors that tokens revert with.
    #[derive(Debug, PartialEq, Eq)]
    interface TokenErrors {
        error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
        error ERC20InvalidReceiver(address receiver);
        error ERC3009InvalidSignature();
        error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
        error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
    }
}
