//! What carries HTTP: TCP, or TLS over it. Both notice when the server speaks the other of the two.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::address::Host;
use crate::sys::clock::Deadline;

/// The name that a server's certificate has to show: a host name, without the dot at its end, or an IP address.
///
/// # Errors
///
/// What is wrong with it, as a fragment for a message.
pub(super) fn server_name(host: &Host) -> Result<ServerName<'static>, &'static str> {
    match host {
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.strip_suffix('.').unwrap_or(name).to_owned())
            .map_err(|_| "no certificate can be for this host name"),
    }
}

/// Comes behind the connector of TCP.
#[derive(Debug)]
pub(super) struct TlsIfAsked {
    /// How to speak TLS, and with whom; `None`: not at all.
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Until when the handshake has to be over.
    pub(super) deadline: Deadline,
}

/// Where an exchange went wrong, inside of [`Error::Other`].
#[derive(Debug)]
pub(super) enum Failure {
    /// In the handshake of TLS.
    Handshake(Error),
    /// Something of TLS came where plain text was expected.
    IsTls,
    /// The server hung up on a plain request before it answered a byte.
    HungUp,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(e) => e.fmt(f),
            Self::IsTls => f.write_str("speaks TLS"),
            Self::HungUp => f.write_str("hung up"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Other(Box::new(failure))
    }
}

impl<In: Transport> Connector<In> for TlsIfAsked {
    type Out = Either<Plain<In>, Secured>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        let Some((config, name)) = &self.tls else {
            return Ok(Some(Either::A(Plain { transport, has_input: false })));
        };
        let mut sock = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        sock.set_timeout(NextTimeout {
            after: Duration::Exact(self.deadline.remaining().unwrap_or_default()),
            ..NextTimeout::default()
        });
        let mut conn = ClientConnection::new(Arc::clone(config), name.clone())
            .map_err(|e| Failure::Handshake(io::Error::other(e).into()))?;
        if let Err(e) = conn.complete_io(&mut sock) {
            return Err(Failure::Handshake(last_word(&mut conn, &mut sock, e)).into());
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Secured { buffers, stream: StreamOwned { conn, sock } })))
    }
}

/// Plain text.
#[derive(Debug)]
pub(super) struct Plain<T> {
    transport: T,
    has_input: bool,
}

impl<T: Transport> Plain<T> {
    /// A server of TLS hangs up on plain text, often without an alert.
    fn explained(&self, error: Error) -> Error {
        match error {
            Error::Io(e) if !self.has_input && is_hang_up(e.kind()) => Failure::HungUp.into(),
            error => error,
        }
    }
}

impl<T: Transport> Transport for Plain<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.transport.transmit_output(amount, timeout).map_err(|e| self.explained(e))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let more = self.transport.await_input(timeout).map_err(|e| self.explained(e))?;
        if !self.has_input {
            if !more {
                return Err(Failure::HungUp.into());
            }
            self.has_input = true;
            if self.transport.buffers().input().first() == Some(&ALERT) {
                return Err(Failure::IsTls.into());
            }
        }
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }
}

/// TLS, after its handshake.
pub(super) struct Secured {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let written = self.stream.write_all(output);
        written.map_err(|e| last_word(&mut self.stream.conn, &mut self.stream.sock, e))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        match self.stream.read(self.buffers.input_append_buf()) {
            Ok(amount) => {
                self.buffers.input_appended(amount);
                Ok(amount > 0)
            }
            // Without the close_notify of TLS. An answer that was cut off shows by its length, or as JSON does.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(last_word(&mut self.stream.conn, &mut self.stream.sock, e)),
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}

/// A server that refuses our certificate may hang up while we still write, and its alert waits to be read.
fn last_word(conn: &mut ClientConnection, sock: &mut TransportAdapter, error: io::Error) -> Error {
    if is_hang_up(error.kind()) {
        while matches!(conn.read_tls(sock), Ok(1..)) {
            if let Err(alert) = conn.process_new_packets() {
                return io::Error::other(alert).into();
            }
        }
    }
    error.into()
}

/// Whether the other side has ended the connection.
pub(super) fn is_hang_up(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

/// The content type of an alert (RFC 8446 section 5.1), the one record that answers what is no TLS. No HTTP begins so.
const ALERT: u8 = 21;
