//! The table of nftables as text, and the change from one state of it to the next. Pure.
//!
//! Packets of devices are judged one by one, not by connection: what a device sends has to be for a pod that is its own now. A connection to
//! a pod that has gone ends with it, and does not go on with whoever gets the pod's address next.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;

use ipnet::IpNet;
use sinfonia_core::network::Network;

use super::ranges::{NOT_GLOBAL_IPV4, NOT_GLOBAL_IPV6};
use crate::settings::{ClientEgress, InterfaceName};

/// Takes the table away, be it there or not.
pub(super) const REMOVAL: &str = "table inet sinfonia\ndelete table inet sinfonia\n";

/// The sets of the table.
const SETS: [&str; 3] = ["reachable", "name_servers", "cluster"];

/// What the operator says about devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The network of their addresses.
    pub(crate) client_network: Network,
    /// What they reach beyond the cluster.
    pub(crate) egress: ClientEgress,
    /// The interface by which they come.
    pub(crate) tunnel_interface: InterfaceName,
}

/// What the cluster says about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    /// Devices, each with the pods of its own deployments.
    pub(crate) reachable: BTreeSet<(IpAddr, IpAddr)>,
    /// The pods that answer name queries.
    pub(crate) name_servers: BTreeSet<IpAddr>,
    /// The ranges of the cluster itself.
    pub(crate) cluster: BTreeSet<Network>,
}

/// What is to be in force on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Desired {
    policy: Policy,
    sets: Sets,
}

/// What makes one table another, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The whole table, which takes the place of what is there of it.
    Whole(String),
    /// Elements that come into its sets and go from them.
    Elements(String),
}

/// The words of one family of addresses.
struct Family {
    header: &'static str,
    address: &'static str,
    not_global: &'static [&'static str],
}

const IPV4: Family = Family {
    header: "ip",
    address: "ipv4_addr",
    not_global: &NOT_GLOBAL_IPV4,
};
const IPV6: Family = Family {
    header: "ip6",
    address: "ipv6_addr",
    not_global: &NOT_GLOBAL_IPV6,
};

impl Desired {
    /// What the operator and the cluster say, as far as it is about devices: they have addresses of one family, and of one network.
    pub(crate) fn new(policy: Policy, mut sets: Sets) -> Self {
        let network = policy.client_network;
        let is_ipv4 = is_ipv4(network);
        sets.reachable
            .retain(|(client, pod)| network.contains(*client) && pod.is_ipv4() == is_ipv4);
        sets.name_servers
            .retain(|address| address.is_ipv4() == is_ipv4);
        sets.cluster
            .retain(|range| self::is_ipv4(*range) == is_ipv4);
        Self { policy, sets }
    }

    /// The most that can be said before the cluster was heard: devices reach nothing.
    pub(crate) fn nothing(policy: Policy) -> Self {
        Self::new(policy, Sets::default())
    }

    /// What the cluster says about devices.
    pub(crate) fn sets(&self) -> &Sets {
        &self.sets
    }

    const fn family(&self) -> Family {
        match self.policy.client_network.as_ipnet() {
            IpNet::V4(_) => IPV4,
            IpNet::V6(_) => IPV6,
        }
    }
}

/// The whole table. It takes the place of what is there of it, in one transaction.
///
/// Its hooks are new ones, which the kernel puts in place of the old ones one by one: a packet that is on its way just then may pass by
/// both. [`refilled`] keeps them.
pub(crate) fn rules(desired: &Desired) -> String {
    [REMOVAL, &table(desired)].concat()
}

/// The whole table, in the hooks of one that is there already or in new ones: each packet is judged by all of the old rules or by all of the
/// new ones. The kernel refuses it where what is there is of another kind, such as for addresses of the other family.
pub(crate) fn refilled(desired: &Desired) -> String {
    let nothing = Desired::nothing(desired.policy.clone());
    let removals = SETS.map(|set| format!("delete set inet sinfonia {set}\n"));
    [
        table(&nothing),
        "flush table inet sinfonia\n".to_owned(),
        removals.concat(),
        table(desired),
    ]
    .concat()
}

fn table(desired: &Desired) -> String {
    let family = desired.family();
    [
        "table inet sinfonia {\n".to_owned(),
        sets(desired, &family),
        hooks(desired.policy.client_network, &family),
        from_clients(&desired.policy, &family),
        to_clients(&family),
        to_node(),
        "}\n".to_owned(),
    ]
    .concat()
}

/// What makes the table of `old` that of `new`; `None` where it is that already.
pub(crate) fn update(old: &Desired, new: &Desired) -> Option<Change> {
    if old == new {
        return None;
    }
    // Ranges overlap and merge, so they are not changed one by one; they hardly ever change.
    if old.policy != new.policy || old.sets.cluster != new.sets.cluster {
        return Some(Change::Whole(rules(new)));
    }
    let pairs = |sets: &Sets| sets.reachable.iter().map(pair).collect();
    let addresses = |sets: &Sets| sets.name_servers.iter().map(IpAddr::to_string).collect();
    let script = [
        difference("reachable", &pairs(&old.sets), &pairs(&new.sets)),
        difference("name_servers", &addresses(&old.sets), &addresses(&new.sets)),
    ];
    Some(Change::Elements(script.concat()))
}

fn difference(set: &str, old: &BTreeSet<String>, new: &BTreeSet<String>) -> String {
    let command = |verb: &str, elements: Vec<&String>| match elements.is_empty() {
        true => String::new(),
        false => format!("{verb} element inet sinfonia {set} {}\n", list(elements)),
    };
    command("delete", old.difference(new).collect())
        + &command("add", new.difference(old).collect())
}

fn sets(desired: &Desired, family: &Family) -> String {
    let Sets {
        reachable,
        name_servers,
        cluster,
    } = &desired.sets;
    let address = family.address;
    let cluster: Vec<IpNet> = cluster.iter().map(Network::as_ipnet).collect();
    [
        set(
            "reachable",
            &format!("type {address} . {address}"),
            reachable.iter().map(pair),
        ),
        set("name_servers", &format!("type {address}"), name_servers),
        set(
            "cluster",
            &format!("type {address}; flags interval"),
            IpNet::aggregate(&cluster),
        ),
    ]
    .concat()
}

fn set(name: &str, properties: &str, elements: impl IntoIterator<Item = impl Display>) -> String {
    let elements: Vec<_> = elements.into_iter().collect();
    let elements = match elements.is_empty() {
        true => String::new(),
        false => format!("\n\t\telements = {}", list(elements)),
    };
    format!("\tset {name} {{\n\t\t{properties}{elements}\n\t}}\n")
}

/// What is of devices or for them leaves these chains for one of those below; all else is not our business.
fn hooks(network: Network, family: &Family) -> String {
    let header = family.header;
    format!(
        "\tchain forward {{
		type filter hook forward priority filter; policy accept;
		{header} saddr {network} goto from_clients
		{header} daddr {network} goto to_clients
	}}
	chain input {{
		type filter hook input priority filter; policy accept;
		{header} saddr {network} goto to_node
	}}
"
    )
}

/// What devices send through the node. Addresses of Services have become those of pods before this.
fn from_clients(policy: &Policy, family: &Family) -> String {
    let Policy {
        client_network,
        egress,
        tunnel_interface,
    } = policy;
    let Family {
        header, not_global, ..
    } = family;
    let not_global = list(*not_global);
    let beyond = match egress {
        ClientEgress::None => "\t\tcounter drop comment \"the internet\"\n",
        ClientEgress::Internet => "\t\taccept\n",
    };
    format!(
        "\tchain from_clients {{
		iifname != \"{tunnel_interface}\" fib saddr oifname \"{tunnel_interface}\" counter drop comment \"not through the tunnel\"
		{header} saddr . {header} daddr @reachable accept
		{header} daddr @name_servers meta l4proto {{ tcp, udp }} th dport 53 accept
		{header} daddr {client_network} counter drop comment \"other devices\"
		{header} daddr @cluster counter drop comment \"the cluster\"
		{header} daddr {not_global} counter drop comment \"private and special addresses\"
{beyond}	}}
"
    )
}

/// What is sent to devices through the node: by their own pods, and in answer to what they were let send.
fn to_clients(family: &Family) -> String {
    let header = family.header;
    format!(
        "\tchain to_clients {{
		{header} daddr . {header} saddr @reachable accept
		ct state established,related ct direction reply accept
		counter drop comment \"to devices, unasked\"
	}}
"
    )
}

/// What devices send to the node itself. It answers nobody, but may ask.
fn to_node() -> String {
    "\tchain to_node {
		ct state established,related ct direction reply accept
		counter drop comment \"the node\"
	}
"
    .to_owned()
}

fn pair((client, pod): &(IpAddr, IpAddr)) -> String {
    format!("{client} . {pod}")
}

fn list(elements: impl IntoIterator<Item = impl Display>) -> String {
    let elements: Vec<String> = elements
        .into_iter()
        .map(|element| element.to_string())
        .collect();
    format!("{{ {} }}", elements.join(", "))
}

const fn is_ipv4(network: Network) -> bool {
    matches!(network.as_ipnet(), IpNet::V4(_))
}

#[cfg(test)]
mod tests;
