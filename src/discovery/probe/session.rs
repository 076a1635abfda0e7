//! One connection to one server: TCP, TLS, the login, the question, the farewell.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::{Client, Connection, SimpleQueryMessage};
use tokio_rustls::TlsConnector;

use super::Login;
use super::encryption::{Encryption, Way};
use super::keywords::{at_home, value};
use super::passfile::Passfile;
use super::refusal::Refusal;
use super::standing::{QUESTIONS, Standing};
use super::wire::{AsItIs, RequiredAuth, Watch, Wire};
use crate::address::Host;
use crate::config::{Config, Secret};
use crate::route::Route;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    #[default]
    Connecting,
    /// The server's system has accepted it.
    Connected,
}

/// What is the same for all servers that are asked together.
pub(super) struct Session<'a> {
    login: &'a Login,
    password: Option<Secret>,
    passfile: Option<Passfile>,
    encryption: Encryption,
    required: RequiredAuth,
    channel_binding: ChannelBinding,
    options: Option<String>,
}

impl<'a> Session<'a> {
    /// What the configuration says of every connection.
    ///
    /// # Errors
    ///
    /// What in it hadsn can't do.
    pub(super) fn new(login: &'a Login, config: &Config) -> Result<Self, Refusal> {
        if value(config, "gssencmode").as_deref() == Some("require") {
            return Err(Refusal::unable("hadsn's own connections can't do gssencmode=require"));
        }
        let channel_binding = match value(config, "channel_binding").as_deref() {
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            _ => ChannelBinding::Prefer,
        };
        let given = login.password.clone().or_else(|| value(config, "password").map(Secret::new));
        let password = given.filter(|password| !password.reveal().is_empty());
        let passfile = match password {
            Some(_) => None,
            None => value(config, "passfile")
                .map(Into::into)
                .or_else(|| at_home(".pgpass"))
                .and_then(|path| Passfile::read(&path)),
        };
        let encryption = Encryption::new(config)?;
        if encryption.first != Way::Plain {
            // Before the connections begin: it would be counted as the time that they take.
            let _ = encryption.client_config();
        }
        Ok(Self {
            login,
            password,
            passfile,
            encryption,
            required: value(config, "require_auth")
                .map(|text| RequiredAuth::parse(&text))
                .transpose()?
                .unwrap_or_default(),
            channel_binding,
            options: value(config, "options"),
        })
    }

    /// Connects to a server, asks what it is, and says goodbye.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(super) async fn ask(&self, route: &Route, stage: &Cell<Stage>) -> Result<Standing, Refusal> {
        let encryption = &self.encryption;
        let first = match self.attempt(route, encryption.first, false, stage).await {
            Err(failure) => failure,
            Ok(standing) => return Ok(standing),
        };
        let Some(second) = encryption.second.filter(|_| first.may_go_another_way) else { return Err(first.refusal) };
        self.attempt(route, second, first.is_failure_of_tls, stage).await.map_err(|failure| {
            match failure.is_lack_of_tls {
                true => first.refusal,
                false => failure.refusal,
            }
        })
    }

    /// `is_without_tls`: TLS was tried before, and failed.
    async fn attempt(
        &self,
        route: &Route,
        way: Way,
        is_without_tls: bool,
        stage: &Cell<Stage>,
    ) -> Result<Standing, Failure> {
        let ip = address(route).ok_or_else(Refusal::no_address)?;
        let since = Instant::now();
        let address = SocketAddr::new(ip, route.port);
        let stream = TcpStream::connect(address).await.map_err(|e| Refusal::not_connected(&e))?;
        let took = since.elapsed();
        stage.set(Stage::Connected);
        // It is only slower without.
        let _ = stream.set_nodelay(true);

        let password = self.password(route);
        // What libpq can do with OpenSSL, rustls may not be able to: then libpq would not have sent it in the clear.
        let has_failed = is_without_tls || way == Way::TlsOrPlain && self.encryption.client_config().is_err();
        let watch = Watch::new(&self.login.user, password.is_some(), !has_failed, self.required.clone());
        let wants_tls = match way {
            Way::Plain => false,
            Way::TlsOrPlain | Way::Tls => self.has_tls(&stream, way).await?,
        };
        let wire = match wants_tls {
            true => Wire::encrypted(self.handshake(stream, route, ip).await?, watch),
            false => Wire::plain(stream, watch),
        };
        // Without TLS there is nothing else to try but TLS, and the other way round.
        let is_one_way = wants_tls || way == Way::Plain;
        let failed = |refusal: Refusal| Failure {
            may_go_another_way: refusal.is_denial() && is_one_way,
            ..Failure::from(refusal)
        };
        self.converse(wire, password, took).await.map_err(failed)
    }

    /// Asks whether the server has TLS (PostgreSQL manual, 55.2.10 "SSL Session Encryption"). Exactly one byte is
    /// read: what comes behind it in plain text is nothing that TLS would take.
    async fn has_tls(&self, stream: &TcpStream, way: Way) -> Result<bool, Failure> {
        // A server that has TLS can't be given it: libpq goes on without where it may.
        if let Err(refusal) = self.encryption.client_config() {
            return match way {
                Way::TlsOrPlain => Ok(false),
                Way::Plain | Way::Tls => Err(refusal.into()),
            };
        }
        let answer = exchange(stream, SSL_REQUEST).await.map_err(|e| Refusal::broken(&e))?;
        match answer {
            b'S' => Ok(true),
            b'N' if way == Way::TlsOrPlain => Ok(false),
            b'N' => Err(Failure { is_lack_of_tls: true, ..Refusal::no_tls(&self.encryption.sslmode).into() }),
            b'E' => Err(Failure { may_go_another_way: true, ..Refusal::error_instead_of_tls().into() }),
            _ => Err(Refusal::not_postgres().into()),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        route: &Route,
        address: IpAddr,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let name = match ServerName::try_from(route.host.to_string()) {
            Ok(name) => name,
            Err(_) if self.encryption.ignores_name() => ServerName::from(address),
            Err(_) => return Err(Refusal::unable("TLS: no certificate can name this host").into()),
        };
        let connector = TlsConnector::from(self.encryption.client_config()?);
        let failed =
            |e: io::Error| Failure { may_go_another_way: true, is_failure_of_tls: true, ..Refusal::broken(&e).into() };
        connector.connect(name, stream).await.map_err(failed)
    }

    async fn converse(&self, wire: Wire, password: Option<Secret>, took: Duration) -> Result<Standing, Refusal> {
        let Login { user, database, .. } = self.login;
        let mut options = tokio_postgres::Config::new();
        options
            .user(user)
            .dbname(database.as_ref().unwrap_or(user))
            .application_name("hadsn")
            .channel_binding(self.channel_binding)
            // What the wire is, it is already: tokio-postgres has nothing to ask for.
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        if let Some(password) = &password {
            options.password(password.reveal());
        }
        if let Some(text) = &self.options {
            options.options(text);
        }
        let is_encrypted = wire.is_encrypted();
        let explain = |e: &tokio_postgres::Error| Refusal::of(e, user, database.as_ref().unwrap_or(user), is_encrypted);
        let (client, connection) = options.connect_raw(wire, AsItIs).await.map_err(|e| explain(&e))?;
        let mut talk = Talk { client, connection, is_over: false };

        let mut first_refusal = None;
        for question in QUESTIONS {
            match talk.ask(question, explain).await {
                Ok(answer) => {
                    talk.end().await;
                    return read(&answer, took);
                }
                Err(refusal) if refusal.is_of_question() && !talk.is_over => {
                    first_refusal.get_or_insert(refusal);
                }
                Err(refusal) => return Err(first_refusal.unwrap_or(refusal)),
            }
        }
        talk.end().await;
        Err(first_refusal.unwrap_or_else(Refusal::closed))
    }

    fn password(&self, route: &Route) -> Option<Secret> {
        let Login { user, database, .. } = self.login;
        let database = database.as_ref().unwrap_or(user);
        let looked_up = || self.passfile.as_ref()?.password(&route.host.to_string(), route.port, database, user);
        self.password.clone().or_else(looked_up)
    }
}

/// A refusal, and whether it is worth trying with TLS instead of without, or the other way round.
struct Failure {
    refusal: Refusal,
    may_go_another_way: bool,
    /// The server has none.
    is_lack_of_tls: bool,
    /// The server has TLS, and it did not come about.
    is_failure_of_tls: bool,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, may_go_another_way: false, is_lack_of_tls: false, is_failure_of_tls: false }
    }
}

/// An open connection. It is driven by whoever waits for something on it: no task runs beside.
struct Talk {
    client: Client,
    connection: Connection<Wire, Wire>,
    /// The connection must not be polled again.
    is_over: bool,
}

impl Talk {
    async fn ask(
        &mut self,
        question: &str,
        explain: impl Fn(&tokio_postgres::Error) -> Refusal,
    ) -> Result<Vec<SimpleQueryMessage>, Refusal> {
        let mut answer = pin!(self.client.simple_query(question));
        let (connection, is_over) = (&mut self.connection, &mut self.is_over);
        poll_fn(|cx| {
            let ended = Pin::new(&mut *connection).poll(cx);
            *is_over = ended.is_ready();
            match (answer.as_mut().poll(cx), ended) {
                (Poll::Ready(Ok(answer)), _) => Poll::Ready(Ok(answer)),
                // The connection knows better why it ended.
                (Poll::Ready(Err(e)), Poll::Ready(Err(why))) if e.is_closed() => Poll::Ready(Err(explain(&why))),
                (Poll::Ready(Err(e)), _) | (Poll::Pending, Poll::Ready(Err(e))) => Poll::Ready(Err(explain(&e))),
                (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(Refusal::closed())),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        })
        .await
    }

    /// Says goodbye (Terminate), as far as the system takes it at once.
    async fn end(self) {
        let Self { client, mut connection, is_over } = self;
        drop(client);
        if !is_over {
            poll_fn(|cx| {
                let _ = Pin::new(&mut connection).poll(cx);
                Poll::Ready(())
            })
            .await;
        }
    }
}

fn read(answer: &[SimpleQueryMessage], took: Duration) -> Result<Standing, Refusal> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or_else(|| Refusal::odd_answer("no row"))?;
    let columns: Vec<Option<&str>> = (0..row.len()).map(|column| row.try_get(column).ok().flatten()).collect();
    Standing::read(&columns, took).map_err(Refusal::odd_answer)
}

/// Sends a few bytes and reads one.
async fn exchange(stream: &TcpStream, request: [u8; 8]) -> io::Result<u8> {
    let mut rest = request.as_slice();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    let mut answer = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut answer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(answer[0]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

fn address(route: &Route) -> Option<IpAddr> {
    match &route.host {
        Host::Ip(ip) => Some(*ip),
        Host::Name(_) => route.address,
    }
}

/// Its length, 8, and its code, 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];
