//! PostgreSQL servers that let everybody in, or nobody, and answer every question with one row.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::server::{Server, drain, listen, message};

/// What a server does with whoever asks.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Takes writes, on this timeline of this cluster.
    Primary(u32, u64),
    /// The same, with `default_transaction_read_only`.
    ReadOnly(u32, u64),
    /// Is in recovery, and streams.
    Standby(u32, u64),
    /// Turns everybody down with this SQLSTATE and text.
    Refusing(&'static str, &'static str),
    /// Takes the connection and says nothing.
    Silent,
}

/// A server whose manner can be changed, on a port of its own, until dropped.
pub struct FakePostgres {
    server: Server,
    manner: Arc<Mutex<Manner>>,
}

impl FakePostgres {
    pub fn new(manner: Manner) -> Self {
        let manner = Arc::new(Mutex::new(manner));
        let current = Arc::clone(&manner);
        let server = Server::new(move |mut stream| {
            let manner = current.lock().unwrap().clone();
            manner.serve(&mut stream);
        });
        Self { server, manner }
    }

    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    pub fn connections(&self) -> usize {
        self.server.connections()
    }
}

impl Manner {
    fn serve(&self, stream: &mut TcpStream) {
        let (recovery, read_only, timeline, system) = match self {
            Self::Primary(timeline, system) => ("f", "off", timeline, system),
            Self::ReadOnly(timeline, system) => ("f", "on", timeline, system),
            Self::Standby(timeline, system) => ("t", "on", timeline, system),
            Self::Refusing(state, text) => {
                if message(stream).len() == 8 {
                    let _ = stream.write_all(b"N");
                    message(stream);
                }
                let _ = stream.write_all(&error(state, text));
                return drain(stream);
            }
            Self::Silent => return listen(stream),
        };
        let (timeline, system) = (format!("{timeline:08X}"), system.to_string());
        log_in(stream);
        let _ = stream.write_all(&row(&[recovery, read_only, &timeline, &system, "0/3000060", recovery]));
        drain(stream);
    }
}

/// Refuses TLS, lets the client in and takes its question.
pub fn log_in(stream: &mut TcpStream) {
    if message(stream).len() == 8 {
        let _ = stream.write_all(b"N");
        message(stream);
    }
    let status = sent(b'S', b"server_version\x0015.0\0");
    let _ = stream.write_all(&[authentication_ok(), status, sent(b'K', &[0; 8]), ready()].concat());
    message(stream);
}

/// A message of the protocol (PostgreSQL manual, 55.7 "Message Formats").
pub fn sent(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

pub fn authentication_ok() -> Vec<u8> {
    sent(b'R', &[0; 4])
}

pub fn ready() -> Vec<u8> {
    sent(b'Z', b"I")
}

pub fn error(state: &str, message: &str) -> Vec<u8> {
    sent(b'E', format!("SFATAL\0VFATAL\0C{state}\0M{}\0\0", message.trim_end_matches('\0')).as_bytes())
}

/// One row of text columns, and the end of the answer.
pub fn row(columns: &[&str]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
    let (mut description, mut data) = (count.to_vec(), count.to_vec());
    for column in columns {
        description.extend([&b"c\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xFF, 0xFF], &[0; 6]].concat());
        data.extend([&u32::try_from(column.len()).unwrap().to_be_bytes(), column.as_bytes()].concat());
    }
    [sent(b'T', &description), sent(b'D', &data), sent(b'C', b"SELECT 1\0"), ready()].concat()
}
