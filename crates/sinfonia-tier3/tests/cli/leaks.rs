//! What the application asks must not come to the host's ears. This needs root, to make a host of its own.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use wiremock::{MockServer, ResponseTemplate};

use crate::cloudlet::Cloudlet;
use crate::device::{Device, answer};
use crate::inside::{PATH, run};

/// The time that a look-up gets, which nobody answers.
const LOOK_UP: &str = "timeout 2 getent ahosts";

#[test]
fn names_are_asked_in_the_tunnel_and_never_on_the_host() {
    let (on_host, in_tunnel) = on_a_host_of_its_own(|asked_on_host| async move {
        let tier1 = MockServer::builder().start().await;
        let (device, cloudlet) = (Device::asking(tier1), Cloudlet::start());
        device
            .deploys(answer(&json!([cloudlet.deployment()])))
            .await;
        device.deletes(ResponseTemplate::new(204)).await;

        // What the host asks shows that it would be heard.
        shell(&format!("{LOOK_UP} of-the-host.example || true"));
        let script = format!("{LOOK_UP} of-the-application.example");
        // Nobody knows the name, so that all there is to see is who was asked.
        run(
            &device,
            &["deploy", "helloworld", "--", "sh", "-c", &script],
        );

        (asked_on_host.try_iter().collect(), cloudlet.heard())
    });

    assert!(asked(&on_host, "of-the-host"));
    assert!(!asked(&on_host, "of-the-application"));
    assert!(asked(&in_tunnel, "of-the-application"));
    assert!(!asked(&in_tunnel, "of-the-host"));
}

type Packets = Vec<Vec<u8>>;

/// Works where there is nothing but loopback, and a name server on it that answers nothing and tells what it is asked.
fn on_a_host_of_its_own<F: Future<Output = (Packets, Packets)>>(
    work: impl FnOnce(Receiver<Vec<u8>>) -> F + Send + 'static,
) -> (Packets, Packets) {
    let host = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        shell(
            "ip link set lo up && mount --make-rprivate / && mount -t tmpfs tmpfs /mnt \
             && echo nameserver 127.0.0.1 >/mnt/resolv.conf && mount --bind /mnt/resolv.conf /etc/resolv.conf",
        );
        let asked = name_server();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work(asked))
    });
    host.join().unwrap()
}

/// Hears what is asked on this host, for as long as somebody listens.
fn name_server() -> Receiver<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, _)) = socket.recv_from(&mut bytes) {
            if sender.send(bytes[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    asked
}

fn shell(script: &str) {
    let status = Command::new("sh")
        .args(["-c", script])
        .env("PATH", PATH)
        .status();
    assert!(status.unwrap().success(), "{script}");
}

/// Whether one of these packets holds this label of a name.
fn asked(packets: &[Vec<u8>], label: &str) -> bool {
    let holds = |packet: &Vec<u8>| {
        packet
            .windows(label.len())
            .any(|part| part == label.as_bytes())
    };
    packets.iter().any(holds)
}
