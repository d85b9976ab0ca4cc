//! Cloudlets that tell of themselves.

use reqwest::Method;
use serde_json::{Value, json};
use sinfonia_testbed::{ReservedPort, Service};
use uuid::Uuid;

use super::support::{
    ALLOW_LOOPBACK, HELLOWORLD, NEAR, OTHER, RESTRICTED, World, cloudlet, deploy_url, eventually,
    key, logged, send, stopped,
};

#[tokio::test]
async fn a_cloudlet_that_reports_is_listed_and_used() {
    let world = World::new();
    let options = [&["--allow-anonymous-reports"], &ALLOW_LOOPBACK[..]].concat();
    let tier1 = world.tier1_without_cloudlets(&options).await;
    let port = ReservedPort::new().unwrap();
    let nobody = world.deploy(&tier1, &key(1)).await;

    let told = [
        "--name",
        "Downtown",
        "--location",
        "40.4443,-79.9436",
        "--local-networks",
        "128.2.0.0/16",
        "--rejected-clients",
        "203.0.113.0/24",
        "--labels",
        "owner=cmu,gpu=none",
    ];
    let tier2 = reporter(&world, &port, &tier1, &told).await;
    let listed = listed(&world, &tier1, |cloudlet| cloudlet["name"] == "Downtown").await;
    let answer = world.deploy(&tier1, &key(1)).await;

    assert_eq!(nobody.kind(), (503, "application/problem+json"));
    let endpoint = format!("{}/api/v1/deploy", port.url());
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, endpoint.as_bytes());
    let expected = json!({
        "endpoint": endpoint,
        "uuid": uuid,
        "name": "Downtown",
        "locations": [[40.4443, -79.9436]],
        "local_networks": ["128.2.0.0/16"],
        "rejected_clients": ["203.0.113.0/24"],
        "labels": {"owner": "cmu", "gpu": "none"},
        "recipes": [HELLOWORLD, RESTRICTED, OTHER],
    });
    let fields = expected.as_object().unwrap();
    for (name, value) in fields {
        assert_eq!(&listed[name], value, "{name}");
    }
    assert_eq!(listed.get("draining"), None);
    assert!(listed["last_update"].as_str().unwrap().ends_with("+00:00"));
    assert_eq!(answer.cloudlets(), ["Downtown"]);
    assert!(world.has_deployment(&tier2, &key(1)).await);
}

#[tokio::test]
async fn a_reported_endpoint_on_loopback_is_not_connected_to_unless_it_is_allowed() {
    let world = World::new();
    let tier1 = world
        .tier1_without_cloudlets(&["--allow-anonymous-reports"])
        .await;
    let port = ReservedPort::new().unwrap();
    let tier2 = reporter(&world, &port, &tier1, &[]).await;
    logged(&tier2, "reports are accepted").await;

    let answer = world.deploy(&tier1, &key(1)).await;

    assert_eq!(answer.kind(), (502, "application/problem+json"));
    assert!(!world.has_deployment(&tier2, &key(1)).await);
}

#[tokio::test]
async fn a_report_joins_the_entry_of_the_file() {
    let world = World::new();
    let port = ReservedPort::new().unwrap();
    let file = cloudlet("of the file", &port.url(), NEAR);
    let tier1 = world.tier1(&file, &["--allow-anonymous-reports"]).await;

    let told = ["--name", "of the report", "--location", "1,1"];
    let _tier2 = reporter(&world, &port, &tier1, &told).await;
    let joined = listed(&world, &tier1, |cloudlet| cloudlet["resources"].is_object()).await;

    assert_eq!(joined["name"], "of the file");
    assert_eq!(joined["locations"], json!([[40.4439, -79.9444]]));
}

#[tokio::test]
async fn without_the_option_no_anonymous_report_is_taken() {
    let world = World::new();
    let tier1 = world.tier1_without_cloudlets(&[]).await;
    let port = ReservedPort::new().unwrap();

    let tier2 = reporter(&world, &port, &tier1, &[]).await;

    logged(&tier2, "reports are not accepted").await;
    assert!(world.known_cloudlets(&tier1).await.is_empty());
}

#[tokio::test]
async fn tier_2_serves_while_tier_1_is_down_and_reports_once_it_is_up() {
    let world = World::new();
    let (tier1_port, port) = (ReservedPort::new().unwrap(), ReservedPort::new().unwrap());
    let own = port.url();
    let options = ["--tier1-url", &tier1_port.url(), "--tier2-url", &own];
    let tier2 = world.tier2_on(&port, "reporter", &options).await;
    logged(&tier2, "reports are not accepted").await;
    let direct = deploy_url(&tier2.url(), &key(1));
    let deployed = send(world.request(Method::POST, &direct)).await;

    let options = ["--allow-anonymous-reports"];
    let tier1 = world.tier1_on(Some(&tier1_port), &options).await;
    logged(&tier2, "reports are accepted").await;

    assert_eq!(deployed.kind(), (200, "application/json"));
    assert_eq!(world.known_cloudlets(&tier1).await, ["127.0.0.1"]);
}

#[tokio::test]
async fn a_cloudlet_that_ends_says_so() {
    let world = World::new();
    let tier1 = world
        .tier1_without_cloudlets(&["--allow-anonymous-reports"])
        .await;
    let port = ReservedPort::new().unwrap();
    let tier2 = reporter(&world, &port, &tier1, &[]).await;
    logged(&tier2, "reports are accepted").await;

    let status = stopped(tier2).await;

    assert_eq!(status.code(), Some(0));
    listed(&world, &tier1, |cloudlet| cloudlet["draining"] == true).await;
}

/// A Tier 2 on this port that reports to this Tier 1.
async fn reporter(
    world: &World,
    port: &ReservedPort,
    tier1: &Service,
    options: &[&str],
) -> Service {
    let (tier1, own) = (tier1.url(), port.url());
    let options = [&["--tier1-url", &tier1, "--tier2-url", &own], options].concat();
    world.tier2_on(port, "reporter", &options).await
}

/// Waits for a cloudlet like this in Tier 1's list.
async fn listed(world: &World, tier1: &Service, is_it: impl Fn(&Value) -> bool) -> Value {
    let url = format!("{}/api/v1/cloudlets", tier1.url());
    eventually("the cloudlet is listed", async || {
        let known = world.get(&url).await.json();
        let known = known.as_array().unwrap();
        known.iter().find(|cloudlet| is_it(cloudlet)).cloned()
    })
    .await
}
