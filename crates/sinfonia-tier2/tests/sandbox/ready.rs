//! `sinfonia-tier2 ready`, asking real sockets.

use std::process::Output;

use assert_cmd::Command;
use serde_json::json;
use sinfonia_service::listen::Listeners;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_tier2::run_on;
use tokio::task::spawn_blocking;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{settings, write_recipes};

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_2_that_is_ready_ends_it_with_0() {
    let folder = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    let options = [
        "--listen",
        "127.0.0.1",
        "--port",
        "0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let settings = settings(&folder, &options);
    let listeners = Listeners::bind(&settings.listen).unwrap();
    let admin = format!("http://{}/readyz", listeners.admin_address().unwrap());
    let service = format!("http://{}/", listeners.address());
    let stopping = CancellationToken::new();
    let running = tokio::spawn(run_on(listeners, settings, stopping.clone()));

    until_ready(&admin).await;

    for url in [&admin, &service] {
        let ran = ready(&[url]).await;
        assert_eq!(told(&ran), (Some(0), "", ""));
    }
    stopping.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told() {
    let server = MockServer::start().await;
    let missing = json!({"ready": false, "missing": {"helm": "helm does not work", "records": "not read yet"}});
    Mock::given(method("GET"))
        .and(path("/readyz"))
        .respond_with(ResponseTemplate::new(503).set_body_json(missing))
        .mount(&server)
        .await;
    let url = format!("{}/readyz", server.uri());

    let ran = ready(&[&url]).await;

    let expected = format!(
        "error: {url} is not ready: 503 Service Unavailable\n  helm: helm does not work\n  records: not read yet\nhint: the log of Tier 2 says more\n"
    );
    assert_eq!(told(&ran), (Some(1), "", expected.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_in_time_is_not_ready() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(60));
    Mock::given(method("GET"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let gone = "http://127.0.0.1:1/".to_owned();

    for url in [format!("{}/", server.uri()), gone] {
        let ran = ready(&[&url, "--timeout", "1s"]).await;

        let (code, stdout, stderr) = told(&ran);
        assert_eq!((code, stdout), (Some(1), ""));
        let error = format!("error: {url} does not answer: ");
        assert!(stderr.starts_with(&error), "{stderr}");
        assert!(
            stderr.contains("\nhint: give the URL of a Tier 2 that runs"),
            "{stderr}"
        );
    }
}

async fn until_ready(url: &str) {
    while ready(&[url]).await.status.code() != Some(0) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn ready(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sinfonia-tier2"));
    program.env_clear().arg("ready").args(arguments);
    spawn_blocking(move || program.output().unwrap())
        .await
        .unwrap()
}

fn told(ran: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
}
