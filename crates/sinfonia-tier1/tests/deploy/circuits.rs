use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;

use crate::tier1::{Answer, Cloudlets, Running, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn one_of_ten_that_hangs_costs_others_no_more_than_its_places_and_five_failures() {
    let hanging = FakeTier2::start(Does::Hangs).await;
    let healthy = join_all((0..9).map(|_| FakeTier2::start(Does::Deploys))).await;
    let fleet: Vec<&FakeTier2> = [&hanging].into_iter().chain(&healthy).collect();
    let options = ["--max-in-flight-per-cloudlet=4"];
    let tier1 = Running::with_options(Cloudlets::of(&fleet), &options).await;

    let at_once = join_all((1..13).map(|number| tier1.deploy_as(number))).await;
    assert_eq!(hanging.asked(&Method::POST).len(), 4);
    let fifth = tier1.deploy_as(13).await;
    let mut after = Vec::new();
    for number in 14..44 {
        after.push(tier1.deploy_as(number).await);
    }

    let all = || at_once.iter().chain([&fifth]).chain(&after);
    assert!(all().all(|answer| answer.status == StatusCode::OK));
    // Ten seconds later another one is its probe.
    let who_waited = after.iter().filter(|answer| tries(answer) > 1).count();
    assert!(who_waited <= 1, "{who_waited} of 30");
    assert_eq!(hanging.asked(&Method::POST).len(), 5 + who_waited);
}

#[tokio::test]
async fn five_failures_open_a_circuit_that_is_explained_and_measured() {
    let (failing, healthy) = pair(Does::refuses(500, &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&failing, &healthy])).await;

    for number in 1..5 {
        tier1.deploy_as(number).await;
    }
    assert_eq!(classes(&tier1).await, [(1, "normal"), (2, "normal")]);
    tier1.deploy_as(5).await;

    assert_eq!(classes(&tier1).await, [(2, "normal"), (1, "circuit-open")]);
    assert_measured(&tier1, "sinfonia_tier1_circuits_open 1").await;
    assert_measured(&tier1, "sinfonia_tier1_circuit_openings_total 1").await;
}

#[tokio::test]
async fn a_cloudlet_that_asks_for_a_pause_is_asked_after_others() {
    let (resting, healthy) = pair(wants_a_pause("3600", &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &healthy])).await;

    let first = tier1.deploy_as(1).await;
    let second = tier1.deploy_as(2).await;

    assert_eq!((tries(&first), tries(&second)), (2, 1));
    assert_eq!(resting.asked(&Method::POST).len(), 1);
    assert_eq!(classes(&tier1).await, [(2, "normal"), (1, "circuit-open")]);
}

#[tokio::test]
async fn a_pause_for_one_deployment_is_none_for_others() {
    let one = &json!({"class": "quota-reached"});
    let (resting, healthy) = pair(wants_a_pause("3600", one)).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &healthy])).await;

    tier1.deploy_as(1).await;
    tier1.deploy_as(2).await;

    assert_eq!(resting.asked(&Method::POST).len(), 2);
}

#[tokio::test]
async fn when_nothing_better_is_left_a_cloudlet_is_asked_in_its_pause() {
    let (resting, other) = pair(wants_a_pause("3600", &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &other])).await;
    tier1.deploy_as(1).await;

    other.now(Does::refuses(500, &json!({})));
    resting.now(Does::Deploys);
    let answer = tier1.deploy_as(2).await;

    assert_eq!(answer.cloudlets(), [uuid(1)]);
}

#[tokio::test]
async fn a_client_that_a_cloudlet_serves_stays_there_in_its_pause() {
    let (resting, healthy) = pair(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &healthy])).await;
    tier1.deploy_as(1).await;

    resting.now(wants_a_pause("3600", &json!({})));
    let newcomer = tier1.deploy_as(2).await;
    resting.now(Does::Deploys);
    let returning = tier1.deploy_as(1).await;

    assert_eq!(newcomer.cloudlets(), [uuid(2)]);
    assert_eq!(returning.cloudlets(), [uuid(1)]);
}

#[tokio::test]
async fn after_its_pause_one_request_probes_a_cloudlet_and_others_do_not_wait_for_it() {
    let (resting, healthy) = pair(wants_a_pause("1", &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &healthy])).await;
    tier1.deploy_as(1).await;
    while classes(&tier1).await != [(1, "normal"), (2, "normal")] {}

    resting.now(Does::Hangs);
    let answers = join_all((2..10).map(|number| tier1.deploy_as(number))).await;

    let served = answers.iter().map(Answer::cloudlets);
    assert!(served.into_iter().all(|cloudlets| cloudlets == [uuid(2)]));
    assert_eq!(resting.asked(&Method::POST).len(), 2);
    let who_waited = answers.iter().filter(|answer| tries(answer) == 2).count();
    assert_eq!(who_waited, 1);
}

#[tokio::test]
async fn a_probe_that_is_answered_brings_a_cloudlet_back() {
    let (resting, healthy) = pair(wants_a_pause("1", &json!({}))).await;
    let tier1 = Running::with(Cloudlets::of(&[&resting, &healthy])).await;
    tier1.deploy_as(1).await;
    while classes(&tier1).await != [(1, "normal"), (2, "normal")] {}

    resting.now(Does::Deploys);
    let probe = tier1.deploy_as(2).await;
    let after = tier1.deploy_as(3).await;

    assert_eq!(probe.cloudlets(), [uuid(1)]);
    assert_eq!(after.cloudlets(), [uuid(1)]);
    assert_measured(&tier1, "sinfonia_tier1_circuits_open 0").await;
}

async fn pair(near: Does) -> (FakeTier2, FakeTier2) {
    let far = FakeTier2::start(Does::Deploys).await;
    (FakeTier2::start(near).await, far)
}

fn wants_a_pause(seconds: &'static str, problem: &serde_json::Value) -> Does {
    let headers = vec![("retry-after", seconds)];
    let body = problem.to_string().into_bytes();
    Does::Answers(StatusCode::SERVICE_UNAVAILABLE, headers, body)
}

fn tries(answer: &Answer) -> usize {
    let tries = answer.header("x-sinfonia-tries");
    tries.unwrap().parse().unwrap()
}

/// The cloudlets that would be asked for a client at 0,0, by their place in the file, with their classes.
async fn classes(tier1: &Running) -> Vec<(usize, &'static str)> {
    let answer = tier1.get("/explain?location=0,0").await;
    let candidates = answer.body["candidates"].as_array().unwrap();
    let place = |candidate: &serde_json::Value| {
        let place = (1..9).find(|place| candidate["cloudlet"]["uuid"] == uuid(*place));
        let classes = ["normal", "circuit-open"].into_iter();
        let class = { classes }.find(|class| candidate["class"] == *class);
        (place.unwrap(), class.unwrap())
    };
    candidates.iter().map(place).collect()
}

async fn assert_measured(tier1: &Running, expected: &str) {
    let metrics = tier1.ask_admin("/metrics").await;
    let is_told = metrics.lines().any(|line| line == expected);
    assert!(is_told, "{expected}\n{metrics}");
}
