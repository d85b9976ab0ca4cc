//! `--probe`: round trips to the candidates are measured before Tier 1 decides.

use std::net::TcpListener;

use serde_json::{Value, json};
use sinfonia_core::round_trip::RoundTrips;

use crate::device::{CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer, problem, ready};

const SILENT: &str = "0e3d1c2b-5a69-4788-9b07-1c2d3e4f5a6b";

#[tokio::test]
async fn what_was_measured_travels_with_the_request_and_is_shown() {
    let device = Device::new().await;
    let near = TcpListener::bind("127.0.0.1:0").unwrap();
    device.lists(answer(&candidates(&near))).await;
    device.deploys(answer(&json!([ready()]))).await;

    let output = device
        .command("deploy helloworld --probe --location 40.44,-79.94 -o json")
        .output()
        .unwrap();

    let path = format!("/api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}");
    assert_eq!(
        device.asked().await,
        [format!("GET {path}?results=16"), format!("POST {path}")]
    );
    let sent = round_trips(&device, 1).await.unwrap();
    let measured = sent.get(CLOUDLET.parse().unwrap());
    assert_eq!(sent.get(SILENT.parse().unwrap()), None);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown[0]["RttMs"].as_f64(), measured);
    assert!(measured.is_some());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("note: round trips: Pittsburgh "), "{told}");
    assert!(told.contains(" ms, Paris unknown"), "{told}");
}

#[tokio::test]
async fn without_the_option_nothing_is_measured() {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    device.run("deploy helloworld");

    assert_eq!(device.asked().await.len(), 1);
    assert_eq!(round_trips(&device, 0).await, None);
}

#[tokio::test]
async fn a_tier_1_that_names_no_candidates_deploys_all_the_same() {
    let device = Device::new().await;
    device
        .lists(problem(404, "no cloudlet serves 192.0.2.1"))
        .await;
    device.deploys(answer(&json!([ready()]))).await;

    let told = device.run("deploy helloworld --probe");

    assert!(told.starts_with("exit 0"), "{told}");
    assert!(
        told.contains("note: no round trips are measured: "),
        "{told}"
    );
    assert_eq!(round_trips(&device, 1).await, None);
}

#[tokio::test]
async fn candidates_are_asked_for_again_with_what_was_measured_and_show_what_was_believed() {
    let device = Device::new().await;
    let near = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut listed = candidates(&near);
    listed[0]["RttMs"] = json!(4.25);
    device.lists(answer(&listed)).await;

    let json = device
        .command("candidates helloworld --probe --results 2 -o json --quiet")
        .output()
        .unwrap();
    let table = device.run("candidates helloworld --probe --results 2");

    let path = format!("GET /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}");
    let asked = device.asked().await;
    assert_eq!(
        asked[..2],
        [format!("{path}?results=16"), format!("{path}?results=2")]
    );
    let sent = round_trips(&device, 1).await.unwrap();
    assert!(sent.get(CLOUDLET.parse().unwrap()).is_some());
    let shown: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.stderr, b"");
    assert_eq!(shown[0]["RttMs"], 4.25);
    assert_eq!(shown[1].get("RttMs"), None);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[2], ["RANK", "CLOUDLET", "DISTANCE", "RTT", "REASON"]);
    assert_eq!(
        rows[3],
        ["1", "Pittsburgh", "4.3", "km", "4.2", "ms", "location"]
    );
    assert_eq!(rows[4], ["2", "Paris", "-", "-", "random"]);
}

#[tokio::test]
async fn there_is_nothing_to_measure_without_a_tier_1() {
    let device = Device::new().await;

    let told = device.run("deploy helloworld --probe --zeroconf");

    assert!(told.starts_with("exit 1"), "{told}");
    assert!(
        told.contains("'--probe' cannot be used with '--zeroconf'"),
        "{told}"
    );
}

/// A cloudlet that listens there, and one at a port where nobody does.
fn candidates(near: &TcpListener) -> Value {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = |listener: &TcpListener| {
        let address = listener.local_addr().unwrap();
        format!("http://{address}/api/v1/deploy")
    };
    json!([
        {"endpoint": endpoint(near), "uuid": CLOUDLET, "name": "Pittsburgh", "Rank": 1, "Matcher": "location", "DistanceKm": 4.3},
        {"endpoint": endpoint(&closed), "uuid": SILENT, "name": "Paris", "Rank": 2, "Matcher": "random"},
    ])
}

/// What the request of this number told, from 0.
async fn round_trips(device: &Device, number: usize) -> Option<RoundTrips> {
    let requests = device.tier1.received_requests().await.unwrap();
    let header = requests[number].headers.get("x-rtt")?;
    Some(header.to_str().unwrap().parse().unwrap())
}
