use std::ffi::{OsStr, OsString};

use clap::{Parser, Subcommand};
use rstest::rstest;

use super::*;

/// A program whose options have a variable that every environment has.
#[derive(Debug, PartialEq, Parser)]
struct Program {
    #[arg(long, env = "PATH", default_value = "nothing")]
    given: String,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, PartialEq, Subcommand)]
enum Task {
    Work {
        #[arg(long, env = "PATH", default_value = "nothing")]
        given: String,
    },
}

/// The groups that a service takes.
#[derive(Debug, Parser)]
struct Service {
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    proxies: ProxyArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    client: ClientArgs,
}

#[test]
fn a_variable_stands_in_for_an_option() {
    let settings: Program =
        try_parse_from(arguments(&["program"]), |name| std::env::var_os(name)).unwrap();

    assert_eq!(
        Some(OsString::from(settings.given)),
        std::env::var_os("PATH")
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings: Program = try_parse_from(arguments(&["program", "work"]), empty).unwrap();

    let work = Task::Work {
        given: "nothing".to_owned(),
    };
    assert_eq!(
        settings,
        Program {
            given: "nothing".to_owned(),
            command: Some(work)
        }
    );
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let settings: Program = try_parse_from(arguments(&["program", "--given", "here"]), |name| {
        std::env::var_os(name)
    })
    .unwrap();

    assert_eq!(settings.given, "here");
}

#[rstest]
#[case::kubernetes("SINFONIA_PORT", "tcp://10.43.0.17:5000", true)]
#[case::port("SINFONIA_PORT", "5000", false)]
#[case::empty("SINFONIA_RECIPES", "", true)]
#[case::another_variable("SINFONIA_RECIPES", "tcp://10.43.0.17:5000", false)]
fn what_kubernetes_sets_for_a_service_counts_as_unset(
    #[case] name: &str,
    #[case] value: &str,
    #[case] expected: bool,
) {
    assert_eq!(
        counts_as_unset(OsStr::new(name), OsStr::new(value)),
        expected
    );
}

#[test]
fn defaults_are_safe() {
    let service = service(&[]);

    assert_eq!((service.listen.port, service.listen.listen), (5000, None));
    assert_eq!(
        service.listen.admin_address(5000),
        Some("127.0.0.1:5001".parse().unwrap())
    );
    assert_eq!(service.log.log_format, LogFormat::Text);
    let trusted = service.proxies.trusted();
    assert_eq!(
        trusted,
        ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]
    );
    assert_eq!(
        (service.limits.max_connections, service.limits.max_requests),
        (8192, 1024)
    );
    assert_eq!(
        (service.client.ca_file, service.client.insecure_http),
        (None, false)
    );
}

#[rstest]
#[case::the_next_port("127.0.0.1", Some("127.0.0.1:5001"))]
#[case::address_and_port("0.0.0.0:9000", Some("0.0.0.0:9000"))]
#[case::ipv6("[::1]:9000", Some("[::1]:9000"))]
#[case::ipv6_alone("::1", Some("[::1]:5001"))]
#[case::off("off", None)]
fn the_admin_port_can_be_moved_and_switched_off(
    #[case] text: &str,
    #[case] expected: Option<&str>,
) {
    let service = service(&["--admin-listen", text]);

    assert_eq!(
        service.listen.admin_address(5000),
        expected.map(|address| address.parse().unwrap())
    );
}

#[test]
fn any_free_port_goes_for_the_admin_port_too() {
    let service = service(&["--port", "0"]);

    assert_eq!(
        service.listen.admin_address(40_000),
        Some("127.0.0.1:0".parse().unwrap())
    );
}

#[test]
fn trusted_proxies_are_gathered_from_all_occurrences() {
    let service = service(&[
        "--trusted-proxies",
        "10.0.0.0/8,192.0.2.1",
        "--trusted-proxies",
        r#"["2001:db8::/32"]"#,
    ]);

    let expected =
        ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"].map(|network| network.parse().unwrap());
    assert_eq!(service.proxies.trusted(), expected);
}

#[test]
fn nobody_needs_to_be_trusted() {
    assert_eq!(service(&["--trusted-proxies", "[]"]).proxies.trusted(), []);
}

#[rstest]
#[case::network(&["--trusted-proxies", "nonsense"])]
#[case::no_requests(&["--max-requests", "0"])]
#[case::admin(&["--admin-listen", "nowhere"])]
#[case::port(&["--port", "65536"])]
fn nonsense_is_a_usage_error(#[case] options: &[&str]) {
    let all: Vec<&str> = std::iter::once("service")
        .chain(options.iter().copied())
        .collect();

    let error = try_parse_from::<Service>(arguments(&all), |_| None).unwrap_err();

    assert!(error.use_stderr(), "{error}");
}

fn service(options: &[&str]) -> Service {
    let all: Vec<&str> = std::iter::once("service")
        .chain(options.iter().copied())
        .collect();
    try_parse_from(arguments(&all), |_| None).unwrap()
}

fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn empty(_: &OsStr) -> Option<OsString> {
    Some(OsString::new())
}
