//! How long it takes to connect to servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::route::Route;
use crate::sys::clock::Deadline;

/// The time that a TCP connection to each of `routes` takes; `None` where there was none by `deadline`. They are made beside
/// each other, on this thread, and closed at once.
pub fn measure(routes: &[Route], deadline: Deadline) -> Vec<Option<Duration>> {
    let nothing = || vec![None; routes.len()];
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() else {
        return nothing();
    };
    let Some(remaining) = deadline.remaining() else { return nothing() };
    runtime.block_on(async {
        let tasks: Vec<_> = routes
            .iter()
            .map(|route| route.socket_address())
            .map(|address| tokio::spawn(async move { connect(address?, remaining).await }))
            .collect();
        let mut times = Vec::with_capacity(tasks.len());
        for task in tasks {
            times.push(task.await.ok().flatten());
        }
        times
    })
}

async fn connect(address: SocketAddr, limit: Duration) -> Option<Duration> {
    let begun = Instant::now();
    tokio::time::timeout(limit, TcpStream::connect(address)).await.ok()?.ok()?;
    Some(begun.elapsed())
}
