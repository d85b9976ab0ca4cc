//! What happens when the other side has forgotten the session, or is away.

use std::time::Duration;

use super::world::*;

const STEP: Duration = Duration::from_millis(100);

/// Lets both ends talk each 0.1 s and returns the longest time that a packet of the gateway was missing at the client.
fn longest_silence(world: &mut World, duration: Duration) -> Duration {
    let end = world.now + duration;
    let begin = world.now;
    world.hosts[CLIENT].packets.clear();
    while world.now < end {
        world.send(CLIENT, &up(b"ping"));
        world.send(GATEWAY, &down(b"pong"));
        world.run_for(STEP);
    }
    let times = world.hosts[CLIENT].packets.iter().map(|(time, _)| *time);
    let times: Vec<_> = [begin].into_iter().chain(times).chain([end]).collect();
    let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
    gaps.max().unwrap_or_default()
}

#[test]
fn a_gateway_that_forgot_its_sessions_is_back_within_three_seconds() {
    let mut world = World::connected();
    longest_silence(&mut world, seconds(10));

    world.restart_gateway();
    let silence = longest_silence(&mut world, seconds(30));

    assert!(silence <= seconds(3), "{silence:?}");
    assert!(
        silence >= seconds(2),
        "the gateway forgot nothing: {silence:?}"
    );
}

#[test]
fn a_gateway_that_forgets_again_and_again_is_back_each_time() {
    let mut world = World::connected();

    for _ in 0..5 {
        longest_silence(&mut world, seconds(7));
        world.restart_gateway();
        let silence = longest_silence(&mut world, seconds(7));
        assert!(silence <= seconds(3), "{silence:?}");
    }
}

#[test]
fn one_lost_handshake_costs_a_second_and_not_five() {
    let mut world = World::connected();
    longest_silence(&mut world, seconds(10));

    world.restart_gateway();
    let mut lost = false;
    world.fate = Box::new(move |datagram| {
        let lose = datagram.bytes[0] == INITIATION && !std::mem::replace(&mut lost, true);
        if lose {
            vec![]
        } else {
            vec![(STEP / 10, datagram.bytes.clone())]
        }
    });
    let silence = longest_silence(&mut world, seconds(30));

    assert!(silence <= Duration::from_millis(3_700), "{silence:?}");
}

#[test]
fn keepalives_alone_find_out_as_well() {
    let mut world = World::new();
    world.introduce(CLIENT, GATEWAY, World::keepalive(5));
    world.run_for(seconds(2));
    world.send(GATEWAY, &down(b"hello"));
    world.run_for(seconds(8));

    world.restart_gateway();
    world.run_for(seconds(11));
    world.send(GATEWAY, &down(b"first word of the gateway"));
    world.run_for(seconds(1));

    assert!(
        world
            .take_packets(CLIENT)
            .contains(&down(b"first word of the gateway"))
    );
}

#[test]
fn a_healthy_peer_that_has_nothing_to_say_is_left_alone() {
    let mut world = World::connected();

    for _ in 0..600 {
        world.send(CLIENT, &up(b"one way"));
        world.run_for(STEP);
    }

    // At 2, 4 and 8 s of patience; then the gateway's own confirmations, each 10 s, come before the patience ends.
    let handshakes = world.sent_by(CLIENT, INITIATION).count();
    assert_eq!(handshakes, 1 + 3);
    assert_eq!(world.take_packets(GATEWAY).len(), 600);
}

#[test]
fn a_handshake_that_nobody_answers_ends_after_ninety_seconds() {
    let mut world = World::new();
    world.fate = Box::new(|_| vec![]);

    world.send(CLIENT, &up(b"anybody there?"));
    world.run_for(seconds(1_000));

    let last = world.sent.last().unwrap().at;
    assert!(last.since(at(1_000.0)) <= seconds(91), "{last:?}");
    assert!(last.since(at(1_000.0)) >= seconds(80), "{last:?}");
    assert_eq!(world.hosts[CLIENT].endpoint.next_wakeup(), None);
}

#[test]
fn a_persistent_keepalive_never_gives_up() {
    let mut world = World::new();
    world.introduce(CLIENT, GATEWAY, World::keepalive(25));
    world.fate = Box::new(|_| vec![]);
    world.run_for(seconds(1_000));

    world.fate = Box::new(|datagram| vec![(STEP, datagram.bytes.clone())]);
    world.run_for(seconds(6));

    assert!(world.status(CLIENT).last_handshake.is_some());
}

#[test]
fn an_outage_ends_with_it() {
    let mut world = World::connected();
    longest_silence(&mut world, seconds(5));
    world.fate = Box::new(|_| vec![]);
    longest_silence(&mut world, seconds(200));

    world.fate = Box::new(|datagram| vec![(STEP, datagram.bytes.clone())]);
    let silence = longest_silence(&mut world, seconds(20));

    assert!(silence <= seconds(6), "{silence:?}");
}

#[test]
fn an_idle_peer_is_not_taken_for_a_silent_one() {
    let mut world = World::new();
    world.introduce(CLIENT, GATEWAY, World::keepalive(10));
    world.run_for(seconds(2));

    world.run_for(seconds(25));

    let status = world.status(CLIENT);
    assert_eq!((status.unanswered_since, status.asked_since), (None, None));
}

#[test]
fn a_peer_that_is_gone_is_known_by_the_first_packet_and_the_first_handshake_in_vain() {
    let mut world = World::connected();
    longest_silence(&mut world, seconds(10));
    world.fate = Box::new(|_| vec![]);
    world.run_for(seconds(20));
    let begin = world.now;

    longest_silence(&mut world, seconds(20));

    let status = world.status(CLIENT);
    let (unanswered, asked) = (
        status.unanswered_since.unwrap().since(begin),
        status.asked_since.unwrap().since(begin),
    );
    assert_eq!(unanswered, Duration::ZERO);
    assert!(asked >= seconds(2) && asked <= seconds(3), "{asked:?}");
}

#[test]
fn a_peer_that_is_back_is_silent_no_more() {
    let mut world = World::connected();
    longest_silence(&mut world, seconds(10));
    world.fate = Box::new(|_| vec![]);
    longest_silence(&mut world, seconds(20));
    assert!(world.status(CLIENT).asked_since.is_some());

    world.lose_nothing();
    world.run_for(seconds(7));

    let status = world.status(CLIENT);
    assert_eq!((status.unanswered_since, status.asked_since), (None, None));
}

#[test]
fn the_round_trip_is_that_of_the_handshake_that_was_answered() {
    let mut world = World::new();
    world.lose(RESPONSE);
    world.send(CLIENT, &up(b"hello"));
    world.run_for(seconds(5));
    assert_eq!(world.status(CLIENT).round_trip, None);

    world.lose_nothing();
    world.run_for(seconds(6));

    let round_trip = world.status(CLIENT).round_trip.unwrap();
    assert_eq!(round_trip, 2 * LATENCY);
}
