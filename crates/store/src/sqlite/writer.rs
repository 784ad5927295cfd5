//! Steps that come together are committed together: one write to the disk for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::connections::Pool;
use crate::StoreError;

/// How many steps may wait, and how many go into one database transaction.
const WAITING: usize = 4_096;
const TOGETHER: usize = 256;

/// Runs the steps of a store on its one writing connection, in the order in which they came. A step
/// is answered when it is on the disk as the durability says; one that fails takes none beside it
/// along.
#[derive(Debug)]
pub(super) struct Writer {
    steps: Mutex<Option<mpsc::Sender<Box<dyn Step>>>>,
    task: tokio::sync::Mutex<JoinSet<()>>,
}

/// How much a step changes by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// What one statement changes: alone it needs no database transaction around it.
    Statement,
    /// More than that.
    Transaction,
}

/// What is done as one. It may be done again when it was taken back.
trait Step: Send + Sync {
    fn extent(&self) -> Extent;

    fn run<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;

    /// Tells who waits what came of it.
    fn answer(self: Box<Self>, failure: Option<sqlx::Error>);
}

struct Waited<T, F> {
    step: F,
    extent: Extent,
    result: Option<Result<T, StoreError>>,
    done: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Step for Waited<T, F>
where
    T: Send + Sync,
    F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + Sync,
{
    fn extent(&self) -> Extent {
        self.extent
    }

    fn run<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            match (self.step)(connection).await {
                // The database failed, and may have taken the whole transaction back.
                Err(StoreError::Database(error)) => Err(error),
                result => {
                    self.result = Some(result);
                    Ok(())
                }
            }
        })
    }

    fn answer(self: Box<Self>, failure: Option<sqlx::Error>) {
        let Self { result, done, .. } = *self;
        let result = match (failure, result) {
            (Some(error), _) => Err(StoreError::Database(error)),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Closed),
        };
        // Nobody waits any more: the step was done all the same.
        let _ = done.send(result);
    }
}

impl Writer {
    pub(super) fn start(pool: Arc<Pool>) -> Self {
        let (steps, received) = mpsc::channel(WAITING);
        let mut task = JoinSet::new();
        task.spawn(run(pool, received));
        Self { steps: Mutex::new(Some(steps)), task: tokio::sync::Mutex::new(task) }
    }

    /// Runs a step. It is done also when the caller stops waiting for it.
    pub(super) async fn write<T, F>(&self, extent: Extent, step: F) -> Result<T, StoreError>
    where
        T: Send + Sync + 'static,
        F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
            + Send
            + Sync
            + 'static,
    {
        let (done, answer) = oneshot::channel();
        let steps = self.steps().clone().ok_or(StoreError::Closed)?;
        let step = Box::new(Waited { step, extent, result: None, done });
        steps.send(step).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes the steps that came, and takes no more.
    pub(super) async fn stop(&self) {
        drop(self.steps().take());
        while self.task.lock().await.join_next().await.is_some() {}
    }

    fn steps(&self) -> MutexGuard<'_, Option<mpsc::Sender<Box<dyn Step>>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(pool: Arc<Pool>, mut received: mpsc::Receiver<Box<dyn Step>>) {
    let mut steps = Vec::with_capacity(TOGETHER);
    while received.recv_many(&mut steps, TOGETHER).await > 0 {
        let mut connection = match pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => {
                let error = error.to_string();
                for step in steps.drain(..) {
                    step.answer(Some(sqlx::Error::Protocol(error.clone())));
                }
                continue;
            }
        };
        if together(&mut connection, &mut steps).await.is_ok() {
            steps.drain(..).for_each(|step| step.answer(None));
            continue;
        }
        // One of them failed, and took the others back: each by itself finds its own end.
        for mut step in steps.drain(..) {
            let failure = together(&mut connection, std::slice::from_mut(&mut step)).await.err();
            step.answer(failure);
        }
    }
}

/// Runs steps as one: in one database transaction, but for a statement alone, which is one by itself. When that
/// fails, nothing of them is left.
async fn together(
    connection: &mut SqliteConnection,
    steps: &mut [Box<dyn Step>],
) -> Result<(), sqlx::Error> {
    if let [step] = steps
        && step.extent() == Extent::Statement
    {
        return step.run(connection).await;
    }
    let outcome = async {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for step in steps {
            step.run(connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok(())
    }
    .await;
    if outcome.is_err() {
        // It fails where the database has rolled back by itself.
        let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
    }
    outcome
}
