//! The admin port: whether the service lives, whether it is ready, and its metrics. It only reads.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::front::{Front, RequestLimits};
use crate::json::Json;
use crate::metrics::HttpMetrics;
use crate::path::App;
use crate::problem::Problem;
use crate::readiness::Readiness;
use crate::request_id::RequestIds;

/// Media type of OpenMetrics text.
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Serves `/livez` (always 200), `/readyz` (200, or 503 while something is missing, which the body names) and `/metrics` (OpenMetrics text).
pub fn app(readiness: Readiness, registry: Arc<Registry>) -> App {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry));
    let front = Front {
        limits: RequestLimits::default(),
        request_ids: RequestIds::TakeOver,
        metrics: HttpMetrics::unregistered(),
        traced: &[],
    };
    front.before(router)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Result<Response, Problem> {
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Problem::internal("the metrics could not be written")
    })?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::registry;

    #[tokio::test]
    async fn a_live_service_says_so() {
        let answer = ask("/livez", Readiness::new()).await;

        assert_eq!(
            answer,
            (
                StatusCode::OK,
                "text/plain; charset=utf-8".to_owned(),
                "ok\n".to_owned()
            )
        );
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let readiness = Readiness::new();
        readiness
            .condition("cluster")
            .not_ready("kube-dns has no address");

        let answer = ask("/readyz/", readiness).await;

        let body = r#"{"ready":false,"missing":{"cluster":"kube-dns has no address"}}"#;
        assert_eq!(
            answer,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "application/json".to_owned(),
                body.to_owned()
            )
        );
    }

    #[tokio::test]
    async fn a_ready_service_says_so() {
        let answer = ask("/readyz", Readiness::new()).await;

        let body = r#"{"ready":true,"missing":{}}"#;
        assert_eq!(
            answer,
            (
                StatusCode::OK,
                "application/json".to_owned(),
                body.to_owned()
            )
        );
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (status, content_type, body) = ask("/metrics", Readiness::new()).await;

        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            content_type,
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert!(body.ends_with("# EOF\n"), "{body}");
    }

    async fn ask(path: &str, readiness: Readiness) -> (StatusCode, String, String) {
        let app = app(readiness, Arc::new(registry("test")));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let status = response.status();
        let content_type = response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            content_type,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }
}
