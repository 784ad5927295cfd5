use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};

use crate::enclave::failed;
use crate::stream::{Socket, Timed};
use crate::{Address, Ask, Enclave, FailureReason, Frame, FrameError};

/// How often it is looked whether the next epoch is to begin.
const RENEWAL: Duration = Duration::from_secs(15);

/// Where an enclave listens.
#[derive(Debug)]
pub struct Listener(ListenerSocket);

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(target_os = "linux")]
    Vsock(vsock::VsockListener),
}

/// An enclave that answers on a socket: a thread for each connection.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    enclave: Arc<Enclave>,
    limits: Limits,
}

/// What whoever connects can take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at a time: gateways keep theirs.
    pub connections: usize,
    /// How long a connection may be idle. A gateway connects again.
    pub idle: Duration,
    /// How long a frame may take from its first byte to its last, and an answer to be taken.
    pub frame: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (idle, frame) = (Duration::from_secs(600), Duration::from_secs(60));
        Self { connections: 256, idle, frame }
    }
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// When that cannot be, or this system has no such sockets.
    pub fn bind(address: Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                TcpListener::bind(address).map(|l| Self(ListenerSocket::Tcp(l)))
            }
            #[cfg(target_os = "linux")]
            Address::Vsock { cid, port } => vsock::VsockListener::bind_with_cid_port(cid, port)
                .map(|l| Self(ListenerSocket::Vsock(l))),
            #[cfg(not(target_os = "linux"))]
            Address::Vsock { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Returns the address, with the port that was chosen.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<Address> {
        match &self.0 {
            ListenerSocket::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(target_os = "linux")]
            ListenerSocket::Vsock(listener) => listener
                .local_addr()
                .map(|address| Address::Vsock { cid: address.cid(), port: address.port() }),
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Socket>> {
        match &self.0 {
            ListenerSocket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(target_os = "linux")]
            ListenerSocket::Vsock(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }
}

impl Server {
    /// Puts an enclave behind a listener.
    #[must_use]
    pub fn new(listener: Listener, enclave: Arc<Enclave>) -> Self {
        Self { listener, enclave, limits: Limits::default() }
    }

    /// Sets what whoever connects can take up.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// When the thread cannot be started that begins the next epochs.
    pub fn run(self) -> io::Result<()> {
        let enclave = self.enclave.clone();
        let renewing = move || loop {
            thread::sleep(RENEWAL);
            if let Err(error) = enclave.renew() {
                warn!(%error, "The next epoch could not begin.");
            }
        };
        thread::Builder::new().name("epochs".to_owned()).spawn(renewing)?;
        let connections = Arc::new(AtomicUsize::new(0));
        loop {
            let connection = match self.listener.accept() {
                Ok(connection) => connection,
                Err(error) => {
                    warn!(%error, "A connection could not be taken.");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let place = Place::take(&connections);
            if place.count > self.limits.connections {
                debug!(count = place.count, "A connection is refused: there are too many.");
                continue;
            }
            let (enclave, limits) = (self.enclave.clone(), self.limits);
            let answering = move || {
                let _place = place;
                if let Err(error) = answer(connection, &enclave, limits) {
                    debug!(%error, "A connection ended.");
                }
            };
            let named = thread::Builder::new().name("connection".to_owned());
            if let Err(error) = named.spawn(answering) {
                warn!(%error, "A connection is refused: no thread could be started.");
            }
        }
    }
}

/// A connection that is counted.
struct Place {
    connections: Arc<AtomicUsize>,
    count: usize,
}

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Self {
        let count = connections.fetch_add(1, Ordering::Relaxed) + 1;
        Self { connections: connections.clone(), count }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers what comes on a connection, one after the other, until it ends.
fn answer(
    connection: Box<dyn Socket>,
    enclave: &Enclave,
    limits: Limits,
) -> Result<(), FrameError> {
    let mut connection = BufReader::new(Timed::new(connection));
    loop {
        connection.get_mut().end_within(limits.idle);
        if connection.fill_buf()?.is_empty() {
            return Ok(());
        }
        connection.get_mut().end_within(limits.frame);
        let answer = match Frame::<Ask>::read(&mut connection) {
            Ok(asked) => enclave.answer(&asked),
            // A gateway of another version is told what is not understood.
            Err(error @ FrameError::Header(_)) => failed(FailureReason::Request, &error),
            Err(error) => return Err(error),
        };
        let connection = connection.get_mut();
        connection.end_within(limits.frame);
        match answer.write(connection) {
            // Of this nothing is written: who asked is told, instead of asking again.
            Err(error @ FrameError::Length { .. }) => {
                failed(FailureReason::Internal, &error).write(connection)?;
            }
            written => written?,
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(address) => address.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}
