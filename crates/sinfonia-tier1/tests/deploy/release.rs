use std::time::Duration;

use http::{Method, StatusCode};
use tokio::net::TcpStream;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, URL_SAFE_KEY, client, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn what_a_cloudlet_deployed_too_late_is_released() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let cloudlets = Cloudlets::default()
        .and(hanging.address, "token_file: token.txt")
        .and(healthy.address, "");
    let tier1 = Running::with(cloudlets).await;

    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let headers = [("x-location", "0,0"), ("prefer", "wait=5")];
    let answer = tier1.ask(Method::POST, &path, &headers).await;

    let released = hanging.is_asked(&Method::DELETE).await;
    let id = answer.header("x-request-id").unwrap();
    let expected = format!("/api/v1/deploy/{OPEN_RECIPE}/{URL_SAFE_KEY}?created-by={id}");
    assert_eq!(released.uri, expected);
    assert_eq!(released.headers["x-clientip"], "127.0.0.1");
    assert_eq!(released.headers["authorization"], "Bearer secret");
    assert_eq!(healthy.asked(&Method::DELETE).len(), 0);
}

#[tokio::test]
async fn what_a_client_that_has_gone_does_not_get_is_released() {
    let slow = FakeTier2::start(Does::Hangs).await;
    let tier1 = Running::with(Cloudlets::of(&[&slow])).await;

    let connection = request(&tier1, 3).await;
    let asked = slow.is_asked(&Method::POST).await;
    drop(connection);

    let released = slow.is_asked(&Method::DELETE).await;
    let id = asked.headers["x-request-id"].to_str().unwrap();
    assert!(released.uri.ends_with(&format!("?created-by={id}")));
}

#[tokio::test]
async fn a_client_that_has_gone_is_not_remembered() {
    let slow = FakeTier2::start(Does::Hangs).await;
    let tier1 = Running::with(Cloudlets::of(&[&slow])).await;

    let connection = request(&tier1, 3).await;
    slow.is_asked(&Method::POST).await;
    drop(connection);
    slow.is_asked(&Method::DELETE).await;

    let path = format!("/deployments/{OPEN_RECIPE}/{KEY}");
    tier1.get(&path).await.problem(404);
}

#[tokio::test]
async fn requests_of_clients_that_have_gone_are_limited_too() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let options = ["--max-requests=1"];
    let tier1 = Running::with_options(Cloudlets::of(&[&hanging]), &options).await;

    let connection = request(&tier1, 60).await;
    hanging.is_asked(&Method::POST).await;
    drop(connection);
    let is_noticed = async { while tier1.get("/cloudlets").await.status != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(20), is_noticed)
        .await
        .unwrap();
    let answer = tier1.deploy("").await;

    assert_eq!(answer.problem(503), "too many deployments are under way");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn what_others_deployed_is_released_when_the_client_is_refused() {
    let refusing = FakeTier2::start(Does::Answers(StatusCode::BAD_REQUEST, vec![], vec![])).await;
    let hanging = FakeTier2::start(Does::Hangs).await;
    let tier1 = Running::with(Cloudlets::of(&[&refusing, &hanging])).await;

    tier1.deploy("?results=2").await.problem(400);

    hanging.is_asked(&Method::DELETE).await;
    assert_eq!(refusing.asked(&Method::DELETE).len(), 0);
}

#[tokio::test]
async fn a_release_that_fails_is_tried_again() {
    let garbled = FakeTier2::start(Does::Answers(StatusCode::BAD_GATEWAY, vec![], vec![])).await;
    let tier1 = Running::with(Cloudlets::of(&[&garbled])).await;

    tier1.deploy("").await.problem(502);

    garbled.is_asked(&Method::DELETE).await;
    garbled.now(Does::Deploys);
    garbled.is_asked_times(&Method::DELETE, 2).await;
}

#[tokio::test]
async fn at_shutdown_a_request_may_finish() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&hanging, &healthy])).await;

    let url = format!("http://{}/api/v1/deploy/{OPEN_RECIPE}/{KEY}", tier1.address);
    let request = client().post(url).header("x-location", "0,0");
    let answer = tokio::spawn(request.header("prefer", "wait=5").send());
    hanging.is_asked(&Method::POST).await;
    tier1.stop().await;

    let body: serde_json::Value = answer.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(body[0]["Cloudlet"]["uuid"], uuid(2));
    assert_eq!(hanging.asked(&Method::DELETE).len(), 1);
}

#[tokio::test]
async fn at_shutdown_what_is_cut_is_released() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let options = ["--shutdown-timeout=1"];
    let tier1 = Running::with_options(Cloudlets::of(&[&hanging]), &options).await;

    let _connection = request(&tier1, 60).await;
    hanging.is_asked(&Method::POST).await;
    tier1.stop().await;

    assert_eq!(hanging.asked(&Method::DELETE).len(), 1);
}

/// Sends a deploy request on a connection of its own, and does not wait for the answer.
async fn request(tier1: &Running, wait: u64) -> TcpStream {
    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    tier1.send("POST", &path, wait).await
}
