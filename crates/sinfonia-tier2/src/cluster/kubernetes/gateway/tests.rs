use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::cluster::kubernetes::fake_api::FakeApi;

const NOW: i64 = 1_800_000_000;
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const NODES: &str = "/api/v1/nodes";
const NETWORKS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const SERVICES: &str = "/api/v1/namespaces/kube-system/services";

#[tokio::test(start_paused = true)]
async fn the_end_of_the_tunnel_comes_from_a_node_and_the_name_server() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);

    assert_eq!(cluster.known().await, facts(KEY, "203.0.113.7:51820"));
}

#[tokio::test(start_paused = true)]
async fn the_operator_may_say_where_the_tunnel_is_reached() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "192.168.0.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(Some("cloudlet.example:4500"));

    assert_eq!(cluster.known().await, facts(KEY, "cloudlet.example:4500"));
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_missing_is_told() {
    let mut cluster = Cluster::new();
    cluster.follow(None);

    assert_eq!(
        cluster.unknown("there is no").await,
        "the cluster has no nodes; there is no Service kube-dns in namespace kube-system"
    );
}

#[tokio::test(start_paused = true)]
async fn annotations_come_and_go() {
    let mut cluster = Cluster::new();
    cluster
        .api
        .put(NODES, json!({ "metadata": { "name": "a" } }));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.unknown("no node carries Kilo's annotations").await;

    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    assert_eq!(cluster.known().await, facts(KEY, "203.0.113.7:51820"));

    cluster
        .api
        .put(NODES, json!({ "metadata": { "name": "a" } }));
    cluster.unknown("no node carries Kilo's annotations").await;

    cluster
        .api
        .put(NODES, node("b", OTHER_KEY, "203.0.113.8:51820"));
    assert_eq!(cluster.known().await, facts(OTHER_KEY, "203.0.113.8:51820"));

    cluster.api.delete(NODES, "b");
    cluster.unknown("no node carries Kilo's annotations").await;
}

#[tokio::test(start_paused = true)]
async fn the_name_server_comes_and_goes() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.follow(None);
    cluster.unknown("there is no Service kube-dns").await;

    cluster.api.put(SERVICES, kube_dns());
    cluster.known().await;

    cluster.api.delete(SERVICES, "kube-dns");
    cluster.unknown("there is no Service kube-dns").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_new_list_lacks_is_not_chosen_any_more() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.known().await;

    cluster.api.delete_unseen(NODES, "a");

    cluster.unknown("the cluster has no nodes").await;
}

#[tokio::test(start_paused = true)]
async fn annotations_become_stale_without_anything_happening() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.known().await;

    cluster.time.store(NOW + 181, Ordering::Relaxed);

    assert_eq!(
        cluster.unknown("the annotations").await,
        "the annotations of Kilo are out of date, node a was last seen 181 s ago; does Kilo's agent run there?"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_known_last_counts_while_the_api_server_is_away() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.known().await;

    cluster.api.fail(NODES, Some(503));
    cluster.api.fail(SERVICES, Some(503));
    cluster.time.store(NOW + 179, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!cluster.facts.has_changed().unwrap());

    cluster.time.store(NOW + 200, Ordering::Relaxed);
    cluster
        .unknown("the annotations of Kilo are out of date")
        .await;

    cluster.api.fail(NODES, None);
    cluster.api.fail(SERVICES, None);
    let mut fresh = node("a", KEY, "203.0.113.7:51820");
    fresh["metadata"]["annotations"]["kilo.squat.ai/last-seen"] = json!((NOW + 199).to_string());
    cluster.api.put(NODES, fresh);
    cluster.known().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_to_list_is_told_and_asked_again() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.api.fail(NODES, Some(403));
    cluster.follow(None);
    cluster
        .unknown("the cluster does not list its nodes: no")
        .await;

    cluster.api.fail(NODES, None);

    cluster.known().await;
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_told_only_what_is_news() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.known().await;

    let mut again = node("a", KEY, "203.0.113.7:51820");
    again["metadata"]["annotations"]["kilo.squat.ai/last-seen"] = json!((NOW + 30).to_string());
    cluster.api.put(NODES, again);
    tokio::time::sleep(ROUND * 3).await;

    assert!(!cluster.facts.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_network_around_is_the_same_whichever_of_two_leaders_was_seen_last() {
    let mut cluster = Cluster::new();
    let leader = |name: &str, address: &str, seen: i64| {
        let mut node = placed(name, KEY, address, "10.42.0.0/24");
        let annotations = &mut node["metadata"]["annotations"];
        annotations["kilo.squat.ai/endpoint"] = json!(format!("{name}.example:51820"));
        annotations["kilo.squat.ai/last-seen"] = json!((NOW + seen).to_string());
        node
    };
    cluster.api.put(NODES, leader("a", "192.0.2.7", 1));
    cluster.api.put(NODES, leader("b", "192.0.2.8", 0));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    let before = cluster.known().await.endpoint;
    cluster.surroundings.mark_unchanged();

    cluster.api.put(NODES, leader("b", "192.0.2.8", 2));
    let after = cluster
        .until(|facts| facts.as_ref().is_ok_and(|facts| facts.endpoint != before))
        .await;

    assert_eq!(after.unwrap().endpoint.to_string(), "b.example:51820");
    assert!(!cluster.surroundings.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_networks_around_are_those_that_the_cluster_tells() {
    let mut cluster = Cluster::new();
    let first = placed("a", KEY, "192.0.2.7", "10.42.0.0/24");
    cluster.api.put(NODES, first);
    cluster.api.put(SERVICES, kube_dns());
    cluster.api.put(NETWORKS, services("10.43.0.0/16"));
    cluster.follow_with(asking());
    cluster.known().await;
    assert_eq!(
        cluster.around(&["10.42.0.0/24"], &[]),
        cluster.told_around()
    );

    let mut second = placed("b", KEY, "192.0.2.8", "10.42.1.0/24");
    second["metadata"]["annotations"] = json!({});
    cluster.api.put(NODES, second);

    // Neighbours are one network, and the gateway's traffic may be masqueraded on its way to the other node.
    let gateway = ["10.4.0.1", "192.0.2.7"];
    let expected = Some(cluster.around(&["10.42.0.0/23", "192.0.2.8/32"], &gateway));
    let told = cluster.surroundings.wait_for(|told| *told == expected);
    timeout(Duration::from_secs(120), told)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_the_tunnel_before_the_networks_are_known() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.api.fail(NETWORKS, Some(404));
    cluster.follow_with(asking());
    let unlisted = cluster.unknown("the cluster does not list its").await;
    assert_eq!(
        unlisted,
        "the cluster does not list its ServiceCIDRs: no, name its networks with --cluster-cidrs"
    );

    cluster.api.fail(NETWORKS, None);
    cluster.unknown("the cluster has no ServiceCIDR").await;
    cluster.api.put(NETWORKS, services("10.43.0.0/16"));
    cluster
        .unknown("no node of the cluster has a podCIDR")
        .await;
    assert_eq!(*cluster.surroundings.borrow(), None);

    let placed = placed("a", KEY, "192.0.2.7", "10.42.0.0/24");
    cluster.api.put(NODES, placed);
    cluster.known().await;
}

#[tokio::test(start_paused = true)]
async fn the_networks_around_are_remembered_while_the_gateway_is_gone() {
    let mut cluster = Cluster::new();
    cluster.api.put(NODES, node("a", KEY, "203.0.113.7:51820"));
    cluster.api.put(SERVICES, kube_dns());
    cluster.follow(None);
    cluster.known().await;
    let before = cluster.told_around();

    cluster.api.delete(NODES, "a");
    cluster.unknown("the cluster has no nodes").await;

    assert_eq!(cluster.told_around(), before);
}

#[rstest]
#[case::headless(json!({ "clusterIP": "None", "clusterIPs": ["None"] }), None)]
#[case::not_given_yet(json!({}), None)]
#[case::one(json!({ "clusterIP": "10.43.0.10" }), Some("10.43.0.10"))]
#[case::both_families(json!({ "clusterIP": "fd00::a", "clusterIPs": ["fd00::a", "10.43.0.10"] }), Some("10.43.0.10"))]
#[case::the_other_family(json!({ "clusterIP": "fd00::a", "clusterIPs": ["fd00::a"] }), Some("fd00::a"))]
fn the_name_server_is_the_cluster_ip_of_kube_dns(
    #[case] spec: Value,
    #[case] expected: Option<&str>,
) {
    let service: Service = serde_json::from_value(json!({ "spec": spec })).unwrap();

    let name_server = name_server(Some(&cluster_ips(&service)), &settings(None));

    let missing = || "Service kube-dns in namespace kube-system has no ClusterIP".to_owned();
    let expected = expected.map(|address| address.parse().unwrap());
    assert_eq!(name_server, expected.ok_or_else(missing));
}

/// A cluster, and somebody who listens to what is known of its tunnel.
struct Cluster {
    api: FakeApi,
    time: Arc<AtomicI64>,
    told: Option<Told>,
    facts: watch::Receiver<Result<TunnelFacts, String>>,
    surroundings: watch::Receiver<Option<Surroundings>>,
    task: Option<JoinHandle<()>>,
}

impl Cluster {
    fn new() -> Self {
        let (facts_sender, facts) = watch::channel(Err("starting".to_owned()));
        let (surroundings_sender, surroundings) = watch::channel(None);
        let told = Told {
            facts: facts_sender,
            surroundings: surroundings_sender,
        };
        Self {
            api: FakeApi::default(),
            time: Arc::new(AtomicI64::new(NOW)),
            told: Some(told),
            facts,
            surroundings,
            task: None,
        }
    }

    fn follow(&mut self, endpoint: Option<&str>) {
        self.follow_with(settings(endpoint));
    }

    fn follow_with(&mut self, settings: GatewaySettings) {
        let time = Arc::clone(&self.time);
        let clock =
            Clock::of(move || Timestamp::from_second(time.load(Ordering::Relaxed)).unwrap());
        let told = self.told.take().unwrap();
        let following = follow(self.api.client(), settings, clock, told);
        self.task = Some(tokio::spawn(following));
    }

    fn told_around(&self) -> Surroundings {
        self.surroundings.borrow().clone().unwrap()
    }

    /// A cluster around with the gateway of [`placed`], and these networks besides.
    fn around(&self, more: &[&str], gateway: &[&str]) -> Surroundings {
        let usual = ["10.43.0.0/16", "10.4.0.0/16", "192.0.2.7/32"];
        let networks = usual.iter().chain(more);
        let networks: Vec<_> = networks.map(|network| network.parse().unwrap()).collect();
        let gateway = NodePlace {
            addresses: gateway
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
            ..NodePlace::default()
        };
        Surroundings::new(
            &networks,
            "10.5.0.0/16".parse().unwrap(),
            [&gateway, &gateway],
            [&gateway],
            &[[10, 43, 0, 10].into()],
        )
    }

    async fn known(&mut self) -> TunnelFacts {
        self.until(Result::is_ok).await.unwrap()
    }

    /// Waits for a reason that holds this text.
    async fn unknown(&mut self, text: &str) -> String {
        let fits =
            |facts: &Result<_, String>| facts.as_ref().is_err_and(|reason| reason.contains(text));
        self.until(fits).await.unwrap_err()
    }

    async fn until(
        &mut self,
        fits: impl FnMut(&Result<TunnelFacts, String>) -> bool,
    ) -> Result<TunnelFacts, String> {
        let waiting = timeout(Duration::from_secs(120), self.facts.wait_for(fits));
        waiting.await.unwrap().unwrap().clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn settings(endpoint: Option<&str>) -> GatewaySettings {
    GatewaySettings {
        endpoint: endpoint.map(|endpoint| endpoint.parse().unwrap()),
        client_network: "10.5.0.0/16".parse().unwrap(),
        cluster_networks: Some(vec!["10.43.0.0/16".parse().unwrap()]),
    }
}

/// An operator who leaves it to the cluster to tell its networks.
fn asking() -> GatewaySettings {
    GatewaySettings {
        cluster_networks: None,
        ..settings(None)
    }
}

fn placed(name: &str, key: &str, address: &str, pods: &str) -> Value {
    let mut node = node(name, key, "203.0.113.7:51820");
    node["spec"] = json!({ "podCIDR": pods, "podCIDRs": [pods] });
    node["status"] = json!({ "addresses": [
        { "type": "Hostname", "address": name },
        { "type": "InternalIP", "address": address },
    ]});
    node
}

fn services(cidr: &str) -> Value {
    json!({ "metadata": { "name": "kubernetes" }, "spec": { "cidrs": [cidr] } })
}

fn node(name: &str, key: &str, endpoint: &str) -> Value {
    json!({ "metadata": { "name": name, "annotations": {
        "kilo.squat.ai/key": key,
        "kilo.squat.ai/endpoint": endpoint,
        "kilo.squat.ai/wireguard-ip": "10.4.0.1/16",
        "kilo.squat.ai/last-seen": NOW.to_string(),
    }}})
}

fn kube_dns() -> Value {
    json!({
        "metadata": { "name": "kube-dns", "namespace": "kube-system" },
        "spec": { "clusterIP": "10.43.0.10", "clusterIPs": ["10.43.0.10"] },
    })
}

fn facts(key: &str, endpoint: &str) -> TunnelFacts {
    TunnelFacts {
        public_key: key.parse().unwrap(),
        endpoint: endpoint.parse().unwrap(),
        allowed_ips: vec!["0.0.0.0/0".parse().unwrap()],
        name_server: [10, 43, 0, 10].into(),
        cluster_domain: "cluster.local".parse().unwrap(),
    }
}
