//! The front before a router, called as a server calls it.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::front::{Front, RequestLimits};
use sinfonia_service::json::Json;
use sinfonia_service::metrics::{HttpMetrics, registry};
use sinfonia_service::path::App;
use sinfonia_service::problem::Problem;
use sinfonia_service::request_id::{RequestId, RequestIds};
use sinfonia_service::trace_parent::TraceParent;
use tokio::sync::Notify;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

const KEY: &str = "-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8";

#[rstest]
#[case::unknown_path(Method::GET, "/nowhere", "", 404, json!(null))]
#[case::wrong_method(Method::PUT, "/json", "", 405, json!(null))]
#[case::query(Method::GET, "/query?results=many", "", 400, json!("Failed to deserialize query string: results: invalid digit found in string"))]
#[case::no_json(Method::POST, "/json", "[", 400, json!("the body is not the JSON expected here: EOF while parsing a list at line 1 column 1"))]
#[case::long_body(Method::POST, "/json", "\"12345678901234567890123456789012\"", 413, json!("the body is longer than this service takes"))]
#[case::long_path(Method::GET, "/1234567890123456789012345678901234567890123456789012345678901234", "", 414, json!("path and query have 65 bytes, at most 64 are taken"))]
#[case::plain_text(Method::GET, "/plain", "", 418, json!("short and stout"))]
#[case::panic(Method::GET, "/panic", "", 500, json!("the request met an error in this service"))]
#[case::never(Method::GET, "/never", "", 504, json!("no answer within 2 s"))]
#[case::own_problem(Method::GET, "/problem", "", 409, json!("taken"))]
#[tokio::test(start_paused = true)]
async fn every_error_is_a_problem_document(
    #[case] method: Method,
    #[case] uri: &str,
    #[case] body: &'static str,
    #[case] status: u16,
    #[case] detail: Value,
) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("x-request-id", "r1")
        .body(Body::from(body))
        .unwrap();

    let response = app().oneshot(request).await.unwrap();

    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()["x-request-id"], "r1");
    let problem = body_of(response).await;
    assert_eq!(
        (
            &problem["status"],
            &problem["request_id"],
            &problem["detail"]
        ),
        (&json!(status), &json!("r1"), &detail)
    );
}

#[tokio::test]
async fn the_methods_that_a_path_allows_are_told() {
    let request = Request::put("/json").body(Body::empty()).unwrap();

    let response = app().oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "POST");
}

#[tokio::test]
async fn an_error_that_is_json_stays_as_it_is() {
    let response = app().oneshot(get_request("/relayed")).await.unwrap();

    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(body_of(response).await, json!({"from": "elsewhere"}));
}

#[tokio::test]
async fn one_request_too_many_is_shed_at_once() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, left) = (Arc::clone(&entered), Arc::clone(&leave));
    let wait = async move || {
        enter.notify_one();
        left.notified().await;
    };
    let limits = RequestLimits {
        concurrent: 1,
        ..limits()
    };
    let app = front(limits, &mut registry("test")).before(Router::new().route("/", get(wait)));
    let first = tokio::spawn(app.clone().oneshot(get_request("/")));
    entered.notified().await;

    let second = app.clone().oneshot(get_request("/")).await.unwrap();
    leave.notify_one();
    let first = first.await.unwrap().unwrap();
    leave.notify_one();
    let third = app.oneshot(get_request("/")).await.unwrap();

    assert_eq!(
        [first.status(), second.status(), third.status()].map(|status| status.as_u16()),
        [200, 503, 200]
    );
    assert_eq!(second.headers()[RETRY_AFTER], "1");
}

#[tokio::test]
async fn handlers_find_the_identity_and_the_trace_of_a_request() {
    let show = async |Extension(id): Extension<RequestId>,
                      Extension(trace): Extension<TraceParent>| {
        format!("{id} {}", trace.trace_id())
    };
    let app = front(limits(), &mut registry("test")).before(Router::new().route("/", get(show)));
    let request = Request::get("/")
        .header("x-request-id", "from-tier1")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .body(Body::empty())
        .unwrap();

    let response = app.oneshot(request).await.unwrap();

    assert_eq!(
        text_of(response).await,
        "from-tier1 0af7651916cd43dd8448eb211c80319c"
    );
}

#[tokio::test]
async fn each_request_gets_an_identity_of_its_own_where_callers_are_strangers() {
    let front = Front {
        request_ids: RequestIds::Always,
        ..front(limits(), &mut registry("test"))
    };
    let app = front.before(Router::new().route("/", get(async || ())));
    let request = || {
        Request::get("/")
            .header("x-request-id", "mine")
            .body(Body::empty())
            .unwrap()
    };

    let first = app.clone().oneshot(request()).await.unwrap().headers()["x-request-id"].clone();
    let second = app.oneshot(request()).await.unwrap().headers()["x-request-id"].clone();

    assert_ne!(first, "mine");
    assert_ne!(first, second);
}

#[rstest]
#[case("/cloudlets")]
#[case("/cloudlets/")]
#[case("//cloudlets")]
#[tokio::test]
async fn a_route_is_found_in_each_spelling_of_its_path(#[case] path: &str) {
    let app = front(limits(), &mut registry("test"))
        .before(Router::new().route("/cloudlets", get(async || "list")));

    let response = app.oneshot(get_request(path)).await.unwrap();

    assert_eq!(text_of(response).await, "list");
}

#[tokio::test]
async fn metrics_and_logs_name_the_route_and_never_the_key() {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(logs.clone())
        .finish();
    // For all threads: one without a subscriber could otherwise be the first to meet a span of the front and turn it off.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::callsite::rebuild_interest_cache();
    let mut registry = registry("test");
    let limits = RequestLimits {
        uri_bytes: 200,
        ..limits()
    };
    let router = Router::new().route(
        "/deploy/{uuid}/{*application_key}",
        get(async |_: DeployPath| ()),
    );
    let app = front(limits, &mut registry).before(router);

    for path in [
        format!("/deploy/00112233-4455-6677-8899-aabbccddeeff/{KEY}"),
        format!("/elsewhere/{KEY}"),
    ] {
        app.clone().oneshot(get_request(&path)).await.unwrap();
    }

    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    let logs = logs.text();
    assert!(
        !metrics.contains(KEY) && !logs.contains(KEY),
        "{metrics}\n{logs}"
    );
    for expected in [
        r#"test_http_requests_total{route="/deploy/{uuid}/{*application_key}",method="GET",status="200"} 1"#,
        r#"test_http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
    ] {
        assert!(metrics.contains(expected), "{metrics}");
    }
    assert!(logs.contains("/deploy/{uuid}/{*application_key}"), "{logs}");
}

fn app() -> App {
    let router = Router::new()
        .route("/json", post(async |Json(value): Json<Value>| Json(value)))
        .route("/query", get(async |_: Query<Results>| ()))
        .route(
            "/plain",
            get(async || (StatusCode::IM_A_TEAPOT, "short and stout")),
        )
        .route("/problem", get(async || Problem::conflict("taken")))
        .route(
            "/relayed",
            get(async || (StatusCode::NOT_FOUND, Json(json!({"from": "elsewhere"})))),
        )
        .route("/panic", get(panics))
        .route("/never", get(std::future::pending::<()>));
    front(limits(), &mut registry("test")).before(router)
}

async fn panics(request: Request) {
    assert!(request.uri().path().is_empty(), "no path is empty");
}

#[derive(Deserialize)]
struct Results {
    #[expect(dead_code, reason = "only its parsing is of interest")]
    results: u8,
}

fn front(limits: RequestLimits, registry: &mut Registry) -> Front {
    Front {
        limits,
        request_ids: RequestIds::TakeOver,
        metrics: HttpMetrics::register(registry),
        traced: &[],
    }
}

fn limits() -> RequestLimits {
    RequestLimits {
        uri_bytes: 64,
        body_bytes: 32,
        concurrent: 8,
        time: Duration::from_secs(2),
    }
}

fn get_request(uri: &str) -> Request {
    Request::get(uri).body(Body::empty()).unwrap()
}

async fn body_of(response: Response) -> Value {
    serde_json::from_str(&text_of(response).await).unwrap()
}

async fn text_of(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
