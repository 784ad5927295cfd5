//! Connections to the database, and how long each step holds one.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::Clock;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::{StepKind, StepObserver};

/// Connections that take steps of one kind.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) pool: SqlitePool,
    kind: StepKind,
    observer: Option<Arc<Observer>>,
}

/// Who is told how long steps take, and by which clock.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) told: Arc<dyn StepObserver>,
}

/// A connection for one step, which ends when this is dropped.
pub(super) struct Step {
    connection: PoolConnection<Sqlite>,
    _timer: Option<Timer>,
}

/// Tells the observer when it is dropped.
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

impl Connections {
    pub(super) const fn new(pool: SqlitePool, kind: StepKind) -> Self {
        Self { pool, kind, observer: None }
    }

    pub(super) fn observed(self, observer: Arc<Observer>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Waits for the turn of a step.
    pub(super) async fn acquire(&self) -> Result<Step, sqlx::Error> {
        let timer = self.observer.as_ref().map(|observer| observer.time(self.kind));
        Ok(Step { connection: self.pool.acquire().await?, _timer: timer })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Deref for Step {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Step {
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
