//! Handshakes, sessions, their renewal and their end.

use std::time::Duration;

use rstest::rstest;

use super::world::*;
use crate::endpoint::{Connection, DropReason, OVERHEAD, PresharedKey, Traffic};

#[test]
fn the_first_packet_opens_a_session_and_arrives_through_it() {
    let mut world = World::new();

    world.send(CLIENT, &up(b"question"));
    world.run_for(seconds(1));
    world.send(GATEWAY, &down(b"answer"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [up(b"question")]);
    assert_eq!(world.take_packets(CLIENT), [down(b"answer")]);
    assert_eq!(world.sent_by(CLIENT, INITIATION).count(), 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 1);
}

#[test]
fn packets_that_wait_for_the_session_keep_their_order() {
    let mut world = World::new();
    let packets: Vec<_> = (0..20).map(|number| up(&[number])).collect();

    for packet in &packets {
        world.send(CLIENT, packet);
    }
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), packets);
}

#[test]
fn connect_opens_a_session_without_a_packet() {
    let mut world = World::new();

    assert_eq!(world.connect(CLIENT, GATEWAY), Connection::UnderWay);
    world.run_for(seconds(1));
    assert_eq!(world.connect(CLIENT, GATEWAY), Connection::Open);

    assert!(world.status(CLIENT).last_handshake.is_some());
    assert!(world.status(GATEWAY).last_handshake.is_some());
    assert_eq!(world.sent_by(CLIENT, INITIATION).count(), 1);
    // It is no peer of its own.
    assert_eq!(world.connect(GATEWAY, GATEWAY), Connection::Impossible);
}

#[rstest]
#[case::both_the_same(Some([7; 32]), Some([7; 32]), true)]
#[case::different(Some([7; 32]), Some([8; 32]), false)]
#[case::one_has_none(None, Some([8; 32]), false)]
fn a_session_needs_the_same_preshared_key(
    #[case] client: Option<[u8; 32]>,
    #[case] gateway: Option<[u8; 32]>,
    #[case] works: bool,
) {
    let mut world = World::new();
    world.introduce(CLIENT, GATEWAY, |config| {
        config.preshared_key = client.map(PresharedKey);
    });
    world.introduce(GATEWAY, CLIENT, |config| {
        config.preshared_key = gateway.map(PresharedKey);
    });

    world.send(CLIENT, &up(b"question"));
    world.run_for(seconds(1));

    assert_eq!(!world.take_packets(GATEWAY).is_empty(), works);
}

#[rstest]
#[case::already_a_multiple_of_16(12)]
#[case::one_byte_more(13)]
#[case::full_mtu(1400)]
#[case::near_the_mtu(1399)]
fn padding_hides_the_length_on_the_wire_and_is_gone_behind_it(#[case] payload: usize) {
    let mut world = World::connected();
    let packet = up(&vec![1; payload]);

    world.send(CLIENT, &packet);
    world.run_for(seconds(1));

    let padded = packet.len().next_multiple_of(16).min(usize::from(MTU));
    let datagram = world.sent_by(CLIENT, DATA).last().unwrap();
    assert_eq!(datagram.bytes.len(), OVERHEAD + padded);
    assert_eq!(world.take_packets(GATEWAY), [packet]);
}

#[test]
fn a_packet_beyond_the_mtu_is_dropped() {
    let mut world = World::connected();

    world.send(CLIENT, &up(&[1; 1401]));
    world.run_for(seconds(1));

    assert!(world.take_packets(GATEWAY).is_empty());
    assert_eq!(world.drops(CLIENT).count(DropReason::TooLong), 1);
}

#[test]
fn a_busy_session_is_renewed_each_two_minutes_without_losing_a_packet() {
    let mut world = World::connected();

    let mut expected = 0;
    for second in 0..600_u32 {
        world.send(CLIENT, &up(&second.to_be_bytes()));
        world.send(GATEWAY, &down(&second.to_be_bytes()));
        world.run_for(seconds(1));
        expected += 1;
    }

    assert_eq!(world.take_packets(GATEWAY).len(), expected);
    assert_eq!(world.take_packets(CLIENT).len(), expected);
    let initiations: Vec<u64> = world
        .sent
        .iter()
        .filter(|datagram| datagram.bytes[0] == INITIATION)
        .map(|datagram| datagram.at.since(at(1_000.0)).as_secs())
        .collect();
    assert_eq!(initiations, [0, 120, 240, 360, 480, 600]);
}

#[rstest]
#[case::in_a_conversation(1)]
#[case::after_a_rest(100)]
fn an_unanswered_packet_is_confirmed_after_ten_seconds(#[case] rest: u64) {
    let mut world = World::connected();
    world.run_for(seconds(rest));

    // A gateway that, unlike ours, does not ask for an answer.
    world.lose(INITIATION);
    world.send(GATEWAY, &down(b"no answer"));
    let begin = world.now;
    world.run_for(seconds(9));
    assert!(
        world
            .sent_by(CLIENT, DATA)
            .all(|datagram| datagram.at < begin)
    );
    world.run_for(seconds(2));

    let keepalive = world
        .sent_by(CLIENT, DATA)
        .find(|datagram| datagram.at > begin && datagram.bytes.len() == OVERHEAD);
    assert!(keepalive.is_some());
}

#[test]
fn persistent_keepalives_go_out_while_nothing_else_does() {
    let mut world = World::new();
    world.introduce(CLIENT, GATEWAY, World::keepalive(25));

    world.run_for(seconds(100));

    assert_eq!(
        world.sent_by(CLIENT, INITIATION).next().unwrap().at,
        at(1_000.0)
    );
    let times: Vec<Duration> = world
        .sent
        .iter()
        .filter(|datagram| datagram.from == world.hosts[CLIENT].address)
        .map(|datagram| datagram.at.since(at(1_000.0)))
        .collect();
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().unwrap();
    assert!(
        longest <= seconds(25) + Duration::from_millis(500),
        "{longest:?} {times:?}"
    );
}

#[test]
fn an_idle_tunnel_lets_its_host_sleep() {
    let mut world = World::connected();
    world.run_for(seconds(60));

    let mut wakeups = 0;
    let end = world.now + seconds(3600);
    while let Some(due) = world.hosts[CLIENT].endpoint.next_wakeup() {
        if due > end {
            break;
        }
        world.run_until(due);
        wakeups += 1;
    }

    assert!(wakeups < 10, "{wakeups}");
    assert_eq!(world.hosts[CLIENT].endpoint.next_wakeup(), None);
}

#[rstest]
#[case::short(30)]
#[case::keys_need_renewal(130)]
#[case::session_is_over(200)]
#[case::just_before_the_keys_are_erased(539)]
#[case::keys_are_erased(560)]
#[case::a_night(36_000)]
fn a_packet_after_a_rest_arrives_within_a_second(#[case] rest: u64) {
    let mut world = World::connected();

    world.run_for(seconds(rest));
    world.send(CLIENT, &up(b"again"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [up(b"again")]);
    world.run_for(seconds(5));
    world.send(GATEWAY, &down(b"and back"));
    world.run_for(seconds(1));
    assert_eq!(world.take_packets(CLIENT), [down(b"and back")]);
}

#[test]
fn both_ends_may_begin_at_once() {
    let mut world = World::new();
    world.introduce(GATEWAY, CLIENT, |_| ());

    world.send(CLIENT, &up(b"from the client"));
    world.send(GATEWAY, &down(b"from the gateway"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [up(b"from the client")]);
    assert_eq!(world.take_packets(CLIENT), [down(b"from the gateway")]);
}

#[test]
fn bytes_are_counted_as_wg_does() {
    let mut world = World::connected();

    world.send(GATEWAY, &down(&[1; 28]));
    world.run_for(seconds(1));

    // Initiation, keep-alive, padded packet of 25 bytes; response, packet of 48 bytes.
    let (client, gateway) = (world.status(CLIENT), world.status(GATEWAY));
    let up = (148 + OVERHEAD + (OVERHEAD + 32)) as u64;
    let down = (92 + (OVERHEAD + 48)) as u64;
    assert_eq!((client.sent_bytes, client.received_bytes), (up, down));
    assert_eq!((gateway.sent_bytes, gateway.received_bytes), (down, up));
}

#[test]
fn traffic_counts_peers_that_are_gone_too() {
    let mut world = World::connected();
    let status = world.status(GATEWAY).clone();
    let client = status.public_key;
    let endpoint = &mut world.hosts[GATEWAY].endpoint;

    assert!(endpoint.remove_peer(&client));

    let expected = Traffic {
        sent_bytes: status.sent_bytes,
        received_bytes: status.received_bytes,
        handshakes: 1,
    };
    assert_eq!(*endpoint.traffic(), expected);
    assert!(expected.sent_bytes > 0 && expected.received_bytes > 0);
}

#[test]
fn the_keys_of_an_idle_tunnel_are_erased() {
    let mut world = World::connected();
    assert!(!world.hosts[CLIENT].endpoint.sessions.is_empty());

    world.run_for(seconds(600));

    assert!(world.hosts[CLIENT].endpoint.sessions.is_empty());
    assert!(world.hosts[GATEWAY].endpoint.sessions.is_empty());
}

#[test]
fn a_handshake_across_the_end_of_a_rest_keeps_its_packet() {
    let mut world = World::connected();
    // The end of the client's question whether the gateway is still there.
    world.run_for(seconds(10));
    let established = world.status(CLIENT).last_handshake.unwrap();
    world.run_until(established + Duration::from_millis(539_500));

    // The first initiation is lost, the second one is sent after the 540 s at which the core gives up a peer without a session.
    world.lose(INITIATION);
    world.send(CLIENT, &up(b"again"));
    world.run_for(Duration::from_millis(700));
    world.lose_nothing();
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [up(b"again")]);
}

#[test]
fn a_session_that_is_not_confirmed_yet_survives_a_packet_of_the_other_side() {
    let mut world = World::connected();
    world.run_for(seconds(200));
    world.lose(DATA);
    world.connect(CLIENT, GATEWAY);
    world.run_for(Duration::from_millis(100));

    world.send(GATEWAY, &down(b"early"));
    world.lose_nothing();
    world.send(CLIENT, &up(b"in the session"));
    world.run_for(Duration::from_millis(100));

    assert_eq!(world.take_packets(GATEWAY), [up(b"in the session")]);
}

#[test]
fn a_handshake_is_not_repeated_once_the_other_side_has_made_one() {
    let mut world = World::new();
    world.introduce(GATEWAY, CLIENT, |_| ());
    world.lose(INITIATION);
    world.send(CLIENT, &up(b"from the client"));
    world.run_for(Duration::from_millis(100));

    world.lose_nothing();
    world.connect(GATEWAY, CLIENT);
    world.run_for(Duration::from_millis(1_800));

    assert_eq!(world.take_packets(GATEWAY), [up(b"from the client")]);
    assert_eq!(world.sent_by(CLIENT, INITIATION).count(), 1);
}

#[test]
fn a_clock_that_steps_back_stands_still() {
    let mut world = World::new();
    world.lose(INITIATION);
    world.send(CLIENT, &up(b"before the step"));

    // With a handshake under way, and with news of the peer that make the endpoint look at the clock.
    let before = std::mem::replace(&mut world.now, at(10.0));
    world.introduce(CLIENT, GATEWAY, |_| ());
    world.run_for(seconds(1));
    world.lose_nothing();
    world.now = before;
    world.run_for(seconds(2));

    assert_eq!(world.take_packets(GATEWAY), [up(b"before the step")]);
}
