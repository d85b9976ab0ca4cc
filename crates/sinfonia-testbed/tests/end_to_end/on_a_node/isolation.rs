//! What a device reaches through its tunnel, tried from inside: its own backend, and nothing else of the cloudlet.

use super::device::Device;
use super::edge::{Edge, NAMESPACE};
use crate::end_to_end::support::run;

/// Tries each address once, and tells which of them it could connect to.
const TRY: &str = r#"
told=$(mktemp -d)
number=100
for place in "$@"; do
  number=$((number + 1))
  (
    curl --silent --insecure --output /dev/null --max-time 3 "$place"
    # Not resolved, not connected, not in time: not reached.
    case $? in 6|7|28) echo "no $place" ;; *) echo "yes $place" ;; esac
  ) > "$told/$number" &
done
wait
cat "$told"/*
rm -r "$told"
"#;

#[tokio::test]
async fn a_device_reaches_its_own_backend_and_nothing_else_of_the_cloudlet() {
    let edge = Edge::hold().await;
    let other = Device::start(&edge, "other").await;
    let node = edge.node().machine().address();
    let pod = |namespace: &str, labels: &str| edge.pod_address(namespace, labels);
    let service = |namespace: &str, name: &str| edge.service_address(namespace, name);
    let other_pod = pod(other.deployment(), "app.kubernetes.io%2Fname%3Dhelloworld");
    let tier2 = pod(NAMESPACE, "app.kubernetes.io%2Fcomponent%3Dtier2");
    let name_server = pod("kube-system", "k8s-app%3Dkube-dns");
    let prometheus = service("monitoring", "kube-prometheus-stack-prometheus");
    let forbidden = [
        // The backend of another device: its Service and its Pod.
        format!("http://{}/", service(other.deployment(), "helloworld")),
        format!("http://{other_pod}:8080/"),
        // The node: API server, kubelet, its exporters, Tier 2's public port there.
        format!("https://{node}:6443/"),
        format!("https://{node}:10250/"),
        format!("http://{node}:9100/metrics"),
        format!("http://{node}:9586/metrics"),
        format!("http://{node}:30501/"),
        // The API server's Service, Tier 2 and its admin port, monitoring.
        "https://10.43.0.1/".to_owned(),
        format!("http://{}:5000/", service(NAMESPACE, "tier2-sinfonia")),
        format!("http://{tier2}:5001/metrics"),
        format!("http://{prometheus}:9090/"),
        format!("http://{name_server}:9153/metrics"),
    ];
    let own = "http://helloworld/";
    let places = [own]
        .into_iter()
        .chain(forbidden.iter().map(String::as_str));
    let deploy = ["deploy", "helloworld", "--", "sh", "-c", TRY, "try"];

    let tried = edge
        .tier3(
            "device",
            &deploy.into_iter().chain(places).collect::<Vec<_>>(),
        )
        .await;
    let mut on_the_node = edge.node().machine().in_network("sh");
    on_the_node.args(["-c", TRY, "try"]).args(&forbidden);
    let on_the_node = run(on_the_node).await;

    let told = |answer: &str| {
        forbidden
            .iter()
            .map(|place| format!("{answer} {place}\n"))
            .collect::<String>()
    };
    assert_eq!(on_the_node.stdout, told("yes"), "all of it is there");
    assert_eq!(
        tried.stdout,
        format!("yes {own}\n{}", told("no")),
        "{}",
        tried.stderr
    );
    edge.clean_up(other, &[]).await;
}
