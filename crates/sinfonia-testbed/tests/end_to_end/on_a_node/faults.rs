//! What breaks on a node, and what a device that uses its backend meanwhile notices of it.

use std::time::Duration;

use serde_json::Value;
use sinfonia_testbed::NodeProgram;
use tokio::time::sleep;

use super::device::Device;
use super::edge::{Edge, GRACE, LEASE, NAMESPACE, SLOW};
use crate::end_to_end::support::eventually;

const DEPLOY: [&str; 4] = ["deploy", "helloworld", "--output", "json"];

#[tokio::test]
async fn without_tier_2_for_longer_than_a_lease_devices_keep_their_backends() {
    let edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    let peers = edge.peers();
    // Nobody can renew any more: what went through the tunnel meanwhile is all that speaks for it once Tier 2 is back.
    edge.scale(NAMESPACE, "tier1-sinfonia", 0).await;
    edge.scale(NAMESPACE, "tier2-sinfonia", 0).await;
    sleep(LEASE + GRACE).await;
    let without = device.looks();
    let name = device.sees_its_page_from(without).await;
    edge.scale(NAMESPACE, "tier2-sinfonia", 2).await;
    sleep(GRACE * 3).await;
    edge.scale(NAMESPACE, "tier1-sinfonia", 1).await;
    edge.wait_until_served().await;

    assert_eq!(name, device.deployment());
    assert_eq!(edge.peers(), peers);
    edge.clean_up(device, &[]).await;
}

#[tokio::test]
async fn a_tier_2_that_is_killed_comes_back_and_goes_on() {
    let edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    let killed = edge.kill_all("sinfonia-tier2");
    eventually("Tier 2 runs again", async || {
        let now = edge.processes("sinfonia-tier2");
        (now.len() == killed.len() && now.iter().all(|id| !killed.contains(id))).then_some(())
    })
    .await;
    edge.wait_for_deployment(NAMESPACE, "tier2-sinfonia");
    edge.wait_until_served().await;
    let another = edge.tier3("another", &DEPLOY).await;

    assert_eq!(killed.len(), 3, "two replicas and the guard");
    assert_eq!(another.code, 0, "{}", another.stderr);
    let name = device.sees_its_page_from(device.looks()).await;
    assert_eq!(name, device.deployment());
    edge.clean_up(device, &["another"]).await;
}

#[tokio::test]
async fn an_installation_whose_helm_is_killed_is_made_by_another() {
    let edge = Edge::hold().await;
    let deploy = ["deploy", SLOW, "--output", "json"];

    let (deployed, killed) = tokio::join!(edge.tier3("device", &deploy), async {
        eventually("helm is at work", async || {
            (!edge.processes("helm").is_empty()).then_some(())
        })
        .await;
        // Its hook is under way.
        sleep(Duration::from_secs(1)).await;
        edge.kill_all("helm")
    });

    assert!(!killed.is_empty());
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let answer: Value = serde_json::from_str(&deployed.stdout).unwrap();
    assert_eq!(answer[0]["Ready"], true);
    let deleted = edge.tier3("device", &["delete", SLOW]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    edge.wait_until_nothing_is_left().await;
}

#[tokio::test]
async fn without_containerd_devices_keep_their_backends_and_new_ones_wait_for_it() {
    let mut edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    edge.node_mut().kill(NodeProgram::Containerd);
    let without = device.looks();
    let waiting = edge
        .tier3("another", &[&DEPLOY[..], &["--no-wait"]].concat())
        .await;
    let name = device.sees_its_page_from(without).await;
    let message = eventually("the message tells what is missing", async || {
        let message = edge.message("another", "helloworld").await;
        (!message.is_empty()).then_some(message)
    })
    .await;
    edge.node_mut().revive(NodeProgram::Containerd).unwrap();
    edge.wait_until_served().await;
    let another = edge.tier3("another", &DEPLOY).await;

    assert_eq!(name, device.deployment());
    assert_eq!(waiting.code, 0, "{}", waiting.stderr);
    let waiting: Value = serde_json::from_str(&waiting.stdout).unwrap();
    assert_eq!(waiting[0]["Ready"], false);
    assert!(message.contains("helloworld"), "{message}");
    assert_eq!(another.code, 0, "{}", another.stderr);
    let another: Value = serde_json::from_str(&another.stdout).unwrap();
    assert_eq!(another[0]["Ready"], true);
    edge.clean_up(device, &["another"]).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_and_back_serves_the_same_tunnels() {
    let mut edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    edge.node_mut().gateway().unwrap().kill();
    sleep(Duration::from_secs(3)).await;
    edge.node_mut().gateway().unwrap().restart().unwrap();
    let back = device.looks();

    let name = device.sees_its_page_from(back).await;
    assert_eq!(name, device.deployment());
    edge.clean_up(device, &[]).await;
}

#[tokio::test]
async fn a_node_that_is_not_ready_for_longer_than_a_lease_keeps_its_deployments() {
    let mut edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    let peers = edge.peers();
    // Nobody can renew any more: traffic is all that speaks for it.
    edge.scale(NAMESPACE, "tier1-sinfonia", 0).await;
    edge.node_mut().kill(NodeProgram::Kubelet);
    eventually("the node is not ready", async || {
        (!edge.node_is("Ready")).then_some(())
    })
    .await;
    sleep(LEASE).await;
    edge.node_mut().revive(NodeProgram::Kubelet).unwrap();
    edge.node().wait_until_ready().unwrap();
    let kept = edge.peers();
    let back = device.looks();
    let name = device.sees_its_page_from(back).await;
    edge.scale(NAMESPACE, "tier1-sinfonia", 1).await;
    edge.wait_for_deployment(NAMESPACE, "tier2-sinfonia");
    edge.wait_until_served().await;

    assert_eq!(name, device.deployment());
    assert_eq!(kept, peers);
    edge.clean_up(device, &[]).await;
}

#[tokio::test]
async fn a_full_disk_is_told_to_those_who_wait_and_over_when_it_is() {
    let mut edge = Edge::hold().await;

    edge.node_mut().set_disk_pressure(true).unwrap();
    eventually("the node has disk pressure", async || {
        edge.node_is("DiskPressure").then_some(())
    })
    .await;
    let waiting = edge
        .tier3("device", &[&DEPLOY[..], &["--no-wait"]].concat())
        .await;
    let message = eventually("the message tells of the disk", async || {
        let message = edge.message("device", "helloworld").await;
        message.contains("taint").then_some(message)
    })
    .await;
    edge.node_mut().set_disk_pressure(false).unwrap();
    edge.wait_until_served().await;
    let deployed = edge.tier3("device", &DEPLOY).await;

    assert_eq!(waiting.code, 0, "{}", waiting.stderr);
    assert!(message.contains("unschedulable"), "{message}");
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    edge.delete("device").await;
}

#[tokio::test]
async fn an_image_that_is_gone_is_told_to_those_who_wait() {
    let edge = Edge::hold().await;
    let image = edge.node().helloworld_image();

    edge.node().remove_image(&image).unwrap();
    let waiting = edge
        .tier3("device", &[&DEPLOY[..], &["--no-wait"]].concat())
        .await;
    let message = eventually("the message tells of the image", async || {
        let message = edge.message("device", "helloworld").await;
        message.contains("image").then_some(message)
    })
    .await;
    // kubelet would try again later and later.
    edge.delete("device").await;
    edge.node().import(&edge.node().web_server(&image)).unwrap();
    let deployed = edge.tier3("device", &DEPLOY).await;

    assert_eq!(waiting.code, 0, "{}", waiting.stderr);
    assert!(message.contains("nginx-unprivileged"), "{message}");
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    edge.delete("device").await;
}

#[tokio::test]
async fn without_a_name_server_deployments_are_made_and_kept() {
    let edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;

    edge.scale("kube-system", "coredns", 0).await;
    let idle = edge.tier3("idle", &DEPLOY).await;
    let peers = edge.peers();
    // Nobody can renew any more, and no connection of before leads to Prometheus: that nothing is known is all that speaks for the idle one.
    edge.scale(NAMESPACE, "tier1-sinfonia", 0).await;
    edge.scale("monitoring", "prometheus", 0).await;
    edge.scale("monitoring", "prometheus", 1).await;
    sleep(LEASE + GRACE * 3).await;
    let kept = edge.peers();
    edge.scale("kube-system", "coredns", 1).await;
    let back = device.looks();
    let name = device.sees_its_page_from(back).await;
    edge.scale(NAMESPACE, "tier1-sinfonia", 1).await;
    edge.wait_until_served().await;

    assert_eq!(idle.code, 0, "{}", idle.stderr);
    assert_eq!(peers.len(), 2);
    assert_eq!(kept, peers);
    assert_eq!(name, device.deployment());
    // The new Tier 1 knows nothing of them yet.
    edge.reclaim(device).await;
}

#[tokio::test]
async fn without_prometheus_no_lease_ends_and_with_it_those_of_idle_tunnels_do() {
    let edge = Edge::hold().await;
    let device = Device::start(&edge, "device").await;
    let idle = edge.tier3("idle", &DEPLOY).await;
    let peers = edge.peers();

    // Nobody can renew any more: traffic is all that speaks for a deployment.
    edge.scale(NAMESPACE, "tier1-sinfonia", 0).await;
    edge.scale("monitoring", "prometheus", 0).await;
    sleep(LEASE + GRACE * 3).await;
    let kept = edge.peers();
    edge.scale("monitoring", "prometheus", 1).await;
    let answer: Value = serde_json::from_str(&idle.stdout).unwrap_or_default();
    let name = answer[0]["DeploymentName"].as_str().unwrap_or_default();
    // It may have been extended a moment ago, while nothing was known. What becomes of the other one is not told here: a Prometheus that has
    // just begun knows nothing of the time before, and this lease is shorter than the time between two handshakes.
    sleep(LEASE + GRACE * 6).await;
    eventually("the idle deployment has ended", async || {
        let is_there = edge.deployments().iter().any(|there| there == name);
        (!is_there).then_some(())
    })
    .await;
    edge.scale(NAMESPACE, "tier1-sinfonia", 1).await;
    edge.wait_until_served().await;

    assert_eq!(idle.code, 0, "{}", idle.stderr);
    assert_eq!(peers.len(), 2);
    assert_eq!(kept, peers);
    // The new Tier 1 knows nothing of them yet.
    edge.reclaim(device).await;
}
