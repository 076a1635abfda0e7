//! A TCP server that does with every connection what it is told to.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A server on a port of its own, until dropped.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub fn new(behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), behaviour)
    }

    /// One on another address: all of 127.0.0.0/8 is this machine.
    pub fn at(ip: IpAddr, behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), connections: Arc::default(), is_over: Arc::default() };
        let (connections, is_over) = (Arc::clone(&server.connections), Arc::clone(&server.is_over));
        let behaviour = Arc::new(behaviour);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let behaviour = Arc::clone(&behaviour);
                thread::spawn(move || behaviour(stream));
            }
        });
        server
    }

    /// One that takes connections and says nothing.
    pub fn silent() -> Self {
        Self::new(|mut stream| listen(&mut stream))
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `127.0.0.1:40000`.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, so that its thread ends and the port is free.
        let _ = TcpStream::connect(self.address);
    }
}

/// Where nothing listens, and connections are refused at once.
pub fn refusing() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Whatever the client sends next; nothing when it has closed.
pub fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let length = stream.read(&mut bytes).unwrap_or_default();
    bytes.truncate(length);
    bytes
}

/// The path of an HTTP request; `None` when the client has closed before it was whole.
pub fn request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match message(stream) {
            bytes if bytes.is_empty() => return None,
            bytes => request.extend(bytes),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    request.split(' ').nth(1).map(str::to_owned)
}

/// Answers an HTTP request with 200 and `body`.
pub fn respond(stream: &mut TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    // The client may hang up: that is its right.
    let _ = stream.write_all((head + body).as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// Says nothing until the client closes.
pub fn listen(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Says no more, and reads until the client closes: a server that closes with something unread resets the connection.
pub fn drain(stream: &mut TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    listen(stream);
}
