//! The schemas of files: they take what the parsers take, and refuse what every editor should underline.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_core::check::FileKind;
use sinfonia_core::schema::of_file;
use sinfonia_core::yaml;

const ENDPOINT: &str = "endpoint: http://c.example/api/v1/deploy\n";
const CHART: &str = "chart: charts/example\nversion: 0.1.0\n";

#[rstest]
#[case("examples")]
#[case("examples/recipes")]
#[case("examples/replay")]
fn every_example_is_taken(#[case] folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let yaml = files.filter(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });

    let mut seen = 0;
    for file in yaml {
        let text = fs::read_to_string(&file).unwrap();
        // There may be other files beside them.
        let Some(kind) = FileKind::of(&text) else {
            continue;
        };
        assert_eq!(
            refused(kind, &text),
            Vec::<String>::new(),
            "{}",
            file.display()
        );
        seen += 1;
    }
    assert!(seen > 0);
}

#[rstest]
#[case::only_what_is_required(FileKind::Cloudlets, ENDPOINT, "")]
#[case::empty_documents(FileKind::Cloudlets, "---\n---\n", ENDPOINT)]
#[case::nulls(
    FileKind::Cloudlets,
    ENDPOINT,
    "name:\nlocation:\nlocations:\nlabels:\nmetrics:\nresources:\n"
)]
#[case::another_spelling(
    FileKind::Cloudlets,
    "endpoint: HTTPS://C.example:443/edge/api/v2/deploy/?x=1\n",
    "uuid: '{7C9E6679-7425-40de-944b-e07fc1f90ae7}'\n"
)]
#[case::networks(
    FileKind::Cloudlets,
    ENDPOINT,
    "local_networks: ['::ffff:10.0.0.0/104', 10.0.0.0/255.0.0.0, 192.0.2.7]\naccepted_clients: []\n"
)]
#[case::places(
    FileKind::Cloudlets,
    ENDPOINT,
    "location: [90, -180.0]\nlocations: [[0, 0], [-1.5, 2]]\n"
)]
#[case::a_prometheus(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {prometheus: 'http://p:9090', endpoint: , queries: {a: sum(b)}, interval: 30}\n"
)]
#[case::a_page(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {endpoint: 'http://p', series: {a: b, c: {series: 'd{e=\"f\"}', take: rate, divide_by: 100}}, interval: 1500ms}\n"
)]
#[case::numbers_for_text(
    FileKind::Cloudlets,
    ENDPOINT,
    "name: 7\nlabels: {price: 1, big: true}\ntoken_file: 7\n"
)]
#[case::constants_for_expressions(
    FileKind::Recipe,
    CHART,
    "description: 7\nrequires: [true]\nprefer: 1.0\n"
)]
#[case::others_fields(
    FileKind::Recipe,
    CHART,
    "price: 1.0\nrestricted: false\nvalues: {a: {b: [1]}}\n"
)]
#[case::of_a_sandbox(
    FileKind::Recipe,
    CHART,
    "sandbox: {forward: {80: 127.0.0.1:8080, '443': '[::1]:8443'}}\n"
)]
#[case::isolation(
    FileKind::Recipe,
    CHART,
    "isolation: {quota: {cpu: 0.5, memory: 16Gi, services.nodeports: 1, nvidia.com/gpu: 1}, podSecurity: restricted}\n"
)]
#[case::a_url_for_a_chart(
    FileKind::Recipe,
    "chart: oci://r.example/c\nversion: v1.2.3-rc.1+5\n",
    "requires: 'true'\nprefer:\n"
)]
#[case::a_policy(
    FileKind::Policy,
    "requires: [distance_km < 10.0, 'true']\n",
    "prefer: -distance_km\ndescription: nearest\n"
)]
#[case::no_policy(FileKind::Policy, "{}\n", "")]
#[case::empty_fields_of_a_policy(FileKind::Policy, "requires:\nprefer:\ndescription:\n", "")]
fn what_the_parser_takes_the_schema_takes(
    #[case] kind: FileKind,
    #[case] begin: &str,
    #[case] end: &str,
) {
    let text = format!("{begin}{end}");

    assert_eq!(kind.check(&text).errors, []);
    assert_eq!(refused(kind, &text), Vec::<String>::new());
}

#[rstest]
#[case::no_endpoint(FileKind::Cloudlets, "name: c\n", "")]
#[case::no_deploy_endpoint(FileKind::Cloudlets, "endpoint: http://c/\n", "")]
#[case::a_list(FileKind::Cloudlets, "- endpoint\n", "")]
#[case::a_slip_of_the_pen(FileKind::Cloudlets, ENDPOINT, "networks: [10.0.0.0/8]\n")]
#[case::three_numbers(FileKind::Cloudlets, ENDPOINT, "location: [1, 2, 3]\n")]
#[case::beyond_the_pole(FileKind::Cloudlets, ENDPOINT, "locations: [[91, 0]]\n")]
#[case::a_number_for_a_list(FileKind::Cloudlets, ENDPOINT, "local_networks: 10\n")]
#[case::a_name_for_a_network(FileKind::Cloudlets, ENDPOINT, "accepted_clients: [everyone]\n")]
#[case::an_empty_name(FileKind::Cloudlets, ENDPOINT, "name: ''\n")]
#[case::a_list_for_a_label(FileKind::Cloudlets, ENDPOINT, "labels: {price: [1]}\n")]
#[case::text_for_a_number(FileKind::Cloudlets, ENDPOINT, "resources: {cpu_ratio: low}\n")]
#[case::no_source(FileKind::Cloudlets, ENDPOINT, "metrics: {interval: 15s}\n")]
#[case::two_sources(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {prometheus: 'http://p', endpoint: 'http://p', series: {a: b}}\n"
)]
#[case::no_series(FileKind::Cloudlets, ENDPOINT, "metrics: {endpoint: 'http://p'}\n")]
#[case::a_resource_that_no_policy_can_name(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {prometheus: 'http://p', queries: {a-b: c}}\n"
)]
#[case::an_unknown_way_to_take(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {endpoint: 'http://p', series: {a: {series: b, take: max}}}\n"
)]
#[case::a_long_interval(
    FileKind::Cloudlets,
    ENDPOINT,
    "metrics: {prometheus: 'http://p', interval: 31}\n"
)]
#[case::no_chart(FileKind::Recipe, "version: 0.1.0\n", "")]
#[case::no_version(FileKind::Recipe, "chart: c\n", "")]
#[case::two_numbers(FileKind::Recipe, "chart: c\nversion: 0.1\n", "")]
#[case::out_of_the_repository(FileKind::Recipe, "chart: charts/../../c\nversion: 0.1.0\n", "")]
#[case::plain_http(FileKind::Recipe, "chart: http://c/c\nversion: 0.1.0\n", "")]
#[case::values_are_a_map(FileKind::Recipe, CHART, "values: 3\n")]
#[case::restricted_is_yes_or_no(FileKind::Recipe, CHART, "restricted: maybe\n")]
#[case::a_port_forwarded_nowhere(FileKind::Recipe, CHART, "sandbox: {forward: {80: 8080}}\n")]
#[case::an_unknown_field_of_the_sandbox(FileKind::Recipe, CHART, "sandbox: {forwards: {}}\n")]
#[case::no_quantity(FileKind::Recipe, CHART, "isolation: {quota: {cpu: -1}}\n")]
#[case::no_level(FileKind::Recipe, CHART, "isolation: {podSecurity: none}\n")]
#[case::a_list_for_an_expression(FileKind::Recipe, CHART, "prefer: [-distance_km]\n")]
#[case::an_empty_expression(FileKind::Policy, "requires: ' '\n", "")]
#[case::numbers_for_expressions(FileKind::Policy, "requires: [1.0]\n", "")]
#[case::an_unknown_field(FileKind::Policy, "chart: c\n", "")]
fn what_is_broken_both_refuse(#[case] kind: FileKind, #[case] begin: &str, #[case] end: &str) {
    let text = format!("{begin}{end}");

    assert_ne!(kind.check(&text).errors, []);
    assert_ne!(refused(kind, &text), Vec::<String>::new());
}

#[test]
fn editors_are_told_what_fields_mean() {
    let schema = of_file(FileKind::Cloudlets);

    let cloudlet = &schema["$defs"]["Cloudlet"];
    let fields = cloudlet["properties"].as_object().unwrap();
    assert_eq!(cloudlet["required"], json!(["endpoint"]));
    for (name, field) in fields {
        assert!(field["description"].is_string(), "{name}");
    }
}

/// What a schema has against a text, of which each document is judged.
fn refused(kind: FileKind, text: &str) -> Vec<String> {
    let validator: Validator = jsonschema::draft202012::new(&of_file(kind)).unwrap();
    let documents = yaml::documents::<Value>(text).unwrap().into_iter();
    let documents: Vec<Value> = documents.map(Option::unwrap_or_default).collect();
    let errors = documents
        .iter()
        .flat_map(|document| validator.iter_errors(document));
    errors.map(|error| error.to_string()).collect()
}
