//! Connections to the database, and how long each step holds one.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::Clock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Semaphore, SemaphorePermit};

use crate::{StepKind, StepObserver};

/// Connections that stay open, each for one step at a time.
///
/// A pool of sqlx's asks a connection after each step whether it still works: a task, and a way to the connection's
/// thread and back. One to a file does not go stale.
#[derive(Debug)]
pub(super) struct Pool {
    /// None in them once they are closed.
    connections: Vec<Mutex<Option<SqliteConnection>>>,
    /// As many as there are connections.
    turns: Semaphore,
}

/// A connection for one step, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    // Given back before the turn.
    connection: MappedMutexGuard<'a, SqliteConnection>,
    _turn: SemaphorePermit<'a>,
    _timer: Option<Timer>,
}

/// Connections that take steps of one kind.
#[derive(Debug)]
pub(super) struct Connections {
    pool: Pool,
    kind: StepKind,
    observer: Option<Arc<Observer>>,
}

/// Who is told how long steps take, and by which clock.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) told: Arc<dyn StepObserver>,
}

/// Tells the observer when it is dropped.
#[derive(Debug)]
pub(super) struct Timer {
    observer: Arc<Observer>,
    kind: StepKind,
    started: Duration,
}

impl Observer {
    /// Begins a step.
    pub(super) fn time(self: &Arc<Self>, kind: StepKind) -> Timer {
        Timer { observer: Arc::clone(self), kind, started: self.clock.monotonic() }
    }
}

impl Pool {
    /// Opens so many connections.
    pub(super) async fn open(
        count: usize,
        options: &SqliteConnectOptions,
    ) -> Result<Self, sqlx::Error> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Mutex::new(Some(options.connect().await?)));
        }
        Ok(Self { connections, turns: Semaphore::new(count) })
    }

    /// Waits for a connection.
    pub(super) async fn acquire(&self) -> Result<Turn<'_>, sqlx::Error> {
        let turn = self.turns.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let free = self.connections.iter().filter_map(|connection| connection.try_lock().ok());
        let mut open = free.filter_map(|free| MutexGuard::try_map(free, Option::as_mut).ok());
        let connection = open.next().ok_or(sqlx::Error::PoolClosed)?;
        Ok(Turn { connection, _turn: turn, _timer: None })
    }

    /// Waits for the steps that are under way, and closes the connections. There are no more turns.
    pub(super) async fn close(&self) {
        for connection in &self.connections {
            if let Some(connection) = connection.lock().await.take() {
                // Nobody is left who could do anything about it.
                let _ = connection.close().await;
            }
        }
        self.turns.close();
    }
}

impl Connections {
    pub(super) const fn new(pool: Pool, kind: StepKind) -> Self {
        Self { pool, kind, observer: None }
    }

    pub(super) fn observed(self, observer: Arc<Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Waits for the turn of a step.
    pub(super) async fn acquire(&self) -> Result<Turn<'_>, sqlx::Error> {
        let timer = self.observer.as_ref().map(|observer| observer.time(self.kind));
        Ok(Turn { _timer: timer, ..self.pool.acquire().await? })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Deref for Turn<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let took = self.observer.clock.monotonic().saturating_sub(self.started);
        self.observer.told.stepped(self.kind, took);
    }
}
