// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.28;

/// The part of an EIP-1271 wallet that is asked whether a signature is its own.
interface ContractWallet {
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4);
}

/// The part of Permit2 that carries out signed permits one by one (its signature transfers), for
/// development chains: they have it at the address at which other chains have Permit2
/// (https://github.com/Uniswap/permit2). Functions, type hashes, errors and events are that
/// contract's; permits of several tokens at once and lasting allowances are left out.
contract DevPermit2 {
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

    error InvalidAmount(uint256 maxAmount);
    error InvalidContractSignature();
    error InvalidNonce();
    error InvalidSignature();
    error InvalidSignatureLength();
    error InvalidSigner();
    error SignatureExpired(uint256 signatureDeadline);

    /// The nonces that an owner has used or given up, 256 to a word: bit n & 255 of word n >> 8.
    mapping(address owner => mapping(uint256 word => uint256 bits)) public nonceBitmap;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("Permit2");
    bytes32 private constant TOKEN_PERMISSIONS_TYPEHASH =
        keccak256("TokenPermissions(address token,uint256 amount)");
    bytes32 private constant PERMIT_TYPEHASH = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)"
        "TokenPermissions(address token,uint256 amount)"
    );
    /// What a witness' type completes to the type that is signed.
    string private constant PERMIT_WITNESS_TYPE =
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,";

    /// The lower 255 bits of a short signature's second word (EIP-2098).
    bytes32 private constant SHORT_S = bytes32(type(uint256).max >> 1);

    /// Moves what the caller asks for, at most what the owner permitted the caller.
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata details,
        address owner,
        bytes calldata signature
    ) external {
        _move(permit, details, owner, _hash(PERMIT_TYPEHASH, permit), signature);
    }

    /// As without a witness; the owner signed the hash of something else, too, whose type the caller
    /// gives.
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata details,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        bytes32 typeHash = keccak256(abi.encodePacked(PERMIT_WITNESS_TYPE, witnessTypeString));
        bytes32 message = keccak256(
            abi.encode(typeHash, _hash(permit.permitted), msg.sender, permit.nonce, permit.deadline, witness)
        );
        _move(permit, details, owner, message, signature);
    }

    /// Gives up the caller's nonces whose bits are set in a word's mask.
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask) external {
        nonceBitmap[msg.sender][wordPos] |= mask;
        emit UnorderedNonceInvalidation(msg.sender, wordPos, mask);
    }

    /// The EIP-712 domain; it has no version. Computed each time, as the code is placed without a
    /// constructor.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, block.chainid, address(this)));
    }

    function _move(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata details,
        address owner,
        bytes32 message,
        bytes calldata signature
    ) private {
        require(block.timestamp <= permit.deadline, SignatureExpired(permit.deadline));
        uint256 most = permit.permitted.amount;
        require(details.requestedAmount <= most, InvalidAmount(most));
        _use(owner, permit.nonce);
        _requireSigned(owner, keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), message)), signature);
        _transfer(permit.permitted.token, owner, details.to, details.requestedAmount);
    }

    function _use(address owner, uint256 nonce) private {
        uint256 bit = 1 << (nonce & 255);
        uint256 used = nonceBitmap[owner][nonce >> 8];
        require(used & bit == 0, InvalidNonce());
        nonceBitmap[owner][nonce >> 8] = used | bit;
    }

    /// Takes any returned value but a falsehood for success, as tokens differ.
    function _transfer(address token, address from, address to, uint256 amount) private {
        (bool success, bytes memory returned) =
            token.call(abi.encodeWithSignature("transferFrom(address,address,uint256)", from, to, amount));
        bool accepted = success && (returned.length == 0 || returned.length >= 32 && uint256(bytes32(returned)) == 1);
        require(accepted, "TRANSFER_FROM_FAILED");
    }

    /// An account with code is asked, and never checked by ECDSA.
    function _requireSigned(address owner, bytes32 digest, bytes calldata signature) private view {
        if (owner.code.length > 0) {
            bytes4 answer = ContractWallet(owner).isValidSignature(digest, signature);
            require(answer == ContractWallet.isValidSignature.selector, InvalidContractSignature());
            return;
        }
        require(signature.length == 65 || signature.length == 64, InvalidSignatureLength());
        bytes32 r = bytes32(signature[:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v;
        if (signature.length == 65) {
            v = uint8(signature[64]);
        } else {
            v = 27 + uint8(uint256(s) >> 255);
            s &= SHORT_S;
        }
        address signer = ecrecover(digest, v, r, s);
        require(signer != address(0), InvalidSignature());
        require(signer == owner, InvalidSigner());
    }

    function _hash(bytes32 typeHash, PermitTransferFrom calldata permit) private view returns (bytes32) {
        return keccak256(abi.encode(typeHash, _hash(permit.permitted), msg.sender, permit.nonce, permit.deadline));
    }

    function _hash(TokenPermissions calldata permitted) private pure returns (bytes32) {
        return keccak256(abi.encode(TOKEN_PERMISSIONS_TYPEHASH, permitted.token, permitted.amount));
    }
}
