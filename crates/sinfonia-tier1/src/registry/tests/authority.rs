//! Who may report what, as tables: what is known before, who reports, and what comes of it.

use super::*;

const UUID_OF_ONE: &str = "00000000-0000-0000-0000-00000000000a";

#[rstest]
#[case::of_all(Bearer, true)]
#[case::its_uuid(Who::of_uuid(A), true)]
#[case::its_endpoint(Who::of(ONE), true)]
#[case::its_endpoint_spelled_otherwise(Who::of("HTTP://ONE.example:80/api/v1/deploy/"), true)]
#[case::another_uuid(Who::of_uuid(B), false)]
#[case::another_endpoint(Who::of(TWO), false)]
#[case::nobody(Anonymous, true)]
fn a_token_is_good_for_what_its_scope_names(#[case] who: Who, #[case] good: bool) {
    let registry = Registry::new();

    let result = registry.report(report(A, ONE), &who.authority(), at(0));

    assert_eq!(result.is_ok(), good, "{result:?}");
    assert_eq!(registry.get(A).is_some(), good);
}

#[rstest]
#[case::uuid_in_scope(Who::of_uuid(A), Some(A), None, true)]
#[case::uuid_out_of_scope(Who::of_uuid(A), Some(B), None, false)]
#[case::endpoint_in_scope(Who::of(ONE), None, Some(ONE), true)]
#[case::endpoint_out_of_scope(Who::of(ONE), None, Some(TWO), false)]
#[case::what_matters_is_not_readable(Who::of(ONE), Some(A), None, true)]
#[case::nothing_is_readable(Who::of_uuid(A), None, None, true)]
fn a_scope_is_judged_by_as_much_as_is_known(
    #[case] who: Who,
    #[case] uuid: Option<Uuid>,
    #[case] url: Option<&str>,
    #[case] good: bool,
) {
    let url = url.map(endpoint);

    let result = who.authority().check_scope(uuid, url.as_ref());

    assert_eq!(result.is_ok(), good, "{result:?}");
}

/// What somebody reported with a token 10 seconds ago.
#[rstest]
#[case::anonymous_as_it_is(Anonymous, A, ONE, false)]
#[case::anonymous_takes_the_endpoint(Anonymous, B, ONE, false)]
#[case::anonymous_takes_the_uuid(Anonymous, A, TWO, false)]
#[case::anonymous_elsewhere(Anonymous, B, TWO, true)]
#[case::uuid_as_it_is(Who::of_uuid(A), A, ONE, true)]
#[case::uuid_moves_with_its_bearer(Who::of_uuid(A), A, TWO, true)]
#[case::uuid_takes_the_endpoint(Who::of_uuid(B), B, ONE, false)]
#[case::endpoint_as_it_is(Who::of(ONE), A, ONE, true)]
#[case::endpoint_gets_a_newer_uuid(Who::of(ONE), B, ONE, true)]
#[case::endpoint_takes_the_uuid(Who::of(TWO), A, TWO, false)]
#[case::all_moves_the_uuid(Bearer, A, TWO, true)]
#[case::all_replaces_the_uuid(Bearer, B, ONE, true)]
fn what_is_reported_with_a_token_is_not_anothers_to_take(
    #[case] who: Who,
    #[case] uuid: Uuid,
    #[case] url: &str,
    #[case] may: bool,
) {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();

    check(&registry, &who, uuid, url, 10, may);
}

/// What somebody reported without a token 10 seconds ago.
#[rstest]
#[case::anonymous_replaces_the_uuid(Anonymous, B, ONE)]
#[case::anonymous_moves_the_uuid(Anonymous, A, TWO)]
#[case::uuid_takes_the_endpoint(Who::of_uuid(B), B, ONE)]
#[case::endpoint_takes_the_uuid(Who::of(TWO), A, TWO)]
fn what_is_reported_without_a_token_is_everyones(
    #[case] who: Who,
    #[case] uuid: Uuid,
    #[case] url: &str,
) {
    let registry = Registry::new();
    registry
        .report(report(A, ONE), &Anonymous.authority(), at(0))
        .unwrap();

    check(&registry, &who, uuid, url, 10, true);
}

/// An entry of the file that joined with a token and fell silent.
#[rstest]
#[case::anonymous_still_may_not(Anonymous, A, ONE, false)]
#[case::anonymous_may_not_take_its_uuid(Anonymous, A, TWO, false)]
#[case::a_reinstalled_one_with_its_new_token(Who::of_uuid(B), B, ONE, true)]
#[case::its_uuid_at_a_new_endpoint(Who::of(TWO), A, TWO, true)]
fn what_has_fallen_silent_is_free_for_other_tokens(
    #[case] who: Who,
    #[case] uuid: Uuid,
    #[case] url: &str,
    #[case] may: bool,
) {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(A, ONE), &Bearer.authority(), at(0))
        .unwrap();
    registry.expire(at(300));

    check(&registry, &who, uuid, url, 300, may);
}

/// An entry of the file that nobody has reported.
#[rstest]
#[case::uuid_joins(Who::of_uuid(A), A, ONE, true)]
#[case::endpoint_joins(Who::of(ONE), A, ONE, true)]
#[case::all_joins(Bearer, A, ONE, true)]
#[case::anonymous_measures(Anonymous, A, ONE, true)]
fn an_entry_of_the_file_may_be_joined(
    #[case] who: Who,
    #[case] uuid: Uuid,
    #[case] url: &str,
    #[case] may: bool,
) {
    let registry = with_file([file(ONE)]);

    check(&registry, &who, uuid, url, 0, may);
}

/// An entry whose uuid the file names.
#[rstest]
#[case::its_bearer(Who::of_uuid(A), A, ONE, true)]
#[case::another_uuid_takes_the_endpoint(Who::of_uuid(B), B, ONE, false)]
#[case::its_endpoint_says_otherwise(Who::of(ONE), B, ONE, true)]
#[case::all_says_otherwise(Bearer, B, ONE, true)]
#[case::its_bearer_from_elsewhere(Who::of_uuid(A), A, TWO, false)]
#[case::another_endpoint_takes_the_uuid(Who::of(TWO), A, TWO, false)]
#[case::all_takes_the_uuid(Bearer, A, TWO, false)]
#[case::anonymous_takes_the_uuid(Anonymous, A, TWO, false)]
fn a_uuid_that_the_file_names_stays_where_the_file_says(
    #[case] who: Who,
    #[case] uuid: Uuid,
    #[case] url: &str,
    #[case] may: bool,
) {
    let registry = with_file([file_named(ONE, A)]);

    check(&registry, &who, uuid, url, 0, may);
}

#[test]
fn the_uuid_of_an_endpoint_of_the_file_is_nobody_elses() {
    let registry = with_file([file(ONE)]);
    let uuid = endpoint(ONE).uuid();

    let refusal = registry.report(report(uuid, TWO), &Bearer.authority(), at(0));

    let owner = endpoint(ONE);
    assert_eq!(refusal, Err(ReportRefusal::UuidOfFile { uuid, owner }));
}

#[test]
fn the_uuid_that_the_file_gives_stays_reserved_while_a_report_says_another() {
    let registry = with_file([file_named(ONE, A)]);
    registry
        .report(report(B, ONE), &Bearer.authority(), at(0))
        .unwrap();

    let refusal = registry.report(report(A, TWO), &Bearer.authority(), at(0));

    let owner = endpoint(ONE);
    assert_eq!(refusal, Err(ReportRefusal::UuidOfFile { uuid: A, owner }));
}

#[test]
fn the_bearer_whom_the_file_names_gets_its_endpoint_back_from_a_squatter() {
    let registry = with_file([file(ONE)]);
    registry
        .report(report(B, ONE), &Who::of_uuid(B).authority(), at(0))
        .unwrap();
    let blocked = registry.report(report(A, ONE), &Who::of_uuid(A).authority(), at(1));

    registry.replace_file(vec![file_named(ONE, A)]);
    let taken = registry.report(report(A, ONE), &Who::of_uuid(A).authority(), at(2));

    let (endpoint, owner) = (endpoint(ONE), B);
    assert_eq!(
        blocked,
        Err(ReportRefusal::EndpointTaken { endpoint, owner })
    );
    assert_eq!(taken, Ok(Reported::Again));
}

#[test]
fn an_anonymous_report_for_the_file_may_say_any_uuid_because_it_does_not_count() {
    let registry = with_file([file(ONE), file_named(TWO, A)]);

    let result = registry.report(report(A, ONE), &Anonymous.authority(), at(0));

    assert_eq!(result, Ok(Reported::Again));
    assert_eq!(registry.get(A), registry.at(&endpoint(TWO)));
}

#[rstest]
#[case(
    ReportRefusal::OutOfScope { scope: UUID_OF_ONE.parse().unwrap() },
    "this token is not for reports of this cloudlet; its scope is 00000000-0000-0000-0000-00000000000a"
)]
#[case(
    ReportRefusal::NeedsToken { endpoint: endpoint(ONE) },
    "http://one.example/api/v1/deploy or its uuid belongs to the bearer of a token; show it"
)]
#[case(
    ReportRefusal::UuidOfFile { uuid: A, owner: endpoint(ONE) },
    "the cloudlet file says that 00000000-0000-0000-0000-00000000000a is http://one.example/api/v1/deploy"
)]
fn refusals_say_what_stands_in_the_way(#[case] refusal: ReportRefusal, #[case] expected: &str) {
    assert_eq!(refusal.to_string(), expected);
}

/// Reports, and sees to it that a refused report changes nothing and that it was foretold.
fn check(registry: &Registry, who: &Who, uuid: Uuid, url: &str, seconds: i64, may: bool) {
    let authority = who.authority();
    let before = registry.snapshot();

    let foretold = registry.check_report(uuid, &endpoint(url), &authority, at(seconds));
    let result = registry.report(full_report(uuid, url), &authority, at(seconds));

    assert_eq!(result.is_ok(), may, "{result:?}");
    assert_eq!(foretold.err(), result.clone().err());
    assert_eq!(registry.snapshot() == before, result.is_err());
}
