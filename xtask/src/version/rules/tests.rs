use rstest::rstest;

use super::super::history::Other;
use super::*;

#[rstest]
#[case::before_the_first_release("0.1.0-dev", None, "0.1.3", "0.1.0")]
#[case::after_a_release("0.2.1-dev", Some("0.2.0"), "0.2.0", "0.2.0")]
#[case::after_changes_of_the_chart("0.2.1-dev", Some("0.2.0"), "0.2.4", "0.2.0")]
#[case::towards_a_larger_release("1.0.0-rc.1", Some("0.2.0"), "0.2.4", "0.2.0")]
fn versions_that_keep_the_rules(
    #[case] application: &str,
    #[case] last: Option<&str>,
    #[case] chart: &str,
    #[case] app_version: &str,
) {
    let tree = tree(application, last, chart, app_version);

    assert_eq!(faults(&tree, &History::default()), []);
}

#[test]
fn versions_that_break_a_rule_are_told_with_what_to_do() {
    let trees = [
        tree("0.1", None, "0.1.0", "0.1.0"),
        tree("0.1.0-dev+1a2b3c4", None, "0.1.0", "0.1.0"),
        tree("0.1.0", None, "0.1.0", "0.1.0"),
        tree("0.3.0", Some("0.2.0"), "0.3.0", "0.2.0"),
        tree("0.2.0-dev", Some("0.2.0"), "0.2.0", "0.2.0"),
        tree("0.2.1-dev", Some("0.2.0"), "0.1.9", "0.2.0"),
        tree("0.2.1-dev", Some("0.2.0"), "0.2.1", "0.2.1-dev"),
        tree("0.1.0-dev", None, "0.1.0", "0.2.0"),
        tree("0.1.0-dev", None, "v0.1", "0.1.0"),
    ];

    let told = trees.map(|tree| told(&tree, &History::default()));

    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn development_needs_a_place_for_its_changes() {
    let mut tree = tree("0.1.0-dev", None, "0.1.0", "0.1.0");
    tree.has_unreleased = false;

    insta::assert_snapshot!(told(&tree, &History::default()), @r"
    error: CHANGELOG.md has no section for what is not released yet
    hint: add a line `## Unreleased` before the newest release
    ");
}

#[test]
fn a_release_has_nothing_that_is_not_released() {
    let mut tree = tree("0.2.0", Some("0.2.0"), "0.2.0", "0.2.0");
    insta::assert_snapshot!(told(&tree, &History::default()), @r"
    error: 0.2.0 is released, and CHANGELOG.md has a section for more
    hint: `cargo xtask release --next` makes this a development version
    ");

    tree.has_unreleased = false;
    assert_eq!(told(&tree, &History::default()), "");
}

#[test]
fn a_release_ends_with_its_commit() {
    let mut tree = tree("0.2.0", Some("0.2.0"), "0.2.0", "0.2.0");
    tree.has_unreleased = false;
    let history = History {
        application: past("0.2.0", &["README.md"]),
        ..History::default()
    };

    insta::assert_snapshot!(told(&tree, &history), @r"
    error: 0.2.0 was released with commit 1a2b3c4, and README.md changed since
    hint: `cargo xtask release --next` makes this a development version
    ");
}

#[rstest]
#[case::ours("sinfonia", "set version in charts/sinfonia/Chart.yaml to 0.2.1")]
#[case::of_another(
    "helloworld",
    "set version in charts/helloworld/Chart.yaml to 0.2.1, and in the recipes of examples/recipes that name it"
)]
fn a_changed_chart_has_another_version(#[case] chart: &str, #[case] hint: &str) {
    let mut tree = tree("0.2.1-dev", Some("0.2.0"), "0.2.0", "0.2.0");
    tree.charts[0].name = chart.to_owned();
    let files = ["values.yaml", "a.yaml", "b.yaml", "c.yaml", "d.yaml"];
    let charts = [(chart.to_owned(), past("0.2.0", &files))].into();
    let history = History {
        charts,
        ..History::default()
    };

    let expected = format!(
        "error: the chart {chart} has its version 0.2.0 since commit 1a2b3c4, and values.yaml, a.yaml, b.yaml and 2 more changed since\nhint: {hint}"
    );
    assert_eq!(told(&tree, &history), expected);
}

#[test]
fn a_charts_version_never_becomes_smaller() {
    let tree = tree("0.2.1-dev", Some("0.2.0"), "0.2.0", "0.2.0");
    let history = History {
        charts: [(OURS.to_owned(), past("0.2.3", &[]))].into(),
        ..History::default()
    };

    insta::assert_snapshot!(told(&tree, &history), @r"
    error: the version 0.2.0 of the chart sinfonia is smaller than 0.2.3, which commit 1a2b3c4 has
    hint: set version in charts/sinfonia/Chart.yaml to 0.2.4
    ");
}

#[rstest]
#[case::newer(
    "0.3.0",
    "there is a tag v0.3.0, and CHANGELOG.md does not tell of that release"
)]
#[case::older(
    "0.1.0",
    "CHANGELOG.md tells of the release 0.2.0, which has no tag v0.2.0"
)]
fn the_newest_tag_is_that_of_the_last_release(#[case] tag: &str, #[case] expected: &str) {
    let tree = tree("0.2.1-dev", Some("0.2.0"), "0.2.0", "0.2.0");
    let history = History {
        releases: vec![tag.parse().unwrap(), Version::new(0, 0, 1)],
        ..History::default()
    };

    let faults = faults(&tree, &history);

    let [fault] = &faults[..] else {
        panic!("{faults:?}")
    };
    assert_eq!(fault.what, expected);
}

#[test]
fn a_release_is_tagged_after_it_was_checked() {
    let mut tree = tree("0.2.0", Some("0.2.0"), "0.2.0", "0.2.0");
    tree.has_unreleased = false;
    let history = History {
        releases: vec![Version::new(0, 1, 0)],
        ..History::default()
    };

    assert_eq!(faults(&tree, &history), []);
}

#[test]
fn charts_of_other_applications_have_versions_of_their_own() {
    let mut tree = tree("0.2.1-dev", Some("0.2.0"), "0.2.0", "0.2.0");
    tree.charts.push(Chart {
        name: "openrtist".to_owned(),
        version: "0.1.0".to_owned(),
        app_version: "v2.1".to_owned(),
    });

    assert_eq!(faults(&tree, &History::default()), []);
}

#[rstest]
#[case("0.2.0", "0.2.1-dev")]
#[case("1.9.9", "1.9.10-dev")]
fn development_after_a_release_is_smaller_than_any_next_release(
    #[case] release: &str,
    #[case] expected: &str,
) {
    let release: Version = release.parse().unwrap();
    let development = development_after(&release);

    assert_eq!(development.to_string(), expected);
    assert!(release < development && development < next_patch(&release));
}

fn told(tree: &Tree, history: &History) -> String {
    let told: Vec<_> = faults(tree, history).iter().map(Fault::to_string).collect();
    told.join("\n")
}

fn tree(application: &str, last: Option<&str>, chart: &str, app_version: &str) -> Tree {
    Tree {
        application: application.to_owned(),
        last_release: last.map(|last| last.parse().unwrap()),
        has_unreleased: true,
        charts: vec![Chart {
            name: OURS.to_owned(),
            version: chart.to_owned(),
            app_version: app_version.to_owned(),
        }],
    }
}

/// A past with this largest version, and with other files of the same version.
fn past(largest: &str, files: &[&str]) -> Past {
    let commit = "1a2b3c4".to_owned();
    let other = Other {
        commit: commit.clone(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
    };
    Past {
        largest: Some((largest.parse().unwrap(), commit)),
        other: (!files.is_empty()).then_some(other),
    }
}
