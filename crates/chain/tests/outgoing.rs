//! The queue of outgoing transactions, under restarts, stuck fees, reorganisations and strangers.
//! Time is the runtime's, which jumps to the next moment when nothing is left to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay_chain::{
    AccountKey, Address, B256, Bytes, Call, CallOutcome, FeeLimits, JournalError, MULTICALL3,
    MemoryJournal, OutgoingConfig, OutgoingError, OutgoingQueue, OutgoingTransaction,
    SettlementSigner, TransactionJournal,
};
use async_trait::async_trait;
use serde_json::json;
use tokio::task::{JoinSet, yield_now};

use crate::miner::{GWEI, Miner, Sent};
use crate::node::Says;

/// A journal in memory that fails when it is told to.
#[derive(Debug, Default)]
struct Journal {
    memory: MemoryJournal,
    is_full: AtomicBool,
    is_blind: AtomicBool,
}

impl Journal {
    fn full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    fn blind(&self, is_blind: bool) {
        self.is_blind.store(is_blind, Ordering::SeqCst);
    }

    /// Returns the only version of a nonce.
    async fn only(&self, nonce: u64) -> OutgoingTransaction {
        let mut versions = self.versions(account(), nonce).await.unwrap();
        assert_eq!(versions.len(), 1, "{versions:?}");
        versions.remove(0)
    }
}

#[async_trait]
impl TransactionJournal for Journal {
    async fn append(&self, transaction: &OutgoingTransaction) -> Result<(), JournalError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(JournalError("the disk is full".to_owned()));
        }
        self.memory.append(transaction).await
    }

    async fn close(&self, signer: Address, nonce: u64) -> Result<(), JournalError> {
        self.memory.close(signer, nonce).await
    }

    async fn open(&self, signer: Address) -> Result<Vec<OutgoingTransaction>, JournalError> {
        self.memory.open(signer).await
    }

    async fn versions(
        &self,
        signer: Address,
        nonce: u64,
    ) -> Result<Vec<OutgoingTransaction>, JournalError> {
        if self.is_blind.load(Ordering::SeqCst) {
            return Err(JournalError("the disk is gone".to_owned()));
        }
        self.memory.versions(signer, nonce).await
    }

    async fn highest(&self, signer: Address) -> Result<Option<u64>, JournalError> {
        self.memory.highest(signer).await
    }
}

fn key() -> AccountKey {
    AccountKey::from_bytes(&[9; 32]).unwrap()
}

fn account() -> Address {
    key().address()
}

fn call(id: u8) -> Call {
    let data = vec![id; 4].into();
    Call { id: B256::repeat_byte(id), to: Address::repeat_byte(1), data, alone: false }
}

fn alone(id: u8) -> Call {
    Call { alone: true, ..call(id) }
}

/// Opens a queue as a process does that starts.
async fn queue(miner: &Miner, journal: &Arc<Journal>, config: OutgoingConfig) -> OutgoingQueue {
    limited(miner, journal, config, FeeLimits::default()).await
}

async fn limited(
    miner: &Miner,
    journal: &Arc<Journal>,
    config: OutgoingConfig,
    limits: FeeLimits,
) -> OutgoingQueue {
    let signer = SettlementSigner::new(miner.connect().await, key(), limits).unwrap();
    OutgoingQueue::new(signer, journal.clone(), config)
}

/// A chain with so many transactions before, a journal, and a queue of the defaults.
async fn start(before: u64) -> (Miner, Arc<Journal>, OutgoingQueue) {
    let (miner, journal) = (Miner::start(before).await, Arc::<Journal>::default());
    let queue = queue(&miner, &journal, OutgoingConfig::default()).await;
    (miner, journal, queue)
}

/// Waits, in the runtime's time, until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to this: {what}");
}

/// Long enough for every transaction under way to be looked after several times.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(20)).await;
}

/// Has a call carried out; an hour of the runtime's time is long enough for anything.
async fn carry_out(queue: &OutgoingQueue, call: Call) -> Result<CallOutcome, OutgoingError> {
    let outcome = tokio::time::timeout(Duration::from_secs(3_600), queue.carry_out(call)).await;
    outcome.unwrap_or_else(|_| panic!("a call came to no end"))
}

/// Submits calls that go on by themselves, in order.
async fn submit(
    queue: &OutgoingQueue,
    calls: impl IntoIterator<Item = Call>,
) -> JoinSet<Result<CallOutcome, OutgoingError>> {
    let mut submitted = JoinSet::new();
    for call in calls {
        let queue = queue.clone();
        submitted.spawn(async move { carry_out(&queue, call).await });
        yield_now().await;
    }
    submitted
}

/// Returns the transaction that carried a call out, and whether it did nothing else.
#[track_caller]
fn mined(outcome: Result<CallOutcome, OutgoingError>) -> (B256, bool) {
    match outcome {
        Ok(CallOutcome::Mined { mined, alone }) => (mined.receipt.transaction, alone),
        other => panic!("{other:?}"),
    }
}

fn nonces(sent: &[Sent]) -> Vec<u64> {
    sent.iter().map(|sent| sent.nonce).collect()
}

/// Returns a stored transaction that no node has, of an account that is so far.
async fn stored(nonce: u64, id: u8) -> OutgoingTransaction {
    let (miner, journal, queue) = start(nonce).await;
    miner.refuses(Some("insufficient funds for gas * price + value"));
    let _submitted = submit(&queue, [call(id)]).await;
    until("it is sent", || !miner.versions().is_empty()).await;
    journal.only(nonce).await
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_takes_no_nonce_and_is_not_sent() {
    let (miner, journal, queue) = start(7).await;
    journal.full(true);
    let error = carry_out(&queue, call(1)).await.unwrap_err();
    assert_eq!(error, OutgoingError::Journal(JournalError("the disk is full".to_owned())));
    assert_eq!(queue.transaction_of(call(1).id), None);
    a_while().await;
    assert_eq!(nonces(&miner.versions()), Vec::<u64>::new());
    journal.full(false);
    let (hash, alone) = mined(carry_out(&queue, call(2)).await);
    assert_eq!((nonces(&miner.versions()), alone), (vec![7], true));
    assert_eq!(journal.only(7).await.transaction.hash, hash);
    // The call that failed is free again.
    mined(carry_out(&queue, call(1)).await);
    assert_eq!(nonces(&miner.versions()), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_sends_what_was_stored_and_signs_nothing_anew() {
    let (miner, journal, before) = start(7).await;
    miner.refuses(Some("insufficient funds for gas * price + value"));
    let mut submitted = submit(&before, [call(1)]).await;
    until("it is sent", || !miner.versions().is_empty()).await;
    submitted.shutdown().await;
    drop(before);
    miner.refuses(None);
    // Fees that a new signature would have.
    miner.base_fee(GWEI / 2);
    let after = queue(&miner, &journal, OutgoingConfig::default()).await;
    after.resume().await.unwrap();
    // Who asks for the call waits for the same transaction.
    let (hash, _) = mined(carry_out(&after, call(1)).await);
    let stored = journal.only(7).await.transaction;
    let sent = miner.versions();
    assert_eq!((sent.len(), hash, &sent[0].raw), (1, stored.hash, &stored.raw));
    // The next one does not take its nonce.
    mined(carry_out(&after, call(2)).await);
    assert_eq!(nonces(&miner.mined()), [7, 8]);
    assert_eq!(journal.open(account()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_was_spent_elsewhere_is_made_up_for() {
    let (miner, _, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1)]).await;
    until("it is sent", || !miner.versions().is_empty()).await;
    miner.spend_elsewhere();
    let outcome = submitted.join_next().await.unwrap().unwrap();
    assert_eq!(outcome, Ok(CallOutcome::Superseded));
    miner.spend_elsewhere();
    miner.mines_at_once(true);
    mined(carry_out(&queue, call(1)).await);
    assert_eq!(nonces(&miner.mined()), [9]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_filled_by_the_transaction_that_a_reorganisation_dropped() {
    let (miner, journal, queue) = start(7).await;
    let (first, _) = mined(carry_out(&queue, call(1)).await);
    miner.reorganise(1);
    // A journal that cannot be read may know one: nothing takes its place.
    journal.blind(true);
    let mut submitted = submit(&queue, [call(2)]).await;
    a_while().await;
    assert_eq!(nonces(&miner.versions()), [7, 8]);
    assert_eq!(nonces(&miner.mined()), Vec::<u64>::new());
    journal.blind(false);
    let (second, _) = mined(submitted.join_next().await.unwrap().unwrap());
    let hashes = miner.mined().iter().map(|sent| sent.hash).collect::<Vec<_>>();
    assert_eq!(hashes, [first, second]);
    assert_eq!(miner.versions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_nobody_knows_is_filled_by_transfers_of_nothing() {
    let (miner, journal, queue) = start(7).await;
    let third = stored(9, 1).await;
    journal.append(&third).await.unwrap();
    queue.resume().await.unwrap();
    until("all are mined", || miner.mined().len() == 3).await;
    let sent = miner.mined();
    for (nonce, sent) in (7..9).zip(&sent) {
        let filler = journal.only(nonce).await;
        assert_eq!((filler.transaction.hash, filler.calls), (sent.hash, vec![]));
        assert_eq!((sent.nonce, sent.to, &sent.data), (nonce, account(), &Bytes::new()));
    }
    assert_eq!(sent[2].hash, third.transaction.hash);
    assert_eq!(queue.status().replaced, 0);
}

/// What is in the way is helped along, and not what waits behind it.
#[tokio::test(start_paused = true)]
async fn a_gap_that_is_stuck_is_filled_at_higher_fees() {
    let (miner, journal, queue) = start(7).await;
    let (first, _) = mined(carry_out(&queue, call(1)).await);
    miner.mines_at_once(false);
    miner.reorganise(1);
    let mut submitted = submit(&queue, [call(2)]).await;
    until("the gap is filled", || miner.times_sent(first) > 1).await;
    miner.mine_nothing(10);
    until("it is replaced", || queue.status().replaced == 1).await;
    until("the replacement is sent", || miner.versions().len() == 3).await;
    assert_eq!(nonces(&miner.versions()), [7, 8, 7]);
    let versions = journal.versions(account(), 7).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.calls.len()).collect::<Vec<_>>(), [1, 1]);
    miner.mine();
    mined(submitted.join_next().await.unwrap().unwrap());
    assert_eq!(nonces(&miner.mined()), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_transaction_is_replaced_and_either_version_counts() {
    for counts in 0..2 {
        let (miner, journal, queue) = start(7).await;
        miner.mines_at_once(false);
        let mut submitted = submit(&queue, [call(1)]).await;
        a_while().await;
        miner.mine_nothing(4);
        a_while().await;
        assert_eq!(miner.versions().len(), 1, "replaced too soon");
        miner.mine_nothing(1);
        until("it is replaced", || miner.versions().len() == 2).await;
        let versions = miner.versions();
        let [old, new] = &versions[..] else { panic!("{versions:?}") };
        assert_eq!((new.nonce, new.to, &new.data), (old.nonce, old.to, &old.data));
        assert!(new.max_fee * 8 >= old.max_fee * 9, "{old:?} {new:?}");
        assert!(new.priority_fee * 8 >= old.priority_fee * 9, "{old:?} {new:?}");
        assert_eq!(journal.versions(account(), 7).await.unwrap().len(), 2);
        assert_eq!(queue.transaction_of(call(1).id), Some(new.hash));
        miner.mine_this(&versions[counts]);
        let (hash, _) = mined(submitted.join_next().await.unwrap().unwrap());
        assert_eq!(hash, versions[counts].hash);
        assert_eq!((queue.status().replaced, queue.status().in_flight), (1, 0));
        assert_eq!(journal.open(account()).await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_stored_before_it_is_sent() {
    let (miner, journal, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1)]).await;
    a_while().await;
    journal.full(true);
    miner.mine_nothing(20);
    a_while().await;
    assert_eq!((miner.versions().len(), queue.status().replaced), (1, 0));
    miner.mine();
    mined(submitted.join_next().await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_cap_stops_replacement_and_that_is_told() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    // 3 gwei are paid at first; an eighth more is above the cap.
    let limits = FeeLimits { fee_per_gas: 3 * GWEI + GWEI / 4, ..FeeLimits::default() };
    let queue = limited(&miner, &journal, OutgoingConfig::default(), limits).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1)]).await;
    for _ in 0..3 {
        a_while().await;
        miner.mine_nothing(5);
    }
    a_while().await;
    assert_eq!(miner.versions().len(), 1);
    assert_eq!((queue.status().replaced, queue.status().capped), (0, 1));
    miner.mine();
    mined(submitted.join_next().await.unwrap().unwrap());
}

/// Fees are no remedy for want of money: with every block it would cost more, up to the cap.
#[tokio::test(start_paused = true)]
async fn what_the_node_refuses_is_sent_again_as_it_is() {
    let (miner, _, queue) = start(7).await;
    miner.refuses(Some("insufficient funds for gas * price + value"));
    let mut submitted = submit(&queue, [call(1)]).await;
    for _ in 0..5 {
        miner.mine_nothing(5);
        a_while().await;
    }
    let sent = miner.versions();
    assert_eq!((sent.len(), queue.status().replaced), (1, 0));
    assert!(miner.times_sent(sent[0].hash) > 5);
    miner.refuses(None);
    assert_eq!(mined(submitted.join_next().await.unwrap().unwrap()), (sent[0].hash, true));
}

#[tokio::test(start_paused = true)]
async fn what_the_base_fee_has_overtaken_is_replaced_though_it_is_refused() {
    let (miner, _, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [alone(1), alone(2)]).await;
    until("both are sent", || miner.versions().len() == 2).await;
    miner.refuses(Some("max fee per gas less than block base fee"));
    miner.base_fee(20 * GWEI);
    a_while().await;
    miner.mine_nothing(5);
    until("both are replaced", || miner.versions().len() == 4).await;
    miner.refuses(None);
    miner.mines_at_once(true);
    while let Some(outcome) = submitted.join_next().await {
        mined(outcome.unwrap());
    }
    assert!(miner.mined().iter().all(|sent| sent.max_fee >= 40 * GWEI), "{:?}", miner.mined());
    assert_eq!(nonces(&miner.mined()), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_stuck_nonce_costs_no_more_for_it() {
    let (miner, _, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [alone(1), alone(2)]).await;
    until("both are sent", || miner.versions().len() == 2).await;
    a_while().await;
    miner.mine_nothing(5);
    a_while().await;
    assert_eq!(nonces(&miner.versions()), [7, 8, 7]);
    miner.mine();
    while let Some(outcome) = submitted.join_next().await {
        mined(outcome.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_as_large_as_allowed_and_hold_no_call_that_goes_alone() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    let config = OutgoingConfig { batch: 3, ..OutgoingConfig::default() };
    let queue = queue(&miner, &journal, config).await;
    miner.mines_at_once(false);
    let mut calls: Vec<Call> = (1..=9).map(call).collect();
    calls.insert(5, alone(10));
    let mut submitted = submit(&queue, calls).await;
    until("all are sent", || queue.status().waiting == 0 && miner.versions().len() >= 5).await;
    let open = journal.open(account()).await.unwrap();
    let sizes: Vec<usize> = open.iter().map(|outgoing| outgoing.calls.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 10);
    assert!(sizes.iter().all(|size| *size <= 3) && sizes.contains(&3), "{sizes:?}");
    for (outgoing, sent) in open.iter().zip(miner.versions()) {
        let is_batch = outgoing.calls.len() > 1;
        assert_eq!(sent.to == MULTICALL3, is_batch);
        assert!(!is_batch || !outgoing.calls.contains(&alone(10).id), "{outgoing:?}");
    }
    miner.mine();
    let mut batched = 0;
    while let Some(outcome) = submitted.join_next().await {
        batched += usize::from(!mined(outcome.unwrap()).1);
    }
    assert_eq!(batched, sizes.iter().filter(|size| **size > 1).sum::<usize>());
}

/// What gathers while nothing more may be under way does not go out as one.
#[tokio::test(start_paused = true)]
async fn a_crowd_goes_out_in_batches_of_the_size_allowed() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    let config = OutgoingConfig { batch: 3, in_flight: 1, ..OutgoingConfig::default() };
    let queue = queue(&miner, &journal, config).await;
    miner.mines_at_once(false);
    let submitted = submit(&queue, (1..=8).map(call)).await;
    a_while().await;
    miner.mines_at_once(true);
    miner.mine();
    for outcome in submitted.join_all().await {
        mined(outcome);
    }
    for sent in miner.versions() {
        assert!(journal.only(sent.nonce).await.calls.len() <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn batches_stay_below_the_gas_of_a_transaction() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    // With the margin 5 million each: three do not fit into 12 million.
    miner.node.always("eth_estimateGas", json!("0x3d0900"));
    let limits = FeeLimits { gas: 6_000_000, ..FeeLimits::default() };
    let queue = limited(&miner, &journal, OutgoingConfig::default(), limits).await;
    miner.mines_at_once(false);
    let _submitted = submit(&queue, (1..=7).map(call)).await;
    until("all are sent", || queue.status().waiting == 0 && miner.versions().len() >= 4).await;
    let open = journal.open(account()).await.unwrap();
    let sizes: Vec<usize> = open.iter().map(|outgoing| outgoing.calls.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 7);
    assert!(sizes.iter().all(|size| *size <= 2) && sizes.contains(&2), "{sizes:?}");
    let gas: Vec<u64> = miner.versions().iter().map(|sent| sent.gas).collect();
    for (size, gas) in sizes.iter().zip(gas) {
        assert!((5_000_000 * *size as u64..12_000_000).contains(&gas), "{size} calls, {gas} gas");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_the_contract_gets_no_batches() {
    let (miner, _, queue) = start(7).await;
    miner.has_multicall(false);
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, (1..=5).map(call)).await;
    until("all are sent", || miner.versions().len() == 5).await;
    miner.mine();
    while let Some(outcome) = submitted.join_next().await {
        assert!(mined(outcome.unwrap()).1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_under_way_than_nodes_hold() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    let config = OutgoingConfig { in_flight: 2, batch: 1, ..OutgoingConfig::default() };
    let queue = queue(&miner, &journal, config).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, (1..=5).map(alone)).await;
    for sent in [2, 4, 5] {
        until("some are sent", || miner.versions().len() >= sent).await;
        a_while().await;
        assert_eq!(miner.versions().len(), sent);
        miner.mine();
    }
    while let Some(outcome) = submitted.join_next().await {
        mined(outcome.unwrap());
    }
    assert_eq!(nonces(&miner.mined()), [7, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_submitted_again_is_carried_out_once() {
    let (miner, _, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1), call(1)]).await;
    until("it is sent", || queue.status().sent == 1).await;
    submitted.spawn({
        let queue = queue.clone();
        async move { carry_out(&queue, call(2)).await }
    });
    until("both are sent", || queue.status().sent == 2).await;
    let late = submit(&queue, [call(1), call(2)]).await;
    a_while().await;
    miner.mine();
    let mut hashes = Vec::new();
    for outcome in submitted.join_all().await.into_iter().chain(late.join_all().await) {
        hashes.push(mined(outcome).0);
    }
    hashes.sort_unstable();
    let sent = miner.versions();
    let mut expected: Vec<B256> = [sent[0].hash; 3].into_iter().chain([sent[1].hash; 2]).collect();
    expected.sort_unstable();
    assert_eq!((hashes, nonces(&sent)), (expected, vec![7, 8]));
    // Later, too: it is in the chain.
    let (again, _) = mined(carry_out(&queue, call(1)).await);
    assert_eq!((again, miner.versions().len()), (sent[0].hash, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_reorganisation_drops_goes_out_again_as_it_was() {
    let (miner, _, queue) = start(7).await;
    let (first, _) = mined(carry_out(&queue, call(1)).await);
    miner.reorganise(1);
    assert_eq!(nonces(&miner.mined()), Vec::<u64>::new());
    // Fees that a new signature would have.
    miner.base_fee(GWEI / 2);
    let (again, _) = mined(carry_out(&queue, call(1)).await);
    assert_eq!((again, miner.versions().len(), miner.times_sent(first)), (first, 1, 2));
}

/// A call that did nothing in a batch is not found done in that batch for ever.
#[tokio::test(start_paused = true)]
async fn what_failed_in_a_batch_can_be_tried_alone() {
    let (miner, journal, queue) = start(7).await;
    miner.mines_at_once(false);
    let first = submit(&queue, [call(1)]).await;
    until("it is sent", || miner.versions().len() == 1).await;
    let others = submit(&queue, [call(2), call(3)]).await;
    until("both are sent", || miner.versions().len() == 2).await;
    miner.mines_at_once(true);
    miner.mine();
    first.join_all().await;
    others.join_all().await;
    let batch = miner.versions()[1].hash;
    assert_eq!(journal.only(8).await.calls.len(), 2);
    let id = journal.only(8).await.calls[0];
    let failed = Call { alone: true, ..call(id[0]) };
    let (hash, is_alone) = mined(carry_out(&queue, failed.clone()).await);
    assert_ne!(hash, batch);
    assert!(is_alone);
    // From then on this is the call's transaction.
    assert_eq!(mined(carry_out(&queue, Call { alone: false, ..failed }).await), (hash, true));
    assert_eq!(nonces(&miner.mined()), [7, 8, 9]);
}

/// A development chain that was begun anew knows nothing of the nonces in the journal.
#[tokio::test(start_paused = true)]
async fn a_chain_far_behind_is_another_and_counts_by_itself() {
    let (miner, journal, queue) = start(3).await;
    journal.append(&stored(1_028, 1).await).await.unwrap();
    mined(carry_out(&queue, call(2)).await);
    assert_eq!(nonces(&miner.versions()), [3]);
    // One that is less far behind was reorganised: the account goes on where it was.
    let (miner, journal, queue) = start(3).await;
    journal.append(&stored(5, 1).await).await.unwrap();
    mined(carry_out(&queue, call(2)).await);
    assert_eq!(nonces(&miner.mined()), [3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn it_counts_from_its_depth_on_and_goes_out_again_when_it_is_lost_before() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    let config = OutgoingConfig { confirmations: 3, ..OutgoingConfig::default() };
    let queue = queue(&miner, &journal, config).await;
    let mut submitted = submit(&queue, [alone(1)]).await;
    until("it is mined", || miner.mined().len() == 1).await;
    miner.mine_nothing(1);
    // It is done in the chain, so it would revert there; but it is under way, and needs no gas.
    let revert = || Says::Error(3, "execution reverted");
    miner.node.on("eth_estimateGas", move |_, _| revert());
    let mut second = submit(&queue, [alone(1)]).await;
    a_while().await;
    assert!(submitted.try_join_next().is_none() && second.try_join_next().is_none());
    miner.reorganise(2);
    until("it is mined again", || miner.mined().len() == 1).await;
    a_while().await;
    assert!(submitted.try_join_next().is_none());
    miner.mine_nothing(2);
    let hash = miner.versions()[0].hash;
    for outcome in [submitted.join_next().await, second.join_next().await] {
        assert_eq!(mined(outcome.unwrap().unwrap()).0, hash);
    }
    assert_eq!(miner.versions().len(), 1);
}

/// What was in a block meanwhile has not been missing since before.
#[tokio::test(start_paused = true)]
async fn what_was_mined_is_not_stuck_from_before() {
    let (miner, journal) = (Miner::start(7).await, Arc::<Journal>::default());
    let config = OutgoingConfig { confirmations: 9, ..OutgoingConfig::default() };
    let queue = queue(&miner, &journal, config).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1)]).await;
    a_while().await;
    miner.mine();
    a_while().await;
    miner.reorganise(1);
    miner.mine_nothing(8);
    a_while().await;
    assert_eq!((miner.versions().len(), queue.status().replaced), (1, 0));
    miner.mine();
    miner.mine_nothing(8);
    mined(submitted.join_next().await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_reverted_transaction_is_told_as_such() {
    let (miner, _, queue) = start(7).await;
    miner.reverts(true);
    let outcome = carry_out(&queue, call(1)).await.unwrap();
    assert!(matches!(&outcome, CallOutcome::Reverted(mined) if !mined.receipt.succeeded));
}

#[tokio::test(start_paused = true)]
async fn all_ends_with_the_queue() {
    let (miner, journal, queue) = start(7).await;
    miner.mines_at_once(false);
    let mut submitted = submit(&queue, [call(1), call(2)]).await;
    until("it is sent", || !miner.versions().is_empty()).await;
    submitted.shutdown().await;
    drop(queue);
    until("its tasks have ended", || Arc::strong_count(&journal) == 1).await;
    let sent = miner.node.seen("eth_sendRawTransaction").len();
    a_while().await;
    assert_eq!(miner.node.seen("eth_sendRawTransaction").len(), sent);
    assert!(!journal.open(account()).await.unwrap().is_empty(), "it is carried on by the next");
}
