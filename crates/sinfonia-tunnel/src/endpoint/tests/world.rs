//! Endpoints on a simulated network, in simulated time.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::key::PrivateKey;

use crate::endpoint::{
    Buffer, Connection, Drops, Endpoint, Moment, Outbox, PeerConfig, PeerStatus,
};

pub(super) const CLIENT: usize = 0;
pub(super) const GATEWAY: usize = 1;
pub(super) const MTU: u16 = 1420;
pub(super) const LATENCY: Duration = Duration::from_millis(10);

/// Types of messages, by their first byte.
pub(super) const INITIATION: u8 = 1;
pub(super) const RESPONSE: u8 = 2;
pub(super) const COOKIE: u8 = 3;
pub(super) const DATA: u8 = 4;

pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) address: SocketAddr,
    key: PrivateKey,
    inside: Vec<IpNet>,
    /// The packets that came out of the tunnel.
    pub(super) packets: Vec<(Moment, Vec<u8>)>,
}

/// A datagram on its way, or one that has been.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    pub(super) at: Moment,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// What the network makes of a datagram: its copies, each after a delay.
type Fate = Box<dyn FnMut(&Datagram) -> Vec<(Duration, Vec<u8>)>>;

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) hosts: Vec<Host>,
    /// All that was sent, lost or not.
    pub(super) sent: Vec<Datagram>,
    pub(super) fate: Fate,
    wire: Vec<Datagram>,
}

#[derive(Default)]
struct Out {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    packets: Vec<Vec<u8>>,
}

impl Outbox for Out {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.datagrams.push((to, datagram.to_vec()));
    }

    fn packet(&mut self, packet: Buffer) {
        self.packets.push(packet.to_vec());
    }
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn at(seconds: f64) -> Moment {
    Moment::from_origin(Duration::from_secs_f64(seconds))
}

/// An IP packet with this payload, its header no fuller than the endpoint needs.
pub(super) fn packet(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (source.parse().unwrap(), destination.parse().unwrap()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + payload.len() as u16).to_be_bytes();
            let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = (payload.len() as u16).to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, length[0], length[1], 17, 64];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        _ => panic!("addresses of one family"),
    };
    packet.extend(payload);
    packet
}

/// A packet from the client's address in the tunnel to the gateway's.
pub(super) fn up(payload: &[u8]) -> Vec<u8> {
    packet("10.5.17.4", "10.43.0.10", payload)
}

/// A packet from the gateway's address in the tunnel to the client's.
pub(super) fn down(payload: &[u8]) -> Vec<u8> {
    packet("10.43.0.10", "10.5.17.4", payload)
}

impl World {
    /// A client that knows where the gateway is, and the gateway, which knows the client's key.
    pub(super) fn new() -> Self {
        let mut world = Self::empty();
        world.lose_nothing();
        world.add_host("203.0.113.4:40000", &["10.5.17.4/32", "fd00::4/128"]);
        world.add_host("198.51.100.7:51820", &["10.43.0.0/16", "fd00:43::/64"]);
        world.introduce(CLIENT, GATEWAY, |_| ());
        world.introduce(GATEWAY, CLIENT, |config| config.endpoint = None);
        world
    }

    /// As [`Self::new`], with a session.
    pub(super) fn connected() -> Self {
        let mut world = Self::new();
        world.send(CLIENT, &up(b"hello"));
        world.run_for(seconds(1));
        assert_eq!(world.take_packets(GATEWAY), [up(b"hello")]);
        world
    }

    pub(super) fn empty() -> Self {
        Self {
            // Far from the origin, where a host has been up for a while.
            now: at(1_000.0),
            hosts: Vec::new(),
            sent: Vec::new(),
            fate: Box::new(|_| vec![]),
            wire: Vec::new(),
        }
    }

    /// From now on, the network loses all messages of a type.
    pub(super) fn lose(&mut self, kind: u8) {
        self.fate = Box::new(move |datagram| match datagram.bytes[0] {
            lost if lost == kind => vec![],
            _ => vec![(LATENCY, datagram.bytes.clone())],
        });
    }

    pub(super) fn lose_nothing(&mut self) {
        self.fate = Box::new(|datagram| vec![(LATENCY, datagram.bytes.clone())]);
    }

    pub(super) fn add_host(&mut self, address: &str, inside: &[&str]) -> usize {
        let id = self.hosts.len();
        let key = PrivateKey::from_entropy([id as u8 + 1; 32]);
        self.hosts.push(Host {
            endpoint: Endpoint::new(&key, MTU, self.now),
            address: address.parse().unwrap(),
            key,
            inside: inside.iter().map(|net| net.parse().unwrap()).collect(),
            packets: Vec::new(),
        });
        id
    }

    /// The configuration with which others reach a host.
    pub(super) fn config_of(&self, host: usize) -> PeerConfig {
        let host = &self.hosts[host];
        PeerConfig {
            public_key: host.key.public_key(),
            preshared_key: None,
            endpoint: Some(host.address),
            allowed_ips: host.inside.clone(),
            persistent_keepalive: None,
        }
    }

    /// Makes a host a peer of another.
    pub(super) fn introduce(&mut self, to: usize, host: usize, edit: impl Fn(&mut PeerConfig)) {
        let mut config = self.config_of(host);
        edit(&mut config);
        let now = self.now;
        self.hosts[to].endpoint.set_peer(now, &config);
    }

    pub(super) fn keepalive(seconds: u16) -> impl Fn(&mut PeerConfig) {
        move |config| config.persistent_keepalive = NonZeroU16::new(seconds)
    }

    /// Loses all that the gateway knows, as its restart does.
    pub(super) fn restart_gateway(&mut self) {
        let key = self.hosts[GATEWAY].key.clone();
        self.hosts[GATEWAY].endpoint = Endpoint::new(&key, MTU, self.now);
        self.introduce(GATEWAY, CLIENT, |config| config.endpoint = None);
    }

    pub(super) fn send(&mut self, host: usize, packet: &[u8]) {
        let now = self.now;
        self.call(host, |endpoint, out| {
            endpoint.send(now, Buffer::copy_from(packet), out);
        });
    }

    pub(super) fn receive(&mut self, host: usize, from: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        self.call(host, |endpoint, out| {
            endpoint.receive(now, from, Buffer::copy_from(datagram), out);
        });
    }

    pub(super) fn connect(&mut self, host: usize, peer: usize) -> Connection {
        let key = self.hosts[peer].key.public_key();
        let now = self.now;
        self.call(host, |endpoint, out| endpoint.connect(now, &key, out))
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Lets time pass, from one event to the next.
    pub(super) fn run_until(&mut self, end: Moment) {
        let mut stalled = 0;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            stalled = if next > self.now { 0 } else { stalled + 1 };
            assert!(stalled < 10_000, "an endpoint wakes up for nothing");
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Moment> {
        let arrivals = self.wire.iter().map(|datagram| datagram.at);
        let wakeups = self
            .hosts
            .iter()
            .filter_map(|host| host.endpoint.next_wakeup());
        arrivals.chain(wakeups).min()
    }

    fn step(&mut self) {
        let now = self.now;
        for host in 0..self.hosts.len() {
            if self.hosts[host]
                .endpoint
                .next_wakeup()
                .is_some_and(|due| due <= now)
            {
                self.call(host, |endpoint, out| endpoint.advance(now, out));
            }
        }
        let (arrived, wire) = std::mem::take(&mut self.wire)
            .into_iter()
            .partition(|datagram| datagram.at <= now);
        self.wire = wire;
        let arrived: Vec<Datagram> = arrived;
        for datagram in arrived {
            let host = self
                .hosts
                .iter()
                .position(|host| host.address == datagram.to);
            if let Some(host) = host {
                self.receive(host, datagram.from, &datagram.bytes);
            }
        }
    }

    fn call<R>(&mut self, host: usize, call: impl FnOnce(&mut Endpoint, &mut Out) -> R) -> R {
        let mut out = Out::default();
        let result = call(&mut self.hosts[host].endpoint, &mut out);
        let from = self.hosts[host].address;
        for packet in out.packets {
            self.hosts[host].packets.push((self.now, packet));
        }
        for (to, bytes) in out.datagrams {
            let datagram = Datagram {
                at: self.now,
                from,
                to,
                bytes,
            };
            for (delay, bytes) in (self.fate)(&datagram) {
                self.wire.push(Datagram {
                    at: self.now + delay,
                    bytes,
                    ..datagram.clone()
                });
            }
            self.sent.push(datagram);
        }
        result
    }

    pub(super) fn take_packets(&mut self, host: usize) -> Vec<Vec<u8>> {
        let packets = std::mem::take(&mut self.hosts[host].packets);
        packets.into_iter().map(|(_, packet)| packet).collect()
    }

    pub(super) fn status(&self, host: usize) -> &PeerStatus {
        self.hosts[host].endpoint.peers().next().unwrap()
    }

    pub(super) fn drops(&self, host: usize) -> &Drops {
        self.hosts[host].endpoint.drops()
    }

    /// The datagrams of a type that a host sent.
    pub(super) fn sent_by(&self, host: usize, kind: u8) -> impl Iterator<Item = &Datagram> {
        let from = self.hosts[host].address;
        self.sent
            .iter()
            .filter(move |datagram| datagram.from == from && datagram.bytes[0] == kind)
    }
}
