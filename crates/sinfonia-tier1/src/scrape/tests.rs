use std::future::Future;
use std::path::Path;

use futures_util::FutureExt;
use prometheus_client::encoding::text::encode;
use rstest::rstest;
use serde_json::json;
use sinfonia_core::cloudlet::{CloudletInfo, Resources};
use sinfonia_core::yaml;
use sinfonia_service::prometheus::RESOURCES;
use tokio::time::timeout;
use wiremock::matchers::{any, header, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::registry::FileCloudlet;

mod hostile;
mod sources;

const CLOUDLET: &str = "https://one.example/api/v1/deploy";
/// How long a test waits for what has to happen, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_is_scraped_is_known_of_the_cloudlet() {
    let (_server, world, _scraper) = measuring().await;

    let known = world.registry.at(&endpoint()).unwrap();
    let age = known
        .cloudlet
        .last_update
        .unwrap()
        .duration_until(Timestamp::now());
    assert!(age.as_secs() < 60, "{age}");
    assert!(world.counts("measured"));
}

#[tokio::test]
async fn a_cloudlet_that_cannot_be_scraped_keeps_what_was_measured_last() {
    let (server, world, _scraper) = measuring().await;

    server.reset().await;

    eventually(async || world.counts("failed")).await;
    assert_eq!(world.resources(), used([("queue", 3.0)]));
}

#[tokio::test]
async fn a_cloudlet_of_which_nothing_is_measured_any_more_has_no_measurements() {
    let (server, world, _scraper) = measuring().await;

    server.reset().await;
    answer(&server, "other 7\n").await;

    world.until(Resources::is_empty).await;
    assert!(world.counts("nothing"));
}

#[tokio::test]
async fn a_cloudlet_that_is_no_target_any_more_is_forgotten_and_asked_no_more() {
    let (_server, world, mut scraper) = measuring().await;

    world.follow(&mut scraper, &[]).await;

    assert_eq!(world.resources(), Resources::new());
    assert_eq!(
        world.registry.at(&endpoint()).unwrap().cloudlet.last_update,
        None
    );
    assert!(scraper.running.is_empty());
}

#[tokio::test]
async fn a_changed_target_is_asked_anew_and_the_others_go_on_undisturbed() {
    let server = page("queue_length 3\nload 7\n").await;
    let world = World::new();
    let other = Target {
        endpoint: "https://two.example/api/v1/deploy".parse().unwrap(),
        ..target(&page_of(&server))
    };
    let mut scraper = world
        .scraping(&[target(&page_of(&server)), other.clone()])
        .await;
    let before = task_of(&scraper, &other);
    world
        .until(|resources| *resources == used([("queue", 3.0)]))
        .await;

    let changed = page_of(&server).replace("queue: queue_length", "load: load");
    world
        .follow(&mut scraper, &[target(&changed), other.clone()])
        .await;

    world
        .until(|resources| *resources == used([("load", 7.0)]))
        .await;
    assert_eq!(task_of(&scraper, &other), before);
}

#[tokio::test]
async fn nobody_is_asked_while_as_many_as_may_are() {
    let server = page("queue_length 3\n").await;
    let world = World::new();
    let scraper = world.scraping(&[]).await;
    let mut source = Source::new(&target(&page_of(&server)), scraper.client.clone());
    let all = u32::try_from(AT_ONCE).unwrap();
    let others = scraper.shared.permits.acquire_many(all).await.unwrap();

    let waits = scraper.shared.scrape(&mut source).now_or_never().is_none();
    drop(others);
    let scraped = scraper.shared.scrape(&mut source).await;

    assert!(waits);
    assert_eq!(scraped.resources, used([("queue", 3.0)]));
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_with_their_cloudlet() {
    let world = World::new();
    let scraper = world.scraping(&[]).await;
    let authority = Authority {
        path: Path::new("/nowhere/ca.pem").to_owned(),
        content: Arc::default(),
    };
    let target = Target {
        authority: Some(authority),
        ..target("prometheus: https://prometheus.example")
    };

    let (told, error) = scraper.prepare(vec![target]).err().unwrap();

    assert_eq!(told, endpoint());
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

/// A registry with one cloudlet of the file, and what counts scrapes.
struct World {
    registry: Registry,
    metrics: ScrapeMetrics,
    counted: prometheus_client::registry::Registry,
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let info = CloudletInfo::at(endpoint());
        registry.replace_file(vec![FileCloudlet { info, token: None }]);
        let mut counted = prometheus_client::registry::Registry::default();
        Self {
            registry,
            metrics: ScrapeMetrics::register(&mut counted),
            counted,
        }
    }

    async fn scraping(&self, targets: &[Target]) -> Scraper {
        let settings = ClientSettings::new("test");
        let mut scraper =
            Scraper::new(settings, self.registry.clone(), self.metrics.clone()).unwrap();
        self.follow(&mut scraper, targets).await;
        scraper
    }

    async fn follow(&self, scraper: &mut Scraper, targets: &[Target]) {
        let prepared = scraper.prepare(targets.to_vec()).ok().unwrap();
        scraper.follow(prepared).await;
    }

    fn resources(&self) -> Resources {
        let known = self.registry.at(&endpoint()).unwrap();
        Resources::from(&known.cloudlet.resources)
    }

    async fn until(&self, wanted: impl Fn(&Resources) -> bool) {
        eventually(async || wanted(&self.resources())).await;
    }

    /// Whether a scrape with this outcome was counted.
    fn counts(&self, outcome: &str) -> bool {
        let mut text = String::new();
        encode(&mut text, &self.counted).unwrap();
        text.contains(&format!("scrapes_total{{outcome=\"{outcome}\"}}"))
    }
}

fn endpoint() -> Endpoint {
    CLOUDLET.parse().unwrap()
}

/// A page of which a queue of 3 was measured, and goes on to be.
async fn measuring() -> (MockServer, World, Scraper) {
    let server = page("queue_length 3\n").await;
    let world = World::new();
    let scraper = world.scraping(&[target(&page_of(&server))]).await;
    world
        .until(|resources| *resources == used([("queue", 3.0)]))
        .await;
    (server, world, scraper)
}

/// The cloudlet with this text as its field `metrics`.
fn target(metrics: &str) -> Target {
    Target {
        endpoint: endpoint(),
        metrics: yaml::document(metrics).unwrap(),
        token: None,
        authority: None,
    }
}

/// A page of which one series is wanted, as often as may be.
fn page_of(server: &MockServer) -> String {
    format!(
        "endpoint: {}/metrics\nseries: {{queue: queue_length}}\ninterval: 1s\n",
        server.uri()
    )
}

async fn page(text: &str) -> MockServer {
    let server = MockServer::start().await;
    answer(&server, text).await;
    server
}

async fn answer(server: &MockServer, text: &str) {
    Mock::given(path("/metrics"))
        .respond_with(ResponseTemplate::new(200).set_body_string(text))
        .mount(server)
        .await;
}

fn task_of(scraper: &Scraper, target: &Target) -> tokio::task::Id {
    scraper.running[&target.endpoint].task.abort_handle().id()
}

/// Asks once.
async fn scrape(metrics: &str) -> Scraped {
    let client = client::build(&ClientSettings::new("test")).unwrap();
    Source::new(&target(metrics), client).scrape().await
}

/// What went wrong, with its causes.
fn told(scraped: &Scraped) -> String {
    let error = scraped.error.as_ref().unwrap();
    format!("{error}: {}", causes(error))
}

async fn eventually(look: impl AsyncFn() -> bool) {
    let looking = async {
        while !look().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap();
}

fn used<const N: usize>(values: [(&str, f64); N]) -> Resources {
    values
        .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
        .into()
}
