//! A server with many peers, and what goes on between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::key::{PrivateKey, PublicKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::endpoint::PeerConfig;
use crate::userspace::{Stack, StackConfig, TcpStream, Tunnel};

pub(super) const MTU: u16 = 1420;
pub(super) const SERVER: &str = "10.5.0.1";
pub(super) const STREAMS: usize = 120;
/// Far longer than anything here takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The end of the tunnel that has many peers.
pub(super) struct Server {
    pub(super) tunnel: Tunnel,
    pub(super) key: PublicKey,
}

/// One of them, and its stack at the server.
pub(super) struct Client {
    pub(super) tunnel: Tunnel,
    pub(super) key: PublicKey,
    pub(super) stack: Stack,
    pub(super) at_server: Stack,
}

impl Server {
    pub(super) async fn start() -> Self {
        let private = PrivateKey::from_entropy([1; 32]);
        Self {
            tunnel: Tunnel::start(socket().await, &private, MTU).unwrap(),
            key: private.public_key(),
        }
    }

    /// A client whose address ends in this number.
    pub(super) async fn client(&self, number: u8) -> Client {
        self.client_at(number, self.tunnel.local_address()).await
    }

    /// A client on a way that loses one of so many datagrams.
    pub(super) async fn client_through_loss(&self, number: u8, one_of: u32) -> Client {
        let relay = relay(self.tunnel.local_address(), one_of).await;
        self.client_at(number, relay).await
    }

    pub(super) async fn client_at(&self, number: u8, server: SocketAddr) -> Client {
        let private = PrivateKey::from_entropy([number; 32]);
        let key = private.public_key();
        let tunnel = Tunnel::start(socket().await, &private, MTU).unwrap();
        let own = format!("10.5.0.{number}/32");
        let at_server = self.tunnel.stack(&config(&format!("{SERVER}/32"))).unwrap();
        let peer = peer(key, None, &own);
        self.tunnel.set_peer(peer, at_server.clone()).unwrap();
        let stack = tunnel.stack(&config(&own)).unwrap();
        let peer = peer_at(self.key, server);
        tunnel.set_peer(peer, stack.clone()).unwrap();
        assert_eq!(tunnel.connect(self.key, PATIENCE).await, Ok(true));
        Client {
            tunnel,
            key,
            stack,
            at_server,
        }
    }
}

impl Client {
    /// Begins anew with a stack that allows more streams. The server knows nothing of that.
    pub(super) fn other_stack(&self, server: &Server) -> Stack {
        let mut config = config("10.5.0.2/32");
        config.streams = 10 * STREAMS;
        let stack = self.tunnel.stack(&config).unwrap();
        let peer = peer_at(server.key, server.tunnel.local_address());
        self.tunnel.set_peer(peer, stack.clone()).unwrap();
        stack
    }

    pub(super) async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let connecting = self.stack.connect(address(SERVER, port));
        timeout(PATIENCE, connecting).await.unwrap()
    }
}

/// Sends everything back that comes to port 7.
pub(super) async fn echo(stack: Stack) {
    let mut listener = stack.listen(address(SERVER, 7)).unwrap();
    while let Ok(stream) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        });
    }
}

/// Sends bytes, and gives what comes back until the end.
pub(super) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::new();
    let sending = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let receiving = reader.read_to_end(&mut received);
    let (_, read) = timeout(PATIENCE, async { tokio::join!(sending, receiving) })
        .await
        .unwrap();
    read.unwrap();
    received
}

/// Carries datagrams to an address and back, but one of so many.
async fn relay(to: SocketAddr, one_of: u32) -> SocketAddr {
    let (near, far) = (socket().await, Arc::new(socket().await));
    let at = near.local_addr().unwrap();
    tokio::spawn(async move {
        let mut client = None;
        let (mut out, mut back) = ([0; 4096], [0; 4096]);
        let mut count = 0u32;
        loop {
            let (bytes, sender, receiver) = tokio::select! {
                read = near.recv_from(&mut out) => {
                    let (length, from) = read.unwrap();
                    client = Some(from);
                    (&out[..length], &*far, Some(to))
                }
                read = far.recv_from(&mut back) => {
                    let (length, _) = read.unwrap();
                    (&back[..length], &near, client)
                }
            };
            count += 1;
            if let Some(receiver) = receiver.filter(|_| !count.is_multiple_of(one_of)) {
                sender.send_to(bytes, receiver).await.unwrap();
            }
        }
    });
    at
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

pub(super) fn config(own: &str) -> StackConfig {
    StackConfig {
        addresses: vec![own.parse().unwrap()],
        stream_buffer: 64 * 1024,
        streams: STREAMS,
    }
}

pub(super) fn peer(key: PublicKey, endpoint: Option<SocketAddr>, allowed: &str) -> PeerConfig {
    PeerConfig {
        public_key: key,
        preshared_key: None,
        endpoint,
        allowed_ips: vec![allowed.parse().unwrap()],
        persistent_keepalive: None,
    }
}

fn peer_at(key: PublicKey, endpoint: SocketAddr) -> PeerConfig {
    peer(key, Some(endpoint), "10.5.0.0/16")
}

pub(super) fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
