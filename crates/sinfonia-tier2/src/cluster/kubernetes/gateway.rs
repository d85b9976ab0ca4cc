//! The cloudlet's end of the tunnel: the node that leads in Kilo's network, and the cluster's name server.

mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::runtime::watcher::{Config, Error};
use kube::{Api, Client};
use sinfonia_core::lifecycle::TunnelFacts;
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::{HostPort, TunnelError};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use self::choice::{KiloNode, choose};
use super::WATCH_SECONDS;
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
}

/// Keeps `facts` up to date for ever: the cloudlet's end of the tunnel, or what is missing for it to be known. While the API server is
/// away, what was known last counts until it is stale.
pub(crate) async fn follow(
    client: Client,
    settings: GatewaySettings,
    clock: Clock,
    facts: watch::Sender<Result<TunnelFacts, String>>,
) {
    let nodes = Api::<Node>::all(client.clone());
    let services = Api::<Service>::namespaced(client, DNS_NAMESPACE);
    let config = Config::default().timeout(WATCH_SECONDS);
    let dns_config = config
        .clone()
        .fields(&format!("metadata.name={DNS_SERVICE}"));
    let mut nodes = watch(nodes, config, KiloNode::of);
    let mut services = watch(services, dns_config, cluster_ips);
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut seen = Seen::default();
    loop {
        tokio::select! {
            Some(change) = nodes.next() => take(&mut seen.nodes, change),
            Some(change) = services.next() => take(&mut seen.services, change),
            _ = rounds.tick() => {}
        }
        publish(&facts, seen.facts(&settings, &clock));
    }
}

/// What the watches have told.
#[derive(Default)]
struct Seen {
    nodes: Mirror<KiloNode>,
    services: Mirror<Vec<IpAddr>>,
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
    /// The end of the tunnel, or everything that is missing for it to be known.
    fn facts(&self, settings: &GatewaySettings, clock: &Clock) -> Result<TunnelFacts, String> {
        let nodes = known(&self.nodes, "nodes");
        let gateway = nodes.and_then(|nodes| choose(nodes.values(), clock.now()));
        let services = known(&self.services, "services");
        let name_server =
            services.and_then(|services| name_server(services.get(DNS_SERVICE), settings));
        let (gateway, name_server) = match (gateway, name_server) {
            (Ok(gateway), Ok(name_server)) => (gateway, name_server),
            (Err(first), Err(second)) => return Err(format!("{first}; {second}")),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let told = |error: TunnelError| error.to_string();
        Ok(TunnelFacts {
            public_key: gateway.public_key,
            endpoint: settings.endpoint.clone().unwrap_or(gateway.endpoint),
            allowed_ips: vec![everything(settings.client_network).map_err(told)?],
            name_server,
            cluster_domain: CLUSTER_DOMAIN.parse().map_err(told)?,
        })
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
fn publish(
    facts: &watch::Sender<Result<TunnelFacts, String>>,
    now_known: Result<TunnelFacts, String>,
) {
    facts.send_if_modified(|known| {
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
