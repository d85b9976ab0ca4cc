use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, uuid};
use crate::tier2::{Does, FakeTier2, nobody};

#[tokio::test]
async fn reports_and_reads_get_through_while_deployments_are_shed() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let options = [
        "--max-requests=8",
        "--allow-anonymous-reports",
        "--public-explain",
    ];
    let tier1 = Running::with_options(Cloudlets::of(&[&hanging]), &options).await;
    let _five_eighths = hang(&tier1, &hanging, &Method::POST, "/deploy", 5).await;

    let shed = tier1.deploy("").await;

    assert_eq!(shed.problem(503), "too many deployments are under way");
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert_eq!(shed.header("x-sinfonia-tries"), Some("0"));
    let reported = tier1.report("http://192.0.2.1/api/v1/deploy").await;
    assert_eq!(reported, StatusCode::NO_CONTENT);
    for path in [
        "/cloudlets".to_owned(),
        "/explain".to_owned(),
        format!("/recipe/{OPEN_RECIPE}"),
        format!("/deploy/{OPEN_RECIPE}/{KEY}"),
        format!("/deployments/{OPEN_RECIPE}/{KEY}?cloudlet={}", uuid(1)),
    ] {
        let answer = tier1.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    assert_eq!(hanging.asked(&Method::POST).len(), 5);
    let metrics = tier1.ask_admin("/metrics").await;
    let expected = r#"sinfonia_tier1_deploys_total{outcome="shed"} 1"#;
    assert!(metrics.lines().any(|line| line == expected), "{metrics}");
}

#[tokio::test]
async fn calls_that_wait_for_a_cloudlet_leave_room_for_deployments() {
    let hanging = FakeTier2::start(Does::HangsAlways).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let options = ["--max-requests=8"];
    let fleet = Cloudlets::of(&[&hanging, &healthy]);
    let tier1 = Running::with_options(fleet, &options).await;
    let _two_eighths = hang(&tier1, &hanging, &Method::GET, "/deployments", 2).await;

    let path = format!("/deployments/{OPEN_RECIPE}/{KEY}?cloudlet={}", uuid(2));
    let shed = tier1.get(&path).await;
    let deployed = tier1.deploy(&format!("?cloudlet={}", uuid(2))).await;

    assert_eq!(shed.problem(503), "too many calls wait for cloudlets");
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert_eq!(deployed.cloudlets(), [uuid(2)]);
}

#[tokio::test]
async fn a_cloudlet_with_enough_requests_in_flight_is_passed_over() {
    let hanging = FakeTier2::start(Does::HangsAlways).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let options = ["--max-in-flight-per-cloudlet=2"];
    let fleet = Cloudlets::of(&[&hanging, &healthy]);
    let tier1 = Running::with_options(fleet, &options).await;
    let _in_flight = hang(&tier1, &hanging, &Method::POST, "/deploy", 2).await;

    let deployed = tier1.deploy_as(1).await;
    let alone = tier1.deploy(&format!("?cloudlet={}", uuid(1))).await;
    let path = format!("/deployments/{OPEN_RECIPE}/{KEY}?cloudlet={}", uuid(1));
    let shown = tier1.get(&path).await;

    assert_eq!(deployed.cloudlets(), [uuid(2)]);
    let told = alone.problem(503);
    assert_eq!(told, "no cloudlet can take the deployment now");
    assert_eq!(alone.header("retry-after"), Some("1"));
    let told = shown.problem(503);
    assert_eq!(
        told,
        "the cloudlet has enough requests in flight (--max-in-flight-per-cloudlet)"
    );
    assert_eq!(shown.header("retry-after"), Some("1"));
    assert_eq!(hanging.asked(&Method::POST).len(), 2);
    assert_eq!(hanging.asked(&Method::GET).len(), 0);
}

#[rstest]
#[case::one("", "1", &[1])]
#[case::two("?results=2", "2", &[1, 2])]
#[tokio::test]
async fn an_answer_names_its_cloudlets_and_how_many_were_tried(
    #[case] query: &str,
    #[case] tries: &str,
    #[case] places: &[usize],
) {
    let fakes = [
        FakeTier2::start(Does::Deploys).await,
        FakeTier2::start(Does::Deploys).await,
    ];
    let tier1 = Running::with(Cloudlets::of(&fakes.each_ref())).await;

    let answer = tier1.deploy(query).await;

    let named: Vec<String> = places.iter().copied().map(uuid).collect();
    let named = named.join(",");
    assert_eq!(answer.header("x-sinfonia-cloudlet"), Some(named.as_str()));
    assert_eq!(answer.header("x-sinfonia-tries"), Some(tries));
}

#[tokio::test]
async fn a_failure_says_how_many_were_tried() {
    let failing = FakeTier2::start(Does::refuses(500, &json!({}))).await;
    let fleet = Cloudlets::of(&[&failing]).and(nobody().await, "");
    let tier1 = Running::with(fleet).await;

    let failed = tier1.deploy("").await;
    let nobody_serves = tier1.deploy(&format!("?cloudlet={}", uuid(7))).await;

    failed.problem(502);
    assert_eq!(failed.header("x-sinfonia-tries"), Some("2"));
    assert_eq!(failed.header("x-sinfonia-cloudlet"), None);
    nobody_serves.problem(503);
    assert_eq!(nobody_serves.header("x-sinfonia-tries"), Some("0"));
}

#[tokio::test]
async fn a_relayed_answer_names_its_cloudlet() {
    let near = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;
    let path = format!("/deployments/{OPEN_RECIPE}/{KEY}?cloudlet={}", uuid(1));

    for method in [Method::GET, Method::DELETE] {
        let answer = tier1.ask(method, &path, &[]).await;
        let named = answer.header("x-sinfonia-cloudlet");
        assert_eq!(named, Some(uuid(1).as_str()));
    }
}

/// Sends requests that a cloudlet does not answer, on connections that are to be kept.
async fn hang(
    tier1: &Running,
    cloudlet: &FakeTier2,
    method: &Method,
    route: &str,
    requests: usize,
) -> Vec<tokio::net::TcpStream> {
    let mut connections = Vec::new();
    for number in 0..requests {
        let path = format!("{route}/{OPEN_RECIPE}/{number:064x}?cloudlet={}", uuid(1));
        connections.push(tier1.send(method.as_str(), &path, 60).await);
    }
    cloudlet.is_asked_times(method, requests).await;
    connections
}
