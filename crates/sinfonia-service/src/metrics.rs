//! Measurements of the requests that a service answers.

use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::readiness::Readiness;
use crate::version::Build;

/// Upper bounds of the duration's buckets in seconds: from an answer out of memory to a deployment that waits a minute.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// Label of requests that match no route.
pub const UNMATCHED: &str = "unmatched";

/// Counts and durations of requests, by route. The routes are templates, so the labels are bounded.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// Tells whether the service is ready when somebody reads the metrics.
#[derive(Debug)]
struct Ready(Readiness);

/// An empty registry whose metrics are named `sinfonia_<tier>_…`, for a tier such as `tier1`.
pub fn registry(tier: &str) -> Registry {
    Registry::with_prefix(format!("sinfonia_{tier}"))
}

/// Adds `build_info` to the registry: always 1, its labels say what runs.
pub fn register_build(registry: &mut Registry, build: Build) {
    let Build {
        version,
        commit,
        profile,
    } = build;
    let labels = [
        ("version", version),
        ("commit", commit),
        ("profile", profile),
    ];
    registry.register(
        "build",
        "What the program was built from",
        Info::new(labels),
    );
}

/// Adds the gauge `ready` to the registry.
pub fn register_readiness(registry: &mut Registry, readiness: Readiness) {
    registry.register_collector(Box::new(Ready(readiness)));
}

/// Counters for each of these words, which are there before anything is counted, so that the first event shows as an increase.
pub fn zeroed<Labels>(labels: impl IntoIterator<Item = Labels>) -> Family<Labels, Counter>
where
    Labels: Clone + std::hash::Hash + Eq,
{
    let family = Family::default();
    for labels in labels {
        drop(family.get_or_create(&labels));
    }
    family
}

/// Writes a gauge without labels, for a collector.
///
/// # Errors
/// There is no more room.
pub fn write_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(descriptor)
}

/// Writes a counter without labels, for a collector; `_total` is added to its name.
///
/// # Errors
/// There is no more room.
pub fn write_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    let counter = ConstCounter::new(value);
    let descriptor = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
    counter.encode(descriptor)
}

impl Collector for Ready {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Whether the service is ready; /readyz names what is missing";
        let ready = i64::from(self.0.report().ready);
        write_gauge(&mut encoder, "ready", help, ready)
    }
}

impl HttpMetrics {
    /// Metrics that nobody reads, for routers that are not worth it.
    pub fn unregistered() -> Self {
        let durations =
            Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        Self {
            requests: Family::default(),
            durations,
        }
    }

    /// Adds `http_requests_total` and `http_request_duration_seconds` to the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::unregistered();
        registry.register(
            "http_requests",
            "Requests answered",
            metrics.requests.clone(),
        );
        let help = "Time from a request's headers to the head of its answer";
        registry.register_with_unit(
            "http_request_duration",
            help,
            Unit::Seconds,
            metrics.durations.clone(),
        );
        metrics
    }

    /// Counts one request that was answered.
    pub(crate) fn observe(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        duration: Duration,
    ) {
        let labels = RequestLabels {
            route: route.to_owned(),
            method: method_label(method),
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&RouteLabels {
                route: labels.route,
            })
            .observe(duration.as_secs_f64());
    }
}

/// Callers may make up methods; only the usual ones become labels, and are told in logs and traces.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_by_labels() {
        let mut registry = registry("tier1");
        let build = Build {
            version: "0.2.0-dev",
            commit: "1a2b3c4",
            profile: "release",
        };

        register_build(&mut registry, build);

        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = r#"sinfonia_tier1_build_info{version="0.2.0-dev",commit="1a2b3c4",profile="release"} 1"#;
        assert!(text.lines().any(|line| line == expected), "{text}");
    }

    #[test]
    fn requests_are_counted_by_route_method_and_status() {
        let mut registry = registry("tier1");
        let metrics = HttpMetrics::register(&mut registry);

        metrics.observe(
            "/api/v1/cloudlets",
            &Method::GET,
            StatusCode::OK,
            Duration::from_millis(3),
        );
        metrics.observe(
            UNMATCHED,
            &Method::from_bytes(b"BREW").unwrap(),
            StatusCode::NOT_FOUND,
            Duration::ZERO,
        );

        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let counted: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("_total{") || line.contains("_count{"))
            .collect();
        for expected in [
            r#"sinfonia_tier1_http_requests_total{route="/api/v1/cloudlets",method="GET",status="200"} 1"#,
            r#"sinfonia_tier1_http_requests_total{route="unmatched",method="other",status="404"} 1"#,
            r#"sinfonia_tier1_http_request_duration_seconds_count{route="/api/v1/cloudlets"} 1"#,
            r#"sinfonia_tier1_http_request_duration_seconds_count{route="unmatched"} 1"#,
        ] {
            assert!(
                counted.contains(&expected),
                "{expected} is missing in {counted:#?}"
            );
        }
    }
}
