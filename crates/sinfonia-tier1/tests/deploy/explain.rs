use http::Method;
use rstest::rstest;
use serde_json::json;

use crate::tier1::{Cloudlets, Running, uuid};
use crate::tier2::{Does, FakeTier2};

#[tokio::test]
async fn an_explanation_names_each_place_and_each_exclusion() {
    let (near, far) = (
        FakeTier2::start(Does::Deploys).await,
        FakeTier2::start(Does::Deploys).await,
    );
    let cloudlets = Cloudlets::default()
        .and(near.address, "")
        .and(far.address, "rejected_clients: [198.51.100.0/24]");
    let tier1 = Running::with(cloudlets).await;

    let answer = tier1.get("/explain?client=198.51.100.7&location=0,1").await;

    assert_eq!(answer.status.as_u16(), 200);
    let body = &answer.body;
    assert_eq!(
        body["client"],
        json!({"address": "198.51.100.7", "location": [0.0, 1.0]})
    );
    let candidates = body["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0]["cloudlet"]["uuid"], uuid(1));
    assert_eq!(candidates[0]["matcher"], "location");
    assert_eq!(body["excluded"][0]["cloudlet"]["uuid"], uuid(2));
    assert_eq!(body["excluded"][0]["rule"], "rejected_clients");
    assert_eq!([&body["candidates_total"], &body["excluded_total"]], [1, 1]);
    assert_eq!(near.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn it_is_200_when_nobody_qualifies_and_told_for_the_caller_by_default() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let answer = tier1
        .ask(Method::GET, "/explain", &[("x-location", "1,2")])
        .await;

    let expected = json!({
        "client": {"address": "127.0.0.1", "location": [1.0, 2.0]},
        "candidates": [], "candidates_total": 0, "excluded": [], "excluded_total": 0,
    });
    assert_eq!((answer.status.as_u16(), answer.body), (200, expected));
}

#[rstest]
#[case::on_this_machine(&[], &[], 200)]
#[case::relayed(&[], &[("x-forwarded-for", "203.0.113.9")], 401)]
#[case::relayed_without_saying_from_where(&[], &[("x-forwarded-for", "unknown")], 401)]
#[case::relayed_by_way_of_via(&[], &[("via", "1.1 proxy")], 401)]
#[case::says_that_it_is_here(&[], &[("x-clientip", "127.0.0.1")], 401)]
#[case::wrong_token(&[], &[("via", "1.1 proxy"), ("authorization", "Bearer wrong")], 403)]
#[case::operator(&[], &[("via", "1.1 proxy"), ("authorization", "bearer secret")], 200)]
#[case::public(&["--public-explain"], &[("via", "1.1 proxy")], 200)]
#[tokio::test]
async fn explanations_are_for_operators_and_this_machine(
    #[case] options: &[&str],
    #[case] headers: &[(&str, &str)],
    #[case] status: u16,
) {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("operators");
    std::fs::write(&tokens, "secret\n").unwrap();
    let tokens = format!("--operator-tokens={}", tokens.display());
    let options: Vec<&str> = options.iter().copied().chain([tokens.as_str()]).collect();
    let tier1 = Running::with_options(Cloudlets::default(), &options).await;

    let answer = tier1.ask(Method::GET, "/explain", headers).await;

    if status == 200 {
        assert_eq!(answer.status.as_u16(), 200);
    } else {
        answer.problem(status);
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
}

#[tokio::test]
async fn a_malformed_question_is_400() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let answer = tier1.get("/explain?client=me").await;

    assert_eq!(answer.problem(400), "client: `me` is not an address");
}
