//! The end of a lease, and what comes after.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sinfonia_core::key::PublicKey;
use sinfonia_testbed::Service;

use super::support::{Answer, NEAR, World, cloudlet, deployments_url, eventually, key};

#[tokio::test]
async fn a_deployment_whose_lease_has_passed_comes_back_under_its_name_and_address() {
    let world = World::new();
    let (_tier2, tier1) = tiers(&world, &["--lease", "2s", "--grace", "1h"]).await;
    let first = world.deploy(&tier1, &key(1)).await;
    expiring(&world, &tier1, &key(1)).await;

    let back = world.deploy(&tier1, &key(1)).await;

    assert_eq!(identity(&back), identity(&first));
    assert_eq!(
        [&first, &back].map(|answer| answer.deployments()[0]["Status"].clone()),
        ["Deployed", "Deployed"]
    );
}

#[tokio::test]
async fn a_deployment_that_has_expired_is_gone_and_the_next_one_has_a_new_name() {
    let world = World::new();
    let (_tier2, tier1) = tiers(&world, &["--lease", "2s", "--grace", "0s"]).await;
    let first = world.deploy(&tier1, &key(1)).await;
    let expired = eventually("the deployment expires", async || {
        let answer = world.get(&deployments_url(&tier1, &key(1))).await;
        (answer.status == 404).then_some(answer)
    })
    .await;

    let next = world.deploy(&tier1, &key(1)).await;

    assert_eq!(expired.json()["class"], "expired");
    assert_ne!(next.deployment_name(), first.deployment_name());
    assert_eq!(next.deployments()[0]["Status"], "Deployed");
}

#[tokio::test]
async fn requests_keep_a_deployment_beyond_its_first_lease() {
    let world = World::new();
    let lease = SignedDuration::from_secs(4);
    let options = ["--lease", "4s", "--grace", "0s", "--client-rate", "0"];
    let (_tier2, tier1) = tiers(&world, &options).await;
    let first = world.deploy(&tier1, &key(1)).await;

    // An end that is later by a whole lease was written after the first lease had ended.
    let renewed = eventually("the first lease is over", async || {
        let answer = world.deploy(&tier1, &key(1)).await;
        (expires(&answer) >= expires(&first) + lease).then_some(answer)
    })
    .await;

    assert_eq!(identity(&renewed), identity(&first));
}

/// A Tier 2 that looks at its leases often, and a Tier 1 that knows it.
async fn tiers(world: &World, options: &[&str]) -> (Service, Service) {
    let options = [&["--job-interval", "1s"], options].concat();
    let tier2 = world.tier2("cloudlet", &options).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &tier2.url(), NEAR), &[])
        .await;
    (tier2, tier1)
}

async fn expiring(world: &World, tier1: &Service, key: &PublicKey) {
    eventually("the lease ends", async || {
        let answer = world.get(&deployments_url(tier1, key)).await;
        (answer.json()["Status"] == "Expiring").then_some(())
    })
    .await;
}

/// Name and tunnel address of the only deployment of an answer.
fn identity(answer: &Answer) -> (String, Value) {
    let address = answer.deployments()[0]["TunnelConfig"]["address"].clone();
    (answer.deployment_name(), address)
}

/// When the only deployment of an answer expires.
fn expires(answer: &Answer) -> Timestamp {
    let deployments = answer.deployments();
    deployments[0]["Expires"].as_str().unwrap().parse().unwrap()
}
