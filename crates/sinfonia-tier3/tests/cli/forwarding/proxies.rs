//! SOCKS proxies whose connections go through the tunnel.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rstest::rstest;

use super::{connect, deployed, exchange, noise};
use crate::device::Device;
use crate::running::Running;

#[rstest]
#[case::name(b"\x05\x01\0\x03\x03web\0\x07")]
#[case::address(b"\x05\x01\0\x01\x0a\x05\0\x01\0\x07")]
#[case::address_of_ipv6(b"\x05\x01\0\x04\xfd\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\x01\0\x07")]
#[tokio::test]
async fn a_proxy_leads_to_any_host(#[case] request: &[u8]) {
    let (device, _backend) = deployed().await;
    let running = socks(&device);

    let (mut stream, reply) = ask(running.ports[0], request);

    assert_eq!(reply, 0);
    let sent = noise(1 << 20);
    assert!(
        exchange(&mut stream, &sent) == sent,
        "what came back differs"
    );
}

#[rstest]
#[case::nobody_listens(b"\x05\x01\0\x03\x03web\0\x51", 5)]
#[case::no_such_host(b"\x05\x01\0\x03\x06nobody\0\x07", 4)]
#[case::udp(b"\x05\x03\0\x01\0\0\0\0\0\0", 7)]
#[case::unknown_address(b"\x05\x01\0\x09", 8)]
#[tokio::test]
async fn a_proxy_tells_why_it_does_not(#[case] request: &[u8], #[case] expected: u8) {
    let (device, _backend) = deployed().await;
    let running = socks(&device);

    let (mut stream, reply) = ask(running.ports[0], request);

    assert_eq!(reply, expected);
    assert_eq!(stream.read(&mut [0; 30]).unwrap(), 0, "it goes on");
}

#[tokio::test]
async fn a_proxy_wants_no_password() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut stream = connect(running.ports[0]);

    stream.write_all(&[5, 1, 2]).unwrap();

    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert_eq!(told, [5, 0xff]);
}

#[tokio::test]
async fn what_an_eager_client_sends_early_arrives() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut stream = connect(running.ports[0]);

    stream
        .write_all(b"\x05\x01\0\x05\x01\0\x03\x03web\0\x07early")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();

    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    assert!(told.ends_with(b"early"), "{told:?}");
}

#[tokio::test]
async fn a_client_that_is_refused_may_finish_what_it_is_sending() {
    let (device, _backend) = deployed().await;
    let running = socks(&device);
    let mut request = b"\x05\x01\0\x03\x06nobody\0\x07".to_vec();
    request.extend(noise(10_000));

    let (mut stream, reply) = ask(running.ports[0], &request);

    assert_eq!(reply, 4);
    for _ in 0..5 {
        // On many systems an error here would take the reply with it, had it not been read yet.
        stream.write_all(b"more").unwrap();
        thread::sleep(Duration::from_millis(20));
    }
}

fn socks(device: &Device) -> Running {
    Running::start(device, &["deploy", "helloworld", "--socks", "0"], 1)
}

/// Sends a greeting and a request to a proxy, and gives the reply's code.
fn ask(proxy: SocketAddr, request: &[u8]) -> (TcpStream, u8) {
    let mut stream = connect(proxy);
    stream.write_all(&[5, 1, 0]).unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 0]);
    stream.write_all(request).unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let address = if head[3] == 4 { 16 } else { 4 };
    stream.read_exact(&mut vec![0; address + 2]).unwrap();
    (stream, head[1])
}
