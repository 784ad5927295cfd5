//! SQLite's own: files, locks, versions, damage.

use std::path::Path;
use std::sync::Arc;

use assay_primitives::{Digest, SystemRandomness};
use assay_store::{
    Commitment, Durability, Reservation, ReserveOutcome, SettlementState, SqliteStore, StorageKey,
    StoreError, TransactionRow, TransactionState, TransactionStore as _,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

use crate::contract::{
    at, commitment, committed, contract_tests, id, lease, payment, reservation, update,
};

contract_tests!(open);

pub(crate) async fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open_in(folder.path()).await.unwrap(), folder)
}

/// Opens a folder with the key of all these tests.
pub(crate) async fn open_in(folder: &Path) -> Result<SqliteStore, StoreError> {
    open_with(folder, Durability::Normal, 7).await
}

async fn open_with(
    folder: &Path,
    durability: Durability,
    key: u8,
) -> Result<SqliteStore, StoreError> {
    let key = StorageKey::from_hex(&format!("{key:02x}").repeat(32)).unwrap();
    SqliteStore::open(folder, durability, &key, Arc::new(SystemRandomness)).await
}

/// Says whether a file of the folder has these bytes.
fn contains(folder: &Path, text: &[u8]) -> bool {
    has(&bytes_of(folder), text)
}

/// Returns what all files of a folder hold.
pub(crate) fn bytes_of(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}

pub(crate) fn has(bytes: &[u8], text: &[u8]) -> bool {
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == text[0]);
    starts.any(|(at, _)| bytes[at..].starts_with(text))
}

/// Runs statements on a closed store's file.
async fn sql(folder: &Path, statements: &'static str) {
    let options = SqliteConnectOptions::new().filename(folder.join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    for durability in [Durability::Full, Durability::Normal] {
        let folder = tempfile::tempdir().unwrap();
        let store = open_with(folder.path(), durability, 7).await.unwrap();
        committed(&store, 1).await;
        committed(&store, 2).await;
        store.settle(id(2), update(2, SettlementState::Settled)).await.unwrap();
        store.reserve(reservation(3)).await.unwrap();
        store.close().await;
        drop(store);
        let store = open_with(folder.path(), durability, 7).await.unwrap();
        let open = store.open_after(None, 10).await.unwrap();
        assert_eq!(
            open,
            [(id(1), TransactionState::Committed), (id(3), TransactionState::Reserved)]
        );
        let row = store.transaction(id(2)).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.records),
            (TransactionState::Settled, vec![b"record 2".to_vec()])
        );
        assert_eq!(store.outbox(0, 10).await.unwrap().len(), 3);
        let again = Reservation { payment: payment(2), ..reservation(9) };
        let outcome = store.reserve(again).await.unwrap();
        assert!(matches!(outcome, ReserveOutcome::Taken(holder) if holder.id == id(2)));
    }
}

/// Inputs, outputs and access tokens' hashes are in it.
#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (store, folder) = open().await;
    committed(&store, 1).await;
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
    store.close().await;
}

/// A process that ends without closing loses nothing that was answered.
#[tokio::test]
async fn everything_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_in(folder.path()).await.unwrap();
    committed(&store, 1).await;
    // What is on the disk now, with the log not written back.
    let copy = tempfile::tempdir().unwrap();
    for file in ["assay.db", "assay.db-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let after = open_in(copy.path()).await.unwrap();
    let row = after.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.intent.unwrap()),
        (TransactionState::Committed, b"intent 1".to_vec())
    );
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (store, folder) = open().await;
    let second = open_in(folder.path()).await;
    assert!(matches!(&second, Err(StoreError::InUse(path)) if path.ends_with("assay.db")));
    store.close().await;
    drop(store);
    open_in(folder.path()).await.unwrap();
}

/// A file that looks left over may be deleted, or another put in its place.
#[tokio::test]
async fn a_second_process_is_refused_without_the_lock_file() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    let is_held = async || SqliteStore::inspect(folder.path()).await.unwrap().is_held;
    let lock = folder.path().join("assay.lock");
    for replaced in [false, true, false] {
        std::fs::remove_file(&lock).unwrap();
        if replaced {
            std::fs::write(&lock, "").unwrap();
        }
        assert!(is_held().await);
        let second = open_in(folder.path()).await;
        assert!(matches!(&second, Err(StoreError::InUse(path)) if path.ends_with("assay.db")));
    }
    // Nor by another name of the folder.
    let other = tempfile::tempdir().unwrap();
    let name = other.path().join("data");
    std::os::unix::fs::symlink(folder.path(), &name).unwrap();
    assert!(matches!(open_in(&name).await, Err(StoreError::InUse(_))));
    committed(&store, 2).await;
    store.close().await;
    drop(store);
    assert!(!is_held().await);
    let store = open_in(folder.path()).await.unwrap();
    assert!(store.transaction(id(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn another_schema_is_refused() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.close().await;
    drop(store);
    sql(folder.path(), "PRAGMA user_version = 7").await;
    let newer = open_in(folder.path()).await;
    assert!(matches!(newer, Err(StoreError::Version { known: 6, got: 7 })), "{newer:?}");
    sql(folder.path(), "PRAGMA user_version = 3").await;
    let older = open_in(folder.path()).await.unwrap_err().to_string();
    let told = "store has schema version 3, this program knows 6: start with a new data folder";
    assert_eq!(older, told);
    // It was not touched, and goes on with the program that knows it.
    sql(folder.path(), "PRAGMA user_version = 6").await;
    let store = open_in(folder.path()).await.unwrap();
    assert!(store.transaction(id(1)).await.unwrap().is_some());
}

/// Transactions in every state, and what each is like.
async fn in_every_state(store: &SqliteStore) -> Vec<TransactionRow> {
    for n in 2..=8 {
        committed(store, n).await;
    }
    store.reserve(reservation(1)).await.unwrap();
    store.reserve(reservation(9)).await.unwrap();
    store.release(id(9), Some("too late".to_owned())).await.unwrap();
    for n in [3, 4, 5, 7] {
        store.settle(id(n), update(n, SettlementState::Settled)).await.unwrap();
    }
    store.settle(id(4), update(40, SettlementState::Reorged)).await.unwrap();
    store.settle(id(6), update(6, SettlementState::Failed)).await.unwrap();
    store.fail(id(8), b"failing".to_vec()).await.unwrap();
    for n in [5, 6, 7] {
        store.erase(id(n), at(300)).await.unwrap();
    }
    assert_eq!(store.erase_intents(u64::MAX, 1).await.unwrap(), 1);
    rows_of(store).await
}

async fn rows_of(store: &SqliteStore) -> Vec<TransactionRow> {
    let mut rows = Vec::new();
    for n in 1..=9 {
        rows.push(store.transaction(id(n)).await.unwrap().unwrap());
    }
    rows
}

/// Both versions before are brought up to date with all that they hold, and every step goes on from there.
#[tokio::test]
async fn the_schemas_before_are_brought_up_to_date() {
    const VERSION_5: &str = include_str!("version_5.sql");
    for version in [4, 5] {
        let (store, folder) = open().await;
        let rows = in_every_state(&store).await;
        let (counts, outbox) = (store.count_by_state().await, store.outbox(0, 99).await);
        store.close().await;
        drop(store);
        sql(folder.path(), VERSION_5).await;
        if version == 4 {
            sql(folder.path(), "DROP TABLE price_lists; PRAGMA user_version = 4").await;
        }

        for _ in 0..2 {
            let store = open_in(folder.path()).await.unwrap();
            assert_eq!(rows_of(&store).await, rows, "version {version}");
            assert_eq!(store.count_by_state().await.unwrap(), *counts.as_ref().unwrap());
            assert_eq!(store.outbox(0, 99).await.unwrap(), *outbox.as_ref().unwrap());
            store.keep_prices(Digest::of(b"a list"), b"a list".to_vec()).await.unwrap();
            store.close().await;
        }

        let store = open_in(folder.path()).await.unwrap();
        assert_eq!(store.erase_intents(u64::MAX, 9).await.unwrap(), 2);
        store.commit(lease(1), commitment(1)).await.unwrap();
        for n in [1, 2, 4, 8] {
            store.settle(id(n), update(50 + n, SettlementState::Settled)).await.unwrap();
        }
        let settled = store.count_by_state().await.unwrap();
        assert!(settled.contains(&(TransactionState::Settled, 7)), "{settled:?}");
        // What was released is free.
        let again = Reservation { payment: payment(9), ..reservation(10) };
        assert_eq!(store.reserve(again).await.unwrap(), ReserveOutcome::Reserved);
        store.close().await;
        drop(store);
        let same = schema_of(folder.path()).await;
        let (fresh, other) = open().await;
        fresh.close().await;
        drop(fresh);
        assert_eq!(same, schema_of(other.path()).await);
    }
}

/// Returns what the tables, indices and triggers of a closed store are.
async fn schema_of(folder: &Path) -> Vec<(String, String)> {
    let options = SqliteConnectOptions::new().filename(folder.join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    let rows = sqlx::query("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name");
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| (row.get("name"), row.get("sql"))).collect()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("assay.db"), "this is not a database, and longer than 100 bytes, which is how much SQLite reads of a file before it says so").unwrap();
    let error = open_in(folder.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open_in(file.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
}

#[tokio::test]
async fn damage_is_named() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.close().await;
    drop(store);
    sql(folder.path(), "UPDATE transactions SET binding = x'00', access_token_hash = x'00'").await;
    let store = open_in(folder.path()).await.unwrap();
    let error = store.transaction(id(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "store is damaged: a digest of 1 bytes");
    assert!(matches!(
        store.holder(&payment(1), Digest([1; 32])).await,
        Err(StoreError::Damaged(_))
    ));
}

/// What is committed cannot lack what a settlement and a bundle need, whoever writes it.
#[tokio::test]
async fn the_schema_keeps_what_is_committed_whole() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.reserve(reservation(2)).await.unwrap();
    store.close().await;
    drop(store);
    let options = SqliteConnectOptions::new().filename(folder.path().join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    for statement in [
        "UPDATE transactions SET state = 'committed' WHERE state = 'reserved'",
        "UPDATE transactions SET key_manifest = NULL WHERE state = 'committed'",
        "UPDATE commitments SET intent = NULL",
        "UPDATE commitments SET receipt = NULL",
        "DELETE FROM transactions WHERE state = 'committed'",
        "UPDATE transactions SET state = 'paid'",
        "UPDATE transactions SET network = 'a', asset = 'b', payer = 'c', nonce = 'd'",
        "INSERT INTO settlement_records (transaction_id, envelope) VALUES ('nobody', x'00')",
    ] {
        let result = sqlx::raw_sql(statement).execute(&mut connection).await;
        let error = result.expect_err(statement).to_string();
        assert!(error.contains("constraint failed"), "{statement}: {error}");
    }
}

/// Queries, and the index that each finds its rows by.
const INDEXED: [(&str, &str); 8] = [
    (
        "SELECT id, state, binding FROM transactions WHERE network = ? AND asset = ? \
         AND payer = ? AND nonce = ? AND state <> 'released'",
        "transactions_by_payment",
    ),
    (
        "SELECT id, state FROM transactions WHERE state IN ('reserved', 'committed', 'failing', \
         'reorged') AND id > ? ORDER BY id LIMIT ?",
        "transactions_open",
    ),
    (
        "SELECT envelope FROM settlement_records WHERE transaction_id = ? ORDER BY sequence",
        "settlement_records_by_transaction",
    ),
    (
        "SELECT id FROM transactions WHERE state = 'reserved' AND method = ?1 \
         AND not_before <= ?2 AND (leased_until IS NULL OR leased_until <= ?2) \
         ORDER BY id LIMIT 1",
        "transactions_queued",
    ),
    (
        "SELECT DISTINCT block_number, block_hash FROM settlement_records \
         WHERE block_number >= ? ORDER BY block_number LIMIT 4096",
        "settlement_records_by_block",
    ),
    (
        "SELECT content FROM outgoing_transactions WHERE account = ? AND is_open = 1 \
         ORDER BY nonce, version",
        "outgoing_transactions_open",
    ),
    (
        "UPDATE transactions SET erased_at = ? WHERE id IN (SELECT id FROM transactions \
         WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released') \
         AND coalesce(settled_at, reserved_at) <= ? \
         ORDER BY coalesce(settled_at, reserved_at) LIMIT ?)",
        "transactions_to_erase",
    ),
    (
        "UPDATE commitments SET intent = x'' WHERE transaction_id IN (SELECT c.transaction_id \
         FROM commitments c JOIN transactions t ON t.id = c.transaction_id \
         WHERE c.items = x'' AND c.intent <> x'' AND t.state IN ('settled', 'failed') \
         AND (t.state = 'failed' OR NOT EXISTS (SELECT 1 FROM settlement_records \
         WHERE transaction_id = t.id AND block_number >= ?)) LIMIT ?)",
        "commitments_with_intent",
    ),
];

/// What runs on every request and in every background pass finds its rows by an index.
#[tokio::test]
async fn queries_use_their_indexes() {
    let (store, folder) = open().await;
    store.close().await;
    drop(store);
    let options = SqliteConnectOptions::new().filename(folder.path().join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    for (query, index) in INDEXED {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("; ");
        // That one has no other rows than those to be erased.
        let scanned = plan.replace("SCAN c USING INDEX commitments_with_intent", "");
        assert!(plan.contains(index) && !scanned.contains("SCAN"), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}

/// Contents that are long enough to lie in pages of their own, and short enough not to.
fn long(n: u8, length: usize) -> (Reservation, Commitment) {
    let text = |name: &str| format!("{name} {n} ").into_bytes().repeat(length / 8);
    let secret = *b"a secret of 32 bytes, no more!!!";
    (
        Reservation {
            payload: text("payment"),
            request: text("what is run"),
            echo: text("wanted back"),
            secret,
            ..reservation(n)
        },
        Commitment { items: text("question and answer"), ..commitment(n) },
    )
}

pub(crate) async fn stored(store: &SqliteStore, n: u8, length: usize) {
    let (reservation, commitment) = long(n, length);
    store.reserve(reservation.clone()).await.unwrap();
    store.commit(lease(n), commitment.clone()).await.unwrap();
    let row = store.transaction(id(n)).await.unwrap().unwrap();
    assert_eq!((row.payload, row.items.unwrap()), (reservation.payload, commitment.items));
}

const PLAIN: [&[u8]; 5] = [
    b"payment 1 ",
    b"question and answer 1 ",
    b"what is run 1 ",
    b"wanted back 1 ",
    b"a secret of 32 bytes",
];

#[tokio::test]
async fn contents_are_nowhere_in_the_files() {
    for length in [8, 400, 20_000] {
        let (store, folder) = open().await;
        stored(&store, 1, length).await;
        let is_clean = |when: &str| {
            for plain in PLAIN {
                assert!(!contains(folder.path(), plain), "{length}, {when}: {plain:?}");
            }
            assert!(!contains(folder.path(), &[7; 16]), "{length}, {when}: the key is stored");
            // Whoever has the file tries guesses on what the payment is bound to.
            assert!(!contains(folder.path(), &[1; 16]), "{length}, {when}: the binding is stored");
            // What is public shows that this looks in the right place.
            assert!(contains(folder.path(), b"receipt 1"), "{length}, {when}");
        };
        is_clean("in the log");
        store.close().await;
        is_clean("closed");
    }
}

#[tokio::test]
async fn what_was_moved_or_changed_does_not_open() {
    for (statement, expected) in [
        (
            "UPDATE commitments SET items = (SELECT items FROM commitments WHERE transaction_id LIKE '%02') WHERE transaction_id LIKE '%01'",
            "column `items`",
        ),
        (
            "UPDATE commitments SET items = (SELECT payload FROM transactions WHERE id = transaction_id) WHERE transaction_id LIKE '%01'",
            "column `items`",
        ),
        ("UPDATE transactions SET payload = secret WHERE id LIKE '%01'", "column `payload`"),
        ("UPDATE transactions SET payload = x'' WHERE id LIKE '%01'", "column `payload`"),
        (
            "UPDATE commitments SET items = CAST(items || x'00' AS BLOB) WHERE transaction_id LIKE '%01'",
            "column `items`",
        ),
        (
            "UPDATE commitments SET items = CAST(x'ff' || substr(items, 2) AS BLOB) WHERE transaction_id LIKE '%01'",
            "expected version 1, got 255",
        ),
    ] {
        let (store, folder) = open().await;
        committed(&store, 1).await;
        committed(&store, 2).await;
        store.close().await;
        drop(store);
        sql(folder.path(), statement).await;
        let store = open_in(folder.path()).await.unwrap();
        let error = store.transaction(id(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed { id: got, .. } if got == id(1)), "{error}");
        assert!(error.to_string().contains(expected), "{statement}: {error}");
        assert!(store.transaction(id(2)).await.is_ok(), "{statement}");
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.close().await;
    drop(store);
    let error = open_with(folder.path(), Durability::Normal, 8).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    assert!(error.to_string().contains("was sealed with another storage key"), "{error}");
    let store = open_in(folder.path()).await.unwrap();
    assert!(store.transaction(id(1)).await.unwrap().is_some());
}

/// Secrets and contents do not show themselves.
#[tokio::test]
async fn debug_output_is_discreet() {
    let (store, _folder) = open().await;
    committed(&store, 7).await;
    let row = store.transaction(id(7)).await.unwrap().unwrap();
    let shown = format!("{:?} {:?} {row:?}", reservation(7), commitment(7));
    for secret in ["payment 7", "items 7", "112, 97, 121", "[7, 7", "receipt 7"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains(&id(7).to_string()));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (store, _folder) = open().await;
    store.close().await;
    let error = store.reserve(reservation(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error}");
}

/// Steps that come together are one write to the disk; one that the database refuses takes none of
/// those beside it along.
#[tokio::test]
async fn a_step_that_fails_takes_no_other_along() {
    let (store, folder) = open().await;
    sql(
        folder.path(),
        "CREATE TRIGGER broken BEFORE INSERT ON transactions WHEN NEW.nonce LIKE '%07' \
         BEGIN SELECT RAISE(ROLLBACK, 'a broken disk'); END",
    )
    .await;
    let steps = (1..=20).map(|n| store.reserve(reservation(n)));
    let outcomes = futures_util::future::join_all(steps).await;
    for (n, outcome) in (1..=20_u8).zip(outcomes) {
        match outcome {
            Ok(outcome) => assert_eq!((n != 7, outcome), (true, ReserveOutcome::Reserved)),
            Err(error) => assert!(n == 7 && error.to_string().contains("a broken disk"), "{error}"),
        }
        let found = store.transaction(id(n)).await.unwrap();
        assert_eq!(found.is_some(), n != 7, "{n}");
    }
    let counts = store.count_by_state().await.unwrap();
    assert!(counts.contains(&(TransactionState::Reserved, 19)), "{counts:?}");
}

/// A manifest is written once, and only one that is on the disk counts as written.
#[tokio::test]
async fn a_manifest_that_was_taken_back_is_kept_anew() {
    let (store, folder) = open().await;
    for n in 1..=3 {
        store.reserve(reservation(n)).await.unwrap();
    }
    sql(
        folder.path(),
        "CREATE TRIGGER broken BEFORE INSERT ON commitments \
         BEGIN SELECT RAISE(ROLLBACK, 'a broken disk'); END",
    )
    .await;
    let error = store.commit(lease(1), commitment(1)).await.unwrap_err();
    assert!(error.to_string().contains("a broken disk"), "{error}");

    sql(folder.path(), "DROP TRIGGER broken").await;
    store.commit(lease(1), commitment(1)).await.unwrap();
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(row.key_manifest, Some(commitment(1).key_manifest));

    sql(
        folder.path(),
        "CREATE TRIGGER once BEFORE INSERT ON key_manifests \
         BEGIN SELECT RAISE(ROLLBACK, 'another manifest'); END",
    )
    .await;
    store.commit(lease(2), commitment(2)).await.unwrap();
    store.settle(id(2), update(2, SettlementState::Settled)).await.unwrap();
    let other = Commitment { key_manifest: b"another".to_vec(), ..commitment(3) };
    let error = store.commit(lease(3), other).await.unwrap_err();
    assert!(error.to_string().contains("another manifest"), "{error}");
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let look = async || SqliteStore::inspect(folder.path()).await;
    let found = look().await.unwrap();
    assert_eq!((found.is_held, found.version), (false, None));
    assert_eq!(files(folder.path()), []);

    let store = open_in(folder.path()).await.unwrap();
    committed(&store, 1).await;
    let found = look().await.unwrap();
    assert_eq!((found.is_held, found.version), (true, Some(found.known)));
    committed(&store, 2).await;
    store.close().await;
    drop(store);

    let before = files(folder.path());
    let found = look().await.unwrap();
    assert_eq!((found.is_held, found.version), (false, Some(found.known)));
    assert_eq!(files(folder.path()), before);
    open_in(folder.path()).await.unwrap().close().await;

    sql(folder.path(), "PRAGMA user_version = 4711").await;
    assert_eq!(look().await.unwrap().version, Some(4711));
    std::fs::write(folder.path().join("assay.db"), [b'x'; 8192]).unwrap();
    assert!(matches!(look().await, Err(StoreError::Database(_))));
}
