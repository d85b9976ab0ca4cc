use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rstest::rstest;

use super::*;

const ENDPOINT: &str = "https://one.example/api/v1/deploy";
const UUID: Uuid = Uuid::from_u128(0xa);
const CALLER: &str = "203.0.113.9";

#[rstest]
#[case::without_a_setting(access(false, ""), None, Err(AccessError::Nobody))]
#[case::a_token_without_a_setting(
    access(false, ""),
    Some("Bearer of-all"),
    Err(AccessError::Nobody)
)]
#[case::no_token(access(true, ""), None, Err(AccessError::NoToken(caller())))]
#[case::no_bearer_token(
    access(true, ""),
    Some("Basic of-all"),
    Err(AccessError::NoToken(caller()))
)]
#[case::wrong_token(access(true, ""), Some("Bearer guess"), Err(AccessError::WrongToken))]
#[case::token_of_all(
    access(true, ""),
    Some("Bearer of-all"),
    Ok(ReportAuthority::Token(Scope::Any))
)]
#[case::token_of_one(
    access(true, ""),
    Some("bearer of-one"),
    Ok(ReportAuthority::Token(Scope::Uuid(UUID)))
)]
#[case::anonymous_from_everywhere(access(false, "true"), None, Ok(ReportAuthority::Anonymous))]
#[case::anonymous_beside_tokens(access(true, "true"), None, Ok(ReportAuthority::Anonymous))]
#[case::anonymous_from_here(access(true, "203.0.113.0/24"), None, Ok(ReportAuthority::Anonymous))]
#[case::anonymous_from_elsewhere(
    access(true, "10.0.0.0/8"),
    None,
    Err(AccessError::NoToken(caller()))
)]
#[case::only_anonymous_from_elsewhere(
    access(false, "10.0.0.0/8"),
    None,
    Err(AccessError::NoToken(caller()))
)]
#[case::wrong_token_where_none_is_needed(
    access(true, "true"),
    Some("Bearer guess"),
    Err(AccessError::WrongToken)
)]
#[case::token_beside_anonymous(
    access(true, "true"),
    Some("Bearer of-all"),
    Ok(ReportAuthority::Token(Scope::Any))
)]
#[case::tokens_count_only_where_there_are_some(
    access(false, "true"),
    Some("Bearer guess"),
    Ok(ReportAuthority::Anonymous)
)]
fn a_report_is_taken_on_a_tokens_word_or_where_none_is_needed(
    #[case] access: ReportAccess,
    #[case] authorization: Option<&'static str>,
    #[case] expected: Result<ReportAuthority, AccessError>,
) {
    let headers: HeaderMap = authorization
        .map(|value| (AUTHORIZATION, HeaderValue::from_static(value)))
        .into_iter()
        .collect();

    assert_eq!(access.authority(&headers, caller()), expected);
}

#[rstest]
#[case::uuid(UUID, "https://other.example/api/v1/deploy", true)]
#[case::endpoint(Uuid::nil(), ENDPOINT, true)]
#[case::neither(Uuid::nil(), "https://other.example/api/v1/deploy", false)]
fn what_a_token_was_given_out_for_is_known(
    #[case] uuid: Uuid,
    #[case] endpoint: &str,
    #[case] expected: bool,
) {
    let endpoint = endpoint.parse().unwrap();

    assert_eq!(access(true, "").is_given_out(uuid, &endpoint), expected);
    assert!(!access(false, "true").is_given_out(uuid, &endpoint));
}

#[rstest]
#[case::everyone("true", AnonymousReports::from_everyone())]
#[case::everyone_in_capitals("YES", AnonymousReports::from_everyone())]
#[case::nobody("false", AnonymousReports::default())]
#[case::networks(
    "10.0.0.0/8,2001:db8::/32",
    AnonymousReports::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()])
)]
#[case::json(r#"["10.0.0.0/8"]"#, AnonymousReports::new(vec!["10.0.0.0/8".parse().unwrap()]))]
fn the_setting_is_a_switch_or_networks(#[case] text: &str, #[case] expected: AnonymousReports) {
    assert_eq!(text.parse::<AnonymousReports>().unwrap(), expected);
}

#[test]
fn a_setting_that_is_neither_is_refused() {
    assert!("everyone".parse::<AnonymousReports>().is_err());
}

#[test]
fn who_may_not_report_is_told_what_would_change_that() {
    let told = [
        AccessError::Nobody,
        AccessError::NoToken(caller()),
        AccessError::WrongToken,
    ]
    .map(|error| error.to_string())
    .join("\n");

    insta::assert_snapshot!(told, @r"
    this Tier 1 takes no reports: start it with --report-tokens FILE, or with --allow-anonymous-reports for cloudlets that show no token
    a report from 203.0.113.9 needs a token (Authorization: Bearer, from --report-tokens); --allow-anonymous-reports takes reports without one
    the token shown is not one of --report-tokens
    ");
}

/// Access with these settings: whether there are tokens, and who needs none.
fn access(tokens: bool, anonymous: &str) -> ReportAccess {
    let file = format!("of-all *\nof-one {UUID}\nof-two {ENDPOINT}\n");
    let tokens = tokens.then(|| ReportTokens::parse_bytes(file.as_bytes()).unwrap());
    ReportAccess {
        tokens: tokens.map(Reloaded::fixed),
        anonymous: anonymous.parse().unwrap(),
    }
}

fn caller() -> IpAddr {
    CALLER.parse().unwrap()
}
