//! Networks that lose, repeat and reorder, and people who send rubbish.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use rstest::rstest;

use super::world::*;
use crate::endpoint::DropReason;

fn stranger() -> SocketAddr {
    "192.0.2.66:1".parse().unwrap()
}

/// A datagram of the client's that the gateway has not got.
fn captured(world: &mut World, packet: &[u8]) -> Vec<u8> {
    let fate = std::mem::replace(&mut world.fate, Box::new(|_| vec![]));
    world.send(CLIENT, packet);
    world.fate = fate;
    world.sent.last().unwrap().bytes.clone()
}

#[test]
fn a_repeated_datagram_arrives_once() {
    let mut world = World::connected();
    let datagram = captured(&mut world, &up(b"once"));
    let client = world.hosts[CLIENT].address;

    for _ in 0..3 {
        world.receive(GATEWAY, client, &datagram);
    }

    assert_eq!(world.take_packets(GATEWAY), [up(b"once")]);
    assert_eq!(world.drops(GATEWAY).count(DropReason::Replay), 2);
}

#[test]
fn a_repeated_handshake_is_not_answered() {
    let mut world = World::connected();
    let initiation = world.sent_by(CLIENT, INITIATION).next().unwrap().clone();

    world.receive(GATEWAY, initiation.from, &initiation.bytes);

    assert_eq!(world.drops(GATEWAY).count(DropReason::Replay), 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 1);
}

#[rstest]
#[case::within_the_window(8_000, true)]
#[case::behind_the_window(9_000, false)]
fn a_late_datagram_is_good_as_long_as_the_window_remembers(
    #[case] later: usize,
    #[case] good: bool,
) {
    let mut world = World::connected();
    let client = world.hosts[CLIENT].address;
    let late = captured(&mut world, &up(b"late"));
    for _ in 0..later {
        let datagram = captured(&mut world, &up(b"x"));
        world.receive(GATEWAY, client, &datagram);
    }
    world.take_packets(GATEWAY);

    world.receive(GATEWAY, client, &late);

    assert_eq!(world.take_packets(GATEWAY).len(), usize::from(good));
}

#[test]
fn a_handshake_of_a_stranger_is_not_answered() {
    let mut world = World::connected();
    let stranger = world.add_host("192.0.2.66:1", &["10.5.17.66/32"]);
    world.introduce(stranger, GATEWAY, |_| ());

    world.send(stranger, &packet("10.5.17.66", "10.43.0.10", b"let me in"));
    world.run_for(seconds(1));

    assert_eq!(world.drops(GATEWAY).count(DropReason::UnknownPeer), 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 1);
}

#[rstest]
#[case::no_version(&[0; 40])]
#[case::version_5(&[0x50; 40])]
#[case::one_byte(&[0x45])]
#[case::ipv4_header_only_in_part(&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 5, 17, 4, 10, 43, 0])]
#[case::ipv4_longer_than_it_is(&[0x45, 0, 0, 21, 0, 0, 0, 0, 64, 17, 0, 0, 10, 5, 17, 4, 10, 43, 0, 10])]
#[case::ipv4_shorter_than_its_header(&[0x45, 0, 0, 19, 0, 0, 0, 0, 64, 17, 0, 0, 10, 5, 17, 4, 10, 43, 0, 10])]
#[case::ipv6_header_only_in_part(&[0x60; 39])]
fn what_is_no_ip_packet_does_not_enter_the_tunnel(#[case] packet: &[u8]) {
    let mut world = World::connected();
    let sent = world.sent.len();

    world.send(CLIENT, packet);

    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.drops(CLIENT).count(DropReason::Packet), 1);
}

/// An initiation that the gateway can read, of a key that it does not know.
fn initiation_of_a_stranger(world: &mut World) -> Vec<u8> {
    let stranger = world.add_host("192.0.2.66:1", &["10.5.17.66/32"]);
    world.introduce(stranger, GATEWAY, |_| ());
    let fate = std::mem::replace(&mut world.fate, Box::new(|_| vec![]));
    world.connect(stranger, GATEWAY);
    world.fate = fate;
    world.hosts.pop();
    world.sent.pop().unwrap().bytes
}

#[test]
fn who_begins_too_many_handshakes_has_to_show_a_cookie() {
    let mut world = World::new();
    let flood = initiation_of_a_stranger(&mut world);
    let mut neighbour = world.hosts[CLIENT].address;
    neighbour.set_port(4);

    // The client's handshake is the hundred and first from its address within a second.
    for _ in 0..100 {
        world.receive(GATEWAY, neighbour, &flood);
    }
    world.send(CLIENT, &up(b"first"));
    world.run_for(Duration::from_millis(999));
    assert_eq!(world.sent_by(GATEWAY, COOKIE).count(), 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 0);

    // So it is when it tries again, with the cookie now.
    world.run_for(Duration::from_millis(1));
    for _ in 0..100 {
        world.receive(GATEWAY, neighbour, &flood);
    }
    world.run_for(Duration::from_millis(900));

    assert_eq!(world.sent_by(GATEWAY, COOKIE).count(), 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 1);
    assert_eq!(world.take_packets(GATEWAY), [up(b"first")]);
    assert_eq!(world.drops(GATEWAY).count(DropReason::UnknownPeer), 200);
}

#[test]
fn the_load_of_one_address_is_not_the_load_of_another() {
    let mut world = World::new();
    let flood = initiation_of_a_stranger(&mut world);

    for _ in 0..500 {
        world.receive(GATEWAY, stranger(), &flood);
    }
    world.send(CLIENT, &up(b"first"));
    world.run_for(Duration::from_millis(100));

    assert_eq!(world.drops(GATEWAY).count(DropReason::Load), 400);
    assert_eq!(world.take_packets(GATEWAY), [up(b"first")]);
}

#[derive(Debug, Clone)]
enum Trouble {
    Pass,
    Lose,
    Twice(u64),
    Late(u64),
    Cut(Index),
    Flip(Index, u8),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        6 => Just(Trouble::Pass),
        1 => Just(Trouble::Lose),
        1 => (0u64..200).prop_map(Trouble::Twice),
        2 => (0u64..200).prop_map(Trouble::Late),
        1 => any::<Index>().prop_map(Trouble::Cut),
        1 => (any::<Index>(), 1u8..).prop_map(|(place, bits)| Trouble::Flip(place, bits)),
    ]
}

fn apply(trouble: &Trouble, datagram: &Datagram) -> Vec<(Duration, Vec<u8>)> {
    let usual = Duration::from_millis(10);
    let bytes = datagram.bytes.clone();
    match trouble {
        Trouble::Pass => vec![(usual, bytes)],
        Trouble::Lose => vec![],
        Trouble::Twice(delay) => vec![
            (usual, bytes.clone()),
            (Duration::from_millis(*delay), bytes),
        ],
        Trouble::Late(delay) => vec![(Duration::from_millis(*delay), bytes)],
        Trouble::Cut(place) => vec![(usual, bytes[..place.index(bytes.len())].to_vec())],
        Trouble::Flip(place, bits) => {
            let mut bytes = bytes;
            let place = place.index(bytes.len());
            bytes[place] ^= bits;
            vec![(usual, bytes)]
        }
    }
}

/// Numbers of the packets that are good: the datagrams that the network neither lost nor changed.
type Good = Rc<RefCell<usize>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_packet_arrives_once_and_unchanged_unless_the_network_took_it(
        troubles in prop::collection::vec(trouble(), 1..60),
    ) {
        let mut world = World::connected();
        let good = Good::default();
        let mut next = troubles.clone().into_iter();
        let counter = Rc::clone(&good);
        world.fate = Box::new(move |datagram| {
            let trouble = next.next().unwrap_or(Trouble::Pass);
            let copies = apply(&trouble, datagram);
            *counter.borrow_mut() += usize::from(copies.iter().any(|(_, bytes)| *bytes == datagram.bytes));
            copies
        });

        let mut sent = HashSet::new();
        for number in 0..troubles.len() as u32 {
            let packet = up(&number.to_be_bytes());
            world.send(CLIENT, &packet);
            sent.insert(packet);
        }
        let good = *good.borrow();
        world.run_for(seconds(1));

        let arrived = world.take_packets(GATEWAY);
        let distinct: HashSet<_> = arrived.iter().cloned().collect();
        prop_assert_eq!(arrived.len(), good);
        prop_assert_eq!(distinct.len(), arrived.len());
        prop_assert!(distinct.is_subset(&sent));
    }

    #[test]
    fn a_session_comes_about_however_the_network_treats_the_handshake(
        troubles in prop::collection::vec(trouble(), 1..12),
    ) {
        let mut world = World::new();
        let mut next = troubles.into_iter();
        world.fate = Box::new(move |datagram| apply(&next.next().unwrap_or(Trouble::Pass), datagram));

        world.send(CLIENT, &up(b"question"));
        world.run_for(seconds(80));
        world.fate = Box::new(|datagram| apply(&Trouble::Pass, datagram));
        world.send(CLIENT, &up(b"second question"));
        world.run_for(seconds(1));
        world.send(GATEWAY, &down(b"answer"));
        world.run_for(seconds(1));

        prop_assert!(world.take_packets(GATEWAY).contains(&up(b"second question")));
        prop_assert!(world.take_packets(CLIENT).contains(&down(b"answer")));
    }

    #[test]
    fn rubbish_is_dropped_and_disturbs_nobody(
        rubbish in prop::collection::vec(
            (prop::option::of(0u8..6), prop::collection::vec(any::<u8>(), 0..200)),
            1..20,
        ),
    ) {
        let mut world = World::connected();
        let before = world.drops(GATEWAY).total();

        for (kind, mut bytes) in rubbish.clone() {
            // Half of it looks like WireGuard at first sight.
            if let (Some(kind), true) = (kind, bytes.len() >= 4) {
                bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
            }
            world.receive(GATEWAY, stranger(), &bytes);
        }
        world.send(CLIENT, &up(b"still there"));
        world.run_for(seconds(1));

        prop_assert_eq!(world.drops(GATEWAY).total(), before + rubbish.len() as u64);
        prop_assert!(world.sent.iter().all(|datagram| datagram.to != stranger()));
        prop_assert_eq!(world.take_packets(GATEWAY), [up(b"still there")]);
    }

    #[test]
    fn a_changed_or_shortened_message_of_any_type_changes_nothing(
        place: Index,
        bits in 1u8..,
        cut: bool,
    ) {
        let mut world = World::connected();
        world.send(CLIENT, &up(b"data"));
        let endpoint = world.status(GATEWAY).endpoint;
        let received = world.status(GATEWAY).received_bytes;

        for datagram in world.sent.clone() {
            let mut bytes = datagram.bytes;
            let place = place.index(bytes.len());
            if cut { bytes.truncate(place) } else { bytes[place] ^= bits }
            world.receive(GATEWAY, stranger(), &bytes);
        }

        prop_assert_eq!(world.status(GATEWAY).endpoint, endpoint);
        prop_assert_eq!(world.status(GATEWAY).received_bytes, received);
        prop_assert!(world.take_packets(GATEWAY).is_empty());
    }

    #[test]
    fn no_packet_from_the_tunnel_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), version in 4u8..7) {
        let mut world = World::connected();
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0xf) | (version << 4);
        }
        let before = world.drops(CLIENT).total();

        world.send(CLIENT, &bytes);

        prop_assert_eq!(world.drops(CLIENT).total(), before + 1);
    }
}
