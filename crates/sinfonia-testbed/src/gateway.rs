//! A stand-in for Kilo's agent on a node: the devices' way into the cluster.

mod agent;
mod annotations;
mod device;
mod lag;
mod log;
mod mesh;
mod network;
mod peer;
mod plan;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use sinfonia_core::key::{PrivateKey, PublicKey};

use self::agent::{Agent, Running};
use self::device::Device;
use self::log::Log;
pub(crate) use self::network::inside;
use crate::cluster::random_hex;
use crate::process::Process;
use crate::{Cluster, ClusterError, MissingProgram, Programs, ServiceError};

/// Random bytes in the name of an interface, which may have 15 characters.
const INTERFACE_BYTES: usize = 4;
/// What k3s with Kilo gives to nodes, clients, pods and Services.
const WIREGUARD_IP: &str = "10.4.0.1/16";
const CLIENT_NETWORK: &str = "10.5.0.0/16";
const CLUSTER_NETWORKS: [&str; 4] = [
    "10.4.0.0/16",
    CLIENT_NETWORK,
    "10.42.0.0/16",
    "10.43.0.0/16",
];

/// Why a gateway does not run, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// wireguard-go is nowhere.
    #[error(transparent)]
    Programs(#[from] MissingProgram),
    /// A program does not run.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The API server cannot be asked, or refuses.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The log cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A command that sets up the network cannot be run.
    #[error("cannot run {program}\nhint: apt install iproute2 nftables")]
    Run {
        /// Its program.
        program: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A command that sets up the network failed.
    #[error("`{command}` failed, which needs root: {message}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        message: String,
    },
    /// Another program has an interface of this name.
    #[error("there is a WireGuard interface {0} on this machine already")]
    Taken(String),
    /// wireguard-go cannot be asked.
    #[error("cannot ask wireguard-go at {}", socket.display())]
    Ask {
        /// Its socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// wireguard-go refuses what it is told.
    #[error("wireguard-go refuses its configuration: errno {0}")]
    Refused(String),
    /// The thread that follows the Peers cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewaySettings {
    /// The Node object that carries its annotations.
    pub node: String,
    /// The network namespace in which it works, by its name for `ip netns`.
    pub namespace: String,
    /// Where devices reach it: an address inside the namespace, UDP.
    pub endpoint: SocketAddrV4,
    /// The WireGuard interface. wireguard-go's sockets are in a folder that all namespaces share, so it is to be unique on the machine.
    pub interface: String,
    /// The interface's address, and the network of nodes' ones.
    pub wireguard_ip: Ipv4Net,
    /// The clients' addresses.
    pub client_network: Ipv4Net,
    /// Where clients keep their addresses, because a NetworkPolicy judges them there; everywhere else they have the node's.
    pub cluster_networks: Vec<Ipv4Net>,
    /// A label selector: Peers without these labels are not seen. For tests that share a control plane; Kilo has no such thing.
    pub peers: Option<String>,
    /// What it has of Kilo's bad habits.
    pub habits: Habits,
}

/// What Kilo's agent does that nobody would wish for. By default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Habits {
    /// Whether each change of what Peers say, and a keepalive of 0 every 30 s, resets the sessions of all others.
    pub resets_sessions: bool,
    /// Time between what happens to Peers, or its own start, and what it makes of that.
    pub lag: Duration,
    /// Whether it takes its annotations off the node when it is stopped.
    pub drops_annotations_on_stop: bool,
}

impl Habits {
    /// What was seen of Kilo's agent, on a day without lag.
    pub const KILO: Self = Self {
        resets_sessions: true,
        lag: Duration::ZERO,
        drops_annotations_on_stop: true,
    };
}

/// A stand-in for Kilo's agent on a node: it annotates the node, keeps a WireGuard interface in step with the cluster's Peers, and forwards
/// between the interface and the rest of its network namespace. It follows the Peers within 300 ms, and writes `gateway.log`.
///
/// What it runs ends when this is dropped, and when the process ends, however it does.
pub struct Gateway {
    settings: GatewaySettings,
    wireguard: PathBuf,
    cluster: Cluster,
    folder: PathBuf,
    key: PrivateKey,
    habits: Arc<Mutex<Habits>>,
    log: Log,
    program: Option<Process>,
    agent: Option<Running>,
}

impl GatewaySettings {
    /// A gateway with the addresses that k3s with Kilo has by default, without bad habits, on an interface that nobody else has.
    pub fn new(node: &str, namespace: &str, endpoint: SocketAddrV4) -> Self {
        Self {
            node: node.to_owned(),
            namespace: namespace.to_owned(),
            endpoint,
            interface: format!("kilo0-{}", random_hex::<INTERFACE_BYTES>()),
            wireguard_ip: network(WIREGUARD_IP),
            client_network: network(CLIENT_NETWORK),
            cluster_networks: CLUSTER_NETWORKS.map(network).into(),
            peers: None,
            habits: Habits::default(),
        }
    }
}

impl Gateway {
    /// Starts a gateway with a new key, its logs in this folder, and waits until its node has annotations and its interface the Peers that
    /// there are, unless it lags.
    ///
    /// # Errors
    /// wireguard-go is nowhere, the namespace or the node does not exist, or something cannot be set up. It needs root.
    pub fn start(
        cluster: &Cluster,
        folder: &Path,
        settings: GatewaySettings,
    ) -> Result<Self, GatewayError> {
        let mut entropy = [0; 32];
        // Where the system has no randomness, nothing that a test starts would run.
        let _ = getrandom::fill(&mut entropy);
        let mut gateway = Self {
            wireguard: Programs::wireguard_or_hint()?,
            cluster: cluster.clone(),
            folder: folder.to_owned(),
            key: PrivateKey::from_entropy(entropy),
            habits: Arc::new(Mutex::new(settings.habits)),
            log: Log::open(folder)?,
            program: None,
            agent: None,
            settings,
        };
        gateway.restart()?;
        Ok(gateway)
    }

    /// Its public key, which it keeps for life.
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// What it was made of; its habits may be others now.
    pub const fn settings(&self) -> &GatewaySettings {
        &self.settings
    }

    /// Changes its habits from now on.
    pub fn set_habits(&self, habits: Habits) {
        *self.habits.lock().unwrap_or_else(PoisonError::into_inner) = habits;
    }

    /// The peers of its interface, each with the time of its latest handshake: UNIX seconds, 0 when there was none in this session.
    ///
    /// # Errors
    /// It does not run.
    pub fn latest_handshakes(&self) -> Result<BTreeMap<PublicKey, u64>, GatewayError> {
        self.device().latest_handshakes()
    }

    /// The id of its process, wireguard-go, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.program.as_ref().map(Process::id)
    }

    /// Stops it as an ordinary shutdown does: nothing is left of it, but its annotations where that is its habit.
    ///
    /// # Errors
    /// The annotations should go, and the API server cannot be asked or refuses.
    pub fn stop(&mut self) -> Result<(), GatewayError> {
        self.kill();
        self.clean_up();
        self.log.say("stopped");
        let habits = *self.habits.lock().unwrap_or_else(PoisonError::into_inner);
        if habits.drops_annotations_on_stop {
            annotations::remove(&self.cluster, &self.settings.node)?;
            self.log.say("took its annotations off the node");
        }
        Ok(())
    }

    /// Kills its programs at once, cleaning nothing up: the interface goes with its program, the annotations grow stale.
    pub fn kill(&mut self) {
        self.program = None;
        // Its thread may have to wait for an API server that is slow to answer; nothing runs any more meanwhile.
        self.agent = None;
    }

    /// Starts it again, with the key that it always had, as [`Gateway::start`] does.
    ///
    /// # Errors
    /// As for [`Gateway::start`].
    pub fn restart(&mut self) -> Result<(), GatewayError> {
        self.kill();
        self.log.say(format_args!(
            "starts on {} in {}, with key {}",
            self.settings.interface,
            self.settings.namespace,
            self.public_key().short()
        ));
        let result = self.bring_up();
        if let Err(error) = &result {
            self.log.say(format_args!("does not start: {error}"));
            self.kill();
        }
        result
    }

    fn bring_up(&mut self) -> Result<(), GatewayError> {
        let device = self.device();
        let program = device.start(&self.wireguard, &self.settings.namespace, &self.folder)?;
        self.program = Some(program);
        device.set_identity(&self.key, self.settings.endpoint.port())?;
        network::set_up(&self.settings)?;
        let agent = Agent::new(
            &self.settings,
            self.public_key(),
            self.cluster.clone(),
            Arc::clone(&self.habits),
            self.log.clone(),
        );
        self.agent = Some(agent.run()?);
        Ok(())
    }

    fn device(&self) -> Device {
        Device::of(&self.settings.interface)
    }

    /// Removes what programs that were killed leave.
    fn clean_up(&self) {
        let device = self.device();
        // A gateway that does not start because another has its interface owns nothing of this.
        if !device.answers() {
            device.remove_socket();
            network::clean_up(&self.settings.namespace);
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        self.clean_up();
    }
}

impl fmt::Debug for Gateway {
    /// Without the private key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("settings", &self.settings)
            .field("key", &self.public_key())
            .finish_non_exhaustive()
    }
}

/// A network of the constants above.
fn network(text: &str) -> Ipv4Net {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_where_k3s_with_kilo_has_it_unless_told_otherwise() {
        let settings = GatewaySettings::new("node", "netns", "192.0.2.1:51820".parse().unwrap());

        let networks = settings.cluster_networks.iter().map(Ipv4Net::to_string);
        assert_eq!(networks.collect::<Vec<_>>(), CLUSTER_NETWORKS);
        assert_eq!(settings.wireguard_ip.to_string(), WIREGUARD_IP);
        assert_eq!(settings.client_network.to_string(), CLIENT_NETWORK);
        assert!(settings.interface.len() < 16, "{}", settings.interface);
    }
}
