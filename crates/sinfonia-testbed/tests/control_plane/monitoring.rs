//! The alert rules and dashboards that the chart brings: Prometheus understands them, and they speak of metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_core::yaml;
use sinfonia_testbed::{Metric, Programs, TestFolder};

use super::chart::{Helm, KUBERNETES, NEEDED, repository, told};

/// All that the table has.
const SECTIONS: [&str; 5] = [
    "Tier 1",
    "Tier 2",
    "Tier 2 on Kubernetes",
    "Tier 2 in a sandbox",
    "Of others",
];
/// With which our metrics and those of the exporter begin.
const PREFIXES: [&str; 2] = ["sinfonia_", "wireguard_"];
/// What Grafana puts into a query.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "5m"), ("$job", ".+")];

#[rstest]
#[case::tier1("tier1")]
#[case::tier2("tier2")]
fn prometheus_takes_the_rules_and_they_fire_when_they_should(#[case] tier: &str) {
    let tests = repository().join(format!("deploy/monitoring/tests/{tier}.yaml"));

    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        &rules(tier),
    );
    promtool(&["test", "rules"], &tests);
}

#[rstest]
#[case::tier1("tier1")]
#[case::tier2("tier2")]
fn each_alert_has_a_test_and_a_row(#[case] tier: &str) {
    let tests =
        fs::read_to_string(repository().join(format!("deploy/monitoring/tests/{tier}.yaml")));
    let (tests, table) = (tests.unwrap(), fs::read_to_string(table()).unwrap());
    let rules: Value = yaml::document(&fs::read_to_string(rules(tier)).unwrap()).unwrap();

    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        let fires = format!("alertname: {name}\n        exp_alerts:");
        let keeps_quiet = format!("alertname: {name}}}");
        assert!(tests.contains(&fires), "no test has {name} fire");
        assert!(
            tests.contains(&keeps_quiet),
            "no test has {name} keep quiet"
        );
        let row = format!(
            "| `{name}` | {} |",
            rule["labels"]["severity"].as_str().unwrap()
        );
        assert!(table.contains(&row), "{row} is not in the table");
    }
}

#[rstest]
#[case::tier1("tier1")]
#[case::tier2("tier2")]
fn prometheus_understands_what_the_dashboard_asks(#[case] tier: &str) {
    let folder = TestFolder::new().unwrap();
    let queries = queries(tier);
    let rules = queries.iter().enumerate().map(|(number, query)| {
        let query = VARIABLES
            .iter()
            .fold(query.clone(), |query, (variable, value)| {
                query.replace(variable, value)
            });
        json!({"record": format!("query:{number}"), "expr": query})
    });
    let rules = json!({"groups": [{"name": tier, "rules": rules.collect::<Vec<_>>()}]});
    let file = folder.path().join("queries.yaml");
    fs::write(&file, rules.to_string()).unwrap();

    promtool(&["check", "rules"], &file);

    assert!(queries.len() > 10, "{queries:?}");
}

#[rstest]
#[case::tier1("tier1")]
#[case::tier2("tier2")]
fn rules_and_dashboards_speak_of_metrics_of_the_table(#[case] tier: &str) {
    let known: BTreeSet<String> = Metric::documented(&SECTIONS)
        .into_iter()
        .flat_map(names_in_queries)
        .collect();
    let rules = fs::read_to_string(rules(tier)).unwrap();
    let dashboard = fs::read_to_string(dashboard(tier)).unwrap();

    for text in [rules, dashboard] {
        let named: Vec<String> = named(&text).collect();
        let unknown: Vec<&String> = named.iter().filter(|name| !known.contains(*name)).collect();
        assert!(!named.is_empty());
        assert_eq!(unknown, [""; 0]);
    }
}

#[rstest]
#[case::tier1("tier1", "sinfoniaTier1=true")]
#[case::tier2("tier2", "sinfoniaTier1=false")]
fn the_chart_brings_the_rules_and_the_dashboard_of_its_tier(#[case] tier: &str, #[case] set: &str) {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    let wanted = format!(
        "{set},prometheusRule.enabled=true,prometheusRule.labels.release=prometheus,grafanaDashboard.enabled=true"
    );
    let template = [
        "template",
        "edge",
        "--kube-version",
        KUBERNETES,
        "--set",
        &wanted,
    ];

    let rendered = helm.run(&[&template[..], &NEEDED].concat());

    let objects = yaml::documents::<Value>(&rendered).unwrap();
    let one = |kind: &str, name: &str| {
        let mut objects = objects.iter().flatten();
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        objects.find(is_it).unwrap().clone()
    };
    let rule = one("PrometheusRule", "edge-sinfonia");
    let board = one("ConfigMap", "edge-sinfonia-dashboard");
    let of_the_file: Value = yaml::document(&fs::read_to_string(rules(tier)).unwrap()).unwrap();
    assert_eq!(rule["spec"], of_the_file);
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let file = fs::read_to_string(dashboard(tier)).unwrap();
    assert_eq!(
        board["data"],
        json!({format!("sinfonia-{tier}.json"): file})
    );
    assert_eq!(board["metadata"]["labels"]["grafana_dashboard"], "1");
}

/// Runs promtool on a file.
fn promtool(arguments: &[&str], file: &Path) {
    let mut promtool = Command::new(Programs::promtool_or_hint().unwrap());
    told(&promtool.args(arguments).arg(file).output().unwrap());
}

fn rules(tier: &str) -> PathBuf {
    repository().join(format!("charts/sinfonia/files/rules/{tier}.yaml"))
}

fn dashboard(tier: &str) -> PathBuf {
    repository().join(format!("charts/sinfonia/files/dashboards/{tier}.json"))
}

fn table() -> PathBuf {
    repository().join("deploy/monitoring/README.md")
}

/// The queries of a dashboard's panels.
fn queries(tier: &str) -> Vec<String> {
    let dashboard: Value = serde_json::from_slice(&fs::read(dashboard(tier)).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap());
    queries.map(str::to_owned).collect()
}

/// How queries name a metric.
fn names_in_queries(metric: Metric) -> Vec<String> {
    if metric.kind == "histogram" {
        let suffixes = ["_bucket", "_count", "_sum"];
        return suffixes
            .map(|suffix| format!("{}{suffix}", metric.name))
            .into();
    }
    vec![metric.name]
}

/// The metrics of ours and of the exporter that a text names.
fn named(text: &str) -> impl Iterator<Item = String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(move |character| !is_part(character));
    let named = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    named.map(str::to_owned)
}
