//! Serving any routes within limits: on connections, on the time a head and a body may take.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::add_extension::AddExtension;
use tracing::{debug, warn};

use crate::ClientLimits;
use crate::client::Peer;
use crate::connections::{ClientConnection, ClientConnections, Impatient, OpenConnection};
use crate::metrics::ConnectionMetrics;
use crate::streams::{PIECE, Streams, in_pieces};

/// The most connections at a time; further ones wait.
const MAX_CONNECTIONS: usize = 4096;
/// How long the head of a request may take to arrive, counted from the connection or the answer
/// before, and so how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request's head: a payment takes up to 16 KiB of it.
const MAX_HEAD: usize = 64 * 1024;
/// The most requests at a time on a connection of HTTP/2.
const MAX_STREAMS: u32 = 32;
/// What a client begins HTTP/2 with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is added to the time a body may take, before a connection is given up on at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Routes that are served.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    patience: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
    broke_off: CancellationToken,
}

/// A server that cannot listen, or stopped listening.
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

/// What connections may take.
#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    pub(crate) body_timeout: Duration,
    pub(crate) clients: ClientLimits,
}

/// What every connection is served by.
struct Connections {
    routes: Router,
    limits: HttpLimits,
    metrics: ConnectionMetrics,
    clients: Arc<ClientConnections>,
    tasks: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
}

/// Serves routes at an address (port 0 for any) until told to stop: HTTP/1 and HTTP/2, with limits on
/// how many connections there are and how long a request's head and body may take to arrive. A body
/// that is late ends with an error.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve_routes(
    routes: Router,
    address: SocketAddr,
    body_timeout: Duration,
) -> Result<HttpServer, ServeError> {
    let in_time =
        move |request: Request, next: Next| next.run(request.map(|b| bounded(b, body_timeout)));
    let limits = HttpLimits { body_timeout, clients: ClientLimits::default() };
    let metrics = ConnectionMetrics::default();
    listen(routes.layer(from_fn(in_time)), address, limits, metrics).await
}

/// Serves routes that see to it themselves that a body does not take longer.
pub(crate) async fn listen(
    routes: Router,
    address: SocketAddr,
    limits: HttpLimits,
    metrics: ConnectionMetrics,
) -> Result<HttpServer, ServeError> {
    let bind = |error| ServeError::Bind { address, error };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
    let patience = limits.body_timeout + FAREWELL;
    let tasks = TaskTracker::new();
    let connections = Arc::new(Connections {
        routes: routes.layer(from_fn(in_pieces)),
        metrics,
        clients: Arc::default(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        abandon: abandon.clone(),
        limits,
    });
    let broke_off = CancellationToken::new();
    let guard = broke_off.clone().drop_guard();
    tasks.spawn(async move {
        accept(listener, connections).await;
        guard.disarm();
    });
    Ok(HttpServer { address, patience, tasks, stop, abandon, broke_off })
}

impl HttpServer {
    /// Returns the address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a task until the server stops, which waits for it.
    pub(crate) fn until_stopped(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Waits until the server ends by itself, which it does only by a defect.
    ///
    /// # Errors
    /// [`ServeError::BrokeOff`].
    pub async fn failed(&self) -> Result<(), ServeError> {
        self.broke_off.cancelled().await;
        Err(ServeError::BrokeOff)
    }

    /// Stops: takes no more requests, answers the ones that are under way, and ends. A client that
    /// does not send its request to the end, or does not read its answer, is waited for no longer
    /// than a body may take, once no `work` is left.
    ///
    /// # Errors
    /// When the server had ended by itself.
    pub async fn stop(&self, work: &TaskTracker) -> Result<(), ServeError> {
        self.stop.cancel();
        self.tasks.close();
        let mut idle = 0;
        while tokio::time::timeout(self.patience, self.tasks.wait()).await.is_err() {
            // Twice: the answer to work that has just ended is still to be sent.
            idle = if work.is_empty() { idle + 1 } else { 0 };
            if idle == 2 {
                warn!("Connections that do not end are given up on.");
                self.abandon.cancel();
                self.tasks.wait().await;
            }
        }
        if self.broke_off.is_cancelled() { Err(ServeError::BrokeOff) } else { Ok(()) }
    }

    /// Stops at once: every connection is closed, whatever it is at.
    pub fn abandon(&self) {
        self.stop.cancel();
        self.abandon.cancel();
    }
}

/// Lets a body arrive until a time has passed.
fn bounded(body: Body, timeout: Duration) -> Body {
    let end = Instant::now() + timeout;
    Body::from_stream(try_unfold(body.into_data_stream(), move |mut chunks| async move {
        match tokio::time::timeout_at(end, chunks.next()).await {
            Ok(Some(chunk)) => chunk.map(|chunk| Some((chunk, chunks))),
            Ok(None) => Ok(None),
            Err(late) => Err(axum::Error::new(late)),
        }
    }))
}

async fn accept(listener: TcpListener, connections: Arc<Connections>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let stop = connections.stop.clone();
    let accepted = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(held) = connections.admit(peer) else { continue };
                    let serving = Arc::clone(&connections).serve(stream, peer);
                    connections.tasks.spawn(async move {
                        serving.await;
                        drop((place, held));
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
    /// Takes a connection on, unless its address has enough of them. A proxy has those of many, and
    /// programs of this machine are not limited.
    fn admit(&self, peer: SocketAddr) -> Option<(ClientConnection, OpenConnection)> {
        let (address, limits) = (peer.ip().to_canonical(), &self.limits.clients);
        let is_free =
            limits.connections == 0 || address.is_loopback() || limits.proxies.trusts(address);
        let limit = if is_free { usize::MAX } else { limits.connections };
        let held = self.clients.take(address.into(), limit);
        if held.is_none() {
            self.metrics.refused.inc();
        }
        Some((held?, OpenConnection::new(&self.metrics.open)))
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are short and waited for.
        let _ = stream.set_nodelay(true);
        tokio::select! {
            () = self.abandon.cancelled() => {}
            () = self.exchange(stream, peer) => {}
        }
    }

    /// Answers the requests of a connection, after the stop only those that are under way.
    async fn exchange(&self, stream: TcpStream, peer: SocketAddr) {
        let (mut reading, writing) = stream.into_split();
        let begun = tokio::time::timeout(HEAD_TIMEOUT, first_bytes(&mut reading));
        let first = tokio::select! {
            () = self.stop.cancelled() => return,
            begun = begun => match begun {
                Ok(Ok(first)) => first,
                _ => return,
            },
        };
        let (unread, patience) = (&self.metrics.unread, self.limits.clients.read_timeout);
        let writing = Impatient::new(writing, patience, unread.clone());
        let stream = tokio::io::join(Cursor::new(first).chain(reading), writing);
        let mut builder = Builder::new(Streams::new(patience, unread.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(PIECE)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
        let service = AddExtension::new(self.routes.clone(), Peer(peer));
        let service = TowerToHyperService::new(service);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrustedProxies;

    #[test]
    fn an_address_has_as_many_connections_as_its_limit() {
        let proxies = vec!["192.0.2.0/24".parse().unwrap()];
        let proxies = TrustedProxies::new(proxies, crate::ForwardedHeader::default());
        let clients = ClientLimits { connections: 2, proxies, ..ClientLimits::default() };
        let connections = Connections {
            routes: Router::new(),
            limits: HttpLimits { body_timeout: Duration::from_secs(1), clients },
            metrics: ConnectionMetrics::default(),
            clients: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            abandon: CancellationToken::new(),
        };
        let admitted = |address: &str, times: usize| -> Vec<_> {
            let peer = format!("{address}:4711").parse().unwrap();
            (0..times).filter_map(|_| connections.admit(peer)).collect()
        };
        let held = admitted("198.51.100.1", 5);
        assert_eq!(held.len(), 2);
        // One network of IPv6 is one client; an address of IPv4 is one however it is written.
        assert_eq!(admitted("[::ffff:198.51.100.1]", 1).len(), 0);
        let six = [admitted("[2001:db8::1]", 1), admitted("[2001:db8::2]", 2)];
        assert_eq!(six.iter().map(Vec::len).sum::<usize>(), 2);
        // Proxies and this machine have those of many.
        for many in ["192.0.2.7", "127.0.0.1", "[::1]"] {
            assert_eq!(admitted(many, 9).len(), 9, "{many}");
        }
        let metrics = &connections.metrics;
        assert_eq!((metrics.open.get(), metrics.refused.get()), (4, 5));
        drop((held, six));
        assert_eq!((metrics.open.get(), admitted("198.51.100.1", 3).len()), (0, 2));
    }
}
