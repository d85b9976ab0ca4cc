//! The cloudlet's end of the tunnel: the node that leads in Kilo's network, and the cluster's name server.

mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::runtime::watcher::{Config, Error};
use kube::{Api, Client};
use sinfonia_core::lifecycle::TunnelFacts;
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::{HostPort, TunnelError};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::choice::{KiloNode, Role, choose};
use super::WATCH_SECONDS;
use super::isolation::{NodePlace, Surroundings, networks_of};
use super::mirror::{Change, Mirror, Turn, watch};
use crate::clock::Clock;
use crate::cluster::facts::{CLUSTER_DOMAIN, everything};

/// How often it is looked whether what is known has become stale.
const ROUND: Duration = Duration::from_secs(10);

/// Namespace of the name server.
const DNS_NAMESPACE: &str = "kube-system";
/// Service of the name server; CoreDNS keeps the name for the sake of who knows it.
const DNS_SERVICE: &str = "kube-dns";

/// What the operator says about the tunnel.
#[derive(Debug, Clone)]
pub(crate) struct GatewaySettings {
    /// Where devices reach the tunnel, if not where the node itself thinks (NAT).
    pub(crate) endpoint: Option<HostPort>,
    /// The network that devices get their addresses of.
    pub(crate) client_network: Network,
    /// The networks of Services and Pods, where the cluster is not asked for them.
    pub(crate) cluster_networks: Option<Vec<Network>>,
}

/// Who is told what is known.
pub(crate) struct Told {
    /// The cloudlet's end of the tunnel, or what is missing for it to be known, or for deployments to be kept apart.
    pub(crate) facts: watch::Sender<Result<TunnelFacts, String>>,
    /// The network around the deployments. It stays as it was last while something is missing.
    pub(crate) surroundings: watch::Sender<Option<Surroundings>>,
}

/// Keeps what is `told` up to date for ever. While the API server is away, what was known last counts until it is stale.
pub(crate) async fn follow(client: Client, settings: GatewaySettings, clock: Clock, told: Told) {
    let nodes = Api::<Node>::all(client.clone());
    let services = Api::<Service>::namespaced(client.clone(), DNS_NAMESPACE);
    let networks = Api::<ServiceCIDR>::all(client);
    let config = Config::default().timeout(WATCH_SECONDS);
    let dns_config = config
        .clone()
        .fields(&format!("metadata.name={DNS_SERVICE}"));
    let mut networks = match settings.cluster_networks {
        None => watch(networks, config.clone(), networks_of),
        Some(_) => stream::pending().boxed(),
    };
    let mut nodes = watch(nodes, config, SeenNode::of);
    let mut services = watch(services, dns_config, cluster_ips);
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut seen = Seen::default();
    loop {
        tokio::select! {
            Some(change) = nodes.next() => take(&mut seen.nodes, change),
            Some(change) = services.next() => take(&mut seen.services, change),
            Some(change) = networks.next() => take(&mut seen.networks, change),
            _ = rounds.tick() => {}
        }
        publish(&told, seen.facts(&settings, &clock));
    }
}

/// What the watches have told.
#[derive(Default)]
struct Seen {
    nodes: Mirror<SeenNode>,
    services: Mirror<Vec<IpAddr>>,
    networks: Mirror<Vec<Network>>,
}

/// A node: what Kilo made of it, and where it is.
struct SeenNode {
    kilo: KiloNode,
    place: NodePlace,
}

impl SeenNode {
    fn of(node: &Node) -> Self {
        Self {
            kilo: KiloNode::of(node),
            place: NodePlace::of(node),
        }
    }

    /// Whether tunnels may end here: where several nodes lead, which of them is told to devices changes from round to round.
    const fn leads(&self) -> bool {
        matches!(self.kilo.role, Role::Leader { .. })
    }
}

/// Takes a change in, and tells when an outage begins and ends.
fn take<T>(mirror: &mut Mirror<T>, change: Change<T>) {
    match mirror.take(change) {
        Turn::None => {}
        Turn::Fails => {
            let error = mirror.failure().map(tracing::field::display);
            tracing::warn!(
                error,
                "the cluster does not tell about its tunnel, another try follows"
            );
        }
        Turn::Recovers => tracing::info!("the cluster tells about its tunnel again"),
    }
}

/// What is there, or why that is not known.
fn known<'a, T>(mirror: &'a Mirror<T>, what: &str) -> Result<&'a BTreeMap<String, T>, String> {
    mirror.known().ok_or_else(|| match mirror.failure() {
        Some(failure) => format!("the cluster does not list its {what}: {}", words(failure)),
        None => format!("the cluster has not listed its {what} yet"),
    })
}

/// What the API server says itself, where it does; `kube` adds the whole answer to that.
pub(super) fn words(failure: &Error) -> String {
    match failure {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Seen {
    /// The end of the tunnel and what is around, or everything that is missing for them to be known.
    fn facts(
        &self,
        settings: &GatewaySettings,
        clock: &Clock,
    ) -> Result<(TunnelFacts, Surroundings), String> {
        let nodes = known(&self.nodes, "nodes");
        let gateway = nodes.and_then(|nodes| {
            let nodes = nodes.values().map(|node| &node.kilo);
            choose(nodes, clock.now())
        });
        let services = known(&self.services, "services");
        let name_server =
            services.and_then(|services| name_server(services.get(DNS_SERVICE), settings));
        let networks = self.cluster_networks(settings);
        let (gateway, name_server, networks) = match (gateway, name_server, networks) {
            (Ok(gateway), Ok(name_server), Ok(networks)) => (gateway, name_server, networks),
            (gateway, name_server, networks) => {
                let errors = [gateway.err(), name_server.err(), networks.err()];
                return Err(errors.into_iter().flatten().collect::<Vec<_>>().join("; "));
            }
        };
        let surroundings = self.surroundings(settings, &networks);
        let told = |error: TunnelError| error.to_string();
        let facts = TunnelFacts {
            public_key: gateway.public_key,
            endpoint: settings.endpoint.clone().unwrap_or(gateway.endpoint),
            allowed_ips: vec![everything(settings.client_network).map_err(told)?],
            name_server,
            cluster_domain: CLUSTER_DOMAIN.parse().map_err(told)?,
        };
        Ok((facts, surroundings))
    }

    /// The networks of Services and Pods. A node without one runs no Pods yet that others could reach.
    fn cluster_networks(&self, settings: &GatewaySettings) -> Result<Vec<Network>, String> {
        if let Some(networks) = &settings.cluster_networks {
            return Ok(networks.clone());
        }
        let hint = |error: String| format!("{error}, name its networks with --cluster-cidrs");
        let services = match known(&self.networks, "ServiceCIDRs") {
            Err(error) if self.networks.failure().is_some() => return Err(hint(error)),
            services => services?,
        };
        let services: Vec<_> = services.values().flatten().copied().collect();
        let nodes = self.nodes.known();
        let mut places = nodes.into_iter().flat_map(BTreeMap::values);
        if services.is_empty() {
            return Err(hint("the cluster has no ServiceCIDR".to_owned()));
        }
        // That there is no node, or that they are not known, is told already.
        let is_nowhere = |node: &SeenNode| node.place.pods.is_empty();
        if nodes.is_some_and(|nodes| !nodes.is_empty()) && places.all(is_nowhere) {
            return Err(hint("no node of the cluster has a podCIDR".to_owned()));
        }
        Ok(services)
    }

    fn surroundings(&self, settings: &GatewaySettings, networks: &[Network]) -> Surroundings {
        let nodes = self.nodes.known().into_iter().flat_map(BTreeMap::values);
        let gateways = nodes.clone().filter(|node| node.leads());
        let name_servers = self.services.known();
        let name_servers = name_servers.and_then(|services| services.get(DNS_SERVICE));
        Surroundings::new(
            networks,
            settings.client_network,
            nodes.map(|node| &node.place),
            gateways.map(|node| &node.place),
            name_servers.map_or(&[], Vec::as_slice),
        )
    }
}

/// The address of the name server, in a cluster of both families that of the devices' own.
fn name_server(
    addresses: Option<&Vec<IpAddr>>,
    settings: &GatewaySettings,
) -> Result<IpAddr, String> {
    let service = || format!("Service {DNS_SERVICE} in namespace {DNS_NAMESPACE}");
    let addresses = addresses.ok_or_else(|| format!("there is no {}", service()))?;
    let is_ipv4 = settings.client_network.as_ipnet().addr().is_ipv4();
    addresses
        .iter()
        .find(|address| address.is_ipv4() == is_ipv4)
        .or(addresses.first())
        .copied()
        .ok_or_else(|| format!("{} has no ClusterIP", service()))
}

/// The addresses of a Service; one without says "None" or nothing.
fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let others = spec.cluster_ips.iter().flatten();
    let all = spec.cluster_ip.iter().chain(others);
    all.filter_map(|address| address.parse().ok()).collect()
}

/// Tells who listens, if it is news to them.
fn publish(told: &Told, now_known: Result<(TunnelFacts, Surroundings), String>) {
    let now_known = now_known.map(|(facts, surroundings)| {
        // First, because who knows the tunnel relies on it.
        told.surroundings.send_if_modified(|known| {
            let news = Some(surroundings);
            let is_news = *known != news;
            *known = news;
            is_news
        });
        facts
    });
    told.facts.send_if_modified(|known| {
        if *known == now_known {
            return false;
        }
        log(known, &now_known);
        *known = now_known;
        true
    });
}

/// Logs what changed for devices; the age in a reason that stays the same is no news.
fn log(before: &Result<TunnelFacts, String>, after: &Result<TunnelFacts, String>) {
    match (before, after) {
        (_, Ok(facts)) => {
            tracing::info!(key = %facts.public_key.short(), endpoint = %facts.endpoint, name_server = %facts.name_server, "the end of the tunnel is known");
        }
        (Ok(_), Err(reason)) => tracing::warn!(reason, "the end of the tunnel is unknown"),
        (Err(_), Err(reason)) => {
            tracing::debug!(reason, "the end of the tunnel is still unknown");
        }
    }
}
