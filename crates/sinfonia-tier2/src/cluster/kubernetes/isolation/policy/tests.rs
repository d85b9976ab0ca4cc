//! A table of connections with the verdict that the policy gives each. Nothing here can enforce a NetworkPolicy, so what enforcers do is done
//! by a few lines: <https://kubernetes.io/docs/concepts/services-networking/network-policies/>.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::cluster::kubernetes::isolation::NodePlace;

/// The Namespace of the deployment.
const HOME: &str = "brave-otter-x7k2p";
/// The device's addresses, in one network and the other.
const CLIENT: &str = "10.5.17.4";
const CLIENT_V6: &str = "fd00:5::1704";

/// Which way a connection goes, as the deployment's pod sees it.
#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
}

/// The other end of a connection.
struct Other {
    address: IpAddr,
    /// Namespace and labels, if it is a pod.
    pod: Option<(&'static str, BTreeMap<&'static str, &'static str>)>,
}

use Way::{In, Out};

#[rstest]
#[case::the_device(In, address(CLIENT), Tcp(80), true)]
#[case::another_device(In, address("10.5.17.5"), Tcp(80), false)]
#[case::its_own_pod(In, pod(HOME, "10.42.0.7"), Tcp(80), true)]
#[case::a_pod_of_another_deployment(In, pod("calm-heron-abcde", "10.42.0.8"), Tcp(80), false)]
#[case::a_name_server(In, kube_dns(), Tcp(80), false)]
#[case::a_node(In, address("192.0.2.8"), Tcp(80), false)]
#[case::somebody_on_the_internet(In, address("198.51.100.7"), Tcp(80), false)]
#[case::to_the_device(Out, address(CLIENT), Tcp(9000), true)]
#[case::to_another_device(Out, address("10.5.17.5"), Tcp(80), false)]
#[case::to_its_own_pod(Out, pod(HOME, "10.42.0.7"), Tcp(5432), true)]
#[case::to_a_pod_of_another_deployment(Out, pod("calm-heron-abcde", "10.42.0.8"), Tcp(80), false)]
#[case::to_the_api_servers_service(Out, address("10.43.0.1"), Tcp(443), false)]
#[case::to_any_service(Out, address("10.43.99.1"), Tcp(80), false)]
#[case::to_a_kubelet(Out, address("192.0.2.7"), Tcp(10250), false)]
#[case::to_the_api_server_on_a_node(Out, address("192.0.2.7"), Tcp(6443), false)]
#[case::to_a_node_by_its_public_address(Out, address("203.0.113.7"), Tcp(22), false)]
#[case::to_a_node_through_the_mesh(Out, address("10.4.0.2"), Tcp(10250), false)]
#[case::to_a_node_through_its_bridge(Out, address("10.42.0.1"), Tcp(10250), false)]
#[case::to_the_clouds_metadata(Out, address("169.254.169.254"), Tcp(80), false)]
#[case::to_the_name_server(Out, kube_dns(), Udp(53), true)]
#[case::to_the_name_server_by_tcp(Out, kube_dns(), Tcp(53), true)]
#[case::to_the_nodes_cache_of_names(Out, address("10.43.0.10"), Udp(53), true)]
#[case::to_the_name_servers_metrics(Out, kube_dns(), Tcp(9153), false)]
#[case::to_who_pretends_to_be_a_name_server(Out, pretender(), Udp(53), false)]
#[case::to_the_internet(Out, address("1.1.1.1"), Tcp(443), true)]
#[case::to_the_internet_by_udp(Out, address("1.1.1.1"), Udp(53), true)]
#[case::to_the_house_behind_the_node(Out, address("192.168.1.10"), Tcp(80), true)]
fn a_policy_of_ipv4_says(
    #[case] way: Way,
    #[case] other: Other,
    #[case] port: Port,
    #[case] expected: bool,
) {
    for nodes in [1, 2] {
        assert_eq!(verdict(&policy(CLIENT, nodes), way, &other, port), expected);
    }
}

#[rstest]
#[case::a_pod(pod("monitoring", "10.42.1.9"), Tcp(9090))]
#[case::a_kubelet(address("192.0.2.8"), Tcp(10250))]
fn what_is_on_another_node_is_out_of_reach_as_soon_as_that_is_there(
    #[case] other: Other,
    #[case] port: Port,
) {
    assert!(verdict(&policy(CLIENT, 1), Out, &other, port));
    assert!(!verdict(&policy(CLIENT, 2), Out, &other, port));
}

#[rstest]
#[case::the_device(In, address(CLIENT_V6), Tcp(80), true)]
#[case::another_device(In, address("fd00:5::1705"), Tcp(80), false)]
#[case::its_own_pod(In, pod(HOME, "fd00:42::7"), Tcp(80), true)]
#[case::somebody_on_the_internet(In, address("2001:4860::8888"), Tcp(80), false)]
#[case::to_the_device(Out, address(CLIENT_V6), Tcp(9000), true)]
#[case::to_another_device(Out, address("fd00:5::1705"), Tcp(80), false)]
#[case::to_a_pod_of_another_deployment(Out, pod("calm-heron-abcde", "fd00:42::8"), Tcp(80), false)]
#[case::to_a_service(Out, address("fd00:43::1"), Tcp(443), false)]
#[case::to_a_node(Out, address("2001:db8::7"), Tcp(10250), false)]
#[case::to_a_neighbour_on_the_link(Out, address("fe80::1"), Tcp(80), false)]
#[case::to_the_clouds_metadata(Out, address("fd00:ec2::254"), Tcp(80), false)]
#[case::to_the_internet(Out, address("2606:4700::1111"), Tcp(443), true)]
#[case::to_the_internet_of_ipv4(Out, address("1.1.1.1"), Tcp(443), true)]
#[case::to_a_device_of_ipv4(Out, address("169.254.169.254"), Tcp(80), false)]
fn a_policy_of_ipv6_says(
    #[case] way: Way,
    #[case] other: Other,
    #[case] port: Port,
    #[case] expected: bool,
) {
    for nodes in [1, 2] {
        assert_eq!(
            verdict(&policy(CLIENT_V6, nodes), way, &other, port),
            expected
        );
    }
}

#[rstest]
#[case::within_the_mesh("10.4.0.1")]
#[case::on_the_wire("192.0.2.7")]
fn a_device_may_seem_to_be_the_gateway_where_there_are_more_nodes(#[case] masqueraded: &str) {
    let comes_in = |nodes| verdict(&policy(CLIENT, nodes), In, &address(masqueraded), Tcp(80));

    assert!(!comes_in(1));
    assert!(comes_in(2));
}

#[test]
fn exceptions_lie_within_their_block_and_leave_something() {
    for everything in [&["0.0.0.0/0"][..], &["0.0.0.0/1", "128.0.0.0/1"], &[]] {
        let networks: Vec<_> = everything
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let spec = spec(&surroundings(&networks, 2), CLIENT.parse().unwrap());

        let blocks = blocks(&spec);
        assert_eq!(blocks.len(), if everything.is_empty() { 2 } else { 1 });
        for (cidr, except) in blocks {
            assert!(!except.is_empty());
            for inside in except {
                assert!(cidr.contains(&inside) && cidr != inside, "{cidr} {inside}");
            }
        }
    }
}

/// A protocol and a port.
#[derive(Debug, Clone, Copy)]
enum Port {
    Tcp(u16),
    Udp(u16),
}

use Port::{Tcp, Udp};

/// Whether a policy lets a connection through: one of its rules has to.
fn verdict(spec: &Value, way: Way, other: &Other, port: Port) -> bool {
    let (rules, ends) = match way {
        In => ("ingress", "from"),
        Out => ("egress", "to"),
    };
    let rules = spec[rules].as_array().unwrap();
    rules.iter().any(|rule| {
        let ends = rule[ends].as_array();
        let ports = rule["ports"].as_array();
        // Without ends, or ports, a rule is for all.
        ends.is_none_or(|ends| ends.is_empty() || ends.iter().any(|end| is_meant(end, other)))
            && ports.is_none_or(|ports| ports.iter().any(|allowed| is_port(allowed, port)))
    })
}

fn is_meant(end: &Value, other: &Other) -> bool {
    if let Some(block) = end.get("ipBlock") {
        let (cidr, except) = ip_block(block);
        let is_excepted = except.iter().any(|net| net.contains(&other.address));
        return cidr.contains(&other.address) && !is_excepted;
    }
    let Some((namespace, labels)) = &other.pod else {
        return false;
    };
    let is_namespace = match end.get("namespaceSelector") {
        None => *namespace == HOME,
        Some(selector) => selects(
            selector,
            &BTreeMap::from([("kubernetes.io/metadata.name", *namespace)]),
        ),
    };
    is_namespace
        && end
            .get("podSelector")
            .is_none_or(|pod| selects(pod, labels))
}

fn selects(selector: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    let wanted = selector["matchLabels"].as_object();
    let mut wanted = wanted.into_iter().flatten();
    wanted.all(|(key, value)| labels.get(key.as_str()).copied() == value.as_str())
}

fn is_port(allowed: &Value, port: Port) -> bool {
    let (protocol, port) = match port {
        Tcp(port) => ("TCP", port),
        Udp(port) => ("UDP", port),
    };
    allowed["protocol"] == protocol && allowed["port"] == port
}

fn ip_block(block: &Value) -> (IpNet, Vec<IpNet>) {
    let net = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let except = block["except"].as_array();
    (
        net(&block["cidr"]),
        except.into_iter().flatten().map(net).collect(),
    )
}

/// The blocks with exceptions that a policy lets out to.
fn blocks(spec: &Value) -> Vec<(IpNet, Vec<IpNet>)> {
    let rules = spec["egress"].as_array().unwrap();
    let ends = rules.iter().flat_map(|rule| rule["to"].as_array().unwrap());
    let blocks = ends.filter_map(|end| end.get("ipBlock"));
    blocks
        .map(ip_block)
        .filter(|(cidr, _)| cidr.prefix_len() == 0)
        .collect()
}

fn policy(client: &str, nodes: usize) -> Value {
    let networks = [
        "10.43.0.0/16",
        "fd00:43::/112",
        "fd00:42::/48",
        "fd00:5::/64",
    ];
    let networks = networks.map(|network| network.parse().unwrap());
    spec(&surroundings(&networks, nodes), client.parse().unwrap())
}

/// A cluster of one node, or with another one.
fn surroundings(networks: &[Network], nodes: usize) -> Surroundings {
    let first = node(
        &["192.0.2.7", "203.0.113.7", "2001:db8::7"],
        "10.4.0.1/16",
        "10.42.0.0/24",
    );
    let second = node(&["192.0.2.8"], "", "10.42.1.0/24");
    Surroundings::new(
        networks,
        "10.5.0.0/16".parse().unwrap(),
        [&first, &second].into_iter().take(nodes),
        [&first],
        &["10.43.0.10".parse().unwrap()],
    )
}

fn node(addresses: &[&str], mesh: &str, pods: &str) -> NodePlace {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| json!({"type": "InternalIP", "address": address}))
        .collect();
    let node = json!({
        "metadata": {"name": "a", "annotations": {"kilo.squat.ai/wireguard-ip": mesh}},
        "spec": {"podCIDR": pods},
        "status": {"addresses": addresses},
    });
    NodePlace::of(&serde_json::from_value(node).unwrap())
}

fn address(text: &str) -> Other {
    Other {
        address: text.parse().unwrap(),
        pod: None,
    }
}

fn pod(namespace: &'static str, address: &str) -> Other {
    Other {
        pod: Some((namespace, BTreeMap::from([("app", "web")]))),
        ..self::address(address)
    }
}

fn kube_dns() -> Other {
    Other {
        pod: Some(("kube-system", BTreeMap::from([("k8s-app", "kube-dns")]))),
        ..address("10.42.0.2")
    }
}

/// A pod of another deployment that has the name servers' label.
fn pretender() -> Other {
    Other {
        pod: Some((
            "calm-heron-abcde",
            BTreeMap::from([("k8s-app", "kube-dns")]),
        )),
        ..address("10.42.0.9")
    }
}
