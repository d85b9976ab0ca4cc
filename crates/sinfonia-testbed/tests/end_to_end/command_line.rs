//! The programs' command lines and environments.

use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use sinfonia_testbed::{Binaries, Service, command};
use tokio::task::spawn_blocking;

use super::support::{NEAR, Ran, World, cloudlet, run};

/// One of the programs.
type Program = fn(&Binaries) -> &PathBuf;

const TIER1: Program = |binaries| &binaries.tier1;
const TIER2: Program = |binaries| &binaries.tier2;
const TIER3: Program = |binaries| &binaries.tier3;

/// What Kubernetes sets for a Service named `sinfonia`, and what a chart leaves empty.
const COUNT_AS_UNSET: [(&str, &str); 4] = [
    ("SINFONIA_PORT", "tcp://10.43.12.7:5000"),
    ("SINFONIA_LISTEN", ""),
    ("SINFONIA_TRUSTED_PROXIES", ""),
    ("SINFONIA_TIER1_URL", ""),
];

#[rstest]
#[case(TIER1)]
#[case(TIER2)]
#[case(TIER3)]
#[tokio::test]
async fn help_and_version_go_to_stdout(#[case] program: Program) {
    let world = World::new();

    for option in ["--help", "-h", "--version", "-V"] {
        let ran = run_with(&world, program, &[option], &[]).await;

        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{option}");
        assert!(ran.stdout.contains("sinfonia-tier"), "{}", ran.stdout);
    }
}

#[rstest]
#[case(TIER1, "sinfonia-tier1 ")]
#[case(TIER2, "sinfonia-tier2 ")]
#[case(TIER3, "sinfonia-tier3 ")]
#[tokio::test]
async fn the_version_is_that_of_the_workspace(#[case] program: Program, #[case] name: &str) {
    let world = World::new();

    let short = run_with(&world, program, &["-V"], &[]).await;
    let long = run_with(&world, program, &["--version"], &[]).await;

    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(short.stdout, format!("{name}{version}\n"));
    let built_from = long
        .stdout
        .strip_prefix(&format!("{name}{version} ("))
        .and_then(|rest| rest.strip_suffix(", debug)\n"));
    // The commit, or that nobody knows it.
    assert_eq!(built_from.map(str::len), Some(7), "{}", long.stdout);
}

#[rstest]
#[case::unknown_option(TIER1, &["--no-such-option"])]
#[case::unknown_option(TIER2, &["--no-such-option"])]
#[case::unknown_option(TIER3, &["--no-such-option"])]
#[case::malformed_value(TIER1, &["--port", "70000"])]
#[case::malformed_value(TIER2, &["--lease", "soon"])]
#[case::malformed_value(TIER3, &["deploy", "no-uuid", "--tier1-url", "http://tier1.example"])]
#[case::unknown_matcher(TIER1, &["--match", "nearest"])]
#[case::nothing_at_all(TIER3, &[])]
#[tokio::test]
async fn wrong_usage_exits_with_1(#[case] program: Program, #[case] arguments: &[&str]) {
    let world = World::new();

    let ran = run_with(&world, program, arguments, &[]).await;

    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert_ne!(ran.stderr, "");
}

#[rstest]
#[case::tier_1(TIER1, &["--list-matchers"], 0)]
#[case::tier_2(TIER2, &["--cluster", "kubernetes"], 1)]
#[tokio::test]
async fn a_port_as_kubernetes_sets_it_and_empty_variables_count_as_unset(
    #[case] program: Program,
    #[case] arguments: &[&str],
    #[case] expected: i32,
) {
    let world = World::new();

    let unset = run_with(&world, program, arguments, &COUNT_AS_UNSET).await;
    let malformed = [("SINFONIA_PORT", "no port")];
    let malformed = run_with(&world, program, arguments, &malformed).await;

    let as_without = run_with(&world, program, arguments, &[]).await;
    assert_eq!(unset.code, expected);
    assert_eq!(
        (unset.stdout, unset.stderr),
        (as_without.stdout, as_without.stderr)
    );
    assert_eq!(malformed.code, 1);
    assert!(
        malformed.stderr.contains("SINFONIA_PORT") || malformed.stderr.contains("--port"),
        "{}",
        malformed.stderr
    );
}

#[tokio::test]
async fn a_service_starts_with_variables_that_count_as_unset_and_takes_those_that_do_not() {
    let world = World::new();
    let mut tier2 = command(&world.binaries().tier2);
    tier2
        .envs(COUNT_AS_UNSET)
        .env("SINFONIA_CLUSTER", "sandbox")
        .env("SINFONIA_TUNNEL_LISTEN", "127.0.0.1:0")
        .env("SINFONIA_RECIPES", world.path());
    let tier2 = start(&world, "tier2", tier2).await;
    let file = world.write(
        "cloudlets.yaml",
        &cloudlet("named by a variable", &tier2.url(), NEAR),
    );
    let mut tier1 = command(&world.binaries().tier1);
    tier1
        .envs(COUNT_AS_UNSET)
        .env("SINFONIA_CLOUDLETS", file)
        .env("SINFONIA_MATCHERS", r#"["network", "random"]"#)
        .env("SINFONIA_RECIPES", "");
    let tier1 = start(&world, "tier1", tier1).await;

    assert_eq!(world.known_cloudlets(&tier1).await, ["named by a variable"]);
}

#[tokio::test]
async fn matchers_are_listed() {
    let world = World::new();

    let ran = run_with(&world, TIER1, &["--list-matchers"], &[]).await;

    let words = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(ran.code, 0);
    assert_eq!(words.collect::<Vec<_>>(), ["network", "location", "random"]);
}

#[tokio::test]
async fn without_a_cluster_tier_2_names_the_sandbox() {
    let world = World::new();

    let ran = run_with(&world, TIER2, &["--port", "0"], &[]).await;

    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("--cluster sandbox"), "{}", ran.stderr);
}

#[rstest]
#[case::missing(None, "cloudlets.yaml")]
#[case::bad_field(
    Some("endpoint: http://a.example/api/v1/deploy\nlocation: [91, 0]\n"),
    "cloudlets.yaml:2:"
)]
#[case::unknown_field(
    Some(
        "endpoint: http://a.example/api/v1/deploy\n---\nendpoint: http://b.example/api/v1/deploy\nlatency: 3\n"
    ),
    "cloudlets.yaml:4:"
)]
#[tokio::test]
async fn a_cloudlet_file_that_cannot_be_used_is_told_at_start(
    #[case] text: Option<&str>,
    #[case] expected: &str,
) {
    let world = World::new();
    let path = match text {
        Some(text) => world.write("cloudlets.yaml", text),
        None => world.path().join("cloudlets.yaml"),
    };

    let arguments = ["--port", "0", "--cloudlets", path.to_str().unwrap()];
    let ran = run_with(&world, TIER1, &arguments, &[]).await;

    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(path.to_str().unwrap()),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_at_start() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let port = tier2.address().port().to_string();

    let arguments = ["--listen", "127.0.0.1", "--port", &port];
    let ran = run_with(&world, TIER1, &arguments, &[]).await;

    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains(&format!("127.0.0.1:{port}")),
        "{}",
        ran.stderr
    );
}

async fn run_with(
    world: &World,
    program: Program,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Ran {
    let mut command = command(program(world.binaries()));
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(world.path());
    run(command).await
}

async fn start(world: &World, name: &'static str, mut command: Command) -> Service {
    let folder = world.path().to_owned();
    command.current_dir(&folder);
    let starting = spawn_blocking(move || Service::start(name, command, &folder));
    starting.await.unwrap().unwrap()
}
