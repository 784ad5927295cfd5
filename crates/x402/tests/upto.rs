//! The scheme `upto`: settled for what was used, at most what is permitted.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, TxKind, U256};
use alloy_sol_types::SolCall;
use assay_chain::bindings::{Permit2, Token, UptoProxy};
use assay_chain::{PERMIT2, UPTO_PROXY, transfers_of};
use assay_devchain::DEV_TOKEN;
use assay_primitives::Amount;
use assay_x402::{
    ChosenOffer, EIP2612_GAS_SPONSORING, ErrorReason, Facilitator, FacilitatorError, HttpConfig,
    HttpFacilitator, LocalFacilitator, PayError, PaymentPayload, PaymentRequired,
    PaymentRequirements, Permit2Standing, RouterConfig, SettleError, SettleRequest, SettleResponse,
    Settled, SettlementIntent, SupportedResponse, UptoPayload, VerifyResponse, X402_VERSION,
    check_upto, eip2612_gas_sponsoring, facilitator_router, pay, pay_upto, permit_hash,
};
use serde_json::{Map, Value, json};

use crate::support::{
    BUYER, Fault, OPERATOR, PRICE, SELLER, STRANGER, World, address, key, offer, required, stored,
};

/// What is used of the price.
const USED: u128 = 321;

pub(crate) fn upto_offer() -> PaymentRequirements {
    let mut own = offer();
    own.scheme = "upto".to_owned();
    let extra = own.extra.as_mut().unwrap();
    extra.insert("assetTransferMethod".to_owned(), json!("permit2"));
    let facilitator = address(OPERATOR).to_checksum(None);
    extra.insert("facilitatorAddress".to_owned(), json!(facilitator));
    own
}

/// A world whose buyer has given Permit2 an allowance.
async fn world() -> World {
    let world = World::start().await;
    approve(&world, U256::MAX);
    world
}

/// A facilitator that waits as long as a busy machine takes.
fn patient(world: &World) -> LocalFacilitator {
    world.facilitator_with(|config| config.timeout = Duration::from_secs(20))
}

fn approve(world: &World, value: U256) {
    world.send_to_token(BUYER, &Token::approveCall { spender: PERMIT2, value });
}

fn payment(world: &World) -> PaymentPayload {
    let own = upto_offer();
    let chosen = ChosenOffer { index: 0, offer: &own };
    let buyer = key(BUYER);
    pay(&required(&own), chosen, &Map::new(), &buyer, world.now(), &world.randomness)
        .unwrap()
        .payload
}

async fn intent_of(
    world: &World,
    facilitator: &LocalFacilitator,
    payload: &PaymentPayload,
    actual: u128,
) -> SettlementIntent {
    let checked = check_upto(payload, &upto_offer(), world.now()).unwrap();
    let verified = facilitator.verify(&checked).await.unwrap();
    stored(&verified.intent_of(Amount(actual)).unwrap())
}

async fn intent(world: &World, facilitator: &LocalFacilitator, actual: u128) -> SettlementIntent {
    intent_of(world, facilitator, &payment(world), actual).await
}

/// Says what the token logged in a settlement: from whom, to whom, how much.
async fn charged(world: &World, settled: &Settled) -> Vec<(Address, Address, u128)> {
    let receipt = world.chain.receipt(settled.transaction.unwrap()).await.unwrap().unwrap();
    let transfers = transfers_of(&receipt, DEV_TOKEN);
    transfers.iter().map(|moved| (moved.from, moved.to, moved.value.to())).collect()
}

fn failed(error: SettleError) -> ErrorReason {
    match error {
        SettleError::Failed { reason, open_until: None, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn refused(error: FacilitatorError) -> ErrorReason {
    match error {
        FacilitatorError::Refused { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn invalidate(world: &World, intent: &SettlementIntent) {
    let nonce = U256::from_be_bytes(intent.terms.nonce.0);
    let mask = U256::ONE << (nonce & U256::from(255));
    let call = Permit2::invalidateUnorderedNoncesCall { wordPos: nonce >> 8, mask };
    world.send(BUYER, TxKind::Call(PERMIT2), call.abi_encode().into());
}

#[tokio::test]
async fn what_was_used_is_charged_once() {
    let world = world().await;
    let facilitator = patient(&world);
    for amount in [USED, PRICE] {
        let intent = intent(&world, &facilitator, amount).await;
        assert_eq!((intent.terms.amount.0, intent.amount().0), (PRICE, amount));
        let settled = facilitator.settle(&intent).await.unwrap();
        let expected = (address(BUYER), address(SELLER), amount);
        assert_eq!(charged(&world, &settled).await, [expected]);
        assert_eq!(settled.response().amount, Some(amount.to_string()));
        assert_eq!(settled.block.as_ref().unwrap().hash, world.dev.head().hash);
        // Settling and reconciling again say the same and move nothing.
        let head = world.dev.head();
        assert_eq!(facilitator.settle(&intent).await.unwrap(), settled);
        assert_eq!(facilitator.reconcile(&intent).await.unwrap(), settled);
        assert_eq!(world.dev.head(), head);
        // What is charged is part of what the permit was settled for.
        let mut other = intent.clone();
        other.request.payment_requirements.amount = Amount(amount - 1);
        let error = facilitator.reconcile(&other).await.unwrap_err();
        assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    }
}

#[tokio::test]
async fn more_than_is_permitted_is_not_settled() {
    let world = world().await;
    let facilitator = patient(&world);
    let checked = check_upto(&payment(&world), &upto_offer(), world.now()).unwrap();
    let verified = facilitator.verify(&checked).await.unwrap();
    let refusal = verified.intent_of(Amount(PRICE + 1)).unwrap_err();
    assert_eq!(refusal.reason(), ErrorReason::UptoSettlementExceedsAmount);
    assert!(refusal.to_string().contains("at most 1000 is permitted, got 1001"), "{refusal}");
    // Nor when it was stored so.
    let mut intent = verified.intent();
    intent.request.payment_requirements.amount = Amount(PRICE + 1);
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert_eq!(failed(error), ErrorReason::UptoSettlementExceedsAmount);
    assert_eq!(world.count("eth_sendRawTransaction"), 0);
}

#[tokio::test]
async fn nothing_used_is_settled_without_a_transaction() {
    let world = world().await;
    let facilitator = patient(&world);
    let head = world.dev.head();
    let intent = intent(&world, &facilitator, 0).await;
    for settled in [facilitator.settle(&intent).await, facilitator.reconcile(&intent).await] {
        let settled = settled.unwrap();
        assert_eq!((settled.transaction, settled.block.clone()), (None, None));
        let response = settled.response();
        assert!(response.success);
        assert_eq!((response.transaction.as_str(), response.amount.as_deref()), ("", Some("0")));
    }
    assert_eq!(world.dev.head(), head);
}

#[tokio::test]
async fn verification_names_what_stands_in_the_way() {
    let world = World::start().await;
    let facilitator = patient(&world);
    let checked = check_upto(&payment(&world), &upto_offer(), world.now()).unwrap();
    let verify = || facilitator.verify(&checked);
    let error = verify().await.unwrap_err();
    assert_eq!(error.status(), 412);
    assert!(error.to_string().contains("may move 0 of"), "{error}");
    assert_eq!(refused(error), ErrorReason::Permit2AllowanceRequired);
    approve(&world, U256::from(PRICE + 5));
    // What could be taken is what Permit2 may move of what there is.
    assert_eq!(verify().await.unwrap().balance(), Some(Amount(PRICE + 5)));

    // Another's signature, and a facilitator who is not the one that settles here.
    let mut payload = payment(&world);
    let wrong = json!(format!("0x{}1b", "11".repeat(64)));
    payload.payload.insert("signature".to_owned(), wrong);
    let unsigned = check_upto(&payload, &upto_offer(), world.now()).unwrap();
    let error = facilitator.verify(&unsigned).await.unwrap_err();
    assert_eq!(refused(error), ErrorReason::InvalidPermit2Signature);
    let mut own = upto_offer();
    let other = address(STRANGER).to_checksum(None);
    own.extra.as_mut().unwrap().insert("facilitatorAddress".to_owned(), json!(other));
    let (all, buyer) = (required(&own), key(BUYER));
    let chosen = ChosenOffer { index: 0, offer: &own };
    let elsewhere = pay(&all, chosen, &Map::new(), &buyer, world.now(), &world.randomness).unwrap();
    let elsewhere = check_upto(&elsewhere.payload, &own, world.now()).unwrap();
    let error = facilitator.verify(&elsewhere).await.unwrap_err();
    assert_eq!(refused(error), ErrorReason::UptoFacilitatorMismatch);

    world.empty_buyer().await;
    let error = verify().await.unwrap_err();
    assert_eq!(refused(error), ErrorReason::Permit2InsufficientBalance);
    world.clock.advance(55);
    assert_eq!(refused(verify().await.unwrap_err()), ErrorReason::Permit2DeadlineExpired);
}

#[tokio::test]
async fn a_used_permit_is_not_verified_again() {
    let world = world().await;
    let facilitator = patient(&world);
    let payload = payment(&world);
    let checked = check_upto(&payload, &upto_offer(), world.now()).unwrap();
    let intent = intent_of(&world, &facilitator, &payload, USED).await;
    facilitator.settle(&intent).await.unwrap();
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(refused(error), ErrorReason::Permit2InvalidNonce);
}

/// Nobody but its facilitator can carry a permit out: what fails here has failed for good.
#[tokio::test]
async fn what_is_gone_by_the_time_of_settlement_is_named() {
    let world = world().await;
    let facilitator = patient(&world);
    let lowered = intent(&world, &facilitator, USED).await;
    approve(&world, U256::from(USED - 1));
    let error = facilitator.settle(&lowered).await.unwrap_err();
    assert!(error.to_string().contains("Permit2 may move 320"), "{error}");
    assert_eq!(failed(error), ErrorReason::Permit2AllowanceRequired);

    approve(&world, U256::MAX);
    let spent = intent(&world, &facilitator, USED).await;
    world.empty_buyer().await;
    let error = facilitator.settle(&spent).await.unwrap_err();
    assert_eq!(failed(error), ErrorReason::Permit2InsufficientBalance);
    assert_eq!(world.count("eth_sendRawTransaction"), 0);
    world.clock.advance(62);
    let error = facilitator.reconcile(&spent).await.unwrap_err();
    assert_eq!(failed(error), ErrorReason::Permit2DeadlineExpired);
}

#[tokio::test]
async fn a_permit_that_was_given_up_is_not_settled() {
    let world = world().await;
    let facilitator = patient(&world);
    let intent = intent(&world, &facilitator, USED).await;
    invalidate(&world, &intent);
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(error.to_string().contains("cancelled the authorisation"), "{error}");
    assert_eq!(failed(error), ErrorReason::Permit2InvalidNonce);
}

/// The payer has the nonce used up by a permit for another facilitator, between verifying and settling.
/// A transfer of the same amount, for another purchase, does not count for it.
#[tokio::test]
async fn a_nonce_that_another_permit_took_is_not_paid() {
    let world = world().await;
    let facilitator = patient(&world);
    let other = intent(&world, &facilitator, USED).await;
    let payload = payment(&world);
    let intent = intent_of(&world, &facilitator, &payload, USED).await;
    let mut permit = UptoPayload::from_json(&payload.payload).unwrap().permit2_authorization;
    permit.witness.facilitator = address(STRANGER);
    permit.witness.to = address(BUYER);
    let call = UptoProxy::settleCall {
        permit: UptoProxy::PermitTransferFrom {
            permitted: UptoProxy::TokenPermissions {
                token: DEV_TOKEN,
                amount: permit.permitted.amount,
            },
            nonce: permit.nonce,
            deadline: permit.deadline,
        },
        amount: U256::from(USED),
        owner: permit.from,
        witness: UptoProxy::Witness {
            to: permit.witness.to,
            facilitator: permit.witness.facilitator,
            validAfter: permit.witness.valid_after,
        },
        signature: key(BUYER).sign_hash(&permit_hash(&permit, 31_337)).to_vec().into(),
    };
    world.send(STRANGER, TxKind::Call(UPTO_PROXY), call.abi_encode().into());
    let paid = facilitator.settle(&other).await.unwrap();
    assert_eq!(charged(&world, &paid).await.len(), 1);
    let error = facilitator.settle(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    // When its time is over no log that is missing can turn up any more.
    world.clock.advance(62);
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(error.to_string().contains("no transfer of 321"), "{error}");
    assert_eq!(failed(error), ErrorReason::Permit2InvalidNonce);
}

/// An answer that does not come leaves the outcome open, and the chain says it later.
#[tokio::test]
async fn an_unknown_outcome_is_reconciled() {
    let world = world().await;
    let facilitator = world.facilitator();
    let intent = intent(&world, &facilitator, USED).await;
    world.dev.pause();
    let error = facilitator.settle(&intent).await.unwrap_err();
    let sent = error.transaction();
    assert_eq!((error.reason(), sent.is_some()), (ErrorReason::SettlementPending, true));
    world.dev.resume().unwrap();
    // Another process, which has no journal of it.
    let after = world.facilitator();
    let settled = after.reconcile(&intent).await.unwrap();
    assert_eq!((settled.transaction, settled.amount.0), (sent, USED));
    world.break_line("eth_getTransactionByHash", Fault::Drop);
    let error = after.reconcile(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
}

/// The block of a settlement is gone, and another stands in its place.
#[tokio::test]
async fn a_block_of_another_branch_settles_nothing() {
    let world = world().await;
    let facilitator = patient(&world);
    let intent = intent(&world, &facilitator, USED).await;
    let settled = facilitator.settle(&intent).await.unwrap();
    let replaced = json!({
        "number": format!("{:#x}", settled.block.as_ref().unwrap().number),
        "hash": format!("0x{}", "77".repeat(32)),
        "timestamp": format!("{:#x}", world.now().as_seconds()),
        "baseFeePerGas": "0x1",
    });
    world.break_line("eth_getBlockByNumber", Fault::Say(replaced));
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 confirmations"), "{error}");
    world.mend_line();
    assert_eq!(facilitator.reconcile(&intent).await.unwrap(), settled);
}

/// The branch that holds a settlement is gone: it is carried out again, by the same transaction.
#[tokio::test]
async fn what_a_reorganisation_drops_is_settled_again() {
    let mut world = world().await;
    let facilitator = patient(&world);
    let intent = intent(&world, &facilitator, USED).await;
    let first = facilitator.settle(&intent).await.unwrap();
    world.reorganise().await;
    approve(&world, U256::MAX);
    let error = facilitator.reconcile(&intent).await.unwrap_err();
    assert!(matches!(error, SettleError::Pending { .. }), "{error}");
    let before = world.tokens_of(address(SELLER)).await;
    let again = facilitator.settle(&intent).await.unwrap();
    assert_eq!(again.transaction, first.transaction);
    assert_ne!(again.block, first.block);
    let expected = (address(BUYER), address(SELLER), USED);
    assert_eq!(charged(&world, &again).await, [expected]);
    assert_eq!(world.tokens_of(address(SELLER)).await, before + U256::from(USED));
}

/// Through a facilitator of others, with a chain to look at and without one.
#[tokio::test]
async fn a_remote_facilitator_settles_less() {
    let world = world().await;
    let (clock, tasks) = (world.clock.clone(), world.tasks.clone());
    let local = Arc::new(patient(&world));
    let router = facilitator_router(local, clock, tasks, RouterConfig::default());
    let url = world.serve(router).await;
    for chain in [Some(world.chain.clone()), None] {
        let config = HttpConfig::new(url.parse().unwrap());
        let remote = HttpFacilitator::new(config, chain.clone()).unwrap();
        let before = world.tokens_of(address(SELLER)).await;
        for (amount, moves) in [(USED, true), (0, false)] {
            let checked = check_upto(&payment(&world), &upto_offer(), world.now()).unwrap();
            let verified = remote.verify(&checked).await.unwrap();
            let intent = stored(&verified.intent_of(Amount(amount)).unwrap());
            let settled = remote.settle(&intent).await.unwrap();
            assert_eq!((settled.amount.0, settled.transaction.is_some()), (amount, moves));
            assert_eq!(settled.block.is_some(), moves && chain.is_some());
        }
        assert_eq!(world.tokens_of(address(SELLER)).await, before + U256::from(USED));
    }
}

/// The key that permits name is the one that settles them.
#[tokio::test]
async fn another_key_sends_nothing() {
    let world = world().await;
    let intent = intent(&world, &world.facilitator(), USED).await;
    let config = assay_x402::LocalConfig::new(vec![DEV_TOKEN]);
    let journal = Arc::<assay_chain::MemoryJournal>::default();
    let later = LocalFacilitator::new(world.signer(STRANGER), journal, config);
    let error = later.settle(&intent).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SettleError::Unreachable { .. }), "{text}");
    for account in [OPERATOR, STRANGER] {
        assert!(text.contains(&address(account).to_string()), "{text}");
    }
    assert_eq!(world.count("eth_sendRawTransaction"), 0);
}

fn sponsored() -> PaymentRequired {
    let mut required = required(&upto_offer());
    let extensions = [(EIP2612_GAS_SPONSORING.to_owned(), eip2612_gas_sponsoring())];
    required.extensions = Some(extensions.into_iter().collect());
    required
}

async fn pay_sponsored(
    world: &World,
    required: &PaymentRequired,
) -> Result<PaymentPayload, PayError> {
    let standing = Permit2Standing::read(&world.chain, DEV_TOKEN, address(BUYER)).await.unwrap();
    let chosen = ChosenOffer { index: 0, offer: &required.accepts[0] };
    let when = (world.now(), &world.randomness as &dyn assay_primitives::Randomness);
    pay_upto(required, chosen, &Map::new(), &key(BUYER), when, &standing)
        .map(|payment| payment.payload)
}

#[tokio::test]
async fn the_tokens_own_permit_is_handed_in() {
    let world = World::start().await;
    let facilitator = patient(&world);
    let undeclared = pay_sponsored(&world, &required(&upto_offer())).await.unwrap_err();
    assert!(matches!(undeclared, PayError::Allowance { .. }), "{undeclared}");

    let payload = pay_sponsored(&world, &sponsored()).await.unwrap();
    let intent = intent_of(&world, &facilitator, &payload, USED).await;
    let settled = facilitator.settle(&intent).await.unwrap();
    let expected = (address(BUYER), address(SELLER), USED);
    assert_eq!(charged(&world, &settled).await, [expected]);
    assert_eq!(facilitator.reconcile(&intent).await.unwrap(), settled);
    let left = world.chain.allowance(DEV_TOKEN, address(BUYER), PERMIT2).await.unwrap();
    assert_eq!(left, U256::from(PRICE - USED));

    // With an allowance none goes along.
    approve(&world, U256::MAX);
    let payload = pay_sponsored(&world, &sponsored()).await.unwrap();
    let info = &payload.extensions.as_ref().unwrap()[EIP2612_GAS_SPONSORING]["info"];
    assert_eq!(info.get("signature"), None);
    let with_allowance = intent_of(&world, &facilitator, &payload, USED).await;
    assert_eq!(facilitator.settle(&with_allowance).await.unwrap().amount.0, USED);
}

#[tokio::test]
async fn a_tokens_own_permit_that_is_bad_gives_no_allowance() {
    let world = World::start().await;
    let facilitator = patient(&world);
    let mut payload = pay_sponsored(&world, &sponsored()).await.unwrap();
    let extensions = payload.extensions.as_mut().unwrap();
    let info = extensions[EIP2612_GAS_SPONSORING]["info"].as_object_mut().unwrap();
    info.insert("signature".to_owned(), json!(format!("0x{}1b", "11".repeat(64))));
    let checked = check_upto(&payload, &upto_offer(), world.now()).unwrap();
    let error = facilitator.verify(&checked).await.unwrap_err();
    assert_eq!(refused(error), ErrorReason::Permit2AllowanceRequired);
}

#[tokio::test]
async fn a_facilitator_is_served_to_others() {
    let world = world().await;
    let facilitator = Arc::new(patient(&world));
    let (clock, tasks) = (world.clock.clone(), world.tasks.clone());
    let url =
        world.serve(facilitator_router(facilitator, clock, tasks, RouterConfig::default())).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let supported = http.get(format!("{url}/supported")).send().await.unwrap();
    let supported: SupportedResponse = supported.json().await.unwrap();
    let kind = supported.kinds.iter().find(|kind| kind.scheme == "upto").unwrap();
    let named = &kind.extra.as_ref().unwrap()["facilitatorAddress"];
    assert_eq!(named, &json!(address(OPERATOR).to_checksum(None)));
    assert_eq!(supported.extensions, [EIP2612_GAS_SPONSORING]);

    let request = |payload: &PaymentPayload, amount: u128| -> Value {
        let actual = PaymentRequirements { amount: Amount(amount), ..upto_offer() };
        serde_json::to_value(SettleRequest {
            x402_version: X402_VERSION,
            payment_payload: payload.clone(),
            payment_requirements: actual,
        })
        .unwrap()
    };
    let settle = |body: Value| {
        let post = http.post(format!("{url}/settle")).json(&body).send();
        async move { post.await.unwrap().json::<SettleResponse>().await.unwrap() }
    };
    let payload = payment(&world);
    let verify = http.post(format!("{url}/verify")).json(&request(&payload, PRICE)).send();
    assert!(verify.await.unwrap().json::<VerifyResponse>().await.unwrap().is_valid);
    let more = settle(request(&payload, PRICE + 1)).await;
    assert_eq!(more.error_reason, Some(ErrorReason::UptoSettlementExceedsAmount));
    let settled = settle(request(&payload, USED)).await;
    assert_eq!((settled.success, settled.amount.as_deref()), (true, Some("321")));
    // Whatever is asked for afterwards, it is settled once.
    assert_eq!(settle(request(&payload, PRICE)).await, settled);
    let nothing = settle(request(&payment(&world), 0)).await;
    assert_eq!((nothing.success, nothing.transaction.as_str()), (true, ""));
    assert_eq!(world.count("eth_sendRawTransaction"), 1);
}
