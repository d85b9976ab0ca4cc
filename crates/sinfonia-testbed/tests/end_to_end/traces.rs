//! Traces of requests through all tiers, as a collector of OpenTelemetry gets them.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use sinfonia_testbed::{Service, command};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::fakes::{FakeServer, Reply};
use super::support::{NEAR, Ran, World, cloudlet, logged, run, stopped};

/// What deploys, at both tiers.
const DEPLOY: &str = "POST /api/v1/deploy/{uuid}/{*application_key}";
/// A port of loopback where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
/// Where a collector takes spans that are compressed, and no others.
const COMPRESSED: &str = "/compressed";
/// What the log says when a collector begins to fail.
const UNDELIVERED: &str = "traces cannot be delivered";

#[tokio::test]
async fn a_deploy_request_is_one_trace_through_all_tiers() {
    let world = World::new();
    let collector = Collector::start().await;
    let (tier2, tier1) = tiers(&world, &collector.url()).await;

    let deployed = deploy(&world, &tier1, &collector.url()).await;

    stopped(tier1).await;
    stopped(tier2).await;
    assert_eq!(deployed.code, 0, "{}", deployed.stderr);
    let spans = collector.spans();
    let wanted = spans.one("sinfonia-tier3", "deploy", None);
    let asked = spans.one("sinfonia-tier3", "POST Tier 1", Some(wanted));
    let decided = spans.one("sinfonia-tier1", DEPLOY, Some(asked));
    let tried = spans.one(
        "sinfonia-tier1",
        "POST deployment of a cloudlet",
        Some(decided),
    );
    let answered = spans.one("sinfonia-tier2", DEPLOY, Some(tried));
    for span in [asked, decided, tried, answered] {
        assert_eq!(span.trace_id, wanted.trace_id);
    }
}

#[tokio::test]
async fn the_environment_says_who_exports_and_how_and_what_comes_to_nothing_has_failed() {
    let world = World::new();
    let collector = Collector::start().await;
    let mut command = command(&world.binaries().tier3);
    command
        .args(["deploy", "helloworld", "--tier1-url", NOWHERE])
        .env("XDG_CACHE_HOME", world.path().join("cache"))
        .env(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            collector.url() + COMPRESSED,
        )
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=a device");

    let ran = run(command).await;

    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let spans = collector.spans();
    let wanted = spans.one("a device", "deploy", None);
    let code = wanted.status.as_ref().map(|status| status.code());
    assert_eq!(code, Some(StatusCode::Error));
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_a_line_in_the_log() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world, NOWHERE).await;

    let first = deploy(&world, &tier1, NOWHERE).await;
    logged(&tier1, UNDELIVERED).await;
    let second = deploy(&world, &tier1, NOWHERE).await;
    logged(&tier1, "traces are lost").await;

    for deployed in [first, second] {
        assert_eq!((deployed.code, deployed.stderr.as_str()), (0, ""));
    }
    let log = tier1.log_text();
    assert_eq!(log.matches(UNDELIVERED).count(), 1, "{log}");
    stopped(tier1).await;
    stopped(tier2).await;
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_says_nothing() {
    let world = World::new();
    let fake = FakeServer::start(|_| Reply::Silence).await;
    let (tier2, tier1) = tiers(&world, &fake.url()).await;

    let deployed = deploy(&world, &tier1, &fake.url()).await;

    assert_eq!((deployed.code, deployed.stderr.as_str()), (0, ""));
    let (tier1, tier2) = tokio::join!(stopped(tier1), stopped(tier2));
    assert!(tier1.success() && tier2.success());
}

/// A Tier 2, and a Tier 1 that knows it, which both export to this collector: one because an option says so, the other because the
/// environment does. Tier 1 delivers often, and logs each failure beside the first at a lower level.
async fn tiers(world: &World, collector: &str) -> (Service, Service) {
    let tier2 = world
        .tier2("cloudlet", &["--otlp-endpoint", collector])
        .await;
    let cloudlets = cloudlet("cloudlet", &tier2.url(), NEAR);
    let mut command = command(&world.binaries().tier1);
    command
        .arg("--cloudlets")
        .arg(world.write("cloudlets.yaml", &cloudlets))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("RUST_LOG", "info,sinfonia_service::traces=debug");
    let tier1 = world
        .start(None, "tier1", world.with_recipes(command, &[]))
        .await;
    (tier2, tier1)
}

async fn deploy(world: &World, tier1: &Service, collector: &str) -> Ran {
    let url = tier1.url();
    let deploy = ["deploy", "helloworld", "--quiet", "--tier1-url", &url];
    world
        .tier3(&[&deploy[..], &["--otlp-endpoint", collector]].concat())
        .await
}

/// A collector on loopback.
struct Collector {
    address: SocketAddr,
    taken: Taken,
    _running: JoinSet<()>,
}

/// What a collector took.
type Taken = Arc<Mutex<Spans>>;

/// Spans, each with the program that it is of.
#[derive(Debug, Clone, Default)]
struct Spans(Vec<(String, Span)>);

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Taken::default();
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .route(COMPRESSED, post(take_compressed));
        let routes = routes.with_state(Arc::clone(&taken));
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            address,
            taken,
            _running: running,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Spans {
        self.taken.lock().unwrap().clone()
    }
}

impl Spans {
    /// The only span of this program with this name and parent.
    fn one(&self, program: &str, name: &str, parent: Option<&Span>) -> &Span {
        let parent = parent.map_or(&[][..], |parent| &parent.span_id);
        let is_it = |(of, span): &&(String, Span)| {
            of == program && span.name == name && span.parent_span_id == parent
        };
        let found: Vec<_> = self.0.iter().filter(is_it).collect();
        let [(_, span)] = found.as_slice() else {
            panic!("{} of {name} of {program} in {self:#?}", found.len());
        };
        span
    }
}

/// Takes what an exporter sends.
async fn take(State(taken): State<Taken>, body: Bytes) {
    let exported = ExportTraceServiceRequest::decode(body).unwrap();
    for spans in exported.resource_spans {
        let program = spans.resource.as_ref().and_then(program).unwrap();
        let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let spans = spans.map(|span| (program.clone(), span));
        taken.lock().unwrap().0.extend(spans);
    }
}

/// Takes what an exporter sends that compresses.
async fn take_compressed(taken: State<Taken>, body: Bytes) {
    let mut plain = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    take(taken, plain.into()).await;
}

/// Who exports.
fn program(resource: &Resource) -> Option<String> {
    let mut attributes = resource.attributes.iter();
    let name = attributes.find(|attribute| attribute.key == "service.name")?;
    match name.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    }
}
