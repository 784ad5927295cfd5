//! Permit2's signed transfers and the spender of x402's `upto`, as a payer and a facilitator use them.

use alloy::contract::Error as ContractError;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::SignerSync;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolCall, SolError, SolStruct, SolValue, eip712_domain};
use assay_devchain::{CHAIN_ID, DEV_TOKEN, PERMIT2, UPTO_PROXY};

use crate::support::{START, Served, address, deploy, signer};

sol! {
    #[derive(Debug)]
    struct TokenPermissions { address token; uint256 amount; }
    #[derive(Debug)]
    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    struct Witness { address to; address facilitator; uint256 validAfter; }
    struct EIP2612Permit { uint256 value; uint256 deadline; bytes32 r; bytes32 s; uint8 v; }
    struct SignatureTransferDetails { address to; uint256 requestedAmount; }

    struct PermitWitnessTransferFrom {
        TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; Witness witness;
    }
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }

    function approve(address spender, uint256 value) returns (bool);
    function allowance(address owner, address spender) view returns (uint256);
    function balanceOf(address account) view returns (uint256);
    function mint(address to, uint256 value);
    function nonces(address owner) view returns (uint256);
    function nonceBitmap(address owner, uint256 word) view returns (uint256);
    function invalidateUnorderedNonces(uint256 wordPos, uint256 mask);
    function permitTransferFrom(PermitTransferFrom permit, SignatureTransferDetails details, address owner, bytes signature);
    function PERMIT2() view returns (address);
    function WITNESS_TYPEHASH() view returns (bytes32);
    function settle(PermitTransferFrom permit, uint256 amount, address owner, Witness witness, bytes signature);
    function settleWithPermit(EIP2612Permit permit2612, PermitTransferFrom permit, uint256 amount, address owner, Witness witness, bytes signature);

    error AmountExceedsPermitted();
    error InvalidContractSignature();
    error InvalidDestination();
    error InvalidNonce();
    error InvalidOwner();
    error InvalidSignatureLength();
    error InvalidSigner();
    error PaymentTooEarly();
    error Permit2612AmountMismatch();
    error SignatureExpired(uint256 signatureDeadline);
    error UnauthorizedFacilitator();
}

const PAYER: usize = 0;
const PAYEE: usize = 1;
const FACILITATOR: usize = 2;
const EACH: u64 = 1_000_000_000_000;
const MOST: u64 = 500;

fn domain() -> Eip712Domain {
    eip712_domain! { name: "Permit2", chain_id: CHAIN_ID, verifying_contract: PERMIT2, }
}

/// A permit of the payer for the most, valid for a minute.
fn signed(nonce: u64) -> PermitWitnessTransferFrom {
    PermitWitnessTransferFrom {
        permitted: TokenPermissions { token: DEV_TOKEN, amount: U256::from(MOST) },
        spender: UPTO_PROXY,
        nonce: U256::from(nonce),
        deadline: U256::from(START + 60),
        witness: Witness {
            to: address(PAYEE),
            facilitator: address(FACILITATOR),
            validAfter: U256::ZERO,
        },
    }
}

fn signature(permit: &PermitWitnessTransferFrom) -> Bytes {
    let signature = signer(PAYER).sign_hash_sync(&permit.eip712_signing_hash(&domain())).unwrap();
    signature.as_bytes().to_vec().into()
}

fn settle(permit: &PermitWitnessTransferFrom, amount: u64) -> settleCall {
    settleCall {
        permit: PermitTransferFrom {
            permitted: permit.permitted.clone(),
            nonce: permit.nonce,
            deadline: permit.deadline,
        },
        amount: U256::from(amount),
        owner: address(PAYER),
        witness: permit.witness.clone(),
        signature: signature(permit),
    }
}

async fn send(served: &Served, from: usize, to: Address, call: &impl SolCall) {
    let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
    let pending = served.provider(from).send_transaction(request).await.unwrap();
    assert!(pending.get_receipt().await.unwrap().status(), "reverted");
}

async fn view<C: SolCall>(served: &Served, to: Address, call: &C) -> C::Return {
    let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
    let answer = served.provider(9).call(request).await.unwrap();
    C::abi_decode_returns(&answer).unwrap()
}

/// Returns the error with which a call of the proxy by an account fails.
async fn refused<E: SolError>(served: &Served, from: usize, call: &impl SolCall) -> E {
    let request = TransactionRequest::default().with_to(UPTO_PROXY).with_from(address(from));
    let request = request.with_input(call.abi_encode());
    let error = served.provider(from).call(request).await.expect_err("the call succeeded");
    let error = ContractError::from(error);
    error.as_decoded_error::<E>().unwrap_or_else(|| panic!("another error: {error}"))
}

async fn balance(served: &Served, account: Address) -> u64 {
    view(served, DEV_TOKEN, &balanceOfCall { account }).await.to()
}

async fn approved() -> Served {
    let served = Served::start().await;
    send(&served, PAYER, DEV_TOKEN, &approveCall { spender: PERMIT2, value: U256::MAX }).await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_is_settled_once_for_less_or_for_all_of_it() {
    let served = approved().await;
    assert_eq!(view(&served, UPTO_PROXY, &PERMIT2Call {}).await, PERMIT2);
    let witness = keccak256("Witness(address to,address facilitator,uint256 validAfter)");
    assert_eq!(view(&served, UPTO_PROXY, &WITNESS_TYPEHASHCall {}).await, witness);
    for (nonce, amount, sum) in [(7, 123, 123), (8, MOST, 123 + MOST), (300, 0, 123 + MOST)] {
        send(&served, FACILITATOR, UPTO_PROXY, &settle(&signed(nonce), amount)).await;
        assert_eq!(balance(&served, address(PAYEE)).await, EACH + sum);
        let again = settle(&signed(nonce), 1);
        let _: InvalidNonce = refused(&served, FACILITATOR, &again).await;
    }
    let bits = |word| nonceBitmapCall { owner: address(PAYER), word: U256::from(word) };
    assert_eq!(view(&served, PERMIT2, &bits(0)).await, U256::from(0b1_1000_0000));
    assert_eq!(view(&served, PERMIT2, &bits(1)).await, U256::from(1_u64 << 44));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_amount_is_the_facilitators_to_choose() {
    let served = approved().await;
    let good = signed(1);
    let more = settle(&good, MOST + 1);
    let _: AmountExceedsPermitted = refused(&served, FACILITATOR, &more).await;
    let _: UnauthorizedFacilitator = refused(&served, 3, &settle(&good, 1)).await;
    // Each field that is signed.
    let mut wrong: Vec<settleCall> = std::iter::repeat_n(settle(&good, 1), 7).collect();
    wrong[0].permit.permitted.amount += U256::ONE;
    wrong[1].permit.permitted.token = UPTO_PROXY;
    wrong[2].permit.nonce += U256::ONE;
    wrong[3].permit.deadline += U256::ONE;
    wrong[4].witness.to = address(3);
    wrong[5].witness.validAfter = U256::ONE;
    wrong[6].owner = address(3);
    for call in &wrong {
        let _: InvalidSigner = refused(&served, FACILITATOR, call).await;
    }
    let other = settleCall {
        witness: Witness { facilitator: address(3), ..good.witness.clone() },
        ..settle(&good, 1)
    };
    let _: InvalidSigner = refused(&served, 3, &other).await;
    let nobody = settleCall { owner: Address::ZERO, ..settle(&good, 1) };
    let _: InvalidOwner = refused(&served, FACILITATOR, &nobody).await;
    let mut nowhere = settle(&good, 1);
    nowhere.witness.to = Address::ZERO;
    let _: InvalidDestination = refused(&served, FACILITATOR, &nowhere).await;
    let short = settleCall { signature: vec![1; 63].into(), ..settle(&good, 1) };
    let _: InvalidSignatureLength = refused(&served, FACILITATOR, &short).await;
    assert_eq!(balance(&served, address(PAYEE)).await, EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_has_its_time() {
    let served = approved().await;
    let mut early = signed(1);
    early.witness.validAfter = U256::from(START + 10);
    let _: PaymentTooEarly = refused(&served, FACILITATOR, &settle(&early, 1)).await;
    served.clock.set(START + 10);
    send(&served, FACILITATOR, UPTO_PROXY, &settle(&early, 1)).await;
    served.clock.set(START + 61);
    let late: SignatureExpired = refused(&served, FACILITATOR, &settle(&signed(2), 1)).await;
    assert_eq!(late.signatureDeadline, U256::from(START + 60));
    // In the last second it still counts.
    let last = PermitWitnessTransferFrom { deadline: U256::from(START + 61), ..signed(2) };
    send(&served, FACILITATOR, UPTO_PROXY, &settle(&last, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_can_take_permits_back() {
    let served = approved().await;
    let call = invalidateUnorderedNoncesCall { wordPos: U256::ZERO, mask: U256::from(0b110) };
    send(&served, PAYER, PERMIT2, &call).await;
    for nonce in [1, 2] {
        let _: InvalidNonce = refused(&served, FACILITATOR, &settle(&signed(nonce), 1)).await;
    }
    send(&served, FACILITATOR, UPTO_PROXY, &settle(&signed(3), 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_own_permit_gives_the_allowance() {
    let served = Served::start().await;
    let own = Permit {
        owner: address(PAYER),
        spender: PERMIT2,
        value: U256::from(MOST),
        nonce: U256::ZERO,
        deadline: U256::from(START + 60),
    };
    let token = eip712_domain! {
        name: "Assay Development Dollar",
        version: "1",
        chain_id: CHAIN_ID,
        verifying_contract: DEV_TOKEN,
    };
    let by = signer(PAYER).sign_hash_sync(&own.eip712_signing_hash(&token)).unwrap();
    let (v, r, s) = (27 + u8::from(by.v()), by.r().into(), by.s().into());
    let with_permit = |nonce: u64, value: u64, amount: u64| {
        let settleCall { permit, amount, owner, witness, signature } =
            settle(&signed(nonce), amount);
        let permit2612 =
            EIP2612Permit { value: U256::from(value), deadline: own.deadline, r, s, v };
        settleWithPermitCall { permit2612, permit, amount, owner, witness, signature }
    };
    let other = with_permit(1, MOST - 1, 1);
    let _: Permit2612AmountMismatch = refused(&served, FACILITATOR, &other).await;
    send(&served, FACILITATOR, UPTO_PROXY, &with_permit(1, MOST, 200)).await;
    assert_eq!(view(&served, DEV_TOKEN, &noncesCall { owner: address(PAYER) }).await, U256::ONE);
    // It is used, and what is left of the allowance is enough.
    send(&served, FACILITATOR, UPTO_PROXY, &with_permit(2, MOST, 300)).await;
    assert_eq!(balance(&served, address(PAYEE)).await, EACH + 500);
    let left = allowanceCall { owner: address(PAYER), spender: PERMIT2 };
    assert_eq!(view(&served, DEV_TOKEN, &left).await, U256::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_signatures_and_wallets_are_known() {
    let served = approved().await;
    let mut short = settle(&signed(1), 1);
    let by = signer(PAYER).sign_hash_sync(&signed(1).eip712_signing_hash(&domain())).unwrap();
    let parity = U256::from(u8::from(by.v())) << 255;
    let words = [by.r(), by.s() | parity].map(|word: U256| word.to_be_bytes::<32>());
    short.signature = words.concat().into();
    send(&served, FACILITATOR, UPTO_PROXY, &short).await;

    // Accepts the signature 0x01 for any message (EIP-1271).
    let runtime = [
        0x60, 0x64, 0x35, 0x5f, 0x1a, 0x63, 0x16, 0x26, 0xba, 0x7e, 0x02, 0x60, 0xe0, 0x1b, 0x5f,
        0x52, 0x60, 0x20, 0x5f, 0xf3,
    ];
    let wallet = deploy(&served, PAYER, &runtime).await;
    send(&served, 3, DEV_TOKEN, &mintCall { to: wallet, value: U256::from(100) }).await;
    let refused_by =
        settleCall { owner: wallet, signature: vec![2].into(), ..settle(&signed(2), 1) };
    let _: InvalidContractSignature = refused(&served, FACILITATOR, &refused_by).await;
}

/// Without a witness the permit is another type, and its spender is who calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_permit_is_its_spenders() {
    let served = approved().await;
    let permitted = TokenPermissions { token: DEV_TOKEN, amount: U256::from(MOST) };
    let (nonce, deadline) = (U256::from(9), U256::from(START + 60));
    let type_hash = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)\
         TokenPermissions(address token,uint256 amount)",
    );
    let fields = (type_hash, permitted.eip712_hash_struct(), address(3), nonce, deadline);
    let message: B256 = keccak256(fields.abi_encode());
    let digest = keccak256([&[0x19, 0x01], &domain().separator()[..], &message[..]].concat());
    let by = signer(PAYER).sign_hash_sync(&digest).unwrap();
    let call = permitTransferFromCall {
        permit: PermitTransferFrom { permitted, nonce, deadline },
        details: SignatureTransferDetails { to: address(4), requestedAmount: U256::from(5) },
        owner: address(PAYER),
        signature: by.as_bytes().to_vec().into(),
    };
    send(&served, 3, PERMIT2, &call).await;
    assert_eq!(balance(&served, address(4)).await, EACH + 5);
}
