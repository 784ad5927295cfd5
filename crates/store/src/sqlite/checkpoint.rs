//! Writing the log back into the file, beside the steps: left to the writer, it would hold one of them
//! up every now and then.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::task::JoinSet;

/// How often the log is written back.
const PAUSE: Duration = Duration::from_millis(500);

/// From how many pages on the writer is made to wait until the log can begin anew: 64 MiB.
const MAX_PAGES: i64 = 16_384;

/// As far as nobody has to wait, and to the end.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";

/// Writes the log back until it is dropped.
pub(super) fn start(pool: SqlitePool) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(PAUSE).await;
            // What fails is done the next time, and at the latest when the file is closed.
            let Ok(mut connection) = pool.acquire().await else { continue };
            if let Ok(pages) = write_back(&mut connection, PASSIVE).await
                && pages > MAX_PAGES
            {
                let _ = write_back(&mut connection, RESTART).await;
            }
        }
    });
    task
}

/// Returns how many pages the log had.
async fn write_back(
    connection: &mut SqliteConnection,
    how: &'static str,
) -> Result<i64, sqlx::Error> {
    sqlx::query(how).fetch_one(connection).await?.try_get(1)
}
