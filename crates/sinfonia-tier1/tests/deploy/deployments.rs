use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use crate::tier1::{Cloudlets, KEY, OPEN_RECIPE, Running, URL_SAFE_KEY, uuid};
use crate::tier2::{Does, FakeTier2, deployment, nobody};

#[tokio::test]
async fn a_deployment_is_told_by_the_cloudlet_that_has_it() {
    let (near, far) = (
        FakeTier2::start(Does::Deploys).await,
        FakeTier2::start(Does::Deploys).await,
    );
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;
    tier1.deploy(&format!("?cloudlet={}", uuid(2))).await;

    let answer = tier1
        .ask(Method::GET, &path(""), &[("x-clientip", "192.0.2.7")])
        .await;

    let mut expected = deployment();
    expected["Cloudlet"] =
        json!({"uuid": uuid(2), "name": "cloudlet 2", "endpoint": far.endpoint()});
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &expected));
    let asked = far.is_asked(&Method::GET).await;
    assert_eq!(
        asked.uri,
        format!("/api/v1/deploy/{OPEN_RECIPE}/{URL_SAFE_KEY}")
    );
    assert_eq!(asked.headers["x-clientip"], "192.0.2.7");
    assert_eq!(near.asked(&Method::GET).len(), 0);
}

#[tokio::test]
async fn a_named_cloudlet_need_not_be_remembered() {
    let near = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;

    let answer = tier1.get(&path(&format!("?cloudlet={}", uuid(1)))).await;

    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn an_ended_deployment_is_forgotten() {
    let near = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;
    tier1.deploy("").await;

    let ended = tier1
        .ask(Method::DELETE, &path(""), &[("x-clientip", "192.0.2.7")])
        .await;
    let after = tier1.get(&path("")).await;

    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    let asked = near.is_asked(&Method::DELETE).await;
    assert_eq!(
        asked.uri,
        format!("/api/v1/deploy/{OPEN_RECIPE}/{URL_SAFE_KEY}")
    );
    assert_eq!(asked.headers["x-clientip"], "192.0.2.7");
    assert_eq!(
        after.problem(404),
        "no cloudlet is remembered for this recipe and key; ?cloudlet=<uuid> names one"
    );
}

#[rstest]
#[case::unknown_cloudlet(&format!("?cloudlet={}", uuid(7)), 404)]
#[case::nothing_remembered("", 404)]
#[case::malformed("?cloudlet=x", 400)]
#[tokio::test]
async fn without_a_cloudlet_nobody_is_asked(#[case] query: &str, #[case] status: u16) {
    let near = FakeTier2::start(Does::Deploys).await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;

    tier1.get(&path(query)).await.problem(status);
    tier1
        .ask(Method::DELETE, &path(query), &[])
        .await
        .problem(status);

    assert_eq!(
        near.asked(&Method::GET).len() + near.asked(&Method::DELETE).len(),
        0
    );
}

#[tokio::test]
async fn a_cloudlet_that_cannot_be_reached_is_502() {
    let tier1 = Running::with(Cloudlets::default().and(nobody().await, "")).await;
    let query = format!("?cloudlet={}", uuid(1));

    let shown = tier1.get(&path(&query)).await;
    let ended = tier1.ask(Method::DELETE, &path(&query), &[]).await;

    assert_eq!(shown.problem(502), "the cloudlet cannot be reached");
    ended.problem(502);
}

#[rstest]
#[case::failed(404, 404)]
#[case::somebody_elses(403, 403)]
#[case::not_now(503, 503)]
#[case::older_server(405, 405)]
#[case::our_token(401, 502)]
#[case::redirect(302, 502)]
#[tokio::test]
async fn what_the_cloudlet_refuses_is_passed_on(#[case] status: u16, #[case] expected: u16) {
    let refusing = FakeTier2::start(Does::Answers(
        StatusCode::from_u16(status).unwrap(),
        vec![("retry-after", "2"), ("location", "/elsewhere")],
        br#"{"class": "not-ready", "detail": "told"}"#.to_vec(),
    ))
    .await;
    let tier1 = Running::with(Cloudlets::of(&[&refusing])).await;
    let query = format!("?cloudlet={}", uuid(1));

    let shown = tier1.get(&path(&query)).await;
    let ended = tier1.ask(Method::DELETE, &path(&query), &[]).await;

    for answer in [&shown, &ended] {
        let is_passed_on = status == expected;
        assert_eq!(answer.problem(expected) == "told", is_passed_on);
        assert_eq!(answer.body["class"] == "not-ready", is_passed_on);
        assert_eq!(answer.header("retry-after").is_some(), is_passed_on);
    }
}

#[rstest]
#[case::garbage(Does::says("application/json", "{"))]
#[case::list(Does::says("application/json", "[]"))]
#[case::ten_mebibytes(Does::says("application/json", vec![b' '; 10 << 20]))]
#[tokio::test]
async fn an_invalid_answer_is_502(#[case] does: Does) {
    let lying = FakeTier2::start(does).await;
    let tier1 = Running::with(Cloudlets::of(&[&lying])).await;

    tier1
        .get(&path(&format!("?cloudlet={}", uuid(1))))
        .await
        .problem(502);
}

fn path(query: &str) -> String {
    format!("/deployments/{OPEN_RECIPE}/{KEY}{query}")
}
