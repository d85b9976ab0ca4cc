//! The loop of the tunnel's thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use sinfonia_core::key::PublicKey;

use super::tun::Device;
use super::udp::Udp;
use super::{Counters, PeerCounters};
use crate::clock::now;
use crate::endpoint::{Buffer, Connection, Endpoint, Moment, Outbox, PeerConfig, Pool};

/// Buffers that are kept: those of one turn in both directions, and what the endpoint holds for a session to come.
const BUFFERS: usize = 512;

/// Reads of the TUN device in one turn, each of up to 64 KiB.
const READS: usize = 16;

/// Receives of the socket in one turn, each of several times 64 KiB.
const RECEIVES: usize = 2;

const TUN: u64 = 0;
const UDP: u64 = 1;
const COMMAND: u64 = 2;

/// What the owner asks of the thread. An answer that nobody waits for any more is dropped.
pub(super) enum Command {
    SetPeer(Box<PeerConfig>),
    RemovePeer(PublicKey, SyncSender<bool>),
    Connect(PublicKey, SyncSender<()>),
    Counters(SyncSender<Counters>),
}

pub(super) struct Worker {
    pub(super) endpoint: Endpoint,
    pub(super) links: Links,
    pub(super) pool: Pool,
    epoll: Epoll,
    wake: Arc<EventFd>,
    commands: Receiver<Command>,
    /// Who waits for a handshake with whom, and the last one before.
    waiting: Vec<(PublicKey, Option<Moment>, SyncSender<()>)>,
}

/// Both sides of the endpoint.
pub(super) struct Links {
    pub(super) tun: Device,
    pub(super) udp: Udp,
}

impl Outbox for Links {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.udp.queue(to, datagram);
    }

    fn packet(&mut self, packet: Buffer) {
        self.tun.queue(packet);
    }
}

impl Worker {
    pub(super) fn new(
        endpoint: Endpoint,
        links: Links,
        wake: Arc<EventFd>,
        commands: Receiver<Command>,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |source| EpollEvent::new(EpollFlags::EPOLLIN, source);
        epoll.add(links.tun.descriptor(), readable(TUN))?;
        epoll.add(links.udp.descriptor(), readable(UDP))?;
        epoll.add(wake.as_ref(), readable(COMMAND))?;
        Ok(Self {
            endpoint,
            links,
            pool: Pool::new(BUFFERS),
            epoll,
            wake,
            commands,
            waiting: Vec::new(),
        })
    }

    /// Works until the owner is gone, which is no error, or the device is.
    pub(super) fn run(mut self) -> nix::Result<()> {
        let mut events = [EpollEvent::empty(); 3];
        loop {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            };
            let now = now();
            for event in &events[..count] {
                match event.data() {
                    TUN => self.read_tun(now)?,
                    UDP => self.read_udp(now)?,
                    _ if self.obey(now) => {}
                    _ => return Ok(()),
                }
            }
            if self.endpoint.next_wakeup().is_some_and(|due| due <= now) {
                self.endpoint.advance(now, &mut self.links);
                self.flush()?;
            }
            self.report_handshakes();
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let Some(wakeup) = self.endpoint.next_wakeup() else {
            return EpollTimeout::NONE;
        };
        // Rounded up, so that the thread does not wake up before its time.
        let millis = wakeup.since(now()).as_nanos().div_ceil(1_000_000);
        EpollTimeout::try_from(millis.min(3_600_000) as u32).unwrap_or(EpollTimeout::ZERO)
    }

    fn read_tun(&mut self, now: Moment) -> nix::Result<()> {
        for _ in 0..READS {
            let Links { tun, udp } = &mut self.links;
            let mut out = UdpOnly(udp);
            let endpoint = &mut self.endpoint;
            let more = tun.read(&self.pool, |packet| endpoint.send(now, packet, &mut out))?;
            if !more {
                break;
            }
        }
        self.flush()
    }

    fn read_udp(&mut self, now: Moment) -> nix::Result<()> {
        for _ in 0..RECEIVES {
            let Links { tun, udp } = &mut self.links;
            let mut replies = Vec::new();
            let endpoint = &mut self.endpoint;
            let more = udp.receive(&self.pool, |from, datagram| {
                let mut out = TunAndReplies(tun, &mut replies);
                endpoint.receive(now, from, datagram, &mut out);
            })?;
            for (to, datagram) in replies {
                udp.queue(to, datagram);
            }
            if !more {
                break;
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> nix::Result<()> {
        self.links.udp.flush();
        self.links.tun.flush()
    }

    /// Does what the owner asks for; says whether there still is an owner.
    fn obey(&mut self, now: Moment) -> bool {
        // Only a wish to be woken up: the channel has the commands.
        let _ = self.wake.read();
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.execute(now, command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn execute(&mut self, now: Moment, command: Command) {
        match command {
            Command::SetPeer(config) => self.endpoint.set_peer(now, &config),
            Command::RemovePeer(key, answer) => {
                let _ = answer.try_send(self.endpoint.remove_peer(&key));
            }
            Command::Connect(key, done) => self.connect(now, key, done),
            Command::Counters(answer) => {
                let _ = answer.try_send(self.counters(now));
            }
        }
    }

    fn connect(&mut self, now: Moment, key: PublicKey, done: SyncSender<()>) {
        let before = self.last_handshake(&key);
        match self.endpoint.connect(now, &key, &mut self.links) {
            Connection::Open => {
                let _ = done.try_send(());
            }
            Connection::UnderWay => self.waiting.push((key, before, done)),
            // Without an answer to come, the owner does not wait.
            Connection::Impossible => {}
        }
        self.links.udp.flush();
    }

    fn report_handshakes(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|(key, before, done)| {
            let over = self.last_handshake(key) > *before;
            if over {
                let _ = done.try_send(());
            }
            !over
        });
        self.waiting = waiting;
    }

    fn last_handshake(&self, key: &PublicKey) -> Option<Moment> {
        let mut peers = self.endpoint.peers();
        peers.find(|peer| peer.public_key == *key)?.last_handshake
    }

    fn counters(&self, now: Moment) -> Counters {
        let age = |moment| now.since(moment);
        let peers = self.endpoint.peers().map(|peer| PeerCounters {
            public_key: peer.public_key,
            endpoint: peer.endpoint,
            sent_bytes: peer.sent_bytes,
            received_bytes: peer.received_bytes,
            handshake_age: peer.last_handshake.map(age),
            round_trip: peer.round_trip,
            unanswered_for: peer.unanswered_since.map(age),
            asked_for: peer.asked_since.map(age),
        });
        Counters {
            peers: peers.collect(),
            drops: *self.endpoint.drops(),
            sends: self.links.udp.sends(),
            writes: self.links.tun.writes(),
            failed_sends: self.links.udp.failed_sends(),
            failed_writes: self.links.tun.failed_writes(),
        }
    }
}

/// The outbox while the TUN device is being read: a packet of the tunnel brings forth datagrams alone.
struct UdpOnly<'a>(&'a mut Udp);

impl Outbox for UdpOnly<'_> {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.0.queue(to, datagram);
    }

    fn packet(&mut self, _: Buffer) {}
}

/// The outbox while the socket is being read.
struct TunAndReplies<'a>(&'a mut Device, &'a mut Vec<(SocketAddr, Buffer)>);

impl Outbox for TunAndReplies<'_> {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.1.push((to, datagram));
    }

    fn packet(&mut self, packet: Buffer) {
        self.0.queue(packet);
    }
}
