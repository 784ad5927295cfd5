//! What every backend has to do. A backend's own file calls each of these on a store of its own.

use assay_primitives::{Digest, Timestamp, TransactionId};
use assay_store::{
    Commitment, Holder, Lease, OutboxEntry, OutboxKind, OutgoingRow, OutgoingStore, Payment,
    Refund, Reservation, ReserveOutcome, SettledBlock, SettlementState, SettlementUpdate,
    StoreError, TransactionState, TransactionStore,
};

/// Runs a test of the contract over a backend: `contract_tests!(open)` where `open` gives a store
/// and what has to outlive it.
macro_rules! contract_tests {
    ($open:path) => {
        contract_tests! { $open:
            a_transaction_goes_its_way,
            a_payment_is_one_transactions,
            a_released_payment_is_free_again,
            of_many_reservations_one_holds,
            steps_begin_in_their_states,
            a_failure_is_watched_and_then_known,
            what_failed_may_be_settled_after_all,
            a_settlement_brings_its_manifest,
            open_transactions_are_listed_by_age,
            states_are_counted,
            contents_are_erased_once_it_has_ended,
            what_ended_is_erased_by_its_age,
            an_intent_is_erased_when_nothing_needs_it,
            the_outbox_has_no_gaps,
            what_is_not_there,
            a_reorganisation_opens_what_was_settled,
            a_refund_is_recorded_once_and_stays_settled,
            own_transactions_are_kept_until_they_are_closed,
            jobs_are_claimed_by_one,
            a_claim_that_was_lost_changes_nothing,
            a_new_process_finds_what_was_left,
            price_lists_are_kept,
        }
    };
    ($open:path: $($test:ident,)*) => {$(
        #[tokio::test]
        async fn $test() {
            let (store, _keep) = $open().await;
            $crate::contract::$test(&store).await;
        }
    )*};
}

pub(crate) use contract_tests;

pub(crate) fn id(n: u8) -> TransactionId {
    format!("01890a5d-ac96-774b-bcce-b302099a80{n:02x}").parse().unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

pub(crate) fn payment(nonce: u8) -> Payment {
    Payment {
        network: "eip155:31337".parse().unwrap(),
        asset: "0x5fe8d7270f11f9ea5af4d68f6ba63cc478996ee6".parse().unwrap(),
        payer: "0x43630aae77454a8b3affd1b83441e9ad8f799464".parse().unwrap(),
        nonce: format!("0x{nonce:064x}"),
    }
}

pub(crate) fn reservation(n: u8) -> Reservation {
    Reservation {
        id: id(n),
        payment: payment(n),
        payload: format!("payment {n}").into_bytes(),
        binding: Digest([n; 32]),
        access_token_hash: Digest([n ^ 0xff; 32]),
        secret: [n; 32],
        queue: "signed".to_owned(),
        request: format!("request {n}").into_bytes(),
        echo: format!("echo {n}").into_bytes(),
        location: Some(Digest([n ^ 0x0f; 32])),
        is_resumable: true,
        deadline: at(1_000),
        leased_until: Some(at(30)),
        at: at(n.into()),
    }
}

/// The claim that a transaction begins with.
pub(crate) fn lease(n: u8) -> Lease {
    Lease { id: id(n), number: 1 }
}

pub(crate) fn commitment(n: u8) -> Commitment {
    Commitment {
        receipt: format!("receipt {n}").into_bytes(),
        receipt_digest: Digest::of(&[n]),
        key_manifest: b"manifest".to_vec(),
        items: format!("items {n}").into_bytes(),
        intent: format!("intent {n}").into_bytes(),
        at: at(100),
    }
}

pub(crate) fn update(n: u8, state: SettlementState) -> SettlementUpdate {
    SettlementUpdate {
        state,
        record: format!("record {n}").into_bytes(),
        record_digest: Digest::of(&[n, n]),
        key_manifest: b"manifest".to_vec(),
        response: format!("response {n}").into_bytes(),
        block: None,
        at: at(200),
    }
}

/// Takes a transaction as far as its commitment.
pub(crate) async fn committed(store: &dyn Store, n: u8) {
    let outcome = store.reserve(reservation(n)).await.unwrap();
    assert_eq!(outcome, ReserveOutcome::Reserved);
    store.commit(lease(n), commitment(n)).await.unwrap();
}

/// Asks who has a payment, by what it is bound to.
pub(crate) async fn held(store: &dyn Store, n: u8) -> Option<Holder> {
    store.holder(&payment(n), Digest([n; 32])).await.unwrap()
}

async fn state(store: &dyn Store, n: u8) -> TransactionState {
    store.transaction(id(n)).await.unwrap().unwrap().state
}

/// Checks that a step was refused because of the state it found.
fn is_misuse(result: Result<(), StoreError>, expected: &str, found: &str) {
    match result {
        Err(StoreError::State { expected: e, found: f, .. }) => {
            assert_eq!((e, f.as_str()), (expected, found));
        }
        other => panic!("expected {expected}, found {found}: {other:?}"),
    }
}

pub(crate) async fn a_transaction_goes_its_way(store: &dyn Store) {
    assert_eq!(store.reserve(reservation(1)).await.unwrap(), ReserveOutcome::Reserved);
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.id, row.state), (id(1), TransactionState::Reserved));
    assert_eq!(row.payload, b"payment 1");
    assert_eq!(row.access_token_hash, Digest([0xfe; 32]));
    assert_eq!((&row.receipt, &row.key_manifest, &row.items), (&None, &None, &None));
    assert_eq!((&row.intent, &row.response, row.records.len()), (&None, &None, 0));

    store.commit(lease(1), commitment(1)).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(row.state, TransactionState::Committed);
    assert_eq!(row.receipt.as_deref(), Some(b"receipt 1".as_slice()));
    assert_eq!(row.key_manifest.as_deref(), Some(b"manifest".as_slice()));
    assert_eq!(row.items.as_deref(), Some(b"items 1".as_slice()));
    assert_eq!(row.intent.as_deref(), Some(b"intent 1".as_slice()));

    store.settle(id(1), update(1, SettlementState::Settled)).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(row.state, TransactionState::Settled);
    assert_eq!(row.intent.as_deref(), Some(b"intent 1".as_slice()));
    assert_eq!(row.response.as_deref(), Some(b"response 1".as_slice()));
    assert_eq!(row.records, [b"record 1"]);
}

pub(crate) async fn a_payment_is_one_transactions(store: &dyn Store) {
    let payment = payment(1);
    assert_eq!(store.holder(&payment, Digest([1; 32])).await.unwrap(), None);
    store.reserve(reservation(1)).await.unwrap();
    let second = Reservation { payment: payment.clone(), ..reservation(2) };
    let is_held = async |state| {
        for (n, same_binding) in [(1, Some(true)), (2, Some(false))] {
            let holder = Holder { id: id(1), state, same_binding };
            let binding = Digest([n; 32]);
            assert_eq!(store.holder(&payment, binding).await.unwrap(), Some(holder));
            let again = Reservation { binding, ..second.clone() };
            assert_eq!(store.reserve(again).await.unwrap(), ReserveOutcome::Taken(holder));
        }
    };
    is_held(TransactionState::Reserved).await;
    store.commit(lease(1), commitment(1)).await.unwrap();
    is_held(TransactionState::Committed).await;
    store.settle(id(1), update(1, SettlementState::Settled)).await.unwrap();
    is_held(TransactionState::Settled).await;
    assert!(store.transaction(id(2)).await.unwrap().is_none(), "a refused reservation was stored");
    // What differs in any part is another payment.
    for (n, edit) in [
        (3, Payment { network: "eip155:8453".parse().unwrap(), ..payment.clone() }),
        (4, Payment { asset: "0x01".parse().unwrap(), ..payment.clone() }),
        (5, Payment { payer: "0x01".parse().unwrap(), ..payment.clone() }),
        (6, Payment { nonce: "0x01".to_owned(), ..payment.clone() }),
    ] {
        assert_eq!(store.holder(&edit, Digest([1; 32])).await.unwrap(), None);
        let other = Reservation { payment: edit, ..reservation(n) };
        assert_eq!(store.reserve(other).await.unwrap(), ReserveOutcome::Reserved);
    }
}

pub(crate) async fn a_released_payment_is_free_again(store: &dyn Store) {
    store.reserve(reservation(1)).await.unwrap();
    store.release(id(1), None).await.unwrap();
    assert_eq!(state(store, 1).await, TransactionState::Released);
    assert_eq!(held(store, 1).await, None);
    let again = Reservation { payment: payment(1), ..reservation(2) };
    assert_eq!(store.reserve(again).await.unwrap(), ReserveOutcome::Reserved);
    assert_eq!(held(store, 1).await.map(|holder| holder.id), Some(id(2)));
    // Released twice: two released transactions may share a payment, and one may hold it.
    store.release(id(2), None).await.unwrap();
    let third = Reservation { payment: payment(1), ..reservation(3) };
    assert_eq!(store.reserve(third).await.unwrap(), ReserveOutcome::Reserved);
    let fourth = Reservation { payment: payment(1), ..reservation(4) };
    let outcome = store.reserve(fourth).await.unwrap();
    assert!(matches!(outcome, ReserveOutcome::Taken(Holder { id: holder, .. }) if holder == id(3)));
}

pub(crate) async fn of_many_reservations_one_holds(store: &dyn Store) {
    let reservations: Vec<Reservation> =
        (1..=32).map(|n| Reservation { payment: payment(0), ..reservation(n) }).collect();
    let outcomes =
        futures_util::future::join_all(reservations.iter().cloned().map(|one| store.reserve(one)))
            .await;
    let held: Vec<usize> =
        (0..32).filter(|n| matches!(outcomes[*n], Ok(ReserveOutcome::Reserved))).collect();
    assert_eq!(held.len(), 1);
    let winner = reservations[held[0]].id;
    for outcome in &outcomes {
        match outcome.as_ref().unwrap() {
            ReserveOutcome::Reserved => {}
            ReserveOutcome::Taken(holder) => assert_eq!(holder.id, winner),
        }
    }
}

pub(crate) async fn steps_begin_in_their_states(store: &dyn Store) {
    let settled = update(1, SettlementState::Settled);
    let nothing = "no such transaction";
    is_misuse(store.release(id(1), None).await, "reserved", nothing);
    is_misuse(store.commit(lease(1), commitment(1)).await, "reserved", nothing);
    is_misuse(store.fail(id(1), b"x".to_vec()).await, "committed", nothing);
    is_misuse(store.settle(id(1), settled.clone()).await, "committed", nothing);

    store.reserve(reservation(1)).await.unwrap();
    is_misuse(store.fail(id(1), b"x".to_vec()).await, "committed", "reserved");
    is_misuse(store.settle(id(1), settled.clone()).await, "committed", "reserved");

    store.commit(lease(1), commitment(1)).await.unwrap();
    is_misuse(store.release(id(1), None).await, "reserved", "committed");
    is_misuse(store.commit(lease(1), commitment(2)).await, "reserved", "committed");

    store.settle(id(1), settled.clone()).await.unwrap();
    is_misuse(store.release(id(1), None).await, "reserved", "settled");
    is_misuse(store.commit(lease(1), commitment(2)).await, "reserved", "settled");
    is_misuse(store.fail(id(1), b"x".to_vec()).await, "committed", "settled");
    is_misuse(
        store.settle(id(1), update(2, SettlementState::Failed)).await,
        "committed",
        "settled",
    );

    store.reserve(reservation(2)).await.unwrap();
    store.release(id(2), None).await.unwrap();
    is_misuse(store.release(id(2), None).await, "reserved", "released");
    is_misuse(store.commit(lease(2), commitment(2)).await, "reserved", "released");

    // What was refused left nothing behind.
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.receipt.unwrap(), row.intent.unwrap()),
        (b"receipt 1".to_vec(), b"intent 1".to_vec())
    );
    assert_eq!((row.response.unwrap(), row.records.len()), (b"response 1".to_vec(), 1));
    assert_eq!(store.outbox(0, 10).await.unwrap().len(), 2);
}

pub(crate) async fn a_failure_is_watched_and_then_known(store: &dyn Store) {
    committed(store, 1).await;
    store.fail(id(1), b"told".to_vec()).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.response.unwrap()), (TransactionState::Failing, b"told".to_vec()));
    is_misuse(store.fail(id(1), b"x".to_vec()).await, "committed", "failing");
    is_misuse(store.release(id(1), None).await, "reserved", "failing");
    let holder = held(store, 1).await.unwrap();
    assert_eq!(holder.state, TransactionState::Failing);
    store.settle(id(1), update(1, SettlementState::Failed)).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.records.len()), (TransactionState::Failed, 1));
    is_misuse(
        store.settle(id(1), update(1, SettlementState::Settled)).await,
        "committed",
        "failed",
    );
    // A failed payment stays used.
    assert!(held(store, 1).await.is_some());
}

pub(crate) async fn what_failed_may_be_settled_after_all(store: &dyn Store) {
    committed(store, 1).await;
    store.fail(id(1), b"told".to_vec()).await.unwrap();
    store.settle(id(1), update(1, SettlementState::Settled)).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(row.state, TransactionState::Settled);
    assert_eq!(row.response.unwrap(), b"response 1");
}

pub(crate) async fn a_settlement_brings_its_manifest(store: &dyn Store) {
    committed(store, 1).await;
    committed(store, 2).await;
    let newer = SettlementUpdate {
        key_manifest: b"newer manifest".to_vec(),
        ..update(1, SettlementState::Settled)
    };
    store.settle(id(1), newer).await.unwrap();
    let manifest = async |n| store.transaction(id(n)).await.unwrap().unwrap().key_manifest.unwrap();
    assert_eq!(manifest(1).await, b"newer manifest");
    assert_eq!(manifest(2).await, b"manifest", "another transaction's manifest was changed");
}

pub(crate) async fn open_transactions_are_listed_by_age(store: &dyn Store) {
    assert_eq!(store.open_after(None, 10).await.unwrap(), []);
    for n in [5, 1, 4, 3, 2, 6] {
        store.reserve(reservation(n)).await.unwrap();
    }
    for n in [2, 3, 4, 5] {
        store.commit(lease(n), commitment(n)).await.unwrap();
    }
    store.fail(id(3), b"told".to_vec()).await.unwrap();
    store.settle(id(4), update(4, SettlementState::Settled)).await.unwrap();
    store.settle(id(5), update(5, SettlementState::Failed)).await.unwrap();
    store.release(id(6), None).await.unwrap();
    let open = [
        (id(1), TransactionState::Reserved),
        (id(2), TransactionState::Committed),
        (id(3), TransactionState::Failing),
    ];
    assert_eq!(store.open_after(None, 10).await.unwrap(), open);
    assert_eq!(store.open_after(None, 2).await.unwrap(), open[..2]);
    assert_eq!(store.open_after(Some(id(2)), 10).await.unwrap(), open[2..]);
    assert_eq!(store.open_after(Some(id(3)), 10).await.unwrap(), []);
}

pub(crate) async fn states_are_counted(store: &dyn Store) {
    let counts = async || {
        let mut counts = store.count_by_state().await.unwrap();
        counts.sort_by_key(|(state, _)| state.as_str());
        assert_eq!(counts.len(), TransactionState::ALL.len(), "every state is there, once");
        counts.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, []);
    for n in 1..=4 {
        store.reserve(reservation(n)).await.unwrap();
    }
    store.reserve(Reservation { payment: payment(1), ..reservation(9) }).await.unwrap();
    assert_eq!(counts().await, [(TransactionState::Reserved, 4)]);
    store.release(id(1), None).await.unwrap();
    for n in [2, 3] {
        store.commit(lease(n), commitment(n)).await.unwrap();
    }
    store.fail(id(2), b"told".to_vec()).await.unwrap();
    store.settle(id(3), update(3, SettlementState::Settled)).await.unwrap();
    let expected = [
        (TransactionState::Failing, 1),
        (TransactionState::Released, 1),
        (TransactionState::Reserved, 1),
        (TransactionState::Settled, 1),
    ];
    assert_eq!(counts().await, expected);
}

pub(crate) async fn contents_are_erased_once_it_has_ended(store: &dyn Store) {
    is_misuse(store.erase(id(1), at(300)).await, "settled", "no such transaction");
    store.reserve(reservation(1)).await.unwrap();
    is_misuse(store.erase(id(1), at(300)).await, "settled", "reserved");
    store.commit(lease(1), commitment(1)).await.unwrap();
    is_misuse(store.erase(id(1), at(300)).await, "settled", "committed");
    committed(store, 2).await;
    store.fail(id(2), b"told".to_vec()).await.unwrap();
    is_misuse(store.erase(id(2), at(300)).await, "settled", "failing");
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.items.unwrap(), row.erased_at), (b"items 1".to_vec(), None));

    store.settle(id(1), update(1, SettlementState::Settled)).await.unwrap();
    store.settle(id(2), update(2, SettlementState::Failed)).await.unwrap();
    store.reserve(reservation(3)).await.unwrap();
    store.release(id(3), None).await.unwrap();
    for n in [1, 2, 3] {
        store.erase(id(n), at(300)).await.unwrap();
        // Its time stays that of the first.
        store.erase(id(n), at(400)).await.unwrap();
        let row = store.transaction(id(n)).await.unwrap().unwrap();
        assert_eq!((row.items, row.payload, row.erased_at), (None, Vec::new(), Some(at(300))));
    }
    // What is not contents stays: what is public, and that the payment is used.
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.network, row.payer), (payment(1).network, payment(1).payer));
    assert_eq!((row.state, row.receipt.unwrap()), (TransactionState::Settled, b"receipt 1".into()));
    assert_eq!(row.records, [b"record 1"]);
    assert_eq!(
        (row.response.unwrap(), row.intent.unwrap()),
        (b"response 1".into(), b"intent 1".into())
    );
    assert_eq!(row.access_token_hash, Digest([0xfe; 32]));
    // What it is bound to would confirm a guess: nobody can tell any more.
    let state = TransactionState::Settled;
    let holder = Holder { id: id(1), state, same_binding: None };
    assert_eq!(held(store, 1).await, Some(holder));
    let again = Reservation { payment: payment(1), ..reservation(4) };
    assert_eq!(store.reserve(again).await.unwrap(), ReserveOutcome::Taken(holder));
    assert_eq!(store.outbox(0, 10).await.unwrap().len(), 4);
}

pub(crate) async fn what_ended_is_erased_by_its_age(store: &dyn Store) {
    for n in 1..=6 {
        store.reserve(reservation(n)).await.unwrap();
    }
    for n in [2, 3, 4, 5] {
        store.commit(lease(n), commitment(n)).await.unwrap();
    }
    for (n, state, seconds) in
        [(2, SettlementState::Settled, 1_000), (3, SettlementState::Failed, 900)]
    {
        let update = SettlementUpdate { at: at(seconds), ..update(n, state) };
        store.settle(id(n), update).await.unwrap();
    }
    store.fail(id(4), b"told".to_vec()).await.unwrap();
    // Released: its time is its beginning.
    store.release(id(6), None).await.unwrap();
    let is_erased = async |n| store.transaction(id(n)).await.unwrap().unwrap().erased_at.is_some();
    assert_eq!(store.erase_ended(at(5), at(2_000), 10).await.unwrap(), 0);
    assert_eq!(store.erase_ended(at(999), at(2_000), 1).await.unwrap(), 1);
    assert!(is_erased(6).await && !is_erased(3).await, "the oldest first");
    assert_eq!(store.erase_ended(at(999), at(2_000), 10).await.unwrap(), 1);
    assert!(is_erased(3).await && !is_erased(2).await);
    assert_eq!(store.erase_ended(at(1_000), at(2_000), 10).await.unwrap(), 1);
    assert_eq!(store.erase_ended(at(9_999), at(9_999), 10).await.unwrap(), 0);
    // 1 is reserved, 4 is watched, 5 is to be settled: none of them has ended.
    for (n, expected) in [(1, false), (2, true), (3, true), (4, false), (5, false), (6, true)] {
        assert_eq!(is_erased(n).await, expected, "{n}");
    }
}

/// A settlement that may still be taken back is carried out by its intent again.
pub(crate) async fn an_intent_is_erased_when_nothing_needs_it(store: &dyn Store) {
    let block = |number: u64| Some(SettledBlock { number, hash: number.to_string() });
    let settled = |n, number| SettlementUpdate {
        block: block(number),
        ..update(n, SettlementState::Settled)
    };
    for n in 1..=6 {
        committed(store, n).await;
    }
    for (n, number) in [(1, 10), (2, 11), (3, 10), (6, 10)] {
        store.settle(id(n), settled(n, number)).await.unwrap();
    }
    // Taken back, and settled again in a later block.
    store.settle(id(6), update(7, SettlementState::Reorged)).await.unwrap();
    store.settle(id(6), SettlementUpdate { at: at(201), ..settled(8, 12) }).await.unwrap();
    store.settle(id(4), update(4, SettlementState::Failed)).await.unwrap();
    let has_intent = async |n| store.transaction(id(n)).await.unwrap().unwrap().intent.is_some();
    // Not before the contents are.
    assert_eq!(store.erase_intents(u64::MAX, 10).await.unwrap(), 0);
    for n in [1, 2, 4, 6] {
        store.erase(id(n), at(300)).await.unwrap();
        assert!(has_intent(n).await, "{n}");
    }
    assert_eq!(store.erase_intents(11, 1).await.unwrap(), 1);
    assert_eq!(store.erase_intents(11, 10).await.unwrap(), 1);
    assert_eq!(store.erase_intents(11, 10).await.unwrap(), 0);
    for (n, expected) in [(1, false), (2, true), (3, true), (4, false), (5, true), (6, true)] {
        assert_eq!(has_intent(n).await, expected, "{n}");
    }
    // What is taken back meanwhile keeps it, and what fails then needs it no more.
    store.settle(id(2), update(9, SettlementState::Reorged)).await.unwrap();
    assert_eq!(store.erase_intents(12, 10).await.unwrap(), 0);
    store.settle(id(2), update(10, SettlementState::Failed)).await.unwrap();
    assert_eq!(store.erase_intents(12, 10).await.unwrap(), 1);
    assert_eq!(store.erase_intents(13, 10).await.unwrap(), 1);
    assert!(!has_intent(2).await && !has_intent(6).await);
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.receipt.unwrap()), (TransactionState::Settled, b"receipt 1".into()));
}

pub(crate) async fn the_outbox_has_no_gaps(store: &dyn Store) {
    assert_eq!(store.outbox(0, 10).await.unwrap(), []);
    committed(store, 1).await;
    // A step that is refused writes nothing and takes no number.
    assert!(store.commit(lease(1), commitment(1)).await.is_err());
    committed(store, 2).await;
    store.settle(id(2), update(2, SettlementState::Settled)).await.unwrap();
    store.settle(id(1), update(1, SettlementState::Failed)).await.unwrap();
    let entry = |sequence, kind, n, digest, seconds| OutboxEntry {
        sequence,
        kind,
        transaction: id(n),
        digest,
        at: at(seconds),
    };
    let expected = [
        entry(1, OutboxKind::Receipt, 1, Digest::of(&[1]), 100),
        entry(2, OutboxKind::Receipt, 2, Digest::of(&[2]), 100),
        entry(3, OutboxKind::Settlement, 2, Digest::of(&[2, 2]), 200),
        entry(4, OutboxKind::Settlement, 1, Digest::of(&[1, 1]), 200),
    ];
    assert_eq!(store.outbox(0, 10).await.unwrap(), expected);
    assert_eq!(store.outbox(1, 2).await.unwrap(), expected[1..3]);
    assert_eq!(store.outbox(4, 10).await.unwrap(), []);
    assert_eq!(store.outbox(u64::MAX, 10).await.unwrap(), []);
}

pub(crate) async fn what_is_not_there(store: &dyn Store) {
    assert!(store.transaction(id(1)).await.unwrap().is_none());
    assert_eq!(held(store, 1).await, None);
}

/// A settlement is found by its block; when that is gone it is open again, and settled by another.
pub(crate) async fn a_reorganisation_opens_what_was_settled(store: &dyn Store) {
    let block = |number: u64, hash: &str| SettledBlock { number, hash: hash.to_owned() };
    let settled =
        |n, block| SettlementUpdate { block: Some(block), ..update(n, SettlementState::Settled) };
    for (n, number) in [(1, 7), (2, 7), (3, 9)] {
        committed(store, n).await;
        store.settle(id(n), settled(n, block(number, "a"))).await.unwrap();
    }
    assert_eq!(store.settled_blocks(7).await.unwrap(), [block(7, "a"), block(9, "a")]);
    assert_eq!(store.settled_blocks(8).await.unwrap(), [block(9, "a")]);
    assert_eq!(store.settled_in(&block(7, "a")).await.unwrap(), [id(1), id(2)]);
    assert_eq!(store.settled_in(&block(7, "b")).await.unwrap(), []);

    let lost = update(4, SettlementState::Reorged);
    store.settle(id(1), lost.clone()).await.unwrap();
    assert_eq!(state(store, 1).await, TransactionState::Reorged);
    is_misuse(store.settle(id(1), lost).await, "settled", "reorged");
    assert_eq!(store.settled_in(&block(7, "a")).await.unwrap(), [id(2)]);
    let open = store.open_after(None, 10).await.unwrap();
    assert_eq!(open, [(id(1), TransactionState::Reorged)]);
    store.settle(id(1), settled(5, block(8, "b"))).await.unwrap();
    assert_eq!(store.settled_in(&block(8, "b")).await.unwrap(), [id(1)]);
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.records.len()), (TransactionState::Settled, 3));
}

pub(crate) async fn own_transactions_are_kept_until_they_are_closed(store: &dyn Store) {
    let append = async |account: &str, nonce, content: &str| {
        let (account, content) = (account.to_owned(), content.as_bytes().to_vec());
        store.append_outgoing(OutgoingRow { account, nonce, content }).await.unwrap();
    };
    assert_eq!(store.highest_outgoing("a").await.unwrap(), None);
    append("a", 1, "one").await;
    append("a", 0, "zero").await;
    append("a", 0, "zero again").await;
    append("b", 5, "another's").await;
    assert_eq!(store.highest_outgoing("a").await.unwrap(), Some(1));
    let contents = [b"zero".to_vec(), b"zero again".to_vec(), b"one".to_vec()];
    assert_eq!(store.open_outgoing("a").await.unwrap(), contents);
    store.close_outgoing("a", 0).await.unwrap();
    store.close_outgoing("a", 0).await.unwrap();
    assert_eq!(store.open_outgoing("a").await.unwrap(), contents[2..]);
    assert_eq!(store.outgoing_versions("a", 0).await.unwrap(), contents[..2]);
    assert_eq!(store.open_outgoing("b").await.unwrap(), [b"another's".to_vec()]);
    assert_eq!(store.outgoing_versions("b", 0).await.unwrap(), Vec::<Vec<u8>>::new());
}

/// A queued job is claimed by one, oldest first, and by another when the claim has ended.
pub(crate) async fn jobs_are_claimed_by_one(store: &dyn Store) {
    for n in [2, 1, 3] {
        let queued = Reservation { leased_until: None, ..reservation(n) };
        store.reserve(queued).await.unwrap();
    }
    store.reserve(Reservation { queue: "zkml".to_owned(), ..reservation(4) }).await.unwrap();
    let claim = async |now: u64, until: u64| {
        let job = store.claim("signed", at(now), at(until)).await.unwrap();
        job.map(|job| (job.lease, job.attempts))
    };
    let numbered = |n, number| (Lease { id: id(n), number }, number);
    assert_eq!(store.claim("toy", at(9), at(19)).await.unwrap().map(|job| job.lease), None);
    assert_eq!(claim(10, 20).await, Some(numbered(1, 1)));
    assert_eq!(claim(10, 40).await, Some(numbered(2, 1)));
    store.renew(vec![numbered(1, 1).0], at(25)).await.unwrap();
    assert_eq!(claim(20, 40).await, Some(numbered(3, 1)));
    assert_eq!(claim(24, 40).await, None);
    let job = store.claim("signed", at(25), at(50)).await.unwrap().unwrap();
    assert_eq!((job.lease, job.attempts), numbered(1, 2));
    assert_eq!((job.request, job.payload), (b"request 1".to_vec(), b"payment 1".to_vec()));
    assert_eq!((job.secret, job.deadline), ([1; 32], at(1_000)));
    // One that is put off comes in its time.
    store.postpone(numbered(1, 2).0, at(60)).await.unwrap();
    assert_eq!(claim(39, 70).await, None);
    assert_eq!(claim(40, 70).await, Some(numbered(2, 2)));
    assert_eq!(claim(59, 70).await, Some(numbered(3, 2)));
    assert_eq!(claim(60, 70).await, Some(numbered(1, 3)));
    let found = store.at_location(Digest([1 ^ 0x0f; 32])).await.unwrap();
    assert_eq!((found, store.at_location(Digest::ZERO).await.unwrap()), (Some(id(1)), None));
}

pub(crate) async fn a_claim_that_was_lost_changes_nothing(store: &dyn Store) {
    store.reserve(reservation(1)).await.unwrap();
    let job = store.claim("signed", at(30), at(60)).await.unwrap().unwrap();
    assert_eq!(job.lease, Lease { id: id(1), number: 2 });
    let lost = |result| assert!(matches!(result, Err(StoreError::LeaseLost(_))), "{result:?}");
    lost(store.commit(lease(1), commitment(1)).await);
    lost(store.postpone(lease(1), at(99)).await);
    store.renew(vec![lease(1)], at(99)).await.unwrap();
    assert_eq!(store.claim("signed", at(61), at(62)).await.unwrap().unwrap().lease.number, 3);
    store.commit(Lease { id: id(1), number: 3 }, commitment(1)).await.unwrap();
    assert_eq!(store.claim("signed", at(99), at(100)).await.unwrap().map(|job| job.lease), None);
}

/// Claims end with their process; whose buyer cannot come back is released.
pub(crate) async fn a_new_process_finds_what_was_left(store: &dyn Store) {
    store.reserve(reservation(1)).await.unwrap();
    store.reserve(Reservation { is_resumable: false, ..reservation(2) }).await.unwrap();
    store.reserve(Reservation { leased_until: None, ..reservation(3) }).await.unwrap();
    committed(store, 4).await;
    store.reserve(Reservation { queue: "toy".to_owned(), ..reservation(5) }).await.unwrap();
    store.reserve(reservation(6)).await.unwrap();
    for n in [4, 6, 7] {
        store.do_not_resume(id(n)).await.unwrap();
    }
    let methods = ["signed", "zk\"ml"].map(str::to_owned).to_vec();
    let found = store.requeue(methods).await.unwrap();
    assert_eq!((found.queued.len(), found.released), (2, 3));
    assert_eq!(state(store, 4).await, TransactionState::Committed);
    for n in [2, 5, 6] {
        assert_eq!(state(store, n).await, TransactionState::Released);
    }
    let claimed = store.claim("signed", at(1), at(2)).await.unwrap().unwrap();
    assert_eq!((claimed.lease.id, claimed.lease.number), (id(1), 2));
    let row = store.transaction(id(2)).await.unwrap().unwrap();
    assert_eq!(row.failure.as_deref(), Some("the gateway was started anew"));
}

/// All that a backend is.
pub(crate) trait Store: TransactionStore + OutgoingStore {}

impl<S: TransactionStore + OutgoingStore> Store for S {}

pub(crate) async fn a_refund_is_recorded_once_and_stays_settled(store: &dyn Store) {
    let refund = |n: u8, transaction: &str| Refund {
        record: format!("refund {n}").into_bytes(),
        record_digest: Digest::of(&[n, n, n]),
        key_manifest: b"manifest of later".to_vec(),
        transaction: transaction.to_owned(),
        at: at(300),
    };
    for n in [1, 2, 3] {
        committed(store, n).await;
    }
    let early = store.add_record(id(1), refund(1, "0xa")).await.map(drop);
    is_misuse(early, "settled", "committed");
    let block = SettledBlock { number: 7, hash: "0x7".to_owned() };
    for n in [1, 2] {
        let settled = update(n, SettlementState::Settled);
        store
            .settle(id(n), SettlementUpdate { block: Some(block.clone()), ..settled })
            .await
            .unwrap();
    }
    assert_eq!(store.settled_in(&block).await.unwrap(), [id(1), id(2)]);
    let before = store.outbox(0, 100).await.unwrap().len();

    assert!(store.add_record(id(1), refund(1, "0xa")).await.unwrap());
    // The same again, and the same money for another receipt.
    assert!(!store.add_record(id(1), refund(1, "0xa")).await.unwrap());
    assert!(!store.add_record(id(2), refund(2, "0xa")).await.unwrap());
    assert!(store.add_record(id(1), refund(3, "0xb")).await.unwrap());

    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(row.state, TransactionState::Settled);
    assert_eq!(row.response.as_deref(), Some(b"response 1".as_slice()));
    assert_eq!(row.key_manifest.as_deref(), Some(b"manifest of later".as_slice()));
    assert_eq!(row.records, [b"record 1".to_vec(), b"refund 1".to_vec(), b"refund 3".to_vec()]);
    let other = store.transaction(id(2)).await.unwrap().unwrap();
    assert_eq!(other.records, [b"record 2"]);
    assert_eq!(other.key_manifest.as_deref(), Some(b"manifest".as_slice()));
    let outbox = store.outbox(0, 100).await.unwrap();
    let added: Vec<_> =
        outbox[before..].iter().map(|e| (e.kind, e.transaction, e.digest)).collect();
    let entry = |n: u8| (OutboxKind::Settlement, id(1), Digest::of(&[n, n, n]));
    assert_eq!(added, [entry(1), entry(3)]);
    is_misuse(store.add_record(id(3), refund(4, "0xc")).await.map(drop), "settled", "committed");
    let nothing = store.add_record(id(9), refund(4, "0xc")).await.map(drop);
    is_misuse(nothing, "settled", "no such transaction");
}

/// Price lists are kept once each; a text has one MAC, under one key.
pub(crate) async fn price_lists_are_kept<S: TransactionStore>(store: &S) {
    let [one, other] = [b"one list", b"or other"].map(|list| (Digest::of(list), list.to_vec()));
    assert_eq!(store.prices(one.0).await.unwrap(), None);
    for (digest, list) in [&one, &other, &one] {
        store.keep_prices(*digest, list.clone()).await.unwrap();
    }
    assert_eq!(store.prices(one.0).await.unwrap(), Some(one.1));
    assert_eq!(store.prices(other.0).await.unwrap(), Some(other.1));
    let mac = |text: &[u8]| store.authenticate(text).unwrap();
    assert_eq!(mac(b"a"), mac(b"a"));
    assert_ne!(mac(b"a"), mac(b"b"));
}
