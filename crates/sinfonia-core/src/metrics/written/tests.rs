use rstest::rstest;

use super::*;
use crate::yaml;

#[test]
fn a_prometheus_is_asked_what_cloudlets_report_and_more() {
    let metrics: Metrics = yaml::document(
        "prometheus: https://prometheus.example/edge\n\
         queries:\n  queue: 'sum(queue_length)'\n  gpu_ratio: avg(gpu)\n\
         interval: 5s\ntoken_file: secrets/prometheus\nca_file: ca.pem\n",
    )
    .unwrap();

    let queries = [("queue", "sum(queue_length)"), ("gpu_ratio", "avg(gpu)")];
    let expected = Metrics {
        source: MetricsSource::Prometheus {
            url: Url::parse("https://prometheus.example/edge").unwrap(),
            queries: queries
                .map(|(name, text)| (name.parse().unwrap(), text.to_owned()))
                .into(),
        },
        interval: Duration::from_secs(5),
        token_file: Some("secrets/prometheus".into()),
        ca_file: Some("ca.pem".into()),
    };
    assert_eq!(metrics, expected);
}

#[test]
fn of_a_page_is_said_which_series_are_which_resource() {
    let metrics: Metrics = yaml::document(
        "endpoint: http://cloudlet.example:9100/metrics?collect=cpu\n\
         series:\n  queue: queue_length{queue=\"inference\"}\n\
         \x20 gpu_ratio: {series: DCGM_FI_DEV_GPU_UTIL, take: mean, divide_by: 100}\n\
         \x20 net_rx_rate: {series: 'received_bytes_total{device!=\"lo\"}', take: rate}\n",
    )
    .unwrap();

    let term = |series: &str, take, divide_by| Term {
        series: series.parse().unwrap(),
        take,
        divide_by,
    };
    let series = [
        (
            "queue",
            term("queue_length{queue=\"inference\"}", Take::Sum, 1.0),
        ),
        ("gpu_ratio", term("DCGM_FI_DEV_GPU_UTIL", Take::Mean, 100.0)),
        (
            "net_rx_rate",
            term("received_bytes_total{device!=\"lo\"}", Take::Rate, 1.0),
        ),
    ];
    let expected = Metrics {
        source: MetricsSource::Page {
            url: Url::parse("http://cloudlet.example:9100/metrics?collect=cpu").unwrap(),
            series: series
                .map(|(name, term)| (name.parse().unwrap(), term))
                .into(),
        },
        interval: Duration::from_secs(15),
        token_file: None,
        ca_file: None,
    };
    assert_eq!(metrics, expected);
}

#[rstest]
#[case("5s", 5_000)]
#[case("1500ms", 1_500)]
#[case("20", 20_000)]
#[case("'20'", 20_000)]
#[case("' 20s '", 20_000)]
#[case("0m 30s", 30_000)]
fn an_interval_is_a_time(#[case] text: &str, #[case] milliseconds: u64) {
    let metrics: Metrics =
        yaml::document(&format!("prometheus: http://p/\ninterval: {text}\n")).unwrap();

    assert_eq!(metrics.interval, Duration::from_millis(milliseconds));
}

#[rstest]
#[case::no_source(
    "interval: 5s",
    "line 2, column 3: metrics: name a Prometheus (prometheus: URL) or a page (endpoint: URL)"
)]
#[case::two_sources(
    "prometheus: http://p/\nendpoint: http://p/metrics",
    "line 2, column 3: metrics: name either a Prometheus (prometheus) or a page (endpoint), not both"
)]
#[case::queries_of_page(
    "endpoint: http://p/metrics\nqueries: {a: b}\nseries: {a: b}",
    "line 2, column 3: metrics: `queries` are for a Prometheus; of a page name its `series`"
)]
#[case::series_of_prometheus(
    "prometheus: http://p/\nseries: {a: b}",
    "line 2, column 3: metrics: `series` are for a page (endpoint); a Prometheus is asked `queries`"
)]
#[case::no_series(
    "endpoint: http://p/metrics",
    "line 2, column 3: metrics: say which series of the page are which resource, such as series: {queue: queue_length}"
)]
#[case::empty_series(
    "endpoint: http://p/metrics\nseries: {}",
    "line 2, column 3: metrics: say which series of the page are which resource, such as series: {queue: queue_length}"
)]
#[case::query_in_url(
    "prometheus: http://p/?query=up",
    "line 2, column 3: metrics: the URL of a Prometheus has no query (?…); queries go into `queries`"
)]
#[case::unknown_field(
    "prometheus: http://p/\nintervall: 5s",
    "line 3, column 3: metrics: unknown field `intervall`, expected one of `prometheus`, `queries`, `endpoint`, `series`, `interval`, `token_file`, `ca_file`"
)]
#[case::no_url(
    "prometheus: p:9090",
    "line 2, column 15: metrics.prometheus: a URL to scrape starts with http:// or https://, not p:"
)]
#[case::relative_url(
    "prometheus: /metrics",
    "line 2, column 15: metrics.prometheus: `/metrics` is not a URL (relative URL without a base): expected something like http://prometheus.example:9090"
)]
#[case::password_in_url(
    "prometheus: http://me:secret@p/",
    "line 2, column 15: metrics.prometheus: a URL to scrape holds no user name or password; a token goes into a file (token_file)"
)]
#[case::fragment_in_url(
    "prometheus: http://p/#top",
    "line 2, column 15: metrics.prometheus: a URL to scrape has no fragment (#…)"
)]
#[case::interval_too_short(
    "prometheus: http://p/\ninterval: 500ms",
    "line 3, column 13: metrics.interval: an interval is 1 to 30 s, such as 15s, because measurements count for 45 s"
)]
#[case::interval_too_long(
    "prometheus: http://p/\ninterval: 1m",
    "line 3, column 13: metrics.interval: an interval is 1 to 30 s, such as 15s, because measurements count for 45 s"
)]
#[case::interval_negative(
    "prometheus: http://p/\ninterval: -5s",
    "line 3, column 13: metrics.interval: an interval is 1 to 30 s, such as 15s, because measurements count for 45 s"
)]
#[case::interval_no_time(
    "prometheus: http://p/\ninterval: often",
    "line 3, column 13: metrics.interval: an interval is 1 to 30 s, such as 15s, because measurements count for 45 s"
)]
#[case::name_no_identifier(
    "prometheus: http://p/\nqueries:\n  queue.length: b",
    "line 4, column 5: metrics.queries: `queue.length` is no name of a resource: expected 1 to 64 letters, digits and _, no digit first, such as cpu_ratio"
)]
#[case::empty_query(
    "prometheus: http://p/\nqueries: {a: ''}",
    "line 3, column 16: metrics.queries.a: a query is not empty"
)]
#[case::query_no_text(
    "prometheus: http://p/\nqueries: {a: [7]}",
    "line 3, column 16: metrics.queries.a: invalid type: sequence, expected a query as text"
)]
#[case::no_series_named(
    "endpoint: http://p/metrics\nseries: {a: sum(b)}",
    "line 3, column 15: metrics.series.a: `sum(b)` names no series: expected a name and optionally labels, such as queue_length{queue=\"inference\",host!=\"old\"}"
)]
#[case::unknown_take(
    "endpoint: http://p/metrics\nseries: {a: {series: b, take: median}}",
    "line 3, column 33: metrics.series.a.take: unknown variant `median`, expected one of `sum`, `mean`, `rate`"
)]
#[case::unknown_field_of_a_term(
    "endpoint: http://p/metrics\nseries: {a: {series: b, by: c}}",
    "line 3, column 27: metrics.series.a: unknown field `by`, expected one of `series`, `take`, `divide_by`"
)]
#[case::term_without_series(
    "endpoint: http://p/metrics\nseries: {a: {take: rate}}",
    "line 3, column 15: metrics.series.a: missing field `series`"
)]
#[case::divided_by_zero(
    "endpoint: http://p/metrics\nseries: {a: {series: b, divide_by: 0}}",
    "line 3, column 15: metrics.series.a: divide_by is a number above 0"
)]
#[case::no_mapping(
    "http://p/",
    "line 2, column 3: metrics: invalid type: string \"http://p/\", expected a mapping that names a Prometheus or a page"
)]
fn what_does_not_say_where_measurements_are_is_refused(#[case] text: &str, #[case] expected: &str) {
    let field = format!("metrics:\n  {}\n", text.replace('\n', "\n  "));

    let error = yaml::document::<BTreeMap<String, Metrics>>(&field).unwrap_err();

    assert_eq!(error.to_string(), format!("document 1, {expected}"));
}

#[test]
fn the_resources_of_a_cloudlet_are_bounded() {
    let queries: String = (0..=MOST_RESOURCES)
        .map(|number| format!("  q{number}: up\n"))
        .collect();

    let error = yaml::document::<Metrics>(&format!("prometheus: http://p/\nqueries:\n{queries}"))
        .unwrap_err();

    assert!(error.message.ends_with("not 33"), "{error}");
}
