use std::time::Duration;

use serde_json::json;
use sinfonia_testbed::{Exporter, Programs, Prometheus, TestFolder};

const SOON: Duration = Duration::from_secs(20);
const RULES: &str = "groups: [{name: test, rules: [{record: twice, expr: 2 * temperature}]}]";

#[test]
fn prometheus_answers_what_an_exporter_says_and_rules_make_of_it() {
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let exporter = Exporter::start("temperature{room=\"a\"} 20\n").unwrap();
    let mut prometheus =
        Prometheus::start(&programs, folder.path(), &[exporter.address()], RULES).unwrap();

    let first = prometheus
        .wait_for("twice", SOON, |result| result[0]["value"][1] == "40")
        .unwrap();
    exporter.set("temperature{room=\"a\"} 21\n");
    prometheus
        .wait_for("twice", SOON, |result| result[0]["value"][1] == "42")
        .unwrap();

    assert_eq!(first[0]["metric"]["room"], "a");
    prometheus.stop();
    assert!(prometheus.query("twice").is_err());
    prometheus.restart().unwrap();
    assert_eq!(
        prometheus.query("vector(1)").unwrap()[0]["metric"],
        json!({})
    );
}
