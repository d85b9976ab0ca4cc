//! Namespaces of the network, each with a thread in it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

pub(super) const MTU: u16 = 1420;
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// A namespace, and a thread in it that does what it is told. Both end when this is dropped.
pub(super) struct Namespace {
    jobs: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    thread: Pid,
}

/// The addresses of a host in the tunnel, one of each family.
pub(super) fn inside(number: u8) -> [IpAddr; 2] {
    [
        [10, 9, 0, number].into(),
        [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)].into(),
    ]
}

impl Namespace {
    pub(super) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (sender, started) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("this test needs root");
            sender.send(gettid()).unwrap();
            queue.iter().for_each(|job| job());
        });
        Self {
            jobs,
            thread: started.recv().unwrap(),
        }
    }

    /// Does something in the namespace; the handle has its result.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (sender, result) = mpsc::channel();
        self.jobs
            .send(Box::new(move || drop(sender.send(job()))))
            .unwrap();
        thread::spawn(move || result.recv().unwrap())
    }

    /// Runs `ip` in the namespace.
    pub(super) fn ip(&self, arguments: &str) {
        let command: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let status = self.run(move || Command::new("ip").args(command).status());
        assert!(status.join().unwrap().unwrap().success(), "ip {arguments}");
    }

    /// Gives a TUN device the addresses of a host in the tunnel.
    pub(super) fn set_up_tun(&self, device: &str, number: u8) {
        let [ipv4, ipv6] = inside(number);
        self.ip(&format!("address add {ipv4}/24 dev {device}"));
        self.ip(&format!("address add {ipv6}/64 dev {device} nodad"));
        self.ip(&format!("link set {device} mtu {MTU} up"));
    }

    /// Joins it to another one, as 192.0.2.1 to 192.0.2.2.
    pub(super) fn join(&self, other: &Self) {
        let peer = other.thread;
        self.ip(&format!(
            "link add veth0 type veth peer name veth0 netns {peer}"
        ));
        for (namespace, number) in [(self, 1), (other, 2)] {
            namespace.ip(&format!("address add 192.0.2.{number}/24 dev veth0"));
            namespace.ip("link set veth0 up");
        }
    }
}

/// Bytes that do not repeat with the length of a segment.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Sends bytes through a TCP connection from one namespace to an address in the other; returns what arrived, and how long it took.
pub(super) fn transfer(
    from: &Namespace,
    to: &Namespace,
    address: IpAddr,
    data: Vec<u8>,
) -> (Vec<u8>, Duration) {
    let address = SocketAddr::new(address, 4_000);
    let (ready, listening) = mpsc::channel();
    let length = data.len();
    let server = to.run(move || {
        let listener = TcpListener::bind(address).unwrap();
        ready.send(()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let begin = Instant::now();
        let mut arrived = Vec::with_capacity(length);
        stream.read_to_end(&mut arrived).unwrap();
        (arrived, begin.elapsed())
    });
    listening.recv().unwrap();
    let client = from.run(move || {
        let mut stream = TcpStream::connect_timeout(&address, WAIT).unwrap();
        stream.set_write_timeout(Some(WAIT)).unwrap();
        stream.write_all(&data).unwrap();
    });
    client.join().unwrap();
    server.join().unwrap()
}
