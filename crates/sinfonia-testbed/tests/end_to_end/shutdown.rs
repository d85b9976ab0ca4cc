//! SIGTERM: what runs is finished, nothing new is taken.

use reqwest::Method;
use sinfonia_testbed::Service;
use tokio::net::TcpStream;

use super::fakes::{FakeServer, Relay, Reply};
use super::support::{
    HELLOWORLD, NEAR, OTHER, World, cloudlet, deploy_url, ended, eventually, key, send, stopped,
};

#[tokio::test]
async fn tier_1_answers_what_runs_takes_nothing_new_and_exits_with_0() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let relay = Relay::start(tier2.address()).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &relay.url(), NEAR), &[])
        .await;
    let answering = tokio::spawn(send(world.deploying(&tier1, &key(1))));
    eventually("the request is at the cloudlet", async || {
        world.has_deployment(&tier2, &key(1)).await.then_some(())
    })
    .await;

    tier1.terminate().unwrap();
    accepts_nothing(&tier1).await;
    relay.open();
    let answer = answering.await.unwrap();
    let status = ended(tier1).await;

    assert_eq!(answer.cloudlets(), ["cloudlet"]);
    assert_eq!(status.code(), Some(0));
    assert!(world.has_deployment(&tier2, &key(1)).await);
}

#[tokio::test]
async fn tier_1_releases_what_it_can_no_longer_answer() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let relay = Relay::start(tier2.address()).await;
    let file = cloudlet("cloudlet", &relay.url(), NEAR);
    let tier1 = world.tier1(&file, &["--shutdown-timeout", "1"]).await;
    let cut = tokio::spawn(world.deploying(&tier1, &key(1)).send());
    eventually("the request is at the cloudlet", async || {
        world.has_deployment(&tier2, &key(1)).await.then_some(())
    })
    .await;

    tier1.terminate().unwrap();
    let status = ended(tier1).await;

    assert!(cut.await.unwrap().is_err());
    assert_eq!(status.code(), Some(0));
    eventually("the deployment that nobody got is released", async || {
        (!world.has_deployment(&tier2, &key(1)).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tier_2_answers_what_runs_takes_nothing_new_and_exits_with_0() {
    let world = World::new();
    let repository = FakeServer::start(|_| {
        Reply::http("200 OK", &[], "chart: charts/helloworld\nversion: 0.1.0\n")
    })
    .await;
    let relay = Relay::start(repository.address()).await;
    let tier2 = world.tier2("cloudlet", &["--recipes", &relay.url()]).await;
    // When it starts it asks for the helloworld, so only a request asks for this one.
    let url = deploy_url(&tier2.url(), &key(1)).replace(HELLOWORLD, OTHER);
    let answering = tokio::spawn(send(world.request(Method::POST, &url)));
    eventually("the request waits for its recipe", async || {
        let asked = repository.seen("GET");
        asked.into_iter().find(|seen| seen.target.contains(OTHER))
    })
    .await;

    tier2.terminate().unwrap();
    accepts_nothing(&tier2).await;
    relay.open();
    let answer = answering.await.unwrap();
    let status = ended(tier2).await;

    answer.deployments();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn services_with_nothing_to_do_exit_with_0() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &tier2.url(), NEAR), &[])
        .await;
    // Connections that are kept open do not hold them up.
    world.deploy(&tier1, &key(1)).await.deployments();

    let codes = [stopped(tier1).await.code(), stopped(tier2).await.code()];

    assert_eq!(codes, [Some(0), Some(0)]);
}

/// Waits until connections to a service are refused.
async fn accepts_nothing(service: &Service) {
    eventually("nothing new is accepted", async || {
        TcpStream::connect(service.address()).await.err()
    })
    .await;
}
