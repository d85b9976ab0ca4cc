//! The end of the tunnel in a cloudlet, whose one address returns every UDP packet to its sender.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_tunnel::endpoint::{Buffer, Endpoint, Moment, Outbox, PeerConfig};

use crate::device::{CLOUDLET, PUBLIC_KEY, ready};

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(20);
const MTU: u16 = 1420;

/// What tells one cloudlet from another.
#[derive(Clone, Copy)]
pub(crate) struct Character {
    pub(crate) uuid: &'static str,
    name: &'static str,
    key: [u8; 32],
    /// The device's address in the tunnel.
    device: &'static str,
    /// The one that it gets with its next deployment.
    pub(crate) device_later: &'static str,
    dns: &'static str,
}

pub(crate) const PITTSBURGH: Character = Character {
    uuid: CLOUDLET,
    name: "Pittsburgh",
    key: [9; 32],
    device: "10.5.17.4",
    device_later: "10.5.17.5",
    dns: "10.43.0.10",
};

pub(crate) const BOSTON: Character = Character {
    uuid: "0e3d1c2b-5a69-4788-9b07-1c2d3e4f5a6b",
    name: "Boston",
    key: [8; 32],
    device: "10.6.1.9",
    device_later: "10.6.1.10",
    dns: "10.44.0.10",
};

pub(crate) struct Cloudlet {
    character: Character,
    address: SocketAddr,
    public_key: PublicKey,
    signs: Arc<Signs>,
    thread: Option<JoinHandle<Vec<Vec<u8>>>>,
}

/// What the thread is told.
#[derive(Default)]
struct Signs {
    stop: AtomicBool,
    /// Whether it is as if it did not run.
    dead: AtomicBool,
    /// Whether it answers from another port than the one that it told.
    elsewhere: AtomicBool,
}

impl Cloudlet {
    /// Waits for the device at a port of loopback.
    pub(crate) fn start() -> Self {
        Self::of(PITTSBURGH)
    }

    pub(crate) fn of(character: Character) -> Self {
        let (home, other) = (socket(), socket());
        let address = home.local_addr().unwrap();
        let private_key = PrivateKey::from_entropy(character.key);
        let public_key = private_key.public_key();
        let signs = Arc::new(Signs::default());
        let seen = Arc::clone(&signs);
        let thread = thread::spawn(move || serve([&home, &other], &private_key, character, &seen));
        Self {
            character,
            address,
            public_key,
            signs,
            thread: Some(thread),
        }
    }

    /// What Tier 1 answers when it deployed here.
    pub(crate) fn deployment(&self) -> Value {
        let mut deployment = ready();
        deployment["TunnelConfig"]["endpoint"] = self.address.to_string().into();
        deployment["TunnelConfig"]["publicKey"] = self.public_key.to_string().into();
        deployment["TunnelConfig"]["address"][0] = self.character.device.into();
        deployment["TunnelConfig"]["dns"][0] = self.character.dns.into();
        deployment["Cloudlet"]["uuid"] = self.character.uuid.into();
        deployment["Cloudlet"]["name"] = self.character.name.into();
        deployment
    }

    /// Loses all that it knows, and hears nothing any more.
    pub(crate) fn die(&self) {
        self.signs.dead.store(true, Ordering::Relaxed);
    }

    /// Runs again, with the same key at the same place.
    pub(crate) fn revive(&self) {
        self.signs.dead.store(false, Ordering::Relaxed);
    }

    /// Answers from another port, while it still listens at the one that it told.
    pub(crate) fn go_elsewhere(&self) {
        self.signs.elsewhere.store(true, Ordering::Relaxed);
    }

    /// Runs anew at the port that it told, and nowhere else.
    pub(crate) fn come_home(&self) {
        self.signs.elsewhere.store(false, Ordering::Relaxed);
    }

    /// How many packets the device sent through the tunnel.
    pub(crate) fn packets(self) -> usize {
        self.heard().len()
    }

    /// The packets that the device sent through the tunnel.
    pub(crate) fn heard(mut self) -> Vec<Vec<u8>> {
        self.signs.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Cloudlet {
    fn drop(&mut self) {
        self.signs.stop.store(true, Ordering::Relaxed);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(TICK)).unwrap();
    socket
}

fn serve(
    [home, other]: [&UdpSocket; 2],
    private_key: &PrivateKey,
    character: Character,
    signs: &Signs,
) -> Vec<Vec<u8>> {
    let begun = Instant::now();
    let now = || Moment::from_origin(begun.elapsed());
    let mut endpoint = endpoint(private_key, character, now());
    let mut packets = Vec::new();
    let mut was_elsewhere = false;
    let mut bytes = [0; 4096];
    while !signs.stop.load(Ordering::Relaxed) {
        let mut out = Out::default();
        let elsewhere = signs.elsewhere.load(Ordering::Relaxed);
        let socket = if elsewhere { other } else { home };
        let came_home = std::mem::replace(&mut was_elsewhere, elsewhere) && !elsewhere;
        let received = socket.recv_from(&mut bytes);
        let received = received.or_else(|_| home.recv_from(&mut bytes));
        if came_home || signs.dead.load(Ordering::Relaxed) {
            endpoint = self::endpoint(private_key, character, now());
            continue;
        }
        if let Ok((length, from)) = received {
            endpoint.receive(now(), from, Buffer::copy_from(&bytes[..length]), &mut out);
        }
        endpoint.advance(now(), &mut out);
        for packet in std::mem::take(&mut out.packets) {
            endpoint.send(now(), returned(&packet), &mut out);
            packets.push(packet);
        }
        for (to, datagram) in out.datagrams {
            socket.send_to(&datagram, to).unwrap();
        }
    }
    packets
}

fn endpoint(private_key: &PrivateKey, character: Character, now: Moment) -> Endpoint {
    let mut endpoint = Endpoint::new(private_key, MTU, now);
    endpoint.set_peer(
        now,
        &PeerConfig {
            public_key: PUBLIC_KEY.parse().unwrap(),
            preshared_key: None,
            endpoint: None,
            allowed_ips: [character.device, character.device_later]
                .map(|address| format!("{address}/32").parse().unwrap())
                .to_vec(),
            persistent_keepalive: None,
        },
    );
    endpoint
}

/// An IPv4 packet of UDP with its ends exchanged, which leaves its checksums right.
fn returned(packet: &[u8]) -> Buffer {
    let mut packet = packet.to_vec();
    let (source, destination) = packet[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    let (source, destination) = packet[20..24].split_at_mut(2);
    source.swap_with_slice(destination);
    Buffer::copy_from(&packet)
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
