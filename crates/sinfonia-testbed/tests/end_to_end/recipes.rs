//! Recipes from a web server, which may be down; and what the API tells of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rstest::rstest;
use serde_json::json;

use super::fakes::{FakeServer, Reply, Seen};
use super::support::{
    HELLOWORLD, NEAR, OTHER, RESTRICTED, UNKNOWN, World, cloudlet, eventually, key,
};

const ETAG: &str = "\"first\"";

#[tokio::test]
async fn recipes_come_from_a_web_server_and_a_good_copy_outlives_it() {
    let world = World::new();
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let repository = FakeServer::start(move |seen| repository(seen, &down)).await;
    let url = format!("{}/of/all", repository.url());
    let tier2 = world.tier2("cloudlet", &["--recipes", &url]).await;
    let file = cloudlet("cloudlet", &tier2.url(), NEAR);
    let tier1 = world.tier1(&file, &["--recipes", &url]).await;
    let recipe = async |uuid: &str| {
        world
            .get(&format!("{}/api/v1/recipe/{uuid}/", tier1.url()))
            .await
    };
    let asked = |uuid: &str, when: &dyn Fn(&Seen) -> bool| {
        let target = format!("/of/all/{uuid}.yaml");
        let seen = repository.seen("GET").into_iter();
        seen.filter(|seen| seen.target == target && when(seen))
            .count()
    };
    let is_conditional = |seen: &Seen| seen.headers.contains_key("if-none-match");

    let fresh = recipe(HELLOWORLD).await;
    assert_eq!(fresh.kind(), (200, "application/json"));
    assert_eq!(recipe(UNKNOWN).await.status, 404);
    world.deploy(&tier1, &key(1)).await.deployments();

    is_down.store(true, Ordering::SeqCst);
    let never_seen = recipe(OTHER).await;
    let times = asked(HELLOWORLD, &is_conditional);
    eventually("the cached copy is checked, in vain", async || {
        let copy = recipe(HELLOWORLD).await;
        assert_eq!((copy.status, copy.json()), (200, fresh.json()));
        (asked(HELLOWORLD, &is_conditional) > times).then_some(())
    })
    .await;
    world.deploy(&tier1, &key(2)).await.deployments();

    is_down.store(false, Ordering::SeqCst);
    eventually("the repository is asked again", async || {
        (recipe(OTHER).await.status == 200).then_some(())
    })
    .await;
    eventually("the copy has not been modified", async || {
        let copy = recipe(HELLOWORLD).await;
        assert_eq!((copy.status, copy.json()), (200, fresh.json()));
        (asked(HELLOWORLD, &is_conditional) > times + 1).then_some(())
    })
    .await;

    assert_eq!(never_seen.kind(), (503, "application/problem+json"));
    assert_ne!(never_seen.header("retry-after"), "");
    let tags: Vec<_> = repository
        .seen("GET")
        .into_iter()
        .filter_map(|seen| seen.headers.get("if-none-match").cloned())
        .collect();
    assert!(tags.iter().all(|tag| tag == ETAG), "{tags:?}");
}

#[rstest]
#[case::readable(HELLOWORLD, 200)]
#[case::restricted(RESTRICTED, 403)]
#[case::unknown(UNKNOWN, 404)]
#[case::no_uuid("helloworld", 404)]
#[tokio::test]
async fn a_recipe_is_told_unless_it_is_restricted(#[case] uuid: &str, #[case] expected: u16) {
    let world = World::new();
    let tier1 = world.tier1_without_cloudlets(&[]).await;

    let answer = world
        .get(&format!("{}/api/v1/recipe/{uuid}/", tier1.url()))
        .await;

    assert_eq!(answer.status, expected, "{}", answer.text);
    if expected == 200 {
        let recipe = json!({
            "chart": "charts/helloworld",
            "version": "0.1.0",
            "description": "Says hello",
        });
        assert_eq!(answer.json(), recipe);
    }
}

#[tokio::test]
async fn tier_2_is_not_ready_until_its_repository_has_answered() {
    let world = World::new();
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    let repository = FakeServer::start(move |seen| repository(seen, &down)).await;
    let tier2 = world
        .tier2("cloudlet", &["--recipes", &repository.url()])
        .await;
    let readyz = format!("http://{}/readyz", tier2.admin());

    let missing = eventually("the repository was tried", async || {
        let answer = world.get(&readyz).await;
        let reason = answer.json()["missing"]["recipes"]
            .as_str()
            .map(str::to_owned);
        assert_eq!(answer.status, 503);
        reason.filter(|reason| reason != "starting")
    })
    .await;
    is_down.store(false, Ordering::SeqCst);
    eventually("it is ready", async || {
        (world.get(&readyz).await.status == 200).then_some(())
    })
    .await;

    assert_eq!(missing, "the recipe repository (--recipes) cannot be read");
}

/// A repository of the helloworld and one other recipe. While it is down it resets connections.
fn repository(seen: &Seen, is_down: &AtomicBool) -> Reply {
    if is_down.load(Ordering::SeqCst) {
        return Reply::Reset;
    }
    if seen
        .headers
        .get("if-none-match")
        .is_some_and(|tag| tag == ETAG)
    {
        return Reply::http("304 Not Modified", &[], "");
    }
    let known = [HELLOWORLD, OTHER];
    if known
        .iter()
        .any(|uuid| seen.target.ends_with(&format!("{uuid}.yaml")))
    {
        let recipe = "chart: charts/helloworld\nversion: 0.1.0\nrestricted: false\n";
        return Reply::http("200 OK", &[&format!("etag: {ETAG}")], recipe);
    }
    Reply::http("404 Not Found", &["content-type: text/html"], "<html>")
}
