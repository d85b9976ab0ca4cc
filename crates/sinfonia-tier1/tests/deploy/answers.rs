use http::Method;
use rstest::rstest;
use serde_json::json;

use crate::tier1::{
    Cloudlets, KEY, OPEN_RECIPE, RESTRICTED_RECIPE, Running, UNKNOWN_RECIPE, URL_SAFE_KEY, uuid,
};
use crate::tier2::{Does, FakeTier2, deployment};

#[tokio::test]
async fn the_nearest_cloudlet_deploys_and_is_named_in_the_answer() {
    let (near, far) = (deploying().await, deploying().await);
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;

    let answer = tier1.deploy("").await;

    let mut expected = deployment();
    expected["Cloudlet"] =
        json!({"uuid": uuid(1), "name": "cloudlet 1", "endpoint": near.endpoint()});
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, json!([expected]));
    assert_eq!(far.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn the_cloudlet_is_told_who_asks_and_how_long_they_wait() {
    let near = deploying().await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";

    let path = format!("/deploy/{{{OPEN_RECIPE}}}/{KEY}/");
    let headers = [
        ("x-clientip", "192.0.2.7"),
        ("x-location", " 40.44, -79.94"),
        ("x-request-id", "mine"),
        ("prefer", "respond-async, wait=20"),
        ("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")),
    ];
    let answer = tier1.ask(Method::POST, &path, &headers).await;

    let asked = near.is_asked(&Method::POST).await;
    let header = |name| asked.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(
        asked.uri,
        format!("/api/v1/deploy/{OPEN_RECIPE}/{URL_SAFE_KEY}")
    );
    assert_eq!(asked.body, b"");
    assert_eq!(header("content-length"), Some("0"));
    assert_eq!(header("x-clientip"), Some("192.0.2.7"));
    assert_eq!(header("x-location"), Some("40.44,-79.94"));
    // Depending on how much of the first second is over.
    assert!(matches!(header("prefer"), Some("wait=19" | "wait=18")));
    assert_eq!(header("authorization"), None);
    assert_eq!(header("x-request-id"), answer.header("x-request-id"));
    assert_ne!(header("x-request-id"), Some("mine"));
    assert!(
        header("traceparent")
            .unwrap()
            .starts_with(&format!("00-{trace}-"))
    );
}

#[tokio::test]
async fn what_a_client_states_badly_is_not_passed_on() {
    let near = deploying().await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;

    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let headers = [("x-clientip", "192.0.2.777"), ("x-location", "91,0")];
    tier1.ask(Method::POST, &path, &headers).await;

    let asked = near.is_asked(&Method::POST).await;
    assert_eq!(asked.headers["x-clientip"], "127.0.0.1");
    assert!(!asked.headers.contains_key("x-location"));
}

#[rstest]
#[case::one("", &[1])]
#[case::two("?results=2", &[1, 2])]
#[case::as_many_as_there_may_be("?results=99", &[1, 2, 3])]
#[tokio::test]
async fn several_results_come_best_first(#[case] query: &str, #[case] places: &[usize]) {
    let fakes = [
        deploying().await,
        deploying().await,
        deploying().await,
        deploying().await,
    ];
    let tier1 = Running::with(Cloudlets::of(&fakes.each_ref())).await;

    let answer = tier1.deploy(query).await;

    let expected: Vec<String> = places.iter().copied().map(uuid).collect();
    assert_eq!(answer.cloudlets(), expected);
}

#[rstest]
#[case::results("?results=0", "results: `0` is not a number from 1 on")]
#[case::cloudlet("?cloudlet=x", "cloudlet: `x` is not a uuid")]
#[case::exclude("?exclude=", "exclude: `` is not a uuid")]
#[tokio::test]
async fn a_malformed_query_is_400(#[case] query: &str, #[case] detail: &str) {
    let tier1 = Running::with(Cloudlets::default()).await;

    assert_eq!(tier1.deploy(query).await.problem(400), detail);
}

#[tokio::test]
async fn without_cloudlets_it_is_503() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.problem(503), "no cloudlet serves 127.0.0.1");
    assert_eq!(answer.header("retry-after"), Some("15"));
}

#[tokio::test]
async fn a_cloudlet_that_does_not_serve_the_client_is_not_asked() {
    let near = deploying().await;
    let cloudlets = Cloudlets::default().and(near.address, "rejected_clients: [127.0.0.0/8]");
    let tier1 = Running::with(cloudlets).await;

    tier1.deploy("").await.problem(503);

    assert_eq!(near.asked(&Method::POST).len(), 0);
}

#[rstest]
#[case::unknown_recipe(&format!("/deploy/{UNKNOWN_RECIPE}/{KEY}"), 404)]
#[case::no_uuid(&format!("/deploy/nonsense/{KEY}"), 400)]
#[case::no_key(&format!("/deploy/{OPEN_RECIPE}/short"), 400)]
#[case::no_route("/deploy", 404)]
#[tokio::test]
async fn a_path_that_names_nothing_is_refused(#[case] path: &str, #[case] status: u16) {
    let near = deploying().await;
    let tier1 = Running::with(Cloudlets::of(&[&near])).await;

    tier1.post(path).await.problem(status);
    tier1.get(path).await.problem(status);

    assert_eq!(near.asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn candidates_are_listed_best_first_with_their_reasons() {
    let (near, far) = (deploying().await, deploying().await);
    let cloudlets = Cloudlets::of(&[&near, &far]);
    let tier1 = Running::with_options(cloudlets, &["--match=location"]).await;

    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let answer = tier1
        .ask(Method::GET, &path, &[("x-location", "0,2")])
        .await;

    let candidate = |fake: &FakeTier2, place: usize, rank: usize| {
        json!({
            "endpoint": fake.endpoint(),
            "uuid": uuid(place),
            "name": format!("cloudlet {place}"),
            "locations": [[0.0, place as f64]],
            "local_networks": ["192.0.2.0/24"],
            "accepted_clients": ["0.0.0.0/0", "::/0"],
            "Rank": rank,
            "Matcher": "location",
        })
    };
    let mut body = answer.body;
    let distances: Vec<f64> = body
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .map(|candidate| {
            let distance = candidate.as_object_mut().unwrap().remove("DistanceKm");
            distance.unwrap().as_f64().unwrap().round()
        })
        .collect();
    assert_eq!(body, json!([candidate(&far, 2, 1), candidate(&near, 1, 2)]));
    assert_eq!(distances, [0.0, 111.0]);
    assert_eq!(
        near.asked(&Method::POST).len() + far.asked(&Method::POST).len(),
        0
    );
}

#[tokio::test]
async fn fewer_candidates_are_listed_on_demand_and_none_are_404() {
    let (near, far) = (deploying().await, deploying().await);
    let tier1 = Running::with(Cloudlets::of(&[&near, &far])).await;
    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");

    let one = tier1.get(&format!("{path}?results=1")).await;
    let excluded = format!("{path}?exclude={}&exclude={}", uuid(1), uuid(2));
    let none = tier1.get(&excluded).await;

    assert_eq!(one.body.as_array().unwrap().len(), 1);
    assert_eq!(none.problem(404), "no cloudlet serves 127.0.0.1");
}

#[tokio::test]
async fn a_recipe_can_be_read_unless_it_is_restricted() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let open = tier1.get(&format!("/recipe/{OPEN_RECIPE}/")).await;

    let expected = json!({"chart": "example", "version": "0.1.0", "description": "Hello"});
    assert_eq!((open.status.as_u16(), open.body), (200, expected));
    for (recipe, status) in [
        (RESTRICTED_RECIPE, 403),
        (UNKNOWN_RECIPE, 404),
        ("none", 404),
        ("", 404),
    ] {
        tier1
            .get(&format!("/recipe/{recipe}"))
            .await
            .problem(status);
    }
}

#[tokio::test]
async fn the_root_is_an_empty_object() {
    let tier1 = Running::with(Cloudlets::default()).await;
    let root = format!("http://{}/", tier1.address);

    let answer = tier1.ask_url(Method::GET, &root, &[]).await;

    assert_eq!((answer.status.as_u16(), answer.body), (200, json!({})));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_405() {
    let tier1 = Running::with(Cloudlets::default()).await;

    let path = format!("/deploy/{OPEN_RECIPE}/{KEY}");
    let answer = tier1.ask(Method::PATCH, &path, &[]).await;

    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
}

async fn deploying() -> FakeTier2 {
    FakeTier2::start(Does::Deploys).await
}
