//! The network around the deployments, as the cluster tells it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::ResourceExt;
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::Interface;

/// Annotation with a node's address in the WireGuard network, and that network.
const WIREGUARD_IP: &str = "kilo.squat.ai/wireguard-ip";
/// Annotation with the address under which other nodes know a node.
const INTERNAL_IP: &str = "kilo.squat.ai/internal-ip";
/// Kinds of addresses of a node that are no names.
const ADDRESS_KINDS: [&str; 2] = ["InternalIP", "ExternalIP"];

/// Where nobody has business to be, whatever the cluster: the link itself, with what clouds tell about a machine at addresses of it.
const LINK_LOCAL: [IpNet; 3] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        10,
    )),
    // The one cloud that tells it at another address, where there is IPv6.
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        128,
    )),
];

/// The network around the deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Surroundings {
    /// What no deployment reaches: the cluster's own networks and nodes, all devices, and the link. No network lies in another.
    pub(super) forbidden: Vec<IpNet>,
    /// The addresses of the cluster's name server.
    pub(super) name_servers: BTreeSet<IpAddr>,
    /// The addresses that the devices' traffic may bear on its way to another node than the one where their tunnels end.
    pub(super) gateways: BTreeSet<IpAddr>,
}

/// Where a node is in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct NodePlace {
    /// Its own addresses.
    pub(in super::super) addresses: BTreeSet<IpAddr>,
    /// The networks of its pods.
    pub(in super::super) pods: Vec<Network>,
    /// The WireGuard network between the nodes.
    pub(in super::super) mesh: Option<Network>,
}

impl Surroundings {
    /// The surroundings in a cluster of these nodes, with these networks of its own; the gateways' addresses count where there is another
    /// node.
    pub(in super::super) fn new<'a>(
        cluster: &[Network],
        client_network: Network,
        nodes: impl IntoIterator<Item = &'a NodePlace>,
        gateways: impl IntoIterator<Item = &'a NodePlace>,
        name_servers: &[IpAddr],
    ) -> Self {
        let nodes: Vec<_> = nodes.into_iter().collect();
        let of_nodes = nodes.iter().flat_map(|node| node.networks());
        let own = cluster.iter().chain([&client_network]).copied();
        let own = own.chain(of_nodes).map(|network| network.as_ipnet());
        let forbidden = own.chain(LINK_LOCAL).collect();
        let is_alone = nodes.len() < 2;
        let gateways = gateways.into_iter().filter(|_| !is_alone);
        Self {
            forbidden: IpNet::aggregate(&forbidden),
            name_servers: name_servers.iter().copied().collect(),
            gateways: gateways
                .flat_map(|gateway| gateway.addresses.iter().copied())
                .collect(),
        }
    }
}

impl NodePlace {
    /// Where a node says that it is. What cannot be read is passed over: it is not for its like to decide whether there are deployments.
    pub(in super::super) fn of(node: &Node) -> Self {
        let told = node.status.iter().flat_map(|status| &status.addresses);
        let told = told
            .flatten()
            .filter(|address| ADDRESS_KINDS.contains(&address.type_.as_str()))
            .filter_map(|address| address.address.parse().ok());
        let interface = |annotation: &str| -> Option<Interface> {
            node.annotations().get(annotation)?.parse().ok()
        };
        let (internal, mesh) = (interface(INTERNAL_IP), interface(WIREGUARD_IP));
        let of_kilo = internal.iter().chain(&mesh).map(Interface::address);
        let spec = node.spec.as_ref();
        let first = spec.and_then(|spec| spec.pod_cidr.as_ref());
        let all = spec.and_then(|spec| spec.pod_cidrs.as_ref());
        let pods = all
            .into_iter()
            .flatten()
            .chain(first.filter(|_| all.is_none()));
        Self {
            addresses: told.chain(of_kilo).collect(),
            pods: pods.filter_map(|network| network.parse().ok()).collect(),
            mesh: mesh.and_then(|mesh| mesh.to_string().parse().ok()),
        }
    }

    /// The networks that are the cluster's because of this node.
    fn networks(&self) -> impl Iterator<Item = Network> {
        let addresses = self.addresses.iter().copied().map(Network::host);
        addresses.chain(self.pods.iter().copied()).chain(self.mesh)
    }
}

/// The networks of Services that an object names.
pub(in super::super) fn networks_of(services: &ServiceCIDR) -> Vec<Network> {
    let cidrs = services.spec.iter().flat_map(|spec| &spec.cidrs).flatten();
    cidrs.filter_map(|network| network.parse().ok()).collect()
}
