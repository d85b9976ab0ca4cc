use std::ffi::OsString;

use clap::CommandFactory;
use insta::assert_snapshot;
use rstest::rstest;
use sinfonia_service::settings::try_parse_from;

use super::*;

#[test]
fn help_is_grouped_and_has_examples() {
    let help = Settings::command().term_width(100).render_long_help();

    assert_snapshot!(help);
}

#[test]
fn without_options_the_documented_defaults_hold() {
    let settings = parse(&[]).unwrap();

    assert_eq!(settings.ranking.cloudlets, None);
    assert_eq!(
        settings.ranking.recipes,
        RecipeSource::Folder("RECIPES".into())
    );
    assert_eq!(settings.ranking.order.matchers(), Matcher::ALL);
    assert_eq!(
        settings.ranking.order.thresholds(),
        Ok(Thresholds::default())
    );
    assert_eq!(settings.ranking.order.shortlist, 64);
    assert_eq!(
        settings.reports.allow_anonymous_reports,
        AnonymousReports::default()
    );
    assert_eq!(settings.listen.port, 5000);
    assert_eq!(settings.cloudlet_limits.max_in_flight_per_cloudlet, 64);
    assert_eq!(settings.cloudlet_limits.max_reported_cloudlets, 1_000_000);
}

#[rstest]
#[case::repeated(&["-m", "random", "--match", "network"])]
#[case::commas(&["-m", "random,network"])]
#[case::json(&["-m", r#"["random", "network"]"#])]
fn matchers_are_taken_in_their_order(#[case] options: &[&str]) {
    let settings = parse(options).unwrap();

    assert_eq!(
        settings.ranking.order.matchers(),
        [Matcher::Random, Matcher::Network]
    );
}

#[rstest]
#[case::other(&["--overload", "queue=10,cpu_ratio=0.5"], &["queue=10", "cpu_ratio=0.5"])]
#[case::none(&["--overload=[]"], &[])]
fn thresholds_take_the_place_of_the_default(#[case] options: &[&str], #[case] expected: &[&str]) {
    let settings = parse(options).unwrap();

    let expected = expected.iter().map(|text| text.parse().unwrap());
    assert_eq!(
        settings.ranking.order.thresholds(),
        Thresholds::new(expected.collect())
    );
}

#[test]
fn an_empty_list_of_matchers_means_the_default() {
    assert_eq!(
        parse(&["-m", "[]"]).unwrap().ranking.order.matchers(),
        Matcher::ALL
    );
}

#[rstest]
#[case::everyone("--allow-anonymous-reports", AnonymousReports::from_everyone())]
#[case::networks("--allow-anonymous-reports=10.0.0.0/8,::1", AnonymousReports::new(vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]))]
#[case::nobody("--allow-anonymous-reports=false", AnonymousReports::default())]
fn anonymous_reports_are_for_everyone_or_for_networks(
    #[case] option: &str,
    #[case] expected: AnonymousReports,
) {
    let settings = parse(&[option]).unwrap();

    assert_eq!(settings.reports.allow_anonymous_reports, expected);
}

#[rstest]
#[case::matcher("--match=nearest")]
#[case::recipes("--recipes=ftp://example.org/")]
#[case::endpoints("--allow-endpoints=10.0.0.0/33")]
#[case::overload("--overload=cpu_ratio")]
#[case::shortlist("--shortlist=0")]
#[case::anonymous("--allow-anonymous-reports=everyone")]
#[case::nothing_in_flight("--max-in-flight-per-cloudlet=0")]
#[case::none_reported("--max-reported-cloudlets=0")]
fn what_is_malformed_is_refused(#[case] option: &str) {
    assert!(parse(&[option]).is_err());
}

#[test]
fn the_command_line_is_consistent() {
    Settings::command().debug_assert();
}

fn parse(options: &[&str]) -> Result<Settings, clap::Error> {
    let arguments = ["sinfonia-tier1"].iter().chain(options).map(OsString::from);
    try_parse_from(arguments, |_| None)
}
