//! The program itself.

use assert_cmd::Command;
use rstest::rstest;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sinfonia-tier2");
/// What it says before it would do anything.
const NO_CLUSTER: &str = "\
error: there is no Kubernetes cluster to work on: none is named by --kubeconfig, KUBECONFIG or ~/.kube/config, and this is no pod of one
hint: sinfonia-tier2 --cluster sandbox runs without a cluster
";

#[test]
fn without_a_cluster_it_ends_with_1_and_names_the_sandbox() {
    program().assert().code(1).stdout("").stderr(NO_CLUSTER);
}

#[rstest]
#[case::unknown_option(&["--nonsense"])]
#[case::malformed_value(&["--lease", "soon"])]
#[case::malformed_network(&["--client-network", "10.5.0.0/99"])]
fn wrong_usage_ends_with_1(#[case] options: &[&str]) {
    program().args(options).assert().code(1).stdout("");
}

#[rstest]
#[case::drain(&["--cluster", "sandbox", "drain"])]
#[case::undrain(&["--cluster", "sandbox", "undrain"])]
fn a_sandbox_is_not_drained(#[case] arguments: &[&str]) {
    let expected = "\
error: a sandbox cannot be drained: this needs a Kubernetes cluster
hint: stop its process: its deployments end with it
";

    program()
        .args(arguments)
        .assert()
        .code(1)
        .stdout("")
        .stderr(expected);
}

#[rstest]
#[case::drain("drain")]
#[case::undrain("undrain")]
fn without_a_cluster_there_is_nothing_to_drain(#[case] command: &str) {
    let error = NO_CLUSTER.lines().next().unwrap();
    let hint = "hint: name the credentials of the cluster with --kubeconfig";

    program()
        .arg(command)
        .assert()
        .code(1)
        .stdout("")
        .stderr(format!("{error}\n{hint}\n"));
}

#[test]
fn a_reason_to_drain_is_one_line() {
    let assertion = program()
        .args(["drain", "--reason", "two\nlines"])
        .assert()
        .code(1)
        .stdout("");

    let stderr = String::from_utf8_lossy(&assertion.get_output().stderr).into_owned();
    assert!(stderr.contains("characters in one line"), "{stderr}");
}

#[test]
fn a_variable_that_is_empty_or_a_kubernetes_port_counts_as_unset() {
    // What is malformed would end it before it asks for the cluster.
    program()
        .env("SINFONIA_LEASE", "")
        .env("SINFONIA_PORT", "tcp://10.43.0.1:80")
        .assert()
        .code(1)
        .stderr(NO_CLUSTER);
}

#[rstest]
#[case::bash("bash")]
#[case::zsh("zsh")]
#[case::fish("fish")]
fn shells_are_given_completions(#[case] shell: &str) {
    let assertion = program().args(["completions", shell]).assert().success();

    let script = String::from_utf8_lossy(&assertion.get_output().stdout).into_owned();
    assert!(script.contains("image-pull-secret"), "{script}");
}

#[rstest]
#[case::completions(&["completions", "bash"])]
#[case::definition(&["crd"])]
#[case::description(&["openapi"])]
fn a_reader_that_stops_early_is_no_failure(#[case] arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let output = std::process::Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .stdout(writer)
        .output()
        .unwrap();

    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*told), (Some(0), ""));
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();

    program().arg("man").arg(folder.path()).assert().success();

    for page in ["", "-crd", "-drain", "-guard", "-openapi", "-ready"] {
        let page = folder.path().join(format!("sinfonia-tier2{page}.1"));
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains(".TH sinfonia-tier2"), "{text}");
    }
}

#[rstest]
#[case::one(&[("SINFONIA_TIER1_URL", "http://one.example")], &[], "one")]
#[case::the_list_wins(
    &[("SINFONIA_TIER1_URL", "http://one.example"), ("SINFONIA_TIER1_URLS", "[\"http://list.example\"]")],
    &[],
    "list"
)]
#[case::an_empty_list_does_not(
    &[("SINFONIA_TIER1_URL", "http://one.example"), ("SINFONIA_TIER1_URLS", "")],
    &[],
    "one"
)]
#[case::the_command_line_wins_over_all(
    &[("SINFONIA_TIER1_URL", "http://one.example"), ("SINFONIA_TIER1_URLS", "http://list.example")],
    &["--tier1-url", "http://line.example"],
    "line"
)]
fn tier1_urls_come_from_the_command_line_else_the_list_else_the_one(
    #[case] variables: &[(&str, &str)],
    #[case] options: &[&str],
    #[case] expected: &str,
) {
    // That a token would travel in the open names the Tier 1 that counts.
    let expected = format!(
        "error: the report token would travel over plain http to http://{expected}.example/\n"
    );

    let assertion = program()
        .envs(variables.iter().copied())
        .args([
            "--cluster",
            "sandbox",
            "--tunnel-listen",
            "127.0.0.1:0",
            "--report-token",
            "none",
            "--port",
            "0",
        ])
        .args(options)
        .env("RUST_LOG", "off")
        .assert()
        .code(1);

    let stderr = String::from_utf8_lossy(&assertion.get_output().stderr).into_owned();
    assert!(stderr.starts_with(&expected), "{stderr}");
}

fn program() -> Command {
    let mut program = Command::new(PROGRAM);
    program.env_clear();
    program
}
