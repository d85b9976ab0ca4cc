use std::net::Ipv4Addr;

use serde_json::json;
use tokio::net::TcpListener;

use super::*;

const ANSWERS: Uuid = Uuid::from_u128(1);
const REFUSES: Uuid = Uuid::from_u128(2);
/// How long a test waits for what has to happen, before it fails.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn who_answers_is_timed_and_who_does_not_is_left_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let candidates = [
        candidate(Some(ANSWERS), "127.0.0.1", port),
        candidate(Some(REFUSES), "127.0.0.1", closed_port().await),
        candidate(None, "127.0.0.1", port),
        candidate(Some(Uuid::from_u128(3)), "no-such-host.invalid", port),
    ];

    let measured = time(&candidates, &everywhere()).await;

    assert!(measured.get(ANSWERS).is_some_and(|rtt_ms| rtt_ms > 0.0));
    assert_eq!(measured.to_string().split(',').count(), 1);
    assert_eq!(accepted(&listener).await, CONNECTS);
}

#[tokio::test]
async fn a_host_may_be_an_address_of_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        // This machine has no IPv6.
        return;
    };
    let port = listener.local_addr().unwrap().port();

    let measured = time(&[candidate(Some(ANSWERS), "[::1]", port)], &everywhere()).await;

    assert!(measured.get(ANSWERS).is_some());
}

#[tokio::test]
async fn only_the_first_candidates_are_timed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let candidates: Vec<CandidateInfo> = (0..20)
        .map(|number| candidate(Some(Uuid::from_u128(number)), "127.0.0.1", port))
        .collect();

    let measured = time(&candidates, &everywhere()).await;

    let told: Vec<bool> = (0..20)
        .map(|number| measured.get(Uuid::from_u128(number)).is_some())
        .collect();
    let expected: Vec<bool> = (0..20).map(|number| number < 16).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_tier_1_elsewhere_learns_nothing_about_this_machine() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();

    for host in ["127.0.0.1", "localhost"] {
        let measured = time(
            &[candidate(Some(ANSWERS), host, port)],
            &OutboundGuard::default(),
        )
        .await;

        assert!(measured.is_empty(), "{measured}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_is_waited_for_longer_than_all_have() {
    let (_listener, port) = full_listener();
    let answering = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let candidates = [
        candidate(Some(REFUSES), "127.0.0.1", port),
        candidate(
            Some(ANSWERS),
            "127.0.0.1",
            answering.local_addr().unwrap().port(),
        ),
    ];

    let measured = time(&candidates, &everywhere()).await;

    let told = [ANSWERS, REFUSES].map(|uuid| measured.get(uuid).is_some());
    assert_eq!(told, [true, false]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn of_several_addresses_one_that_answers_is_enough() {
    let (_listener, silent) = full_listener();
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let answers = listener.local_addr().unwrap();
    let not_here = OutboundGuard::new(["127.0.0.0/8".parse().unwrap()]);
    let refused = SocketAddr::from(([169, 254, 169, 254], 80));
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, closed_port().await));
    let silent = SocketAddr::from((Ipv4Addr::LOCALHOST, silent));

    let addresses = [refused, silent, closed, answers];
    let looked = first_that_answers("host", &addresses, &not_here);
    let found = timeout(PATIENCE, looked).await.unwrap();

    assert_eq!(found.unwrap().0, answers);
}

#[tokio::test]
async fn where_no_address_answers_the_reason_is_told() {
    let refused = [SocketAddr::from(([169, 254, 169, 254], 80))];

    let of_refused = first_that_answers("host", &refused, &OutboundGuard::default()).await;
    let of_none = first_that_answers("host", &[], &everywhere()).await;

    assert_eq!(
        of_refused.unwrap_err().to_string(),
        "host leads to 169.254.169.254, a link-local address, which has to be allowed first"
    );
    assert_eq!(of_none.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn people_are_told_who_answered() {
    let candidates = [
        candidate(Some(ANSWERS), "near.example", 80),
        candidate(Some(REFUSES), "far.example", 80),
    ];
    let mut measured = RoundTrips::default();
    measured.take(ANSWERS, 12.345);

    let told = summary(&candidates, &measured);

    assert_eq!(
        told,
        "note: round trips: near.example 12.3 ms, far.example unknown"
    );
}

fn candidate(uuid: Option<Uuid>, host: &str, port: u16) -> CandidateInfo {
    let mut candidate = json!({ "endpoint": format!("http://{host}:{port}/api/v1/deploy") });
    if let Some(uuid) = uuid {
        candidate["uuid"] = uuid.to_string().into();
    }
    serde_json::from_value(candidate).unwrap()
}

fn everywhere() -> OutboundGuard {
    OutboundGuard::new([Network::ALL_IPV4, Network::ALL_IPV6])
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// How many connections wait to be taken.
async fn accepted(listener: &TcpListener) -> usize {
    let mut number = 0;
    while timeout(TIME, listener.accept()).await.is_ok() {
        number += 1;
    }
    number
}

/// A socket that listens and whose queue is full, so that the system answers nobody.
#[cfg(target_os = "linux")]
fn full_listener() -> (Vec<socket2::Socket>, u16) {
    use socket2::{Domain, Socket, Type};

    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&loopback.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    loop {
        let client = socket();
        let connected = client.connect_timeout(&address, Duration::from_millis(100));
        held.push(client);
        if connected.is_err() {
            return (held, address.as_socket().unwrap().port());
        }
    }
}
