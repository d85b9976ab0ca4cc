//! Tunnels between namespaces of the network. These tests need root, or a user namespace of their own.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rstest::rstest;
use sinfonia_core::key::PrivateKey;

use crate::driver::kernel::testing::open_tun;
use crate::driver::{Tunnel, TunnelParts};
use crate::endpoint::PeerConfig;

const MTU: u16 = 1420;
const WAIT: Duration = Duration::from_secs(5);

/// One end: a tunnel whose device is in a namespace of its own, and a thread in that namespace that does what it is told.
struct Side {
    tunnel: Tunnel,
    key: PrivateKey,
    address: SocketAddr,
    inside: [IpAddr; 2],
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Side {
    fn new(number: u8, virtio_headers: bool, outside: &str) -> Self {
        let inside: [IpAddr; 2] = [
            [10, 9, 0, number].into(),
            [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
        ];
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (sender, device) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root");
            sender.send(open_tun("wg0", virtio_headers)).unwrap();
            set_up(inside);
            queue.iter().for_each(|job| job());
        });
        let key = PrivateKey::from_entropy([number; 32]);
        let socket = UdpSocket::bind(outside).unwrap();
        let mut address = socket.local_addr().unwrap();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let tunnel = Tunnel::start(TunnelParts {
            device: device.recv().unwrap(),
            virtio_headers,
            mtu: MTU,
            socket,
            private_key: key.clone(),
        });
        Self {
            tunnel: tunnel.unwrap(),
            key,
            address,
            inside,
            jobs,
        }
    }

    fn introduce(&self, other: &Self, endpoint: Option<SocketAddr>) {
        let config = PeerConfig {
            public_key: other.key.public_key(),
            preshared_key: None,
            endpoint,
            allowed_ips: other.inside.map(Into::into).to_vec(),
            persistent_keepalive: NonZeroU16::new(25),
        };
        self.tunnel.set_peer(config).unwrap();
    }

    /// Does something in the namespace and returns its result.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let (sender, result) = mpsc::channel();
        let job = Box::new(move || drop(sender.send(job())));
        self.jobs.send(job).unwrap();
        thread::spawn(move || result.recv().unwrap())
    }
}

fn set_up(inside: [IpAddr; 2]) {
    let ip = |arguments: &str| {
        let status = Command::new("ip")
            .args(arguments.split(' '))
            .status()
            .unwrap();
        assert!(status.success(), "ip {arguments}");
    };
    ip(&format!("address add {}/24 dev wg0", inside[0]));
    ip(&format!("address add {}/64 dev wg0 nodad", inside[1]));
    ip(&format!("link set wg0 mtu {MTU} up"));
}

fn pair(virtio_headers: [bool; 2], outside: &str) -> (Side, Side) {
    let client = Side::new(1, virtio_headers[0], outside);
    let gateway = Side::new(2, virtio_headers[1], outside);
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

/// Bytes that do not repeat with the length of a segment.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Sends bytes through a TCP connection from one side to the other and returns what arrived, and how long it took.
fn transfer(from: &Side, to: &Side, family: usize, data: Vec<u8>) -> (Vec<u8>, Duration) {
    let address = SocketAddr::new(to.inside[family], 4_000);
    let (ready, listening) = mpsc::channel();
    let length = data.len();
    let server = to.run(move || {
        let listener = TcpListener::bind(address).unwrap();
        ready.send(()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let begin = Instant::now();
        let mut arrived = Vec::with_capacity(length);
        stream.read_to_end(&mut arrived).unwrap();
        (arrived, begin.elapsed())
    });
    listening.recv().unwrap();
    let client = from.run(move || {
        let mut stream = TcpStream::connect_timeout(&address, WAIT).unwrap();
        stream.write_all(&data).unwrap();
    });
    client.join().unwrap();
    server.join().unwrap()
}

#[rstest]
#[case::with_offload([true, true], "127.0.0.1:0")]
#[case::without_offload([false, false], "127.0.0.1:0")]
#[case::one_side_without([true, false], "127.0.0.1:0")]
#[case::ipv6_outside([true, true], "[::1]:0")]
#[case::ipv4_on_a_socket_of_ipv6([true, true], "[::]:0")]
fn megabytes_arrive_as_they_were(#[case] virtio_headers: [bool; 2], #[case] outside: &str) {
    let (client, gateway) = pair(virtio_headers, outside);
    let data = bytes(4 << 20);

    for family in [0, 1] {
        for (from, to) in [(&client, &gateway), (&gateway, &client)] {
            let (arrived, _) = transfer(from, to, family, data.clone());
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

#[test]
fn peers_come_and_go_while_the_tunnel_works() {
    let (client, gateway) = pair([true, true], "127.0.0.1:0");
    let key = client.key.public_key();

    assert!(gateway.tunnel.remove_peer(key).unwrap());
    assert!(!gateway.tunnel.remove_peer(key).unwrap());
    assert!(gateway.tunnel.counters().unwrap().peers.is_empty());

    gateway.introduce(&client, Some(client.address));
    assert!(gateway.tunnel.connect(key, WAIT).unwrap());
    let (arrived, _) = transfer(&gateway, &client, 0, b"welcome back".to_vec());
    assert_eq!(arrived, b"welcome back");
}

#[test]
fn a_peer_that_is_not_there_is_waited_for_in_vain() {
    let client = Side::new(1, true, "127.0.0.1:0");
    let nobody = Side::new(2, true, "127.0.0.1:0");
    client.introduce(&nobody, Some(nobody.address));

    let connected = client
        .tunnel
        .connect(nobody.key.public_key(), Duration::from_millis(300));

    assert!(!connected.unwrap());
}

/// Not a check but a number, for those who ask: `cargo test --release -- --ignored --nocapture throughput`.
#[test]
#[ignore = "measures"]
fn throughput_of_one_connection() {
    let (client, gateway) = pair([true, true], "127.0.0.1:0");
    let data = bytes(1 << 30);

    for (from, to) in [(&client, &gateway), (&gateway, &client)] {
        let (arrived, time) = transfer(from, to, 0, data.clone());
        assert!(arrived == data);
        let gigabits = (data.len() * 8) as f64 / 1e9 / time.as_secs_f64();
        std::io::stderr()
            .write_fmt(format_args!("{gigabits:.2} Gbit/s\n"))
            .unwrap();
    }
}
