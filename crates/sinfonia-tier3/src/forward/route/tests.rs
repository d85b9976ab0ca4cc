//! Names resolved through a real tunnel between two ends in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use sinfonia_core::key::PrivateKey;
use sinfonia_tunnel::endpoint::PeerConfig;
use sinfonia_tunnel::userspace::{StackConfig, Tunnel};
use tokio::net::UdpSocket;

use super::*;
use crate::forward::destination::Host;

const OWN: &str = "10.5.17.4";
const SERVERS: [&str; 2] = ["10.43.0.10", "10.43.0.11"];
const WEB: &str = "10.5.0.1";
const PATIENCE: Duration = Duration::from_secs(20);

/// What a name server does with a question.
type Conduct = fn(&Message) -> Vec<Message>;

#[tokio::test]
async fn a_name_has_the_addresses_that_the_server_tells() {
    let world = World::new(&[knows]).await;

    assert_eq!(world.look_up("web").await.unwrap(), web());
}

#[tokio::test]
async fn a_server_that_fails_is_followed_by_the_next_one() {
    let world = World::new(&[fails, knows]).await;

    assert_eq!(world.look_up("web").await.unwrap(), web());
    assert_eq!(world.asked(), [0, 1]);
}

#[tokio::test]
async fn a_server_that_is_silent_is_followed_by_the_next_one() {
    let world = World::new(&[silent, knows]).await;

    let begun = Instant::now();
    assert_eq!(world.look_up("web").await.unwrap(), web());

    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn the_next_name_is_tried_where_a_server_fails() {
    let world = World::new(&[knows_no_search_domain]).await;

    assert_eq!(world.look_up("web").await.unwrap(), web());
}

#[tokio::test]
async fn where_all_are_silent_no_other_name_is_tried() {
    let world = World::new(&[silent]).await;

    let error = world.look_up("web").await.unwrap_err();

    assert!(matches!(error, NameError::NoAnswer), "{error}");
    assert_eq!(world.asked(), [0, 0]);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told() {
    let world = World::new(&[knows]).await;

    let error = world.look_up("nobody").await.unwrap_err();

    assert_eq!(error.to_string(), "the deployment knows no nobody");
}

#[tokio::test]
async fn a_failure_is_not_taken_for_a_name_that_nobody_knows() {
    let world = World::new(&[fails]).await;

    let error = world.look_up("web").await.unwrap_err();

    assert!(matches!(error, NameError::Failed(_)), "{error}");
}

#[tokio::test]
async fn a_wrong_answer_before_the_right_one_does_not_count() {
    let world = World::new(&[with_forgeries]).await;

    assert_eq!(world.look_up("web").await.unwrap(), web());
}

#[tokio::test]
async fn an_answer_from_elsewhere_does_not_count() {
    let mut world = World::new(&[silent, silent]).await;
    world.route.resolver.servers.truncate(1);
    world.forge_from(SERVERS[1]);

    let error = world.look_up("web").await.unwrap_err();

    assert!(matches!(error, NameError::NoAnswer), "{error}");
}

#[tokio::test]
async fn questions_come_from_ports_that_do_not_follow_one_another() {
    let world = World::new(&[knows]).await;

    for _ in 0..8 {
        world.look_up("web").await.unwrap();
    }

    let seen = world.seen.lock().unwrap();
    let steps: Vec<i32> = seen
        .windows(2)
        .map(|pair| i32::from(pair[1].port) - i32::from(pair[0].port))
        .collect();
    assert!(
        steps.iter().filter(|step| step.abs() <= 2).count() < 3,
        "{steps:?}"
    );
}

#[tokio::test]
async fn without_a_server_only_addresses_lead_somewhere() {
    let mut world = World::new(&[knows]).await;
    world.route.resolver.servers = vec!["fd00::a".parse().unwrap()];

    let error = world.look_up("web").await.unwrap_err();

    assert!(matches!(error, NameError::NoServer), "{error}");
    let address = Host::Address(WEB.parse().unwrap());
    assert_eq!(world.route.addresses(&address).await.unwrap(), web());
}

/// A route, and the name servers at its other end.
struct World {
    route: Route,
    seen: Arc<Mutex<Vec<Seen>>>,
    far: Stack,
    _tunnels: [Tunnel; 2],
}

/// A question as it arrived.
struct Seen {
    server: usize,
    kind: RecordType,
    port: u16,
    question: (Message, SocketAddr),
}

impl World {
    async fn new(servers: &[Conduct]) -> Self {
        let (near_key, far_key) = (key(1), key(2));
        let far_tunnel = Tunnel::start(socket().await, &far_key, 1420).unwrap();
        let far = stack(&far_tunnel, &[SERVERS[0], SERVERS[1], WEB]);
        let peer = peer(&near_key, None, "10.5.17.4/32");
        far_tunnel.set_peer(peer, far.clone()).unwrap();
        let near_tunnel = Tunnel::start(socket().await, &near_key, 1420).unwrap();
        let near = stack(&near_tunnel, &[OWN]);
        let at = far_tunnel.local_address();
        let peer = self::peer(&far_key, Some(at), "10.0.0.0/8");
        near_tunnel.set_peer(peer, near.clone()).unwrap();
        let connected = near_tunnel.connect(far_key.public_key(), PATIENCE).await;
        assert_eq!(connected, Ok(true));
        let seen = Arc::new(Mutex::new(Vec::new()));
        for (number, conduct) in servers.iter().enumerate() {
            let port = far.bind(SocketAddr::new(SERVERS[number].parse().unwrap(), 53));
            tokio::spawn(serve(port.unwrap(), number, *conduct, Arc::clone(&seen)));
        }
        let route = Route {
            stack: near,
            own: vec![OWN.parse().unwrap()],
            resolver: Resolver {
                servers: SERVERS[..servers.len()]
                    .iter()
                    .map(|server| server.parse().unwrap())
                    .collect(),
                search: vec!["a.svc".parse().unwrap()],
            },
        };
        Self {
            route,
            seen,
            far,
            _tunnels: [near_tunnel, far_tunnel],
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let host = name.parse().unwrap();
        let looking = self.route.addresses(&host);
        timeout(PATIENCE, looking).await.unwrap()
    }

    /// Which servers were asked, in order, for addresses of IPv4.
    fn asked(&self) -> Vec<usize> {
        let seen = self.seen.lock().unwrap();
        let seen = seen.iter().filter(|seen| seen.kind == RecordType::A);
        seen.map(|seen| seen.server).collect()
    }

    /// Answers every question from an address that was not asked.
    fn forge_from(&self, address: &str) {
        let port = self
            .far
            .bind(SocketAddr::new(address.parse().unwrap(), 5353));
        let (port, seen) = (port.unwrap(), Arc::clone(&self.seen));
        tokio::spawn(async move {
            loop {
                for seen in seen.lock().unwrap().iter() {
                    let (question, from) = &seen.question;
                    for answer in knows(question) {
                        port.send(&answer.to_vec().unwrap(), *from).unwrap();
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

async fn serve(
    port: sinfonia_tunnel::userspace::UdpPort,
    server: usize,
    conduct: Conduct,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let mut buffer = [0; 2000];
    while let Ok((length, from)) = port.receive(&mut buffer).await {
        let question = Message::from_vec(&buffer[..length]).unwrap();
        seen.lock().unwrap().push(Seen {
            server,
            kind: question.queries[0].query_type(),
            port: from.port(),
            question: (question.clone(), from),
        });
        for answer in conduct(&question) {
            port.send(&answer.to_vec().unwrap(), from).unwrap();
        }
    }
}

fn silent(_: &Message) -> Vec<Message> {
    Vec::new()
}

fn fails(question: &Message) -> Vec<Message> {
    vec![code(question, ResponseCode::ServFail)]
}

/// Knows `web` with the search domain and without.
fn knows(question: &Message) -> Vec<Message> {
    let name = question.queries[0].name();
    if !["web.a.svc.", "web."].contains(&name.to_string().as_str()) {
        return vec![code(question, ResponseCode::NXDomain)];
    }
    let mut answer = code(question, ResponseCode::NoError);
    let address = RData::A(A(WEB.parse().unwrap()));
    answer.add_answer(Record::from_rdata(name.clone(), 5, address));
    vec![answer]
}

fn knows_no_search_domain(question: &Message) -> Vec<Message> {
    match question.queries[0].name().num_labels() {
        1 => knows(question),
        _ => fails(question),
    }
}

fn with_forgeries(question: &Message) -> Vec<Message> {
    let forge = |change: fn(&mut Message)| {
        let mut forgery = code(question, ResponseCode::NXDomain);
        change(&mut forgery);
        forgery
    };
    let mut answers = vec![
        forge(|answer| answer.metadata.id = answer.metadata.id.wrapping_add(1)),
        forge(|answer| answer.metadata.message_type = MessageType::Query),
        forge(|answer| answer.queries.clear()),
    ];
    answers.extend(knows(question));
    answers
}

fn code(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_queries(question.queries.clone());
    answer.metadata.response_code = code;
    answer
}

fn web() -> Vec<IpAddr> {
    vec![WEB.parse().unwrap()]
}

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_entropy([number; 32])
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

fn stack(tunnel: &Tunnel, own: &[&str]) -> Stack {
    let own = own.iter().map(|own| own.parse::<IpAddr>().unwrap().into());
    let config = StackConfig {
        addresses: own.collect(),
        stream_buffer: 64 * 1024,
        streams: 10,
    };
    tunnel.stack(&config).unwrap()
}

fn peer(key: &PrivateKey, endpoint: Option<SocketAddr>, allowed: &str) -> PeerConfig {
    PeerConfig {
        public_key: key.public_key(),
        preshared_key: None,
        endpoint,
        allowed_ips: vec![allowed.parse().unwrap()],
        persistent_keepalive: None,
    }
}
