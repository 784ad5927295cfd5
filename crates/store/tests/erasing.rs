//! What is erased is gone from the files, also where another program reads them.

use std::path::Path;
use std::time::Duration;

use assay_store::{SettlementState, SqliteStore, TransactionState, TransactionStore as _};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::contract::{at, committed, id, update};
use crate::sqlite::{bytes_of, has, open, open_in, stored};

/// More than any step takes that waits for nobody, and less than one that waits for a reader.
const PATIENCE: Duration = Duration::from_secs(20);

/// Another program, which reads.
async fn reader(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("assay.db"));
    options.read_only(true).connect().await.unwrap()
}

/// Returns the sealed values of each transaction, by id.
async fn sealed(reader: &mut SqliteConnection) -> Vec<Vec<Vec<u8>>> {
    let rows = sqlx::query(
        "SELECT items, payload, secret, binding, intent \
         FROM transactions JOIN commitments ON transaction_id = id ORDER BY id",
    );
    let rows = rows.fetch_all(reader).await.unwrap();
    rows.iter().map(|row| (0..5).map(|column| row.get(column)).collect()).collect()
}

/// Returns how many of the values a folder's files hold the beginning or the end of.
fn count(folder: &Path, values: &[Vec<u8>]) -> usize {
    let bytes = bytes_of(folder);
    let pieces = values.iter().flat_map(|value| [&value[..24], &value[value.len() - 24..]]);
    pieces.filter(|piece| has(&bytes, piece)).count()
}

async fn settled(store: &SqliteStore, n: u8, length: usize) {
    stored(store, n, length).await;
    store.settle(id(n), update(n, SettlementState::Settled)).await.unwrap();
}

/// The sealed bytes are gone, too: whoever gets files and key later finds nothing.
#[tokio::test]
async fn what_is_erased_is_gone_from_the_files() {
    for length in [8, 400, 20_000] {
        let (store, folder) = open().await;
        for n in 1..=4 {
            settled(&store, n, length).await;
        }
        let mut reader = reader(folder.path()).await;
        let sealed = sealed(&mut reader).await;
        let count = |n: usize| count(folder.path(), &sealed[n - 1]);
        assert!(count(1) > 0 && count(2) > 0 && count(3) > 0 && count(4) > 0);
        store.erase(id(1), at(300)).await.unwrap();
        assert_eq!(store.erase_intents(u64::MAX, 9).await.unwrap(), 1);
        assert!(store.forget_erased().await.unwrap());
        assert_eq!(count(1), 0, "{length}: erased by its buyer");
        assert_eq!(store.erase_ended(at(300), at(300), 2).await.unwrap(), 2);
        assert_eq!(store.erase_intents(u64::MAX, 9).await.unwrap(), 2);
        assert!(store.forget_erased().await.unwrap());
        assert_eq!((count(2), count(3)), (0, 0), "{length}: erased by its age");
        assert!(count(4) > 0, "{length}");
        reader.close().await.unwrap();
        store.close().await;
        assert_eq!((count(1), count(2), count(3)), (0, 0, 0), "{length}: closed");
    }
}

/// A backup, or a look at the tables by hand.
#[tokio::test]
async fn a_reader_holds_up_neither_an_erasure_nor_a_step() {
    let (store, folder) = open().await;
    settled(&store, 1, 400).await;
    settled(&store, 2, 400).await;
    let mut reader = reader(folder.path()).await;
    let mut inside = reader.begin().await.unwrap();
    let sealed = sealed(&mut inside).await;
    let erase = async {
        store.erase(id(1), at(300)).await.unwrap();
        store.erase_ended(at(300), at(300), 9).await.unwrap();
        store.erase_intents(u64::MAX, 9).await.unwrap();
        store.forget_erased().await.unwrap()
    };
    let (is_forgotten, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(erase, committed(&store, 3)) })
            .await
            .expect("a step waits for a reader");
    assert!(!is_forgotten && count(folder.path(), &sealed[0]) > 0, "the log was emptied");
    let row = store.transaction(id(1)).await.unwrap().unwrap();
    assert_eq!((row.items, row.erased_at), (None, Some(at(300))));
    // And the reader still sees what it saw.
    assert_eq!(self::sealed(&mut inside).await, sealed);

    inside.rollback().await.unwrap();
    assert!(store.forget_erased().await.unwrap());
    assert_eq!((count(folder.path(), &sealed[0]), count(folder.path(), &sealed[1])), (0, 0));
    let row = store.transaction(id(3)).await.unwrap().unwrap();
    assert_eq!(row.state, TransactionState::Committed);
    store.close().await;
}

/// Without being asked again, as soon as the reader is done.
#[tokio::test]
async fn the_log_is_emptied_by_and_by() {
    let (store, folder) = open().await;
    settled(&store, 1, 400).await;
    let mut reader = reader(folder.path()).await;
    let mut inside = reader.begin().await.unwrap();
    let sealed = sealed(&mut inside).await;
    store.erase(id(1), at(300)).await.unwrap();
    store.erase_intents(u64::MAX, 9).await.unwrap();
    assert!(!store.forget_erased().await.unwrap());
    inside.rollback().await.unwrap();
    let emptied = async {
        while count(folder.path(), &sealed[0]) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.expect("the log is not emptied");
    store.close().await;
}

/// What a process could not do before it ended the next one does when it opens the store.
#[tokio::test]
async fn opening_empties_the_log() {
    let (store, folder) = open().await;
    settled(&store, 1, 400).await;
    let mut reader = reader(folder.path()).await;
    let mut inside = reader.begin().await.unwrap();
    let sealed = sealed(&mut inside).await;
    store.erase(id(1), at(300)).await.unwrap();
    store.erase_intents(u64::MAX, 9).await.unwrap();
    store.close().await;
    drop(store);
    assert!(count(folder.path(), &sealed[0]) > 0);
    // It still reads when the store is opened, and then no more.
    open_in(folder.path()).await.unwrap().close().await;
    assert!(count(folder.path(), &sealed[0]) > 0);
    inside.rollback().await.unwrap();
    reader.close().await.unwrap();
    let store = open_in(folder.path()).await.unwrap();
    assert_eq!(count(folder.path(), &sealed[0]), 0);
    store.close().await;
}
