//! Tunnels between namespaces of the network. These tests need root.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use rstest::rstest;
use sinfonia_core::key::PrivateKey;

use super::namespace::{MTU, Namespace, WAIT, bytes, inside, transfer};
use crate::confinement::Framing::{self, Offload, Plain};
use crate::confinement::make_framed;
use crate::driver::{Tunnel, TunnelParts};
use crate::endpoint::PeerConfig;

/// One end: a tunnel whose device is in a namespace of its own.
struct Side {
    tunnel: Tunnel,
    key: PrivateKey,
    number: u8,
    address: SocketAddr,
    namespace: Namespace,
}

impl Side {
    fn new(number: u8, framing: Framing, outside: &str) -> Self {
        let namespace = Namespace::new();
        let device = namespace
            .run(move || make_framed("wg0", framing).unwrap())
            .join()
            .unwrap();
        namespace.set_up_tun("wg0", number);
        let key = PrivateKey::from_entropy([number; 32]);
        let socket = UdpSocket::bind(outside).unwrap();
        let mut address = socket.local_addr().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let tunnel = Tunnel::start(TunnelParts {
            device,
            mtu: MTU,
            socket,
            private_key: key.clone(),
        });
        Self {
            tunnel: tunnel.unwrap(),
            key,
            number,
            address,
            namespace,
        }
    }

    fn introduce(&self, other: &Self, endpoint: Option<SocketAddr>) {
        let config = PeerConfig {
            public_key: other.key.public_key(),
            preshared_key: None,
            endpoint,
            allowed_ips: inside(other.number).map(Into::into).to_vec(),
            persistent_keepalive: NonZeroU16::new(25),
        };
        self.tunnel.set_peer(config).unwrap();
    }
}

fn pair(framing: [Framing; 2], outside: &str) -> (Side, Side) {
    let client = Side::new(1, framing[0], outside);
    let gateway = Side::new(2, framing[1], outside);
    client.introduce(&gateway, Some(gateway.address));
    gateway.introduce(&client, None);
    assert!(
        client
            .tunnel
            .connect(gateway.key.public_key(), WAIT)
            .unwrap()
    );
    (client, gateway)
}

/// Carries bytes from one side to the other, and returns what arrived and how long it took.
fn carry(from: &Side, to: &Side, family: usize, data: Vec<u8>) -> (Vec<u8>, Duration) {
    transfer(
        &from.namespace,
        &to.namespace,
        inside(to.number)[family],
        data,
    )
}

#[rstest]
#[case::with_offload([Offload, Offload], "127.0.0.1:0")]
#[case::without_offload([Plain, Plain], "127.0.0.1:0")]
#[case::one_side_without([Offload, Plain], "127.0.0.1:0")]
#[case::ipv6_outside([Offload, Offload], "[::1]:0")]
#[case::ipv4_on_a_socket_of_ipv6([Offload, Offload], "[::]:0")]
fn megabytes_arrive_as_they_were(#[case] framing: [Framing; 2], #[case] outside: &str) {
    let (client, gateway) = pair(framing, outside);
    let data = bytes(4 << 20);

    for family in [0, 1] {
        for (from, to) in [(&client, &gateway), (&gateway, &client)] {
            let (arrived, _) = carry(from, to, family, data.clone());
            assert!(arrived == data, "family {family}");
        }
    }

    let counters = client.tunnel.counters().unwrap();
    assert_eq!(counters.failed_sends, 0);
    assert_eq!(counters.failed_writes, 0);
    assert!(counters.peers[0].sent_bytes > 8 << 20);
    assert!(counters.peers[0].received_bytes > 8 << 20);
    client.tunnel.stop().unwrap();
    gateway.tunnel.stop().unwrap();
}

/// System calls of a client that sends and one that receives as much, one packet being some 1,400 bytes.
fn calls(framing: Framing) -> (u64, u64) {
    let (client, gateway) = pair([framing, framing], "127.0.0.1:0");
    let data = bytes(4 << 20);
    carry(&client, &gateway, 0, data.clone());
    carry(&gateway, &client, 0, data);
    let counters = client.tunnel.counters().unwrap();
    (counters.sends, counters.writes)
}

#[test]
fn the_kernel_is_called_seldom_when_segmentation_is_left_to_it() {
    let packets = (4 << 20) / 1_400;

    let (sends, writes) = calls(Offload);

    assert!(sends < packets / 3, "{sends} sends");
    assert!(writes < packets / 3, "{writes} writes");
    assert!(calls(Plain).1 > packets);
}

#[test]
fn peers_come_and_go_while_the_tunnel_works() {
    let (client, gateway) = pair([Offload, Offload], "127.0.0.1:0");
    let key = client.key.public_key();

    assert!(gateway.tunnel.remove_peer(key).unwrap());
    assert!(!gateway.tunnel.remove_peer(key).unwrap());
    assert!(gateway.tunnel.counters().unwrap().peers.is_empty());

    gateway.introduce(&client, Some(client.address));
    assert!(gateway.tunnel.connect(key, WAIT).unwrap());
    let (arrived, _) = carry(&gateway, &client, 0, b"welcome back".to_vec());
    assert_eq!(arrived, b"welcome back");
}

#[test]
fn a_peer_that_is_not_there_is_waited_for_in_vain() {
    let client = Side::new(1, Offload, "127.0.0.1:0");
    let nobody = Side::new(2, Offload, "127.0.0.1:0");
    client.introduce(&nobody, Some(nobody.address));

    let connected = client
        .tunnel
        .connect(nobody.key.public_key(), Duration::from_millis(300));

    assert!(!connected.unwrap());
}
