use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::{ControlPlane, unique_name};

const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";

#[rstest]
#[case::ordinary(json!({"publicKey": "GY5aT1N9dTR/nJnT1N2f4ClZWVj0jOAld0r8ysWLyjg=", "allowedIPs": ["10.5.17.4/32"], "persistentKeepalive": 10}))]
#[case::complete(json!({
    "publicKey": "GY5aT1N9dTR/nJnT1N2f4ClZWVj0jOAld0r8ysWLyjg=", "allowedIPs": ["10.5.17.4/32", "fd00::/64"],
    "persistentKeepalive": 0, "presharedKey": "GY5aT1N9dTR/nJnT1N2f4ClZWVj0jOAld0r8ysWLyjg=",
    "endpoint": {"dnsOrIP": {"dns": "peer.example", "ip": "203.0.113.9"}, "port": 51820},
}))]
#[case::a_key_that_is_none(json!({"publicKey": "not a key", "allowedIPs": ["10.5.17.4/32"]}))]
#[case::an_empty_key(json!({"publicKey": "", "allowedIPs": ["10.5.17.4/32"]}))]
#[case::no_addresses(json!({"publicKey": "k", "allowedIPs": []}))]
#[case::addresses_that_are_none(json!({"publicKey": "k", "allowedIPs": ["10.5.17.4", "example", ""]}))]
#[case::a_negative_keepalive(json!({"publicKey": "k", "allowedIPs": [], "persistentKeepalive": -1}))]
#[case::an_endpoint_of_nowhere(json!({"publicKey": "k", "allowedIPs": [], "endpoint": {"dnsOrIP": {}, "port": 0}}))]
#[case::a_port_that_is_none(json!({"publicKey": "k", "allowedIPs": [], "endpoint": {"dnsOrIP": {"ip": "x"}, "port": 99_999}}))]
fn a_peer_is_taken_as_kilo_takes_it(#[case] spec: Value) {
    let cluster = ControlPlane::shared();
    let name = unique_name("peer");

    let peer = cluster.create(PEERS, &peer(&name, &spec)).unwrap();

    assert_eq!(peer["spec"], spec);
    cluster.delete(&format!("{PEERS}/{name}")).unwrap();
}

#[rstest]
#[case::no_key(json!({"allowedIPs": ["10.5.17.4/32"]}))]
#[case::no_addresses(json!({"publicKey": "k"}))]
#[case::a_keepalive_in_words(json!({"publicKey": "k", "allowedIPs": [], "persistentKeepalive": "10"}))]
#[case::an_endpoint_without_port(json!({"publicKey": "k", "allowedIPs": [], "endpoint": {"dnsOrIP": {"ip": "x"}}}))]
fn a_peer_is_refused_as_kilo_refuses_it(#[case] spec: Value) {
    let cluster = ControlPlane::shared();
    let peer = peer(&unique_name("peer"), &spec).to_string();

    let (status, _) = cluster
        .request("POST", PEERS, "application/json", peer)
        .unwrap();

    assert_eq!(status, 422);
}

#[test]
fn what_kilo_does_not_know_in_a_peer_is_dropped() {
    let cluster = ControlPlane::shared();
    let name = unique_name("peer");
    let spec = json!({"publicKey": "k", "allowedIPs": [], "colour": "green"});

    let peer = cluster.create(PEERS, &peer(&name, &spec)).unwrap();

    assert_eq!(peer["spec"], json!({"publicKey": "k", "allowedIPs": []}));
    cluster.delete(&format!("{PEERS}/{name}")).unwrap();
}

fn peer(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "kilo.squat.ai/v1alpha1", "kind": "Peer", "metadata": {"name": name}, "spec": spec,
    })
}
