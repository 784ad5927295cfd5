use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};

use crate::{Address, Ask, Enclave, Frame, FrameError};

/// The most connections at a time: gateways keep theirs.
const MAX_CONNECTIONS: usize = 256;
/// How often it is looked whether the next epoch is to begin.
const RENEWAL: Duration = Duration::from_secs(15);

/// Where an enclave listens.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(target_os = "linux")]
    Vsock(vsock::VsockListener),
}

/// An enclave that answers on a socket: a thread for each connection.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    enclave: Arc<Enclave>,
}

trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// When that cannot be, or this system has no such sockets.
    pub fn bind(address: Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).map(|l| Self(Socket::Tcp(l))),
            #[cfg(target_os = "linux")]
            Address::Vsock { cid, port } => {
                vsock::VsockListener::bind_with_cid_port(cid, port).map(|l| Self(Socket::Vsock(l)))
            }
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
            Socket::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            #[cfg(target_os = "linux")]
            Socket::Vsock(listener) => listener
                .local_addr()
                .map(|address| Address::Vsock { cid: address.cid(), port: address.port() }),
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match &self.0 {
            Socket::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(target_os = "linux")]
            Socket::Vsock(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }
}

impl Server {
    /// Puts an enclave behind a listener.
    #[must_use]
    pub const fn new(listener: Listener, enclave: Arc<Enclave>) -> Self {
        Self { listener, enclave }
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// When no thread can be started.
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
            if place.count > MAX_CONNECTIONS {
                debug!("A connection is refused: there are {MAX_CONNECTIONS} already.");
                continue;
            }
            let enclave = self.enclave.clone();
            let answering = move || {
                let _place = place;
                if let Err(error) = answer(connection, &enclave) {
                    debug!(%error, "A connection ended.");
                }
            };
            thread::Builder::new().name("connection".to_owned()).spawn(answering)?;
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
fn answer(connection: Box<dyn Connection>, enclave: &Enclave) -> Result<(), FrameError> {
    let mut connection = BufReader::new(connection);
    loop {
        let asked = match Frame::<Ask>::read(&mut connection) {
            Ok(asked) => asked,
            Err(FrameError::Ended) => return Ok(()),
            Err(error) => return Err(error),
        };
        enclave.answer(&asked).write(connection.get_mut())?;
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
