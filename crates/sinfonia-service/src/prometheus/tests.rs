use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::client::{ClientSettings, build};

#[derive(Debug, PartialEq, Deserialize)]
struct Room {
    room: String,
}

#[tokio::test]
async fn a_vector_has_the_labels_that_are_asked_for() {
    let server = MockServer::start().await;
    let result = json!([
        { "metric": { "room": "a", "floor": "1" }, "value": [1_800_000_000.123, "20"] },
        { "metric": { "room": "b" }, "value": [1_800_000_000.123, "+Inf"] },
    ]);
    answer(
        &server,
        "temperature",
        &json!({ "resultType": "vector", "result": result }),
    )
    .await;

    let samples = prometheus(&server.uri())
        .vector::<Room>("temperature")
        .await;

    let expected = [("a", 20.0), ("b", f64::INFINITY)].map(|(room, value)| Sample {
        labels: Room {
            room: room.to_owned(),
        },
        value,
    });
    assert_eq!(samples.unwrap(), expected);
}

#[rstest]
#[case::error(ResponseTemplate::new(503).set_body_string("busy"), "it answered 503 Service Unavailable: busy")]
#[case::refusal(
    ResponseTemplate::new(422).set_body_json(json!({ "status": "error", "errorType": "execution", "error": "too many samples" })),
    "it answered 422 Unprocessable Entity: too many samples"
)]
#[case::redirect(ResponseTemplate::new(302).insert_header("location", "http://192.0.2.1/"), "it answered 302 Found: ")]
#[case::not_json(ResponseTemplate::new(200).set_body_string("<html>"), "it answered something else than a result")]
#[case::error_as_success(
    ResponseTemplate::new(200).set_body_json(json!({ "status": "error", "error": "no" })),
    "it answered something else than a result"
)]
#[case::another_type(
    ResponseTemplate::new(200).set_body_json(json!({ "data": { "resultType": "matrix", "result": [] } })),
    "it answered something else than a result"
)]
#[case::too_long(ResponseTemplate::new(200).set_body_bytes(vec![b' '; VECTOR_BYTES + 1]), "its answer cannot be read")]
#[case::late(ResponseTemplate::new(200).set_delay(Duration::from_secs(60)), "it does not answer")]
#[tokio::test]
async fn what_is_no_result_is_an_error(#[case] response: ResponseTemplate, #[case] expected: &str) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(response)
        .mount(&server)
        .await;
    let prometheus = prometheus(&server.uri());

    let vector = prometheus.vector::<Room>("temperature").await;
    let measured = prometheus.resources(&RESOURCES).await;

    assert_eq!(vector.unwrap_err().to_string(), expected);
    assert_eq!(measured.resources, Resources::new());
    assert_eq!(measured.error.unwrap().to_string(), expected);
}

#[tokio::test]
async fn what_is_missing_or_not_finite_is_left_out_of_the_resources() {
    let server = MockServer::start().await;
    let values = ["0.25", "NaN", "+Inf", "12.5", "62"];
    for (resource, value) in RESOURCES.iter().zip(values) {
        let query = format!("scalar({}\n)", resource.query);
        answer(&server, &query, &scalar(value)).await;
    }

    let measured = prometheus(&server.uri()).resources(&RESOURCES).await;

    let expected = [
        ("cpu_ratio", 0.25),
        ("net_tx_rate", 12.5),
        ("gpu_ratio", 0.62),
    ];
    assert_eq!(measured.resources, measurements(expected));
    assert!(measured.error.is_none());
}

#[tokio::test]
async fn a_resource_that_cannot_be_asked_for_does_not_hide_the_others() {
    let server = MockServer::start().await;
    let query = format!("scalar({}\n)", RESOURCES[1].query);
    answer(&server, &query, &scalar("0.5")).await;

    let measured = prometheus(&server.uri()).resources(&RESOURCES).await;

    assert_eq!(measured.resources, measurements([("mem_ratio", 0.5)]));
    let error = measured.error.unwrap().to_string();
    assert_eq!(error, "it answered 404 Not Found: ");
}

#[tokio::test]
async fn a_resource_that_is_slow_does_not_hide_the_others() {
    let server = MockServer::start().await;
    Mock::given(query_param(
        "query",
        format!("scalar({}\n)", RESOURCES[0].query),
    ))
    .respond_with(success(&scalar("1")).set_delay(Duration::from_secs(60)))
    .mount(&server)
    .await;
    for resource in &RESOURCES[1..] {
        let query = format!("scalar({}\n)", resource.query);
        answer(&server, &query, &scalar("0.5")).await;
    }

    let measured = prometheus(&server.uri()).resources(&RESOURCES).await;

    assert_eq!(measured.resources.len(), RESOURCES.len() - 1);
    assert_eq!(measured.error.unwrap().to_string(), "it does not answer");
}

#[rstest]
#[case::bare("", "/api/v1/query")]
#[case::slash("/", "/api/v1/query")]
#[case::below_a_path("/prometheus/", "/prometheus/api/v1/query")]
#[tokio::test]
async fn prometheus_may_have_a_path_of_its_own(#[case] base: &str, #[case] expected: &str) {
    let server = MockServer::start().await;
    Mock::given(path(expected))
        .respond_with(success(&scalar("1")))
        .expect(5)
        .mount(&server)
        .await;

    prometheus(&format!("{}{base}", server.uri()))
        .resources(&RESOURCES)
        .await;
}

#[tokio::test]
async fn a_token_is_shown() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer secret"))
        .respond_with(success(&scalar("0.5")))
        .mount(&server)
        .await;
    let token = OwnToken::parse_bytes(b"secret").unwrap();

    let prometheus = prometheus(&server.uri()).with_token(Some(token));
    let measured = prometheus.resources(&RESOURCES[..1]).await;

    assert_eq!(measured.resources, measurements([("cpu_ratio", 0.5)]));
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
    Prometheus::new(url.parse().unwrap(), client, Duration::from_secs(2))
}

async fn answer(server: &MockServer, query: &str, data: &Value) {
    Mock::given(method("GET"))
        .and(path("/api/v1/query"))
        .and(query_param("query", query))
        .respond_with(success(data))
        .mount(server)
        .await;
}

fn success(data: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": data }))
}

fn scalar(value: &str) -> Value {
    json!({ "resultType": "scalar", "result": [1_800_000_000.123, value] })
}

fn measurements<const N: usize>(values: [(&str, f64); N]) -> Resources {
    values
        .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
        .into()
}
