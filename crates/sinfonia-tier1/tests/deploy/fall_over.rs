use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, uuid};
use crate::tier2::{Does, FakeTier2, nobody, resetting};

#[rstest]
#[case::not_found(Does::refuses(404, &json!({})))]
#[case::conflict(Does::refuses(409, &json!({})))]
#[case::unauthorized(Does::refuses(401, &json!({})))]
#[case::error(Does::refuses(500, &json!({"class": "timed-out"})))]
#[case::unavailable(Does::refuses(503, &json!({})))]
#[case::redirect(Does::Answers(StatusCode::FOUND, vec![("location", "/api/v1/deploy/elsewhere")], vec![]))]
#[case::garbage(Does::says("application/json", "{\"garbage\""))]
#[case::html(Does::says("text/html", "<html>It works!</html>"))]
#[case::empty_list(Does::says("application/json", "[]"))]
#[case::ten_mebibytes(Does::says("application/json", vec![b' '; 10 << 20]))]
#[tokio::test]
async fn a_bad_answer_of_the_nearest_means_the_second(#[case] does: Does) {
    let bad = FakeTier2::start(does).await;

    assert_second_deploys(bad.address).await;

    assert_eq!(bad.asked(&Method::POST).len(), 1);
}

#[tokio::test]
async fn a_closed_port_means_the_second() {
    assert_second_deploys(nobody().await).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_means_the_second() {
    assert_second_deploys(resetting().await).await;
}

#[tokio::test]
async fn a_cloudlet_that_hangs_leaves_time_for_the_second() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&hanging, &healthy])).await;

    let answer = deploy_within(&tier1, 5).await;

    assert_eq!(answer.cloudlets(), [uuid(2)]);
    let wait = |asked: &FakeTier2| asked.asked(&Method::POST)[0].headers["prefer"].clone();
    assert_eq!(
        (wait(&hanging), wait(&healthy)),
        ("wait=1".parse().unwrap(), "wait=1".parse().unwrap())
    );
}

#[tokio::test]
async fn cloudlets_that_hang_do_not_hold_a_request_beyond_its_budget() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let tier1 = Running::with(Cloudlets::of(&[&hanging])).await;
    let started = Instant::now();

    let answer = deploy_within(&tier1, 3).await;

    assert_eq!(
        answer.problem(502),
        "each cloudlet that was asked failed: no answer in time"
    );
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[rstest]
#[case::all_404(404, 404, 404)]
#[case::all_409(409, 409, 409)]
#[case::mixed(404, 409, 502)]
#[case::any_503(500, 503, 503)]
#[case::all_403(403, 403, 502)]
#[tokio::test]
async fn when_none_is_left_their_answers_decide(
    #[case] first: u16,
    #[case] second: u16,
    #[case] expected: u16,
) {
    let first = FakeTier2::start(Does::refuses(first, &json!({}))).await;
    let second = FakeTier2::start(Does::refuses(second, &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&first, &second])).await;

    tier1.deploy("").await.problem(expected);
}

#[tokio::test]
async fn the_smallest_retry_after_is_passed_on() {
    let fakes = [unavailable("30").await, unavailable("7").await];
    let tier1 = Running::with(Cloudlets::of(&fakes.each_ref())).await;

    let answer = tier1.deploy("").await;

    answer.problem(503);
    assert_eq!(answer.header("retry-after"), Some("7"));
}

#[tokio::test]
async fn the_class_of_a_failed_installation_is_passed_on() {
    let problem = json!({"class": "bad-values", "detail": "helm said something private"});
    let failing = FakeTier2::start(Does::refuses(500, &problem)).await;
    let tier1 = Running::with(Cloudlets::of(&[&failing])).await;

    let answer = tier1.deploy("").await;

    assert_eq!(
        answer.problem(502),
        "each cloudlet that was asked failed: installation failed: bad-values"
    );
    assert_eq!(answer.body["class"], "bad-values");
}

#[tokio::test]
async fn too_many_requests_goes_to_the_client_at_once() {
    let limits = Does::Answers(
        StatusCode::TOO_MANY_REQUESTS,
        vec![("retry-after", "11"), ("x-internal", "secret")],
        br#"{"detail": "4 deployments are the most\u0007", "internal": "secret"}"#.to_vec(),
    );
    let limiting = FakeTier2::start(limits).await;
    let healthy = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&limiting, &healthy])).await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.problem(429), "4 deployments are the most");
    assert_eq!(answer.header("retry-after"), Some("11"));
    assert_eq!(answer.header("x-internal"), None);
    assert!(answer.body.get("internal").is_none());
    assert_eq!(healthy.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn one_of_several_that_fails_is_replaced_and_the_order_kept() {
    let fakes = [
        FakeTier2::start(Does::Deploys).await,
        FakeTier2::start(Does::refuses(500, &json!({}))).await,
        FakeTier2::start(Does::Deploys).await,
    ];
    let tier1 = Running::with(Cloudlets::of(&fakes.each_ref())).await;

    let answer = tier1.deploy("?results=2").await;

    assert_eq!(answer.cloudlets(), [uuid(1), uuid(3)]);
}

#[tokio::test]
async fn decisions_are_measured() {
    let fakes = [
        FakeTier2::start(Does::refuses(500, &json!({}))).await,
        FakeTier2::start(Does::refuses(404, &json!({}))).await,
        FakeTier2::start(Does::Deploys).await,
    ];
    let tier1 = Running::with(Cloudlets::of(&fakes.each_ref())).await;

    tier1.deploy("").await;

    let metrics = tier1.ask_admin("/metrics").await;
    for expected in [
        r#"sinfonia_tier1_deploys_total{outcome="deployed"} 1"#,
        r#"sinfonia_tier1_cloudlet_tries_total{outcome="deployed"} 1"#,
        r#"sinfonia_tier1_cloudlet_tries_total{outcome="declined"} 1"#,
        r#"sinfonia_tier1_cloudlet_tries_total{outcome="failed"} 1"#,
        "sinfonia_tier1_fall_overs_total 2",
        r#"sinfonia_tier1_cloudlets_known{origin="file"} 3"#,
        r#"sinfonia_tier1_cloudlets_known{origin="report"} 0"#,
        r#"sinfonia_tier1_http_requests_total{route="/api/v1/deploy/{uuid}/{*application_key}",method="POST",status="200"} 1"#,
    ] {
        assert!(
            metrics.lines().any(|line| line == expected),
            "{expected}\n{metrics}"
        );
    }
}

async fn assert_second_deploys(first: SocketAddr) {
    let healthy = FakeTier2::start(Does::Deploys).await;
    let cloudlets = Cloudlets::default().and(first, "").and(healthy.address, "");
    let tier1 = Running::with(cloudlets).await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.cloudlets(), [uuid(2)]);
}

async fn deploy_within(tier1: &Running, seconds: u64) -> crate::tier1::Answer {
    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let wait = format!("wait={seconds}");
    let headers = [("x-location", "0,0"), ("prefer", wait.as_str())];
    tier1.ask(Method::POST, &path, &headers).await
}

async fn unavailable(retry_after: &'static str) -> FakeTier2 {
    let headers = vec![("retry-after", retry_after)];
    FakeTier2::start(Does::Answers(
        StatusCode::SERVICE_UNAVAILABLE,
        headers,
        vec![],
    ))
    .await
}
