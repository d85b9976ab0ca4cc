//! Cloudlets that misbehave: the healthy one answers, within the time that the device gives.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fakes::{FakeServer, Relay, Reply};
use super::support::{FAR, HELLOWORLD, NEAR, World, cloudlet, cloudlets, eventually, key, send};

/// How long the device waits: the bad cloudlet gets half of it, and enough is left for the healthy one.
const WAIT: &str = "wait=6";
/// After this time a device gives up.
const DEVICE_GIVES_UP: Duration = Duration::from_secs(10);

#[rstest]
#[case::silent(Reply::Silence)]
#[case::resets_the_connection(Reply::Reset)]
#[case::no_http(Reply::Bytes(vec![0xff; 1024]))]
#[case::closes_without_a_word(Reply::Bytes(Vec::new()))]
#[case::breaks_off(Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{".to_vec()))]
#[case::no_json(Reply::http("200 OK", &["content-type: application/json"], "%!"))]
#[case::ten_mebibytes(Reply::http("200 OK", &["content-type: application/json"], &format!("[{}]", " ".repeat(10 << 20))))]
#[case::html(Reply::http("200 OK", &["content-type: text/html"], "<html><h1>Log in</h1></html>"))]
#[case::html_error(Reply::http("500 Internal Server Error", &["content-type: text/html"], "<html>"))]
#[case::redirect_elsewhere(Reply::http("307 Temporary Redirect", &["location: http://203.0.113.1/"], ""))]
#[case::no_deployment(Reply::http("200 OK", &["content-type: application/json"], "[]"))]
#[case::half_a_deployment(Reply::http("200 OK", &["content-type: application/json"], r#"[{"Status": "Deployed"}]"#))]
#[case::an_object(Reply::http("200 OK", &["content-type: application/json"], "{}"))]
#[case::no_content(Reply::http("204 No Content", &[], ""))]
#[case::wants_a_token(Reply::http("401 Unauthorized", &[], ""))]
#[tokio::test]
async fn the_healthy_cloudlet_serves_instead_of_one_that(#[case] reply: Reply) {
    let world = World::new();
    let bad = FakeServer::start(move |_| reply.clone()).await;
    let healthy = world.tier2("healthy", &[]).await;
    let file = cloudlets(&[
        cloudlet("bad", &bad.url(), NEAR),
        cloudlet("healthy", &healthy.url(), FAR),
    ]);
    let tier1 = world.tier1(&file, &[]).await;

    let request = world
        .deploying(&tier1, &key(1))
        .header("prefer", WAIT)
        .timeout(DEVICE_GIVES_UP);
    let answer = send(request).await;

    assert_eq!(answer.cloudlets(), ["healthy"]);
    assert_eq!(bad.seen("POST").len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::new();
    let target = FakeServer::start(|_| Reply::Silence).await;
    let location = format!("location: {}/api/v1/deploy", target.url());
    let bad =
        FakeServer::start(move |_| Reply::http("307 Temporary Redirect", &[&location], "")).await;
    let tier1 = world.tier1(&cloudlet("bad", &bad.url(), NEAR), &[]).await;

    let answer = world.deploy(&tier1, &key(1)).await;

    assert_eq!(answer.kind(), (502, "application/problem+json"));
    assert_eq!(target.seen("POST"), []);
}

#[tokio::test]
async fn a_silent_cloudlet_that_is_the_only_one_is_told_before_the_device_gives_up() {
    let world = World::new();
    let silent = FakeServer::start(|_| Reply::Silence).await;
    let tier1 = world
        .tier1(&cloudlet("silent", &silent.url(), NEAR), &[])
        .await;

    let request = world
        .deploying(&tier1, &key(1))
        .header("prefer", "wait=2")
        .timeout(DEVICE_GIVES_UP);
    let answer = send(request).await;

    assert_eq!(answer.kind(), (502, "application/problem+json"));
    assert_eq!(
        answer.detail(),
        "each cloudlet that was asked failed: no answer in time"
    );
}

#[tokio::test]
async fn what_a_cloudlet_is_told_is_what_tier_1_resolved() {
    let world = World::new();
    let fake = FakeServer::start(|_| Reply::http("404 Not Found", &[], "")).await;
    let tier1 = world.tier1(&cloudlet("fake", &fake.url(), NEAR), &[]).await;

    let request = world
        .deploying(&tier1, &key(0xff))
        .header("x-clientip", "198.51.100.7")
        .header("x-request-id", "mine")
        .header("prefer", "wait=9");
    let answer = send(request).await;

    assert_eq!(answer.kind(), (404, "application/problem+json"));
    let [seen] = fake.seen("POST").try_into().unwrap();
    let told = ["x-clientip", "x-location", "x-request-id", "content-length"]
        .map(|name| seen.headers.get(name).map(String::as_str));
    let expected = [
        Some("198.51.100.7"),
        Some("40.4406,-79.9959"),
        Some(answer.header("x-request-id")),
        Some("0"),
    ];
    assert_eq!(told, expected);
    let wait: u64 = seen.headers["prefer"]
        .strip_prefix("wait=")
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=8).contains(&wait), "{wait}");
    assert_ne!(answer.header("x-request-id"), "mine");
    assert_eq!(
        seen.target,
        "/api/v1/deploy/00000000-0000-0000-0000-000000000000/__________________________________________8"
    );
}

#[tokio::test]
async fn what_came_too_late_is_released() {
    let world = World::new();
    let prompt = world.tier2("prompt", &[]).await;
    let late = world.tier2("late", &[]).await;
    let relay = Relay::start(late.address()).await;
    let file = cloudlets(&[
        cloudlet("late", &relay.url(), NEAR),
        cloudlet("prompt", &prompt.url(), FAR),
    ]);
    let tier1 = world.tier1(&file, &[]).await;

    let request = world
        .deploying(&tier1, &key(1))
        .query(&[("results", "2")])
        .header("prefer", "wait=2");
    let answering = tokio::spawn(send(request));
    eventually("the late cloudlet deploys", async || {
        world.has_deployment(&late, &key(1)).await.then_some(())
    })
    .await;
    let answer = answering.await.unwrap();

    assert_eq!(answer.cloudlets(), ["prompt"]);
    eventually("the late cloudlet's deployment is released", async || {
        (!world.has_deployment(&late, &key(1)).await).then_some(())
    })
    .await;
    assert!(world.has_deployment(&prompt, &key(1)).await);
}

#[tokio::test]
async fn what_nobody_waits_for_any_longer_is_released() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let relay = Relay::start(tier2.address()).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &relay.url(), NEAR), &[])
        .await;
    let mut device = TcpStream::connect(tier1.address()).await.unwrap();
    let path = format!("/api/v1/deploy/{HELLOWORLD}/{}", key(1).url_safe());
    let request = format!("POST {path} HTTP/1.1\r\nhost: tier1\r\ncontent-length: 0\r\n\r\n");
    device.write_all(request.as_bytes()).await.unwrap();
    eventually("the cloudlet deploys", async || {
        world.has_deployment(&tier2, &key(1)).await.then_some(())
    })
    .await;

    device.shutdown().await.unwrap();
    let mut answer = Vec::new();
    device.read_to_end(&mut answer).await.unwrap();
    relay.open();

    eventually("the deployment is released", async || {
        (!world.has_deployment(&tier2, &key(1)).await).then_some(())
    })
    .await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn what_an_answer_has_beyond_the_contract_is_kept_and_nulls_are_dropped() {
    let world = World::new();
    let deployment = json!([{
        "DeploymentName": null,
        "UUID": "00000000000000000000000000000000",
        "ApplicationKey": key(1).to_string(),
        "Status": "deployed",
        "Weather": {"sun": true, "rain": null},
        "TunnelConfig": {
            "publicKey": key(2).to_string(),
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local"],
        },
    }]);
    let body = deployment.to_string();
    let older = FakeServer::start(move |_| {
        Reply::http("200 OK", &["content-type: application/json"], &body)
    })
    .await;
    let tier1 = world
        .tier1(&cloudlet("older", &older.url(), NEAR), &[])
        .await;

    let answer = world.deploy(&tier1, &key(1)).await;

    let [deployment] = answer.deployments().try_into().unwrap();
    assert_eq!(deployment["Weather"]["sun"], true);
    assert!(!answer.text.contains("null"), "{}", answer.text);
    assert_eq!(deployment["Status"], "Deployed");
    assert_eq!(deployment["Cloudlet"]["name"], "older");
}
