use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sinfonia_service::client::{self, ClientSettings};
use sinfonia_testbed::{
    Answer, Cluster, ClusterError, ControlPlane, Fault, FaultProxy, Rule, TestNamespace,
};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn without_rules_calls_pass_and_are_remembered() {
    let (proxy, behind, namespace) = start();

    let map = behind.create(&maps(&namespace), &config_map("one"));

    assert_eq!(map.unwrap()["metadata"]["name"], "one");
    assert_eq!(proxy.count("create", "configmaps"), 1);
    assert_eq!(proxy.count("*", "*"), 1);
    assert_eq!(proxy.calls()[0].namespace, namespace.name());
    proxy.forget_calls();
    assert_eq!(proxy.calls(), []);
}

#[test]
fn a_rule_answers_in_the_api_servers_place_as_often_as_it_says() {
    let (proxy, behind, namespace) = start();
    let fault = Fault::Answer(Answer::too_many_requests(7));
    proxy.inject(Rule::on("create", "configmaps", fault).times(1));

    let first = behind.create(&maps(&namespace), &config_map("one"));
    let nothing_happened = behind.find(&format!("{}/one", maps(&namespace)));
    let second = behind.create(&maps(&namespace), &config_map("one"));

    assert!(matches!(
        first,
        Err(ClusterError::Refused { status: 429, .. })
    ));
    assert_eq!(nothing_happened.unwrap(), None);
    assert!(second.is_ok());
}

#[test]
fn a_cut_before_the_call_has_no_effect_and_one_after_it_has() {
    let (proxy, behind, namespace) = start();
    let named = |name: &'static str| {
        move |call: &sinfonia_testbed::ApiCall| call.query.contains(&format!("fieldManager={name}"))
    };
    proxy.inject(Rule::when(named("before"), Fault::Cut));
    proxy.inject(Rule::when(named("after"), Fault::Cut).after_it_took_effect());

    let results = ["before", "after"].map(|name| {
        let path = format!("{}?fieldManager={name}", maps(&namespace));
        behind.create(&path, &config_map(name)).is_err()
    });

    assert_eq!(results, [true, true]);
    let found = ["before", "after"].map(|name| {
        let path = format!("{}/{name}", maps(&namespace));
        behind.find(&path).unwrap().is_some()
    });
    assert_eq!(found, [false, true]);
}

#[test]
fn a_delay_makes_a_call_late() {
    let (proxy, behind, _namespace) = start();
    let delay = Duration::from_millis(300);
    proxy.inject(Rule::on("list", "nodes", Fault::Delay(delay)));

    let begun = Instant::now();
    behind.get_json("/api/v1/nodes").unwrap();

    assert!(begun.elapsed() >= delay);
}

#[test]
fn a_call_hangs_until_connections_are_cut() {
    let (proxy, behind, _namespace) = start();
    proxy.inject(Rule::on("*", "nodes", Fault::Hang));

    let hanging = std::thread::spawn(move || behind.get_json("/api/v1/nodes").is_err());
    assert!(proxy.wait_for_call("list", "nodes", SOON));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!hanging.is_finished());
    proxy.cut_connections();

    assert!(hanging.join().unwrap());
}

#[tokio::test]
async fn a_watch_streams_through_the_proxy_until_it_is_cut() {
    let (proxy, behind, namespace) = start();
    let client = client::build(&ClientSettings {
        ca_file: Some(behind.ca_file()),
        ..ClientSettings::new("test")
    })
    .unwrap();
    let url = format!("{}{}?watch=true", proxy.url(), maps(&namespace));
    let watch = client.get(url).bearer_auth(behind.token()).send();
    let mut watch = watch.await.unwrap();
    let mut seen = String::new();

    behind
        .create(&maps(&namespace), &config_map("watched"))
        .unwrap();

    while !seen.contains("\"watched\"") {
        let chunk = watch.chunk().await.unwrap().unwrap();
        seen += std::str::from_utf8(&chunk).unwrap();
    }
    assert_eq!(proxy.count("watch", "configmaps"), 1);
    proxy.cut_connections();
    while let Ok(Some(_)) = watch.chunk().await {}
}

fn start() -> (FaultProxy, Cluster, TestNamespace) {
    let cluster = ControlPlane::shared();
    let proxy = FaultProxy::start(&cluster).unwrap();
    let behind = cluster.at(proxy.url());
    let namespace = cluster.namespace("proxy").unwrap();
    (proxy, behind, namespace)
}

fn maps(namespace: &TestNamespace) -> String {
    format!("/api/v1/namespaces/{}/configmaps", namespace.name())
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}
