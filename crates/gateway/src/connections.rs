//! How many connections a client has, and how long an answer waits to be read.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::client::Client;

/// How many connections each client has: no more entries than connections.
#[derive(Debug, Default)]
pub(crate) struct ClientConnections {
    counts: Mutex<HashMap<Client, usize>>,
}

/// A connection of a client, until this is dropped.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    all: Arc<ClientConnections>,
    client: Client,
}

/// A connection that is counted as open, until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl ClientConnections {
    /// Counts a connection, unless the client has as many as the limit.
    pub(crate) fn take(self: &Arc<Self>, client: Client, limit: usize) -> Option<ClientConnection> {
        let mut counts = self.lock();
        let count = counts.get(&client).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        counts.insert(client, count + 1);
        Some(ClientConnection { all: self.clone(), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        let mut counts = self.all.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

impl OpenConnection {
    pub(crate) fn new(open: &Gauge) -> Self {
        open.inc();
        Self(open.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Writes to somebody who has to read: when nothing is taken for a time, it gives up.
pub(crate) struct Impatient<W> {
    inner: W,
    patience: Duration,
    /// Runs while something waits to be taken.
    timer: Pin<Box<Sleep>>,
    is_waiting: bool,
    given_up: Counter,
}

impl<W> Impatient<W> {
    pub(crate) fn new(inner: W, patience: Duration, given_up: Counter) -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { inner, patience, timer, is_waiting: false, given_up }
    }

    /// Passes on what became of a write; gives up when it has waited for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.timer.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.given_up.inc();
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer is not read")))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Impatient<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wait(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.wait(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.wait(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wait(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_client_and_come_back() {
        let all = Arc::new(ClientConnections::default());
        let (one, other) = (Client::V4(1), Client::V4(2));
        let held = [all.take(one, 2).unwrap(), all.take(one, 2).unwrap()];
        assert!(all.take(one, 2).is_none() && all.take(other, 2).is_some());
        drop(held);
        assert!(all.take(one, 1).is_some());
        assert!(all.take(one, 0).is_none());
        assert!(all.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_is_given_up() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let given_up = Counter::default();
        let (mut reader, writer) = tokio::io::duplex(8);
        let patience = Duration::from_secs(30);
        let mut writer = Impatient::new(writer, patience, given_up.clone());
        // Who reads on, however slowly, is waited for.
        let reading = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                reader.read_exact(&mut [0; 8]).await.unwrap();
            }
            reader
        };
        let (_reader, written) = tokio::join!(reading, writer.write_all(&[0; 40]));
        written.unwrap();
        assert_eq!(given_up.get(), 0);
        let before = Instant::now();
        let error = writer.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!((before.elapsed(), given_up.get()), (patience, 1));
    }
}
