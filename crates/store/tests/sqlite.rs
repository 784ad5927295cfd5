//! SQLite's own: files, locks, versions, damage.

use std::path::Path;

use assay_store::{
    Durability, Reservation, ReserveOutcome, SettlementState, SqliteStore, StoreError,
    TransactionState, TransactionStore as _,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

use crate::contract::{commitment, committed, contract_tests, id, payment, reservation, update};

contract_tests!(open);

async fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteStore::open(folder.path(), Durability::Normal).await.unwrap(), folder)
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
        let store = SqliteStore::open(folder.path(), durability).await.unwrap();
        committed(&store, 1).await;
        committed(&store, 2).await;
        store.settle(id(2), &update(2, SettlementState::Settled)).await.unwrap();
        store.reserve(&reservation(3)).await.unwrap();
        store.close().await;
        drop(store);
        let store = SqliteStore::open(folder.path(), durability).await.unwrap();
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
        let outcome = store.reserve(&again).await.unwrap();
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
    let store = SqliteStore::open(folder.path(), Durability::Normal).await.unwrap();
    committed(&store, 1).await;
    // What is on the disk now, with the log not written back.
    let copy = tempfile::tempdir().unwrap();
    for file in ["assay.db", "assay.db-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let after = SqliteStore::open(copy.path(), Durability::Normal).await.unwrap();
    let row = after.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.intent.unwrap()),
        (TransactionState::Committed, b"intent 1".to_vec())
    );
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (store, folder) = open().await;
    let second = SqliteStore::open(folder.path(), Durability::Normal).await;
    assert!(matches!(&second, Err(StoreError::InUse(path)) if path.ends_with("assay.db")));
    store.close().await;
    drop(store);
    SqliteStore::open(folder.path(), Durability::Normal).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.close().await;
    drop(store);
    sql(folder.path(), "PRAGMA user_version = 7").await;
    let newer = SqliteStore::open(folder.path(), Durability::Normal).await;
    assert!(matches!(newer, Err(StoreError::Version { known: 1, got: 7 })), "{newer:?}");
    // It was not touched, and goes on with the program that knows it.
    sql(folder.path(), "PRAGMA user_version = 1").await;
    let store = SqliteStore::open(folder.path(), Durability::Normal).await.unwrap();
    assert!(store.transaction(id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("assay.db"), "this is not a database, and longer than 100 bytes, which is how much SQLite reads of a file before it says so").unwrap();
    let error = SqliteStore::open(folder.path(), Durability::Normal).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = SqliteStore::open(file.path(), Durability::Normal).await.unwrap_err();
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
}

#[tokio::test]
async fn damage_is_named() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.close().await;
    drop(store);
    sql(folder.path(), "UPDATE transactions SET binding = x'00'").await;
    let store = SqliteStore::open(folder.path(), Durability::Normal).await.unwrap();
    let error = store.transaction(id(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "store is damaged: a digest of 1 bytes");
    assert!(matches!(store.holder(&payment(1)).await, Err(StoreError::Damaged(_))));
}

/// What is committed cannot lack what a settlement and a bundle need, whoever writes it.
#[tokio::test]
async fn the_schema_keeps_what_is_committed_whole() {
    let (store, folder) = open().await;
    committed(&store, 1).await;
    store.reserve(&reservation(2)).await.unwrap();
    store.close().await;
    drop(store);
    let options = SqliteConnectOptions::new().filename(folder.path().join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    for statement in [
        "UPDATE transactions SET state = 'committed' WHERE state = 'reserved'",
        "UPDATE transactions SET intent = NULL WHERE state = 'committed'",
        "UPDATE transactions SET receipt = NULL WHERE state = 'committed'",
        "UPDATE transactions SET state = 'paid'",
        "UPDATE transactions SET network = 'a', asset = 'b', payer = 'c', nonce = 'd'",
        "INSERT INTO settlement_records (transaction_id, envelope) VALUES ('nobody', x'00')",
    ] {
        let result = sqlx::raw_sql(statement).execute(&mut connection).await;
        let error = result.expect_err(statement).to_string();
        assert!(error.contains("constraint failed"), "{statement}: {error}");
    }
}

/// What runs on every request and in every background pass finds its rows by an index.
#[tokio::test]
async fn queries_use_their_indexes() {
    let (store, folder) = open().await;
    store.close().await;
    drop(store);
    let options = SqliteConnectOptions::new().filename(folder.path().join("assay.db"));
    let mut connection = options.connect().await.unwrap();
    for (query, index) in [
        (
            "SELECT id, state, binding FROM transactions WHERE network = ? AND asset = ? \
             AND payer = ? AND nonce = ? AND state <> 'released'",
            "transactions_by_payment",
        ),
        (
            "SELECT id, state FROM transactions WHERE state IN ('reserved', 'committed', 'failing') \
             AND id > ? ORDER BY id LIMIT ?",
            "transactions_open",
        ),
        (
            "SELECT envelope FROM settlement_records WHERE transaction_id = ? ORDER BY sequence",
            "settlement_records_by_transaction",
        ),
    ] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("; ");
        assert!(plan.contains(index) && !plan.contains("SCAN transactions"), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
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
    let error = store.reserve(&reservation(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
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

    let store = SqliteStore::open(folder.path(), Durability::Normal).await.unwrap();
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
    SqliteStore::open(folder.path(), Durability::Normal).await.unwrap().close().await;

    sql(folder.path(), "PRAGMA user_version = 4711").await;
    assert_eq!(look().await.unwrap().version, Some(4711));
    std::fs::write(folder.path().join("assay.db"), [b'x'; 8192]).unwrap();
    assert!(matches!(look().await, Err(StoreError::Database(_))));
}
