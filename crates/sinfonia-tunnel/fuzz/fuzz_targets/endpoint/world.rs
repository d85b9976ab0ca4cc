//! Both ends, and what is on its way between them.

use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_tunnel::endpoint::{BUFFER_BYTES, Buffer, Endpoint, Moment, PeerConfig, PresharedKey};

use super::packets::{Change, Plausible, check};
use super::side::{Out, Side};
use super::{Address, Step};

/// Longest datagram: a packet of the MTU of 1420, padded to a multiple of 16, in a message.
const MAX_DATAGRAM: usize = 1424 + 32;
/// Most datagrams that one datagram or packet may bring forth: 256 packets that waited for the session, its confirmation, and what
/// has become due.
const MOST_REPLIES: usize = 260;
/// Most datagrams that are kept for later steps, and that are under way.
const RECORDS: usize = 64;
const UNDER_WAY: usize = 1_000;
/// Seconds of a kind network after which the ends have found each other again: the longest patience (12 s), a handshake that is under
/// way and repeated meanwhile, and then some.
const HEALING: u64 = 60;
/// Most wake-ups of one wait that are done at their time, so that years do not take minutes.
const WAKE_UPS: usize = 50;

pub(super) struct World {
    now: Moment,
    /// The latest time that there was.
    latest: Moment,
    preshared: bool,
    keepalive: u8,
    /// Packets that came out, at each end.
    arrived: [u64; 2],
    /// The endpoint to which rubbish is sent, and its peer.
    sides: [Side; 2],
}

const TESTED: usize = 0;
const PEER: usize = 1;

impl World {
    pub(super) fn new(preshared: bool, keepalive: u8) -> Self {
        let now = Moment::from_origin(Duration::from_secs(1_000));
        let mut world = Self {
            now,
            latest: now,
            keepalive,
            preshared,
            arrived: [0; 2],
            sides: [Side::new(1, now), Side::new(2, now)],
        };
        for side in [TESTED, PEER] {
            let endpoint = world.sides[1 - side].address;
            world.introduce(side, Some(endpoint), keepalive);
        }
        world
    }

    /// Lets both ends shake hands.
    pub(super) fn connect(&mut self) {
        self.step(Step::Connect { of_peer: false });
        self.deliver_all();
    }

    /// Whatever was before, both ends hear each other again some time after the network has become kind.
    pub(super) fn heal(mut self) {
        self.now = self.latest;
        for side in [TESTED, PEER] {
            self.sides[side].under_way.clear();
            let address = self.sides[1 - side].address;
            self.introduce(side, Some(address), self.keepalive);
        }
        self.arrived = [0; 2];
        for _ in 0..HEALING {
            for side in [TESTED, PEER] {
                let packet = Plausible::right(self.sides[side].inside, self.sides[1 - side].inside);
                self.send(side, &packet);
            }
            self.deliver_all();
            if self.arrived.iter().all(|count| *count > 0) {
                return;
            }
            self.wait(Duration::from_secs(1));
        }
        panic!("the ends do not find each other again: {:?}", self.arrived);
    }

    fn deliver_all(&mut self) {
        // An answer, its confirmation, and what waited for them; more than that would be a quarrel that never ends.
        for _ in 0..10 {
            for to in [TESTED, PEER] {
                self.deliver(to, UNDER_WAY);
            }
        }
        let quiet = self.sides.iter().all(|side| side.under_way.is_empty());
        assert!(quiet, "each answer is answered");
    }

    fn introduce(&mut self, side: usize, endpoint: Option<SocketAddr>, keepalive: u8) {
        let other = &self.sides[1 - side];
        let config = PeerConfig {
            public_key: other.key.public_key(),
            preshared_key: self.preshared.then_some(PresharedKey([7; 32])),
            endpoint,
            allowed_ips: other.inside.map(Into::into).to_vec(),
            persistent_keepalive: u16::from(keepalive).try_into().ok(),
        };
        let now = self.now;
        self.sides[side].endpoint.set_peer(now, &config);
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Rubbish { from, bytes } => self.receive(TESTED, from.into(), &bytes),
            Step::Record {
                to_peer,
                number,
                from,
                changes,
            } => {
                self.replay(usize::from(to_peer), number, from, &changes);
            }
            Step::Packet { of_peer, bytes } => self.send(usize::from(of_peer), &bytes),
            Step::Plausible { of_peer, packet } => {
                self.send(usize::from(of_peer), &packet.bytes());
            }
            Step::Deliver { to_peer, count } => self.deliver(usize::from(to_peer), count.into()),
            Step::Lose { to_peer, count } => {
                let under_way = &mut self.sides[usize::from(to_peer)].under_way;
                under_way.drain(..usize::from(count).min(under_way.len()));
            }
            Step::Connect { of_peer } => {
                let side = usize::from(of_peer);
                let key = self.sides[1 - side].key.public_key();
                self.call(side, |endpoint, now, out| {
                    endpoint.connect(now, &key, out);
                });
            }
            Step::Wait { milliseconds } => self.wait(Duration::from_millis(milliseconds.into())),
            Step::Rest { seconds } => self.wait(Duration::from_secs((seconds % 1_200).into())),
            Step::StepBack { milliseconds } => {
                let back = Duration::from_millis(milliseconds.into());
                let elapsed = self.now.since(Moment::default());
                self.now = Moment::from_origin(elapsed.saturating_sub(back));
            }
            Step::Forget => {
                let (key, address) = (self.sides[PEER].key.public_key(), self.sides[PEER].address);
                assert!(self.sides[TESTED].endpoint.remove_peer(&key));
                self.introduce(TESTED, Some(address), self.keepalive);
            }
            Step::Configure {
                endpoint,
                keepalive,
            } => {
                self.introduce(TESTED, endpoint.map(Into::into), keepalive);
            }
        }
    }

    /// Lets both ends do what is due, each time at its time, as a driver does.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..WAKE_UPS {
            let wakeups = self
                .sides
                .iter()
                .filter_map(|side| side.endpoint.next_wakeup());
            let Some(next) = wakeups.min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            self.advance();
        }
        self.now = self.now.max(end);
        self.latest = self.latest.max(self.now);
        self.advance();
    }

    fn advance(&mut self) {
        for side in [TESTED, PEER] {
            self.call(side, |endpoint, now, out| endpoint.advance(now, out));
            let endpoint = &self.sides[side].endpoint;
            let past = endpoint
                .next_wakeup()
                .is_some_and(|wakeup| wakeup <= self.now);
            assert!(
                !past,
                "an endpoint that did all that was due wants to wake up in the past"
            );
        }
    }

    fn deliver(&mut self, to: usize, count: usize) {
        let from = self.sides[1 - to].address;
        let under_way = &mut self.sides[to].under_way;
        let count = count.min(under_way.len());
        for datagram in under_way.drain(..count).collect::<Vec<_>>() {
            self.receive(to, from, &datagram);
        }
    }

    fn replay(&mut self, to: usize, number: u8, from: Option<Address>, changes: &[Change]) {
        let records = &self.sides[to].records;
        if records.is_empty() {
            return;
        }
        let mut datagram = records[usize::from(number) % records.len()].clone();
        for change in changes {
            change.apply(&mut datagram);
        }
        let from = from.map_or(self.sides[1 - to].address, Into::into);
        self.receive(to, from, &datagram);
    }

    fn receive(&mut self, to: usize, from: SocketAddr, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(BUFFER_BYTES)];
        let out = self.call(to, |endpoint, now, out| {
            endpoint.receive(now, from, Buffer::copy_from(bytes), out);
        });
        let (datagrams, packets) = out;
        assert!(datagrams <= MOST_REPLIES, "{datagrams} datagrams for one");
        assert!(packets <= 1, "{packets} packets of one datagram");
    }

    fn send(&mut self, from: usize, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(BUFFER_BYTES)];
        let (datagrams, packets) = self.call(from, |endpoint, now, out| {
            endpoint.send(now, Buffer::copy_from(bytes), out);
        });
        // The packet, or a handshake, and what has become due.
        assert!(datagrams <= MOST_REPLIES);
        assert_eq!(
            packets, 0,
            "a packet into the tunnel came out at the same end"
        );
    }

    /// Calls an endpoint, checks what comes out, and puts its datagrams on their way.
    fn call(
        &mut self,
        side: usize,
        call: impl FnOnce(&mut Endpoint, Moment, &mut Out),
    ) -> (usize, usize) {
        let mut out = Out::default();
        let now = self.now;
        call(&mut self.sides[side].endpoint, now, &mut out);
        let counts = (out.datagrams.len(), out.packets.len());
        self.arrived[side] += out.packets.len() as u64;
        for packet in &out.packets {
            check(packet, self.sides[1 - side].inside);
        }
        let other = &mut self.sides[1 - side];
        for (_, datagram) in out.datagrams {
            assert!(
                datagram.len() <= MAX_DATAGRAM,
                "a datagram of {}",
                datagram.len()
            );
            if other.records.len() < RECORDS {
                other.records.push(datagram.clone());
            }
            if other.under_way.len() < UNDER_WAY {
                other.under_way.push(datagram);
            }
        }
        counts
    }
}
