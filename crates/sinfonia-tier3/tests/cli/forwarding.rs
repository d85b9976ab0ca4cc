//! Ports of this device that lead into the tunnel, with real sockets and real WireGuard. One test needs root, to take every privilege away.

mod life;
mod moving;
mod proxies;
#[cfg(target_os = "linux")]
mod returning;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::backend::{BREAK, Backend, CLOSED, COUNT, DOMAIN, ECHO, HTTP, PAGE};
use crate::device::{Device, HELLOWORLD, answer};
use crate::running::Running;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_port_leads_to_a_host_by_its_name() {
    let (device, backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{ECHO}")]);

    let exchanges: Vec<_> = [8 << 20, 1, 0, 100_000, 1 << 20, 65_536]
        .into_iter()
        .map(|length| {
            let mut stream = connect(running.ports[0]);
            thread::spawn(move || {
                let sent = noise(length);
                exchange(&mut stream, &sent) == sent
            })
        })
        .collect();

    for exchange in exchanges {
        assert!(exchange.join().unwrap(), "what came back differs");
    }
    let first = &backend.questions()[..2];
    assert!(first.contains(&format!("web.{DOMAIN} A")), "{first:?}");
}

#[tokio::test]
async fn an_end_of_one_direction_leaves_the_other_open() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{COUNT}")]);
    let mut stream = connect(running.ports[0]);

    let told = exchange(&mut stream, &noise(12_345));

    assert_eq!(told, b"12345");
}

#[rstest]
#[case::address(&format!("0:10.5.0.1:{ECHO}"))]
#[case::address_of_ipv6(&format!("0:[fd00:5::1]:{ECHO}"))]
#[case::name_of_ipv6(&format!("0:six:{ECHO}"))]
#[case::alias(&format!("0:www:{ECHO}"))]
#[case::complete_name(&format!("0:web.{DOMAIN}:{ECHO}"))]
#[case::from_ipv6(&format!("[::1]:0:web:{ECHO}"))]
#[tokio::test]
async fn a_port_leads_there_however_the_host_is_written(#[case] option: &str) {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[option]);

    let mut stream = connect(running.ports[0]);

    assert_eq!(exchange(&mut stream, b"hello"), b"hello");
}

#[tokio::test]
async fn names_are_asked_of_the_tunnel_alone() {
    let (device, backend) = deployed().await;
    let mut running = forward(&device, &["0:localhost:80"]);

    let mut stream = connect(running.ports[0]);

    assert_eq!(broken_off(&mut stream), ErrorKind::ConnectionReset);
    let note = running.line();
    assert!(
        note.ends_with("the deployment knows no localhost\n"),
        "{note}"
    );
    let mut asked: Vec<String> = backend.questions();
    asked.sort();
    asked.dedup();
    let expected = [
        "localhost. A".to_owned(),
        "localhost. AAAA".to_owned(),
        format!("localhost.{DOMAIN} A"),
        format!("localhost.{DOMAIN} AAAA"),
        "localhost.svc.cluster.local. A".to_owned(),
        "localhost.svc.cluster.local. AAAA".to_owned(),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_is_not_reached_breaks_off_and_is_told_once() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{CLOSED}")]);
    let port = running.ports[0];

    for _ in 0..3 {
        let kind = broken_off(&mut connect(port));
        assert_eq!(kind, ErrorKind::ConnectionReset);
    }

    let (_, told) = running.end(Signal::SIGTERM);
    let notes: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("note"))
        .collect();
    let refused = format!(
        "note: {port} -> web:{CLOSED}: cannot connect to 10.5.0.1:{CLOSED}: connection refused"
    );
    assert_eq!(notes, [refused]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_inside_breaks_off_here() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{BREAK}")]);

    let kind = broken_off(&mut connect(running.ports[0]));

    assert_eq!(kind, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn datagrams_return_to_their_sender() {
    let (device, _backend) = deployed().await;
    let running = forward(&device, &[&format!("0:web:{ECHO}/udp")]);
    let senders = [(); 3].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(running.ports[0]).unwrap();
        socket
    });

    for round in 0..2u8 {
        for (sender, number) in senders.iter().zip(0u8..) {
            sender.send(&[round, number]).unwrap();
        }
        for (sender, number) in senders.iter().zip(0u8..) {
            let mut buffer = [0; 10];
            let length = sender.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], [round, number]);
        }
    }
}

#[tokio::test]
async fn an_ordinary_user_without_any_device_forwards() {
    let (device, _backend) = deployed().await;
    let own = format!("chown -R 1001:1001 {}", device.folder().display());
    let drop = "setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs";
    // No user would find a TUN device here.
    let script = format!("mount -t tmpfs tmpfs /dev/net && {own} && exec {drop} \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"))
        .args(["deploy", "helloworld", "--forward"])
        .arg(format!("0:web:{HTTP}"));
    let running = Running::of(&device, command, 1);

    let page = exchange(&mut connect(running.ports[0]), b"GET / HTTP/1.0\r\n\r\n");

    assert!(String::from_utf8(page).unwrap().ends_with(PAGE));
}

#[tokio::test]
async fn the_older_form_forwards_too() {
    let (device, _backend) = deployed().await;
    let url = device.tier1.uri();
    let option = format!("0:web:{HTTP}");
    let running = Running::start(&device, &["--forward", &option, &url, HELLOWORLD], 1);

    let page = exchange(&mut connect(running.ports[0]), b"GET / HTTP/1.0\r\n\r\n");

    assert!(String::from_utf8(page).unwrap().ends_with(PAGE));
    assert_eq!(running.end(Signal::SIGTERM).0, Some(0));
}

/// A device, and the cloudlet that its Tier 1 deploys on.
async fn deployed() -> (Device, Backend) {
    let (device, backend) = (Device::new().await, Backend::start());
    device.deploys(answer(&json!([backend.deployment()]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    (device, backend)
}

fn forward(device: &Device, options: &[&str]) -> Running {
    let mut words = vec!["deploy", "helloworld"];
    words.extend(options.iter().flat_map(|option| ["--forward", option]));
    Running::start(device, &words, options.len())
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes, and gives what comes back until the end.
fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    received
}

/// The error with which a connection ends.
fn broken_off(stream: &mut TcpStream) -> ErrorKind {
    stream.read(&mut [0]).unwrap_err().kind()
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
