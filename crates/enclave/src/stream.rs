//! Sockets with a moment by which what goes on has to end.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use assay_primitives::{Clock as _, SystemClock};

/// A connected socket of any kind.
pub(crate) trait Socket: Read + Write + Send + Debug {
    /// Sets how long one read or one write may take.
    fn set_timeout(&self, timeout: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

#[cfg(target_os = "linux")]
impl Socket for vsock::VsockStream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
        self.set_write_timeout(Some(timeout))
    }
}

/// A socket whose reads and writes together have to end by a moment: a timeout of each alone would let
/// the other end take as long as it likes, byte by byte.
#[derive(Debug)]
pub(crate) struct Timed {
    socket: Box<dyn Socket>,
    clock: SystemClock,
    end: Duration,
}

impl Timed {
    /// Takes a socket; until [`Self::end_within`] is called nothing can be read or written.
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        Self { socket, clock: SystemClock::default(), end: Duration::ZERO }
    }

    /// Sets how long all reads and writes from now on may take together.
    pub(crate) fn end_within(&mut self, time: Duration) {
        self.end = self.clock.monotonic().saturating_add(time);
    }

    /// Does something in the time that is left.
    fn in_time<T>(&mut self, run: impl FnOnce(&mut dyn Socket) -> io::Result<T>) -> io::Result<T> {
        let left = self.end.saturating_sub(self.clock.monotonic());
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it took too long");
        if left.is_zero() {
            return Err(late());
        }
        self.socket.set_timeout(left)?;
        // What Unix says of a timeout.
        run(self.socket.as_mut()).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => late(),
            _ => error,
        })
    }
}

impl Read for Timed {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.in_time(|socket| socket.read(to))
    }
}

impl Write for Timed {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.in_time(|socket| socket.write(from))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.in_time(|socket| socket.flush())
    }
}
