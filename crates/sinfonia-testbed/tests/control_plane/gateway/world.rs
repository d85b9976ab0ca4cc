//! A gateway's surroundings: hosts in network namespaces, a device with wireguard-go, Peers. They need root.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_testbed::{
    ControlPlane, Gateway, GatewaySettings, Programs, SharedCluster, TestFolder, unique_name,
};

/// Where the device reaches the gateway.
pub(super) const ENDPOINT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 51820);
/// The gateway's address inside the tunnel.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);
/// How long a test waits for something that has to happen: a client that is forgotten shakes hands anew after 15 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a connection may take.
const CONNECTION: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
const PORT: u16 = 8080;

/// A host in a network namespace of its own.
pub(super) struct Host {
    pub(super) name: String,
}

/// A node and a device on a network, and a cluster in which the node is one.
pub(super) struct World {
    pub(super) cluster: SharedCluster,
    pub(super) folder: TestFolder,
    pub(super) node: String,
    /// The value of a label that the test's Peers have.
    label: String,
    pub(super) node_host: Host,
    pub(super) device_host: Host,
}

/// A device with WireGuard, whose Peer may be there or not.
pub(super) struct Device<'a> {
    world: &'a World,
    interface: String,
    pub(super) key: PublicKey,
    pub(super) address: Ipv4Addr,
    program: Child,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            name: unique_name("sinfonia"),
        };
        ip(&format!("netns add {}", host.name));
        host.ip("link set lo up");
        host
    }

    /// Another host, linked to this one: its network's first address is this one's, the second the other's.
    pub(super) fn linked(&self, network: [u8; 3]) -> Self {
        let other = Self::new();
        // Names of links are a namespace's own.
        let [link, back] = [format!("to{}", network[2]), "uplink".to_owned()];
        self.ip(&format!(
            "link add {link} type veth peer name {back} netns {}",
            other.name
        ));
        for (host, link, last) in [(self, &link, 1), (&other, &back, 2)] {
            let [a, b, c] = network;
            host.ip(&format!("address add {a}.{b}.{c}.{last}/24 dev {link}"));
            host.ip(&format!("link set {link} up"));
        }
        other
    }

    pub(super) fn ip(&self, line: &str) {
        ip(&format!("-netns {} {line}", self.name));
    }

    /// Runs this in the host's network; what it opens stays there.
    fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(self.path()).unwrap();
        let work = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(work).join()).unwrap()
    }

    /// Waits for connections.
    pub(super) fn listen(&self) -> TcpListener {
        self.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap())
    }

    /// A page that a server on this host shows.
    pub(super) fn page(&self, server: SocketAddrV4, path: &str) -> String {
        let mut stream = self.enter(|| TcpStream::connect(server).unwrap());
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 OK"), "{head}");
        page.to_owned()
    }

    /// The file of its network namespace.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from("/var/run/netns").join(&self.name)
    }

    /// Whether its network has an interface of this name.
    pub(super) fn has(&self, interface: &str) -> bool {
        let mut command = Command::new("ip");
        let words = ["-netns", &self.name, "link", "show", interface];
        command
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// What a program says that is run in its network.
    pub(super) fn says(&self, line: &str) -> String {
        let words = line.split(' ');
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

impl World {
    pub(super) fn new() -> Self {
        let cluster = ControlPlane::shared();
        let node = unique_name("node");
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
        cluster.create("/api/v1/nodes", &object).unwrap();
        let node_host = Host::new();
        let device_host = node_host.linked([192, 0, 2]);
        Self {
            cluster,
            folder: TestFolder::new().unwrap(),
            label: node.clone(),
            node,
            node_host,
            device_host,
        }
    }

    /// What the gateway of this world is made of.
    pub(super) fn settings(&self) -> GatewaySettings {
        GatewaySettings {
            peers: Some(format!("test={}", self.label)),
            ..GatewaySettings::new(&self.node, &self.node_host.name, ENDPOINT)
        }
    }

    pub(super) fn start(&self, settings: GatewaySettings) -> Gateway {
        Gateway::start(&self.cluster, self.folder.path(), settings).unwrap()
    }

    /// Makes a Peer and returns its path.
    pub(super) fn make_peer(&self, key: PublicKey, address: Ipv4Addr) -> String {
        let name = unique_name("peer");
        let peer = json!({
            "apiVersion": "kilo.squat.ai/v1alpha1", "kind": "Peer",
            "metadata": {"name": name, "labels": {"test": self.label}},
            "spec": {
                "publicKey": key.to_string(), "allowedIPs": [format!("{address}/32")],
                "persistentKeepalive": 10,
            },
        });
        self.cluster.create(PEERS, &peer).unwrap();
        format!("{PEERS}/{name}")
    }

    /// Kilo's annotations of the node, without the prefix of their names.
    pub(super) fn annotations(&self) -> Value {
        let node = self
            .cluster
            .get_json(&format!("/api/v1/nodes/{}", self.node))
            .unwrap();
        let annotations = node["metadata"]["annotations"].as_object().cloned();
        annotations
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("kilo.squat.ai/")?;
                Some((name.to_owned(), value))
            })
            .collect()
    }
}

const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";

impl Drop for World {
    fn drop(&mut self) {
        // A control plane that is gone has taken them along.
        let _ = self.cluster.delete(&format!("/api/v1/nodes/{}", self.node));
        let _ = self
            .cluster
            .delete(&format!("{PEERS}?labelSelector=test={}", self.label));
    }
}

impl<'a> Device<'a> {
    /// A device with a Peer and a tunnel to the gateway, and routes to these networks through it.
    pub(super) fn with_peer(world: &'a World, gateway: &Gateway, last: u8) -> (Self, String) {
        let (private, key) = new_key();
        let address = Ipv4Addr::new(10, 5, 17, last);
        let peer = world.make_peer(key, address);
        eventually("the gateway knows the Peer", || knows(gateway, key));
        let device = Self::start(world, &private, address);
        device.connect(&private, gateway.public_key());
        (device, peer)
    }

    fn start(world: &'a World, private: &PrivateKey, address: Ipv4Addr) -> Self {
        let interface = unique_name("wg");
        let program = Programs::wireguard_or_hint().unwrap();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &world.device_host.name])
            .arg(program)
            .args(["--foreground", &interface])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let device = Self {
            world,
            key: private.public_key(),
            address,
            program: command.spawn().unwrap(),
            interface,
        };
        eventually("wireguard-go is there", || {
            socket(&device.interface).exists()
        });
        device
    }

    fn connect(&self, private: &PrivateKey, gateway: PublicKey) {
        let (host, interface) = (&self.world.device_host, &self.interface);
        let file = self.world.folder.path().join(format!("{interface}.key"));
        fs::write(&file, private.to_base64()).unwrap();
        host.says(&format!(
            "wg set {interface} private-key {} peer {gateway} endpoint {ENDPOINT} allowed-ips 0.0.0.0/0",
            file.display()
        ));
        host.ip(&format!("address add {}/32 dev {interface}", self.address));
        host.ip(&format!("link set {interface} up"));
        self.route("10.0.0.0/8");
    }

    pub(super) fn route(&self, network: &str) {
        let host = &self.world.device_host;
        host.ip(&format!("route add {network} dev {}", self.interface));
    }

    /// Connects to a listener at this address, sends a line and gets it back; returns whom the listener saw.
    pub(super) fn reaches(
        &self,
        listener: &TcpListener,
        address: Ipv4Addr,
    ) -> io::Result<Ipv4Addr> {
        let server = SocketAddrV4::new(address, PORT).into();
        let mut out = self
            .world
            .device_host
            .enter(|| TcpStream::connect_timeout(&server, CONNECTION))?;
        let (mut back, peer) = listener.accept()?;
        for stream in [&out, &back] {
            stream.set_read_timeout(Some(CONNECTION))?;
        }
        let mut line = [0; 5];
        out.write_all(b"hello")?;
        back.read_exact(&mut line)?;
        back.write_all(&line)?;
        out.read_exact(&mut line)?;
        match peer {
            std::net::SocketAddr::V4(peer) if &line == b"hello" => Ok(*peer.ip()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = fs::remove_file(socket(&self.interface));
    }
}

/// Where wireguard-go listens for its configuration.
pub(super) fn socket(interface: &str) -> PathBuf {
    PathBuf::from(format!("/var/run/wireguard/{interface}.sock"))
}

/// Keys that nobody else has.
pub(super) fn new_key() -> (PrivateKey, PublicKey) {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).unwrap();
    let key = PrivateKey::from_entropy(entropy);
    let public = key.public_key();
    (key, public)
}

pub(super) fn knows(gateway: &Gateway, key: PublicKey) -> bool {
    gateway
        .latest_handshakes()
        .is_ok_and(|peers| peers.contains_key(&key))
}

/// The time of a peer's latest handshake at the gateway.
pub(super) fn handshake(gateway: &Gateway, key: PublicKey) -> u64 {
    gateway.latest_handshakes().unwrap()[&key]
}

/// Waits until something is so, and returns how long that took.
pub(super) fn eventually(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(POLL);
    }
    begun.elapsed()
}

fn ip(line: &str) {
    let ran = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(
        ran.status.success(),
        "ip {line}: {} (these tests need root)",
        String::from_utf8_lossy(&ran.stderr)
    );
}
