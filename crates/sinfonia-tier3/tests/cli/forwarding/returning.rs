//! Cloudlets that are silent for a while, while ports are forwarded.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{PATIENCE, forward};
use crate::cloudlet::Cloudlet;
use crate::device::{CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer};
use crate::running::Running;

#[tokio::test]
async fn a_cloudlet_that_comes_back_in_time_is_not_left() {
    let cloudlet = Cloudlet::start();
    let (device, running) = forwarded(&cloudlet.deployment()).await;
    until_returned(running.ports[0]);

    cloudlet.die();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        is_returned(running.ports[0]);
    }
    cloudlet.revive();
    until_returned(running.ports[0]);
    // The next look at the tunnel is within a moment.
    thread::sleep(Duration::from_secs(1));
    let (_, told) = running.end(Signal::SIGTERM);

    assert!(
        told.contains("note: Pittsburgh does not answer\n"),
        "{told}"
    );
    assert!(told.contains("note: it answers again\n"), "{told}");
    let asked = device.asked().await;
    let place = format!("{HELLOWORLD}/{URL_SAFE_KEY}");
    let expected = [
        format!("POST /api/v1/deploy/{place}"),
        format!("DELETE /api/v1/deployments/{place}?cloudlet={CLOUDLET}"),
    ];
    assert_eq!(asked, expected, "{told}");
}

#[tokio::test]
async fn a_cloudlet_whose_name_leads_elsewhere_is_followed() {
    let cloudlet = Cloudlet::start();
    let mut deployment = cloudlet.deployment();
    let endpoint = deployment["TunnelConfig"]["endpoint"].as_str().unwrap();
    deployment["TunnelConfig"]["endpoint"] = endpoint.replace("127.0.0.1", "localhost").into();
    let (_device, running) = forwarded(&deployment).await;
    until_returned(running.ports[0]);
    // The device learns of the other place, which no name leads to.
    cloudlet.go_elsewhere();
    thread::sleep(Duration::from_secs(1));
    until_returned(running.ports[0]);

    cloudlet.come_home();
    thread::sleep(Duration::from_secs(1));
    until_returned(running.ports[0]);
    let (_, told) = running.end(Signal::SIGTERM);

    assert!(
        told.contains("note: its host name leads to 127.0.0.1:"),
        "{told}"
    );
}

/// A device that forwards a port to where datagrams return.
async fn forwarded(deployment: &Value) -> (Device, Running) {
    let device = Device::new().await;
    device.deploys(answer(&json!([deployment]))).await;
    device.deletes(ResponseTemplate::new(204)).await;
    let running = forward(&device, &["0:10.5.0.1:7/udp"]);
    (device, running)
}

/// Whether a datagram of a port of its own returns soon.
fn is_returned(port: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let soon = Some(Duration::from_millis(500));
    socket.set_read_timeout(soon).unwrap();
    socket.connect(port).unwrap();
    socket.send(b"datagram").unwrap();
    let mut buffer = [0; 100];
    let received = socket.recv(&mut buffer);
    received.is_ok_and(|length| buffer[..length] == *b"datagram")
}

fn until_returned(port: SocketAddr) {
    let begun = Instant::now();
    while !is_returned(port) {
        assert!(begun.elapsed() < PATIENCE, "nobody returns datagrams");
    }
}
