//! The bytes of a server, watched: tokio-postgres reads as much as it is sent, and answers whatever it is asked.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{self, Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::channel;
use super::refusal::Refusal;

/// A connection with TLS or without.
pub(super) struct Wire {
    stream: Stream,
    watch: Watch,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn plain(stream: TcpStream, watch: Watch) -> Self {
        Self { stream: Stream::Plain(stream), watch }
    }

    pub(super) fn encrypted(stream: tokio_rustls::client::TlsStream<TcpStream>, watch: Watch) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), watch }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        task::ready!(match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            // No server ends a connection that hadsn has not ended.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(this.watch.see(new).map_err(io::Error::other))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        let Stream::Tls(stream) = &self.stream else { return ChannelBinding::none() };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        match certificate.and_then(|certificate| channel::end_point(certificate)) {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

/// Hands a connection on as it is: TLS was settled before tokio-postgres came in.
pub(super) struct AsItIs;

impl TlsConnect<Wire> for AsItIs {
    type Stream = Wire;
    type Error = Infallible;
    type Future = Ready<Result<Wire, Infallible>>;

    fn connect(self, stream: Wire) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Looks at what a server sends before it is answered: at the first message, and at how much there is.
pub(super) struct Watch {
    user: String,
    has_password: bool,
    /// Whether it may be sent as it is.
    is_clear_allowed: bool,
    required: RequiredAuth,
    /// The beginning of the first message, until it has been judged.
    first: Option<Vec<u8>>,
    seen: usize,
}

impl Watch {
    pub(super) fn new(user: &str, has_password: bool, is_clear_allowed: bool, required: RequiredAuth) -> Self {
        Self { user: user.to_owned(), has_password, is_clear_allowed, required, first: Some(Vec::new()), seen: 0 }
    }

    fn see(&mut self, new: &[u8]) -> Result<(), Refusal> {
        self.seen = self.seen.saturating_add(new.len());
        if self.seen > MAX_ANSWER {
            return Err(Refusal::too_much());
        }
        let Some(mut first) = self.first.take() else { return Ok(()) };
        first.extend(new.iter().take(HEAD - first.len().min(HEAD)));
        if !self.is_judged(&first)? {
            self.first = Some(first);
        }
        Ok(())
    }

    /// Judges the beginning of the first message, as far as it is there: type, length (with itself), and what an
    /// `AuthenticationRequest` asks for (PostgreSQL manual, 55.7 "Message Formats"). The limits are libpq's.
    fn is_judged(&self, first: &[u8]) -> Result<bool, Refusal> {
        let number = |at: usize| first.get(at..at + 4).map(|bytes| bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
        let longest = match first.first() {
            None => return Ok(false),
            Some(b'R') => 2000,
            Some(b'E') => 30_000,
            Some(_) => return Err(Refusal::not_postgres()),
        };
        let Some(length) = number(1) else { return Ok(false) };
        if !(8..=longest).contains(&length) {
            return Err(Refusal::not_postgres());
        }
        if first.first() == Some(&b'E') {
            return Ok(true);
        }
        let Some(kind) = number(5) else { return Ok(false) };
        // What is not here is nothing that tokio-postgres answers.
        let Some((_, method)) = METHODS.iter().find(|(number, _)| *number == kind) else { return Ok(true) };
        if !self.required.allows(method) {
            return Err(Refusal::not_required_auth(method, &self.required.text));
        }
        if !self.has_password && matches!(*method, "password" | "md5" | "scram-sha-256") {
            return Err(Refusal::no_password(method, &self.user));
        }
        if !self.is_clear_allowed && *method == "password" {
            return Err(Refusal::clear_password());
        }
        Ok(true)
    }
}

/// The keyword `require_auth` (PostgreSQL manual, 34.1.2; since libpq 16).
#[derive(Debug, Clone, Default)]
pub(super) struct RequiredAuth {
    text: String,
    methods: Vec<String>,
    is_negated: bool,
}

impl RequiredAuth {
    /// Reads a list of methods: all of them allowed, or, with `!`, all of them forbidden.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let negated = names.iter().filter(|name| name.starts_with('!')).count();
        let is_negated = negated == names.len();
        let methods: Vec<String> = names.iter().map(|name| name.trim_start_matches('!').to_owned()).collect();
        if negated > 0 && !is_negated {
            return Err(Refusal::unable("require_auth mixes methods with and without !"));
        }
        let is_known = |name: &String| name == "oauth" || METHODS.iter().any(|(_, known)| known == name);
        if !methods.iter().all(is_known) {
            return Err(Refusal::unable("require_auth names a method that there is not"));
        }
        Ok(Self { text: text.to_owned(), methods, is_negated })
    }

    fn allows(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|name| name == method) != self.is_negated
    }
}

/// What an `AuthenticationRequest` asks for, and what `require_auth` calls it.
const METHODS: [(u32, &str); 6] =
    [(0, "none"), (3, "password"), (5, "md5"), (7, "gss"), (9, "sspi"), (10, "scram-sha-256")];

/// Type, length and kind of an `AuthenticationRequest`.
const HEAD: usize = 9;

/// Bytes. A login and an answer take about one thousand; notices may come with them.
const MAX_ANSWER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u8) -> Vec<u8> {
        vec![b'R', 0, 0, 0, 8, 0, 0, 0, kind]
    }

    fn seen(required: &str, has_password: bool, pieces: &[&[u8]]) -> Result<(), String> {
        let required =
            if required.is_empty() { RequiredAuth::default() } else { RequiredAuth::parse(required).unwrap() };
        let mut watch = Watch::new("app", has_password, has_password, required);
        pieces.iter().try_for_each(|piece| watch.see(piece)).map_err(|refusal| refusal.text)
    }

    #[test]
    fn only_what_require_auth_allows_is_answered() {
        assert_eq!(seen("", true, &[&request(3)]), Ok(()));
        assert_eq!(seen("scram-sha-256, md5", true, &[&request(10)]), Ok(()));
        let refused = r#"wants the authentication password, which require_auth="scram-sha-256" does not allow"#;
        assert_eq!(seen("scram-sha-256", true, &[&request(3)]), Err(refused.into()));
        // However it is cut into pieces.
        let request = request(3);
        let pieces: Vec<&[u8]> = request.chunks(1).collect();
        assert_eq!(seen("scram-sha-256", true, &pieces), Err(refused.into()));
        assert!(seen("!password,!none", true, &pieces).is_err());
        assert!(seen("!md5", true, &pieces).is_ok());
        for bad in ["md5,!none", "kerberos", "", "md5,"] {
            assert!(RequiredAuth::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_question_for_an_unknown_password_is_told() {
        assert!(seen("", false, &[&request(0)]).is_ok());
        for kind in [3, 5, 10] {
            let text = seen("", false, &[&request(kind)]).unwrap_err();
            assert!(text.starts_with(r#"asks for the password of "app" ("#), "{text}");
        }
    }

    #[test]
    fn what_is_not_postgresql_is_told_by_its_beginning() {
        for bytes in [&b"HTTP/1.1 400"[..], b"SSH-2.0-OpenSSH", b"R\0\0\0\x07", b"R\0\x01\0\0", b"EXPECTED", b"\0"] {
            assert_eq!(seen("", true, &[bytes]), Err("speaks no PostgreSQL".into()), "{bytes:?}");
        }
        assert!(seen("", true, &[b"E\0\0\x01\0SFATAL\0"]).is_ok());
        assert!(seen("", true, &[&request(0), &vec![b'x'; MAX_ANSWER]]).is_err());
    }
}
