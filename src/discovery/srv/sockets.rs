//! The sockets that name servers are asked through.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// Makes sockets on the runtime of the calling thread.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, local, limit)
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            socket.connect(server).await?;
            Ok(Connected(socket))
        })
    }
}

/// A UDP socket that is connected to a server. The kernel keeps the datagrams of others away from it, and tells that
/// the server is not there (udp(7)).
pub(super) struct Connected(UdpSocket);

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        self.0.poll_recv_from(cx, &mut buffer).map_ok(|from| (buffer.filled().len(), from))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], server: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, bytes, server)
    }

    /// Waits for errors too. A socket that has one is not readable, and whoever waits only for that sleeps on.
    fn recv_from<'socket, 'buffer, 'call>(
        &'socket self,
        buffer: &'buffer mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'call>>
    where
        'socket: 'call,
        'buffer: 'call,
        Self: 'call,
    {
        let would_block = || io::Error::from(io::ErrorKind::WouldBlock);
        Box::pin(async move {
            loop {
                self.0.ready(Interest::READABLE | Interest::ERROR).await?;
                match self.0.try_recv_from(buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    received => return received,
                }
                let pending = || Err(self.0.take_error()?.unwrap_or_else(would_block));
                match self.0.try_io::<()>(Interest::ERROR, pending) {
                    Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
                    Ok(()) | Err(_) => {}
                }
            }
        })
    }
}
