use std::fs;
use std::sync::Arc;

use rstest::rstest;
use sinfonia_service::client::ClientSettings;
use sinfonia_service::metrics::registry as metrics;
use tempfile::TempDir;

use super::*;
use crate::metrics::ScrapeMetrics;
use crate::registry::Known;

const ONE: &str = "endpoint: https://one.example/api/v1/deploy\n";
const TWO: &str = "endpoint: https://two.example/api/v1/deploy\n";
const ONE_WITH_TOKEN: &str =
    "endpoint: https://one.example/api/v1/deploy\ntoken_file: secrets/one\n";

#[tokio::test]
async fn the_cloudlets_of_the_file_are_known_in_its_order() {
    let folder = folder(&[("cloudlets.yaml", &format!("{TWO}---\n{ONE}"))]);

    let (registry, _follower) = open(&folder).await.unwrap();

    let mut known = hosts(&registry);
    known.sort_by_key(|(place, _)| *place);
    assert_eq!(
        known,
        [
            (Some(0), "two.example".into()),
            (Some(1), "one.example".into())
        ]
    );
}

#[tokio::test]
async fn a_token_file_lies_beside_the_cloudlet_file() {
    let folder = folder(&[
        ("cloudlets.yaml", ONE_WITH_TOKEN),
        ("secrets/one", "secret # of one\n"),
    ]);

    let (registry, _follower) = open(&folder).await.unwrap();

    assert_eq!(token(&registry).as_deref(), Some("Bearer secret"));
}

#[rstest]
#[case::malformed(&[("cloudlets.yaml", "endpoint: https://one.example/")], "is refused: document 1, line 1")]
#[case::no_token_file(&[("cloudlets.yaml", ONE_WITH_TOKEN)], "token_file of https://one.example/api/v1/deploy: cannot read")]
#[case::no_token(&[("cloudlets.yaml", ONE_WITH_TOKEN), ("secrets/one", "# none")], "is refused: the token file holds no token")]
#[case::token_in_clear(
    &[("cloudlets.yaml", "endpoint: http://one.example/api/v1/deploy\ntoken_file: secrets/one\n"), ("secrets/one", "secret")],
    "token_file of http://one.example/api/v1/deploy: a token travels over https only"
)]
#[case::no_token_file_for_metrics(
    &[("cloudlets.yaml", "endpoint: https://one.example/api/v1/deploy\nmetrics: {prometheus: https://p.example, token_file: secrets/p}\n")],
    "metrics.token_file of https://one.example/api/v1/deploy: cannot read"
)]
#[case::token_for_metrics_in_clear(
    &[
        ("cloudlets.yaml", "endpoint: https://one.example/api/v1/deploy\nmetrics: {prometheus: http://p.example, token_file: secrets/p}\n"),
        ("secrets/p", "secret"),
    ],
    "metrics.token_file of https://one.example/api/v1/deploy: a token travels over https only"
)]
#[case::no_ca_file(
    &[("cloudlets.yaml", "endpoint: https://one.example/api/v1/deploy\nmetrics: {prometheus: https://p.example, ca_file: ca.pem}\n")],
    "metrics.ca_file of https://one.example/api/v1/deploy: cannot read"
)]
#[case::no_certificate(
    &[
        ("cloudlets.yaml", "endpoint: https://one.example/api/v1/deploy\nmetrics: {prometheus: https://p.example, ca_file: ca.pem}\n"),
        ("ca.pem", "none"),
    ],
    "ca.pem holds no certificate (PEM)"
)]
#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_by_name(
    #[case] files: &[(&str, &str)],
    #[case] expected: &str,
) {
    let folder = folder(files);

    let error = open(&folder).await.err().unwrap();

    let told = format!("{error}: {}", causes(&error));
    assert!(told.contains(expected), "{told}");
    assert!(told.contains("cloudlets.yaml"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_with_a_way_out() {
    let folder = folder(&[]);

    let error = open(&folder).await.err().unwrap().to_string();

    let path = folder.path().join("cloudlets.yaml");
    assert_eq!(
        error,
        format!(
            "there is no cloudlet file {}\nhint: name one with --cloudlets FILE, or leave the option out to know only cloudlets that report",
            path.display()
        )
    );
}

#[rstest]
#[case::this_machine("http://localhost:5000/api/v1/deploy", false)]
#[case::plain_http_accepted("http://one.example/api/v1/deploy", true)]
#[tokio::test]
async fn a_token_may_travel_to_this_machine_or_where_plain_http_is_accepted(
    #[case] endpoint: &str,
    #[case] insecure_http: bool,
) {
    let document = format!("endpoint: {endpoint}\ntoken_file: token\n");
    let folder = folder(&[("cloudlets.yaml", &document), ("token", "secret")]);
    let path = folder.path().join("cloudlets.yaml");

    let registry = Registry::new();
    let scraper = scraper(&registry);
    let opened = CloudletsFollower::open(&path, insecure_http, registry, scraper).await;

    assert!(opened.is_ok());
}

#[tokio::test]
async fn a_changed_file_is_taken() {
    let folder = folder(&[("cloudlets.yaml", ONE)]);
    let (registry, mut follower) = open(&folder).await.unwrap();

    write(&folder, "cloudlets.yaml", TWO);
    follower.look().await;

    assert_eq!(hosts(&registry), [(Some(0), "two.example".into())]);
}

#[rstest]
#[case::malformed("endpoint: nowhere\n")]
#[case::a_token_file_is_missing(
    "endpoint: https://two.example/api/v1/deploy\ntoken_file: secrets/two\n"
)]
#[tokio::test]
async fn a_bad_change_leaves_all_as_it_is_until_it_is_mended(#[case] bad: &str) {
    let folder = folder(&[("cloudlets.yaml", ONE)]);
    let (registry, mut follower) = open(&folder).await.unwrap();

    write(&folder, "cloudlets.yaml", bad);
    follower.look().await;
    let during = hosts(&registry);
    write(&folder, "cloudlets.yaml", TWO);
    follower.look().await;

    assert_eq!(during, [(Some(0), "one.example".into())]);
    assert_eq!(hosts(&registry), [(Some(0), "two.example".into())]);
}

#[tokio::test]
async fn a_token_file_that_comes_late_makes_the_change_good() {
    let folder = folder(&[("cloudlets.yaml", TWO)]);
    let (registry, mut follower) = open(&folder).await.unwrap();
    write(&folder, "cloudlets.yaml", ONE_WITH_TOKEN);
    follower.look().await;
    let during = hosts(&registry);

    write(&folder, "secrets/one", "secret");
    follower.look().await;

    assert_eq!(during, [(Some(0), "two.example".into())]);
    assert_eq!(token(&registry).as_deref(), Some("Bearer secret"));
}

#[tokio::test]
async fn a_changed_token_is_taken_and_a_bad_one_is_not() {
    let folder = folder(&[("cloudlets.yaml", ONE_WITH_TOKEN), ("secrets/one", "first")]);
    let (registry, mut follower) = open(&folder).await.unwrap();

    write(&folder, "secrets/one", "second");
    follower.look().await;
    let changed = token(&registry);
    write(&folder, "secrets/one", "# none");
    follower.look().await;
    let kept = token(&registry);
    write(&folder, "secrets/one", "third");
    follower.look().await;

    let tokens = [changed, kept, token(&registry)];
    assert_eq!(
        tokens.each_ref().map(Option::as_deref),
        [
            Some("Bearer second"),
            Some("Bearer second"),
            Some("Bearer third")
        ]
    );
}

#[tokio::test]
async fn a_changed_token_is_taken_while_the_cloudlet_file_is_bad() {
    let folder = folder(&[("cloudlets.yaml", ONE_WITH_TOKEN), ("secrets/one", "first")]);
    let (registry, mut follower) = open(&folder).await.unwrap();

    write(&folder, "cloudlets.yaml", "endpoint: nowhere\n");
    write(&folder, "secrets/one", "second");
    follower.look().await;

    assert_eq!(token(&registry).as_deref(), Some("Bearer second"));
}

#[tokio::test]
async fn what_has_not_changed_is_not_laid_over_anew() {
    let folder = folder(&[
        ("cloudlets.yaml", ONE_WITH_TOKEN),
        ("secrets/one", "secret"),
    ]);
    let (registry, mut follower) = open(&folder).await.unwrap();
    let before = registry.roster();

    follower.look().await;

    assert!(Arc::ptr_eq(&before, &registry.roster()));
}

async fn open(folder: &TempDir) -> Result<(Registry, CloudletsFollower), CloudletsError> {
    let registry = Registry::new();
    let path = folder.path().join("cloudlets.yaml");
    let scraper = scraper(&registry);
    let follower = CloudletsFollower::open(&path, false, registry.clone(), scraper).await?;
    Ok((registry, follower))
}

fn scraper(registry: &Registry) -> Scraper {
    let settings = ClientSettings::new("test");
    let metrics = ScrapeMetrics::register(&mut metrics("test"));
    Scraper::new(settings, registry.clone(), metrics).unwrap()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    for (name, content) in files {
        write(&folder, name, content);
    }
    folder
}

fn write(folder: &TempDir, name: &str, content: &str) {
    fs::write(folder.path().join(name), content).unwrap();
}

/// Place in the file and host of each cloudlet.
fn hosts(registry: &Registry) -> Vec<(Option<u32>, String)> {
    let told = |known: &Arc<Known>| {
        (
            known.file_place(),
            known.cloudlet.endpoint.host_str().to_owned(),
        )
    };
    registry.snapshot().iter().map(told).collect()
}

/// What is shown to the only cloudlet.
fn token(registry: &Registry) -> Option<String> {
    let snapshot = registry.snapshot();
    let token = snapshot.first()?.token()?;
    token.authorization().to_str().ok().map(str::to_owned)
}
