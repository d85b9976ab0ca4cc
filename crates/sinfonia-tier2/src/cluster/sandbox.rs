//! A cluster in memory, for trying Sinfonia and for developing applications without Kubernetes.

mod load;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PrivateKey;
use sinfonia_core::lifecycle::{
    Namespace, Observed, PeerState, Record, Release, Step, TunnelFacts,
};
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::{HostPort, TunnelError};
use tokio::sync::watch;

use self::load::Load;
use super::facts::{CLUSTER_DOMAIN, everything};
use super::{Activities, Cluster, ClusterError, StepError};

/// Port of the tunnel where nothing else is said, the one that WireGuard's own documents use.
const TUNNEL_PORT: u16 = 51820;

/// Why a sandbox cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system gives no randomness for its key.
    #[error("the system has no randomness for a key")]
    Randomness(#[source] getrandom::Error),
    /// A part of the tunnel's description is none that devices understand.
    #[error("devices cannot be told about the tunnel")]
    Tunnel(#[source] TunnelError),
}

/// Namespaces, Peers and releases in memory. Everything that is installed runs at once.
pub struct Sandbox {
    deployments: Mutex<HashMap<DeploymentName, Deployment>>,
    /// The tunnel's own secret. Only its public half is shown so far, but that is worth nothing without this one.
    _private_key: PrivateKey,
    tunnel: watch::Sender<Result<TunnelFacts, String>>,
    load: Load,
}

#[derive(Default)]
struct Deployment {
    observed: Observed,
    running: watch::Sender<bool>,
}

impl Sandbox {
    /// An empty sandbox with a new key, whose devices get addresses of this network.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(endpoint: HostPort, client_network: Network) -> Result<Self, SandboxError> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(SandboxError::Randomness)?;
        let private_key = PrivateKey::from_entropy(entropy);
        let facts = TunnelFacts {
            public_key: private_key.public_key(),
            endpoint,
            allowed_ips: vec![everything(client_network).map_err(SandboxError::Tunnel)?],
            name_server: gateway(client_network),
            cluster_domain: CLUSTER_DOMAIN.parse().map_err(SandboxError::Tunnel)?,
        };
        Ok(Self {
            deployments: Mutex::default(),
            _private_key: private_key,
            tunnel: watch::Sender::new(Ok(facts)),
            load: Load::default(),
        })
    }

    fn deployments(&self) -> MutexGuard<'_, HashMap<DeploymentName, Deployment>> {
        self.deployments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: &DeploymentName, step: Step) {
        let mut deployments = self.deployments();
        let deployment = deployments.entry(name.clone()).or_default();
        let observed = &mut deployment.observed;
        match step {
            Step::AwaitNamespaceGone | Step::RemoveRecord => {}
            Step::PrepareNamespace => observed.namespace = Namespace::Present,
            Step::ApplyPeer(peer) => observed.peer = PeerState::Present(peer),
            Step::Install => observed.release = Release::Deployed,
            Step::DeletePeer => observed.peer = PeerState::Absent,
            Step::Uninstall { .. } => observed.release = Release::Absent,
            Step::DeleteNamespace => {
                observed.namespace = Namespace::Absent;
                observed.release = Release::Absent;
            }
        }
        deployment
            .running
            .send_replace(deployment.observed.is_installed());
        if deployment.observed == Observed::default() {
            deployments.remove(name);
        }
    }
}

impl Cluster for Sandbox {
    fn tunnel(&self) -> watch::Receiver<Result<TunnelFacts, String>> {
        self.tunnel.subscribe()
    }

    fn observe<'a>(
        &'a self,
        name: &'a DeploymentName,
    ) -> BoxFuture<'a, Result<Observed, ClusterError>> {
        let observed = self
            .deployments()
            .get(name)
            .map(|deployment| deployment.observed);
        ready(Ok(observed.unwrap_or_default())).boxed()
    }

    fn apply<'a>(
        &'a self,
        name: &'a DeploymentName,
        _record: &'a Record,
        step: Step,
    ) -> BoxFuture<'a, Result<Option<String>, StepError>> {
        self.take(name, step);
        ready(Ok(None)).boxed()
    }

    fn readiness<'a>(
        &'a self,
        name: &'a DeploymentName,
        _since: Timestamp,
    ) -> BoxFuture<'a, Result<watch::Receiver<bool>, ClusterError>> {
        let deployments = self.deployments();
        let running = deployments
            .get(name)
            .map(|deployment| deployment.running.subscribe());
        // What is not there does not run, and never will under this name.
        let running = running.unwrap_or_else(|| watch::Sender::new(false).subscribe());
        ready(Ok(running)).boxed()
    }

    fn activities(&self) -> BoxFuture<'_, Activities> {
        ready(Activities::NotAsked).boxed()
    }

    fn resources(&self) -> BoxFuture<'_, Resources> {
        ready(self.load.measure()).boxed()
    }
}

/// Where devices reach the tunnel when nobody says: the host that Tier 1 knows this cloudlet by, else where it listens, else this machine.
///
/// # Errors
/// The host of the endpoint is none that a tunnel can lead to.
pub fn default_tunnel_endpoint(
    endpoint: Option<&Endpoint>,
    listening: SocketAddr,
) -> Result<HostPort, SandboxError> {
    if let Some(endpoint) = endpoint {
        return format!("{}:{TUNNEL_PORT}", endpoint.host_str())
            .parse()
            .map_err(SandboxError::Tunnel);
    }
    let address = match listening.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        address => address,
    };
    Ok(SocketAddr::new(address, TUNNEL_PORT).into())
}

/// The first address behind the network's own, which no device gets.
fn gateway(network: Network) -> IpAddr {
    match network.as_ipnet().network() {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) | 1).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) | 1).into()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_name_of_tier2(
        Some("https://cloudlet.example:8443"),
        "[::]:5000",
        "cloudlet.example:51820"
    )]
    #[case::the_address_of_tier2(
        Some("http://[2001:db8::7]:5000"),
        "[::]:5000",
        "[2001:db8::7]:51820"
    )]
    #[case::where_it_listens(None, "192.0.2.1:5000", "192.0.2.1:51820")]
    #[case::everywhere(None, "[::]:5000", "127.0.0.1:51820")]
    #[case::everywhere_on_ipv4(None, "0.0.0.0:5000", "127.0.0.1:51820")]
    fn the_tunnel_is_where_tier2_is(
        #[case] tier2: Option<&str>,
        #[case] listening: SocketAddr,
        #[case] expected: &str,
    ) {
        let tier2 = tier2.map(|url| Endpoint::of_tier2(url).unwrap());

        let endpoint = default_tunnel_endpoint(tier2.as_ref(), listening).unwrap();

        assert_eq!(endpoint.to_string(), expected);
    }

    #[test]
    fn every_sandbox_has_a_key_of_its_own() {
        assert_ne!(
            facts("10.5.0.0/16").public_key,
            facts("10.5.0.0/16").public_key
        );
    }

    #[rstest]
    #[case("10.5.0.0/16", "10.5.0.1")]
    #[case("fd00:5::/64", "fd00:5::1")]
    fn the_name_server_is_the_gateway(#[case] network: &str, #[case] expected: IpAddr) {
        assert_eq!(facts(network).name_server, expected);
    }

    fn facts(network: &str) -> TunnelFacts {
        let endpoint = "203.0.113.7:51820".parse().unwrap();
        let sandbox = Sandbox::new(endpoint, network.parse().unwrap()).unwrap();
        sandbox.tunnel().borrow().clone().unwrap()
    }
}
