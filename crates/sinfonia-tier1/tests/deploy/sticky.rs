use http::Method;
use serde_json::json;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn repeated_requests_stay_where_they_are() {
    let (near, far) = pair(down(), Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    let before = tier1.deploy("").await;
    near.now(Does::Deploys);
    let after = tier1.deploy("").await;

    assert_eq!(before.cloudlets(), [uuid(2)]);
    assert_eq!(after.cloudlets(), [uuid(2)]);
}

#[tokio::test]
async fn a_client_that_had_to_move_does_not_move_back() {
    let (near, far) = pair(Does::Deploys, Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    let first = tier1.deploy("").await;
    near.now(down());
    let second = tier1.deploy("").await;
    near.now(Does::Deploys);
    let third = tier1.deploy("").await;

    assert_eq!(first.cloudlets(), [uuid(1)]);
    assert_eq!(second.cloudlets(), [uuid(2)]);
    assert_eq!(third.cloudlets(), [uuid(2)]);
}

#[tokio::test]
async fn an_excluded_cloudlet_is_avoided_and_forgotten() {
    let (near, far) = pair(Does::Deploys, Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    tier1.deploy("").await;
    let moved = tier1.deploy(&format!("?exclude={}", uuid(1))).await;
    let stays = tier1.deploy("").await;

    assert_eq!(moved.cloudlets(), [uuid(2)]);
    assert_eq!(stays.cloudlets(), [uuid(2)]);
}

#[tokio::test]
async fn only_the_cloudlet_that_is_named_is_asked() {
    let (near, far) = pair(Does::Deploys, down()).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    let answer = tier1.deploy(&format!("?cloudlet={}", uuid(2))).await;

    assert_eq!(
        answer.problem(503),
        "no cloudlet can take the deployment now"
    );
    assert_eq!(far.asked(&Method::POST).len(), 1);
    assert_eq!(near.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn a_named_cloudlet_that_is_not_known_is_503() {
    let (near, far) = pair(Does::Deploys, Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    let answer = tier1.deploy(&format!("?cloudlet={}", uuid(7))).await;

    let expected = format!(
        "the cloudlet {} is not known or does not serve 127.0.0.1",
        uuid(7)
    );
    assert_eq!(answer.problem(503), expected);
    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}?cloudlet={}", uuid(7));
    assert_eq!(tier1.get(&path).await.problem(404), expected);
}

#[tokio::test]
async fn the_remembered_cloudlet_is_listed_first() {
    let (near, far) = pair(Does::Deploys, Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;
    tier1.deploy(&format!("?cloudlet={}", uuid(2))).await;

    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let answer = tier1
        .ask(Method::GET, &path, &[("x-location", "0,0")])
        .await;

    assert_eq!(answer.body[0]["uuid"], uuid(2));
}

async fn pair(near: Does, far: Does) -> (FakeTier2, FakeTier2) {
    (FakeTier2::start(near).await, FakeTier2::start(far).await)
}

fn down() -> Does {
    Does::refuses(503, &json!({}))
}
