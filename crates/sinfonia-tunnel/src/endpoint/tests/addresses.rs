//! Where peers are, what may go to them and come from them.

use rstest::rstest;

use super::world::*;
use crate::endpoint::{Connection, DropReason};

#[rstest]
#[case::ipv4("10.5.17.4", "10.43.0.10")]
#[case::ipv6("fd00::4", "fd00:43::7")]
fn both_families_go_through(#[case] client: &str, #[case] gateway: &str) {
    let mut world = World::connected();

    world.send(CLIENT, &packet(client, gateway, b"up"));
    world.send(GATEWAY, &packet(gateway, client, b"down"));
    world.run_for(seconds(1));

    assert_eq!(
        world.take_packets(GATEWAY),
        [packet(client, gateway, b"up")]
    );
    assert_eq!(
        world.take_packets(CLIENT),
        [packet(gateway, client, b"down")]
    );
}

#[rstest]
#[case::ipv4("192.0.2.1", "10.43.0.10")]
#[case::neighbour("10.5.17.5", "10.43.0.10")]
#[case::ipv6("fd00::5", "fd00:43::7")]
#[case::the_gateways_own("10.43.0.1", "10.43.0.10")]
fn a_packet_from_an_address_of_somebody_else_goes_no_further(
    #[case] source: &str,
    #[case] destination: &str,
) {
    let mut world = World::connected();

    world.send(CLIENT, &packet(source, destination, b"forged"));
    world.run_for(seconds(1));

    assert!(world.take_packets(GATEWAY).is_empty());
    assert_eq!(world.drops(GATEWAY).count(DropReason::Source), 1);
}

#[rstest]
#[case("192.0.2.1")]
#[case("10.44.0.1")]
fn a_packet_to_an_address_of_nobody_is_dropped(#[case] destination: &str) {
    let mut world = World::connected();
    let sent = world.sent.len();

    world.send(CLIENT, &packet("10.5.17.4", destination, b"lost"));

    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.drops(CLIENT).count(DropReason::NoRoute), 1);
}

#[test]
fn a_peer_of_unknown_place_gets_nothing_until_it_speaks() {
    let mut world = World::new();

    world.send(GATEWAY, &down(b"too early"));
    assert_eq!(world.drops(GATEWAY).count(DropReason::NoEndpoint), 1);
    assert_eq!(world.connect(GATEWAY, CLIENT), Connection::Impossible);

    world.send(CLIENT, &up(b"here I am"));
    world.run_for(seconds(1));
    world.send(GATEWAY, &down(b"hello"));
    world.run_for(seconds(1));
    assert_eq!(world.take_packets(CLIENT), [down(b"hello")]);
}

#[test]
fn a_peer_that_moves_is_followed_at_its_next_packet() {
    let mut world = World::connected();

    world.hosts[CLIENT].address = "[2001:db8::4]:555".parse().unwrap();
    world.send(CLIENT, &up(b"from elsewhere"));
    world.run_for(seconds(1));
    world.send(GATEWAY, &down(b"found you"));
    world.run_for(seconds(1));

    assert_eq!(
        world.status(GATEWAY).endpoint,
        Some(world.hosts[CLIENT].address)
    );
    assert_eq!(world.take_packets(CLIENT), [down(b"found you")]);
}

#[test]
fn nobody_moves_a_peer_with_a_copy_of_its_packets() {
    let mut world = World::connected();
    world.send(CLIENT, &up(b"original"));
    world.run_for(seconds(1));

    let thief = "192.0.2.66:1".parse().unwrap();
    for datagram in world.sent.clone() {
        world.receive(GATEWAY, thief, &datagram.bytes);
    }

    assert_eq!(
        world.status(GATEWAY).endpoint,
        Some(world.hosts[CLIENT].address)
    );
    assert!(world.sent.iter().all(|datagram| datagram.to != thief));
}

#[test]
fn peers_are_told_apart_by_their_keys_and_addresses() {
    let mut world = World::connected();
    let other = world.add_host("203.0.113.5:40000", &["10.5.17.5/32"]);
    world.introduce(other, GATEWAY, |_| ());
    world.introduce(GATEWAY, other, |config| config.endpoint = None);

    world.send(other, &packet("10.5.17.5", "10.43.0.10", b"me too"));
    world.run_for(seconds(1));
    world.send(GATEWAY, &packet("10.43.0.10", "10.5.17.5", b"to the other"));
    world.send(GATEWAY, &down(b"to the first"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(CLIENT), [down(b"to the first")]);
    assert_eq!(
        world.take_packets(other),
        [packet("10.43.0.10", "10.5.17.5", b"to the other")]
    );
}

#[test]
fn allowed_addresses_change_while_the_session_goes_on() {
    let mut world = World::connected();
    let handshakes = world.sent_by(CLIENT, INITIATION).count();

    world.introduce(GATEWAY, CLIENT, |config| {
        config.endpoint = None;
        config.allowed_ips = vec!["10.5.99.0/24".parse().unwrap()];
    });
    world.send(CLIENT, &up(b"old address"));
    let new = packet("10.5.99.1", "10.43.0.10", b"new address");
    world.send(CLIENT, &new);
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [new]);
    assert_eq!(world.sent_by(CLIENT, INITIATION).count(), handshakes);
}

#[test]
fn a_removed_peer_is_a_stranger() {
    let mut world = World::connected();
    let client = world.config_of(CLIENT).public_key;

    assert!(world.hosts[GATEWAY].endpoint.remove_peer(&client));
    assert!(!world.hosts[GATEWAY].endpoint.remove_peer(&client));
    world.send(CLIENT, &up(b"old session"));
    world.send(GATEWAY, &down(b"no way"));
    world.run_for(seconds(4));

    assert!(world.take_packets(GATEWAY).is_empty());
    assert!(world.take_packets(CLIENT).is_empty());
    let drops = world.drops(GATEWAY);
    assert_eq!(drops.count(DropReason::UnknownSession), 1);
    assert_eq!(drops.count(DropReason::NoRoute), 1);
    assert!(drops.count(DropReason::UnknownPeer) >= 1);
    assert_eq!(world.sent_by(GATEWAY, RESPONSE).count(), 1);
}

#[test]
fn a_removed_peer_may_come_back() {
    let mut world = World::connected();
    let client = world.config_of(CLIENT).public_key;
    world.hosts[GATEWAY].endpoint.remove_peer(&client);

    world.introduce(GATEWAY, CLIENT, |config| config.endpoint = None);
    world.send(CLIENT, &up(b"lost, for the session is gone"));
    world.run_for(seconds(3));
    world.send(CLIENT, &up(b"through the new one"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(GATEWAY), [up(b"through the new one")]);
}

#[test]
fn the_addresses_of_a_removed_peer_go_to_the_next_shorter_prefix() {
    let mut world = World::connected();
    let other = world.add_host("203.0.113.5:40000", &["10.5.0.0/16"]);
    world.introduce(other, GATEWAY, |_| ());
    world.introduce(GATEWAY, other, |_| ());
    let client = world.config_of(CLIENT).public_key;

    world.hosts[GATEWAY].endpoint.remove_peer(&client);
    world.send(GATEWAY, &down(b"to the other"));
    world.run_for(seconds(1));

    assert_eq!(world.take_packets(other), [down(b"to the other")]);
}
