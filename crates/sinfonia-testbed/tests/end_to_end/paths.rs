//! Paths as clients of all kinds write them, and what is answered to those that mean nothing.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use sinfonia_testbed::Service;

use super::support::{Answer, HELLOWORLD, NEAR, World, cloudlet, send};

/// A key whose standard base64 holds `+` and `/`, in all its spellings.
const SPELLINGS: [&str; 8] = [
    "-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8",
    "-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=",
    "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=",
    "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8",
    "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=/",
    "%2B%2Fv7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8%3D",
    "fbfbfb0c667b819952d929a1b52bd81c580f5f8c6868bdae48e4da38d677667f",
    "FBFBFB0C667B819952D929A1B52BD81C580F5F8C6868BDAE48E4DA38D677667F/",
];
/// The same for a key whose standard base64 starts with two slashes.
const LEADING_SLASHES: [&str; 3] = [
    "__v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8",
    "//v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=",
    "//v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8/",
];

#[tokio::test]
async fn all_spellings_of_a_key_mean_one_deployment() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;

    let mut names = Vec::new();
    for spelling in SPELLINGS {
        let answer = post(
            &world,
            &tier1,
            &format!("/api/v1/deploy/{HELLOWORLD}/{spelling}"),
        )
        .await;
        let [deployment] = answer.deployments().try_into().unwrap();
        assert_eq!(
            deployment["ApplicationKey"],
            "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8="
        );
        names.push(answer.deployment_name());
    }
    let direct =
        SPELLINGS.map(|spelling| format!("{}/api/v1/deploy/{HELLOWORLD}/{spelling}", tier2.url()));
    for url in &direct {
        let answer = world.get(url).await;
        names.push(answer.json()["DeploymentName"].as_str().unwrap().to_owned());
    }

    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_key_may_start_with_slashes() {
    let world = World::new();
    let (_tier2, tier1) = tiers(&world).await;

    let mut names = Vec::new();
    for spelling in LEADING_SLASHES {
        let answer = post(
            &world,
            &tier1,
            &format!("/api/v1/deploy/{HELLOWORLD}/{spelling}"),
        )
        .await;
        assert_eq!(
            answer.deployments()[0]["ApplicationKey"],
            "//v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8="
        );
        names.push(answer.deployment_name());
        let path = format!("/api/v1/deployments/{HELLOWORLD}/{spelling}");
        let status = world.get(&format!("{}{path}", tier1.url())).await;
        names.push(status.json()["DeploymentName"].as_str().unwrap().to_owned());
    }

    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn all_spellings_of_a_uuid_mean_one_recipe() {
    let world = World::new();
    let (_tier2, tier1) = tiers(&world).await;

    let mut names = Vec::new();
    for spelling in [
        HELLOWORLD,
        "00000000000000000000000000000000",
        "%7B00000000-0000-0000-0000-000000000000%7D",
        "urn:uuid:00000000-0000-0000-0000-000000000000",
    ] {
        let answer = post(
            &world,
            &tier1,
            &format!("/api/v1/deploy/{spelling}/{}", SPELLINGS[0]),
        )
        .await;
        assert_eq!(answer.deployments()[0]["UUID"], HELLOWORLD);
        names.push(answer.deployment_name());
    }

    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn slashes_in_front_and_behind_do_not_matter() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;
    let deploy = format!("/api/v1/deploy/{HELLOWORLD}/{}", SPELLINGS[2]);
    post(&world, &tier1, &deploy).await.deployments();

    let of_tier1 = [
        "/api/v1/cloudlets".to_owned(),
        format!("/api/v1/recipe/{HELLOWORLD}"),
        format!("/api/v1/deployments/{HELLOWORLD}/{}", SPELLINGS[2]),
        "/api/v1/explain".to_owned(),
        deploy.clone(),
    ];
    let of_both = of_tier1
        .map(|path| (&tier1, path))
        .into_iter()
        .chain([(&tier2, deploy)]);

    for (service, path) in of_both {
        for path in [
            path.clone(),
            format!("{path}/"),
            format!("/{path}"),
            format!("//{path}/"),
        ] {
            let answer = world.get(&format!("{}{path}", service.url())).await;
            assert_eq!(answer.kind(), (200, "application/json"), "{path}");
        }
    }
}

#[tokio::test]
async fn the_root_answers_probes() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;

    for service in [&tier1, &tier2] {
        let answer = world.get(&format!("{}/", service.url())).await;

        assert_eq!(answer.kind(), (200, "application/json"));
        assert_eq!(answer.json(), json!({}));
    }
}

#[rstest]
#[case::nothing_there(Method::GET, "/nothing/there", 404)]
#[case::no_key(
    Method::POST,
    "/api/v1/deploy/00000000-0000-0000-0000-000000000000",
    404
)]
#[case::no_uuid(Method::POST, "/api/v1/deploy/helloworld/AAAA", 400)]
#[case::short_key(
    Method::POST,
    "/api/v1/deploy/00000000-0000-0000-0000-000000000000/AAAA",
    400
)]
#[case::method(
    Method::PUT,
    "/api/v1/deploy/00000000-0000-0000-0000-000000000000/AAAA",
    405
)]
#[case::post_to_the_root(Method::POST, "/", 405)]
#[tokio::test]
async fn errors_are_problem_documents(
    #[case] method: Method,
    #[case] path: &str,
    #[case] status: u16,
) {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;

    for service in [&tier1, &tier2] {
        let url = format!("{}{path}", service.url());
        let answer = send(world.request(method.clone(), &url)).await;

        assert_eq!(
            answer.kind(),
            (status, "application/problem+json"),
            "{}",
            answer.text
        );
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        assert_eq!(answer.header("allow").is_empty(), status != 405);
    }
}

#[rstest]
#[case::below_1("results=0")]
#[case::no_number("results=many")]
#[case::no_cloudlet("cloudlet=near")]
#[case::nothing_to_exclude("exclude=")]
#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused(#[case] query: &str) {
    let world = World::new();
    let (_tier2, tier1) = tiers(&world).await;

    let path = format!("/api/v1/deploy/{HELLOWORLD}/{}?{query}", SPELLINGS[0]);
    let answer = post(&world, &tier1, &path).await;

    assert_eq!(answer.kind(), (400, "application/problem+json"));
}

#[tokio::test]
async fn urls_are_bounded() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;

    for service in [&tier1, &tier2] {
        let url = format!("{}/{}", service.url(), "x".repeat(10_000));
        let answer = world.get(&url).await;

        assert_eq!(answer.kind(), (414, "application/problem+json"));
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let world = World::new();
    let tier1 = world
        .tier1_without_cloudlets(&["--allow-anonymous-reports"])
        .await;
    let long = format!("{{\"uuid\": \"{}\"}}", "0".repeat(1 << 20));

    let url = format!("{}/api/v1/cloudlets/", tier1.url());
    let answer = send(world.request(Method::POST, &url).body(long)).await;

    assert_eq!(answer.kind(), (413, "application/problem+json"));
}

async fn tiers(world: &World) -> (Service, Service) {
    let tier2 = world.tier2("cloudlet", &[]).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &tier2.url(), NEAR), &[])
        .await;
    (tier2, tier1)
}

async fn post(world: &World, service: &Service, path: &str) -> Answer {
    send(world.request(Method::POST, &format!("{}{path}", service.url()))).await
}
