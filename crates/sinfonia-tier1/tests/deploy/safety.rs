use http::{Method, StatusCode};
use serde_json::json;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, start, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn a_reported_endpoint_on_this_machine_is_not_asked() {
    let inside = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with_options(Cloudlets::default(), &["--allow-anonymous-reports"]).await;
    let by_name = format!("http://localhost:{}/api/v1/deploy", inside.address.port());

    for endpoint in [inside.endpoint(), by_name] {
        assert_eq!(tier1.report(&endpoint).await, StatusCode::NO_CONTENT);
        tier1.deploy("").await.problem(502);
    }

    assert_eq!(inside.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn a_reported_endpoint_is_asked_where_that_is_allowed() {
    let inside = FakeTier2::start(Does::Deploys).await;
    let options = [
        "--allow-anonymous-reports=127.0.0.0/8",
        "--allow-endpoints=127.0.0.0/8",
    ];
    let tier1 = Running::with_options(Cloudlets::default(), &options).await;

    tier1.report(&inside.endpoint()).await;
    let answer = tier1.deploy("").await;

    assert_eq!(answer.cloudlets(), [uuid(9)]);
}

#[tokio::test]
async fn a_cloudlet_is_shown_its_token() {
    let near = FakeTier2::start(Does::Deploys).await;
    let cloudlets = Cloudlets::default().and(near.address, "token_file: token.txt");
    let tier1 = Running::with(cloudlets).await;

    tier1.deploy("").await;
    let path = format!("/deployments/{OPEN_RECIPE}/{KEY}");
    tier1.get(&path).await;

    for method in [Method::POST, Method::GET] {
        let asked = near.is_asked(&method).await;
        assert_eq!(asked.headers["authorization"], "Bearer secret");
    }
}

#[tokio::test]
async fn nulls_are_dropped_and_unknown_fields_kept() {
    let mut answer = crate::tier2::deployment();
    answer["Created"] = json!(null);
    answer["Other"] = json!({"kept": 1, "dropped": null});
    answer["Cloudlet"] = json!({"uuid": uuid(3), "name": "liar", "endpoint": "http://a/v1/deploy"});
    let near = FakeTier2::start(Does::says("application/json", json!([answer]).to_string())).await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.body[0]["Other"], json!({"kept": 1}));
    assert!(answer.body[0].get("Created").is_none());
    assert_eq!(answer.cloudlets(), [uuid(1)]);
}

#[tokio::test]
async fn a_missing_recipe_folder_is_told_by_the_admin_port_and_503() {
    let near = FakeTier2::start(Does::Deploys).await;
    let options = ["--recipes=/nowhere/recipes"];
    let tier1 = Running::with_options(Cloudlets::of(&[&near]), &options).await;

    let answer = tier1.deploy("").await;

    answer.problem(503);
    let ready = tier1.ask_admin("/readyz").await;
    let expected =
        r#"{"ready":false,"missing":{"recipes":"cannot list the folder /nowhere/recipes"}}"#;
    assert_eq!(ready, expected);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_at_start() {
    let folder = tempfile::tempdir().unwrap();
    for (option, expected) in [
        (
            "--operator-tokens=/nowhere/tokens",
            "cannot use the tokens of --operator-tokens",
        ),
        (
            "--report-tokens=/nowhere/tokens",
            "cannot use the tokens of --report-tokens",
        ),
        (
            "--geoip=/nowhere/city.mmdb",
            "cannot read the GeoIP database /nowhere/city.mmdb",
        ),
        (
            "--ca-file=/nowhere/ca.pem",
            "cannot read the certificates in /nowhere/ca.pem",
        ),
    ] {
        let error = start(folder.path(), &Cloudlets::default(), &[option])
            .await
            .err()
            .unwrap();

        assert_eq!(error.to_string(), expected);
    }
}
