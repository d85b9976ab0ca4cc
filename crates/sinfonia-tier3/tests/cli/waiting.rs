//! Waiting until a deployment runs.

use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::device::{
    CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer, of_class, problem, ready, starting, without,
};

#[tokio::test]
async fn it_asks_the_cloudlet_until_the_deployment_is_ready() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device.tells_once(answer(&starting())).await;
    // The cloudlet itself does not say who it is.
    device.tells(answer(&without(ready(), &["Cloudlet"]))).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Deployed  yes    10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: waiting for 1 of 2 Pods
    ");
    let question =
        format!("GET /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={CLOUDLET}");
    assert_eq!(device.asked().await[1..], [question.clone(), question]);
}

#[tokio::test]
async fn what_is_missing_is_told_as_it_changes() {
    let device = Device::new().await;
    let lacking = |message: &str| {
        let mut deployment = starting();
        deployment["Message"] = message.into();
        deployment
    };
    let (pulling, pulled) = (lacking("pulling image web:1"), lacking("web runs\u{1b}[2J"));
    device.deploys(answer(&json!([pulling]))).await;
    device.tells_once(answer(&pulling)).await;
    device.tells_once(answer(&pulled)).await;
    device.tells(answer(&ready())).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Deployed  yes    10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: pulling image web:1
    waiting for helloworld on Pittsburgh: web runs�[2J
    ");
}

#[tokio::test]
async fn trouble_on_the_way_is_sat_out() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device
        .tells_once(problem(502, "the cloudlet does not answer"))
        .await;
    device.tells(answer(&ready())).await;

    let told = device.run("deploy helloworld --quiet");

    assert!(told.starts_with("exit 0"), "{told}");
}

#[tokio::test]
async fn an_older_server_says_nothing_of_ready_and_is_believed() {
    let device = Device::new().await;
    let told = without(
        ready(),
        &["Ready", "Expires", "Cloudlet", "Created", "DeploymentName"],
    );
    device.deploys(answer(&json!([told]))).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 0
    -- stdout
    DEPLOYMENT  CLOUDLET  STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
    -           -         Deployed  yes    10.5.17.4  203.0.113.7:51820  -
    -- stderr
    deploying helloworld through http://tier1…
    ");
    assert_eq!(device.asked().await.len(), 1);
}

#[tokio::test]
async fn an_older_server_that_cannot_be_asked_ends_the_waiting() {
    for status in [404, 405] {
        let device = Device::new().await;
        let told = without(starting(), &["Ready", "Message", "Cloudlet"]);
        device.deploys(answer(&json!([told]))).await;
        device.tells(ResponseTemplate::new(status)).await;

        let told = device.run("deploy helloworld");

        assert!(told.starts_with("exit 0"), "{told}");
        assert!(told.contains("note: it is not ready yet"), "{told}");
    }
}

#[tokio::test]
async fn a_deployment_that_fails_says_why() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device
        .tells(of_class(
            404,
            "the image cannot be pulled",
            Some("not-ready"),
        ))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: waiting for 1 of 2 Pods
    error: helloworld: the deployment failed: the image cannot be pulled (404 Not Found, not-ready, request r-1)
    hint: what is deployed says its recipe: sinfonia-tier3 recipe helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn a_deployment_that_vanishes_is_told_as_gone() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device
        .tells(problem(404, "there is no such deployment"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: waiting for 1 of 2 Pods
    error: helloworld: the deployment is gone: there is no such deployment (404 Not Found, request r-1)
    hint: deploy it anew: sinfonia-tier3 deploy helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn of_several_deployments_one_that_fails_is_left_out() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready(), starting()]))).await;
    device
        .tells(of_class(
            404,
            "the image cannot be pulled",
            Some("not-ready"),
        ))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld --results 2"), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Deployed  yes    10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: waiting for 1 of 2 Pods
    note: one of the cloudlets is left out: the deployment failed: the image cannot be pulled (404 Not Found, not-ready, request r-1)
    ");
}

#[tokio::test]
async fn time_is_up_when_the_timeout_has_passed() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device.tells(answer(&starting())).await;

    insta::assert_snapshot!(device.run("deploy helloworld --timeout 1"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    waiting for helloworld on Pittsburgh: waiting for 1 of 2 Pods
    error: helloworld: the deployment is not ready yet: waiting for 1 of 2 Pods
    hint: it had 1 s (--timeout); see how far it is: sinfonia-tier3 status helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn an_interrupt_ends_the_waiting_and_says_how_to_delete() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;
    device.tells(answer(&starting())).await;
    let program = Command::new(cargo_bin!("sinfonia-tier3"))
        .args(["deploy", "helloworld", "--quiet"])
        .env_clear()
        .env("XDG_CACHE_HOME", device.folder().join("caches"))
        .env("SINFONIA_TIER1_URL", device.tier1.uri())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It listens to signals before it asks.
    while device.asked().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let process = nix::unistd::Pid::from_raw(program.id().try_into().unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();

    insta::assert_snapshot!(device.told(&program.wait_with_output().unwrap()), @r"
    exit 130
    -- stdout
    -- stderr
    error: interrupted
    hint: what was deployed stays until its lease ends; delete it: sinfonia-tier3 delete helloworld --tier1-url http://tier1
    ");
}
