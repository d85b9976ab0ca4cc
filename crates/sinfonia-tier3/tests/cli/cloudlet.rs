//! The end of the tunnel in a cloudlet, whose one address returns every UDP packet to its sender.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_tunnel::endpoint::{Buffer, Endpoint, Moment, Outbox, PeerConfig};

use crate::device::{PUBLIC_KEY, ready};

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(20);
const MTU: u16 = 1420;

pub(crate) struct Cloudlet {
    address: SocketAddr,
    public_key: PublicKey,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Cloudlet {
    /// Waits for the device at a port of loopback.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TICK)).unwrap();
        let address = socket.local_addr().unwrap();
        let private_key = PrivateKey::from_entropy([9; 32]);
        let public_key = private_key.public_key();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, &private_key, &stopped));
        Self {
            address,
            public_key,
            stop,
            thread: Some(thread),
        }
    }

    /// What Tier 1 answers when it deployed here.
    pub(crate) fn deployment(&self) -> Value {
        let mut deployment = ready();
        deployment["TunnelConfig"]["endpoint"] = self.address.to_string().into();
        deployment["TunnelConfig"]["publicKey"] = self.public_key.to_string().into();
        deployment
    }

    /// How many packets the device sent through the tunnel.
    pub(crate) fn packets(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Cloudlet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, private_key: &PrivateKey, stop: &AtomicBool) -> u64 {
    let begun = Instant::now();
    let now = || Moment::from_origin(begun.elapsed());
    let mut endpoint = Endpoint::new(private_key, MTU, now());
    endpoint.set_peer(
        now(),
        &PeerConfig {
            public_key: PUBLIC_KEY.parse().unwrap(),
            preshared_key: None,
            endpoint: None,
            allowed_ips: vec!["10.5.17.4/32".parse().unwrap()],
            persistent_keepalive: None,
        },
    );
    let mut packets = 0;
    let mut bytes = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let mut out = Out::default();
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            endpoint.receive(now(), from, Buffer::copy_from(&bytes[..length]), &mut out);
        }
        endpoint.advance(now(), &mut out);
        for packet in std::mem::take(&mut out.packets) {
            packets += 1;
            endpoint.send(now(), returned(&packet), &mut out);
        }
        for (to, datagram) in out.datagrams {
            socket.send_to(&datagram, to).unwrap();
        }
    }
    packets
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
