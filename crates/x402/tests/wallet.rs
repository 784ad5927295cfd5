//! Payers that are contracts (EIP-1271).

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use assay_chain::bindings::Token;
use assay_devchain::DEV_TOKEN;
use assay_primitives::Network;
use assay_x402::{
    Authorization, CheckedPayment, ErrorReason, ExactPayload, Facilitator, FacilitatorError,
    SignatureCheck, check_exact,
};

use crate::support::{BUYER, PRICE, SELLER, STRANGER, World, address, offer};

/// Creates a wallet that takes any signature whose first word is 42:
/// `isValidSignature` returns the magic value times `calldata[100..132] == 42`.
const WALLET: [u8; 34] =
    hex!("601780600b6000396000f3 606435602a14631626ba7e60e01b0260005260206000f3");

/// Deploys the wallet and gives it tokens.
async fn wallet(world: &World) -> Address {
    let wallet = address(STRANGER).create(world.dev.nonce(address(STRANGER)));
    world.send(STRANGER, TxKind::Create, Bytes::from_static(&WALLET));
    let value = U256::from(10 * PRICE);
    world.send_to_token(BUYER, &Token::transferCall { to: wallet, value });
    assert_eq!(world.chain.code_at(wallet).await.unwrap().len(), 23);
    wallet
}

/// A payment from the wallet: a word, and enough bytes to be as long as asked.
fn checked(world: &World, wallet: Address, word: u8, length: usize) -> CheckedPayment {
    let mut payload = world.payment(&offer()).payload;
    let exact = ExactPayload::from_json(&payload.payload).unwrap();
    let authorization = Authorization { from: wallet, ..exact.authorization };
    let mut signature = vec![0; length];
    signature[31] = word;
    payload.payload = ExactPayload { signature: signature.into(), authorization }.to_json();
    check_exact(&payload, &offer(), world.now()).unwrap()
}

#[tokio::test]
async fn a_wallets_signature_pays() {
    let world = World::start().await;
    let wallet = wallet(&world).await;
    let facilitator = world.facilitator();
    let before = world.tokens_of(address(SELLER)).await;
    // 65 bytes may be an ECDSA signature, and are not one here; both take the `bytes` overload.
    for (paid, length) in [(1, 96), (2, 65)] {
        let checked = checked(&world, wallet, 42, length);
        assert_eq!(checked.signature_check(), SignatureCheck::NeedsChain);
        let verified = facilitator.verify(&checked).await.unwrap();
        let intent = verified.intent();
        let settled = facilitator.settle(&intent).await.unwrap();
        assert_eq!(settled.payer.as_str(), wallet.to_checksum(None));
        let earned = U256::from(paid * PRICE);
        assert_eq!(world.tokens_of(address(SELLER)).await, before + earned);
    }
    assert_eq!(world.tokens_of(wallet).await, U256::from(8 * PRICE));
}

#[tokio::test]
async fn a_wallet_can_say_no() {
    let world = World::start().await;
    let wallet = wallet(&world).await;
    let facilitator = world.facilitator();
    // The token has code and no `isValidSignature`; a stranger has no code.
    for (payer, word) in [(wallet, 41), (DEV_TOKEN, 42), (address(STRANGER), 42)] {
        let checked = checked(&world, payer, word, 96);
        let error = facilitator.verify(&checked).await.unwrap_err();
        match error {
            FacilitatorError::Refused { reason: ErrorReason::InvalidSignature, .. } => {}
            other => panic!("{payer}: {other}"),
        }
    }
}

#[tokio::test]
async fn wallets_can_be_kept_out() {
    let world = World::start().await;
    let wallet = wallet(&world).await;
    let facilitator = world.facilitator_with(|config| config.contract_wallets = false);
    let error = facilitator.verify(&checked(&world, wallet, 42, 96)).await.unwrap_err();
    assert!(error.to_string().contains("no wallet is asked here"), "{error}");
    assert!(facilitator.verify(&world.checked()).await.is_ok());
}

/// What a wallet is asked outside of a payment: who signs in.
#[tokio::test]
async fn a_wallet_is_asked_for_other_signatures() {
    let world = World::start().await;
    let wallet = wallet(&world).await;
    let facilitator = world.facilitator();
    let network = world.chain.network().clone();
    let signature = |word: u8| Bytes::from([vec![0; 31], vec![word], vec![0; 64]].concat());
    for (account, word, expected) in [
        (wallet, 42, true),
        (wallet, 41, false),
        (DEV_TOKEN, 42, false),
        (address(BUYER), 42, false),
    ] {
        let asked = facilitator.is_wallet_signature(&network, account, B256::ZERO, signature(word));
        assert_eq!(asked.await, Ok(expected), "{account} {word}");
    }
    let elsewhere = Network::eip155(8_453);
    let asked = facilitator.is_wallet_signature(&elsewhere, wallet, B256::ZERO, signature(42));
    let error = asked.await.unwrap_err();
    assert!(error.to_string().contains("on eip155:8453"), "{error}");
}
