//! `sinfonia-tier3` against the other tiers, as someone at a terminal uses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_core::key::PublicKey;
use sinfonia_testbed::{ReservedPort, Service};

use super::fakes::{FakeServer, Reply};
use super::support::{
    DEVICE, FAR, HELLOWORLD, NEAR, RESTRICTED, Ran, UNKNOWN, World, cloudlet, cloudlets, send,
};

#[tokio::test]
async fn a_backend_is_chosen_deployed_looked_at_and_given_back() {
    let world = World::new();
    let (near, _far, tier1) = three_tiers(&world).await;
    let at_tier1 = async |arguments: &[&str]| {
        let url = tier1.url();
        world
            .tier3(&[arguments, &["--tier1-url", &url]].concat())
            .await
    };

    let candidates = at_tier1(&[
        "candidates",
        "helloworld",
        "--location",
        DEVICE,
        "-o",
        "json",
    ]);
    let candidates = json_of(&candidates.await);
    let deployed = at_tier1(&["deploy", "helloworld", "--location", DEVICE, "-o", "json"]);
    let deployed = json_of(&deployed.await);
    let status = json_of(&at_tier1(&["status", "helloworld", "--output", "json"]).await);
    let deleted = at_tier1(&["delete", "helloworld"]).await;
    let afterwards = at_tier1(&["status", "helloworld"]).await;

    assert_eq!(
        (&candidates[0]["name"], &candidates[0]["Rank"]),
        (&json!("near"), &json!(1))
    );
    assert_eq!(
        (&candidates[1]["name"], &candidates[1]["Rank"]),
        (&json!("far"), &json!(2))
    );
    let deployment = &deployed[0];
    assert_eq!(deployed.as_array().map(Vec::len), Some(1));
    assert_eq!(deployment["Cloudlet"]["name"], "near");
    assert_eq!(deployment["Status"], "Deployed");
    assert_eq!(deployment["Ready"], true);
    assert_eq!(deployment["Sandbox"], true);
    assert_eq!(deployment["UUID"], HELLOWORLD);
    assert_eq!(status["DeploymentName"], deployment["DeploymentName"]);
    assert_eq!(
        (deleted.code, deleted.stdout.as_str()),
        (0, ""),
        "{}",
        deleted.stderr
    );
    assert_failed(
        &afterwards,
        1,
        "hint: deploy it: sinfonia-tier3 deploy helloworld",
    );
    let gone = format!(
        "{}/api/v1/deploy/{HELLOWORLD}/{}",
        near.url(),
        deployment["ApplicationKey"].as_str().unwrap()
    );
    assert_eq!(world.get(&gone).await.status, 404);
}

#[tokio::test]
async fn people_get_tables_and_programs_json_or_yaml() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let url = tier1.url();
    let deploy = async |form: &str| {
        let arguments = [
            "deploy",
            "helloworld",
            "--results",
            "2",
            "--location",
            DEVICE,
        ];
        world
            .tier3(&[&arguments, &["--tier1-url", &url, "-o", form][..]].concat())
            .await
    };

    let table = deploy("table").await;
    let json = json_of(&deploy("json").await);
    let yaml = deploy("yaml").await;

    for text in [&table.stdout, &yaml.stdout] {
        for deployment in json.as_array().unwrap() {
            let name = deployment["DeploymentName"].as_str().unwrap();
            let cloudlet = deployment["Cloudlet"]["name"].as_str().unwrap();
            assert!(text.contains(name) && text.contains(cloudlet), "{text}");
        }
    }
    assert_eq!([table.code, yaml.code], [0, 0]);
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert!(yaml.stdout.contains("Status: Deployed"), "{}", yaml.stdout);
}

#[tokio::test]
async fn a_recipe_is_shown() {
    let world = World::new();
    let tier1 = world.tier1_without_cloudlets(&[]).await;

    let arguments = [
        "recipe",
        "helloworld",
        "--tier1-url",
        &tier1.url(),
        "-o",
        "json",
    ];
    let recipe = json_of(&world.tier3(&arguments).await);

    assert_eq!(recipe["chart"], "charts/helloworld");
    assert_eq!(recipe["version"], "0.1.0");
}

#[tokio::test]
async fn wg_quick_gets_a_file_that_belongs_to_the_deployment() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let deploy = ["deploy", "helloworld", "--tier1-url", &tier1.url(), "-o"];

    let file = world.tier3(&[&deploy[..], &["wg"]].concat()).await;
    let answer = json_of(&world.tier3(&[&deploy[..], &["json"]].concat()).await);

    assert_eq!(file.code, 0, "{}", file.stderr);
    let value = |name: &str| value_of(&file.stdout, name);
    let tunnel = &answer[0]["TunnelConfig"];
    assert_eq!(value("PublicKey"), tunnel["publicKey"].as_str().unwrap());
    assert_eq!(value("Endpoint"), tunnel["endpoint"].as_str().unwrap());
    assert_eq!(value("Address"), tunnel["address"][0].as_str().unwrap());
    assert_eq!(value("AllowedIPs"), "0.0.0.0/0");
    assert_eq!(value("PersistentKeepalive"), "10");
    assert_eq!(value("PrivateKey"), cached(&world, "private_key"));
    assert_eq!(answer[0]["ApplicationKey"], cached(&world, "public_key"));
}

#[tokio::test]
async fn the_older_form_writes_the_files_of_the_tunnel() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;

    let written = ["--config-debug", &tier1.url(), HELLOWORLD, "curl", "--help"];
    let written = world.tier3(&written).await;

    assert_eq!(
        (written.code, written.stdout.as_str()),
        (0, ""),
        "{}",
        written.stderr
    );
    let wg = world.path().join("wg.conf");
    assert_eq!(
        fs::metadata(&wg).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let wg = fs::read_to_string(wg).unwrap();
    assert_eq!(value_of(&wg, "PrivateKey"), cached(&world, "private_key"));
    assert!(!wg.contains("Address") && !wg.contains("DNS"), "{wg}");
    let resolv = fs::read_to_string(world.path().join("resolv.conf")).unwrap();
    let words: Vec<_> = resolv
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(words, ["nameserver", "search", "options"]);
    assert!(resolv.ends_with("options ndots:5\n"), "{resolv}");
}

#[tokio::test]
async fn the_key_of_an_application_is_kept_for_its_owner_alone() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let deploy = [
        "deploy",
        "helloworld",
        "--tier1-url",
        &tier1.url(),
        "-o",
        "json",
    ];

    let first = json_of(&world.tier3(&deploy).await);
    let second = json_of(&world.tier3(&deploy).await);

    assert_eq!(second[0]["ApplicationKey"], first[0]["ApplicationKey"]);
    assert_eq!(second[0]["DeploymentName"], first[0]["DeploymentName"]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = world.path().join("cache/sinfonia");
    assert_eq!(
        [mode(folder.clone()), mode(folder.join(HELLOWORLD))],
        [0o700, 0o600]
    );
}

#[rstest]
#[case::unknown_recipe(&["deploy", UNKNOWN], 1, "there is no recipe")]
#[case::unknown_recipe_to_show(&["recipe", UNKNOWN], 1, "404 Not Found")]
#[case::hidden_recipe(&["recipe", RESTRICTED], 1, "sinfonia-tier3 deploy")]
#[case::nobody_serves(&["deploy", "helloworld"], 1, "sinfonia-tier3 candidates")]
#[case::no_candidates(&["candidates", "helloworld"], 1, "/api/v1/cloudlets/")]
#[case::never_deployed(&["status", "helloworld"], 1, "hint: deploy it first: sinfonia-tier3 deploy helloworld")]
#[tokio::test]
async fn a_refusal_is_told_with_what_to_do(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] told: &str,
) {
    let world = World::new();
    let nobody =
        cloudlet("nobody", "http://127.0.0.1:9", NEAR) + "rejected_clients: [127.0.0.0/8]\n";
    let tier1 = world.tier1(&nobody, &[]).await;

    let ran = world
        .tier3(&[arguments, &["--tier1-url", &tier1.url()]].concat())
        .await;

    assert_failed(&ran, code, told);
}

#[tokio::test]
async fn what_was_deployed_from_another_network_is_not_deleted_from_here() {
    let world = World::new();
    let (near, _far, tier1) = three_tiers(&world).await;
    let url = tier1.url();
    world
        .tier3(&["candidates", "helloworld", "--tier1-url", &url])
        .await;
    let key: PublicKey = cached(&world, "public_key").parse().unwrap();
    let elsewhere = world
        .deploying(&tier1, &key)
        .header("x-clientip", "203.0.113.9");
    send(elsewhere).await.deployments();

    let ran = world
        .tier3(&["delete", "helloworld", "--tier1-url", &url])
        .await;

    assert_failed(
        &ran,
        1,
        "hint: delete it from the network from which it was deployed",
    );
    assert!(world.has_deployment(&near, &key).await);
}

#[tokio::test]
async fn a_cloudlet_that_is_down_is_told_with_what_to_do() {
    let world = World::new();
    let down = ReservedPort::new().unwrap();
    let tier1 = world.tier1(&cloudlet("down", &down.url(), NEAR), &[]).await;

    let ran = world
        .tier3(&["deploy", "helloworld", "--tier1-url", &tier1.url()])
        .await;

    assert_failed(&ran, 1, "unreachable");
}

#[tokio::test]
async fn a_tier_1_that_is_down_is_told_with_what_to_do() {
    let world = World::new();
    let down = ReservedPort::new().unwrap();

    let ran = world
        .tier3(&["deploy", "helloworld", "--tier1-url", &down.url()])
        .await;

    assert_failed(&ran, 1, &format!("cannot reach Tier 1 at {}", down.url()));
}

#[tokio::test]
async fn a_url_that_leads_to_another_server_is_told_with_what_to_do() {
    let world = World::new();
    let html = FakeServer::start(|_| {
        Reply::http(
            "200 OK",
            &["content-type: text/html"],
            "<html>It works!</html>",
        )
    })
    .await;
    let tier2 = world.tier2("cloudlet", &[]).await;

    for url in [html.url(), format!("{}/elsewhere", tier2.url())] {
        let ran = world
            .tier3(&["candidates", "helloworld", "--tier1-url", &url])
            .await;

        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn without_a_url_it_says_where_to_name_one() {
    let world = World::new();

    let ran = world.tier3(&["deploy", "helloworld"]).await;

    assert_failed(&ran, 1, "SINFONIA_TIER1_URL");
}

#[tokio::test]
async fn an_application_gets_the_page_of_the_cloudlet_through_the_tunnel() {
    let world = World::new();
    let (_near, _far, tier1) = three_tiers(&world).await;
    let url = tier1.url();

    let deploy = ["deploy", "helloworld", "--tier1-url", &url, "--"];
    let ran = world.tier3(&[&deploy[..], &GET_PAGE].concat()).await;

    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("HTTP/1.0 200 OK\r\n"),
        "{}",
        ran.stdout
    );
    let key = cached(&world, "public_key");
    assert!(ran.stdout.contains(&key), "{}", ran.stdout);
    let status = world
        .tier3(&["status", "helloworld", "--tier1-url", &url])
        .await;
    assert_eq!(status.code, 1, "it was not given back: {}", status.stdout);
}

#[tokio::test]
async fn an_application_does_not_start_where_nobody_answers_in_the_tunnel() {
    let world = World::new();
    // A way that leads nowhere: nobody listens at that port.
    let nowhere = ["--tunnel-endpoint", "127.0.0.1:9"];
    let near = world.tier2("near", &nowhere).await;
    let file = cloudlet("near", &near.url(), NEAR);
    let tier1 = world.tier1(&file, &[]).await;
    let url = tier1.url();

    let ran = world
        .tier3(&[&[&url, HELLOWORLD][..], &GET_PAGE].concat())
        .await;

    assert_failed(&ran, 125, "does not answer");
    let status = world
        .tier3(&["status", "helloworld", "--tier1-url", &url])
        .await;
    assert_eq!(status.code, 1, "it was not given back: {}", status.stdout);
}

/// An application that asks the cloudlet's web server for its page, by a name that only the deployment's DNS knows.
const GET_PAGE: [&str; 3] = [
    "bash",
    "-c",
    r"exec 3<>/dev/tcp/helloworld/80; printf 'GET / HTTP/1.0\r\nHost: helloworld\r\n\r\n' >&3; cat <&3",
];

/// Two Tier 2s, and a Tier 1 that knows both.
async fn three_tiers(world: &World) -> (Service, Service, Service) {
    let near = world.tier2("near", &[]).await;
    let far = world.tier2("far", &[]).await;
    let file = cloudlets(&[
        cloudlet("near", &near.url(), NEAR),
        cloudlet("far", &far.url(), FAR),
    ]);
    let tier1 = world.tier1(&file, &[]).await;
    (near, far, tier1)
}

/// What a command that succeeded has printed.
fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The command failed with this code, said this, and what to do next; there was nothing on stdout.
fn assert_failed(ran: &Ran, code: i32, told: &str) {
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (code, ""),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
}

/// The value of a line `Name = value`.
fn value_of<'a>(file: &'a str, name: &str) -> &'a str {
    let line = |line: &'a str| line.strip_prefix(name)?.strip_prefix(" = ");
    file.lines().find_map(line).unwrap_or_default()
}

/// A field of the helloworld's entry in the key cache.
fn cached(world: &World, field: &str) -> String {
    let entry = world.path().join("cache/sinfonia").join(HELLOWORLD);
    let text = fs::read_to_string(entry).unwrap();
    let line = |line: &str| Some(line.strip_prefix(field)?.strip_prefix(": ")?.to_owned());
    text.lines().find_map(line).unwrap()
}
