//! Networks of their own, in namespaces that end with the test. They need root.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Tells apart the networks of one test run.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A host of a network.
pub(super) struct Host {
    name: String,
}

impl Host {
    /// A host on no network but its loopback.
    pub(super) fn new() -> Self {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let host = Self {
            name: format!("sinfonia-{}-{number}", process::id()),
        };
        ip(&["netns", "add", &host.name]);
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    /// Two hosts on a network, 192.0.2.1 and 192.0.2.2.
    pub(super) fn pair() -> [Self; 2] {
        let hosts = [Self::new(), Self::new()];
        let [one, other] = &hosts;
        let veth = ["link", "add", "lan", "type", "veth"];
        let peer = ["peer", "name", "lan", "netns", &other.name];
        one.ip(&[&veth[..], &peer[..]].concat());
        for (host, address) in [(one, "192.0.2.1/24"), (other, "192.0.2.2/24")] {
            host.ip(&["address", "add", address, "dev", "lan"]);
            host.ip(&["link", "set", "lan", "up"]);
        }
        hosts
    }

    /// Its name among the network namespaces.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Does something on the host, such as opening a socket, which stays there.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let there = || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        // The thread ends there, so that no other work is done on the host.
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    /// Plugs a cable between an interface of this host and one of another, and switches both on.
    pub(super) fn plug(&self, interface: &str, other: &Self, other_interface: &str) {
        let veth = ["link", "add", interface, "type", "veth"];
        let peer = ["peer", "name", other_interface, "netns", &other.name];
        self.ip(&[&veth[..], &peer[..]].concat());
        self.ip(&["link", "set", interface, "up"]);
        other.ip(&["link", "set", other_interface, "up"]);
    }

    /// A command that runs on the host as the given one does here, but for the folder.
    pub(super) fn command(&self, command: &Command) -> Command {
        let mut inside = self.run(command.get_program().as_ref());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// A command that runs a program on the host.
    pub(super) fn run(&self, program: &Path) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name]).arg(program);
        inside
    }

    /// Runs a program on the host to its end, which has to be good.
    pub(super) fn does(&self, program: &str, arguments: &[impl AsRef<OsStr>]) {
        let ran = self.run(program.as_ref()).args(arguments).output().unwrap();
        assert!(
            ran.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    /// Runs `ip` on the host.
    pub(super) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-netns", &self.name][..], arguments].concat());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

fn ip(arguments: &[&str]) {
    let ran = Command::new("ip").args(arguments).output().unwrap();
    assert!(
        ran.status.success(),
        "ip {}: {} (these tests need root)",
        arguments.join(" "),
        String::from_utf8_lossy(&ran.stderr)
    );
}
