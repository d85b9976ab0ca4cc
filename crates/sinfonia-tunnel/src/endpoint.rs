//! A WireGuard endpoint without I/O.
//!
//! [`Endpoint`] takes packets of the tunnel, datagrams of the network and the time; it hands datagrams and packets to an
//! [`Outbox`]. It opens no socket, starts no thread and reads no clock, so that a test can run hours of it in milliseconds. The
//! cryptography, the sessions and the protocol's timers are gotatun's; the peers, the routes and the quick recovery of a session
//! that the peer has lost are done here.
//!
//! One thing is asked of the caller: a key pair should not be shared with another implementation. Handshakes carry a time that
//! the peer remembers, gotatun's is 27 s ahead of the kernel's, and for so long the peer takes the other one's for a replay.

mod buffer;
mod config;
mod drops;
mod moment;
mod packet;
mod peer;
mod recovery;
mod routes;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gotatun::noise::handshake::parse_handshake_anon;
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::WgKind;
use gotatun::tun::MtuWatcher;
use gotatun::x25519;
use sinfonia_core::key::{PrivateKey, PublicKey};

pub use buffer::{BUFFER_BYTES, Buffer, MAX_MTU, OVERHEAD, Pool};
pub use config::{Connection, PeerConfig, PeerStatus, PresharedKey};
pub use drops::{DropReason, Drops};
pub use moment::Moment;

pub(crate) use packet::Header;
use peer::{Link, Peer, TICK};
pub(crate) use routes::Routes;

/// Handshakes that one address may begin in a second before it has to prove with a cookie that the address is its own.
const HANDSHAKES_PER_SECOND: u64 = 100;

/// First byte of a message that carries a packet.
const DATA_MESSAGE: u8 = 4;

/// How often the indices of ended sessions are cleared away.
const SWEEP: Duration = Duration::from_secs(1);

/// Takes what leaves the endpoint: to the network, or into the tunnel.
pub trait Outbox {
    /// Takes a datagram for this address.
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer);
    /// Takes an IP packet that a peer sent.
    fn packet(&mut self, packet: Buffer);
}

/// What went through an endpoint since it was made, with all peers that it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes of all messages to peers, as `wg` counts them.
    pub sent_bytes: u64,
    /// Bytes of all authentic messages of peers, as `wg` counts them.
    pub received_bytes: u64,
    /// Handshakes that came to a good end.
    pub handshakes: u64,
}

/// One end of any number of WireGuard tunnels.
pub struct Endpoint {
    private_key: x25519::StaticSecret,
    public_key: x25519::PublicKey,
    rate_limiter: Arc<RateLimiter>,
    indices: IndexTable,
    mtu: MtuWatcher,
    peers: Vec<Option<Peer>>,
    by_key: HashMap<PublicKey, usize>,
    /// The peers of our own receiver indices. Those of ended sessions and removed peers stay until they are swept away; the
    /// peer in their place does not know them.
    sessions: HashMap<u32, usize>,
    routes: Routes,
    drops: Drops,
    traffic: Traffic,
    now: Moment,
    swept: Moment,
    wakeup: Option<Moment>,
}

impl Endpoint {
    /// An endpoint without peers. Packets of the tunnel have at most `mtu` bytes, itself at most [`MAX_MTU`].
    pub fn new(private_key: &PrivateKey, mtu: u16, now: Moment) -> Self {
        now.enter();
        let private_key = x25519::StaticSecret::from(*private_key.as_bytes());
        let public_key = x25519::PublicKey::from(&private_key);
        Self {
            rate_limiter: Arc::new(RateLimiter::new(&public_key, HANDSHAKES_PER_SECOND)),
            private_key,
            public_key,
            indices: IndexTable::from_os_rng(),
            mtu: MtuWatcher::new(mtu.min(MAX_MTU)),
            peers: Vec::new(),
            by_key: HashMap::new(),
            sessions: HashMap::new(),
            routes: Routes::default(),
            drops: Drops::default(),
            traffic: Traffic::default(),
            now,
            swept: now,
            wakeup: None,
        }
    }

    /// Adds a peer, or changes one while its sessions go on. Its allowed addresses are taken from other peers.
    pub fn set_peer(&mut self, now: Moment, config: &PeerConfig) {
        self.enter(now);
        let slot = match self.by_key.get(&config.public_key) {
            Some(slot) => *slot,
            None => self.add_peer(config.public_key),
        };
        self.routes.remove(slot);
        for prefix in &config.allowed_ips {
            self.routes.insert(*prefix, slot);
        }
        if let Some(peer) = &mut self.peers[slot] {
            peer.configure(config);
        }
        self.wake_by(self.now);
    }

    /// Removes a peer with its sessions; says whether there was one.
    pub fn remove_peer(&mut self, public_key: &PublicKey) -> bool {
        let Some(slot) = self.by_key.remove(public_key) else {
            return false;
        };
        self.peers[slot] = None;
        self.routes.remove(slot);
        true
    }

    /// Begins a handshake with a peer unless there is a session, for those who want to know that the peer is there before they
    /// send.
    pub fn connect<O: Outbox>(
        &mut self,
        now: Moment,
        public_key: &PublicKey,
        out: &mut O,
    ) -> Connection {
        self.enter(now);
        let slot = self.by_key.get(public_key).copied();
        let connection = slot.and_then(|slot| self.with_peer(slot, out, Peer::connect));
        self.wake_by(self.now + TICK);
        connection.unwrap_or(Connection::Impossible)
    }

    /// Takes a packet from the tunnel for the peer that owns its destination.
    pub fn send<O: Outbox>(&mut self, now: Moment, packet: Buffer, out: &mut O) {
        self.enter(now);
        if let Err(reason) = self.try_send(packet, out) {
            self.drops.add(reason);
        }
    }

    /// Takes a datagram from the network.
    pub fn receive<O: Outbox>(
        &mut self,
        now: Moment,
        from: SocketAddr,
        datagram: Buffer,
        out: &mut O,
    ) {
        self.enter(now);
        if let Err(reason) = self.try_receive(from, datagram, out) {
            self.drops.add(reason);
        }
    }

    /// Does what has become due: handshakes, keep-alives, the end of sessions.
    pub fn advance<O: Outbox>(&mut self, now: Moment, out: &mut O) {
        self.enter(now);
        self.wakeup = None;
        for slot in 0..self.peers.len() {
            self.with_peer(slot, out, Peer::advance);
            let wakeup = self.peers[slot].as_ref().and_then(Peer::wakeup);
            if let Some(wakeup) = wakeup {
                self.wake_by(wakeup);
            }
        }
        if self.now.since(self.swept) >= SWEEP {
            self.swept = self.now;
            self.sessions.retain(|index, _| self.indices.in_use(*index));
        }
    }

    /// When [`Self::advance`] has to be called at the latest, or `None` if nothing can become due by itself. To be asked again
    /// after each other call.
    pub const fn next_wakeup(&self) -> Option<Moment> {
        self.wakeup
    }

    /// What is known of each peer.
    pub fn peers(&self) -> impl Iterator<Item = &PeerStatus> {
        self.peers.iter().flatten().map(Peer::status)
    }

    /// What was dropped, and why.
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// What went through it.
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn try_send<O: Outbox>(&mut self, mut packet: Buffer, out: &mut O) -> Result<(), DropReason> {
        let header = Header::parse(&packet).ok_or(DropReason::Packet)?;
        packet.truncate(header.length);
        if header.length > usize::from(self.mtu.get()) {
            return Err(DropReason::TooLong);
        }
        let slot = self.routes.owner(header.destination);
        let slot = slot.ok_or(DropReason::NoRoute)?;
        self.with_peer(slot, out, |peer, link| {
            peer.status().endpoint.ok_or(DropReason::NoEndpoint)?;
            peer.send(packet, link);
            Ok(())
        })
        .unwrap_or(Err(DropReason::NoRoute))?;
        self.wake_by(self.now + TICK);
        Ok(())
    }

    fn try_receive<O: Outbox>(
        &mut self,
        from: SocketAddr,
        datagram: Buffer,
        out: &mut O,
    ) -> Result<(), DropReason> {
        let length = datagram.len();
        let message = self.admit(from, datagram, out)?;
        let slot = self.sender(&message)?;
        let packet = self
            .with_peer(slot, out, |peer, link| {
                peer.receive(from, length, message, link)
            })
            .unwrap_or(Err(DropReason::UnknownSession))?;
        self.wake_by(self.now + TICK);
        if let Some(packet) = packet {
            out.packet(self.check_inner(slot, packet)?);
        }
        Ok(())
    }

    /// Parses a datagram, and answers with a cookie if its sender begins too many handshakes.
    fn admit<O: Outbox>(
        &self,
        from: SocketAddr,
        datagram: Buffer,
        out: &mut O,
    ) -> Result<WgKind, DropReason> {
        // The three reserved bytes are neither authenticated nor checked by the core; other implementations want them zero.
        match datagram.first_chunk() {
            Some([DATA_MESSAGE, 0, 0, 0]) => {}
            Some([_, 0, 0, 0]) => self.rate_limiter.try_reset_count(),
            _ => return Err(DropReason::Malformed),
        }
        match self.rate_limiter.verify_packet(from, datagram.0) {
            Ok(message) => Ok(message),
            Err(TunnResult::WriteToNetwork(cookie)) => {
                out.datagram(from, Buffer(cookie.into()));
                Err(DropReason::Load)
            }
            Err(TunnResult::Err(error)) => Err(error.into()),
            Err(TunnResult::Done | TunnResult::WriteToTunnel(_)) => Err(DropReason::Malformed),
        }
    }

    /// The peer that a message claims to be of.
    fn sender(&self, message: &WgKind) -> Result<usize, DropReason> {
        let index = match message {
            WgKind::HandshakeInit(message) => {
                let half = parse_handshake_anon(&self.private_key, &self.public_key, message)?;
                let key = PublicKey::from_bytes(half.peer_static_public);
                let slot = self.by_key.get(&key).copied();
                return slot.ok_or(DropReason::UnknownPeer);
            }
            WgKind::HandshakeResp(message) => message.receiver_idx.get(),
            WgKind::CookieReply(message) => message.receiver_idx.get(),
            WgKind::Data(message) => message.header.receiver_idx.get(),
        };
        let slot = self.sessions.get(&index).copied();
        slot.ok_or(DropReason::UnknownSession)
    }

    /// Cuts the padding off a packet and checks that its sender may send it.
    fn check_inner(&self, slot: usize, mut packet: Buffer) -> Result<Buffer, DropReason> {
        let header = Header::parse(&packet).ok_or(DropReason::Packet)?;
        if self.routes.owner(header.source) != Some(slot) {
            return Err(DropReason::Source);
        }
        packet.truncate(header.length);
        Ok(packet)
    }

    fn add_peer(&mut self, public_key: PublicKey) -> usize {
        let free = self.peers.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        let tunn = Tunn::new(
            self.private_key.clone(),
            x25519::PublicKey::from(*public_key.as_bytes()),
            None,
            None,
            self.indices.clone(),
            Arc::clone(&self.rate_limiter),
        );
        self.peers[slot] = Some(Peer::new(slot, tunn, public_key, self.now));
        self.by_key.insert(public_key, slot);
        slot
    }

    fn with_peer<O: Outbox, R>(
        &mut self,
        slot: usize,
        out: &mut O,
        call: impl FnOnce(&mut Peer, &mut Link<'_, O>) -> R,
    ) -> Option<R> {
        let peer = self.peers.get_mut(slot)?.as_mut()?;
        let mut link = Link {
            now: self.now,
            sessions: &mut self.sessions,
            traffic: &mut self.traffic,
            mtu: &mut self.mtu,
            out,
        };
        Some(call(peer, &mut link))
    }

    fn wake_by(&mut self, moment: Moment) {
        self.wakeup = Some(self.wakeup.map_or(moment, |wakeup| wakeup.min(moment)));
    }

    /// Takes the caller's time; a step back, which the core does not bear, is taken for a standstill.
    fn enter(&mut self, now: Moment) {
        self.now = self.now.max(now);
        self.now.enter();
    }
}
