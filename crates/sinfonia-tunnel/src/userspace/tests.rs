//! Tunnels between two ends in this process, over real sockets.

mod hostile;
mod world;

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::join_all;
use sinfonia_core::key::PrivateKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Tunnel;
use world::{MTU, PATIENCE, SERVER, STREAMS, Server, address, echo, exchange, noise, peer};

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
