//! Reports to Tier 1, over real sockets.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sinfonia_tier2::cluster::draining::Draining;
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{HELLOWORLD, OTHER, Tier2, write_recipes};

/// Longest time that a test waits for a report; it is an error to reach it.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_first_report_says_who_it_is_and_no_more_than_it_needs() {
    let tier1 = tier1().await;
    let _tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://Cloudlet.example:80/",
    ])
    .await;

    let report = first_report(&tier1).await;

    let endpoint = "http://cloudlet.example/api/v1/deploy";
    let expected = json!({
        "uuid": Uuid::new_v5(&Uuid::NAMESPACE_URL, endpoint.as_bytes()),
        "endpoint": endpoint,
        "resources": {"cpu_ratio": 0.25},
        "recipes": [HELLOWORLD, OTHER],
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn what_the_settings_say_is_reported() {
    let tier1 = tier1().await;
    let _tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "https://cloudlet.example",
        "--uuid",
        "00112233-4455-6677-8899-aabbccddeeff",
        "--name",
        "Downtown",
        "--location",
        "-33.8,151.2",
        "--local-networks",
        "10.0.0.0/8",
        "--accepted-clients",
        "192.0.2.0/24",
        "--rejected-clients",
        "192.0.2.99",
        "--labels",
        "region=eu,gpu=A100",
    ])
    .await;

    let report = first_report(&tier1).await;

    let expected = json!({
        "uuid": "00112233-4455-6677-8899-aabbccddeeff",
        "endpoint": "https://cloudlet.example/api/v1/deploy",
        "name": "Downtown",
        "locations": [[-33.8, 151.2]],
        "local_networks": ["10.0.0.0/8"],
        "accepted_clients": ["192.0.2.0/24"],
        "rejected_clients": ["192.0.2.99/32"],
        "resources": {"cpu_ratio": 0.25},
        "labels": {"gpu": "A100", "region": "eu"},
        "recipes": [HELLOWORLD, OTHER],
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn accepting_everybody_is_not_worth_saying() {
    let tier1 = tier1().await;
    let _tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
        "--accepted-clients",
        "::/0,0.0.0.0/0",
    ])
    .await;

    assert_eq!(first_report(&tier1).await.get("accepted_clients"), None);
}

#[tokio::test]
async fn a_report_carries_its_token() {
    let tier1 = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/cloudlets/"))
        .and(header("authorization", "Bearer secret"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&tier1)
        .await;
    let folder = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    fs::write(folder.path().join("token"), "secret\n").unwrap();
    let options = [
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
        "--report-token",
        "FOLDER/token",
    ];

    let tier2 = Tier2::in_folder(folder, &options).await;

    reported(&tier2, "accepted").await;
}

#[tokio::test]
async fn a_tier1_that_fails_does_not_keep_others_from_hearing_nor_requests_from_being_served() {
    let tier1 = tier1().await;
    let refusing = MockServer::start().await;
    let gone = "http://127.0.0.1:1";
    let tier2 = Tier2::with(&[
        "--tier1-url",
        gone,
        "--tier1-url",
        &refusing.uri(),
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
    ])
    .await;

    first_report(&tier1).await;
    for outcome in ["accepted", "refused", "unreachable"] {
        reported(&tier2, outcome).await;
    }

    tier2.post(1).granted().await;
}

#[tokio::test]
async fn a_tier1_that_comes_back_is_told_soon() {
    let tier1 = MockServer::start().await;
    let down = Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .mount_as_scoped(&tier1)
        .await;
    let tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
    ])
    .await;
    reported(&tier2, "refused").await;

    drop(down);
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&tier1)
        .await;

    reported(&tier2, "accepted").await;
}

#[tokio::test]
async fn the_last_report_says_that_it_is_draining() {
    let tier1 = tier1().await;
    let tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
    ])
    .await;
    let first = first_report(&tier1).await;

    tier2.stopping.cancel();
    let last = report(&tier1, 1).await;

    assert_eq!(
        (first.get("draining"), last.get("draining")),
        (None, Some(&json!(true)))
    );
}

#[tokio::test]
async fn that_it_drains_and_that_it_no_longer_does_is_reported_at_once() {
    let tier1 = tier1().await;
    let tier2 = Tier2::with(&[
        "--tier1-url",
        &tier1.uri(),
        "--tier2-url",
        "http://cloudlet.example",
    ])
    .await;
    first_report(&tier1).await;
    let begun = Instant::now();

    tier2.cluster.draining(Draining::Yes(None));
    let draining = report(&tier1, 1).await;
    tier2.cluster.draining(Draining::No);
    let afterwards = report(&tier1, 2).await;

    assert_eq!(
        (draining.get("draining"), afterwards.get("draining")),
        (Some(&json!(true)), None)
    );
    // Two reports on schedule would take half a minute.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn nothing_is_reported_before_it_is_ready_or_without_its_own_url() {
    let tier1 = tier1().await;
    let folder = tempfile::tempdir().unwrap();
    let url = tier1.uri();
    let without_recipes = Tier2::in_folder(
        folder,
        &[
            "--tier1-url",
            &url,
            "--tier2-url",
            "http://cloudlet.example",
        ],
    )
    .await;
    let _without_url = Tier2::with(&["--tier1-url", &url]).await;

    tokio::time::sleep(Duration::from_millis(600)).await;

    let ready = without_recipes.admin("/readyz").answer().await;
    let missing = json!({"recipes": "the recipe repository (--recipes) cannot be read"});
    assert_eq!(
        (ready.status.as_u16(), &ready.body["missing"]),
        (503, &missing)
    );
    // Whoever was never there does not say goodbye either.
    without_recipes.stopping.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(tier1.received_requests().await.unwrap().len(), 0);
}

async fn tier1() -> MockServer {
    let tier1 = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/cloudlets/"))
        .and(header("content-type", "application/json"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&tier1)
        .await;
    tier1
}

async fn first_report(tier1: &MockServer) -> Value {
    report(tier1, 0).await
}

/// Waits for a report, counted from 0.
async fn report(tier1: &MockServer, number: usize) -> Value {
    let waiting = async {
        loop {
            let requests = tier1.received_requests().await.unwrap();
            if let Some(request) = requests.get(number) {
                return request.body_json().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

/// Waits until a report has had this outcome.
async fn reported(tier2: &Tier2, outcome: &str) {
    let expected = format!("sinfonia_tier2_reports_total{{outcome=\"{outcome}\"}}");
    let waiting = async {
        loop {
            let metrics = tier2.admin("/metrics").granted().await;
            if metrics.as_str().unwrap().contains(&expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}
