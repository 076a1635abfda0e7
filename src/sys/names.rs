//! Host names → addresses, under a deadline that getaddrinfo(3) itself does not have.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::clock::Deadline;
use super::{fork, thread};

/// Why a name gave no address.
#[derive(Debug)]
pub struct Failure {
    /// As a fragment for a message.
    pub text: String,
    /// Whether it may have one, and the time was too short to learn it.
    pub is_late: bool,
}

impl Failure {
    fn late(text: &str) -> Self {
        Self { text: text.to_owned(), is_late: true }
    }

    fn other(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_late: false }
    }
}

/// The addresses of `name`, in the order the system prefers (RFC 6724).
///
/// The look-up runs in a thread of its own, since it can't be cancelled: when the deadline passes,
/// the thread is left to finish by itself. At most [`MAX_RUNNING`] of them exist at a time.
///
/// # Errors
///
/// Why there are none.
pub fn look_up(name: &str, deadline: Deadline) -> Result<Vec<IpAddr>, Failure> {
    let remaining = deadline.remaining().ok_or_else(|| Failure::late("no time left to look the name up"))?;
    let slot = Slot::take().ok_or_else(|| Failure::late("too many look-ups wait for the name server"))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let question = (name.to_owned(), 0);
    thread::spawn("hadsn-name", move || {
        let _slot = slot;
        let answer = question.to_socket_addrs().map(|found| found.map(|address| address.ip()).collect::<Vec<_>>());
        // The caller may have given up.
        let _ = sender.send(answer);
    })
    .map_err(|e| Failure::other(format!("no thread to look the name up: {e}")))?;
    match receiver.recv_timeout(remaining) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(Failure::other("the name has no address")),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(e)) => Err(Failure::other(format!("the name could not be looked up: {e}"))),
        Err(_) => Err(Failure::late("the name server did not answer in time")),
    }
}

/// The address of `name` to connect to: its only one, or the first that accepts a connection on
/// `port` within `patience` (libpq takes one `hostaddr`, and a name may stand for an address nobody listens on), or
/// the first at all. Only those that `is_allowed` are connected to.
///
/// # Errors
///
/// Why there is none.
pub fn reachable(
    name: &str,
    port: u16,
    is_allowed: impl Fn(IpAddr) -> bool,
    deadline: Deadline,
    patience: Duration,
) -> Result<IpAddr, Failure> {
    let mut addresses = look_up(name, deadline)?;
    if addresses.iter().any(|address| is_allowed(*address)) {
        addresses.retain(|address| is_allowed(*address));
    } else {
        // None will be connected to: the message names the first.
        addresses.truncate(1);
    }
    let [first, _, ..] = addresses.as_slice() else {
        return addresses.first().copied().ok_or_else(|| Failure::other("the name has no address"));
    };
    let deadline = deadline.or_after(patience);
    let (sender, receiver) = mpsc::channel();
    for address in addresses.iter().take(MAX_TRIED).copied() {
        let sender = sender.clone();
        // Without a thread for it, an address is not tried, and the others are.
        let _ = thread::spawn("hadsn-connect", move || {
            let Some(remaining) = deadline.remaining() else { return };
            if TcpStream::connect_timeout(&SocketAddr::new(address, port), remaining).is_ok() {
                let _ = sender.send(address);
            }
        });
    }
    drop(sender);
    let remaining = deadline.remaining().unwrap_or_default();
    Ok(receiver.recv_timeout(remaining).unwrap_or(*first))
}

/// The right to run one look-up.
struct Slot;

impl Slot {
    fn take() -> Option<Self> {
        // A forked child inherits the count, and none of the threads.
        let generation = fork::generation();
        if GENERATION.swap(generation, Ordering::Relaxed) != generation {
            RUNNING.store(0, Ordering::Relaxed);
        }
        RUNNING
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < MAX_RUNNING).then_some(n + 1))
            .ok()
            .map(|_| Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// A name server that is silent must not collect threads.
const MAX_RUNNING: usize = 128;

/// How many addresses of one name are tried.
const MAX_TRIED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn names_are_looked_up_under_a_deadline() {
        let soon = Deadline::after(Duration::from_secs(5));
        assert!(look_up("localhost", soon).unwrap().iter().all(IpAddr::is_loopback));
        assert!(look_up("no-such-host.invalid", soon).is_err());
        assert!(look_up("localhost", Deadline::after(Duration::ZERO)).is_err_and(|failure| failure.is_late));
    }

    #[test]
    fn an_address_that_accepts_is_preferred() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found =
            reachable("localhost", port, |_| true, Deadline::after(Duration::from_secs(5)), Duration::from_secs(5))
                .unwrap();
        assert_eq!(found, IpAddr::from([127, 0, 0, 1]));
    }
}
