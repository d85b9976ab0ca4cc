//! Tunnels between two ends in this process, over real sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sinfonia_core::key::{PrivateKey, PublicKey};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Stack, StackConfig, TcpStream, Tunnel};
use crate::clock::now;
use crate::endpoint::{Buffer, PeerConfig};

const MTU: u16 = 1420;
const SERVER: &str = "10.5.0.1";
const STREAMS: usize = 120;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_stream_carries_bytes_in_both_directions() {
    let server = Server::start().await;
    let client = server.client(2).await;
    tokio::spawn(echo(client.at_server.clone()));

    let mut stream = client.connect(7).await.unwrap();
    let sent = noise(4 << 20);
    let received = exchange(&mut stream, &sent).await;

    assert!(received == sent, "what came back differs");
}

#[tokio::test]
async fn a_stream_survives_the_loss_of_packets() {
    let server = Server::start().await;
    let client = server.client_through_loss(2, 50).await;
    tokio::spawn(echo(client.at_server.clone()));

    let mut stream = client.connect(7).await.unwrap();
    let sent = noise(512 << 10);
    let received = exchange(&mut stream, &sent).await;

    assert!(received == sent, "what came back differs");
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let server = Server::start().await;
    let client = server.client(2).await;

    let refused = client.connect(7).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn what_was_written_arrives_although_its_writer_is_gone() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let mut listener = client.at_server.listen(address(SERVER, 7)).unwrap();
    let sent = noise(100_000);

    let mut writer = client.connect(7).await.unwrap();
    writer.write_all(&sent).await.unwrap();
    drop(writer);
    let mut received = Vec::new();
    let mut reader = listener.accept().await.unwrap();
    reader.read_to_end(&mut received).await.unwrap();

    assert!(received == sent, "what arrived differs");
}

#[tokio::test]
async fn a_reader_that_leaves_data_behind_resets_the_stream() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let mut listener = client.at_server.listen(address(SERVER, 7)).unwrap();
    let mut writer = client.connect(7).await.unwrap();
    let mut reader = listener.accept().await.unwrap();
    writer.write_all(b"two bytes too many").await.unwrap();
    reader.read_exact(&mut [0; 16]).await.unwrap();

    drop(reader);

    let ended = writer.read(&mut [0]).await.unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn many_connections_at_once_are_all_accepted() {
    let server = Server::start().await;
    let client = server.client(2).await;
    tokio::spawn(echo(client.at_server.clone()));

    let exchanges = (0..100).map(|number: u32| {
        let client = &client;
        async move {
            let mut stream = client.connect(7).await.unwrap();
            let sent = number.to_be_bytes();
            exchange(&mut stream, &sent).await == sent
        }
    });

    assert_eq!(join_all(exchanges).await, [true; 100]);
}

#[tokio::test]
async fn a_peer_can_have_no_more_streams_than_its_stack_allows() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let mut listener = client.at_server.listen(address(SERVER, 7)).unwrap();
    let mut taken = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..STREAMS {
        ours.push(client.connect(7).await.unwrap());
        taken.push(listener.accept().await.unwrap());
    }

    let too_many = client.connect(7).await.unwrap_err();
    assert_eq!(too_many.kind(), ErrorKind::QuotaExceeded);
    // Also where the other side does not restrain itself.
    let other = client.other_stack(&server);
    let refused = other.connect(address(SERVER, 7)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // An end makes room.
    drop((ours.pop(), taken.pop()));
    timeout(PATIENCE, async {
        while other.connect(address(SERVER, 7)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stream_can_be_ended_with_an_error() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let mut listener = client.at_server.listen(address(SERVER, 7)).unwrap();
    let mut ours = client.connect(7).await.unwrap();

    listener.accept().await.unwrap().reset();

    let ended = ours.read(&mut [0]).await.unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn more_than_the_window_that_was_told_breaks_nothing() {
    let server = Server::start().await;
    let mut config = config("10.5.0.1/32");
    config.stream_buffer = 256 * 1024;
    let stack = server.tunnel.stack(&config).unwrap();
    let _listener = stack.listen(address(SERVER, 7)).unwrap();
    let mut sent = Vec::new();
    let mut turn = |packets: Vec<Vec<u8>>| {
        for packet in packets {
            stack.take(Buffer::copy_from(&packet));
        }
        stack.advance(now(), |packet| sent.push(packet.to_vec()));
        sent.last().cloned().unwrap()
    };

    let answer = turn(vec![segment(TcpControl::Syn, 100, None, &[])]);
    let sequence = tcp_sequence(&answer);
    // Beyond what the buffer holds, but within twice that.
    let beyond = 101 + 256 * 1024;
    turn(vec![segment(
        TcpControl::None,
        beyond,
        Some(sequence + 1),
        &[7; 1000],
    )]);
    let answer = turn(vec![segment(
        TcpControl::Psh,
        101,
        Some(sequence + 1),
        &[7; 1000],
    )]);

    assert_eq!(tcp_acknowledged(&answer), 1101);
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let port = client.at_server.bind(address(SERVER, 53)).unwrap();
    let ours = client.stack.bind(address("10.5.0.2", 0)).unwrap();
    let mut buffer = [0; 2000];

    ours.send(b"ping", address(SERVER, 53)).unwrap();
    let (length, from) = port.receive(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"ping");
    port.send(b"pong", from).unwrap();
    let (length, from) = ours.receive(&mut buffer).await.unwrap();

    assert_eq!(
        (&buffer[..length], from),
        (&b"pong"[..], address(SERVER, 53))
    );
}

#[tokio::test]
async fn peers_do_not_reach_each_other() {
    let server = Server::start().await;
    let (one, other) = (server.client(2).await, server.client(3).await);
    let mut listener = other.stack.listen(address("10.5.0.3", 7)).unwrap();
    tokio::spawn(echo(other.at_server.clone()));
    // Both ways to the server work.
    exchange(&mut other.connect(7).await.unwrap(), b"hello").await;

    let connecting = one.stack.connect(address("10.5.0.3", 7));

    tokio::select! {
        _ = listener.accept() => panic!("one peer reached the other"),
        connected = timeout(Duration::from_secs(3), connecting) => {
            assert!(!matches!(connected, Ok(Ok(_))));
        }
    }
}

#[tokio::test]
async fn what_listens_for_one_peer_is_not_there_for_another() {
    let server = Server::start().await;
    let (one, other) = (server.client(2).await, server.client(3).await);
    tokio::spawn(echo(one.at_server.clone()));
    exchange(&mut one.connect(7).await.unwrap(), b"hello").await;

    let refused = other.connect(7).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn the_streams_of_a_removed_peer_end() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let mut listener = client.at_server.listen(address(SERVER, 7)).unwrap();
    let _ours = client.connect(7).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    let reading = tokio::spawn(async move { theirs.read(&mut [0]).await });

    server.tunnel.remove_peer(client.key).unwrap();

    let ended = timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let listening = timeout(PATIENCE, listener.accept()).await.unwrap();
    assert_eq!(listening.unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_port_is_listened_to_once_and_free_again_afterwards() {
    let server = Server::start().await;
    let client = server.client(2).await;
    let first = client.at_server.listen(address(SERVER, 7)).unwrap();

    let second = client.at_server.listen(address(SERVER, 7)).unwrap_err();
    drop(first);

    assert_eq!(second.kind(), ErrorKind::AddrInUse);
    let refused = client.connect(7).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.at_server.listen(address(SERVER, 7)).unwrap();
}

#[tokio::test]
async fn a_socket_of_both_families_serves_peers_of_ipv4() {
    let private = PrivateKey::from_entropy([1; 32]);
    let socket = UdpSocket::bind("[::]:0").await.unwrap();
    let server = Server {
        tunnel: Tunnel::start(socket, &private, MTU).unwrap(),
        key: private.public_key(),
    };
    let port = server.tunnel.local_address().port();

    let client = server.client_at(2, address("127.0.0.1", port)).await;
    tokio::spawn(echo(client.at_server.clone()));
    exchange(&mut client.connect(7).await.unwrap(), b"hello").await;

    let peers = server.tunnel.peers().await.unwrap();
    let endpoint = peers[0].endpoint.unwrap();
    assert_eq!(endpoint.ip(), address("127.0.0.1", 0).ip());
    // It can also be told so.
    server
        .tunnel
        .set_peer(
            peer(client.key, Some(endpoint), "10.5.0.2/32"),
            client.at_server.clone(),
        )
        .unwrap();
    let back = client.stack.listen(address("10.5.0.2", 9)).unwrap();
    let connecting = client.at_server.connect(address("10.5.0.2", 9));
    timeout(PATIENCE, connecting).await.unwrap().unwrap();
    drop(back);
}

#[tokio::test]
async fn a_peer_that_is_not_there_does_not_connect() {
    let server = Server::start().await;
    let client = server.client(2).await;
    server.tunnel.remove_peer(client.key).unwrap();
    let stranger = PrivateKey::from_entropy([77; 32]).public_key();

    let connected = server.tunnel.connect(stranger, PATIENCE).await;

    assert_eq!(connected, Ok(false));
}

/// The end of the tunnel that has many peers.
struct Server {
    tunnel: Tunnel,
    key: PublicKey,
}

/// One of them, and its stack at the server.
struct Client {
    tunnel: Tunnel,
    key: PublicKey,
    stack: Stack,
    at_server: Stack,
}

impl Server {
    async fn start() -> Self {
        let private = PrivateKey::from_entropy([1; 32]);
        Self {
            tunnel: Tunnel::start(socket().await, &private, MTU).unwrap(),
            key: private.public_key(),
        }
    }

    /// A client whose address ends in this number.
    async fn client(&self, number: u8) -> Client {
        self.client_at(number, self.tunnel.local_address()).await
    }

    /// A client on a way that loses one of so many datagrams.
    async fn client_through_loss(&self, number: u8, one_of: u32) -> Client {
        let relay = relay(self.tunnel.local_address(), one_of).await;
        self.client_at(number, relay).await
    }

    async fn client_at(&self, number: u8, server: SocketAddr) -> Client {
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
    fn other_stack(&self, server: &Server) -> Stack {
        let mut config = config("10.5.0.2/32");
        config.streams = 10 * STREAMS;
        let stack = self.tunnel.stack(&config).unwrap();
        let peer = peer_at(server.key, server.tunnel.local_address());
        self.tunnel.set_peer(peer, stack.clone()).unwrap();
        stack
    }

    async fn connect(&self, port: u16) -> std::io::Result<TcpStream> {
        let connecting = self.stack.connect(address(SERVER, port));
        timeout(PATIENCE, connecting).await.unwrap()
    }
}

/// Sends everything back that comes to port 7.
async fn echo(stack: Stack) {
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
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
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

/// A segment from 10.5.0.2 to the server's port 7, with a window that is scaled.
fn segment(control: TcpControl, sequence: usize, acknowledge: Option<i32>, data: &[u8]) -> Vec<u8> {
    let (source, destination) = (Ipv4Address::new(10, 5, 0, 2), Ipv4Address::new(10, 5, 0, 1));
    let tcp = TcpRepr {
        src_port: 4711,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(i32::try_from(sequence).unwrap()),
        ack_number: acknowledge.map(TcpSeqNumber),
        window_len: 65535,
        window_scale: (control == TcpControl::Syn).then_some(7),
        max_seg_size: (control == TcpControl::Syn).then_some(1380),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; ip.buffer_len() + tcp.buffer_len()];
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut packet), &checksums);
    tcp.emit(
        &mut TcpPacket::new_unchecked(&mut packet[ip.buffer_len()..]),
        &source.into(),
        &destination.into(),
        &checksums,
    );
    packet
}

fn tcp_sequence(packet: &[u8]) -> i32 {
    TcpPacket::new_checked(&packet[20..])
        .unwrap()
        .seq_number()
        .0
}

fn tcp_acknowledged(packet: &[u8]) -> i32 {
    TcpPacket::new_checked(&packet[20..])
        .unwrap()
        .ack_number()
        .0
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

fn config(own: &str) -> StackConfig {
    StackConfig {
        addresses: vec![own.parse().unwrap()],
        stream_buffer: 64 * 1024,
        streams: STREAMS,
    }
}

fn peer(key: PublicKey, endpoint: Option<SocketAddr>, allowed: &str) -> PeerConfig {
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

fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
