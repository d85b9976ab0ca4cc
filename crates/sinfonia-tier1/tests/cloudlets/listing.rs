//! The list of cloudlets, whole and in pages.

use http::header::LINK;

use super::*;

#[rstest]
#[case("/api/v1/cloudlets")]
#[case("/api/v1/cloudlets/")]
#[case("//api/v1/cloudlets/")]
#[tokio::test]
async fn nothing_known_is_an_empty_list_under_every_spelling_of_the_path(#[case] path: &str) {
    let response = Tier1::with_tokens("")
        .send(Method::GET, path, None, Body::empty())
        .await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(body_of(response).await, json!([]));
}

#[tokio::test]
async fn who_follows_the_links_of_pages_gets_each_cloudlet_once() {
    let tier1 = Tier1::with_tokens("");
    for number in 0..7 {
        let report = json!({
            "uuid": uuid::Uuid::from_u128(number),
            "endpoint": format!("http://cloudlet-{number}.example/api/v1/deploy"),
        });
        tier1.report("of-all", &report).await;
    }

    let mut listed = Vec::new();
    let mut lengths = Vec::new();
    let mut next = Some("/api/v1/cloudlets/?limit=3".to_owned());
    while let Some(path) = next {
        let response = tier1.send(Method::GET, &path, None, Body::empty()).await;
        let link = response
            .headers()
            .get(LINK)
            .map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| {
            let query = link
                .strip_prefix('<')
                .and_then(|link| link.strip_suffix(">; rel=\"next\""));
            format!("/api/v1/cloudlets/{}", query.unwrap())
        });
        let Value::Array(page) = body_of(response).await else {
            panic!("no list")
        };
        lengths.push(page.len());
        listed.extend(page);
    }

    listed.sort_by_key(|cloudlet| cloudlet["name"].to_string());
    assert_eq!(Value::Array(listed), tier1.list().await);
    assert_eq!(lengths, [3, 3, 1]);
}

#[rstest]
#[case::no_number("limit=all", "limit: `all` is not a number from 1 on")]
#[case::none("limit=0", "limit: `0` is not a number from 1 on")]
#[case::no_place(
    "after=7",
    "after: `7` is not a place that the header Link of a page named"
)]
#[tokio::test]
async fn a_page_that_is_asked_for_wrongly_is_refused(#[case] query: &str, #[case] detail: &str) {
    let tier1 = Tier1::with_tokens("");
    let path = format!("/api/v1/cloudlets?{query}");

    let response = tier1.send(Method::GET, &path, None, Body::empty()).await;

    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body_of(response).await["detail"], detail);
}

#[tokio::test]
async fn the_list_has_those_of_the_file_in_its_order_and_then_the_others_by_name() {
    let tier1 = Tier1::with_tokens(&format!("endpoint: {TWO}\n---\nendpoint: {ONE}\n"));
    for (number, name) in ["zeta", "alpha"].into_iter().enumerate() {
        let endpoint = format!("http://{number}.example/api/v1/deploy");
        let uuid = format!("00000000-0000-0000-0000-00000000000{number}");
        let report = json!({"uuid": uuid, "endpoint": endpoint, "name": name});
        assert_eq!(
            tier1.report("of-all", &report).await.status(),
            StatusCode::NO_CONTENT
        );
    }

    let listed = tier1.list().await;

    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|cloudlet| cloudlet["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["two.example", "one.example", "alpha", "zeta"]);
}
