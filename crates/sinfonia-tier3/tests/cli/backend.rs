//! A cloudlet with a backend behind the tunnel: a name server and a few services, in a stack of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::{Value, json};
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_tunnel::endpoint::PeerConfig;
use sinfonia_tunnel::userspace::{Stack, StackConfig, TcpStream, Tunnel, UdpPort};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use crate::device::{CLOUDLET, PUBLIC_KEY, ready};

/// Sends back what it gets.
pub(crate) const ECHO: u16 = 7;
/// Breaks off every connection.
pub(crate) const BREAK: u16 = 9;
/// Counts bytes until there are no more, then tells how many there were.
pub(crate) const COUNT: u16 = 10;
/// Serves [`PAGE`].
pub(crate) const HTTP: u16 = 80;
/// Where nobody listens.
pub(crate) const CLOSED: u16 = 81;

pub(crate) const PAGE: &str = "hello from the cloudlet\n";

/// What all names of the deployment end with, the first of the search domains.
pub(crate) const DOMAIN: &str = "brave-otter-x7k2p.svc.cluster.local.";

const MTU: u16 = 1420;

/// What tells one cloudlet from another.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) uuid: &'static str,
    name: &'static str,
    key: [u8; 32],
    /// Where the services are.
    ipv4: &'static str,
    ipv6: &'static str,
    name_server: &'static str,
    /// The device's addresses in the tunnel.
    device: [&'static str; 2],
}

pub(crate) const PITTSBURGH: Place = Place {
    uuid: CLOUDLET,
    name: "Pittsburgh",
    key: [9; 32],
    ipv4: "10.5.0.1",
    ipv6: "fd00:5::1",
    name_server: "10.43.0.10",
    device: ["10.5.17.4", "fd00:5::4"],
};

pub(crate) const BOSTON: Place = Place {
    uuid: "0e3d1c2b-5a69-4788-9b07-1c2d3e4f5a6b",
    name: "Boston",
    key: [8; 32],
    ipv4: "10.6.0.1",
    ipv6: "fd00:6::1",
    name_server: "10.44.0.10",
    device: ["10.6.1.9", "fd00:6::9"],
};

pub(crate) struct Backend {
    place: Place,
    address: SocketAddr,
    public_key: PublicKey,
    seen: Arc<Mutex<Seen>>,
    /// Ends the backend when it is dropped.
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Seen {
    /// What the name server was asked, as `NAME TYPE`.
    questions: Vec<String>,
    /// What was counted.
    counts: Vec<usize>,
}

impl Backend {
    /// Waits for the device at a port of loopback.
    pub(crate) fn start() -> Self {
        Self::of(PITTSBURGH)
    }

    pub(crate) fn of(place: Place) -> Self {
        let private_key = PrivateKey::from_entropy(place.key);
        let public_key = private_key.public_key();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let tunnel = open(place, &private_key, &shared).await;
                tell.send(tunnel.local_address()).unwrap();
                let _ = stopped.await;
            });
            runtime.shutdown_background();
        });
        Self {
            place,
            address: told.recv().unwrap(),
            public_key,
            seen,
            _stop: stop,
        }
    }

    /// What Tier 1 answers when it deployed here.
    pub(crate) fn deployment(&self) -> Value {
        let mut deployment = ready();
        let tunnel = &mut deployment["TunnelConfig"];
        tunnel["endpoint"] = self.address.to_string().into();
        tunnel["publicKey"] = self.public_key.to_string().into();
        tunnel["allowedIPs"] = json!(["10.0.0.0/8", "fd00::/8"]);
        tunnel["address"] = json!(self.place.device);
        tunnel["dns"][0] = self.place.name_server.into();
        deployment["Cloudlet"]["uuid"] = self.place.uuid.into();
        deployment["Cloudlet"]["name"] = self.place.name.into();
        deployment
    }

    /// What its name server was asked so far.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.seen.lock().unwrap().questions.clone()
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.seen.lock().unwrap().counts.clone()
    }
}

async fn open(place: Place, private_key: &PrivateKey, seen: &Arc<Mutex<Seen>>) -> Tunnel {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tunnel = Tunnel::start(socket, private_key, MTU).unwrap();
    let own = [place.ipv4, place.ipv6, place.name_server]
        .map(|own| own.parse::<IpAddr>().unwrap().into());
    let stack = tunnel
        .stack(&StackConfig {
            addresses: own.to_vec(),
            stream_buffer: 256 * 1024,
            streams: 100,
        })
        .unwrap();
    let device = PeerConfig {
        public_key: PUBLIC_KEY.parse().unwrap(),
        preshared_key: None,
        endpoint: None,
        allowed_ips: place
            .device
            .map(|own| own.parse::<IpAddr>().unwrap().into())
            .to_vec(),
        persistent_keepalive: None,
    };
    tunnel.set_peer(device, stack.clone()).unwrap();
    serve(place, &stack, seen);
    tunnel
}

fn serve(place: Place, stack: &Stack, seen: &Arc<Mutex<Seen>>) {
    let Place { ipv4, ipv6, .. } = place;
    let port = stack.bind(at(place.name_server, 53)).unwrap();
    tokio::spawn(answer_questions(place, port, Arc::clone(seen)));
    tokio::spawn(return_datagrams(stack.bind(at(ipv4, ECHO)).unwrap()));
    for own in [ipv4, ipv6] {
        listen(stack, at(own, ECHO), echo);
    }
    listen(stack, at(ipv4, BREAK), async |stream| stream.reset());
    listen(stack, at(ipv4, HTTP), serve_page);
    let seen = Arc::clone(seen);
    listen(stack, at(ipv4, COUNT), move |stream| {
        count(stream, Arc::clone(&seen))
    });
}

fn listen<F>(stack: &Stack, at: SocketAddr, serve: impl Fn(TcpStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut listener = stack.listen(at).unwrap();
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
}

async fn echo(stream: TcpStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

async fn serve_page(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let length = PAGE.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PAGE}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn count(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    seen.lock().unwrap().counts.push(bytes.len());
    let _ = stream.write_all(bytes.len().to_string().as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn return_datagrams(port: UdpPort) {
    let mut buffer = [0; 2000];
    while let Ok((length, from)) = port.receive(&mut buffer).await {
        port.send(&buffer[..length], from).unwrap();
    }
}

async fn answer_questions(place: Place, port: UdpPort, seen: Arc<Mutex<Seen>>) {
    let mut buffer = [0; 2000];
    while let Ok((length, from)) = port.receive(&mut buffer).await {
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let query = &question.queries[0];
        let asked = format!("{} {}", query.name(), query.query_type());
        seen.lock().unwrap().questions.push(asked);
        let answer = answer(place, &question);
        port.send(&answer.to_vec().unwrap(), from).unwrap();
    }
}

/// Knows `web`, which has an address of IPv4, `six`, which has one of IPv6, and `www`, another name of `web`.
fn answer(place: Place, question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    let query = question.queries[0].clone();
    let (name, kind) = (query.name().clone(), query.query_type());
    answer.add_query(query);
    let (web, six, www) = (full("web"), full("six"), full("www"));
    if ![&web, &six, &www].contains(&&name) {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer;
    }
    if name == www {
        let alias = RData::CNAME(CNAME(web.clone()));
        answer.add_answer(Record::from_rdata(www, 5, alias));
    }
    match kind {
        RecordType::A if name != six => {
            let address = RData::A(A(place.ipv4.parse().unwrap()));
            answer.add_answer(Record::from_rdata(web, 5, address));
        }
        RecordType::AAAA if name == six => {
            let address = RData::AAAA(AAAA(place.ipv6.parse().unwrap()));
            answer.add_answer(Record::from_rdata(six, 5, address));
        }
        _ => {}
    }
    answer
}

fn full(host: &str) -> Name {
    Name::from_ascii(format!("{host}.{DOMAIN}")).unwrap()
}

fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}
