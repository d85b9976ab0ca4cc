//! `/cloudlets` as cloudlets and their operators meet it.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[path = "cloudlets/listing.rs"]
mod listing;

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::load::Thresholds;
use sinfonia_service::path::{App, normalised};
use sinfonia_service::proxies::{TrustedProxies, X_FORWARDED_FOR};
use sinfonia_service::reload::Reloaded;
use sinfonia_tier1::registry::{FileCloudlet, Registry};
use sinfonia_tier1::report_access::{ReportAccess, ReportTokens};
use sinfonia_tier1::routes::cloudlets::{CloudletsState, ReportMetrics, SeldomTold, router};
use tower::ServiceExt;

const ONE: &str = "http://one.example/api/v1/deploy";
const TWO: &str = "http://two.example/api/v1/deploy";
const A: &str = "00000000-0000-0000-0000-00000000000a";
const B: &str = "00000000-0000-0000-0000-00000000000b";

#[tokio::test]
async fn a_report_is_taken_and_listed_as_the_contract_says() {
    let tier1 = Tier1::with_tokens("");
    let report = json!({
        "uuid": A,
        "endpoint": ONE,
        "resources": {"cpu_ratio": 0.5, "gpu_ratio": 50},
        "local_networks": ["10.0.0.1/8"],
        "locations": [[40.4439, -79.9444]],
        "last_update": "2001-01-01T00:00:00Z",
        "rejected_clients": null,
        "something_else": {"is": "ignored"},
    });
    let before = Timestamp::now();

    let taken = tier1.report("of-all", &report).await;
    let mut listed = tier1.list().await;

    let stamped = listed[0]["last_update"].take();
    let stamped: Timestamp = stamped.as_str().unwrap().parse().unwrap();
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    assert_eq!(body_of(taken).await, Value::Null);
    assert!(stamped.as_second() >= before.as_second());
    let expected = json!([{
        "uuid": A,
        "endpoint": ONE,
        "name": "one.example",
        "resources": {"cpu_ratio": 0.5, "gpu_ratio": 0.5},
        "local_networks": ["10.0.0.0/8"],
        "locations": [[40.4439, -79.9444]],
        "accepted_clients": ["0.0.0.0/0", "::/0"],
        "last_update": null,
    }]);
    assert_eq!(listed, expected);
}

#[rstest]
#[case::no_json(
    "{",
    "the body is not the JSON expected here: EOF while parsing an object at line 1 column 1"
)]
#[case::no_object("[]", "a report is a JSON object")]
#[case::empty(
    "",
    "the body is not the JSON expected here: EOF while parsing a value at line 1 column 0"
)]
#[case::no_uuid(
    r#"{"endpoint": "http://one.example/api/v1/deploy"}"#,
    "the report lacks `uuid`"
)]
#[case::no_endpoint(
    r#"{"uuid": "00000000-0000-0000-0000-00000000000a"}"#,
    "the report lacks `endpoint`"
)]
#[case::malformed_network(
    r#"{"uuid": "00000000-0000-0000-0000-00000000000a", "endpoint": "http://one.example/api/v1/deploy", "rejected_clients": ["10.0.0.0/33"]}"#,
    "`rejected_clients` is malformed: `10.0.0.0/33` is not a network: what follows the slash is neither a prefix length (0 to 32, IPv6 to 128) nor a netmask"
)]
#[tokio::test]
async fn a_malformed_report_is_refused_and_changes_nothing(
    #[case] body: &'static str,
    #[case] detail: &str,
) {
    let tier1 = Tier1::with_tokens("");
    let good = json!({"uuid": A, "endpoint": ONE, "rejected_clients": ["10.0.0.0/8"]});
    tier1.report("of-all", &good).await;
    let before = tier1.list().await;

    let response = tier1.post(Some("of-all"), Body::from(body)).await;

    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(body_of(response).await["detail"], detail);
    assert_eq!(tier1.list().await, before);
}

#[rstest]
#[case::at_the_limit(64 * 1024, StatusCode::NO_CONTENT)]
#[case::beyond(64 * 1024 + 1, StatusCode::PAYLOAD_TOO_LARGE)]
#[tokio::test]
async fn a_report_is_bounded(#[case] bytes: usize, #[case] status: StatusCode) {
    let tier1 = Tier1::with_tokens("");
    let mut report = json!({"uuid": A, "endpoint": ONE}).to_string();
    report.push_str(&" ".repeat(bytes - report.len()));

    let response = tier1.post(Some("of-all"), Body::from(report)).await;

    assert_eq!(response.status(), status);
}

#[rstest]
#[case::none(None, StatusCode::UNAUTHORIZED)]
#[case::wrong(Some("guess"), StatusCode::FORBIDDEN)]
#[tokio::test]
async fn a_missing_or_wrong_token_is_told_before_the_body_is_looked_at(
    #[case] token: Option<&str>,
    #[case] status: StatusCode,
) {
    let tier1 = Tier1::with_tokens("");

    let response = tier1.post(token, Body::from("{")).await;

    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
}

#[rstest]
#[case::a_malformed_field(json!({"uuid": B, "endpoint": ONE, "locations": [[91, 0]]}))]
#[case::no_endpoint(json!({"uuid": B}))]
#[case::a_malformed_endpoint(json!({"uuid": B, "endpoint": "nowhere"}))]
#[tokio::test]
async fn a_token_out_of_its_scope_is_told_before_what_is_malformed(#[case] report: Value) {
    let tier1 = Tier1::with_tokens("");

    let response = tier1.report("of-a", &report).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[rstest]
#[case::its_uuid("of-a", A, TWO, StatusCode::NO_CONTENT)]
#[case::another_uuid("of-a", B, ONE, StatusCode::FORBIDDEN)]
#[case::its_endpoint("of-two", B, TWO, StatusCode::NO_CONTENT)]
#[case::another_endpoint("of-two", B, ONE, StatusCode::FORBIDDEN)]
#[case::all("of-all", B, ONE, StatusCode::NO_CONTENT)]
#[tokio::test]
async fn a_token_is_good_for_its_scope(
    #[case] token: &str,
    #[case] uuid: &str,
    #[case] endpoint: &str,
    #[case] status: StatusCode,
) {
    let tier1 = Tier1::with_tokens("");

    let response = tier1
        .report(token, &json!({"uuid": uuid, "endpoint": endpoint}))
        .await;

    assert_eq!(response.status(), status);
}

#[tokio::test]
async fn without_any_setting_no_report_is_taken_and_the_answer_says_what_to_do() {
    let tier1 = Tier1::new("", false, "false");

    let response = tier1
        .report("of-all", &json!({"uuid": A, "endpoint": ONE}))
        .await;

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let problem = body_of(response).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("--report-tokens") && detail.contains("--allow-anonymous-reports"),
        "{detail}"
    );
}

#[rstest]
#[case::direct("198.51.100.7", None, StatusCode::NO_CONTENT)]
#[case::from_elsewhere("203.0.113.9", None, StatusCode::UNAUTHORIZED)]
#[case::claims_to_be_from_here("203.0.113.9", Some("198.51.100.7"), StatusCode::UNAUTHORIZED)]
#[case::through_a_trusted_proxy("127.0.0.1", Some("198.51.100.7"), StatusCode::NO_CONTENT)]
#[case::from_elsewhere_through_a_trusted_proxy(
    "127.0.0.1",
    Some("203.0.113.9"),
    StatusCode::UNAUTHORIZED
)]
#[tokio::test]
async fn anonymous_reports_are_judged_by_the_callers_address(
    #[case] peer: &str,
    #[case] forwarded_for: Option<&str>,
    #[case] status: StatusCode,
) {
    let tier1 = Tier1::new("", true, "198.51.100.0/24");
    let mut request = request(Method::POST, "/api/v1/cloudlets/", peer);
    if let Some(hops) = forwarded_for {
        request
            .headers_mut()
            .insert(X_FORWARDED_FOR, hops.parse().unwrap());
    }
    *request.body_mut() = Body::from(json!({"uuid": B, "endpoint": ONE}).to_string());

    let response = tier1.app.clone().oneshot(request).await.unwrap();

    assert_eq!(response.status(), status);
}

#[rstest]
#[case::of_the_file(B, ONE, StatusCode::NO_CONTENT)]
#[case::of_nobody(B, "http://three.example/api/v1/deploy", StatusCode::NO_CONTENT)]
#[case::uuid_of_a_token(A, "http://three.example/api/v1/deploy", StatusCode::FORBIDDEN)]
#[case::endpoint_of_a_token(B, TWO, StatusCode::FORBIDDEN)]
#[tokio::test]
async fn an_anonymous_report_takes_nothing_that_a_token_was_given_out_for(
    #[case] uuid: &str,
    #[case] endpoint: &str,
    #[case] status: StatusCode,
) {
    let tier1 = Tier1::new(&format!("endpoint: {ONE}\n"), true, "true");

    let report = json!({"uuid": uuid, "endpoint": endpoint}).to_string();
    let response = tier1.post(None, Body::from(report)).await;

    assert_eq!(response.status(), status);
}

#[tokio::test]
async fn an_anonymous_report_for_an_entry_that_a_token_reported_is_refused() {
    let tier1 = Tier1::new(&format!("endpoint: {ONE}\n"), true, "true");
    let report = json!({"uuid": B, "endpoint": ONE, "resources": {"cpu_ratio": 0.5}});
    tier1.report("of-all", &report).await;
    let before = tier1.list().await;

    let anonymous = json!({"uuid": B, "endpoint": ONE, "resources": {"cpu_ratio": 0.0}});
    let response = tier1.post(None, Body::from(anonymous.to_string())).await;

    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(tier1.list().await, before);
}

#[tokio::test]
async fn a_report_joins_its_entry_of_the_file() {
    let tier1 = Tier1::with_tokens(&format!("endpoint: {ONE}\nname: One\nlocation: [1, 2]\n"));
    let report = json!({"uuid": A, "endpoint": "http://ONE.example:80/api/v2/deploy/", "name": "Other", "labels": {"gpu": "none"}});

    tier1.report("of-a", &report).await;

    let mut listed = tier1.list().await;
    listed[0]["last_update"].take();
    let expected = json!([{
        "uuid": A,
        "endpoint": ONE,
        "name": "One",
        "locations": [[1.0, 2.0]],
        "accepted_clients": ["0.0.0.0/0", "::/0"],
        "labels": {"gpu": "none"},
        "last_update": null,
    }]);
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn any_content_type_will_do() {
    let tier1 = Tier1::with_tokens("");
    let mut request = request(Method::POST, "/api/v1/cloudlets/", "127.0.0.1");
    request
        .headers_mut()
        .insert(AUTHORIZATION, "Bearer of-all".parse().unwrap());
    request
        .headers_mut()
        .insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    *request.body_mut() = Body::from(json!({"uuid": A, "endpoint": ONE}).to_string());

    let response = tier1.app.clone().oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn reports_are_counted_by_what_came_of_them() {
    let tier1 = Tier1::with_tokens("");
    tier1
        .report("of-all", &json!({"uuid": A, "endpoint": ONE}))
        .await;
    tier1.report("of-all", &json!({"uuid": A})).await;
    tier1
        .report("of-a", &json!({"uuid": B, "endpoint": ONE}))
        .await;
    tier1.post(None, Body::empty()).await;

    assert_eq!(
        tier1.counts(),
        [
            r#"reports_total{outcome="forbidden"} 1"#,
            r#"reports_total{outcome="malformed"} 1"#,
            r#"reports_total{outcome="no-room"} 0"#,
            r#"reports_total{outcome="taken"} 1"#,
            r#"reports_total{outcome="unauthorized"} 1"#,
        ]
    );
}

#[tokio::test]
async fn where_there_is_no_room_a_new_cloudlet_is_told_to_come_later_and_known_ones_go_on() {
    let tier1 = Tier1::with_room_for(1);
    let [one, two] = [(A, ONE), (B, TWO)].map(|(uuid, url)| json!({"uuid": uuid, "endpoint": url}));
    tier1.report("of-all", &one).await;

    let refused = tier1.report("of-all", &two).await;
    let again = tier1.report("of-all", &one).await;
    let malformed = tier1.report("of-all", &json!({"uuid": B})).await;

    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[RETRY_AFTER], "60");
    assert_eq!(
        body_of(refused).await["detail"],
        "this Tier 1 knows 1 cloudlets that its file does not name and takes no others; its operator may allow more (--max-reported-cloudlets)"
    );
    assert_eq!(tier1.list().await.as_array().unwrap().len(), 1);
    assert!(
        tier1
            .counts()
            .contains(&r#"reports_total{outcome="no-room"} 1"#.to_owned())
    );
}

/// A Tier 1 that knows no other routes.
struct Tier1 {
    app: App,
    metrics: prometheus_client::registry::Registry,
}

impl Tier1 {
    fn new(file: &str, has_tokens: bool, anonymous: &str) -> Self {
        Self::of(Registry::new(), file, has_tokens, anonymous)
    }

    /// One that takes in so many cloudlets.
    fn with_room_for(cloudlets: usize) -> Self {
        let registry = Registry::with(Thresholds::default(), Some(cloudlets));
        Self::of(registry, "", true, "false")
    }

    fn of(registry: Registry, file: &str, has_tokens: bool, anonymous: &str) -> Self {
        let entries = CloudletFile::parse(file).unwrap().entries;
        let cloudlet = |info| FileCloudlet { info, token: None };
        registry.replace_file(
            entries
                .into_iter()
                .map(|entry| cloudlet(entry.cloudlet))
                .collect(),
        );
        let file = format!("of-all *\nof-a {A}\nof-two {TWO}\n");
        let tokens = has_tokens.then(|| ReportTokens::parse_bytes(file.as_bytes()).unwrap());
        let mut metrics = prometheus_client::registry::Registry::default();
        let state = CloudletsState {
            registry,
            access: ReportAccess {
                tokens: tokens.map(Reloaded::fixed),
                anonymous: anonymous.parse().unwrap(),
            },
            proxies: TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]),
            metrics: ReportMetrics::register(&mut metrics),
            no_room: SeldomTold::default(),
        };
        Self {
            app: normalised(router(state)),
            metrics,
        }
    }

    /// One that has this file and wants tokens for reports.
    fn with_tokens(file: &str) -> Self {
        Self::new(file, true, "false")
    }

    async fn report(&self, token: &str, report: &Value) -> Response<Body> {
        self.post(Some(token), Body::from(report.to_string())).await
    }

    async fn post(&self, token: Option<&str>, body: Body) -> Response<Body> {
        self.send(Method::POST, "/api/v1/cloudlets/", token, body)
            .await
    }

    /// What was counted of reports, ordered.
    fn counts(&self) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("reports_total"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    async fn list(&self) -> Value {
        body_of(
            self.send(Method::GET, "/api/v1/cloudlets/", None, Body::empty())
                .await,
        )
        .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Body,
    ) -> Response<Body> {
        let mut request = request(method, path, "203.0.113.9");
        if let Some(token) = token {
            request
                .headers_mut()
                .insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        *request.body_mut() = body;
        self.app.clone().oneshot(request).await.unwrap()
    }
}

fn request(method: Method, path: &str, peer: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let peer: IpAddr = peer.parse().unwrap();
    request
        .extensions_mut()
        .insert(ConnectInfo(SocketAddr::new(peer, 4711)));
    request
}

/// The body as JSON; null when there is none.
async fn body_of(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
