use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::{Gateway, router};

/// How often open settlements are carried on while they come to their ends, and at least.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// The most connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 4096;
/// How long the head of a request may take to arrive, counted from the connection or the answer
/// before, and so how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request's head: a payment takes up to 16 KiB of it.
const MAX_HEAD: usize = 64 * 1024;
/// What a client begins HTTP/2 with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is added to the time a body may take, before a connection is given up on at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// A gateway that listens.
#[derive(Debug)]
pub struct RunningServer {
    address: SocketAddr,
    gateway: Gateway,
    tasks: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
    broke_off: CancellationToken,
}

/// A gateway that cannot listen, or stopped listening.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server's task broke off.
    #[error("server broke off")]
    BrokeOff,
}

/// What every connection is served by.
struct Connections {
    routes: Router,
    tasks: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
}

/// Listens on an address (port 0 for any) until told to stop.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(gateway: Gateway, address: SocketAddr) -> Result<RunningServer, ServeError> {
    let bind = |error| ServeError::Bind { address, error };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let connections = Arc::new(Connections {
        routes: router(gateway.clone()),
        tasks: tasks.clone(),
        stop: stop.clone(),
        abandon: abandon.clone(),
    });
    let broke_off = CancellationToken::new();
    let guard = broke_off.clone().drop_guard();
    tasks.spawn(async move {
        accept(listener, connections).await;
        guard.disarm();
    });
    tasks.spawn(settle(gateway.clone(), stop.clone()));
    Ok(RunningServer { address, gateway, tasks, stop, abandon, broke_off })
}

impl RunningServer {
    /// Returns the address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server ends by itself, which it does only by a defect.
    ///
    /// # Errors
    /// [`ServeError::BrokeOff`].
    pub async fn failed(&mut self) -> Result<(), ServeError> {
        self.broke_off.cancelled().await;
        Err(ServeError::BrokeOff)
    }

    /// Stops: takes no more requests, finishes the ones that were paid for, and ends. A client that
    /// does not send its request to the end, or does not read its answer, is waited for no longer
    /// than a body may take.
    ///
    /// # Errors
    /// When the server had ended by itself.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.stop.cancel();
        self.tasks.close();
        let purchases = &self.gateway.service.parts().tasks;
        let patience = self.gateway.config.body_timeout + FAREWELL;
        let mut idle = 0;
        while tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            // Twice: the answer to a purchase that has just ended is still to be sent.
            idle = if purchases.is_empty() { idle + 1 } else { 0 };
            if idle == 2 {
                warn!("Connections that do not end are given up on.");
                self.abandon.cancel();
                self.tasks.wait().await;
            }
        }
        purchases.close();
        purchases.wait().await;
        if self.broke_off.is_cancelled() { Err(ServeError::BrokeOff) } else { Ok(()) }
    }
}

async fn accept(listener: TcpListener, connections: Arc<Connections>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let stop = connections.stop.clone();
    let accepted = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let serving = Arc::clone(&connections).serve(stream);
                    connections.tasks.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // A connection that went away, or no more file descriptors for a moment.
                    debug!(%error, "A connection was not accepted.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepted => {}
    }
}

impl Connections {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // Answers are short and waited for.
        let _ = stream.set_nodelay(true);
        tokio::select! {
            () = self.abandon.cancelled() => {}
            () = self.exchange(stream) => {}
        }
    }

    /// Answers the requests of a connection, after the stop only those that are under way.
    async fn exchange(&self, stream: TcpStream) {
        let (mut reading, writing) = stream.into_split();
        let begun = tokio::time::timeout(HEAD_TIMEOUT, first_bytes(&mut reading));
        let first = tokio::select! {
            () = self.stop.cancelled() => return,
            begun = begun => match begun {
                Ok(Ok(first)) => first,
                _ => return,
            },
        };
        let stream = tokio::io::join(Cursor::new(first).chain(reading), writing);
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD_TIMEOUT)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
        let service = TowerToHyperService::new(self.routes.clone());
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "A connection broke off.");
        }
    }
}

/// Reads as many bytes as it takes to tell HTTP/1 and HTTP/2 apart, which are often fewer than the
/// preface has: until then no time-out of theirs runs.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(PREFACE.len());
    let mut rest = stream.take(PREFACE.len() as u64);
    loop {
        if rest.read_buf(&mut first).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(&first) || first.len() == PREFACE.len() {
            return Ok(first);
        }
    }
}

/// Carries open settlements on until stopped, more rarely while nothing comes to its end. Stopping
/// breaks a pass off: what it was at is taken up by the next process.
async fn settle(gateway: Gateway, stop: CancellationToken) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let pass = tokio::select! {
            () = stop.cancelled() => return,
            pass = gateway.service.settle_pending() => pass,
        };
        match pass {
            Ok(pass) if pass.open > 0 && pass.ended == 0 => {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(_) => pause = SHORTEST_PAUSE,
            Err(error) => warn!(%error, "Open settlements could not be carried on."),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
