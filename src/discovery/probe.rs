//! Speaks to a PostgreSQL server itself, where PDO's word is not enough.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc;

use tokio_postgres::NoTls;

use crate::address::Host;
use crate::config::Config;
use crate::route::Route;
use crate::sys::clock::Deadline;
use crate::sys::thread;
use crate::verdict::Fault;

/// Who logs in where.
#[derive(Debug, Clone)]
pub struct Login {
    /// The server.
    pub route: Route,
    /// The database; the server's default is the user's name.
    pub database: Option<String>,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<crate::config::Secret>,
}

/// Why a connection to a server fails, told by its SQLSTATE and so in any language: one attempt, without TLS.
/// `None` when the attempt shows nothing: it would need TLS, or credentials that hadsn does not have. Where TLS is required,
/// it is only asked whether the server has it.
///
/// Ends by `deadline`.
pub fn fault(login: Login, config: &Config, deadline: Deadline) -> Option<Fault> {
    let sslmode = config.libpq.iter().find(|(keyword, _)| *keyword == "sslmode").map_or("prefer", |(_, mode)| mode);
    if matches!(sslmode, "require" | "verify-ca" | "verify-full") {
        return without_tls(&login, deadline);
    }
    // libpq may refuse to prove who it is to a server that hadsn's own attempt would answer.
    let has_demands = config
        .libpq
        .iter()
        .any(|(keyword, value)| *keyword == "require_auth" || (*keyword == "channel_binding" && value == "require"));
    if has_demands {
        return None;
    }
    let may_use_tls = sslmode != "disable";
    let (sender, receiver) = mpsc::sync_channel(1);
    // A thread of its own: no runtime and no signal of it may touch PHP's.
    thread::spawn("hadsn-probe", move || {
        // The caller may have given up.
        let _ = sender.send(attempt(&login, may_use_tls, deadline));
    })
    .ok()?;
    receiver.recv_timeout(deadline.remaining()?).ok()?
}

/// Whether a server refuses TLS, or is not there: its answer to an SSLRequest (PostgreSQL manual, 55.2.10).
fn without_tls(login: &Login, deadline: Deadline) -> Option<Fault> {
    let address = SocketAddr::new(login.address()?, login.route.port);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, deadline.remaining()?) else {
        return Some(Fault::NotConnected);
    };
    let mut answer = [0];
    let asked = stream
        .set_read_timeout(deadline.remaining())
        .and_then(|()| stream.write_all(&SSL_REQUEST))
        .and_then(|()| stream.read_exact(&mut answer));
    match asked {
        Err(_) => Some(Fault::NotConnected),
        Ok(()) if answer == *b"N" => Some(Fault::Login),
        Ok(()) => None,
    }
}

/// Its length, 8, and its code, 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

fn attempt(login: &Login, may_use_tls: bool, deadline: Deadline) -> Option<Fault> {
    let address = login.address()?;
    let mut options = tokio_postgres::Config::new();
    options
        .hostaddr(address)
        .port(login.route.port)
        .user(&login.user)
        .application_name("hadsn")
        .ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Some(database) = &login.database {
        options.dbname(database);
    }
    if let Some(password) = &login.password {
        options.password(password.reveal());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().ok()?;
    let remaining = deadline.remaining()?;
    let connected = runtime.block_on(async { tokio::time::timeout(remaining, options.connect(NoTls)).await });
    match connected {
        Err(_) => Some(Fault::NotConnected),
        // It works now: whatever it was has passed, or it was the role of the server.
        Ok(Ok(_)) => Some(Fault::WrongRole),
        Ok(Err(error)) => match error.code().map(tokio_postgres::error::SqlState::code) {
            // pg_hba.conf may ask for the TLS that this attempt did not have.
            Some("28000") if may_use_tls => None,
            Some(state) => Some(Fault::of_sqlstate(state)),
            None if error.is_closed() => Some(Fault::NotConnected),
            None => std::error::Error::source(&error)
                .is_some_and(|source| source.is::<std::io::Error>())
                .then_some(Fault::NotConnected),
        },
    }
}

impl Login {
    fn address(&self) -> Option<IpAddr> {
        match &self.route.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => self.route.address,
        }
    }
}
