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

#[tokio::test]
async fn nothing_is_known_when_prometheus_refuses() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(503).set_body_string("busy"))
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

#[rstest]
#[case(SignedDuration::from_millis(90_500), "[90s]")]
#[case(SignedDuration::from_millis(500), "[1s]")]
fn the_window_is_the_lease_in_whole_seconds(#[case] lease: SignedDuration, #[case] expected: &str) {
    assert!(queries::handshakes(lease).contains(expected));
    assert!(queries::changes(lease).contains(expected));
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

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}
