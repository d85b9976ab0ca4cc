//! What the objects of the cluster say about devices and their pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::runtime::watcher::{Config, Error};
use kube::{Api, Client, ResourceExt};
use sinfonia_core::network::Network;

use super::rules::Sets;
use crate::cluster::kubernetes::mirror::{Change, Mirror, Turn, watch, watch_named};
use crate::cluster::kubernetes::{CLIENT_LABEL, DEPLOYMENT, KIND_LABEL, WATCH_SECONDS};

/// The Namespace of the name servers, and the label that all of their pods carry whatever program they run.
const NAMES_NAMESPACE: &str = "kube-system";
const NAMES_LABEL: (&str, &str) = ("k8s-app", "kube-dns");

/// What a watch tells.
pub(super) enum News {
    Pod(Change<PodFacts>),
    Deployment(Change<Option<IpAddr>>),
    Node(Change<Vec<Network>>),
    ServiceCidr(Change<Vec<Network>>),
}

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodFacts {
    namespace: String,
    /// The addresses that are the pod's own at present.
    addresses: Vec<IpAddr>,
    is_name_server: bool,
}

/// What the watches have told.
#[derive(Default)]
pub(super) struct Seen {
    pods: Mirror<PodFacts>,
    /// The device of each Namespace of a deployment.
    deployments: Mirror<Option<IpAddr>>,
    nodes: Mirror<Vec<Network>>,
    service_cidrs: Mirror<Vec<Network>>,
    /// The ranges of the cluster, if the operator says them and not its nodes and services.
    given_ranges: Vec<Network>,
}

/// Watches what matters, for ever. Nodes and services are of no interest where the operator gives the ranges.
pub(super) fn watch_all(client: &Client, ranges_are_given: bool) -> BoxStream<'static, News> {
    let config = Config::default().timeout(WATCH_SECONDS);
    let deployments = config.clone().labels(&format!("{KIND_LABEL}={DEPLOYMENT}"));
    let pods = watch_named(
        Api::<Pod>::all(client.clone()),
        config.clone(),
        full_name,
        PodFacts::of,
    );
    let namespaces = watch(
        Api::<Namespace>::all(client.clone()),
        deployments,
        client_of,
    );
    let mut watches = vec![
        pods.map(News::Pod).boxed(),
        namespaces.map(News::Deployment).boxed(),
    ];
    if !ranges_are_given {
        let nodes = Api::<Node>::all(client.clone());
        let service_cidrs = Api::<ServiceCIDR>::all(client.clone());
        let nodes = watch(nodes, config.clone(), ranges_of_node);
        let service_cidrs = watch(service_cidrs, config, ranges_of_services);
        watches.push(nodes.map(News::Node).boxed());
        watches.push(service_cidrs.map(News::ServiceCidr).boxed());
    }
    select_all(watches).boxed()
}

impl Seen {
    /// Nothing yet. Ranges that the operator gives are those of the cluster.
    pub(super) fn new(given_ranges: Vec<Network>) -> Self {
        Self {
            given_ranges,
            ..Self::default()
        }
    }

    /// Takes news in, and tells the log when an outage begins and ends.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Pod(change) => take(&mut self.pods, "pods", change),
            News::Deployment(change) => take(&mut self.deployments, "namespaces", change),
            News::Node(change) => take(&mut self.nodes, "nodes", change),
            News::ServiceCidr(change) => take(&mut self.service_cidrs, "service CIDRs", change),
        }
    }

    /// What the cluster says about devices, or why that is not known yet.
    pub(super) fn sets(&self) -> Result<Sets, String> {
        let pods = known(&self.pods, "pods")?;
        let deployments = known(&self.deployments, "namespaces")?;
        let name_servers = pods.values().filter(|pod| pod.is_name_server);
        Ok(Sets {
            reachable: pods
                .values()
                .flat_map(|pod| reachable(pod, deployments))
                .collect(),
            name_servers: name_servers
                .flat_map(|pod| pod.addresses.iter().copied())
                .collect(),
            cluster: self.ranges()?,
        })
    }

    /// Why something is not followed at the moment; what was known last counts meanwhile.
    pub(super) fn outage(&self) -> Option<String> {
        let told = |error: &Error, what: &str| {
            format!(
                "the cluster does not tell about its {what}: {}",
                words(error)
            )
        };
        let pods = self.pods.failure().map(|error| told(error, "pods"));
        let deployments = self.deployments.failure();
        let deployments = deployments.map(|error| told(error, "namespaces"));
        pods.or(deployments)
    }

    fn ranges(&self) -> Result<BTreeSet<Network>, String> {
        if !self.given_ranges.is_empty() {
            return Ok(self.given_ranges.iter().copied().collect());
        }
        let nodes = known(&self.nodes, "nodes")?;
        let mut ranges: BTreeSet<Network> = nodes.values().flatten().copied().collect();
        let service_cidrs = &self.service_cidrs;
        // Older clusters have no such objects. Their services' addresses are private all but always, and so out of reach anyway.
        let has_none = service_cidrs.failure().is_some_and(is_not_found);
        if service_cidrs.known().is_some() || !has_none {
            let service_cidrs = known(service_cidrs, "service CIDRs")?;
            ranges.extend(service_cidrs.values().flatten());
        }
        Ok(ranges)
    }
}

impl PodFacts {
    fn of(pod: &Pod) -> Self {
        let namespace = pod.namespace().unwrap_or_default();
        let label = pod.labels().get(NAMES_LABEL.0);
        Self {
            is_name_server: namespace == NAMES_NAMESPACE
                && label.is_some_and(|value| value == NAMES_LABEL.1),
            namespace,
            addresses: own_addresses(pod),
        }
    }
}

/// The addresses of a pod that are its alone: those of one in the node's network are the node's, those of one that has ended may have been
/// given to another.
fn own_addresses(pod: &Pod) -> Vec<IpAddr> {
    let in_network_of_node = pod.spec.as_ref().and_then(|spec| spec.host_network);
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if has_ended || in_network_of_node.unwrap_or_default() {
        return Vec::new();
    }
    let all = status.pod_ips.iter().flatten().map(|address| &address.ip);
    let addresses: BTreeSet<IpAddr> = all
        .chain(&status.pod_ip)
        .filter_map(|address| address.parse().ok())
        .collect();
    addresses.into_iter().collect()
}

/// The device of a deployment; none of one that is being taken down, because its address may have gone to another.
fn client_of(namespace: &Namespace) -> Option<IpAddr> {
    if namespace.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let label = namespace.labels().get(CLIENT_LABEL)?;
    // A label's value may hold no colon, so IPv6 addresses are written with `-` there.
    let address = label.parse().ok();
    address.or_else(|| label.replace('-', ":").parse().ok())
}

/// The ranges of a node's pods, and its own addresses.
fn ranges_of_node(node: &Node) -> Vec<Network> {
    let spec = node.spec.as_ref();
    let status = node.status.as_ref();
    let pods = spec.and_then(|spec| spec.pod_cidrs.as_ref());
    let pod = spec.and_then(|spec| spec.pod_cidr.as_ref());
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let addresses = addresses.into_iter().flatten();
    // Some of them are names.
    let texts = addresses.map(|address| &address.address);
    let texts = texts.chain(pods.into_iter().flatten()).chain(pod);
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn ranges_of_services(service_cidr: &ServiceCIDR) -> Vec<Network> {
    let ranges = service_cidr.spec.as_ref();
    let ranges = ranges.and_then(|spec| spec.cidrs.as_ref());
    let texts = ranges.into_iter().flatten();
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn reachable(
    pod: &PodFacts,
    deployments: &BTreeMap<String, Option<IpAddr>>,
) -> Vec<(IpAddr, IpAddr)> {
    let client = deployments.get(&pod.namespace).copied().flatten();
    let pairs = client.map(|client| pod.addresses.iter().map(move |address| (client, *address)));
    pairs.into_iter().flatten().collect()
}

fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn take<T>(mirror: &mut Mirror<T>, what: &str, change: Change<T>) {
    match mirror.take(change) {
        Turn::None => {}
        Turn::Fails => {
            let error = mirror.failure().map(words);
            tracing::warn!(
                what,
                error,
                "the cluster does not tell, another try follows; what was known counts"
            );
        }
        Turn::Recovers => tracing::info!(what, "the cluster tells again"),
    }
}

fn known<'a, T>(mirror: &'a Mirror<T>, what: &str) -> Result<&'a BTreeMap<String, T>, String> {
    mirror.known().ok_or_else(|| match mirror.failure() {
        Some(failure) => format!("the cluster does not list its {what}: {}", words(failure)),
        None => format!("the cluster has not listed its {what} yet"),
    })
}

fn status(failure: &Error) -> Option<&kube::core::Status> {
    match failure {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}

fn is_not_found(failure: &Error) -> bool {
    status(failure).is_some_and(|status| status.code == 404)
}

/// What the API server says itself, where it does; `kube` adds the whole answer to that.
fn words(failure: &Error) -> String {
    status(failure).map_or_else(|| failure.to_string(), |status| status.message.clone())
}

#[cfg(test)]
mod tests;
