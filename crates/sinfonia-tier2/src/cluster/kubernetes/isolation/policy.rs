//! Whom a deployment's pods talk to.
//!
//! Policies are enforced on the addresses of pods, where a Service's address has become one of its pods'. Answers need no rule. Whatever a
//! policy says, a pod and the node that it runs on reach each other: <https://kubernetes.io/docs/concepts/services-networking/network-policies/>.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};
use sinfonia_core::network::Network;

use super::surroundings::Surroundings;

/// The label of the cluster's name servers, as every distribution has it.
const NAME_SERVERS: (&str, &str) = ("k8s-app", "kube-dns");
/// The Namespace of the cluster's name servers, by the label that each Namespace has with its name.
const NAME_SERVERS_NAMESPACE: (&str, &str) = ("kubernetes.io/metadata.name", "kube-system");
const DNS_PORT: u16 = 53;

/// The NetworkPolicy of the deployment of the device with this address: for all pods, in both directions.
pub(super) fn spec(surroundings: &Surroundings, client: IpAddr) -> Value {
    let own = json!({"podSelector": {}});
    let client = block(client);
    // The policy of a device whose traffic comes masqueraded cannot tell it from others of the same node.
    let gateways = surroundings.gateways.iter().copied().map(block);
    let mut from = vec![client.clone(), own.clone()];
    from.extend(gateways);
    json!({
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": from}],
        "egress": egress(surroundings, &[own, client]),
    })
}

fn egress(surroundings: &Surroundings, inside: &[Value]) -> Vec<Value> {
    let mut rules = vec![json!({"to": inside}), name_servers(surroundings)];
    let internet = internet(&surroundings.forbidden);
    // A rule without anybody would let all through.
    if !internet.is_empty() {
        rules.push(json!({"to": internet}));
    }
    rules
}

/// The cluster's name servers. Where a cache of the node answers at the Service's address, no pod's address ever takes its place.
fn name_servers(surroundings: &Surroundings) -> Value {
    let ((key, value), (namespace_key, namespace)) = (NAME_SERVERS, NAME_SERVERS_NAMESPACE);
    let mut to = vec![json!({
        "namespaceSelector": {"matchLabels": {namespace_key: namespace}},
        "podSelector": {"matchLabels": {key: value}},
    })];
    to.extend(surroundings.name_servers.iter().copied().map(block));
    let port = |protocol| json!({"protocol": protocol, "port": DNS_PORT});
    json!({"to": to, "ports": [port("UDP"), port("TCP")]})
}

/// Everything that is not forbidden, of each family.
fn internet(forbidden: &[IpNet]) -> Vec<Value> {
    let families = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let all_but = |all: IpNet| {
        let except: Vec<_> = forbidden.iter().filter(|net| all.contains(*net)).collect();
        // The API server takes no exception that leaves nothing.
        (!except.contains(&&all)).then(|| json!({"ipBlock": {"cidr": all, "except": except}}))
    };
    families.into_iter().filter_map(all_but).collect()
}

fn block(address: IpAddr) -> Value {
    json!({"ipBlock": {"cidr": Network::host(address)}})
}

#[cfg(test)]
mod tests;
