//! Where a control plane runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::{ControlPlaneError, commands, write};
use crate::machine::Machine;
use crate::process::Process;
use crate::{Programs, ReservedPort, ServiceError};

/// The port of an API server that has a machine for itself, as usual.
const API_SERVER_PORT: u16 = 6443;
/// The ports of an etcd that has a machine for itself, for clients and for its like.
const ETCD_PORTS: [u16; 2] = [2379, 2380];
/// Who asked for what, without the contents.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: [testbed-admin]
  - level: Metadata
    userGroups: [system:serviceaccounts]
";

/// Where a control plane runs.
#[derive(Debug)]
pub(crate) enum Site {
    /// Among the processes of this machine, on free loopback ports; the API server's is this.
    Loopback(ReservedPort),
    /// On a machine of its own, with its node.
    Machine(Arc<Machine>),
}

/// A running etcd.
#[derive(Debug)]
pub(crate) struct Etcd {
    process: Process,
    url: String,
    _ports: Option<[ReservedPort; 2]>,
}

impl Etcd {
    /// Where the API server finds it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) const fn process(&self) -> &Process {
        &self.process
    }
}

impl Site {
    /// A place on free loopback ports.
    pub(super) fn loopback() -> Result<Self, ControlPlaneError> {
        Ok(Self::Loopback(reserve()?))
    }

    /// Where the API server listens.
    pub(super) fn api_server(&self) -> SocketAddr {
        match self {
            Self::Loopback(port) => (Ipv4Addr::LOCALHOST, port.number()).into(),
            Self::Machine(machine) => (machine.address(), API_SERVER_PORT).into(),
        }
    }

    /// Starts a program there.
    pub(super) fn start(
        &self,
        name: &str,
        command: Command,
        folder: &Path,
    ) -> Result<Process, ServiceError> {
        match self {
            Self::Loopback(_) => Process::start(name, command, folder),
            Self::Machine(machine) => Process::start_on(machine, name, command, folder),
        }
    }

    /// Starts etcd there, and writes what the API server has to find.
    pub(super) fn start_etcd(
        &self,
        programs: &Programs,
        folder: &Path,
    ) -> Result<Etcd, ControlPlaneError> {
        let (urls, ports) = match self {
            Self::Loopback(_) => {
                let ports = [reserve()?, reserve()?];
                ([ports[0].url(), ports[1].url()], Some(ports))
            }
            Self::Machine(_) => {
                write(&folder.join(commands::AUDIT_POLICY_FILE), AUDIT_POLICY)?;
                (
                    ETCD_PORTS.map(|port| format!("http://127.0.0.1:{port}")),
                    None,
                )
            }
        };
        let [clients, peers] = urls;
        let command = commands::etcd(programs, folder, &clients, &peers);
        Ok(Etcd {
            process: self.start("etcd", command, folder)?,
            url: clients,
            _ports: ports,
        })
    }
}

fn reserve() -> Result<ReservedPort, ControlPlaneError> {
    ReservedPort::new().map_err(ControlPlaneError::Port)
}
