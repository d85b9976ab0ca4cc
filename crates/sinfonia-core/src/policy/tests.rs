use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::expression::Failure;
use super::*;
use crate::client::ClientInfo;
use crate::cloudlet::{Cloudlet, CloudletInfo, Measurement, Resources, Surroundings};
use crate::diagnostic::Severity;
use crate::location::Location;

#[rstest]
#[case::a_measurement("resources.cpu_ratio < 0.8", true)]
#[case::a_measurement_by_index("resources[\"cpu_ratio\"] > 0.8", false)]
#[case::a_label("cloudlet.labels.region == 'eu'", true)]
#[case::a_label_with_a_slash("cloudlet.labels['example.org/zone'].startsWith('a')", true)]
#[case::a_label_as_a_number("double(cloudlet.labels.price) < 0.2", true)]
#[case::one_of_several("cloudlet.labels.region in ['us', 'eu']", true)]
#[case::none_of_several("cloudlet.labels.region in ['us', 'asia']", false)]
#[case::has_a_label("'region' in cloudlet.labels && !('tier' in cloudlet.labels)", true)]
#[case::has_a_measurement("has(resources.cpu_ratio) && !has(resources.gpu_ratio)", true)]
#[case::has_a_measurement_by_name("'gpu_ratio' in resources", false)]
#[case::name("cloudlet.name.contains('Pitts')", true)]
#[case::place("cloudlet.location.lat > 40.0 && cloudlet.location.lon < 0.0", true)]
#[case::clients_place("has(client.location) && client.location.lat == 40.5", true)]
#[case::clients_address("client.address == '128.2.3.4'", true)]
#[case::distance("distance_km < 10.0", true)]
#[case::age("age_s <= 15.0", true)]
#[case::deployments("deployments == 3.0", true)]
#[case::whole_numbers_compare("deployments == 3", true)]
#[case::a_decision("(has(rtt_ms) ? rtt_ms : distance_km / 10.0) < 1.0", true)]
#[case::what_is_unknown_does_not_matter(
    "resources.gpu_ratio < 0.5 || resources.cpu_ratio < 0.5",
    true
)]
fn a_requirement_is_what_it_says(#[case] expression: &str, #[case] expected: bool) {
    let cloudlet = cloudlet();

    let met = requirement(expression).check(&facts(&cloudlet, &client()));

    assert_eq!(met.is_ok(), expected, "{met:?}");
}

#[rstest]
#[case::a_number("1.0 - resources.cpu_ratio", Some(0.75))]
#[case::a_price("-double(cloudlet.labels.price)", Some(-0.1))]
#[case::a_decision("cloudlet.labels.region == 'eu' ? 1.0 : 0.0", Some(1.0))]
#[case::a_whole_number("size(cloudlet.name)", Some(10.0))]
#[case::steps("-double(int(distance_km))", Some(-4.0))]
#[case::absent("-resources.gpu_ratio", None)]
#[case::absent_in_part("resources.cpu_ratio + rtt_ms", None)]
#[case::not_finite("1.0 / (resources.cpu_ratio - resources.cpu_ratio)", None)]
#[case::not_a_number("double(cloudlet.labels.region)", None)]
fn a_preference_is_a_number_or_neutral(#[case] expression: &str, #[case] expected: Option<f64>) {
    let cloudlet = cloudlet();

    let preference =
        policy(&format!("prefer: {expression:?}\n")).preference(&facts(&cloudlet, &client()));

    assert_eq!(preference, expected);
}

#[rstest]
#[case::too_busy(
    "resources.cpu_ratio < 0.2",
    "requires resources.cpu_ratio < 0.2: resources.cpu_ratio is 0.25"
)]
#[case::nothing_reported(
    "resources.gpu_ratio < 0.8",
    "requires resources.gpu_ratio < 0.8: none reported"
)]
#[case::one_of_two_not_reported(
    "resources.cpu_ratio < 0.8 && resources.gpu_ratio < 0.8",
    "requires resources.cpu_ratio < 0.8 && resources.gpu_ratio < 0.8: no gpu_ratio reported"
)]
#[case::no_label(
    "cloudlet.labels.tier == 'gold'",
    "requires cloudlet.labels.tier == 'gold': no label tier"
)]
#[case::no_round_trip("rtt_ms < 20.0", "requires rtt_ms < 20.0: no rtt_ms measured")]
#[case::not_a_number(
    "double(cloudlet.labels.region) < 1.0",
    "requires double(cloudlet.labels.region) < 1.0: double: string parse error: invalid float literal"
)]
#[case::several_lines(
    "resources.cpu_ratio < 0.2\n  || cloudlet.labels.region == 'us'",
    "requires resources.cpu_ratio < 0.2 || cloudlet.labels.region == 'us': cloudlet.labels.region is \"eu\", resources.cpu_ratio is 0.25"
)]
fn what_is_not_met_says_why(#[case] expression: &str, #[case] expected: &str) {
    let cloudlet = cloudlet();

    let unmet = requirement(expression)
        .check(&facts(&cloudlet, &client()))
        .unwrap_err();

    assert_eq!(unmet.to_string(), expected);
}

#[test]
fn measurements_of_a_silent_cloudlet_are_not_known() {
    let (cloudlet, client) = (cloudlet(), client());
    let facts = Facts {
        age_s: Some(45.1),
        ..facts(&cloudlet, &client)
    };

    let unmet = requirement("resources.cpu_ratio < 0.8")
        .check(&facts)
        .unwrap_err();

    assert_eq!(
        unmet.to_string(),
        "requires resources.cpu_ratio < 0.8: last reported 45 s ago"
    );
    assert_eq!(json!(unmet.values()), json!({"resources.cpu_ratio": null}));
}

#[test]
fn the_first_requirement_that_is_not_met_counts() {
    let (cloudlet, client) = (cloudlet(), client());
    let policy =
        policy("requires:\n- resources.cpu_ratio < 0.8\n- distance_km < 1.0\n- rtt_ms < 5.0\n");

    let unmet = policy.check(&facts(&cloudlet, &client)).unwrap_err();

    assert_eq!(unmet.requirement(), "distance_km < 1.0");
    assert_eq!(unmet.failure, Failure::False);
    assert_eq!(json!(unmet.values()), json!({"distance_km": 4.5}));
}

#[test]
fn the_example_of_a_policy_can_be_used() {
    let policy = policy(include_str!("../../../../examples/policy.yaml"));

    assert!(policy.has_preference());
    let unmet = policy
        .check(&facts(
            &Cloudlet {
                labels: Arc::default(),
                ..cloudlet()
            },
            &client(),
        ))
        .unwrap_err();
    assert_eq!(
        unmet.to_string(),
        "requires cloudlet.labels.region == \"eu\": no label region"
    );
}

#[test]
fn the_location_closest_to_the_client_counts() {
    let mut info = cloudlet().info();
    info.locations
        .get_or_insert_default()
        .insert(0, Location::new(0.0, 0.0).unwrap());
    let cloudlet = Cloudlet::new(info, &Surroundings::default());

    let met = requirement("cloudlet.location.lat > 40.0").check(&facts(&cloudlet, &client()));

    assert_eq!(met, Ok(()));
}

#[rstest]
#[case::nothing("{}", true)]
#[case::a_description("description: cheapest first\n", true)]
#[case::empty_fields("requires:\nprefer:\n", true)]
#[case::one("requires: distance_km < 10.0\n", false)]
#[case::a_preference("prefer: -distance_km\n", false)]
fn a_policy_may_say_nothing(#[case] text: &str, #[case] is_empty: bool) {
    assert_eq!(policy(text) == Policy::default(), is_empty);
}

#[test]
fn policies_of_the_same_expressions_are_the_same() {
    let one = policy("requires: [distance_km < 10.0]\nprefer: -distance_km\n");

    assert_eq!(
        one,
        policy("requires: distance_km < 10.0\nprefer: \"-distance_km\"\n")
    );
    assert_ne!(one, policy("requires: distance_km < 10.0\n"));
}

#[test]
fn other_fields_of_a_recipe_are_ignored_and_those_of_a_policy_refused() {
    let text = "chart: example\nversion: 0.1.0\nprefer: -distance_km\n";

    assert!(Policy::of_recipe(text).unwrap().has_preference());
    assert_eq!(
        Policy::parse(text).unwrap_err().to_string(),
        "document 1, line 1, column 1: unknown field `chart`, expected one of `requires`, `prefer`, `description`"
    );
}

#[test]
fn what_is_wrong_is_shown_with_its_place_and_a_hint() {
    let files = [
        "requires: resource.gpu_ratio < 0.8",
        "requires: resources.gpu_ratio < 0.8 && gpu.count > 1.0",
        "requires: cloudlet.label.region == 'eu'",
        "requires: cloudlet.labels == 'eu'",
        "requires: distance_km.x < 1.0",
        "requires: cloudlet['name'] == 'x'",
        "requires: resources[cloudlet.name] < 1.0",
        "requires: cloudlet.name in resources",
        "requires: cloudlet.name in cloudlet.location",
        "prefer: resources.cpu_ratio * 2",
        "prefer: 1 - resources.cpu_ratio",
        "prefer: size(cloudlet.name) * resources.cpu_ratio",
        "requires: true || resources.cpu_ratio * 2 > 1.0",
        "requires: \"has(resources.x) ? resources.x < 0.5 : 1.0\"",
        "prefer: cloudlet.labels.price",
        "prefer: -cloudlet.labels.price",
        "requires: cloudlet.labels.price < 0.2",
        "requires: cloudlet.labels.gpus == 2",
        "requires: resources.cpu_ratio && true",
        "requires: resources.cpu_ratio",
        "prefer: distance_km < 1.0",
        "requires: exists(cloudlet.labels, x, x == 'y')",
        "requires: cloudlet.labels.all(x, x == 'y')",
        "requires: matches(cloudlet.name, '.*')",
        "requires: cloudlet.name.lower() == 'x'",
        "requires: has(1.0)",
        "requires: cloudlet.name == null",
        "requires: distance_km < 10u",
        "requires: \"distance_km in {'a': 1}\"",
        "requires: \"Foo{a: 1}.a\"",
        "requires: distance_km <",
        "requires: distance_km < 1.0 km",
        "requires: cloudlet.name == \"x",
        "requires: distance_km $ 1.0",
        "requires: !has(resources.cpu_ratio)",
        "requires: [!has(resources.cpu_ratio)]",
        "prefer: !has(resources.cpu_ratio) ? 1.0 : 0.0",
        "requires: cloudlet.labels.region == 'eu' ? true : false",
        "prefer: !x",
        "requires: []\nprefer: ''",
        "requires: distance_km % 2.0 == 0.0",
        "requires: true\n",
        "prefer: [1.0]\n",
        "requires: {a: b}\n",
        "requires: \"cloudlet.labels.region == \\\"eu\\\" && gpu\"\n",
        "requires: 'cloudlet.labels.region == ''eu'' && gpu'\n",
        "# a comment\nrequires:\n  - distance_km < 10.0\n  - |\n    resources.cpu_ratio < 0.8\n      && resources.mem_ratio < 1\n      && nonsense\n",
        "requires: >-\n  distance_km < 10.0 &&\n  nonsense\n",
        "requires:\n- distance_km < 10.0\n  && nonsense\n",
    ];

    let mut told = String::new();
    for file in files {
        let error = Policy::parse(file).unwrap_err();
        writeln!(told, "{}\n", render(&error)).unwrap();
    }

    insta::assert_snapshot!(told);
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let file = format!(
        "requires: {} && nonsense && {}",
        "distance_km < 10.0 && ".repeat(20) + "true",
        "distance_km < 10.0 && ".repeat(10) + "true"
    );

    insta::assert_snapshot!(render(&Policy::parse(&file).unwrap_err()));
}

#[test]
fn a_place_is_told_where_yaml_counts_more_lines_than_others_do() {
    // A carriage return of its own ends a line of YAML.
    let file = format!(
        "# first\r{{description: {}, requires: nonsense}}\n# {}",
        "x".repeat(200),
        "y".repeat(110)
    );

    let told = Policy::parse(&file).unwrap_err().to_string();

    assert!(
        told.starts_with("document 1, line 2, column 227: requires: "),
        "{told}"
    );
}

#[test]
fn an_expression_is_at_most_1_kib_long() {
    let of_bytes = |bytes: usize| {
        let begin = "distance_km < 1.0 && ".repeat(40);
        let padding = " ".repeat(bytes - begin.len() - "true".len());
        Policy::parse(&format!("requires: '{begin}{padding}true'\n"))
    };

    assert!(of_bytes(1024).is_ok());
    let error = of_bytes(1025).unwrap_err().to_string();
    assert_eq!(
        error.lines().next(),
        Some(
            "document 1, line 1, column 12: requires: the expression has 1025 bytes, more than 1024"
        )
    );
}

#[rstest]
#[case::sums(1, "-1.0", 255)]
#[case::ors(1, "||true", 150)]
#[case::brackets(0, "(", 1000)]
#[case::lists(0, "[", 1000)]
#[case::signs(0, "-", 1000)]
#[case::exclamation_marks(0, "!", 1000)]
#[case::decisions(0, "true?1.0:", 110)]
#[case::fields(1, ".a", 500)]
#[case::calls(0, "size(", 200)]
fn what_is_nested_deeply_does_no_harm(
    #[case] begins: usize,
    #[case] part: &str,
    #[case] times: usize,
) {
    let text = "1.0".repeat(begins) + &part.repeat(times) + if begins == 0 { "1.0" } else { "" };

    // A stack as those that services have for a request.
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let tried = small.spawn(move || Policy::parse(&format!("prefer: '{text}'\n")).map(|_| ()));

    assert!(tried.unwrap().join().is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_fail_badly(text in "(resources|cloudlet|client|labels|cpu_ratio|distance_km|has|in|size|all|true|\\.|\\(|\\)|\\[|\\]|\\{|\\}|\\?|:|,|\"|'|\"a\"|'b'|[0-9.]{1,4}|[-+*/%<>=!&|]{1,2}| |é|\n){0,24}") {
        let yaml = format!("requires: {}\n", json!(text));
        let _ = Policy::parse(&yaml);
    }

    #[test]
    fn a_policy_that_compiles_can_be_evaluated(text in "(has\\(resources.gpu_ratio\\)|resources.cpu_ratio|resources.gpu_ratio|distance_km|cloudlet.labels.region|'eu'|1\\.0|2| (<|>|==|&&|\\|\\||\\+|-|\\*|/|\\?|:) ){1,9}") {
        let (cloudlet, client) = (cloudlet(), client());
        let requires = Policy::parse(&format!("requires: {}\n", json!(text)));
        let prefer = Policy::parse(&format!("prefer: {}\n", json!(text)));

        if let Ok(policy) = requires {
            let told = policy.check(&facts(&cloudlet, &client)).map_err(|unmet| unmet.failure);
            prop_assert!(!matches!(told, Err(Failure::Impossible(_))), "{:?}", told);
        }
        if let Ok(policy) = prefer {
            prop_assert!(policy.preference(&facts(&cloudlet, &client)).is_none_or(f64::is_finite));
        }
    }
}

fn render(error: &Diagnostic) -> String {
    error.render(Severity::Error, "policy.yaml", false)
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn requirement(expression: &str) -> Policy {
    policy(&format!("requires: {}\n", json!(expression)))
}

fn cloudlet() -> Cloudlet {
    let mut info = CloudletInfo::at("http://cloudlet.example/api/v1/deploy".parse().unwrap());
    info.name = Some("Pittsburgh".parse().unwrap());
    info.locations = Some(vec![Location::new(40.44, -79.99).unwrap()]);
    info.resources = Some(Resources::from([(
        "cpu_ratio".to_owned(),
        Measurement::try_from(0.25).unwrap(),
    )]));
    let labels = [
        ("region", "eu"),
        ("price", "0.1"),
        ("example.org/zone", "a1"),
    ];
    info.labels = Some(
        labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    );
    Cloudlet::new(info, &Surroundings::default())
}

fn client() -> ClientInfo {
    ClientInfo::new(
        "128.2.3.4".parse().unwrap(),
        Location::new(40.5, -80.0).ok(),
    )
}

fn facts<'a>(cloudlet: &'a Cloudlet, client: &'a ClientInfo) -> Facts<'a> {
    Facts {
        cloudlet,
        client,
        distance_km: Some(4.5),
        rtt_ms: None,
        deployments: Some(3.0),
        age_s: Some(15.0),
    }
}
