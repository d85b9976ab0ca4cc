use http::Method;
use serde_json::json;

use crate::tier1::{Cloudlets, OPEN_RECIPE, Running, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn a_burst_of_clients_does_not_land_on_one_cloudlet() {
    let (tier1, near, far) = two_cloudlets(0.8).await;

    for device in 0..6 {
        assert_eq!(deploy(&tier1, device).await.len(), 1);
    }

    // Each is taken for 0.045, so that three bring the near one above 0.9.
    let asked = [&near, &far].map(|fake| fake.asked(&Method::POST).len());
    assert_eq!(asked, [3, 3]);
}

#[tokio::test]
async fn renewals_are_no_placements() {
    let (tier1, near, _far) = two_cloudlets(0.8).await;

    for _ in 0..6 {
        deploy(&tier1, 1).await;
    }
    deploy(&tier1, 2).await;

    assert_eq!(near.asked(&Method::POST).len(), 7);
    let explained = tier1.get("/explain?location=0,0").await;
    assert_eq!(explained.body["candidates"][0]["class"], "normal");
}

#[tokio::test]
async fn what_a_cloudlet_declined_was_not_placed_there() {
    let (tier1, near, far) = two_cloudlets(0.8).await;
    near.now(Does::refuses(503, &json!({"status": 503})));

    for device in 0..4 {
        deploy(&tier1, device).await;
    }
    near.now(Does::Deploys);
    let placed = deploy(&tier1, 9).await;

    assert_eq!(placed, [uuid(1)]);
    assert_eq!(far.asked(&Method::POST).len(), 4);
}

#[tokio::test]
async fn an_overloaded_cloudlet_is_asked_last() {
    let (tier1, near, far) = two_cloudlets(0.95).await;
    let report = json!({"cpu_ratio": 0.1});
    tier1.report_resources(&far.endpoint(), &report).await;

    assert_eq!(deploy(&tier1, 1).await, [uuid(2)]);
    assert_eq!(near.asked(&Method::POST).len(), 0);
}

/// A Tier 1 with two cloudlets that report how busy their processors are.
async fn two_cloudlets(cpu: f64) -> (Running, FakeTier2, FakeTier2) {
    let (near, far) = (
        FakeTier2::start(Does::Deploys).await,
        FakeTier2::start(Does::Deploys).await,
    );
    let cloudlets = Cloudlets::of(&[&near, &far]);
    let tier1 = Running::with_options(cloudlets, &["--allow-anonymous-reports"]).await;
    for fake in [&near, &far] {
        let report = json!({"cpu_ratio": cpu});
        let status = tier1.report_resources(&fake.endpoint(), &report).await;
        assert_eq!(status.as_u16(), 204);
    }
    (tier1, near, far)
}

/// Has a device ask for a deployment, and tells where it got it.
async fn deploy(tier1: &Running, device: u8) -> Vec<String> {
    let key = format!("{device:064x}");
    let path = format!("/deploy/{OPEN_RECIPE}/{key}");
    let answer = tier1
        .ask(Method::POST, &path, &[("x-location", "0,0")])
        .await;
    answer.cloudlets().into_iter().map(str::to_owned).collect()
}
