use std::fmt;
use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_primitives::{KeyId, ModelId, printable};
use assay_receipt::Salt;
use thiserror::Error;

use crate::stream::{Socket, Timed};
use crate::{Answer, Ask, Description, FailureReason, Frame, FrameError};

/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections that are kept while nothing is asked on them.
const MAX_IDLE: usize = 64;
/// The most characters that are shown of what an enclave says.
const MAX_SHOWN: usize = 512;

/// Where an enclave is talked to: `tcp:127.0.0.1:5005`, or `vsock:16:5005` with the context id of the
/// virtual machine and its port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// TCP: on this machine, or in a network whose end is in the enclave's hands.
    Tcp(SocketAddr),
    /// The socket between a virtual machine and its host.
    Vsock {
        /// The context id of the virtual machine.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// Not the address of an enclave.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("enclave address: expected `tcp:IP:PORT` or `vsock:CID:PORT`, got `{0}`")]
pub struct AddressError(String);

/// The gateway's end: asks one thing at a time on each of its connections. It blocks; what it gets is
/// claimed by the enclave, and for others to verify.
#[derive(Debug)]
pub struct Client {
    address: Address,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// What an enclave ran.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inferred {
    /// The output's committed bytes.
    pub output: Vec<u8>,
    /// The enclave's signed statement.
    pub statement: Vec<u8>,
    /// The key that it says it signed with.
    pub key: KeyId,
}

/// An enclave that did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It cannot be reached.
    #[error("enclave {address}: {error}")]
    Connect {
        /// Its address.
        address: Address,
        /// What the system says.
        error: io::Error,
    },
    /// It went away, or answered garbage.
    #[error("enclave {address}: {error}")]
    Frame {
        /// Its address.
        address: Address,
        /// What came of it.
        error: FrameError,
    },
    /// It answered something else than it was asked.
    #[error("enclave {address}: expected {expected}, got {got}")]
    Answer {
        /// Its address.
        address: Address,
        /// What it was asked for.
        expected: &'static str,
        /// What it answered.
        got: String,
    },
    /// It says that it could not.
    #[error("enclave {address}: {detail}")]
    Failed {
        /// Its address.
        address: Address,
        /// Why, in one word.
        reason: FailureReason,
        /// Why, in words.
        detail: String,
    },
}

#[derive(Debug)]
struct Connection(BufReader<Timed>);

impl Client {
    /// Makes the end of an enclave at an address; nothing is connected yet. An answer may take as long
    /// as `timeout`, with all that is sent and received for it.
    #[must_use]
    pub fn new(address: Address, timeout: Duration) -> Self {
        Self { address, timeout, idle: Mutex::default() }
    }

    /// Returns the enclave's address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Asks what it runs.
    ///
    /// # Errors
    /// When it does not say.
    pub fn describe(&self) -> Result<Description, ClientError> {
        let answer = self.ask(Ask::Describe, Vec::new())?;
        match answer.header {
            Answer::Description(description) => Ok(description),
            other => Err(self.unexpected("a description", other)),
        }
    }

    /// Asks for the key attestation of the epoch.
    ///
    /// # Errors
    /// When it gives none.
    pub fn attestation(&self) -> Result<Vec<u8>, ClientError> {
        self.ask_for_attestation(Ask::Attestation, Vec::new())
    }

    /// Asks for the key attestation of a key that signed an answer a moment ago.
    ///
    /// # Errors
    /// When it gives none.
    pub fn attestation_of(&self, key: KeyId) -> Result<Vec<u8>, ClientError> {
        self.ask_for_attestation(Ask::AttestationOf { key }, Vec::new())
    }

    /// Asks for new evidence for the key of the epoch, which answers a nonce.
    ///
    /// # Errors
    /// When it gives none.
    pub fn attest(&self, nonce: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.ask_for_attestation(Ask::Attest, nonce.to_vec())
    }

    /// Has a model run on a request.
    ///
    /// # Errors
    /// When it is not run.
    pub fn infer(
        &self,
        model: ModelId,
        [request_salt, output_salt]: [Salt; 2],
        request: Vec<u8>,
    ) -> Result<Inferred, ClientError> {
        let answer = self.ask(Ask::Infer { model, request_salt, output_salt }, request)?;
        let (output_length, key) = match answer.header {
            Answer::Inferred { output_length, key } => (output_length, key),
            other => return Err(self.unexpected("an inference", other)),
        };
        let mut output = answer.body;
        let length = usize::try_from(output_length).ok().filter(|length| *length <= output.len());
        let Some(length) = length else {
            let got = format!("an output of {output_length} of {} bytes", output.len());
            let expected = "an output and a statement";
            return Err(ClientError::Answer { address: self.address, expected, got });
        };
        let statement = output.split_off(length);
        Ok(Inferred { output, statement, key })
    }

    fn ask_for_attestation(&self, ask: Ask, body: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let answer = self.ask(ask, body)?;
        match answer.header {
            Answer::Attestation => Ok(answer.body),
            other => Err(self.unexpected("an attestation", other)),
        }
    }

    /// Asks on a connection that is idle, or a new one. One that the enclave has closed meanwhile is
    /// replaced, once: what an enclave runs twice is charged once, but it is not to run for ever.
    fn ask(&self, ask: Ask, body: Vec<u8>) -> Result<Frame<Answer>, ClientError> {
        let asked = Frame { header: ask, body };
        let failed = |error| ClientError::Frame { address: self.address, error };
        let idle = self.idle().pop();
        if let Some(connection) = idle {
            match self.ask_on(connection, &asked) {
                Err(error) if is_of_the_end(&error) => self.idle().clear(),
                answer => return answer.map_err(failed),
            }
        }
        self.ask_on(self.connect()?, &asked).map_err(failed)
    }

    /// Asks on a connection, and keeps it if nothing is left on it.
    fn ask_on(
        &self,
        mut connection: Connection,
        asked: &Frame<Ask>,
    ) -> Result<Frame<Answer>, FrameError> {
        let answer = connection.ask(asked, self.timeout)?;
        let mut idle = self.idle();
        if connection.0.buffer().is_empty() && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Connection, ClientError> {
        let address = self.address;
        let socket = || -> io::Result<Box<dyn Socket>> {
            match address {
                Address::Tcp(address) => {
                    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream))
                }
                #[cfg(target_os = "linux")]
                Address::Vsock { cid, port } => {
                    Ok(Box::new(vsock::VsockStream::connect_with_cid_port(cid, port)?))
                }
                #[cfg(not(target_os = "linux"))]
                Address::Vsock { .. } => Err(io::ErrorKind::Unsupported.into()),
            }
        };
        let socket = socket().map_err(|error| ClientError::Connect { address, error })?;
        Ok(Connection(BufReader::new(Timed::new(socket))))
    }

    fn unexpected(&self, expected: &'static str, answer: Answer) -> ClientError {
        let address = self.address;
        match answer {
            Answer::Failed { reason, detail } => {
                let detail = printable(&detail, MAX_SHOWN);
                ClientError::Failed { address, reason, detail }
            }
            other => {
                let got = printable(&format!("{other:?}"), MAX_SHOWN);
                ClientError::Answer { address, expected, got }
            }
        }
    }
}

impl Connection {
    fn ask(&mut self, asked: &Frame<Ask>, timeout: Duration) -> Result<Frame<Answer>, FrameError> {
        self.0.get_mut().end_within(timeout);
        asked.write(self.0.get_mut())?;
        Frame::read(&mut self.0)
    }
}

/// Says whether an error is that of a connection that the other end has closed.
fn is_of_the_end(error: &FrameError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match error {
        FrameError::Ended => true,
        FrameError::Io(error) => {
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
        }
        _ => false,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || AddressError(assay_primitives::printable(text, 96));
        match text.split_once(':') {
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_| wrong()),
            Some(("vsock", address)) => {
                let (cid, port) = address.split_once(':').ok_or_else(wrong)?;
                // Rust reads a sign and leading zeros, too.
                let number = |text: &str| {
                    let number = text.parse::<u32>().ok().filter(|it| it.to_string() == text);
                    number.ok_or_else(wrong)
                };
                Ok(Self::Vsock { cid: number(cid)?, port: number(port)? })
            }
            _ => Err(wrong()),
        }
    }
}
