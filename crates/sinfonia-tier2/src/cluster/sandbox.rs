//! A cluster in memory, for trying Sinfonia and for developing applications without Kubernetes.

mod backend;
mod gateway;
mod load;
mod metrics;
mod names;
mod page;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_core::lifecycle::{
    Namespace, Observed, PeerState, Readiness, Record, Release, Step, TunnelFacts,
};
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::{HostPort, TunnelError};
use sinfonia_service::recipes::RecipeRepository;
use tokio::sync::watch;

use self::gateway::Gateway;
use self::load::Load;
use self::metrics::TunnelMetrics;
pub use self::socket::{TunnelSocket, local_address};
use super::facts::{CLUSTER_DOMAIN, everything};
use super::{Activities, Cluster, ClusterError, StepError};

/// Why a sandbox cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The system gives no randomness for its key.
    #[error("the system has no randomness for a key")]
    Randomness(#[source] getrandom::Error),
    /// The port of the tunnel is taken, or not allowed.
    #[error("cannot listen for WireGuard on UDP {address} (--tunnel-listen chooses another)")]
    Listen {
        /// What was to be listened on.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A part of the tunnel's description is none that devices understand.
    #[error("devices cannot be told about the tunnel")]
    Tunnel(#[source] TunnelError),
}

/// Namespaces, Peers and releases in memory. Everything that is installed runs at once.
pub struct Sandbox {
    deployments: Mutex<HashMap<DeploymentName, Deployment>>,
    gateway: Option<Gateway>,
    tunnel: watch::Sender<Result<TunnelFacts, String>>,
    load: Load,
}

#[derive(Default)]
struct Deployment {
    observed: Observed,
    running: watch::Sender<Readiness>,
}

impl Sandbox {
    /// A sandbox that devices reach: it speaks WireGuard at this socket, and stands in for what recipes would install. Has to be called
    /// within a runtime.
    ///
    /// # Errors
    /// The system gives no randomness for its key, or the socket cannot be used.
    pub fn start(
        socket: TunnelSocket,
        endpoint: HostPort,
        client_network: Network,
        recipes: RecipeRepository,
    ) -> Result<Self, SandboxError> {
        let private_key = private_key()?;
        let sandbox = Self::with_key(endpoint, client_network, private_key.public_key())?;
        let address = socket.address;
        let gateway = Gateway::start(
            socket.socket,
            &private_key,
            gateway_address(client_network),
            recipes,
        );
        let gateway = gateway.map_err(|source| SandboxError::Listen { address, source })?;
        Ok(Self {
            gateway: Some(gateway),
            ..sandbox
        })
    }

    /// A sandbox without an end of its own of the tunnels, for whoever is interested in the life of deployments alone.
    ///
    /// # Errors
    /// The system gives no randomness for its key.
    pub fn without_tunnel(
        endpoint: HostPort,
        client_network: Network,
    ) -> Result<Self, SandboxError> {
        Self::with_key(endpoint, client_network, private_key()?.public_key())
    }

    fn with_key(
        endpoint: HostPort,
        client_network: Network,
        public_key: PublicKey,
    ) -> Result<Self, SandboxError> {
        let facts = TunnelFacts {
            public_key,
            endpoint,
            allowed_ips: vec![everything(client_network).map_err(SandboxError::Tunnel)?],
            name_server: gateway_address(client_network),
            cluster_domain: CLUSTER_DOMAIN.parse().map_err(SandboxError::Tunnel)?,
        };
        Ok(Self {
            deployments: Mutex::default(),
            gateway: None,
            tunnel: watch::Sender::new(Ok(facts)),
            load: Load::default(),
        })
    }

    /// Resolves when its end of the tunnels has ended, which it does with a defect alone.
    pub fn tunnel_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let ended = self.gateway.as_ref().map(Gateway::ended);
        async move {
            match ended {
                Some(ended) => ended.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Takes a step where devices see it.
    async fn act(
        &self,
        gateway: &Gateway,
        name: &DeploymentName,
        record: &Record,
        step: Step,
    ) -> Result<(), StepError> {
        match step {
            Step::ApplyPeer(peer) => gateway.connect(name, peer)?,
            Step::DeletePeer => gateway.disconnect(name)?,
            Step::Install => gateway.install(name, record).await?,
            Step::Uninstall { .. } | Step::DeleteNamespace => gateway.uninstall(name)?,
            Step::AwaitNamespaceGone | Step::PrepareNamespace | Step::RemoveRecord => {}
        }
        Ok(())
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
        let readiness = if deployment.observed.is_installed() {
            Readiness::Ready
        } else {
            Readiness::default()
        };
        deployment.running.send_replace(readiness);
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
        _record: &'a Record,
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
        record: &'a Record,
        step: Step,
    ) -> BoxFuture<'a, Result<Option<String>, StepError>> {
        async move {
            if let Some(gateway) = &self.gateway {
                self.act(gateway, name, record, step).await?;
            }
            self.take(name, step);
            Ok(None)
        }
        .boxed()
    }

    fn readiness<'a>(
        &'a self,
        name: &'a DeploymentName,
        _since: Timestamp,
    ) -> BoxFuture<'a, Result<watch::Receiver<Readiness>, ClusterError>> {
        let deployments = self.deployments();
        let running = deployments
            .get(name)
            .map(|deployment| deployment.running.subscribe());
        // What is not there does not run, and never will under this name.
        let running = running.unwrap_or_else(|| watch::Sender::<Readiness>::default().subscribe());
        ready(Ok(running)).boxed()
    }

    fn register(&self, registry: &mut Registry) {
        if let Some(gateway) = &self.gateway {
            registry.register_collector(Box::new(TunnelMetrics(gateway.traffic())));
        }
    }

    fn activities(&self) -> BoxFuture<'_, Activities> {
        ready(Activities::NotAsked).boxed()
    }

    fn resources(&self) -> BoxFuture<'_, Resources> {
        ready(self.load.measure()).boxed()
    }
}

/// Where devices reach the tunnel when nobody says: the host that Tier 1 knows this cloudlet by, else where the tunnel or the service
/// listens, else the address by which others on the local network reach this machine, if that is known, else this machine.
///
/// # Errors
/// The host of the endpoint is none that a tunnel can lead to.
pub fn default_tunnel_endpoint(
    endpoint: Option<&Endpoint>,
    tunnel: SocketAddr,
    service: SocketAddr,
    others: Option<IpAddr>,
) -> Result<HostPort, SandboxError> {
    if let Some(endpoint) = endpoint {
        return format!("{}:{}", endpoint.host_str(), tunnel.port())
            .parse()
            .map_err(SandboxError::Tunnel);
    }
    let particular = [tunnel.ip(), service.ip()]
        .into_iter()
        .find(|address| !address.is_unspecified());
    let address = particular.or(others);
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(SocketAddr::new(address, tunnel.port()).into())
}

/// The first address behind the network's own, which no device gets.
fn gateway_address(network: Network) -> IpAddr {
    match network.as_ipnet().network() {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) | 1).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) | 1).into()),
    }
}

fn private_key() -> Result<PrivateKey, SandboxError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(SandboxError::Randomness)?;
    Ok(PrivateKey::from_entropy(entropy))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_name_of_tier2(
        Some("https://cloudlet.example:8443"),
        "[::]:51820",
        "[::]:5000",
        "cloudlet.example:51820"
    )]
    #[case::the_address_of_tier2(
        Some("http://[2001:db8::7]:5000"),
        "[::]:51821",
        "[::]:5000",
        "[2001:db8::7]:51821"
    )]
    #[case::where_the_tunnel_listens(None, "192.0.2.2:51820", "192.0.2.1:5000", "192.0.2.2:51820")]
    #[case::where_it_listens(None, "[::]:51820", "192.0.2.1:5000", "192.0.2.1:51820")]
    #[case::everywhere(None, "[::]:51820", "[::]:5000", "127.0.0.1:51820")]
    #[case::everywhere_on_ipv4(None, "0.0.0.0:51820", "0.0.0.0:5000", "127.0.0.1:51820")]
    fn the_tunnel_is_where_tier2_is(
        #[case] tier2: Option<&str>,
        #[case] tunnel: SocketAddr,
        #[case] service: SocketAddr,
        #[case] expected: &str,
    ) {
        let tier2 = tier2.map(|url| Endpoint::of_tier2(url).unwrap());

        let endpoint = default_tunnel_endpoint(tier2.as_ref(), tunnel, service, None).unwrap();

        assert_eq!(endpoint.to_string(), expected);
    }

    #[test]
    fn others_on_the_local_network_are_told_an_address_that_they_reach() {
        let everywhere = "[::]:51820".parse().unwrap();
        let machine = "192.0.2.9".parse().unwrap();

        let endpoint =
            default_tunnel_endpoint(None, everywhere, everywhere, Some(machine)).unwrap();

        assert_eq!(endpoint.to_string(), "192.0.2.9:51820");
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
        let sandbox = Sandbox::without_tunnel(endpoint, network.parse().unwrap()).unwrap();
        sandbox.tunnel().borrow().clone().unwrap()
    }
}
