//! Cloudlets that fall silent while ports are forwarded.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{PATIENCE, connect};
use crate::backend::{BOSTON, Backend, COUNT, ECHO, PITTSBURGH, Place};
use crate::device::{Device, HELLOWORLD, URL_SAFE_KEY, answer, problem};
use crate::running::Running;

/// What an application's request may take until another cloudlet answers it.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn another_cloudlet_answers_when_the_first_is_dead() {
    let (device, first, second) = two_cloudlets().await;
    let running = forward_with(&device, &["--failover-after", "3"]);
    assert!(is_counted(running.ports[0]), "the first cloudlet counts");
    let mut open = connect(running.ports[1]);
    open.write_all(b"a").unwrap();
    open.read_exact(&mut [0]).unwrap();
    let sender = sender_to(running.ports[2]);
    assert_eq!(exchange_datagram(&sender), b"datagram");

    drop(first);
    let begun = Instant::now();
    until_counted(running.ports[0]);
    let took = begun.elapsed();
    let rest = open.read(&mut [0]);
    let datagram = exchange_datagram(&sender);
    let (code, told) = running.end(Signal::SIGTERM);

    assert!(took <= LIMIT, "{took:?}\n{told}");
    assert_eq!(second.counts(), [5]);
    assert!(rest.is_err(), "a stream to the first goes on: {rest:?}");
    assert_eq!(datagram, b"datagram");
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        device.asked().await,
        [
            deploy(""),
            deploy(&format!("?exclude={}", PITTSBURGH.uuid)),
            delete(BOSTON),
            delete(PITTSBURGH),
        ],
        "{told}"
    );
    for note in [
        "note: Pittsburgh does not answer\n",
        "note: asking Tier 1 for another cloudlet\n",
        "note: the tunnel leads to Boston now\n",
    ] {
        assert!(told.contains(note), "{told}");
    }
}

#[tokio::test]
async fn a_cloudlet_that_does_not_answer_is_passed_over() {
    let (device, first, second) = two_cloudlets().await;
    let running = forward_with(&device, &["--failover-after", "3"]);
    assert!(is_counted(running.ports[0]), "the first cloudlet counts");

    drop((first, second));
    let both = format!("?exclude={}&exclude={}", PITTSBURGH.uuid, BOSTON.uuid);
    wait_until(&device, running.ports[0], &deploy(&both)).await;
    let (_, told) = running.end(Signal::SIGTERM);

    let asked = device.asked().await;
    assert!(asked.contains(&delete(PITTSBURGH)), "{asked:#?}");
    assert!(asked.contains(&delete(BOSTON)), "{asked:#?}");
    assert!(
        told.contains("note: there is no other cloudlet: the cloudlet's end of the tunnel at"),
        "{told}"
    );
}

#[tokio::test]
async fn where_there_is_no_other_cloudlet_the_tunnel_stays_as_it_is() {
    let (device, first) = (Device::new().await, Backend::start());
    let refusal = problem(503, "no cloudlet qualifies");
    device.deploys_elsewhere(PITTSBURGH.uuid, refusal).await;
    device.deploys(answer(&json!([first.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let running = forward_with(&device, &["--failover-after", "3"]);

    drop(first);
    let other = deploy(&format!("?exclude={}", PITTSBURGH.uuid));
    wait_until(&device, running.ports[0], &other).await;
    let (_, told) = running.end(Signal::SIGTERM);

    let refused = "note: there is no other cloudlet: no cloudlet qualifies";
    assert!(told.contains(refused), "{told}");
    let asked = device.asked().await;
    assert_eq!(asked.last(), Some(&delete(PITTSBURGH)), "{told}");
}

#[tokio::test]
async fn a_cloudlet_is_never_left_on_demand() {
    let (device, first, _second) = two_cloudlets().await;
    let running = forward_with(&device, &["--failover-after", "0"]);

    drop(first);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        is_counted(running.ports[0]);
    }
    let (_, told) = running.end(Signal::SIGTERM);

    assert_eq!(
        device.asked().await,
        [deploy(""), delete(PITTSBURGH)],
        "{told}"
    );
    assert!(told.contains("note: Pittsburgh does not answer"), "{told}");
}

#[tokio::test]
async fn a_lease_is_extended_where_it_is_and_a_new_deployment_there_is_followed() {
    let (device, cloudlet) = (Device::new().await, Backend::start());
    let (mut first, mut second) = (cloudlet.deployment(), cloudlet.deployment());
    let soon = Timestamp::now() + SignedDuration::from_secs(12);
    first["Expires"] = soon.to_string().into();
    // The other address of before is the only one by now.
    second["TunnelConfig"]["address"] = json!([first["TunnelConfig"]["address"][0]]);
    let renewed = answer(&json!([second]));
    device.deploys_there(PITTSBURGH.uuid, renewed).await;
    device.deploys(answer(&json!([first]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let mut running = forward_with(&device, &[]);

    let moved = "note: the tunnel leads to Pittsburgh now\n";
    while running.line() != moved {}
    let counted = is_counted(running.ports[0]);
    let (_, told) = running.end(Signal::SIGTERM);

    assert!(counted, "{told}");
    assert_eq!(
        device.asked().await,
        [
            deploy(""),
            deploy(&format!("?cloudlet={}", PITTSBURGH.uuid)),
            delete(PITTSBURGH),
        ],
        "{told}"
    );
}

/// A device whose Tier 1 deploys on the first cloudlet, or on the second for those who do not want the first.
async fn two_cloudlets() -> (Device, Backend, Backend) {
    let device = Device::new().await;
    let (first, second) = (Backend::start(), Backend::of(BOSTON));
    let other = answer(&json!([second.deployment()]));
    device.deploys_elsewhere(PITTSBURGH.uuid, other).await;
    device.deploys(answer(&json!([first.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    (device, first, second)
}

/// Forwards a port to what counts, one to what returns bytes, and one to what returns datagrams.
fn forward_with(device: &Device, options: &[&str]) -> Running {
    let ports = [
        format!("0:web:{COUNT}"),
        format!("0:web:{ECHO}"),
        format!("0:web:{ECHO}/udp"),
    ];
    let mut words = vec!["deploy", "helloworld"];
    words.extend(ports.iter().flat_map(|port| ["--forward", port]));
    words.extend(options);
    Running::start(device, &words, ports.len())
}

/// Sends a few bytes and says whether it was told how many they are, soon.
fn is_counted(port: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(port).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let sent = stream
        .write_all(b"bytes")
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let mut told = String::new();
    sent.is_ok() && stream.read_to_string(&mut told).is_ok() && told == "5"
}

fn until_counted(port: SocketAddr) {
    let begun = Instant::now();
    while !is_counted(port) {
        assert!(begun.elapsed() < PATIENCE, "nobody counts");
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// A socket that sends datagrams to a port.
fn sender_to(port: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(port).unwrap();
    socket
}

/// Sends a datagram, and gives what comes back.
fn exchange_datagram(socket: &UdpSocket) -> Vec<u8> {
    socket.send(b"datagram").unwrap();
    let mut buffer = [0; 100];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// Uses a port until Tier 1 was asked this: nobody misses a tunnel that is not used.
async fn wait_until(device: &Device, port: SocketAddr, asked: &String) {
    let begun = Instant::now();
    while !device.asked().await.contains(asked) {
        assert!(begun.elapsed() < PATIENCE, "nobody asked {asked}");
        is_counted(port);
    }
}

fn deploy(query: &str) -> String {
    format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}{query}")
}

fn delete(place: Place) -> String {
    let uuid = place.uuid;
    format!("DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={uuid}")
}
