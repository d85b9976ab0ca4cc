//! Tunnels with wireguard-go at one end or at both. These tests need root and `cargo xtask testbed build`.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_testbed::Programs;

use super::namespace::{MTU, Namespace, WAIT, bytes, inside, transfer};
use crate::confinement::{Framing, make_framed};
use crate::driver::{Tunnel, TunnelParts};
use crate::endpoint::PeerConfig;

const PORT: u16 = 51_820;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Ours,
    WireguardGo,
}

enum Running {
    Ours(Tunnel),
    WireguardGo { child: Child, socket: PathBuf },
}

struct Side {
    number: u8,
    key: PrivateKey,
    namespace: Namespace,
    running: Running,
}

impl Side {
    fn new(number: u8, namespace: Namespace, program: Program) -> Self {
        // Each test has keys of its own: handshakes of the two implementations carry times that differ by 27 s.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut entropy = [number; 32];
        entropy[..4].copy_from_slice(&count.to_be_bytes());
        entropy[4..8].copy_from_slice(&process::id().to_be_bytes());
        let key = PrivateKey::from_entropy(entropy);
        let running = match program {
            Program::Ours => start_ours(&namespace, number, &key),
            Program::WireguardGo => start_wireguard_go(&namespace, number, &key, count),
        };
        Self {
            number,
            key,
            namespace,
            running,
        }
    }

    fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// Makes the other side a peer; only who knows where it is can begin.
    fn introduce(&self, other: &Self, endpoint: Option<SocketAddr>) {
        match &self.running {
            Running::Ours(tunnel) => {
                let config = PeerConfig {
                    public_key: other.public_key(),
                    preshared_key: None,
                    endpoint,
                    allowed_ips: inside(other.number).map(Into::into).to_vec(),
                    persistent_keepalive: None,
                };
                tunnel.set_peer(config).unwrap();
            }
            Running::WireguardGo { socket, .. } => {
                let [ipv4, ipv6] = inside(other.number);
                let mut text = format!("public_key={}\n", hex(other.public_key().as_bytes()));
                if let Some(endpoint) = endpoint {
                    text += &format!("endpoint={endpoint}\n");
                }
                text += &format!("allowed_ip={ipv4}/32\nallowed_ip={ipv6}/128\n");
                configure(socket, &text);
            }
        }
    }

    /// Makes wireguard-go forget its sessions as Kilo does: the peer goes and comes back.
    fn forget(&self, other: &Self) {
        let Running::WireguardGo { socket, .. } = &self.running else {
            return;
        };
        configure(
            socket,
            &format!(
                "public_key={}\nremove=true\n",
                hex(other.public_key().as_bytes())
            ),
        );
        self.introduce(other, None);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::WireguardGo { child, socket } = self {
            let _ = child.kill();
            let _ = child.wait();
            let _ = fs::remove_file(socket);
        }
    }
}

fn start_ours(namespace: &Namespace, number: u8, key: &PrivateKey) -> Running {
    let opened = namespace.run(|| {
        (
            make_framed("wg0", Framing::Offload).unwrap(),
            UdpSocket::bind(("0.0.0.0", PORT)).unwrap(),
        )
    });
    let (device, socket) = opened.join().unwrap();
    namespace.set_up_tun("wg0", number);
    let tunnel = Tunnel::start(TunnelParts {
        device,
        mtu: MTU,
        socket,
        private_key: key.clone(),
    });
    Running::Ours(tunnel.unwrap())
}

fn start_wireguard_go(namespace: &Namespace, number: u8, key: &PrivateKey, count: u32) -> Running {
    let program = Programs::wireguard_or_hint().unwrap();
    let device = format!("wg{}x{count}", process::id());
    let mut command = Command::new(program);
    command
        .args(["-f", &device])
        .env("LOG_LEVEL", "error")
        .stderr(Stdio::null());
    let child = namespace
        .run(move || command.spawn().unwrap())
        .join()
        .unwrap();
    let socket = PathBuf::from(format!("/var/run/wireguard/{device}.sock"));
    let begin = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(begin.elapsed() < WAIT, "wireguard-go does not start");
        thread::sleep(Duration::from_millis(10));
    }
    configure(
        &socket,
        &format!("private_key={}\nlisten_port={PORT}\n", hex(key.as_bytes())),
    );
    namespace.set_up_tun(&device, number);
    Running::WireguardGo { child, socket }
}

fn configure(socket: &Path, text: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(format!("set=1\n{text}\n").as_bytes())
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("errno=0"), "{answer}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A client, which knows where the gateway is, and the gateway.
fn pair(client: Program, gateway: Program) -> (Side, Side) {
    let (inner, outer) = (Namespace::new(), Namespace::new());
    inner.join(&outer);
    let client = Side::new(1, inner, client);
    let gateway = Side::new(2, outer, gateway);
    gateway.introduce(&client, None);
    client.introduce(&gateway, Some(SocketAddr::new([192, 0, 2, 2].into(), PORT)));
    (client, gateway)
}

fn carry(from: &Side, to: &Side, family: usize, data: &[u8]) -> (Vec<u8>, Duration) {
    transfer(
        &from.namespace,
        &to.namespace,
        inside(to.number)[family],
        data.to_vec(),
    )
}

#[rstest]
#[case::as_the_client(Program::Ours, Program::WireguardGo)]
#[case::as_the_gateway(Program::WireguardGo, Program::Ours)]
fn megabytes_arrive_as_they_were(#[case] client: Program, #[case] gateway: Program) {
    let (client, gateway) = pair(client, gateway);
    let data = bytes(4 << 20);

    for family in [0, 1] {
        for (from, to) in [(&client, &gateway), (&gateway, &client)] {
            let (arrived, _) = carry(from, to, family, &data);
            assert!(arrived == data, "family {family}");
        }
    }
}

#[test]
fn a_gateway_that_forgets_its_sessions_is_back_within_three_seconds() {
    let (client, gateway) = pair(Program::Ours, Program::WireguardGo);
    carry(&client, &gateway, 0, b"hello");
    let echo = gateway.namespace.run(|| {
        let socket = UdpSocket::bind((inside(2)[0], 7)).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let mut byte = [0];
        while let Ok((_, from)) = socket.recv_from(&mut byte) {
            let _ = socket.send_to(&byte, from);
        }
    });
    // Until it was answered, each 50 ms, 200 times.
    let pings = client.namespace.run(|| {
        let socket = UdpSocket::bind((inside(1)[0], 0)).unwrap();
        socket.connect((inside(2)[0], 7)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for _ in 0..200 {
            socket.send(&[1]).unwrap();
            if socket.recv(&mut [0]).is_ok() {
                longest = longest.max(last.elapsed());
                last = Instant::now();
                thread::sleep(Duration::from_millis(50));
            }
        }
        longest.max(last.elapsed())
    });

    thread::sleep(Duration::from_secs(1));
    gateway.forget(&client);

    let silence = pings.join().unwrap();
    assert!(silence <= Duration::from_secs(3), "{silence:?}");
    assert!(
        silence >= Duration::from_secs(1),
        "it forgot nothing: {silence:?}"
    );
    echo.join().unwrap();
}

#[test]
fn a_path_that_is_too_narrow_for_trains_gets_single_datagrams() {
    let (client, gateway) = pair(Program::Ours, Program::WireguardGo);
    // The kernel does not cut datagrams that it would have to fragment as well.
    client.namespace.ip("link set veth0 mtu 1300");
    gateway.namespace.ip("link set veth0 mtu 1300");
    let data = bytes(1 << 20);

    let (arrived, _) = carry(&client, &gateway, 0, &data);

    assert!(arrived == data);
    let Running::Ours(tunnel) = &client.running else {
        panic!("the client is ours")
    };
    let counters = tunnel.counters().unwrap();
    assert_eq!(counters.failed_sends, 0);
    assert!(counters.sends > data.len() as u64 / 1_400);
}
