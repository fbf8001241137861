//! Connection and TLS of one request, with a deadline for all of it: servers that drip a byte now and
//! then would outlive timeouts of single reads.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::certificate::not_after;
use crate::failure::{Cause, Failure, Phase};
use crate::visit::{Log, left};
use crate::way::{Way, connect};

/// For each address: SYN and two repetitions of it (Linux, `TCP_TIMEOUT_INIT`: after 1 and 3 s).
const CONNECT: Duration = Duration::from_secs(6);
/// Addresses that are tried; a name with one dead and one living address is common.
const MOST_TRIES: usize = 4;

/// Opens the connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) way: Option<Way>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) log: Arc<Log>,
}

impl Connector<()> for Line {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        let stream = self.open(details).map_err(|failure| self.log.failed(failure))?;
        self.log.with(|marks| marks.connected = Some(Instant::now()));
        let stream = if details.needs_tls() {
            let secured = self.secure(details.uri.host().unwrap_or_default(), stream);
            let secured = secured.map_err(|failure| self.log.failed(failure))?;
            self.log.with(|marks| marks.secured = Some(Instant::now()));
            Stream::Tls(Box::new(secured))
        } else {
            Stream::Plain(stream)
        };
        let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(sizes.0, sizes.1);
        Ok(Some(Wire { stream, buffers, log: Arc::clone(&self.log) }))
    }
}

impl Line {
    fn open(&self, details: &ConnectionDetails<'_>) -> Result<Timed, Failure> {
        let mut last = Failure::new(Phase::Connect, Cause::Unreachable);
        let tries = details.addrs.len().min(MOST_TRIES);
        for (at, address) in details.addrs.iter().take(tries).enumerate() {
            // What is left is for all that are left.
            let limit = (left(self.log.until) / u32::try_from(tries - at).unwrap_or(1)).min(CONNECT);
            if limit.is_zero() {
                return Err(Failure::new(Phase::Connect, Cause::TimedOut));
            }
            self.log.with(|marks| marks.address = Some(*address));
            // With Nagle's algorithm the request would wait behind the end of the handshake until that is
            // acknowledged, which Linux delays by 40 ms.
            let connected = connect(*address, self.way.as_ref(), limit)
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
            match connected {
                Ok(stream) => return Ok(Timed { stream, until: self.log.until }),
                Err(error) => last = Failure::io(Phase::Connect, &error),
            }
        }
        Err(last)
    }

    fn secure(&self, host: &str, stream: Timed) -> Result<StreamOwned<ClientConnection, Timed>, Failure> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| Failure::new(Phase::Url, Cause::Address))?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name);
        let connection = connection.map_err(|error| Failure::tls(Phase::Tls, &error))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            match stream.conn.complete_io(&mut stream.sock) {
                // Without progress it would go on for ever.
                Ok((0, 0)) => return Err(Failure::new(Phase::Tls, Cause::Closed)),
                Ok(_) => {}
                Err(error) => return Err(Failure::io(Phase::Tls, &error)),
            }
        }
        let own = stream.conn.peer_certificates().and_then(|chain| not_after(chain.first()?));
        self.log.with(|marks| marks.certificate_until = own);
        Ok(stream)
    }
}

/// A connection that gives up at one moment, however busy it is.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        Some(left(self.until)).filter(|left| !left.is_zero()).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                // The kernel does not begin a wait with a limit anew (signal(7)); what is left of it is ours.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// The connection as ureq uses it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    buffers: LazyBuffers,
    log: Arc<Log>,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = &self.buffers.output()[..amount];
        let sent = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(output),
            Stream::Tls(stream) => stream.write_all(output).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| self.log.failed(Failure::io(Phase::Http, &error)))
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let buffer = self.buffers.input_append_buf();
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        };
        let read = read.map_err(|error| self.log.failed(Failure::io(Phase::Http, &error)))?;
        self.buffers.input_appended(read);
        if read > 0 {
            self.log.with(|marks| _ = marks.first.get_or_insert_with(Instant::now));
        }
        Ok(read > 0)
    }

    /// One request for each connection: the next may leave by another line.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}
