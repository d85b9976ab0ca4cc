use kube::runtime::watcher::Event;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_device_reaches_the_running_pods_of_its_own_deployments() {
    let seen = seen(
        &[
            pod(
                "otter",
                "web",
                &json!({"podIPs": [{"ip": "10.42.0.7"}, {"ip": "fd00:42::7"}]}),
            ),
            pod(
                "heron",
                "web",
                &json!({"podIP": "10.42.0.8", "phase": "Running"}),
            ),
            pod("monitoring", "prometheus", &json!({"podIP": "10.42.0.9"})),
        ],
        &[
            namespace("otter", "10.5.0.2"),
            namespace("heron", "10.5.0.3"),
        ],
    );

    let expected = [
        ("10.5.0.2", "10.42.0.7"),
        ("10.5.0.2", "fd00:42::7"),
        ("10.5.0.3", "10.42.0.8"),
    ];
    assert_eq!(seen.sets().unwrap().reachable, pairs(&expected));
}

#[rstest]
#[case::that_has_succeeded(json!({"status": {"podIP": "10.42.0.7", "phase": "Succeeded"}}))]
#[case::that_has_failed(json!({"status": {"podIP": "10.42.0.7", "phase": "Failed"}}))]
#[case::in_the_network_of_its_node(json!({"spec": {"hostNetwork": true, "containers": []}, "status": {"podIP": "192.0.2.1"}}))]
#[case::that_does_not_run_yet(json!({"status": {"phase": "Pending"}}))]
#[case::without_status(json!({}))]
fn the_address_of_a_pod_does_not_count(#[case] mut pod: Value) {
    pod["metadata"] = json!({"name": "web", "namespace": "otter"});

    let seen = seen(&[pod], &[namespace("otter", "10.5.0.2")]);

    assert_eq!(seen.sets().unwrap().reachable, pairs(&[]));
}

#[test]
fn pods_of_the_same_name_are_told_apart_by_their_namespaces() {
    let seen = seen(
        &[
            pod("otter", "web", &json!({"podIP": "10.42.0.7"})),
            pod("heron", "web", &json!({"podIP": "10.42.0.8"})),
        ],
        &[namespace("otter", "10.5.0.2")],
    );

    let expected = [("10.5.0.2", "10.42.0.7")];
    assert_eq!(seen.sets().unwrap().reachable, pairs(&expected));
}

#[test]
fn a_deployment_that_is_being_taken_down_has_no_device() {
    let mut going = namespace("otter", "10.5.0.2");
    going["metadata"]["deletionTimestamp"] = json!("2026-11-22T15:09:00Z");

    let seen = seen(
        &[pod("otter", "web", &json!({"podIP": "10.42.0.7"}))],
        &[going],
    );

    assert_eq!(seen.sets().unwrap().reachable, pairs(&[]));
}

#[rstest]
#[case("10.5.0.2", Some("10.5.0.2"))]
#[case("fd00-5--2", Some("fd00:5::2"))]
#[case("somebody", None)]
#[case("", None)]
fn the_device_of_a_deployment_is_read_from_its_label(
    #[case] label: &str,
    #[case] expected: Option<&str>,
) {
    let namespace = serde_json::from_value(namespace("otter", label)).unwrap();

    assert_eq!(
        client_of(&namespace),
        expected.map(|address| address.parse().unwrap())
    );
}

#[test]
fn only_kube_dns_of_the_system_answers_name_queries() {
    let labelled = |namespace: &str, label: &str, address: &str| {
        let mut pod = pod(namespace, "dns", &json!({"podIP": address}));
        pod["metadata"]["labels"] = json!({"k8s-app": label});
        pod
    };
    let seen = seen(
        &[
            labelled("kube-system", "kube-dns", "10.42.0.53"),
            labelled("otter", "kube-dns", "10.42.0.54"),
            pod("kube-system", "metrics", &json!({"podIP": "10.42.0.55"})),
        ],
        &[],
    );

    let expected = BTreeSet::from(["10.42.0.53".parse().unwrap()]);
    assert_eq!(seen.sets().unwrap().name_servers, expected);
}

#[test]
fn the_ranges_of_the_cluster_are_those_of_its_nodes_and_services() {
    let mut seen = seen(&[], &[]);
    let node: Node = serde_json::from_value(json!({
        "spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24", "fd00:42::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "198.18.0.7"}, {"type": "Hostname", "address": "edge"}]},
    }))
    .unwrap();
    let services: ServiceCIDR =
        serde_json::from_value(json!({"spec": {"cidrs": ["10.43.0.0/16"]}})).unwrap();
    seen.take(News::Node(applied("edge", ranges_of_node(&node))));
    seen.take(News::ServiceCidr(applied(
        "kubernetes",
        ranges_of_services(&services),
    )));

    let expected = ["10.42.0.0/24", "fd00:42::/64", "10.43.0.0/16", "198.18.0.7"];
    let expected = expected.map(|range| range.parse().unwrap());
    assert_eq!(seen.sets().unwrap().cluster, BTreeSet::from(expected));
}

#[test]
fn the_operators_ranges_are_those_of_the_cluster() {
    let range: Network = "203.0.113.0/24".parse().unwrap();
    let mut seen = Seen::new(vec![range]);
    complete(&mut seen);

    assert_eq!(seen.sets().unwrap().cluster, BTreeSet::from([range]));
}

#[test]
fn nothing_is_known_before_all_was_listed() {
    let mut seen = Seen::new(Vec::new());
    assert_eq!(
        seen.sets(),
        Err("the cluster has not listed its pods yet".to_owned())
    );

    seen.take(News::Pod(Ok(Event::InitDone)));
    seen.take(News::Deployment(Ok(Event::InitDone)));
    seen.take(News::Node(Err(refused(403))));

    assert_eq!(
        seen.sets(),
        Err("the cluster does not list its nodes: no".to_owned())
    );
}

#[rstest]
#[case::a_cluster_without_service_cidrs(404, true)]
#[case::rights_that_are_missing(403, false)]
fn ranges_of_services_may_be_unknown_to_the_cluster(#[case] code: u16, #[case] expected: bool) {
    let mut seen = Seen::new(Vec::new());
    seen.take(News::Pod(Ok(Event::InitDone)));
    seen.take(News::Deployment(Ok(Event::InitDone)));
    seen.take(News::Node(Ok(Event::InitDone)));

    seen.take(News::ServiceCidr(Err(refused(code))));

    assert_eq!(seen.sets().is_ok(), expected);
}

#[test]
fn what_was_known_counts_while_the_cluster_is_silent() {
    let mut seen = seen(
        &[pod("otter", "web", &json!({"podIP": "10.42.0.7"}))],
        &[namespace("otter", "10.5.0.2")],
    );
    let before = seen.sets().unwrap();

    seen.take(News::Pod(Err(refused(500))));

    assert_eq!(seen.sets().unwrap(), before);
    let expected = "the cluster does not tell about its pods: no";
    assert_eq!(seen.outage().as_deref(), Some(expected));
}

fn seen(pods: &[Value], namespaces: &[Value]) -> Seen {
    let mut seen = Seen::new(Vec::new());
    for pod in pods {
        let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
        let change = Ok(Event::InitApply((full_name(&pod), PodFacts::of(&pod))));
        seen.take(News::Pod(change));
    }
    for namespace in namespaces {
        let namespace: Namespace = serde_json::from_value(namespace.clone()).unwrap();
        let change = Ok(Event::InitApply((
            namespace.name_any(),
            client_of(&namespace),
        )));
        seen.take(News::Deployment(change));
    }
    complete(&mut seen);
    seen
}

fn complete(seen: &mut Seen) {
    seen.take(News::Pod(Ok(Event::InitDone)));
    seen.take(News::Deployment(Ok(Event::InitDone)));
    seen.take(News::Node(Ok(Event::InitDone)));
    seen.take(News::ServiceCidr(Ok(Event::InitDone)));
}

fn applied(name: &str, ranges: Vec<Network>) -> Change<Vec<Network>> {
    Ok(Event::Apply((name.to_owned(), ranges)))
}

fn refused(code: u16) -> Error {
    let status = json!({"status": "Failure", "message": "no", "reason": "", "code": code});
    Error::WatchError(Box::new(serde_json::from_value(status).unwrap()))
}

fn pod(namespace: &str, name: &str, status: &Value) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}, "status": status})
}

fn namespace(name: &str, client: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"findcloudlet.org": "deployment", "findcloudlet.org/client": client}}})
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(IpAddr, IpAddr)> {
    let parsed = |text: &str| text.parse::<IpAddr>().unwrap();
    let pairs = pairs.iter();
    pairs
        .map(|(client, pod)| (parsed(client), parsed(pod)))
        .collect()
}
