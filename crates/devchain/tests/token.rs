//! The development token, as a payer, a relayer and a payee use it.

use alloy::contract::Error as ContractError;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::SignerSync;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolCall, SolError, SolStruct, eip712_domain};
use assay_devchain::{CHAIN_ID, DEV_TOKEN};

use crate::support::{START, Served, address, deploy, signer};

sol! {
    #[sol(rpc)]
    contract Token {
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event Transfer(address indexed from, address indexed to, uint256 value);

        error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
        error ERC3009InvalidSignature();
        error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);
        error ERC20InvalidReceiver(address receiver);
        error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);

        function name() view returns (string);
        function symbol() view returns (string);
        function version() view returns (string);
        function decimals() view returns (uint8);
        function totalSupply() view returns (uint256);
        function DOMAIN_SEPARATOR() view returns (bytes32);
        function balanceOf(address account) view returns (uint256);
        function allowance(address owner, address spender) view returns (uint256);
        function nonces(address owner) view returns (uint256);
        function mint(address to, uint256 value);
        function transfer(address to, uint256 value) returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s);
        function authorizationState(address authorizer, bytes32 nonce) view returns (bool);
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
        function cancelAuthorization(address authorizer, bytes32 nonce, bytes signature);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);
    }

    struct TransferWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    struct ReceiveWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }
    struct CancelAuthorization { address authorizer; bytes32 nonce; }
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
}

const EACH: u64 = 1_000_000_000_000;

fn domain() -> Eip712Domain {
    eip712_domain! {
        name: "Assay Development Dollar",
        version: "1",
        chain_id: CHAIN_ID,
        verifying_contract: DEV_TOKEN,
    }
}

fn sign(account: usize, message: &impl SolStruct) -> Signature {
    signer(account).sign_hash_sync(&message.eip712_signing_hash(&domain())).unwrap()
}

/// An authorisation by account 0 to pay account 1, valid for a minute.
fn authorisation(value: u64, nonce: u8) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: address(0),
        to: address(1),
        value: U256::from(value),
        validAfter: U256::from(START - 60),
        validBefore: U256::from(START + 60),
        nonce: B256::repeat_byte(nonce),
    }
}

fn split(
    a: &TransferWithAuthorization,
    signature: Signature,
) -> Token::transferWithAuthorization_0Call {
    Token::transferWithAuthorization_0Call {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    }
}

fn joined(
    a: &TransferWithAuthorization,
    signature: Bytes,
) -> Token::transferWithAuthorization_1Call {
    Token::transferWithAuthorization_1Call {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        signature,
    }
}

fn to_token(call: &impl SolCall) -> TransactionRequest {
    TransactionRequest::default().with_to(DEV_TOKEN).with_input(call.abi_encode())
}

/// Returns the contract's error with which a call fails.
async fn revert<E: SolError>(provider: &impl Provider, call: &impl SolCall) -> E {
    let error = provider.call(to_token(call)).await.expect_err("the call succeeded");
    let error = ContractError::from(error);
    error.as_decoded_error::<E>().unwrap_or_else(|| panic!("another error: {error}"))
}

async fn balance(served: &Served, account: Address) -> u64 {
    let token = Token::new(DEV_TOKEN, served.provider(9));
    token.balanceOf(account).call().await.unwrap().to()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_genesis_state_has_the_token_and_its_balances() {
    let served = Served::start().await;
    let token = Token::new(DEV_TOKEN, served.provider(0));
    assert_eq!(token.name().call().await.unwrap(), "Assay Development Dollar");
    assert_eq!(token.symbol().call().await.unwrap(), "devUSD");
    assert_eq!(token.version().call().await.unwrap(), "1");
    assert_eq!(token.decimals().call().await.unwrap(), 6);
    assert_eq!(token.DOMAIN_SEPARATOR().call().await.unwrap(), domain().separator());
    assert_eq!(token.totalSupply().call().await.unwrap(), U256::from(10 * EACH));
    let ether = U256::from(10).pow(U256::from(22));
    for account in 0..10 {
        assert_eq!(balance(&served, address(account)).await, EACH);
        assert_eq!(served.chain.balance(address(account)), ether);
        assert_eq!(served.chain.nonce(address(account)), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_is_relayed_once() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let authorisation = authorisation(2_500_000, 1);
    let call = split(&authorisation, sign(0, &authorisation));
    let ether_before = served.chain.balance(address(0));

    let pending = relayer.send_transaction(to_token(&call)).await.unwrap();
    let receipt = pending.get_receipt().await.unwrap();
    assert!(receipt.status());
    assert_eq!(receipt.from, address(2));
    let used = receipt.decoded_log::<Token::AuthorizationUsed>().unwrap();
    assert_eq!((used.authorizer, used.nonce), (address(0), authorisation.nonce));
    let paid = receipt.decoded_log::<Token::Transfer>().unwrap();
    assert_eq!((paid.from, paid.to, paid.value), (address(0), address(1), authorisation.value));
    assert_eq!(balance(&served, address(0)).await, EACH - 2_500_000);
    assert_eq!(balance(&served, address(1)).await, EACH + 2_500_000);
    assert_eq!(served.chain.balance(address(0)), ether_before, "the payer paid for gas");
    let token = Token::new(DEV_TOKEN, &relayer);
    let state = token.authorizationState(address(0), authorisation.nonce);
    assert!(state.call().await.unwrap());

    let error: Token::ERC3009UsedAuthorization = revert(&relayer, &call).await;
    assert_eq!((error.authorizer, error.nonce), (address(0), authorisation.nonce));
    let again = to_token(&call).with_gas_limit(200_000);
    let pending = relayer.send_transaction(again).await.unwrap();
    assert!(!pending.get_receipt().await.unwrap().status(), "a replay succeeded");
    assert_eq!(balance(&served, address(1)).await, EACH + 2_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_with_bytes_takes_the_same_signatures() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let authorisation = authorisation(7, 2);
    let signature = sign(0, &authorisation);
    let call = joined(&authorisation, signature.as_bytes().to_vec().into());
    let pending = relayer.send_transaction(to_token(&call)).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status());
    assert_eq!(balance(&served, address(1)).await, EACH + 7);
    let _: Token::ERC3009UsedAuthorization = revert(&relayer, &call).await;
    let _: Token::ERC3009UsedAuthorization =
        revert(&relayer, &split(&authorisation, signature)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_its_signer_and_its_fields() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let signed = authorisation(7, 3);
    let _: Token::ERC3009InvalidSignature =
        revert(&relayer, &split(&signed, sign(1, &signed))).await;
    let changed = authorisation(8, 3);
    let _: Token::ERC3009InvalidSignature =
        revert(&relayer, &split(&changed, sign(0, &signed))).await;
    let bytes = sign(0, &signed).as_bytes().to_vec().into();
    let _: Token::ERC3009InvalidSignature = revert(&relayer, &joined(&changed, bytes)).await;
    let _: Token::ERC3009InvalidSignature =
        revert(&relayer, &joined(&signed, Bytes::from_static(b"no signature"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validity_is_by_the_clock() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let authorisation = authorisation(7, 4);
    let call = split(&authorisation, sign(0, &authorisation));
    for (time, valid) in
        [(START - 60, false), (START - 59, true), (START + 59, true), (START + 60, false)]
    {
        served.clock.set(time);
        if valid {
            relayer.call(to_token(&call)).await.unwrap();
        } else {
            let _: Token::ERC3009InvalidAuthorizationTime = revert(&relayer, &call).await;
        }
    }
    // Bit 47 in both limits means nothing special: these are times far from now.
    let far = U256::from(1_u64 << 47);
    let odd = TransferWithAuthorization {
        validAfter: far,
        validBefore: far + U256::from(9),
        ..authorisation
    };
    let _: Token::ERC3009InvalidAuthorizationTime =
        revert(&relayer, &split(&odd, sign(0, &odd))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_balance_cannot_be_paid() {
    let served = Served::start().await;
    let authorisation = authorisation(EACH + 1, 5);
    let call = split(&authorisation, sign(0, &authorisation));
    let error: Token::ERC20InsufficientBalance = revert(&served.provider(2), &call).await;
    assert_eq!((error.balance, error.needed), (U256::from(EACH), U256::from(EACH + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_payee_receives() {
    let served = Served::start().await;
    let a = authorisation(7, 6);
    let message = ReceiveWithAuthorization {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
    };
    let signature = sign(0, &message);
    let joined = Token::receiveWithAuthorization_1Call {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        signature: signature.as_bytes().to_vec().into(),
    };
    let request = to_token(&joined).with_from(address(2));
    let error = ContractError::from(served.provider(2).call(request).await.unwrap_err());
    let error = error.as_decoded_error::<Token::ERC20InvalidReceiver>().unwrap();
    assert_eq!(error.receiver, address(1));
    let pending = served.provider(1).send_transaction(to_token(&joined)).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status());
    let split = Token::receiveWithAuthorization_0Call {
        from: a.from,
        to: a.to,
        value: a.value,
        validAfter: a.validAfter,
        validBefore: a.validBefore,
        nonce: a.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    let request = to_token(&split).with_from(address(1));
    let error = ContractError::from(served.provider(1).call(request).await.unwrap_err());
    assert!(error.as_decoded_error::<Token::ERC3009UsedAuthorization>().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_authorisation_is_used() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let token = Token::new(DEV_TOKEN, &relayer);
    for (nonce, as_bytes) in [(7, false), (8, true)] {
        let authorisation = authorisation(7, nonce);
        let nonce = authorisation.nonce;
        let signature = sign(0, &CancelAuthorization { authorizer: address(0), nonce });
        let pending = if as_bytes {
            let signature = signature.as_bytes().to_vec().into();
            token.cancelAuthorization_1(address(0), nonce, signature).send().await.unwrap()
        } else {
            let (v, r, s) = (27 + u8::from(signature.v()), signature.r(), signature.s());
            token
                .cancelAuthorization_0(address(0), nonce, v, r.into(), s.into())
                .send()
                .await
                .unwrap()
        };
        assert!(pending.get_receipt().await.unwrap().status());
        let call = split(&authorisation, sign(0, &authorisation));
        let _: Token::ERC3009UsedAuthorization = revert(&relayer, &call).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_wallet_pays_with_the_form_with_bytes() {
    let served = Served::start().await;
    // Accepts the signature 0x01 for any message (EIP-1271): calldata is selector, hash, offset,
    // length, data, so the signature's first byte is at 4 + 96.
    // PUSH1 100, CALLDATALOAD, PUSH0, BYTE, PUSH4 magic, MUL, PUSH1 224, SHL, PUSH0, MSTORE,
    // PUSH1 32, PUSH0, RETURN
    let runtime = [
        0x60, 0x64, 0x35, 0x5f, 0x1a, 0x63, 0x16, 0x26, 0xba, 0x7e, 0x02, 0x60, 0xe0, 0x1b, 0x5f,
        0x52, 0x60, 0x20, 0x5f, 0xf3,
    ];
    let wallet = deploy(&served, 0, &runtime).await;
    let relayer = served.provider(2);
    let token = Token::new(DEV_TOKEN, &relayer);
    let funding = token.mint(wallet, U256::from(100)).send().await.unwrap();
    assert!(funding.get_receipt().await.unwrap().status(), "minting is open to anyone");

    let authorisation = TransferWithAuthorization { from: wallet, ..authorisation(40, 9) };
    let refused = joined(&authorisation, Bytes::from_static(&[2]));
    let _: Token::ERC3009InvalidSignature = revert(&relayer, &refused).await;
    let call = joined(&authorisation, Bytes::from_static(&[1]));
    let pending = relayer.send_transaction(to_token(&call)).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status());
    assert_eq!(balance(&served, wallet).await, 60);
    assert_eq!(balance(&served, address(1)).await, EACH + 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_gives_an_allowance() {
    let served = Served::start().await;
    let relayer = served.provider(2);
    let token = Token::new(DEV_TOKEN, &relayer);
    let nonce = token.nonces(address(0)).call().await.unwrap();
    let (value, deadline) = (U256::from(5), U256::from(START + 60));
    let (owner, spender) = (address(0), address(3));
    let signature = sign(0, &Permit { owner, spender, value, nonce, deadline });
    let (v, r, s) = (27 + u8::from(signature.v()), signature.r().into(), signature.s().into());
    let permit = token.permit(owner, spender, value, deadline, v, r, s).send().await.unwrap();
    assert!(permit.get_receipt().await.unwrap().status());
    assert_eq!(token.allowance(owner, spender).call().await.unwrap(), value);
}

#[test]
fn the_type_hashes_are_those_of_eip_3009() {
    let hash = |name: &str| {
        keccak256(format!(
            "{name}(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        ))
    };
    assert_eq!(authorisation(0, 0).eip712_type_hash(), hash("TransferWithAuthorization"));
}
