//! What the program says of itself.

use crate::device::Device;

#[tokio::test]
async fn help_shows_commands_examples_and_the_older_form() {
    insta::assert_snapshot!(help("--help").await);
}

#[tokio::test]
async fn help_of_deploy_is_grouped() {
    insta::assert_snapshot!(help("deploy --help").await);
}

#[tokio::test]
async fn help_of_exec_is_grouped() {
    insta::assert_snapshot!(help("exec --help").await);
}

#[tokio::test]
async fn help_of_shell_is_grouped() {
    insta::assert_snapshot!(help("shell --help").await);
}

#[tokio::test]
async fn help_of_candidates_is_grouped() {
    insta::assert_snapshot!(help("candidates --help").await);
}

#[tokio::test]
async fn help_of_status_is_grouped() {
    insta::assert_snapshot!(help("status --help").await);
}

#[tokio::test]
async fn help_of_delete_is_grouped() {
    insta::assert_snapshot!(help("delete --help").await);
}

#[tokio::test]
async fn help_of_recipe_is_grouped() {
    insta::assert_snapshot!(help("recipe --help").await);
}

#[tokio::test]
async fn help_of_completions_says_where_scripts_go() {
    insta::assert_snapshot!(help("completions --help").await);
}

#[tokio::test]
async fn wrong_usage_is_the_users_to_put_right() {
    let device = Device::new().await;

    insta::assert_snapshot!(device.run("deploy nonsense"), @r"
    exit 1
    -- stdout
    -- stderr
    error: invalid value 'nonsense' for '<UUID|ALIAS>': expected the uuid of a recipe, or helloworld

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(device.run("deploy helloworld --location 91,0"), @r"
    exit 1
    -- stdout
    -- stderr
    error: invalid value '91,0' for '--location <LAT,LON>': latitude 91 is outside -90 to 90 degrees

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(device.run("--tier1-url http://tier1 deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: unexpected argument '--tier1-url' found

      tip: 'deploy --tier1-url' exists

    Usage: sinfonia-tier3 <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(device.run("deplyo helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: unrecognized subcommand 'deplyo'

      tip: a similar subcommand exists: 'deploy'

    Usage: sinfonia-tier3 <COMMAND>

    For more information, try '--help'.
    ");
}

#[tokio::test]
async fn no_arguments_ask_for_help() {
    let device = Device::new().await;

    let output = device.command("").output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage:"));
}

/// What goes to stdout, and nothing goes to stderr. Values of the environment do not show.
async fn help(line: &str) -> String {
    let device = Device::new().await;
    let output = device
        .command(line)
        .env_remove("SINFONIA_TIER1_URL")
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
    String::from_utf8(output.stdout).unwrap()
}
