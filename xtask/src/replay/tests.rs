use clap::Parser;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::cargo::workspace;

/// The seed of the example that is in the repository.
const SEED: u64 = 1;

const TRACE: &str = "\
time,client,latitude,longitude,duration
0,192.0.2.1,0,0,60
1,192.0.2.2,0,0,60
2,192.0.2.3,0,0,60
";
const FLEET: &str =
    "endpoint: http://c/api/v1/deploy\nlocation: [0, 0]\nresources: {capacity: 2, price: 0.5}\n";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

#[test]
fn the_example_is_what_the_generator_makes() {
    let made = generator::example(SEED);

    let is_same =
        |made: &str, file: &str| made == fs::read_to_string(example().join(file)).unwrap();
    assert!(
        is_same(&made.fleet, "fleet.yaml") && is_same(&made.trace, "trace.csv"),
        "hint: cargo xtask replay generate examples/replay"
    );
}

#[test]
fn the_example_comes_out_as_both_readmes_say() {
    let policies = ["cheapest.yaml", "greenest.yaml"];

    let told = replay_in(&example(), &policies, &["--mean=price", "--mean=carbon"]).unwrap();

    insta::assert_snapshot!(told, @r"
    | policy   | requests | placed | rejected | fall-overs | mean km | p50 km | p95 km | fairness | highest use | on overloaded | mean carbon | mean price |
    |----------|----------|--------|----------|------------|---------|--------|--------|----------|-------------|---------------|-------------|------------|
    | none     |     2000 |   2000 |        0 |         55 |     219 |     20 |   1382 |    0.814 |      87.7 % |         3.8 % |         235 |      0.059 |
    | cheapest |     2000 |   1829 |      171 |       2775 |     339 |    341 |    908 |    0.524 |      86.0 % |        10.6 % |         305 |      0.054 |
    | greenest |     2000 |   1804 |      196 |       3234 |     198 |     35 |    787 |    0.648 |      89.9 % |        10.2 % |         154 |      0.062 |
    ");
    for readme in ["README.md", "examples/replay/README.md"] {
        let text = fs::read_to_string(workspace().join(readme)).unwrap();
        assert!(text.contains(&told), "{readme} shows another table");
    }
}

#[test]
fn a_run_is_an_object_for_programs() {
    let folder = folder(TRACE, FLEET);

    let told = replay_in(folder.path(), &[], &["--output=json", "--mean=price"]).unwrap();

    insta::assert_snapshot!(told, @r#"
    [
      {
        "policy": "none",
        "requests": 3,
        "placed": 2,
        "rejected": 1,
        "fall_overs": 0,
        "distance_km": {
          "mean": 0.0,
          "p50": 0.0,
          "p95": 0.0
        },
        "fairness": 1.0,
        "highest_utilisation": 0.75,
        "on_overloaded": 0.0,
        "means": {
          "price": 0.5
        }
      }
    ]
    "#);
}

#[test]
fn what_is_overloaded_does_not_depend_on_whether_tier_1_looks_at_it() {
    let share_on_overloaded = |overload| {
        let told = replay_in(&example(), &[], &["--output=json", overload]).unwrap();
        let runs: serde_json::Value = serde_json::from_str(&told).unwrap();
        runs[0]["on_overloaded"].as_f64().unwrap()
    };

    assert!(share_on_overloaded("--overload=cpu_ratio=0.9") < share_on_overloaded("--overload=[]"));
}

#[test]
fn options_mean_what_they_mean_to_tier_1() {
    let folder = folder(TRACE, FLEET);

    let told = |option| replay_in(folder.path(), &[], &[option]).unwrap();

    assert_eq!(told("--match=[]"), told("--match=network,location,random"));
    assert_ne!(told("--match=[]"), told("--match=network"));
}

#[test]
fn drawings_go_to_a_folder_that_is_made() {
    let folder = folder(TRACE, FLEET);
    let drawings = folder.path().join("a/b");

    replay_in(folder.path(), &[], &["--draw", drawings.to_str().unwrap()]).unwrap();

    for name in ["distance.svg", "utilisation.svg"] {
        let drawing = fs::read_to_string(drawings.join(name)).unwrap();
        assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    }
}

#[rstest]
#[case::trace(
    "time,client,duration\nnoon,192.0.2.1,1\n",
    FLEET,
    &[],
    "cannot use trace.csv: line 2: time: `noon` is not a number of seconds from the start, 0 to 100000000"
)]
#[case::fleet(
    TRACE,
    "endpoint: http://c/api/v1/deploy\nresources: {capacity: -1}\n",
    &[],
    "cannot use fleet.yaml: document 1, line 2, column 12: resources.capacity: -1 is not a whole number from 1 to 1000000: \
     expected the deployments that it holds at once, such as `resources: {capacity: 40}`"
)]
#[case::policy(
    TRACE,
    FLEET,
    &["bad.yaml"],
    "cannot use bad.yaml: document 1, line 1, column 9: prefer: there is no variable `distance`\n\
     hint: there are cloudlet.name, cloudlet.labels.NAME, cloudlet.location.lat and .lon, resources.NAME, client.address, \
     client.location.lat and .lon, distance_km, rtt_ms, deployments, age_s"
)]
#[case::no_policy(TRACE, FLEET, &["missing.yaml"], "cannot read missing.yaml: No such file or directory (os error 2)")]
#[case::same_name(TRACE, FLEET, &["none.yaml"], "there is a policy `none` already\nhint: name none.yaml differently")]
fn what_cannot_be_used_is_told_with_its_file(
    #[case] trace: &str,
    #[case] fleet: &str,
    #[case] policies: &[&str],
    #[case] expected: &str,
) {
    let folder = folder(trace, fleet);
    fs::write(folder.path().join("bad.yaml"), "prefer: distance\n").unwrap();

    let error = replay_in(folder.path(), policies, &[]).unwrap_err();

    let told = format!("{error:#}").replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(told, expected);
}

#[test]
fn a_mean_of_what_nobody_says_is_refused() {
    let folder = folder(TRACE, FLEET);

    let error = replay_in(folder.path(), &[], &["--mean=prize"]).unwrap_err();

    let expected = "--mean prize: no cloudlet says it\nhint: there are capacity, price";
    assert_eq!(error.to_string(), expected);
}

#[rstest]
#[case::fleet_is_missing(&["--trace", "trace.csv"])]
#[case::two_tasks(&["--trace", "trace.csv", "--fleet", "fleet.yaml", "generate", "folder"])]
#[case::no_shortlist(&["--trace", "trace.csv", "--fleet", "fleet.yaml", "--shortlist", "0"])]
#[case::no_such_matcher(&["--trace", "trace.csv", "--fleet", "fleet.yaml", "--match", "nearest"])]
#[case::nothing(&[])]
fn a_command_line_that_says_too_little_or_too_much_is_refused(#[case] arguments: &[&str]) {
    assert!(Cli::try_parse_from([&["replay"], arguments].concat()).is_err());
}

fn example() -> PathBuf {
    workspace().join("examples/replay")
}

fn folder(trace: &str, fleet: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("trace.csv"), trace).unwrap();
    fs::write(folder.path().join("fleet.yaml"), fleet).unwrap();
    folder
}

/// Replays the trace and the fleet of a folder by some of its policies.
fn replay_in(folder: &Path, policies: &[&str], others: &[&str]) -> anyhow::Result<String> {
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let mut arguments = vec![
        "replay".to_owned(),
        file("trace", "trace.csv"),
        file("fleet", "fleet.yaml"),
    ];
    arguments.extend(policies.iter().map(|name| file("policy", name)));
    arguments.extend(others.iter().map(|&other| other.to_owned()));
    let options = Cli::parse_from(arguments).options;
    replay(&options.replay.unwrap(), &options.order)
}
