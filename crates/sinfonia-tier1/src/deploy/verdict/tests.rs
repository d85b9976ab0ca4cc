use rstest::rstest;
use serde_json::json;
use sinfonia_service::client::ReadError;

use super::*;

#[rstest]
#[case::not_found(404, "", Failure::NotFound)]
#[case::conflict(409, "", Failure::Conflict)]
#[case::unavailable(503, "", Failure::Unavailable { retry_after: Some(7), is_for_all: true })]
#[case::unavailable_for_one_deployment(
    503,
    r#"{"class": "quota-reached"}"#,
    Failure::Unavailable { retry_after: Some(7), is_for_all: false }
)]
#[case::installation(500, r#"{"class": "bad-values"}"#, Failure::Installation { class: "bad-values".to_owned() })]
#[case::error_without_class(
    500,
    r#"{"detail": "boom"}"#,
    Failure::Status(StatusCode::INTERNAL_SERVER_ERROR)
)]
#[case::class_of_another_status(
    502,
    r#"{"class": "bad-values"}"#,
    Failure::Status(StatusCode::BAD_GATEWAY)
)]
#[case::our_token_is_missing(401, "", Failure::Status(StatusCode::UNAUTHORIZED))]
#[case::client_not_accepted(403, "", Failure::Status(StatusCode::FORBIDDEN))]
#[case::redirect(302, "", Failure::Status(StatusCode::FOUND))]
#[case::another_success(204, "", Failure::Status(StatusCode::NO_CONTENT))]
#[case::html(200, "<html>", Failure::Invalid)]
#[case::empty_list(200, "[]", Failure::Invalid)]
#[case::no_list(200, "{}", Failure::Invalid)]
#[case::list_of_something_else(200, r#"[{"UUID": "x"}]"#, Failure::Invalid)]
fn every_other_answer_means_the_next_cloudlet(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] expected: Failure,
) {
    assert_eq!(judge(Ok(answer(status, body))), Verdict::Next(expected));
}

#[test]
fn a_list_of_deployments_is_a_success_and_the_first_is_taken() {
    let mut other = deployment("Deployed");
    other["UUID"] = json!("00000000-0000-0000-0000-000000000001");
    let body = json!([deployment("Initializing"), other]).to_string();

    let verdict = judge(Ok(answer(200, body)));

    let first = serde_json::from_value(deployment("Initializing")).unwrap();
    assert_eq!(verdict, Verdict::Success(first));
}

#[rstest]
#[case(400)]
#[case(429)]
fn what_the_client_did_goes_to_the_client(#[case] status: u16) {
    let verdict = judge(Ok(answer(
        status,
        r#"{"detail": "too many deployments", "class": "limit", "secret": 1}"#,
    )));

    let status = StatusCode::from_u16(status).unwrap();
    let problem = Problem::new(status)
        .detail("too many deployments")
        .class("limit")
        .retry_after(7);
    assert_eq!(verdict, Verdict::ToClient(problem));
}

#[test]
fn a_cloudlet_that_has_enough_to_do_may_take_it_in_a_second() {
    let verdict = judge(Err(CallError::Busy));

    assert_eq!(verdict, Verdict::Next(Failure::Busy));
    let expected = Problem::unavailable("no cloudlet can take the deployment now", 1);
    assert_eq!(conclude(&[Failure::Busy]), expected);
}

#[test]
fn an_answer_that_is_too_long_is_invalid() {
    let verdict = judge(Err(CallError::Unreadable(ReadError::TooLong(1))));

    assert_eq!(verdict, Verdict::Next(Failure::Invalid));
}

#[rstest]
#[case::unreachable(Failure::Unreachable, true, false)]
#[case::broken(Failure::Broken, true, true)]
#[case::timed_out(Failure::TimedOut, true, true)]
#[case::invalid(Failure::Invalid, true, true)]
#[case::bad_gateway(Failure::Status(StatusCode::BAD_GATEWAY), true, true)]
#[case::error(Failure::Status(StatusCode::INTERNAL_SERVER_ERROR), true, true)]
#[case::installation_timed_out(installation("timed-out"), true, true)]
#[case::installation_refused(installation("refused"), false, true)]
#[case::busy(Failure::Busy, false, false)]
#[case::unavailable(UNAVAILABLE, false, false)]
#[case::not_found(Failure::NotFound, false, false)]
#[case::conflict(Failure::Conflict, false, false)]
#[case::forbidden(Failure::Status(StatusCode::FORBIDDEN), false, false)]
#[case::created(Failure::Status(StatusCode::CREATED), false, true)]
fn some_failures_count_against_the_cloudlet_and_some_may_have_deployed(
    #[case] failure: Failure,
    #[case] counts: bool,
    #[case] may_have_deployed: bool,
) {
    assert_eq!(
        (failure.counts(), failure.may_have_deployed()),
        (counts, may_have_deployed)
    );
}

#[rstest]
#[case::unreachable(Failure::Unreachable, Outcome::Failed)]
#[case::installation_timed_out(installation("timed-out"), Outcome::Failed)]
#[case::installation_refused(installation("refused"), Outcome::Answered)]
#[case::not_found(Failure::NotFound, Outcome::Answered)]
#[case::forbidden(Failure::Status(StatusCode::FORBIDDEN), Outcome::Answered)]
#[case::unavailable(unavailable(Some(7), true), Outcome::Pause(Duration::from_secs(7)))]
#[case::unavailable_for_one_deployment(unavailable(Some(7), false), Outcome::Answered)]
#[case::unavailable_for_no_time(unavailable(Some(0), true), Outcome::Answered)]
#[case::unavailable_for_a_time_it_does_not_say(unavailable(None, true), Outcome::Answered)]
#[case::not_asked(Failure::Busy, Outcome::Unknown)]
fn a_failure_tells_something_of_the_cloudlet(#[case] failure: Failure, #[case] expected: Outcome) {
    assert_eq!(Verdict::<()>::Next(failure).outcome(), expected);
}

#[test]
fn what_goes_to_the_client_does_not_speak_against_the_cloudlet() {
    let refusal = Verdict::<()>::ToClient(Problem::new(StatusCode::TOO_MANY_REQUESTS));

    assert_eq!(refusal.outcome(), Outcome::Answered);
    assert_eq!(Verdict::Success(()).outcome(), Outcome::Answered);
}

#[rstest]
#[case::all_404(&[Failure::NotFound, Failure::NotFound], 404)]
#[case::all_409(&[Failure::Conflict, Failure::Conflict], 409)]
#[case::not_all_404(&[Failure::NotFound, Failure::Conflict], 502)]
#[case::not_all_409(&[Failure::Conflict, Failure::TimedOut], 502)]
#[case::any_503(&[Failure::Conflict, UNAVAILABLE, Failure::Broken], 503)]
#[case::any_not_asked(&[Failure::NotFound, Failure::Busy], 503)]
#[case::unreachable(&[Failure::Unreachable], 502)]
#[case::forbidden(&[Failure::Status(StatusCode::FORBIDDEN)], 502)]
#[case::nobody_was_asked(&[], 503)]
fn when_no_cloudlet_is_left_their_answers_decide(
    #[case] failures: &[Failure],
    #[case] status: u16,
) {
    assert_eq!(conclude(failures).status().as_u16(), status);
}

#[rstest]
#[case::smallest(&[Some(30), Some(3), None], 3)]
#[case::who_does_not_say_does_not_count(&[None, Some(30)], 30)]
#[case::nobody_said(&[None], 5)]
fn the_soonest_time_for_another_try_is_told(#[case] pauses: &[Option<u64>], #[case] expected: u64) {
    let failures: Vec<Failure> = pauses
        .iter()
        .map(|&retry_after| unavailable(retry_after, true))
        .chain([Failure::Invalid])
        .collect();

    let expected = Problem::unavailable("no cloudlet can take the deployment now", expected);
    assert_eq!(conclude(&failures), expected);
}

#[test]
fn the_client_reads_how_each_cloudlet_failed() {
    let problem = conclude(&[
        Failure::TimedOut,
        installation("chart-not-found"),
        Failure::NotFound,
    ]);

    let expected = Problem::bad_gateway(
        "each cloudlet that was asked failed: no answer in time, installation failed: chart-not-found, unknown recipe",
    );
    assert_eq!(problem, expected.class("chart-not-found"));
}

const UNAVAILABLE: Failure = unavailable(Some(2), true);

const fn unavailable(retry_after: Option<u64>, is_for_all: bool) -> Failure {
    Failure::Unavailable {
        retry_after,
        is_for_all,
    }
}

fn installation(class: &str) -> Failure {
    Failure::Installation {
        class: class.to_owned(),
    }
}

fn answer(status: u16, body: impl Into<bytes::Bytes>) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: Some(7),
        body: body.into(),
    }
}

fn deployment(status: &str) -> serde_json::Value {
    json!({
        "UUID": "00000000-0000-0000-0000-000000000000",
        "ApplicationKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "Status": status,
        "TunnelConfig": {
            "publicKey": "//////////////////////////////////////////8=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4"],
            "dns": ["10.43.0.10"],
        },
    })
}
