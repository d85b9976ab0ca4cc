//! What is asked, and what becomes of the answers.

use super::*;

#[tokio::test]
async fn a_prometheus_is_asked_for_what_cloudlets_report_and_for_queries_of_the_file() {
    let server = MockServer::start().await;
    prometheus(&server, "sum(queue_length)", "7").await;
    prometheus(&server, "avg(gpu_busy)", "40").await;
    for usual in RESOURCES {
        let value = if usual.name == "cpu_ratio" {
            "0.25"
        } else {
            "NaN"
        };
        prometheus(&server, usual.query, value).await;
    }

    let scraped = scrape(&format!(
        "prometheus: {}\nqueries: {{queue: sum(queue_length), gpu_ratio: avg(gpu_busy)}}\n",
        server.uri()
    ))
    .await;

    let expected = [("cpu_ratio", 0.25), ("gpu_ratio", 0.4), ("queue", 7.0)];
    assert_eq!(scraped.resources, used(expected));
    assert!(scraped.error.is_none());
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked.len(), RESOURCES.len() + 1);
}

#[tokio::test]
async fn a_query_that_is_refused_does_not_hide_the_others() {
    let server = MockServer::start().await;
    prometheus(&server, RESOURCES[0].query, "0.25").await;

    let scraped = scrape(&format!("prometheus: {}", server.uri())).await;

    assert_eq!(scraped.resources, used([("cpu_ratio", 0.25)]));
    assert_eq!(
        told(&scraped),
        "its Prometheus cannot be asked: it answered 404 Not Found: "
    );
    assert_eq!(outcome(&scraped), ScrapeOutcome::Partly);
}

#[tokio::test]
async fn a_prometheus_that_measures_nothing_of_it_is_told() {
    let server = MockServer::start().await;
    for usual in RESOURCES {
        prometheus(&server, usual.query, "NaN").await;
    }

    let scraped = scrape(&format!("prometheus: {}", server.uri())).await;

    assert_eq!(outcome(&scraped), ScrapeOutcome::Nothing);
    assert!(!scraped.is_failure());
}

#[tokio::test]
async fn a_query_of_the_file_that_gives_no_single_number_is_named() {
    let server = MockServer::start().await;
    prometheus(&server, "queue_length", "NaN").await;
    for usual in RESOURCES {
        prometheus(&server, usual.query, "0.25").await;
    }

    let scraped = scrape(&format!(
        "prometheus: {}\nqueries: {{queue: queue_length}}\n",
        server.uri()
    ))
    .await;

    assert_eq!(scraped.resources.len(), RESOURCES.len());
    assert_eq!(
        told(&scraped),
        "its query `queue` gives no single number; where it gives several, wrap it in sum(…): "
    );
    assert_eq!(outcome(&scraped), ScrapeOutcome::Partly);
}

#[tokio::test]
async fn a_query_of_the_file_that_gives_nothing_is_no_failure() {
    let server = MockServer::start().await;
    prometheus(&server, "queue_length", "NaN").await;
    for usual in RESOURCES {
        prometheus(&server, usual.query, "NaN").await;
    }

    let scraped = scrape(&format!(
        "prometheus: {}\nqueries: {{queue: queue_length}}\n",
        server.uri()
    ))
    .await;

    assert_eq!(outcome(&scraped), ScrapeOutcome::Nothing);
    assert!(!scraped.is_failure());
}

#[tokio::test]
async fn a_rate_follows_from_two_scrapes() {
    let server = page("received_bytes_total 1000\n").await;
    let metrics = format!(
        "endpoint: {}/metrics\nseries: {{net_rx_rate: {{series: received_bytes_total, take: rate}}}}\n",
        server.uri()
    );
    let client = client::build(&ClientSettings::new("test")).unwrap();
    let mut source = Source::new(&target(&metrics), client);

    let first = source.scrape().await;
    server.reset().await;
    answer(&server, "received_bytes_total 3000\n").await;
    let second = source.scrape().await;

    assert_eq!(outcome(&first), ScrapeOutcome::Measured);
    assert_eq!(first.resources, Resources::new());
    assert!(second.resources["net_rx_rate"].value() > 0.0);
}

#[rstest]
#[case::prometheus("prometheus: URL", "Bearer secret")]
#[case::page(
    "endpoint: URL/metrics\nseries: {queue: queue_length}",
    "Bearer secret"
)]
#[tokio::test]
async fn a_token_is_shown(#[case] metrics: &str, #[case] shown: &str) {
    let server = MockServer::start().await;
    let body = json!({ "data": { "resultType": "scalar", "result": [1, "1"] } });
    Mock::given(header("authorization", shown))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let client = client::build(&ClientSettings::new("test")).unwrap();
    let target = Target {
        token: Some(OwnToken::parse_bytes(b"secret").unwrap()),
        ..target(&metrics.replace("URL", &server.uri()))
    };

    let scraped = Source::new(&target, client).scrape().await;

    assert!(!scraped.is_failure(), "{scraped:?}");
}

async fn prometheus(server: &MockServer, query: &str, value: &str) {
    let body = json!({ "data": { "resultType": "scalar", "result": [1_800_000_000.5, value] } });
    Mock::given(path("/api/v1/query"))
        .and(query_param("query", format!("scalar({query}\n)")))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}
