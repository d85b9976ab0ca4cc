//! Which cloudlet serves a device, and which one after that.

use reqwest::Method;
use sinfonia_testbed::{ReservedPort, Service};
use tokio::task::spawn_blocking;

use super::support::{
    DEVICE, FAR, HELLOWORLD, NEAR, OTHER, RESTRICTED, UNKNOWN, World, cloudlet, cloudlets,
    deploy_url, deployments_url, key, send,
};

#[tokio::test]
async fn the_second_best_serves_while_the_best_is_down_and_keeps_whom_it_got() {
    let world = World::new();
    let near_port = ReservedPort::new().unwrap();
    let far = world.tier2("far", &[]).await;
    let tier1 = world
        .tier1(&near_and_far(&near_port.url(), &far.url()), &[])
        .await;

    let early = world.deploy(&tier1, &key(1)).await;
    let _near = world.tier2_on(&near_port, "near", &[]).await;
    let late = world.deploy(&tier1, &key(2)).await;
    let early_again = world.deploy(&tier1, &key(1)).await;

    let served = [&early, &late, &early_again].map(|answer| answer.cloudlets());
    assert_eq!(served, [["far"], ["near"], ["far"]]);
    assert_eq!(early_again.deployment_name(), early.deployment_name());
}

#[tokio::test]
async fn a_device_moves_on_when_its_cloudlet_dies_and_stays_where_it_went() {
    let world = World::new();
    let (near, far, tier1) = three_tiers(&world).await;
    let before = world.deploy(&tier1, &key(1)).await;

    spawn_blocking(move || near.kill()).await.unwrap().unwrap();
    let after = world.deploy(&tier1, &key(1)).await;
    let status = world.get(&deployments_url(&tier1, &key(1))).await;

    assert_eq!(before.cloudlets(), ["near"]);
    assert_eq!(after.cloudlets(), ["far"]);
    assert_eq!(status.kind(), (200, "application/json"));
    assert_eq!(status.json()["DeploymentName"], after.deployment_name());
    assert!(world.has_deployment(&far, &key(1)).await);
}

#[tokio::test]
async fn candidates_are_told_in_the_order_in_which_they_are_tried() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;

    let candidates = world
        .request(Method::GET, &deploy_url(&tier1.url(), &key(1)))
        .header("x-location", DEVICE);
    let candidates = send(candidates).await;
    let both = world.deploying(&tier1, &key(1)).query(&[("results", "9")]);
    let both = send(both).await;

    assert_eq!(candidates.kind(), (200, "application/json"));
    let told = candidates.json();
    let told: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|told| {
            (
                told["Rank"].as_u64(),
                told["name"].as_str(),
                told["Matcher"].as_str(),
            )
        })
        .collect();
    let expected = [
        (Some(1), Some("near"), Some("location")),
        (Some(2), Some("far"), Some("location")),
    ];
    assert_eq!(told, expected);
    assert_eq!(both.cloudlets(), ["near", "far"]);
}

#[tokio::test]
async fn a_device_that_excludes_its_cloudlet_gets_another_and_keeps_that() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let first = world.deploy(&tier1, &key(1)).await;
    let near = first.deployments()[0]["Cloudlet"]["uuid"].clone();

    let excluding = world
        .deploying(&tier1, &key(1))
        .query(&[("exclude", near.as_str().unwrap())]);
    let elsewhere = send(excluding).await;
    let again = world.deploy(&tier1, &key(1)).await;
    let only = world
        .deploying(&tier1, &key(1))
        .query(&[("cloudlet", near.as_str().unwrap())]);
    let back = send(only).await;

    let served = [&first, &elsewhere, &again, &back].map(|answer| answer.cloudlets());
    assert_eq!(served, [["near"], ["far"], ["far"], ["near"]]);
}

#[tokio::test]
async fn a_key_in_use_by_another_application_is_served_elsewhere_or_not_at_all() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let other = |path: &str| path.replace(HELLOWORLD, OTHER);
    let deploy_other = async || {
        let url = other(&deploy_url(&tier1.url(), &key(1)));
        send(
            world
                .request(Method::POST, &url)
                .header("x-location", DEVICE),
        )
        .await
    };
    let first = world.deploy(&tier1, &key(1)).await;

    let elsewhere = deploy_other().await;
    let third = other(&deploy_url(&tier1.url(), &key(1))).replace(OTHER, RESTRICTED);
    let nowhere = send(world.request(Method::POST, &third)).await;

    assert_eq!(first.cloudlets(), ["near"]);
    assert_eq!(elsewhere.cloudlets(), ["far"]);
    assert_eq!(nowhere.kind(), (409, "application/problem+json"));
}

#[tokio::test]
async fn a_device_that_has_enough_is_told_at_once() {
    let world = World::new();
    let near = world
        .tier2("near", &["--max-deployments-per-client", "1"])
        .await;
    let far = world.tier2("far", &[]).await;
    let tier1 = world
        .tier1(&near_and_far(&near.url(), &far.url()), &[])
        .await;
    world.deploy(&tier1, &key(1)).await.deployments();

    let second = world.deploy(&tier1, &key(2)).await;

    assert_eq!(second.kind(), (429, "application/problem+json"));
    assert_ne!(second.header("retry-after"), "");
    assert!(!world.has_deployment(&far, &key(2)).await);
}

#[tokio::test]
async fn a_full_cloudlet_is_passed_over() {
    let world = World::new();
    let near = world.tier2("near", &["--max-deployments", "1"]).await;
    let far = world.tier2("far", &[]).await;
    let tier1 = world
        .tier1(&near_and_far(&near.url(), &far.url()), &[])
        .await;

    let served = [
        world.deploy(&tier1, &key(1)).await.cloudlets(),
        world.deploy(&tier1, &key(2)).await.cloudlets(),
    ];

    assert_eq!(served, [["near"], ["far"]]);
}

#[tokio::test]
async fn the_status_says_why_nobody_serves() {
    let world = World::new();
    let down = ReservedPort::new().unwrap();
    let near = format!(
        "{}rejected_clients: [203.0.113.0/24]\n",
        cloudlet("near", &down.url(), NEAR)
    );
    let tier1 = world.tier1(&near, &[]).await;
    let url = deploy_url(&tier1.url(), &key(1));

    let down = send(world.request(Method::POST, &url)).await;
    let rejected = send(
        world
            .request(Method::POST, &url)
            .header("x-clientip", "203.0.113.9"),
    )
    .await;
    let no_candidates = send(
        world
            .request(Method::GET, &url)
            .header("x-clientip", "203.0.113.9"),
    )
    .await;
    let unknown = send(world.request(Method::POST, &url.replace(HELLOWORLD, UNKNOWN))).await;
    let nowhere = world.get(&deployments_url(&tier1, &key(1))).await;

    let kinds = [&down, &rejected, &no_candidates, &unknown, &nowhere].map(|answer| answer.kind());
    let problem = "application/problem+json";
    assert_eq!(
        kinds,
        [
            (502, problem),
            (503, problem),
            (404, problem),
            (404, problem),
            (404, problem)
        ]
    );
}

#[tokio::test]
async fn what_a_device_gives_back_is_gone_at_the_cloudlet() {
    let world = World::new();
    let (near, _far, tier1) = three_tiers(&world).await;
    world.deploy(&tier1, &key(1)).await.deployments();
    let url = deployments_url(&tier1, &key(1));

    let stranger = world
        .request(Method::DELETE, &url)
        .header("x-clientip", "203.0.113.9");
    let stranger = send(stranger).await;
    let deleted = send(world.request(Method::DELETE, &url)).await;
    let afterwards = world.get(&url).await;

    assert_eq!(
        [stranger.status, deleted.status, afterwards.status],
        [403, 204, 404]
    );
    assert!(!world.has_deployment(&near, &key(1)).await);
}

/// Two Tier 2s, and a Tier 1 that knows both.
async fn three_tiers(world: &World) -> (Service, Service, Service) {
    let near = world.tier2("near", &[]).await;
    let far = world.tier2("far", &[]).await;
    let tier1 = world
        .tier1(&near_and_far(&near.url(), &far.url()), &[])
        .await;
    (near, far, tier1)
}

fn near_and_far(near: &str, far: &str) -> String {
    cloudlets(&[cloudlet("near", near, NEAR), cloudlet("far", far, FAR)])
}
