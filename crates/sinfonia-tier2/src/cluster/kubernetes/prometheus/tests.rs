use std::time::Instant;

use rstest::rstest;
use serde_json::{Value as Json, json};
use sinfonia_service::client::{ClientSettings, build};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const NOW: i64 = 1_800_000_000;
const LEASE: SignedDuration = SignedDuration::from_secs(300);
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const HANDSHAKES: &str =
    "max by (public_key) (max_over_time(wireguard_latest_handshake_seconds[300s]))";
const CHANGES: &str = "max by (public_key) (changes(wireguard_received_bytes_total[300s]))";

#[rstest]
#[case::shook_hands(Some("1799999900"), Some("0"), Some(Activity::Active))]
#[case::received(Some("0"), Some("3"), Some(Activity::Active))]
#[case::neither(Some("1799999000"), Some("0"), Some(Activity::Idle))]
#[case::never(Some("0"), Some("0"), Some(Activity::Idle))]
#[case::no_handshake_series(None, Some("0"), None)]
#[case::no_bytes_series(Some("0"), None, None)]
#[case::active_without_bytes_series(Some("1799999999"), None, Some(Activity::Active))]
#[case::not_a_number(Some("NaN"), Some("0"), None)]
#[case::infinite(Some("+Inf"), Some("0"), None)]
#[case::bytes_not_a_number(Some("0"), Some("NaN"), None)]
#[case::no_number(Some("soon"), Some("0"), None)]
#[case::in_the_future(Some("1800000060"), Some("0"), None)]
#[case::with_an_exponent(Some("1.7999999e+09"), Some("0"), Some(Activity::Active))]
#[case::nothing(None, None, None)]
#[tokio::test]
async fn a_tunnel_is_judged_by_both_measurements(
    #[case] handshake: Option<&str>,
    #[case] changes: Option<&str>,
    #[case] expected: Option<Activity>,
) {
    let server = MockServer::start().await;
    answer(
        &server,
        HANDSHAKES,
        vector(handshake.map(|value| (KEY, value))),
    )
    .await;
    answer(&server, CHANGES, vector(changes.map(|value| (KEY, value)))).await;

    let activities = activities(&prometheus(&server.uri())).await;

    let expected = expected.map(|activity| (key(KEY), activity));
    assert_eq!(activities, HashMap::from_iter(expected));
}

#[tokio::test]
async fn what_carries_no_key_is_none_of_our_tunnels() {
    let server = MockServer::start().await;
    let samples = [("", "0"), ("not a key", "0"), (KEY, "0")];
    answer(&server, HANDSHAKES, vector(samples)).await;
    answer(&server, CHANGES, vector(samples)).await;

    let activities = activities(&prometheus(&server.uri())).await;

    assert_eq!(activities, HashMap::from([(key(KEY), Activity::Idle)]));
}

#[tokio::test]
async fn of_two_spellings_of_a_key_the_larger_value_counts() {
    let server = MockServer::start().await;
    let bare = KEY.trim_end_matches('=');
    answer(
        &server,
        HANDSHAKES,
        vector([(KEY, "1799999999"), (bare, "0")]),
    )
    .await;
    answer(&server, CHANGES, vector([(KEY, "NaN"), (bare, "0")])).await;

    let activities = activities(&prometheus(&server.uri())).await;

    assert_eq!(activities, HashMap::from([(key(KEY), Activity::Active)]));
}

#[rstest]
#[case::error(ResponseTemplate::new(503).set_body_string("busy"))]
#[case::refusal(ResponseTemplate::new(422).set_body_json(json!({ "status": "error", "errorType": "execution", "error": "too many samples" })))]
#[case::redirect(ResponseTemplate::new(302).insert_header("location", "http://192.0.2.1/"))]
#[case::not_json(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::error_as_success(ResponseTemplate::new(200).set_body_json(json!({ "status": "error", "error": "no" })))]
#[case::no_samples(ResponseTemplate::new(200).set_body_json(json!({ "data": { "resultType": "vector", "result": [7] } })))]
#[case::another_type(ResponseTemplate::new(200).set_body_json(json!({ "data": { "resultType": "matrix", "result": [] } })))]
#[case::too_long(ResponseTemplate::new(200).set_body_bytes(vec![b' '; ANSWER_BYTES + 1]))]
#[tokio::test]
async fn nothing_is_known_when_prometheus_does_not_say(#[case] response: ResponseTemplate) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(response)
        .mount(&server)
        .await;
    let prometheus = prometheus(&server.uri());

    assert_eq!(activities(&prometheus).await, HashMap::new());
    assert_eq!(prometheus.resources().await, Resources::new());
}

#[tokio::test]
async fn nothing_is_known_when_nobody_listens() {
    let prometheus = prometheus("http://127.0.0.1:9");

    assert_eq!(activities(&prometheus).await, HashMap::new());
    assert_eq!(prometheus.resources().await, Resources::new());
}

#[tokio::test]
async fn one_failed_query_does_not_hide_what_the_other_proves() {
    let server = MockServer::start().await;
    answer(&server, CHANGES, vector([(KEY, "1")])).await;

    let activities = activities(&prometheus(&server.uri())).await;

    assert_eq!(activities, HashMap::from([(key(KEY), Activity::Active)]));
}

#[tokio::test]
async fn what_is_missing_or_not_finite_is_left_out_of_the_resources() {
    let server = MockServer::start().await;
    let values = ["0.25", "NaN", "+Inf", "12.5", "62"];
    for (resource, value) in queries::RESOURCES.iter().zip(values) {
        let query = format!("scalar({})", resource.query);
        answer(&server, &query, scalar(value)).await;
    }

    let resources = prometheus(&server.uri()).resources().await;

    let expected = [
        ("cpu_ratio", 0.25),
        ("net_tx_rate", 12.5),
        ("gpu_ratio", 0.62),
    ];
    assert_eq!(resources, measurements(expected));
}

#[tokio::test]
async fn a_resource_that_cannot_be_asked_for_does_not_hide_the_others() {
    let server = MockServer::start().await;
    let query = format!("scalar({})", queries::RESOURCES[1].query);
    answer(&server, &query, scalar("0.5")).await;

    let resources = prometheus(&server.uri()).resources().await;

    assert_eq!(resources, measurements([("mem_ratio", 0.5)]));
}

#[tokio::test]
async fn the_queries_run_side_by_side() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200)
        .set_body_json(scalar("1"))
        .set_delay(Duration::from_millis(300));
    Mock::given(method("GET"))
        .respond_with(slow)
        .mount(&server)
        .await;
    let prometheus = prometheus(&server.uri());

    let before = Instant::now();
    let resources = prometheus.resources().await;

    assert_eq!(resources.len(), 5);
    assert!(before.elapsed() < Duration::from_millis(900));
}

#[rstest]
#[case::bare("", "/api/v1/query")]
#[case::slash("/", "/api/v1/query")]
#[case::below_a_path("/prometheus/", "/prometheus/api/v1/query")]
#[tokio::test]
async fn prometheus_may_have_a_path_of_its_own(#[case] base: &str, #[case] expected: &str) {
    let server = MockServer::start().await;
    Mock::given(path(expected))
        .respond_with(ResponseTemplate::new(200).set_body_json(scalar("1")))
        .expect(5)
        .mount(&server)
        .await;

    prometheus(&format!("{}{base}", server.uri()))
        .resources()
        .await;
}

#[rstest]
#[case(SignedDuration::from_millis(90_500), "[90s]")]
#[case(SignedDuration::from_millis(500), "[1s]")]
fn the_window_is_the_lease_in_whole_seconds(#[case] lease: SignedDuration, #[case] expected: &str) {
    assert!(queries::handshakes(lease).contains(expected));
    assert!(queries::changes(lease).contains(expected));
}

#[test]
fn a_refusal_cannot_disturb_a_log() {
    let body = format!("\u{1b}[2J{}", "x".repeat(1000));

    let text = refusal(body.as_bytes());

    assert!(text.starts_with("\\u{1b}[2Jx"), "{text}");
    assert_eq!(text.chars().count(), 200);
}

fn prometheus(url: &str) -> Prometheus {
    let client = build(&ClientSettings::new("test")).unwrap();
    Prometheus::new(url.parse().unwrap(), client)
}

async fn activities(prometheus: &Prometheus) -> HashMap<PublicKey, Activity> {
    let now = Timestamp::from_second(NOW).unwrap();
    prometheus.activities(LEASE, now).await
}

async fn answer(server: &MockServer, query: &str, body: Json) {
    Mock::given(method("GET"))
        .and(path("/api/v1/query"))
        .and(query_param("query", query))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

fn vector<'a>(samples: impl IntoIterator<Item = (&'a str, &'a str)>) -> Json {
    let result: Vec<_> = samples
        .into_iter()
        .map(|(key, value)| json!({ "metric": { "public_key": key }, "value": [1_800_000_000.123, value] }))
        .collect();
    json!({ "status": "success", "data": { "resultType": "vector", "result": result } })
}

fn scalar(value: &str) -> Json {
    json!({ "status": "success", "data": { "resultType": "scalar", "result": [1_800_000_000.123, value] } })
}

fn measurements<const N: usize>(values: [(&str, f64); N]) -> Resources {
    values
        .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
        .into()
}

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}
