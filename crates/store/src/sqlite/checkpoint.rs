//! The write-ahead log. It is written back into the file beside the steps: left to the writer, it would
//! hold one of them up every now and then. And it is emptied where it has grown, or holds what was
//! erased as it was before. No step waits for another program that reads: what such a one keeps from
//! being emptied is emptied later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinSet;

use super::connections::Pool;

/// How often the log is written back.
const PAUSE: Duration = Duration::from_millis(500);

/// From how many pages on the log is to begin anew: 64 MiB.
const MAX_PAGES: i64 = 16_384;

/// How often it is tried at a time to empty the log, and the pause between: this program's own readers
/// are done by then.
const ATTEMPTS: usize = 10;
const BETWEEN: Duration = Duration::from_millis(10);

/// As far as nobody has to wait; to the end, so that the log begins anew in its file; and with nothing left
/// of that file.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The log of a database.
#[derive(Debug)]
pub(super) struct Log {
    /// One connection, which waits for no lock.
    pool: Pool,
    writing: Arc<Pool>,
    /// Whether it may hold what was erased. Nobody knows what the process before left in it.
    holds_erased: AtomicBool,
}

/// How the log begins anew.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Begin {
    /// Over what its file holds. Writing to a file that has its size is faster than to one that grows.
    InPlace,
    /// With nothing left of what its file held.
    Empty,
}

/// What a checkpoint came to.
struct Checkpoint {
    /// Whether others kept it from its end.
    is_held_up: bool,
    /// How many pages the log had.
    pages: i64,
}

impl Log {
    /// Makes the log of a connection that waits for no lock, and of the one that writes.
    pub(super) const fn new(pool: Pool, writing: Arc<Pool>) -> Self {
        Self { pool, writing, holds_erased: AtomicBool::new(true) }
    }

    /// Notes, within the step, that it erases: until the log is emptied it holds the pages as they
    /// were before.
    pub(super) fn note_erasure(&self) {
        self.holds_erased.store(true, Ordering::SeqCst);
    }

    /// Empties the log of what was erased. Returns whether nothing of it is left.
    pub(super) async fn forget_erased(&self) -> Result<bool, sqlx::Error> {
        Ok(!self.holds_erased.load(Ordering::SeqCst) || self.begin_anew(Begin::Empty).await?)
    }

    /// Writes all of the log back. Returns whether it could be: not while another program is in the
    /// middle of reading.
    async fn begin_anew(&self, begin: Begin) -> Result<bool, sqlx::Error> {
        let how = match begin {
            Begin::InPlace => RESTART,
            Begin::Empty => TRUNCATE,
        };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let mut connection = self.pool.acquire().await?;
            // Most of it while the steps go on, and the rest between two of them.
            checkpoint(&mut connection, PASSIVE).await?;
            let _between = self.writing.acquire().await?;
            if !checkpoint(&mut connection, how).await?.is_held_up {
                if begin == Begin::Empty {
                    self.holds_erased.store(false, Ordering::SeqCst);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the log back as far as nobody has to wait, and all of it where that is due.
    async fn write_back(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let Checkpoint { pages, .. } = checkpoint(&mut connection, PASSIVE).await?;
        drop(connection);
        if pages > MAX_PAGES {
            self.begin_anew(Begin::InPlace).await?;
        }
        self.forget_erased().await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Writes the log back until it is dropped.
pub(super) fn start(log: Arc<Log>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(PAUSE).await;
            // What fails is done the next time, and at the latest when the file is opened again.
            let _ = log.write_back().await;
        }
    });
    task
}

async fn checkpoint(
    connection: &mut SqliteConnection,
    how: &'static str,
) -> Result<Checkpoint, sqlx::Error> {
    let row = sqlx::query(how).fetch_one(connection).await?;
    Ok(Checkpoint { is_held_up: row.try_get::<i64, _>(0)? != 0, pages: row.try_get(1)? })
}
