//! Tokens that are missing, wrong and right: for reports, for deploying, and of operators.

use reqwest::{Method, RequestBuilder};
use rstest::rstest;
use serde_json::json;
use sinfonia_testbed::{ReservedPort, Service};

use super::support::{
    ALLOW_LOOPBACK, FAR, NEAR, World, cloudlet, cloudlets, deploy_url, deployments_url, eventually,
    key, logged, send,
};

/// Nobody's address counts but the peer's, so that loopback is no trusted proxy.
const NO_PROXIES: [&str; 2] = ["--trusted-proxies", "[]"];

#[rstest]
#[case::none(None, 401)]
#[case::wrong(Some("guess"), 403)]
#[case::of_another_endpoint(Some("theirs"), 403)]
#[case::of_this_endpoint(Some("ours"), 204)]
#[case::of_this_uuid(Some("by-uuid"), 204)]
#[case::of_all(Some("all"), 204)]
#[tokio::test]
async fn a_report_needs_a_token_of_its_scope(#[case] token: Option<&str>, #[case] expected: u16) {
    let world = World::new();
    let tokens = world.file(
        "report-tokens",
        "ours https://cloudlet.example/api/v1/deploy\n\
         theirs https://other.example/api/v1/deploy # not ours\n\
         by-uuid 00112233-4455-6677-8899-aabbccddeeff\n\
         all *\n",
    );
    let tier1 = world
        .tier1_without_cloudlets(&["--report-tokens", &tokens])
        .await;

    let report = json!({
        "uuid": "00112233-4455-6677-8899-aabbccddeeff",
        "endpoint": "https://cloudlet.example/api/v1/deploy",
        "name": "reported",
    });
    let answer = send(with_token(reporting(&world, &tier1).json(&report), token)).await;

    assert_eq!(answer.status, expected, "{}", answer.text);
    let known: &[&str] = if expected == 204 { &["reported"] } else { &[] };
    assert_eq!(world.known_cloudlets(&tier1).await, known);
}

#[rstest]
#[case::none(None, 401)]
#[case::wrong(Some("guess"), 403)]
#[case::right(Some("ours"), 400)]
#[tokio::test]
async fn who_may_not_report_hears_nothing_about_the_report(
    #[case] token: Option<&str>,
    #[case] expected: u16,
) {
    let world = World::new();
    let tokens = world.file("report-tokens", "ours *\n");
    let tier1 = world
        .tier1_without_cloudlets(&["--report-tokens", &tokens])
        .await;

    let answer = send(with_token(reporting(&world, &tier1).body("no json"), token)).await;

    assert_eq!(answer.kind(), (expected, "application/problem+json"));
}

#[rstest]
#[case::none(None, "401")]
#[case::wrong(Some("guess"), "403")]
#[tokio::test]
async fn tier_2_says_that_its_reports_are_refused(
    #[case] token: Option<&str>,
    #[case] status: &str,
) {
    let world = World::new();
    let tokens = world.file("report-tokens", "ours *\n");
    let tier1 = world
        .tier1_without_cloudlets(&["--report-tokens", &tokens])
        .await;
    let port = ReservedPort::new().unwrap();

    let tier2 = reporter(&world, &port, &tier1, token).await;

    logged(&tier2, "reports are not accepted").await;
    let log = tier2.log_text();
    assert!(
        log.contains(&format!("does not take the report: {status}")),
        "{log}"
    );
    assert!(world.known_cloudlets(&tier1).await.is_empty());
}

#[tokio::test]
async fn tier_2_reports_with_its_token() {
    let world = World::new();
    let port = ReservedPort::new().unwrap();
    let scope = format!("{}/api/v1/deploy", port.url());
    let tokens = world.file("report-tokens", &format!("ours {scope}\n"));
    let options = [&["--report-tokens", &tokens], &ALLOW_LOOPBACK[..]].concat();
    let tier1 = world.tier1_without_cloudlets(&options).await;

    let tier2 = reporter(&world, &port, &tier1, Some("ours")).await;

    logged(&tier2, "reports are accepted").await;
    assert_eq!(world.known_cloudlets(&tier1).await, ["reporter"]);
    assert_eq!(
        world.deploy(&tier1, &key(1)).await.cloudlets(),
        ["reporter"]
    );
}

#[rstest]
#[case::none(None, 401)]
#[case::wrong(Some("guess"), 403)]
#[case::right(Some("ours"), 200)]
#[tokio::test]
async fn deploying_needs_a_token(#[case] token: Option<&str>, #[case] expected: u16) {
    let world = World::new();
    let tier2 = guarded_tier2(&world).await;
    let url = deploy_url(&tier2.url(), &key(1));

    let deployed = send(with_token(world.request(Method::POST, &url), token)).await;
    let deleted = send(with_token(world.request(Method::DELETE, &url), token)).await;

    let allowed = expected == 200;
    let deleted_as = if allowed { 204 } else { expected };
    assert_eq!([deployed.status, deleted.status], [expected, deleted_as]);
    if expected == 401 {
        assert_eq!(deployed.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn reading_a_deployment_needs_no_token() {
    let world = World::new();
    let tier2 = guarded_tier2(&world).await;
    let url = deploy_url(&tier2.url(), &key(1));
    let deploying = with_token(world.request(Method::POST, &url), Some("ours"));
    send(deploying).await.deployments();

    let answer = world.get(&url).await;

    assert_eq!(answer.kind(), (200, "application/json"));
}

#[rstest]
#[case::none(None, "open")]
#[case::wrong(Some("guess"), "open")]
#[case::right(Some("ours"), "guarded")]
#[tokio::test]
async fn tier_1_shows_the_token_of_the_cloudlet_file(
    #[case] token: Option<&str>,
    #[case] expected: &str,
) {
    let world = World::new();
    let guarded = guarded_tier2(&world).await;
    let open = world.tier2("open", &[]).await;
    let mut entry = cloudlet("guarded", &guarded.url(), NEAR);
    if let Some(token) = token {
        // Relative to the cloudlet file.
        world.write("token-of-guarded", token);
        entry += "token_file: token-of-guarded\n";
    }
    let file = cloudlets(&[entry, cloudlet("open", &open.url(), FAR)]);
    let tier1 = world.tier1(&file, &[]).await;

    let answer = world.deploy(&tier1, &key(1)).await;

    assert_eq!(answer.cloudlets(), [expected]);
}

#[tokio::test]
async fn a_device_can_give_back_what_a_guarded_cloudlet_has() {
    let world = World::new();
    let guarded = guarded_tier2(&world).await;
    world.write("token-of-guarded", "ours");
    let entry = cloudlet("guarded", &guarded.url(), NEAR) + "token_file: token-of-guarded\n";
    let tier1 = world.tier1(&entry, &[]).await;
    world.deploy(&tier1, &key(1)).await.deployments();
    let url = deployments_url(&tier1, &key(1));

    let stranger = world
        .request(Method::DELETE, &url)
        .header("x-clientip", "203.0.113.9");
    let stranger = send(stranger).await;
    let creator = send(world.request(Method::DELETE, &url)).await;

    assert_eq!([stranger.status, creator.status], [403, 204]);
}

#[rstest]
#[case::none(None, 401)]
#[case::wrong(Some("guess"), 403)]
#[case::right(Some("operator"), 200)]
#[tokio::test]
async fn explanations_for_others_need_an_operators_token(
    #[case] token: Option<&str>,
    #[case] expected: u16,
) {
    let world = World::new();
    let tier1 = tier1_with_operators(&world, &[]).await;

    // A proxy on loopback relays it, so it does not come from loopback.
    let request = explaining(&world, &tier1).header("x-forwarded-for", "203.0.113.9");
    let answer = send(with_token(request, token)).await;

    assert_eq!(answer.status, expected, "{}", answer.text);
}

#[tokio::test]
async fn explanations_need_no_token_on_the_same_machine_or_where_they_are_public() {
    let world = World::new();
    let tier1 = tier1_with_operators(&world, &[]).await;
    let public = tier1_with_operators(&world, &["--public-explain"]).await;

    let local = send(explaining(&world, &tier1)).await;
    let remote = explaining(&world, &public).header("x-forwarded-for", "203.0.113.9");
    let remote = send(remote).await;

    assert_eq!([local.status, remote.status], [200, 200]);
    let told = remote.json();
    assert_eq!(told["client"]["address"], "203.0.113.9");
    assert_eq!(told["candidates"][0]["cloudlet"]["name"], "somewhere");
    assert_eq!(told["excluded"][0]["cloudlet"]["name"], "elsewhere");
    assert_eq!(told["excluded_total"], 1);
}

#[rstest]
#[case::none(None, "127.0.0.1")]
#[case::wrong(Some("guess"), "127.0.0.1")]
#[case::right(Some("operator"), "198.51.100.7")]
#[tokio::test]
async fn an_address_counts_from_an_operator(#[case] token: Option<&str>, #[case] expected: &str) {
    let world = World::new();
    let options = [&NO_PROXIES[..], &["--public-explain"]].concat();
    let tier1 = tier1_with_operators(&world, &options).await;

    let request = explaining(&world, &tier1).header("x-clientip", "198.51.100.7");
    let answer = send(with_token(request, token)).await;

    assert_eq!(answer.json()["client"]["address"], expected);
}

#[tokio::test]
async fn a_token_that_is_taken_from_the_file_no_longer_counts() {
    let world = World::new();
    let tokens = world.file("report-tokens", "old *\n");
    let tier1 = world
        .tier1_without_cloudlets(&["--report-tokens", &tokens])
        .await;
    let report = json!({
        "uuid": "00112233-4455-6677-8899-aabbccddeeff",
        "endpoint": "https://cloudlet.example/api/v1/deploy",
    });
    let status = async |token| {
        let request = with_token(reporting(&world, &tier1).json(&report), Some(token));
        send(request).await.status
    };
    assert_eq!(status("old").await, 204);

    world.write("report-tokens", "new *\n");
    eventually("the new token counts", async || {
        (status("new").await == 204).then_some(())
    })
    .await;

    assert_eq!(status("old").await, 403);
}

/// A Tier 2 that deploys for the bearers of the token `ours` alone.
async fn guarded_tier2(world: &World) -> Service {
    let tokens = world.file("deploy-tokens", "ours\nof-somebody-else\n");
    let options = [&["--deploy-tokens", &tokens], &NO_PROXIES[..]].concat();
    world.tier2("guarded", &options).await
}

/// A Tier 2 that reports to this Tier 1.
async fn reporter(
    world: &World,
    port: &ReservedPort,
    tier1: &Service,
    token: Option<&str>,
) -> Service {
    let (tier1, own) = (tier1.url(), port.url());
    let mut options = vec![
        "--tier1-url",
        &tier1,
        "--tier2-url",
        &own,
        "--name",
        "reporter",
    ];
    let file = token.map(|token| world.file("report-token", token));
    if let Some(file) = &file {
        options.extend(["--report-token", file]);
    }
    world.tier2_on(port, "reporter", &options).await
}

async fn tier1_with_operators(world: &World, options: &[&str]) -> Service {
    let tokens = world.file("operator-tokens", "operator\n");
    let options = [&["--operator-tokens", &tokens], options].concat();
    let elsewhere = cloudlet("elsewhere", "https://elsewhere.example", FAR)
        + "rejected_clients: [203.0.113.0/24]\n";
    let file = cloudlets(&[
        cloudlet("somewhere", "https://somewhere.example", NEAR),
        elsewhere,
    ]);
    world.tier1(&file, &options).await
}

fn explaining(world: &World, tier1: &Service) -> RequestBuilder {
    world.request(Method::GET, &format!("{}/api/v1/explain", tier1.url()))
}

fn reporting(world: &World, tier1: &Service) -> RequestBuilder {
    world.request(Method::POST, &format!("{}/api/v1/cloudlets/", tier1.url()))
}

fn with_token(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}
