//! Charts from a folder and from a registry, and what counts as a chart.

mod http;
mod world;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant as Clock;

use rstest::rstest;
use tempfile::TempDir;

use self::world::{World, bomb, chart, packed, reference, version};
use super::*;

#[tokio::test]
async fn a_chart_lies_under_its_digest_in_a_folder_of_its_own() {
    let world = World::new();
    world.put("charts/example-0.1.0.tgz", &chart("example", "0.1.0"));

    let found = world.folder().get("charts/example", "0.1.0").await.unwrap();

    let name = format!("{}.tgz", found.digest);
    assert_eq!(found.path, world.cache().join(name));
    assert_eq!(fs::read(&found.path).unwrap(), chart("example", "0.1.0"));
    assert_eq!(found.digest.len(), 64);
}

#[tokio::test]
async fn a_file_that_changes_is_read_again() {
    let world = World::new();
    world.put("example-0.1.0.tgz", &chart("example", "0.1.0"));
    let charts = world.folder();
    let before = charts.get("example", "0.1.0").await.unwrap();
    assert_eq!(charts.get("example", "0.1.0").await.unwrap(), before);

    world.put(
        "example-0.1.0.tgz",
        &packed(&[
            ("example/Chart.yaml", "name: example\nversion: 0.1.0\n"),
            ("example/values.yaml", "a: 1"),
        ]),
    );

    assert_ne!(charts.get("example", "0.1.0").await.unwrap(), before);
}

#[tokio::test]
async fn a_file_that_breaks_leaves_the_good_copy_and_one_that_goes_does_not() {
    let world = World::new();
    world.put("example-0.1.0.tgz", &chart("example", "0.1.0"));
    let charts = world.folder();
    let good = charts.get("example", "0.1.0").await.unwrap();

    world.put("example-0.1.0.tgz", b"half a file");
    assert_eq!(charts.get("example", "0.1.0").await.unwrap(), good);

    fs::remove_file(world.root().join("example-0.1.0.tgz")).unwrap();
    assert!(matches!(
        charts.get("example", "0.1.0").await,
        Err(ChartError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_chart_that_is_held_costs_next_to_nothing() {
    let world = World::new();
    world.put("example-0.1.0.tgz", &chart("example", "0.1.0"));
    let charts = world.folder();
    charts.get("example", "0.1.0").await.unwrap();

    let begun = Clock::now();
    for _ in 0..100 {
        charts.get("example", "0.1.0").await.unwrap();
    }

    assert!(
        begun.elapsed() < 100 * Duration::from_millis(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_file_that_is_cleared_from_the_cache_is_fetched_again() {
    let world = World::new();
    world.put("example-0.1.0.tgz", &chart("example", "0.1.0"));
    let charts = world.folder();
    let found = charts.get("example", "0.1.0").await.unwrap();

    fs::write(&found.path, "something else").unwrap();

    assert_eq!(charts.get("example", "0.1.0").await.unwrap(), found);
    assert_eq!(fs::read(&found.path).unwrap(), chart("example", "0.1.0"));
}

#[tokio::test]
async fn a_link_may_lead_around_in_the_repository_but_not_out_of_it() {
    let world = World::new();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret.tgz"), chart("secret", "0.1.0")).unwrap();
    world.put("data/example.tgz", &chart("example", "0.1.0"));
    symlink("data/example.tgz", world.root().join("example-0.1.0.tgz")).unwrap();
    symlink(
        outside.path().join("secret.tgz"),
        world.root().join("secret-0.1.0.tgz"),
    )
    .unwrap();
    symlink(outside.path(), world.root().join("folder")).unwrap();
    fs::rename(
        outside.path().join("secret.tgz"),
        outside.path().join("secret-0.1.0.tgz"),
    )
    .unwrap();
    symlink("secret-0.1.0.tgz", outside.path().join("secret.tgz")).unwrap();
    let charts = world.folder();

    assert!(charts.get("example", "0.1.0").await.is_ok());
    for reference in ["secret", "folder/secret"] {
        let error = charts.get(reference, "0.1.0").await.unwrap_err();
        assert!(matches!(error, ChartError::Invalid(..)), "{error:?}");
    }
}

#[rstest]
#[case::other_name(packed(&[("x/Chart.yaml", "name: other\nversion: 0.1.0\n")]), "it is chart `other`")]
#[case::other_version(packed(&[("x/Chart.yaml", "name: example\nversion: 0.1.1\n")]), "it is version `0.1.1`")]
#[case::no_metadata(packed(&[("example/values.yaml", "")]), "it has no Chart.yaml")]
#[case::only_in_a_subchart(packed(&[("example/charts/a/Chart.yaml", "name: example\nversion: 0.1.0\n")]), "it has no Chart.yaml")]
#[case::two(packed(&[("a/Chart.yaml", "name: example\nversion: 0.1.0\n"), ("b/Chart.yaml", "name: b\nversion: 0.1.0\n")]), "it has more than one Chart.yaml")]
#[case::no_yaml(packed(&[("example/Chart.yaml", "{")]), "its Chart.yaml is malformed")]
#[case::no_archive(b"hello".to_vec(), "it is not a packed chart (.tgz)")]
#[case::cut(chart("example", "0.1.0")[..60].to_vec(), "it is not a packed chart (.tgz)")]
#[case::bomb(bomb(), "it is larger than 67108864 bytes, unpacked")]
#[tokio::test]
async fn what_is_not_the_chart_is_refused(#[case] bytes: Vec<u8>, #[case] expected: &str) {
    let world = World::new();
    world.put("example-0.1.0.tgz", &bytes);

    let error = world.folder().get("example", "0.1.0").await.unwrap_err();

    let ChartError::Invalid(_, why) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(why.source().unwrap().to_string(), expected);
    assert!(error.failure().is_some());
}

#[test]
fn too_many_files_are_refused() {
    let name: Vec<_> = (0..10_001)
        .map(|number| format!("example/{number}"))
        .collect();
    let files: Vec<_> = name.iter().map(|name| (name.as_str(), "")).collect();

    let checked = check(
        &packed(&files),
        &Expected::new(&reference("example"), &version("0.1.0")),
    );

    assert!(matches!(checked, Err(archive::ArchiveError::TooMany)));
}

#[tokio::test]
async fn a_version_is_the_same_with_and_without_its_v() {
    let world = World::new();
    world.put("example-v0.1.0.tgz", &chart("example", "0.1.0"));

    assert!(world.folder().get("example", "v0.1.0").await.is_ok());
}

#[tokio::test]
async fn a_repository_that_is_away_differs_from_one_without_the_chart() {
    let world = World::new();
    let away = world.charts(RecipeSource::Folder(world.root().join("away")));

    let absent = world.folder().get("example", "0.1.0").await.unwrap_err();
    let unavailable = away.get("example", "0.1.0").await.unwrap_err();

    assert!(matches!(absent, ChartError::NotFound(_)));
    assert!(matches!(unavailable, ChartError::Unavailable(..)));
    assert_eq!(unavailable.failure(), None);
}

#[tokio::test]
async fn a_registry_is_asked_through_helm_once() {
    let world = World::new();
    world.put("packed", &chart("example", "0.1.0"));
    let packed = world.root().join("packed");
    let script = format!(
        "echo \"$1 $2 $3 $4\" >> $0.args; cp {} \"$6/example-0.1.0.tgz\"",
        packed.display()
    );
    world.fake_helm(&script);
    let charts = world.folder();

    let found = charts
        .get("oci://registry.example/charts/example", "0.1.0")
        .await
        .unwrap();
    let again = charts
        .get("oci://registry.example/charts/example", "0.1.0")
        .await
        .unwrap();

    assert_eq!(found, again);
    let asked = fs::read_to_string(world.0.path().join("helm.args")).unwrap();
    assert_eq!(
        asked,
        "pull oci://registry.example/charts/example --version 0.1.0\n"
    );
    assert_eq!(fs::read_dir(world.cache()).unwrap().count(), 1);
}

#[rstest]
#[case::below_a_folder("charts/example", "/r", "/r/charts/example-0.1.0+a.tgz")]
#[case::below_a_url(
    "charts/example",
    "http://h/r/",
    "http://h/r/charts/example-0.1.0+a.tgz"
)]
#[case::elsewhere(
    "https://o/charts/example",
    "/r",
    "https://o/charts/example-0.1.0+a.tgz"
)]
fn a_chart_is_found_from_its_repository(
    #[case] chart: &str,
    #[case] source: &str,
    #[case] expected: &str,
) {
    let source = source.parse().unwrap();

    let found = match Origin::new(&source, &reference(chart), &version("0.1.0+a")) {
        Origin::File { path, .. } => path.display().to_string(),
        Origin::Http(url) => url.to_string(),
        Origin::Oci { reference, .. } => reference.to_string(),
    };

    assert_eq!(found, expected);
}
