//! `deploy`: what is asked, and each form of the answer.

use std::fs;

use serde_json::{Value, json};
use sinfonia_core::yaml;

use crate::device::{Device, HELLOWORLD, PRIVATE_KEY, URL_SAFE_KEY, answer, mode, ready, starting};

#[tokio::test]
async fn a_table_tells_people_how_to_connect() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Deployed  yes    10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    deploying helloworld through http://tier1…
    ");
}

#[tokio::test]
async fn quiet_leaves_the_answer_alone() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    let output = device
        .command("deploy helloworld --quiet")
        .output()
        .unwrap();

    assert_eq!(output.stderr, b"");
    assert!(!output.stdout.is_empty());
}

#[tokio::test]
async fn the_request_waits_and_says_no_more_than_was_given() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    device.run("deploy helloworld");

    assert_eq!(
        device.asked().await,
        [format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}")]
    );
    assert_eq!(device.header("prefer").await.as_deref(), Some("wait=60"));
    assert_eq!(device.header("x-location").await, None);
    assert_eq!(device.header("authorization").await, None);
}

#[tokio::test]
async fn wishes_travel_with_the_request() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    device.run("deploy helloworld --location -33.87,151.21 --results 2 --timeout 30");

    assert_eq!(
        device.asked().await,
        [format!(
            "POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}?results=2"
        )]
    );
    assert_eq!(device.header("prefer").await.as_deref(), Some("wait=30"));
    assert_eq!(
        device.header("x-location").await.as_deref(),
        Some("-33.87,151.21")
    );
}

#[tokio::test]
async fn options_come_from_the_environment_and_empty_ones_do_not_count() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    device
        .command("deploy helloworld")
        .env("SINFONIA_LOCATION", "40.44,-79.94")
        .env("SINFONIA_RESULTS", "")
        .output()
        .unwrap();

    assert_eq!(
        device.header("x-location").await.as_deref(),
        Some("40.44,-79.94")
    );
    assert_eq!(
        device.asked().await,
        [format!("POST /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}")]
    );
}

#[tokio::test]
async fn json_is_the_answer_with_what_this_version_does_not_know() {
    let device = Device::new().await;
    let mut told = ready();
    told["Weather"] = json!({"sky": "clear", "clouds": null});
    device.deploys(answer(&json!([told]))).await;

    let output = device
        .command("deploy helloworld --output json")
        .output()
        .unwrap();

    told["Weather"] = json!({"sky": "clear"});
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        json!([told])
    );
}

#[tokio::test]
async fn yaml_is_the_same_answer() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    let output = device
        .command("deploy helloworld -o yaml")
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(yaml::document::<Value>(&text).unwrap(), json!([ready()]));
}

#[tokio::test]
async fn wg_is_a_file_for_wg_quick_and_nothing_else() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    insta::assert_snapshot!(device.run("deploy helloworld --output wg --quiet"), @r"
    exit 0
    -- stdout
    [Interface]
    PrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=
    Address = 10.5.17.4
    DNS = 10.43.0.10, brave-otter-x7k2p.svc.cluster.local, svc.cluster.local

    [Peer]
    PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
    AllowedIPs = 0.0.0.0/0
    Endpoint = 203.0.113.7:51820
    PersistentKeepalive = 10
    -- stderr
    ");
}

#[tokio::test]
async fn the_private_key_shows_in_no_other_form() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    for form in ["table", "json", "yaml"] {
        let told = device.run(&format!("deploy helloworld --debug --output {form}"));

        assert!(told.starts_with("exit 0"), "{told}");
        assert!(!told.contains(PRIVATE_KEY), "{told}");
    }
}

#[tokio::test]
async fn without_waiting_the_first_answer_is_taken_as_it_is() {
    let device = Device::new().await;
    device.deploys(answer(&json!([starting()]))).await;

    insta::assert_snapshot!(device.run("deploy helloworld --no-wait"), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS        READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Initializing  no     10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    deploying helloworld through http://tier1…
    note: it is not ready yet
    note: waiting for 1 of 2 Pods
    ");
    assert_eq!(device.header("prefer").await, None);
    assert_eq!(device.asked().await.len(), 1);
}

#[tokio::test]
async fn a_first_run_makes_a_key_that_only_its_owner_can_read() {
    let device = Device::without_keys().await;

    // The answer would have to hold the key, so this fails; the key is made before.
    device.run("deploy helloworld");

    let entry = device.key_entry();
    assert_eq!(
        (mode(entry.parent().unwrap()), mode(&entry)),
        (0o700, 0o600)
    );
}

#[tokio::test]
async fn an_unreadable_key_is_replaced_and_that_is_told() {
    let device = Device::new().await;
    fs::write(device.key_entry(), "private_key: nonsense\n").unwrap();

    let told = device.run("deploy helloworld");

    assert!(
        told.contains("note: $HOME/caches/sinfonia/00000000-0000-0000-0000-000000000000 held no usable key, a new one took its place"),
        "{told}"
    );
}

#[tokio::test]
async fn names_from_the_network_cannot_reach_the_terminal() {
    let device = Device::new().await;
    let mut told = ready();
    told["Cloudlet"]["name"] = "Pitts\u{1b}[2Jburgh\n\u{9b}31m".into();
    device.deploys(answer(&json!([told]))).await;

    for form in ["table", "json", "yaml"] {
        let told = device.run(&format!("deploy helloworld --output {form}"));

        assert!(told.starts_with("exit 0"), "{told}");
        assert!(!told.contains(['\u{1b}', '\u{9b}']), "{told}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_early_is_no_failure() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let status = std::process::Command::new(assert_cmd::cargo::cargo_bin!("sinfonia-tier3"))
        .args(["deploy", "helloworld", "--quiet"])
        .env_clear()
        .env("XDG_CACHE_HOME", device.folder().join("caches"))
        .env("SINFONIA_TIER1_URL", device.tier1.uri())
        .stdout(writer)
        .status()
        .unwrap();

    assert_eq!(status.code(), Some(0));
}
