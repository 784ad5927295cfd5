//! Settling from one's own key.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use assay_chain::{AccountKey, FeeLimits, MemoryJournal, SettlementSigner};
use assay_devchain::DEV_TOKEN;
use assay_x402::{
    Authorization, ErrorReason, Facilitator, FacilitatorError, LocalConfig, LocalFacilitator,
    PaymentRequirements, SettleError, Settled, SettlementIntent, check_exact, pay,
};
use serde_json::{Map, json};

use crate::support::{
    BUYER, OPERATOR, PRICE, SELLER, STRANGER, World, address, key, offer, required, transfer_call,
};

/// Returns the reason of a refusal, and checks that its text holds what disagrees.
fn reason(error: FacilitatorError, holds: &str) -> ErrorReason {
    let text = error.to_string();
    assert!(text.contains(holds), "`{text}` does not mention {holds}");
    match error {
        FacilitatorError::Refused { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

fn failed(error: SettleError) -> (ErrorReason, bool) {
    match error {
        SettleError::Failed { reason, open_until, .. } => (reason, open_until.is_some()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn money_moves_once_and_is_proved() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let before = world.tokens_of(address(SELLER)).await;
    let intent = world.intent(&facilitator).await;
    assert_eq!(world.tokens_of(address(SELLER)).await, before, "preparing sent something");

    let settled = facilitator.settle(&intent).await.unwrap();
    assert_eq!(settled.amount.0, PRICE);
    assert_eq!(settled.payer.as_str(), address(BUYER).to_checksum(None));
    let block = settled.block.clone().unwrap();
    assert_eq!((block.number, block.hash), (world.dev.head().number, world.dev.head().hash));
    assert_eq!(world.tokens_of(address(SELLER)).await, before + U256::from(PRICE));
    let response = settled.response();
    assert!(response.success);
    assert_eq!(response.transaction.len(), 66);

    // Settling and reconciling again say the same and move nothing.
    assert_eq!(facilitator.settle(&intent).await.unwrap(), settled);
    assert_eq!(facilitator.reconcile(&intent).await.unwrap(), settled);
    assert_eq!(world.tokens_of(address(SELLER)).await, before + U256::from(PRICE));
}

#[tokio::test]
async fn a_used_payment_is_not_verified_again() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let checked = world.checked();
    let verified = facilitator.verify(&checked).await.unwrap();
    let intent = verified.intent();
    facilitator.settle(&intent).await.unwrap();
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(reason(error, "is used"), ErrorReason::NonceAlreadyUsed);
}

#[tokio::test]
async fn a_third_partys_transaction_pays_too() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let checked = world.checked();
    let verified = facilitator.verify(&checked).await.unwrap();
    let intent = verified.intent();
    let front_run = world.send_to_token(STRANGER, &transfer_call(checked.authorization().unwrap()));

    let settled = facilitator.settle(&intent).await.unwrap();
    assert_eq!(settled.transaction, Some(front_run));
    assert_eq!(facilitator.reconcile(&intent).await.unwrap().transaction, Some(front_run));
}

/// The same before anything of one's own was sent.
#[tokio::test]
async fn reconciling_finds_a_third_partys_transaction() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    let payment = world.checked();
    let mut authorization = *payment.authorization().unwrap();
    authorization.nonce = intent.terms.nonce;
    let front_run = world.send_to_token(STRANGER, &transfer_call(&authorization));
    assert_eq!(facilitator.reconcile(&intent).await.unwrap().transaction, Some(front_run));
}

#[tokio::test]
async fn a_cancelled_authorisation_is_not_paid() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    let _cancelled = world.cancel(intent.terms.nonce);
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(error.to_string().contains("cancelled the authorisation"), "{error}");
    assert_eq!(failed(error), (ErrorReason::NonceAlreadyUsed, false));
}

/// The buyer spends the nonce on a payment to himself.
#[tokio::test]
async fn another_use_of_the_nonce_is_not_paid() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let checked = world.checked();
    let verified = facilitator.verify(&checked).await.unwrap();
    let intent = verified.intent();
    let diverted = Authorization { to: address(BUYER), ..*checked.authorization().unwrap() };
    world.send_to_token(STRANGER, &transfer_call(&diverted));
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert_eq!(failed(error), (ErrorReason::NonceAlreadyUsed, false));
}

/// Two payments, used up in one transaction of which only one transfer reaches the seller: a
/// transfer pays for one of them alone.
#[tokio::test]
async fn one_transfer_does_not_pay_twice() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let (first, second) = (world.checked(), world.checked());
    let mut intents = Vec::new();
    for checked in [&first, &second] {
        let verified = facilitator.verify(checked).await.unwrap();
        intents.push(verified.intent());
    }
    let diverted = Authorization { to: address(BUYER), ..*second.authorization().unwrap() };
    let calls = [transfer_call(first.authorization().unwrap()), transfer_call(&diverted)];
    let both = world.send(STRANGER, TxKind::Create, batch(&calls.map(|call| call.abi_encode())));

    assert_eq!(facilitator.settle(&intents[0]).await.unwrap().transaction, Some(both));
    let error = facilitator.settle(&intents[1]).await.unwrap_err();
    assert_eq!(failed(error), (ErrorReason::NonceAlreadyUsed, false));
}

/// Constructor code that calls the token with each of the calldata and creates nothing.
fn batch(calls: &[Vec<u8>]) -> Bytes {
    const STEP: usize = 9 + 12 + 20 + 3;
    let mut offset = calls.len() * STEP + 1;
    let (mut code, mut data) = (Vec::<u8>::new(), Vec::<u8>::new());
    for call in calls {
        let length = u16::try_from(call.len()).unwrap().to_be_bytes();
        let from = u16::try_from(offset).unwrap().to_be_bytes();
        // CODECOPY(0, from, length)
        code.extend([0x61, length[0], length[1], 0x61, from[0], from[1], 0x60, 0x00, 0x39]);
        // CALL(gas, token, 0, 0, length, 0, 0); POP
        code.extend([0x60, 0, 0x60, 0, 0x61, length[0], length[1], 0x60, 0, 0x60, 0, 0x73]);
        code.extend(DEV_TOKEN);
        code.extend([0x5a, 0xf1, 0x50]);
        offset += call.len();
        data.extend(call);
    }
    code.push(0x00);
    assert_eq!(code.len(), calls.len() * STEP + 1);
    code.extend(data);
    code.into()
}

#[tokio::test]
async fn a_balance_that_is_gone_fails_and_stays_open() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let intent = world.intent(&facilitator).await;
    world.empty_buyer().await;
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(error.to_string().contains("balance: 0, needed: 1000"), "{error}");
    assert_eq!(failed(error), (ErrorReason::InsufficientBalance, true));
    // Once it has expired nobody can carry it out.
    world.clock.advance(61);
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert_eq!(failed(error), (ErrorReason::ValidBefore, false));
}

#[tokio::test]
async fn verification_names_what_is_wrong() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let checked = world.checked();

    // A signature that is not the payer's, and no contract wallet there to ask.
    let mut payload = world.payment(&offer()).payload;
    let wrong = json!(format!("0x{}1b", "11".repeat(64)));
    payload.payload.insert("signature".to_owned(), wrong);
    let unsigned = check_exact(&payload, &offer(), world.now()).unwrap();
    let error = facilitator.verify(&unsigned).await.unwrap_err();
    assert_eq!(reason(error, &address(BUYER).to_string()), ErrorReason::InvalidSignature);

    // An offer with another domain than the token's.
    for (field, reason_of) in
        [("name", ErrorReason::TokenNameMismatch), ("version", ErrorReason::TokenVersionMismatch)]
    {
        let mut own = offer();
        own.extra.as_mut().unwrap().insert(field.to_owned(), json!("USDC"));
        let payment = world.payment(&own);
        let checked = check_exact(&payment.payload, &own, world.now()).unwrap();
        let error = facilitator.verify(&checked).await.unwrap_err();
        assert_eq!(reason(error, "USDC"), reason_of);
    }

    world.cancel(checked.terms().nonce);
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(reason(error, "used or cancelled"), ErrorReason::NonceAlreadyUsed);

    let unpaid = world.checked();
    world.empty_buyer().await;
    let error = facilitator.verify(&unpaid).await.unwrap_err();
    assert_eq!(reason(error, "has 0"), ErrorReason::InsufficientBalance);

    world.clock.advance(55);
    let error = facilitator.verify(&unpaid).await.unwrap_err();
    assert_eq!(reason(error, "validBefore"), ErrorReason::ValidBefore);
}

#[tokio::test]
async fn assets_and_sellers_are_allowlisted() {
    let world = World::start().await;
    let checked = world.checked();
    let facilitator = world.facilitator_with(|config| config.assets.clear());
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(reason(error, "not among"), ErrorReason::InvalidPaymentRequirements);
    let facilitator =
        world.facilitator_with(|config| config.pay_to = Some(vec![address(STRANGER)]));
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(reason(error, "not among"), ErrorReason::RecipientMismatch);

    // An allowed address without code, and one with code that is no such token.
    let nowhere = Address::repeat_byte(9);
    let constant = world.send(STRANGER, TxKind::Create, Bytes::from_static(&CONSTANT));
    let constant = world.chain.receipt(constant).await.unwrap().map(|_| created_by(STRANGER, 0));
    for (asset, expected) in [
        (nowhere, ErrorReason::AssetNotDeployed),
        (constant.unwrap(), ErrorReason::Eip3009NotSupported),
    ] {
        let asset_text = asset.to_checksum(None).parse().unwrap();
        let own = PaymentRequirements { asset: asset_text, ..offer() };
        let payment = world.payment(&own);
        let checked = check_exact(&payment.payload, &own, world.now()).unwrap();
        let facilitator = world.facilitator_with(|config| config.assets.push(asset));
        let error = facilitator.verify(&checked).await.unwrap_err();
        assert_eq!(reason(error, &asset.to_string()), expected);
    }
}

/// Constructor code of a contract that reverts whatever it is asked.
const CONSTANT: [u8; 16] =
    [0x60, 5, 0x80, 0x60, 11, 0x60, 0, 0x39, 0x60, 0, 0xf3, 0x60, 0, 0x80, 0xfd, 0];

fn created_by(account: u8, nonce: u64) -> Address {
    address(account).create(nonce)
}

#[tokio::test]
async fn a_payment_of_another_network_is_refused() {
    let world = World::start().await;
    let own = PaymentRequirements { network: "eip155:8453".parse().unwrap(), ..offer() };
    let payment = world.payment(&own);
    let checked = check_exact(&payment.payload, &own, world.now()).unwrap();
    let error = world.facilitator().verify(&checked).await.unwrap_err();
    assert_eq!(reason(error, "eip155:8453"), ErrorReason::NetworkMismatch);
}

/// What was stored and not settled before a restart is settled after it, by the same transaction if
/// one was sent.
#[tokio::test]
async fn stored_intents_survive_a_restart() {
    let world = World::start().await;
    let journal = Arc::new(MemoryJournal::default());
    let before = world.facilitator_over(journal.clone(), |_| {});
    let (first, second) = (world.intent(&before).await, world.intent(&before).await);
    world.dev.pause();
    let error = before.settle(&first).await.unwrap_err();
    let sent = error.transaction().unwrap();
    drop(before);
    let after = world.facilitator_over(journal, |_| {});
    after.resume().await.unwrap();
    assert_eq!(after.outgoing().unwrap().status().in_flight, 1);
    world.dev.resume().unwrap();
    assert_eq!(after.settle(&first).await.unwrap().transaction, Some(sent));
    let third = world.intent(&after).await;
    for intent in [&second, &third] {
        assert_ne!(after.settle(intent).await.unwrap().transaction, Some(sent));
    }
    assert_eq!(world.dev.nonce(address(OPERATOR)), 3);
}

/// An intent that was stored and never sent, and whose time is over, holds nothing up.
#[tokio::test]
async fn what_was_never_sent_holds_up_nobody() {
    let world = World::start().await;
    let lost = world.intent(&world.facilitator()).await;
    let after = world.facilitator();
    world.clock.advance(120);
    for _ in 0..2 {
        let error = after.reconcile(&lost).await.unwrap_err();
        assert_eq!(failed(error), (ErrorReason::ValidBefore, false));
    }
    let next = world.intent(&after).await;
    assert!(after.settle(&next).await.is_ok());
}

/// Off development chains it is the chain's time that counts, as deep as the confirmations: after an
/// outage a rollup makes blocks of the past.
#[tokio::test]
async fn expiry_goes_by_the_chains_time() {
    let world = World::start().await;
    let mut intent = world.intent(&world.facilitator()).await;
    let chain = world.disguised().await;
    intent.terms.network = chain.network().clone();
    let signer = AccountKey::from_bytes(&[9; 32]).unwrap();
    let signer = SettlementSigner::new(chain, signer, FeeLimits::default()).unwrap();
    let mut config = LocalConfig::new(vec![DEV_TOKEN]);
    config.confirmations = 2;
    let facilitator = LocalFacilitator::new(signer, Arc::<MemoryJournal>::default(), config);
    world.clock.advance(120);
    for expected in [false, false, true] {
        let error = facilitator.reconcile(&intent).await.unwrap_err();
        assert_eq!(matches!(error, SettleError::Failed { .. }), expected, "{error}");
        world.dev.mine().unwrap();
    }
}

/// A chain that is not the intent's shows nothing, and that proves nothing.
#[tokio::test]
async fn the_wrong_chain_is_not_believed() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let mut elsewhere = world.intent(&facilitator).await;
    elsewhere.terms.network = "eip155:8453".parse().unwrap();
    world.clock.advance(120);
    let error = facilitator.reconcile(&elsewhere).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    let error = facilitator.settle(&elsewhere).await.unwrap_err();
    assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
    assert_eq!(world.count("eth_sendRawTransaction"), 0);
}

/// Another process sends from the same account: what lost its nonce goes out under the next.
#[tokio::test]
async fn a_lost_nonce_is_made_up_for() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.timeout = Duration::from_secs(20));
    let warm = world.intent(&facilitator).await;
    facilitator.settle(&warm).await.unwrap();
    world.send(OPERATOR, TxKind::Call(address(STRANGER)), Bytes::new());
    let intent = world.intent(&facilitator).await;
    assert_eq!(facilitator.settle(&intent).await.unwrap().amount.0, PRICE);
    assert_eq!(world.dev.nonce(address(OPERATOR)), 3);
}

#[tokio::test]
async fn settlements_wait_for_their_confirmations() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.confirmations = 3);
    let intent = world.intent(&facilitator).await;
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(error.to_string().contains("1 of 3 confirmations"), "{error}");
    assert_eq!(error.reason(), ErrorReason::SettlementPending);
    assert_eq!(error.response(&intent.terms).transaction.len(), 66);
    world.dev.mine().unwrap();
    world.dev.mine().unwrap();
    assert!(facilitator.reconcile(&intent).await.is_ok());
}

/// Payments that come together are settled together, each by its own authorisation.
#[tokio::test]
async fn a_concurrent_burst_settles_completely() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.timeout = Duration::from_secs(20));
    let before = world.tokens_of(address(SELLER)).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (facilitator, checked) = (facilitator.clone(), world.checked());
        all.spawn(async move {
            let verified = facilitator.verify(&checked).await.unwrap();
            facilitator.settle(&verified.intent()).await.unwrap()
        });
    }
    let settled = all.join_all().await;
    assert_eq!(settled.len(), 12);
    let earned = U256::from(12 * PRICE);
    assert_eq!(world.tokens_of(address(SELLER)).await, before + earned);
    let transactions = facilitator.outgoing().unwrap().status().sent;
    assert!(transactions < 12, "{transactions} transactions");
}

/// Returns intents that will wait for one another: the chain makes no blocks until it is resumed.
async fn five_intents_on_a_paused_chain(
    world: &World,
    facilitator: &LocalFacilitator,
) -> Vec<SettlementIntent> {
    world.dev.pause();
    let mut intents = Vec::new();
    for _ in 0..5 {
        intents.push(world.intent(facilitator).await);
    }
    intents
}

/// Settles the first of several, and the others when it is under way: they wait for one another, and
/// not for it.
async fn settle_after_first(
    facilitator: &LocalFacilitator,
    (index, intent): (usize, &SettlementIntent),
) -> Result<Settled, SettleError> {
    while index > 0 && facilitator.outgoing().unwrap().status().sent == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    facilitator.settle(intent).await
}

/// In a batch one payment fails and the others do not; what fails is looked at by itself.
#[tokio::test]
async fn in_a_batch_each_payment_has_its_own_end() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.timeout = Duration::from_secs(20));
    // The first goes alone, and the others wait for one another meanwhile.
    let intents = five_intents_on_a_paused_chain(&world, &facilitator).await;
    let _cancelled = world.cancel(intents[2].terms.nonce);
    let settling = intents.iter().enumerate().map(|at| settle_after_first(&facilitator, at));
    let resume = async {
        while facilitator.outgoing().unwrap().status().sent == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.dev.resume().unwrap();
    };
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(settling), resume);
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(settled) => assert_eq!((index != 2, settled.amount.0), (true, PRICE)),
            Err(error) => {
                assert_eq!(index, 2, "{error}");
                assert_eq!(failed(error), (ErrorReason::NonceAlreadyUsed, false));
            }
        }
    }
    assert!(facilitator.outgoing().unwrap().status().sent < 5);
}

/// What failed in a batch for want of money is tried by itself, and told as what it is.
#[tokio::test]
async fn a_balance_that_is_gone_fails_in_a_batch_too() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.timeout = Duration::from_secs(20));
    let intents = five_intents_on_a_paused_chain(&world, &facilitator).await;
    world.empty_buyer().await;
    let settling = intents.iter().enumerate().map(|at| settle_after_first(&facilitator, at));
    let resume = async {
        while facilitator.outgoing().unwrap().status().sent < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.dev.resume().unwrap();
    };
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(settling), resume);
    for outcome in outcomes {
        assert_eq!(failed(outcome.unwrap_err()), (ErrorReason::InsufficientBalance, true));
    }
}

/// A transfer that is not deep enough reverts when it is estimated again, and has not failed.
#[tokio::test]
async fn a_third_partys_transaction_waits_for_its_confirmations() {
    let world = World::start().await;
    let facilitator = world.facilitator_with(|config| config.confirmations = 3);
    let checked = world.checked();
    let intent = facilitator.verify(&checked).await.unwrap().intent();
    let front_run = world.send_to_token(STRANGER, &transfer_call(checked.authorization().unwrap()));
    let error = facilitator.settle(&intent).await.unwrap_err();
    let told =
        matches!(error, SettleError::Pending { transaction: Some(sent), .. } if sent == front_run);
    assert!(told, "{error}");
    world.dev.mine().unwrap();
    world.dev.mine().unwrap();
    assert_eq!(facilitator.settle(&intent).await.unwrap().transaction, Some(front_run));
}

/// The rest of the world's keys may be anything; a nonce of one payer is not another's.
#[tokio::test]
async fn payers_do_not_share_nonces() {
    let world = World::start().await;
    let facilitator = world.facilitator();
    let own = offer();
    let required = required(&own);
    let chosen = assay_x402::ChosenOffer { index: 0, offer: &own };
    let mut transactions = Vec::new();
    for account in [BUYER, STRANGER] {
        let payer: AccountKey = key(account);
        let same = crate::support::Counting::default();
        let payment = pay(&required, chosen, &Map::new(), &payer, world.now(), &same).unwrap();
        let checked = check_exact(&payment.payload, &own, world.now()).unwrap();
        let verified = facilitator.verify(&checked).await.unwrap();
        let intent = verified.intent();
        transactions.push(facilitator.settle(&intent).await.unwrap().transaction);
        assert_eq!(intent.terms.nonce, B256::repeat_byte(1));
    }
    assert_ne!(transactions[0], transactions[1]);
}
