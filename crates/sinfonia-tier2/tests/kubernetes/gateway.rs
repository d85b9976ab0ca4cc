//! The cloudlet's end of the tunnel: what devices are told of it, and what is said while it is not known.

use std::time::SystemTime;

use serde_json::{Value, json};
use sinfonia_testbed::{
    Cluster, ControlPlane, KUBE_DNS_ADDRESS, NODE_ENDPOINT, NODE_NAME, NODE_PUBLIC_KEY, Programs,
    TestFolder, unique_name,
};

use crate::harness::{Cloudlet, OTHER, PLAIN, Tier2, eventually};

const OTHER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_ENDPOINT: &str = "203.0.113.8:51821";
const DNS_PATH: &str = "/api/v1/namespaces/kube-system/services/kube-dns";

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_told_kilos_key_and_endpoint_and_the_clusters_name_server() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;

    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;

    let name = deployment["DeploymentName"].as_str().unwrap();
    let record = cloudlet.record(1).unwrap();
    let expected = json!({
        "publicKey": NODE_PUBLIC_KEY,
        "allowedIPs": ["0.0.0.0/0"],
        "endpoint": NODE_ENDPOINT,
        "address": [record["status"]["tunnelAddress"]],
        "dns": [
            KUBE_DNS_ADDRESS,
            format!("{name}.svc.cluster.local"),
            "svc.cluster.local",
            "cluster.local",
        ],
    });
    assert_eq!(deployment["TunnelConfig"], expected);
    let peer = cloudlet.find_peer(name).unwrap();
    let address = record["status"]["tunnelAddress"].as_str().unwrap();
    assert_eq!(peer["spec"]["allowedIPs"], json!([format!("{address}/32")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_say_where_the_tunnel_is_reached() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&["--tunnel-endpoint", "tunnel.example.org:4500"])
        .await;

    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;

    let tunnel = &deployment["TunnelConfig"];
    assert_eq!(tunnel["endpoint"], "tunnel.example.org:4500");
    assert_eq!(tunnel["publicKey"], NODE_PUBLIC_KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_tunnel_moves_vanishes_and_comes_back() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("gateway");
    let mut plane = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();
    plane.abandon_node();
    let cluster = plane.cluster();
    let cloudlet = Cloudlet::alone_on(&cluster);
    let tier2 = cloudlet.tier2(&[]).await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    let name = deployment["DeploymentName"].as_str().unwrap();

    // Given a second node with newer annotations, then devices are told that one.
    write_node(&cluster, "other", &other(now() + 5));
    until_told(&tier2, OTHER_KEY, OTHER_ENDPOINT).await;

    // When it leads no longer, then the first one is told.
    annotate(
        &cluster,
        "other",
        &json!({"kilo.squat.ai/wireguard-ip": ""}),
    );
    until_told(&tier2, NODE_PUBLIC_KEY, NODE_ENDPOINT).await;

    // When nothing is left that can be used, then the reason is told and nothing is made up; what is there stays.
    annotate(
        &cluster,
        NODE_NAME,
        &json!({"kilo.squat.ai/key": "malformed"}),
    );
    until_missing(&tier2, "node testbed carries a wrong kilo.squat.ai/key").await;
    let stale = json!({"kilo.squat.ai/key": NODE_PUBLIC_KEY, "kilo.squat.ai/last-seen": (now() - 600).to_string()});
    annotate(&cluster, NODE_NAME, &stale);
    until_missing(&tier2, "the annotations of Kilo are out of date").await;
    annotate(
        &cluster,
        NODE_NAME,
        &json!({"kilo.squat.ai/endpoint": null}),
    );
    until_missing(&tier2, "no node carries Kilo's annotations").await;
    let service = cluster.get_json(DNS_PATH).unwrap();
    cluster.delete(DNS_PATH).unwrap();
    until_missing(&tier2, "no Service kube-dns in namespace kube-system").await;
    assert_eq!(tier2.delete(OTHER, 9).answer().await.status, 204);
    assert!(cloudlet.find_peer(name).is_some());
    assert_eq!(cloudlet.release(name).as_deref(), Some("deployed"));
    assert_eq!(cloudlet.records().len(), 1);

    // When the annotations are back, then the name server is still missing.
    let alive = json!({"kilo.squat.ai/endpoint": NODE_ENDPOINT, "kilo.squat.ai/last-seen": now().to_string()});
    annotate(&cluster, NODE_NAME, &alive);
    until_missing(
        &tier2,
        "there is no Service kube-dns in namespace kube-system",
    )
    .await;

    // When all is back, then it is as before.
    restore_dns(&cluster, &service);
    tier2.until_ready().await;
    let again = tier2.post(PLAIN, 1).wait(60).granted().await;
    assert_eq!(again["TunnelConfig"], deployment["TunnelConfig"]);
    tier2.post(OTHER, 2).wait(60).granted().await;
}

async fn until_told(tier2: &Tier2, key: &str, endpoint: &str) {
    eventually(async || {
        let tunnel = tier2.get(PLAIN, 1).granted().await["TunnelConfig"].take();
        // Both of one node, always.
        assert!(
            [
                (OTHER_KEY, OTHER_ENDPOINT),
                (NODE_PUBLIC_KEY, NODE_ENDPOINT)
            ]
            .contains(&(
                tunnel["publicKey"].as_str().unwrap(),
                tunnel["endpoint"].as_str().unwrap()
            )),
            "{tunnel}"
        );
        let told = tunnel["publicKey"] == key && tunnel["endpoint"] == endpoint;
        told.then_some(()).ok_or(tunnel.to_string())
    })
    .await;
}

/// Waits until `/readyz` says what is missing; then requests are told the same.
async fn until_missing(tier2: &Tier2, reason: &str) {
    eventually(async || {
        let ready = tier2.readiness().await;
        let named = ready.status == 503 && ready.body["missing"].to_string().contains(reason);
        named.then_some(()).ok_or(format!("{ready:?}"))
    })
    .await;
    let asked = tier2.post(OTHER, 2).answer().await;
    assert_eq!(asked.status, 503, "{asked:?}");
    assert!(asked.detail().contains(reason), "{asked:?}");
    assert!(asked.headers.contains_key("retry-after"));
    let read = tier2.get(PLAIN, 1).answer().await;
    assert_eq!(read.status, 503, "{read:?}");
    assert!(read.body.get("TunnelConfig").is_none());
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn other(last_seen: u64) -> Value {
    json!({
        "kilo.squat.ai/key": OTHER_KEY,
        "kilo.squat.ai/endpoint": OTHER_ENDPOINT,
        "kilo.squat.ai/wireguard-ip": "10.4.0.2/16",
        "kilo.squat.ai/last-seen": last_seen.to_string(),
    })
}

fn write_node(cluster: &Cluster, name: &str, annotations: &Value) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": annotations},
    });
    cluster.create("/api/v1/nodes", &node).unwrap();
}

fn annotate(cluster: &Cluster, node: &str, annotations: &Value) {
    let patch = json!({"metadata": {"annotations": annotations}});
    let path = format!("/api/v1/nodes/{node}");
    cluster.patch(&path, &patch).unwrap();
}

fn restore_dns(cluster: &Cluster, service: &Value) {
    let spec = &service["spec"];
    let service = json!({
        "metadata": {"name": "kube-dns"},
        "spec": {"clusterIP": spec["clusterIP"], "selector": spec["selector"], "ports": spec["ports"]},
    });
    let path = "/api/v1/namespaces/kube-system/services";
    cluster.create(path, &service).unwrap();
}
