//! Short work on few threads.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// Work that is done in the order in which it came, so much of it at a time. A thread that has done one piece
/// goes on with the next: to wake one for each may take longer than the piece.
pub(super) struct Turns {
    parallel: usize,
    queue: Arc<Mutex<Queue>>,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    threads: usize,
}

impl Turns {
    /// Makes turns of at most `parallel` at a time, and at least one.
    pub(super) fn new(parallel: usize) -> Self {
        Self { parallel: parallel.max(1), queue: Arc::default() }
    }

    /// Returns how much is done at a time.
    pub(super) const fn parallel(&self) -> usize {
        self.parallel
    }

    /// Does work in its turn, unless nobody waits for it by then. The sender is gone where it panics.
    pub(super) fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let turn = move || {
            if !done.is_closed() {
                let _ = done.send(work());
            }
        };
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(Box::new(turn));
        if queue.threads < self.parallel {
            queue.threads = queue.threads.saturating_add(1);
            let queue = Arc::clone(&self.queue);
            drop(spawn_blocking(move || {
                while let Some(turn) = next(&queue) {
                    let _ = catch_unwind(AssertUnwindSafe(turn));
                }
            }));
        }
        result
    }
}

/// Returns what is next; where nothing is, its thread is none of them any more.
fn next(queue: &Mutex<Queue>) -> Option<Work> {
    let mut queue = lock(queue);
    let next = queue.waiting.pop_front();
    if next.is_none() {
        queue.threads = queue.threads.saturating_sub(1);
    }
    next
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("parallel", &self.parallel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_a_time_than_may() {
        let turns = Turns::new(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |index: usize| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            turns.take(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                index
            })
        };
        for _ in 0..20 {
            let done = join_all((0..50).map(work)).await;
            let done: Vec<usize> = done.into_iter().map(Result::unwrap).collect();
            assert_eq!(done, (0..50).collect::<Vec<_>>());
        }
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn what_panics_ends_nothing_else() {
        let turns = Turns::new(1);
        let broken = turns.take(|| panic!("a model that breaks"));
        let next = turns.take(|| 7);
        assert!(broken.await.is_err());
        assert_eq!((next.await, turns.take(|| 8).await), (Ok(7), Ok(8)));
    }

    /// What was cancelled before its turn came is not done.
    #[tokio::test]
    async fn what_nobody_waits_for_is_left() {
        let turns = Turns::new(1);
        let (open, gate) = mpsc::channel::<()>();
        let first = turns.take(move || gate.recv().is_ok());
        let ran = Arc::new(AtomicUsize::new(0));
        let note = Arc::clone(&ran);
        drop(turns.take(move || note.fetch_add(1, Ordering::SeqCst)));
        open.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        turns.take(|| ()).await.unwrap();
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }
}
