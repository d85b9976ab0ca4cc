//! The command line.

use std::ffi::OsString;

use clap::CommandFactory;
use jiff::SignedDuration;
use rstest::rstest;
use sinfonia_service::settings::try_parse_from;
use sinfonia_tier2::settings::{Settings, Tier1Url};

#[test]
fn the_help_is_for_people() {
    let help = Settings::command()
        .mut_args(|arg| arg.hide_env_values(true))
        .term_width(100)
        .render_long_help();

    insta::assert_snapshot!(help);
}

#[rstest]
#[case::drain("drain")]
#[case::undrain("undrain")]
#[case::ready("ready")]
#[case::openapi("openapi")]
fn the_help_of_a_command_is_for_people(#[case] name: &str) {
    let mut command = Settings::command().term_width(100);
    command.build();
    let command = command.find_subcommand_mut(name).unwrap();

    insta::assert_snapshot!(format!("the_help_of_{name}"), command.render_long_help());
}

#[test]
fn the_help_of_the_guard_is_for_people() {
    let mut command = Settings::command();
    let guard = command.find_subcommand_mut("guard").unwrap().clone();
    let help = guard
        .bin_name("sinfonia-tier2 guard")
        .mut_args(|arg| arg.hide_env_values(true))
        .term_width(100)
        .render_long_help();

    insta::assert_snapshot!(help);
}

#[test]
fn defaults_are_the_contracts() {
    let settings = parse(&[]);

    let policy = settings.life.policy();
    assert_eq!(policy, sinfonia_core::lifecycle::Policy::default());
    assert_eq!(settings.life.ready_timeout, SignedDuration::from_secs(8));
    assert_eq!(settings.life.job_interval, SignedDuration::from_secs(60));
    assert_eq!(settings.tunnel.client_network.to_string(), "10.5.0.0/16");
    assert_eq!(settings.deployments.max_deployments_per_client.get(), 4);
}

#[test]
fn tier1_urls_are_repeated() {
    let settings = parse(&[
        "--tier1-url",
        "http://one.example",
        "--tier1-url",
        "http://two.example",
    ]);

    assert_eq!(
        settings.tier1.tier1_urls,
        urls(&["http://one.example", "http://two.example"])
    );
}

#[test]
fn a_time_of_nothing_is_no_lease() {
    let arguments = ["sinfonia-tier2", "--lease", "0s"].map(OsString::from);

    let error = try_parse_from::<Settings>(arguments, |_| None).unwrap_err();

    assert!(
        error.to_string().contains("must be longer than nothing"),
        "{error}"
    );
}

fn parse(options: &[&str]) -> Settings {
    let arguments = std::iter::once("sinfonia-tier2").chain(options.iter().copied());
    try_parse_from(arguments.map(OsString::from), |_| None).unwrap()
}

fn urls(texts: &[&str]) -> Vec<Tier1Url> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
