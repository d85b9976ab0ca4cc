//! Packets: servers that echo, and questions to them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::local_network::Host;

/// Time that an answer has. It comes within a millisecond, or never.
const ANSWER: Duration = Duration::from_secs(1);

/// How a host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// Answers on a port of all addresses of a host, as [`echo_at`] does.
pub(super) fn echo(host: &Host, port: u16) -> Arc<AtomicUsize> {
    echo_at(host, SocketAddr::from(([0, 0, 0, 0], port)))
}

/// Answers at an address of a host, over TCP and UDP, until the runtime ends, and counts the datagrams that came.
pub(super) fn echo_at(host: &Host, address: SocketAddr) -> Arc<AtomicUsize> {
    let came = Arc::new(AtomicUsize::new(0));
    let (tcp, udp) = host.within(move || {
        let tcp = std::net::TcpListener::bind(address).unwrap();
        (tcp, StdUdpSocket::bind(address).unwrap())
    });
    tcp.set_nonblocking(true).unwrap();
    let tcp = tokio::net::TcpListener::from_std(tcp).unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = tcp.accept().await {
            tokio::spawn(echo_tcp(connection));
        }
    });
    tokio::spawn(echo_udp(asynchronous(udp), Arc::clone(&came)));
    came
}

async fn echo_tcp(mut connection: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = connection.split();
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}

async fn echo_udp(socket: UdpSocket, came: Arc<AtomicUsize>) -> io::Result<()> {
    let mut datagram = [0; 64];
    loop {
        let (length, sender) = socket.recv_from(&mut datagram).await?;
        came.fetch_add(1, Ordering::Relaxed);
        // Where no route leads back, the next one is waited for all the same.
        let _ = socket.send_to(&datagram[..length], sender).await;
    }
}

/// Whether a host gets an answer.
pub(super) async fn reaches(from: &Host, protocol: Protocol, to: &str) -> bool {
    match protocol {
        Protocol::Tcp => match connect(from, to).await {
            Some(mut connection) => connection.asks().await,
            None => false,
        },
        Protocol::Udp => Datagrams::new(from, None, to).asks().await,
    }
}

/// A conversation that is under way.
pub(super) struct Connection(TcpStream);

/// Datagrams of one socket to one address.
pub(super) struct Datagrams(UdpSocket);

/// Connects, if that is possible.
pub(super) async fn connect(from: &Host, to: &str) -> Option<Connection> {
    let socket = from.within(TcpSocket::new_v4).unwrap();
    let connected = timeout(ANSWER, socket.connect(to.parse().unwrap())).await;
    connected.ok()?.ok().map(Connection)
}

impl Connection {
    /// Whether an answer comes to a further question.
    pub(super) async fn asks(&mut self) -> bool {
        let ask = async {
            self.0.write_all(b"?").await?;
            self.0.read_u8().await
        };
        answered(ask).await
    }
}

impl Datagrams {
    /// A socket of a host, on one of its addresses or any.
    pub(super) fn new(from: &Host, source: Option<&str>, to: &str) -> Self {
        let source: IpAddr = source.unwrap_or("0.0.0.0").parse().unwrap();
        let to: SocketAddr = to.parse().unwrap();
        let socket = from.within(move || {
            let socket = StdUdpSocket::bind((source, 0)).unwrap();
            socket.connect(to).unwrap();
            socket
        });
        Self(asynchronous(socket))
    }

    /// Whether an answer comes to a datagram.
    pub(super) async fn asks(&self) -> bool {
        let ask = async {
            self.0.send(b"?").await?;
            self.0.recv(&mut [0; 64]).await
        };
        answered(ask).await
    }

    /// Sends a datagram, come what may.
    pub(super) async fn send(&self) {
        let _ = self.0.send(b"!").await;
    }
}

async fn answered<T>(ask: impl Future<Output = io::Result<T>>) -> bool {
    matches!(timeout(ANSWER, ask).await, Ok(Ok(_)))
}

fn asynchronous(socket: StdUdpSocket) -> UdpSocket {
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket).unwrap()
}
