//! The exporter of WireGuard's metrics that Kilo's manifests install.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::{MissingProgram, Programs, ServiceError, gateway};

/// Time that it has to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at whether it does.
const POLL: Duration = Duration::from_millis(20);
/// How the kernel writes that a TCP socket listens.
const LISTENING: &str = "0A";

/// Why the exporter does not run.
#[derive(Debug, thiserror::Error)]
pub enum WireguardExporterError {
    /// It is nowhere.
    #[error(transparent)]
    Programs(#[from] MissingProgram),
    /// It does not run, for instance because `wg` is missing.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A real exporter of one interface's metrics. It asks `wg show` at each scrape. It is killed when this is dropped.
#[derive(Debug)]
pub struct WireguardExporter {
    address: SocketAddrV4,
    process: Process,
}

impl WireguardExporter {
    /// Starts one in a network namespace, by its name for `ip netns`, on an address there, and waits until it listens. Its log is
    /// `wireguard-exporter.log` in this folder. The interface may come and go: it is asked for by its name.
    ///
    /// # Errors
    /// It does not run, or does not listen in time.
    pub fn start(
        folder: &Path,
        namespace: &str,
        interface: &str,
        address: SocketAddrV4,
    ) -> Result<Self, WireguardExporterError> {
        let mut command = Command::new(Programs::wireguard_exporter_or_hint()?);
        command
            .args(["--address", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--interfaces", interface]);
        let command = gateway::inside(namespace, &command);
        let mut process = Process::start("wireguard-exporter", command, folder)?;
        let begun = Instant::now();
        while !listens(process.id(), address.port()) {
            if !process.runs() || begun.elapsed() > PATIENCE {
                return Err(process.not_up().into());
            }
            thread::sleep(POLL);
        }
        Ok(Self { address, process })
    }

    /// Where it listens, seen from inside the namespace.
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

/// Whether something listens on this port in the network namespace of a process. It cannot be connected to from another one.
fn listens(process: u32, port: u16) -> bool {
    fs::read_to_string(format!("/proc/{process}/net/tcp"))
        .is_ok_and(|sockets| has_listener(&sockets, port))
}

fn has_listener(sockets: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default();
        local.ends_with(&port) && words.nth(1) == Some(LISTENING)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_on_the_port_count() {
        let sockets = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
            0: 0100007F:24C2 00000000:0000 0A 00000000:00000000\n   \
            1: 0100007F:24C3 0100007F:24C2 01 00000000:00000000\n";

        let found = [9410, 9411, 9412].map(|port| has_listener(sockets, port));

        assert_eq!(found, [true, false, false]);
    }
}
