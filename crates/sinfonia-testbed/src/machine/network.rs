//! The network between a machine and this one.

use std::net::Ipv4Addr;
use std::process::Command;

use super::MachineError;

/// Networks of four addresses each, out of those that RFC 2544 sets apart for tests.
const NETWORKS: u8 = 64;

/// The two ends of a machine's network.
#[derive(Debug)]
pub(super) struct Link {
    device: String,
    pub(super) host: Ipv4Addr,
    pub(super) machine: Ipv4Addr,
}

impl Link {
    /// Names the network of a process, and connects it to this machine's.
    pub(super) fn make(name: &str, process: u32) -> Result<Self, MachineError> {
        ip(&["netns", "attach", name, &process.to_string()])?;
        let link = Self::connect(name).and_then(|link| {
            let (host, machine) = (link.host.to_string(), link.machine.to_string());
            ip(&["address", "add", &format!("{host}/30"), "dev", &link.device])?;
            ip(&["link", "set", &link.device, "up"])?;
            let inside = ["-netns", name];
            ip(&[
                &inside[..],
                &["address", "add", &format!("{machine}/30"), "dev", "eth0"],
            ]
            .concat())?;
            ip(&[&inside[..], &["link", "set", "eth0", "up"]].concat())?;
            ip(&[&inside[..], &["route", "add", "default", "via", &host]].concat())?;
            Ok(link)
        });
        link.inspect_err(|_| forget(name))
    }

    /// Makes the pair of devices on the first network that nobody else has.
    fn connect(name: &str) -> Result<Self, MachineError> {
        let mut last = MachineError::NotUp("no network is left".to_owned());
        for number in 0..NETWORKS {
            let device = format!("sinfonia{number}");
            let link = ["link", "add", &device, "type", "veth"];
            match ip(&[&link[..], &["peer", "name", "eth0", "netns", name]].concat()) {
                Ok(()) => {
                    let address = |end| Ipv4Addr::new(198, 18, 0, number * 4 + end);
                    return Ok(Self {
                        host: address(1),
                        machine: address(2),
                        device,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Disconnects the machine.
    pub(super) fn remove(&self, name: &str) {
        // It may be gone with the machine.
        let _ = ip(&["link", "delete", &self.device]);
        forget(name);
    }
}

/// Takes the name of a network away; the network goes with its last process.
pub(super) fn forget(name: &str) {
    let _ = ip(&["netns", "delete", name]);
}

fn ip(arguments: &[&str]) -> Result<(), MachineError> {
    let ran = Command::new("ip").args(arguments).output();
    let ran = ran.map_err(MachineError::Namespaces)?;
    if ran.status.success() {
        return Ok(());
    }
    Err(MachineError::Network {
        arguments: arguments.join(" "),
        said: String::from_utf8_lossy(&ran.stderr).trim().to_owned(),
    })
}
