//! One peer: its sessions, where it is, and what is due to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use gotatun::noise::{TimerParams, Tunn, TunnResult};
use gotatun::packet::{Packet, WgKind};
use gotatun::tun::MtuWatcher;
use sinfonia_core::key::PublicKey;

use super::recovery::Recovery;
use super::{Buffer, Connection, DropReason, Moment, Outbox, PeerConfig, PeerStatus, Traffic};

/// Resolution of the protocol's clocks; the protocol's core is told the time no more often.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Time after which a received packet is answered with a keep-alive (KEEPALIVE_TIMEOUT).
const PASSIVE_KEEPALIVE: Duration = Duration::from_secs(10);

/// Ages of a session at which the core may renew it (REKEY_AFTER_TIME; the receiver's REJECT_AFTER_TIME less two timeouts), no
/// longer use it (REJECT_AFTER_TIME) and erase its keys (three times that).
const SESSION_AGES: [Duration; 4] = [
    Duration::from_secs(120),
    Duration::from_secs(165),
    // The core waits for a strictly greater age.
    Duration::from_millis(180_250),
    Duration::from_secs(540),
];

pub(super) struct Peer {
    slot: usize,
    tunn: Tunn,
    status: PeerStatus,
    keepalive: Option<Duration>,
    recovery: Recovery,
    /// When the core was last told the time.
    ticked: Moment,
    /// Whether something happened since, so that the core may find something to do at the next tick.
    busy: bool,
    /// The last message, in either direction.
    last_message: Moment,
    /// The first packet that is not answered.
    unanswered: Option<Moment>,
    /// Whether we answered a handshake that the peer has not confirmed with a message.
    unconfirmed: bool,
    /// The last initiation of ours.
    initiated: Moment,
}

/// What a peer needs of its endpoint during one call.
pub(super) struct Link<'a, O> {
    pub(super) now: Moment,
    pub(super) sessions: &'a mut HashMap<u32, usize>,
    pub(super) traffic: &'a mut Traffic,
    pub(super) mtu: &'a mut MtuWatcher,
    pub(super) out: &'a mut O,
}

impl Peer {
    pub(super) fn new(slot: usize, mut tunn: Tunn, public_key: PublicKey, now: Moment) -> Self {
        tunn.dangerously_set_timer_params(without_retries());
        Self {
            slot,
            tunn,
            status: PeerStatus {
                public_key,
                endpoint: None,
                sent_bytes: 0,
                received_bytes: 0,
                last_handshake: None,
                round_trip: None,
                unanswered_since: None,
                asked_since: None,
            },
            keepalive: None,
            recovery: Recovery::new(),
            ticked: Moment::default(),
            busy: true,
            last_message: now,
            unanswered: None,
            unconfirmed: false,
            initiated: now,
        }
    }

    /// Takes over what may change at run time; an endpoint that was learnt stays unless one is given.
    pub(super) fn configure(&mut self, config: &PeerConfig) {
        self.status.endpoint = config.endpoint.or(self.status.endpoint);
        let preshared_key = config.preshared_key.as_ref().map(|key| key.0);
        self.tunn.set_preshared_key(preshared_key);
        let seconds = config.persistent_keepalive.map(NonZeroU16::get);
        if self.tunn.persistent_keepalive() != seconds {
            self.tunn.set_persistent_keepalive(seconds);
        }
        self.keepalive = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        self.ticked = Moment::default();
        self.busy = true;
    }

    pub(super) const fn status(&self) -> &PeerStatus {
        &self.status
    }

    /// Encrypts a packet, or keeps it and begins a handshake.
    pub(super) fn send<O: Outbox>(&mut self, packet: Buffer, link: &mut Link<'_, O>) {
        self.refresh(link);
        self.wake_up();
        let message = self
            .tunn
            .handle_outgoing_packet(packet.0, Some(&mut *link.mtu));
        self.busy = true;
        if let Some(message) = message {
            self.emit(message, link);
        }
    }

    /// Begins a handshake, unless there is a session that is not due for renewal or a handshake is under way.
    pub(super) fn connect<O: Outbox>(&mut self, link: &mut Link<'_, O>) -> Connection {
        if self.status.endpoint.is_none() {
            return Connection::Impossible;
        }
        self.refresh(link);
        self.wake_up();
        if self.tunn.has_active_session() {
            return Connection::Open;
        }
        if let Some(initiation) = self.tunn.format_handshake_initiation(false) {
            self.emit(initiation.into(), link);
        }
        Connection::UnderWay
    }

    /// Handles a message and returns the packet in it, if there is one.
    pub(super) fn receive<O: Outbox>(
        &mut self,
        from: SocketAddr,
        length: usize,
        message: WgKind,
        link: &mut Link<'_, O>,
    ) -> Result<Option<Buffer>, DropReason> {
        self.refresh(link);
        let is_response = matches!(message, WgKind::HandshakeResp(_));
        match self.tunn.handle_incoming_packet(message) {
            TunnResult::Done => Ok(None),
            TunnResult::Err(error) => Err(error.into()),
            TunnResult::WriteToNetwork(reply) => {
                self.heard(from, length, link);
                self.shook_hands(is_response, reply, link);
                Ok(None)
            }
            TunnResult::WriteToTunnel(packet) => {
                self.heard(from, length, link);
                self.session_works(link);
                Ok(self.unwrap_packet(packet, link.now))
            }
        }
    }

    /// Does what is due.
    pub(super) fn advance<O: Outbox>(&mut self, link: &mut Link<'_, O>) {
        if self.wakeup().is_some_and(|wakeup| wakeup <= link.now) {
            self.tick(link);
        }
    }

    /// When [`Self::advance`] should be called next.
    pub(super) fn wakeup(&self) -> Option<Moment> {
        self.status.endpoint?;
        let next_tick = self.ticked + TICK;
        // Something of the core's becomes due at these times, and is done at a tick.
        let core = [
            self.busy.then_some(next_tick),
            self.unanswered.map(|since| since + PASSIVE_KEEPALIVE),
            self.keepalive.map(|interval| self.last_message + interval),
            self.next_age(),
        ];
        core.into_iter()
            .flatten()
            .map(|due| due.max(next_tick))
            .chain(self.recovery.deadline())
            .min()
    }

    fn next_age(&self) -> Option<Moment> {
        let established = self.status.last_handshake?;
        SESSION_AGES
            .into_iter()
            .map(|age| established + age)
            .find(|due| *due > self.ticked)
    }

    /// Tells the core the time, if what it was told last is old: it stamps what it does with that time.
    fn refresh<O: Outbox>(&mut self, link: &mut Link<'_, O>) {
        if link.now.since(self.ticked) >= TICK {
            self.tick(link);
        }
    }

    fn tick<O: Outbox>(&mut self, link: &mut Link<'_, O>) {
        self.ticked = link.now;
        self.busy = false;
        match self.tunn.update_timers() {
            Ok(Some(message)) => self.emit_due(message, link),
            Ok(None) => {}
            // The only error there is: the peer was tried for 90 s, or not met for 540 s.
            Err(_) => self.give_up(),
        }
        if self.status.endpoint.is_some() && self.recovery.take_due(link.now) {
            let initiation = self.tunn.format_handshake_initiation(true);
            if let Some(initiation) = initiation {
                self.emit(initiation.into(), link);
            }
        }
    }

    /// Sends what the core's timers ask for. With a persistent keep-alive, a keep-alive is also a question whether the session
    /// is still there; without one, nobody asked for an idle tunnel to be watched.
    fn emit_due<O: Outbox>(&mut self, message: WgKind, link: &mut Link<'_, O>) {
        if matches!(message, WgKind::Data(_)) && self.keepalive.is_some() {
            self.recovery.sent_keepalive(link.now);
        }
        self.emit(message, link);
    }

    /// Ends a handshake that nobody answers. The next packet begins another one; so does the next tick with a persistent
    /// keep-alive, which promises to hold the tunnel open whatever happens.
    fn give_up(&mut self) {
        self.recovery.handshake_ended();
        self.recovery.heard();
        if self.keepalive.is_some() {
            self.tunn.reset();
            self.busy = true;
        }
    }

    /// Sets the core's clocks to now before the first handshake after a long rest: its limit of 540 s without a session
    /// would otherwise end the handshake that has just begun.
    fn wake_up(&mut self) {
        let resting = self.tunn.time_since_last_handshake().is_none()
            && !self.recovery.in_handshake()
            && !self.unconfirmed;
        if resting {
            self.tunn.reset();
        }
    }

    fn heard<O>(&mut self, from: SocketAddr, length: usize, link: &mut Link<'_, O>) {
        self.status.endpoint = Some(from);
        self.status.received_bytes += length as u64;
        link.traffic.received_bytes += length as u64;
        self.status.unanswered_since = None;
        self.status.asked_since = None;
        self.last_message = link.now;
        self.busy = true;
        self.recovery.heard();
    }

    fn shook_hands<O: Outbox>(&mut self, initiator: bool, reply: WgKind, link: &mut Link<'_, O>) {
        self.status.last_handshake = Some(link.now);
        link.traffic.handshakes += 1;
        self.unconfirmed = !initiator;
        self.emit(reply, link);
        if initiator {
            self.status.round_trip = Some(link.now.since(self.initiated));
            self.recovery.handshake_ended();
            self.flush(link);
        }
    }

    fn session_works<O: Outbox>(&mut self, link: &mut Link<'_, O>) {
        if self.unconfirmed {
            self.unconfirmed = false;
            self.recovery.handshake_ended();
        }
        self.flush(link);
    }

    /// Sends what waited for a session.
    fn flush<O: Outbox>(&mut self, link: &mut Link<'_, O>) {
        loop {
            let next = self.tunn.get_queued_packets(link.mtu).next();
            let Some(message) = next else { break };
            self.emit(message, link);
        }
    }

    fn unwrap_packet(&mut self, packet: Packet, now: Moment) -> Option<Buffer> {
        if packet.is_empty() {
            return None;
        }
        self.recovery.heard_content();
        self.unanswered.get_or_insert(now);
        Some(Buffer(packet))
    }

    fn emit<O: Outbox>(&mut self, message: WgKind, link: &mut Link<'_, O>) {
        let Some(endpoint) = self.status.endpoint else {
            return;
        };
        self.note(&message, link);
        let datagram = Packet::from(message);
        self.status.sent_bytes += datagram.len() as u64;
        link.traffic.sent_bytes += datagram.len() as u64;
        self.last_message = link.now;
        self.unanswered = None;
        self.busy = true;
        link.out.datagram(endpoint, Buffer(datagram));
    }

    fn note<O>(&mut self, message: &WgKind, link: &mut Link<'_, O>) {
        match message {
            WgKind::HandshakeInit(message) => {
                let index = message.sender_idx.get();
                link.sessions.insert(index, self.slot);
                self.initiated = link.now;
                self.status.asked_since.get_or_insert(link.now);
                self.status.unanswered_since.get_or_insert(link.now);
                // The index is random, which is all that the jitter asks for.
                self.recovery.sent_initiation(link.now, index);
            }
            WgKind::HandshakeResp(message) => {
                link.sessions.insert(message.sender_idx.get(), self.slot);
            }
            WgKind::Data(message) if !message.is_keepalive() => {
                self.status.unanswered_since.get_or_insert(link.now);
                self.recovery.sent_data(link.now);
            }
            WgKind::Data(_) | WgKind::CookieReply(_) => {}
        }
    }
}

/// The protocol's times, but for those that [`Recovery`] takes care of.
fn without_retries() -> TimerParams {
    const NEVER: Duration = Duration::MAX;
    TimerParams {
        new_handshake_timeout: NEVER..=NEVER,
        rekey_timeout: NEVER..=NEVER,
        ..TimerParams::default()
    }
}
