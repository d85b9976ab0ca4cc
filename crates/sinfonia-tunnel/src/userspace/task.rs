//! The task that joins the socket, the endpoint and the stacks.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::key::PublicKey;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::Stack;
use crate::clock::now;
use crate::endpoint::{
    Buffer, Connection, Endpoint, Header, Moment, Outbox, PeerConfig, PeerStatus, Pool, Routes,
    Traffic,
};

/// Datagrams that are received in one turn, so that what they bring forth is sent in between.
const RECEIVES: usize = 64;

/// Time that a full socket has to take a datagram before that is dropped; what runs in the tunnel bears a loss better than a long wait.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the owner asks of the task. An answer that nobody waits for any more is dropped.
pub(super) enum Command {
    SetPeer(Box<(PeerConfig, Stack)>),
    RemovePeer(PublicKey),
    Connect(PublicKey, oneshot::Sender<()>),
    Peers(oneshot::Sender<Vec<PeerStatus>>),
}

pub(super) struct Task {
    endpoint: Endpoint,
    socket: UdpSocket,
    /// Whether the socket is one of IPv6 that takes addresses of IPv4 in its own form.
    of_both_families: bool,
    pool: Pool,
    wake: Arc<Notify>,
    commands: mpsc::UnboundedReceiver<Command>,
    slots: Vec<Option<Stack>>,
    by_key: HashMap<PublicKey, usize>,
    /// Whose stack an address belongs to.
    routes: Routes,
    datagrams: Vec<(SocketAddr, Buffer)>,
    /// Who waits for a handshake with whom, and the last one before.
    waiting: Vec<(PublicKey, Option<Moment>, oneshot::Sender<()>)>,
    /// What went through the endpoint. Dropped when the task ends, however that comes about.
    traffic: watch::Sender<Traffic>,
}

/// What leaves the endpoint in one call.
struct Out<'a> {
    datagrams: &'a mut Vec<(SocketAddr, Buffer)>,
    slots: &'a [Option<Stack>],
    routes: &'a Routes,
}

impl Outbox for Out<'_> {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        self.datagrams.push((to, datagram));
    }

    fn packet(&mut self, packet: Buffer) {
        // Its source is checked already, and it tells the peer.
        let slot = Header::parse(&packet).and_then(|header| self.routes.owner(header.source));
        if let Some(Some(stack)) = slot.map(|slot| &self.slots[slot]) {
            stack.take(packet);
        }
    }
}

impl Task {
    pub(super) fn new(
        endpoint: Endpoint,
        socket: UdpSocket,
        pool: Pool,
        wake: Arc<Notify>,
        commands: mpsc::UnboundedReceiver<Command>,
        traffic: watch::Sender<Traffic>,
    ) -> Self {
        let of_both_families = socket.local_addr().is_ok_and(|local| local.is_ipv6());
        Self {
            endpoint,
            socket,
            of_both_families,
            pool,
            wake,
            commands,
            slots: Vec::new(),
            by_key: HashMap::new(),
            routes: Routes::default(),
            datagrams: Vec::new(),
            waiting: Vec::new(),
            traffic,
        }
    }

    /// Works until the owner is gone.
    pub(super) async fn run(mut self) {
        loop {
            let wakeup = self.next_wakeup();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.execute(command),
                    None => return,
                },
                // An error shows with the next datagram again, if it lasts.
                _ = self.socket.readable() => self.receive(),
                () = self.wake.notified() => {}
                () = sleep(wakeup) => {}
            }
            self.advance();
            self.send().await;
            self.report_handshakes();
            self.report_traffic();
        }
    }

    fn next_wakeup(&self) -> Option<Moment> {
        let stacks = self.slots.iter().flatten().filter_map(Stack::next_wakeup);
        stacks.chain(self.endpoint.next_wakeup()).min()
    }

    fn receive(&mut self) {
        let now = now();
        for _ in 0..RECEIVES {
            let mut datagram = self.pool.take();
            // Also an error, such as that a peer's host refuses: it is the tunnel's business to try again.
            let Ok((length, mut from)) = self.socket.try_recv_from(&mut datagram) else {
                break;
            };
            datagram.truncate(length);
            // A socket of both families tells addresses of IPv4 in another form.
            from.set_ip(from.ip().to_canonical());
            let mut out = Out {
                datagrams: &mut self.datagrams,
                slots: &self.slots,
                routes: &self.routes,
            };
            self.endpoint.receive(now, from, datagram, &mut out);
        }
    }

    /// Does what has become due in the endpoint and in the stacks.
    fn advance(&mut self) {
        let now = now();
        let mut out = Out {
            datagrams: &mut self.datagrams,
            slots: &self.slots,
            routes: &self.routes,
        };
        if self.endpoint.next_wakeup().is_some_and(|due| due <= now) {
            self.endpoint.advance(now, &mut out);
        }
        for (slot, stack) in self.slots.iter().enumerate() {
            let Some(stack) = stack else { continue };
            stack.advance(now, |packet| {
                let header = Header::parse(&packet);
                // A stack answers to addresses of its own peer alone; that this stays so is worth a look.
                if header.is_some_and(|header| self.routes.owner(header.destination) == Some(slot))
                {
                    self.endpoint.send(now, packet, &mut out);
                }
            });
        }
    }

    async fn send(&mut self) {
        // A datagram that is not sent is one that is lost, which what runs in the tunnel bears.
        for (to, datagram) in self.datagrams.drain(..) {
            let to = match to.ip() {
                IpAddr::V4(address) if self.of_both_families => {
                    SocketAddr::new(address.to_ipv6_mapped().into(), to.port())
                }
                _ => to,
            };
            match self.socket.try_send_to(&datagram, to) {
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::debug!(%error, %to, "datagram not sent");
                    continue;
                }
            }
            let sending = self.socket.send_to(&datagram, to);
            if tokio::time::timeout(PATIENCE, sending).await.is_err() {
                tracing::debug!(%to, "datagrams not sent, the socket is full");
                // All peers have waited for that; they wait no longer.
                break;
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::SetPeer(peer) => {
                let (peer, stack) = *peer;
                self.set_peer(&peer, stack);
            }
            Command::RemovePeer(key) => self.remove_peer(&key),
            Command::Connect(key, done) => self.connect(key, done),
            Command::Peers(answer) => {
                let _ = answer.send(self.endpoint.peers().cloned().collect());
            }
        }
    }

    fn set_peer(&mut self, peer: &PeerConfig, stack: Stack) {
        let slot = self
            .by_key
            .get(&peer.public_key)
            .copied()
            .or_else(|| self.slots.iter().position(Option::is_none))
            .unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        let changes = self.slots[slot]
            .as_ref()
            .is_none_or(|before| !before.is(&stack));
        if changes && let Some(before) = self.slots[slot].replace(stack) {
            before.shut();
        }
        self.by_key.insert(peer.public_key, slot);
        self.routes.remove(slot);
        for prefix in &peer.allowed_ips {
            self.routes.insert(*prefix, slot);
        }
        self.endpoint.set_peer(now(), peer);
    }

    fn remove_peer(&mut self, key: &PublicKey) {
        self.endpoint.remove_peer(key);
        if let Some(slot) = self.by_key.remove(key) {
            self.routes.remove(slot);
            if let Some(stack) = self.slots[slot].take() {
                stack.shut();
            }
        }
    }

    fn connect(&mut self, key: PublicKey, done: oneshot::Sender<()>) {
        let before = self.last_handshake(&key);
        let mut out = Out {
            datagrams: &mut self.datagrams,
            slots: &self.slots,
            routes: &self.routes,
        };
        match self.endpoint.connect(now(), &key, &mut out) {
            Connection::Open => {
                let _ = done.send(());
            }
            Connection::UnderWay => self.waiting.push((key, before, done)),
            // Without an answer to come, the owner does not wait.
            Connection::Impossible => {}
        }
    }

    fn report_handshakes(&mut self) {
        for (key, before, done) in std::mem::take(&mut self.waiting) {
            if self.last_handshake(&key) > before {
                let _ = done.send(());
            } else if !done.is_closed() {
                self.waiting.push((key, before, done));
            }
        }
    }

    /// Tells what went through the endpoint to whoever looks; nobody waits for that.
    fn report_traffic(&self) {
        let now = self.endpoint.traffic();
        self.traffic.send_if_modified(|told| {
            *told = *now;
            false
        });
    }

    fn last_handshake(&self, key: &PublicKey) -> Option<Moment> {
        let mut peers = self.endpoint.peers();
        peers.find(|peer| peer.public_key == *key)?.last_handshake
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        for stack in self.slots.iter().flatten() {
            stack.shut();
        }
    }
}

/// Waits until this moment, or for ever.
async fn sleep(until: Option<Moment>) {
    match until {
        // Rounded up by the timer, so that nothing is asked before its time.
        Some(until) => tokio::time::sleep(until.since(now())).await,
        None => std::future::pending().await,
    }
}
