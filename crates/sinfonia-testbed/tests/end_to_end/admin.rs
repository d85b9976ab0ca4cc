//! The admin port of each service.

use reqwest::Method;
use rstest::rstest;
use sinfonia_testbed::{Metric, Service};

use super::support::{Answer, HELLOWORLD, NEAR, World, cloudlet, eventually, key, send};

#[tokio::test]
async fn services_tell_that_they_live_and_are_ready() {
    let world = World::new();

    for service in services(&world).await {
        let live = admin(&world, &service, "/livez").await;
        eventually("it is ready", async || {
            let ready = admin(&world, &service, "/readyz").await;
            (ready.kind() == (200, "application/json")).then_some(())
        })
        .await;

        assert_eq!((live.status, live.text.as_str()), (200, "ok\n"));
    }
}

#[tokio::test]
async fn metrics_count_requests_and_name_no_device() {
    let world = World::new();
    let [tier1, tier2] = services(&world).await;
    world.deploy(&tier1, &key(1)).await.deployments();

    for (service, prefix) in [(&tier1, "tier1"), (&tier2, "tier2")] {
        let metrics = admin(&world, service, "/metrics").await;

        assert_eq!(metrics.status, 200);
        assert!(
            metrics
                .header("content-type")
                .starts_with("application/openmetrics-text")
        );
        let counted = metrics.text.lines().any(|line| {
            line.starts_with(&format!("sinfonia_{prefix}_"))
                && line.contains(r#"route="/api/v1/deploy/{uuid}/{*application_key}""#)
                && line.ends_with(" 1")
        });
        assert!(counted, "{}", metrics.text);
        for label in [key(1).url_safe(), key(1).to_string(), HELLOWORLD.to_owned()] {
            assert!(!metrics.text.contains(&label), "{}", metrics.text);
        }
    }
}

#[tokio::test]
async fn metrics_are_those_of_the_table() {
    let world = World::new();
    let [tier1, tier2] = services(&world).await;

    for (service, sections) in [
        (&tier1, &["Tier 1"][..]),
        (&tier2, &["Tier 2", "Tier 2 in a sandbox"]),
    ] {
        // Requests are counted by what they were.
        world.get(&service.url()).await;
        let metrics = admin(&world, service, "/metrics").await;

        assert_eq!(Metric::exposed(&metrics.text), Metric::documented(sections));
    }
}

#[tokio::test]
async fn a_tier_1_whose_recipes_are_missing_says_so() {
    let world = World::new();
    let missing = world.path().join("nowhere");
    let options = ["--recipes", missing.to_str().unwrap()];
    let tier1 = world.tier1_without_cloudlets(&options).await;

    let told = eventually("the folder was looked for", async || {
        let answer = admin(&world, &tier1, "/readyz").await;
        let reason = answer.json()["missing"]["recipes"]
            .as_str()
            .map(str::to_owned);
        assert_eq!(answer.status, 503);
        reason.filter(|reason| reason != "starting")
    })
    .await;

    assert!(told.contains("nowhere"), "{told}");
}

#[rstest]
#[case::post(Method::POST, "/livez", 405)]
#[case::delete(Method::DELETE, "/metrics", 405)]
#[case::put(Method::PUT, "/readyz", 405)]
#[case::api(Method::GET, "/api/v1/cloudlets/", 404)]
#[tokio::test]
async fn the_admin_port_only_reads(
    #[case] method: Method,
    #[case] path: &str,
    #[case] expected: u16,
) {
    let world = World::new();

    for service in services(&world).await {
        let url = format!("http://{}{path}", service.admin());
        let answer = send(world.request(method.clone(), &url)).await;

        assert_eq!(answer.kind(), (expected, "application/problem+json"));
    }
}

#[tokio::test]
async fn the_service_port_tells_nothing_of_what_is_for_operators() {
    let world = World::new();

    for service in services(&world).await {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = world.get(&format!("{}{path}", service.url())).await;

            assert_eq!(answer.status, 404);
        }
    }
}

/// A Tier 1 and a Tier 2 that it knows.
async fn services(world: &World) -> [Service; 2] {
    let tier2 = world.tier2("cloudlet", &[]).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &tier2.url(), NEAR), &[])
        .await;
    [tier1, tier2]
}

async fn admin(world: &World, service: &Service, path: &str) -> Answer {
    world
        .get(&format!("http://{}{path}", service.admin()))
        .await
}
