//! An HTTP server that answers as badly as no Patroni would.

#[allow(dead_code, reason = "others use the rest")]
pub mod caller;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers 200 with this body.
    Body(String),
    /// Answers with this status line and these headers.
    Status(&'static str, String),
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Reads the request and says nothing.
    Silent,
    /// Sends the first bytes of an answer, one a second.
    Drip,
    /// Closes at once.
    Close,
}

/// A server on a port of its own, until dropped.
pub struct Fake {
    pub port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
    last_request: Arc<Mutex<String>>,
    is_over: Arc<AtomicBool>,
}

impl Fake {
    pub fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let fake = Self {
            port: listener.local_addr().unwrap().port(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            requests: Arc::default(),
            last_request: Arc::default(),
            is_over: Arc::default(),
        };
        let (behaviour, requests) = (Arc::clone(&fake.behaviour), Arc::clone(&fake.requests));
        let (last_request, is_over) = (Arc::clone(&fake.last_request), Arc::clone(&fake.is_over));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (behaviour, requests) = (behaviour.lock().unwrap().clone(), Arc::clone(&requests));
                let (last_request, is_over) = (Arc::clone(&last_request), Arc::clone(&is_over));
                thread::spawn(move || answer(stream, &behaviour, &requests, &last_request, &is_over));
            }
        });
        fake
    }

    pub fn healthy() -> Self {
        Self::new(Behaviour::Body(cluster(&[("pg1", "leader", "running", 1), ("pg2", "replica", "streaming", 1)])))
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn last_request(&self) -> String {
        self.last_request.lock().unwrap().clone()
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, so that its thread ends and the port is free.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The body of `GET /cluster` with members at 10.0.0.1, 10.0.0.2, … : name, role, state, timeline.
pub fn cluster(members: &[(&str, &str, &str, u32)]) -> String {
    let members: Vec<String> = members
        .iter()
        .enumerate()
        .map(|(i, (name, role, state, timeline))| {
            format!(
                r#"{{"name":"{name}","role":"{role}","state":"{state}","host":"10.0.0.{}","port":5432,"timeline":{timeline},"lag":0}}"#,
                i + 1
            )
        })
        .collect();
    format!(r#"{{"members":[{}],"scope":"app"}}"#, members.join(","))
}

/// An address on which nothing listens, and which refuses at once.
pub fn refusing() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("127.0.0.1:{}", listener.local_addr().unwrap().port())
}

fn answer(
    mut stream: TcpStream,
    behaviour: &Behaviour,
    requests: &AtomicUsize,
    last_request: &Mutex<String>,
    is_over: &AtomicBool,
) {
    if matches!(behaviour, Behaviour::Close) {
        requests.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
    }
    *last_request.lock().unwrap() = String::from_utf8_lossy(&request).into_owned();
    requests.fetch_add(1, Ordering::SeqCst);
    // The client may hang up on any of this: that is its right.
    let _ = match behaviour {
        Behaviour::Body(body) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()))
        }
        Behaviour::Status(status, headers) => {
            stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n").as_bytes())
        }
        Behaviour::Raw(bytes) => stream.write_all(bytes),
        Behaviour::Drip => {
            for byte in b"HTTP/1.1 200 OK\r\n" {
                if is_over.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        Behaviour::Silent => {
            // Until the client hangs up.
            let _ = stream.read(&mut chunk);
            Ok(())
        }
        Behaviour::Close => Ok(()),
    };
    let _ = stream.shutdown(Shutdown::Write);
}
