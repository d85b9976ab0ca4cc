//! Round trips that a device measures, as they move cloudlets for it alone.

use rstest::rstest;
use serde_json::Value;
use sinfonia_core::key::PublicKey;
use sinfonia_testbed::{ReservedPort, Service};

use super::support::{
    Answer, DEVICE, FAR, NEAR, World, cloudlet, cloudlets, deploy_url, key, send,
};

const NEAR_UUID: &str = "00000000-0000-0000-0000-00000000000a";
const FAR_UUID: &str = "00000000-0000-0000-0000-00000000000b";

#[tokio::test]
async fn of_cloudlets_that_are_equally_good_the_fastest_comes_first() {
    let world = World::new();
    let (_tier2s, tier1) = three_nowhere(&world).await;

    let candidates = tier3(&world, &tier1, &["candidates", "helloworld", "--probe"]).await;
    let deployed = tier3(&world, &tier1, &["deploy", "helloworld", "--probe"]).await;

    let measured: Vec<f64> = candidates
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| candidate["RttMs"].as_f64().unwrap())
        .collect();
    assert_eq!(measured.len(), 3);
    assert!(measured.is_sorted(), "{candidates}");
    assert!(deployed[0]["RttMs"].as_f64().is_some(), "{deployed}");
}

#[tokio::test]
async fn a_cloudlet_that_does_not_answer_is_left_out_of_what_is_measured() {
    let world = World::new();
    let there = world.tier2("there", &[]).await;
    let nobody = ReservedPort::new().unwrap();
    let file = cloudlets(&[
        nowhere("there", &there.url()),
        nowhere("gone", &nobody.url()),
    ]);
    let tier1 = world.tier1(&file, &[]).await;

    let deployed = tier3(&world, &tier1, &["deploy", "helloworld", "--probe"]).await;

    assert_eq!(deployed[0]["Cloudlet"]["name"], "there");
    assert!(deployed[0]["RttMs"].as_f64().is_some(), "{deployed}");
}

// Light needs 41.9 ms to the far cloudlet and back.
#[rstest]
#[case::nothing_measured(None, ["near", "far"])]
#[case::far_is_faster(Some(format!("{NEAR_UUID}=80,{FAR_UUID}=45")), ["far", "near"])]
#[case::near_is_faster(Some(format!("{NEAR_UUID}=5,{FAR_UUID}=45")), ["near", "far"])]
#[case::far_alone(Some(format!("{FAR_UUID}=45")), ["near", "far"])]
#[case::faster_than_light(Some(format!("{NEAR_UUID}=80,{FAR_UUID}=41")), ["near", "far"])]
#[case::malformed(Some(format!("{NEAR_UUID}=80,{FAR_UUID}=45,x")), ["near", "far"])]
#[tokio::test]
async fn what_was_measured_moves_cloudlets_for_whoever_tells_it(
    #[case] round_trips: Option<String>,
    #[case] expected: [&str; 2],
) {
    let world = World::new();
    let file = cloudlets(&[
        format!(
            "{}uuid: {NEAR_UUID}\n",
            cloudlet("near", "http://near.example", NEAR)
        ),
        format!(
            "{}uuid: {FAR_UUID}\n",
            cloudlet("far", "http://far.example", FAR)
        ),
    ]);
    let tier1 = world.tier1(&file, &[]).await;

    let told = candidates(&world, &tier1, &key(1), round_trips.as_deref()).await;
    let others = candidates(&world, &tier1, &key(1), None).await;

    assert_eq!(names(&told), expected);
    assert_eq!(names(&others), ["near", "far"]);
}

#[tokio::test]
async fn the_candidates_say_what_was_believed() {
    let world = World::new();
    let file = format!(
        "{}uuid: {FAR_UUID}\n",
        cloudlet("far", "http://far.example", FAR)
    );
    let tier1 = world.tier1(&file, &[]).await;

    let mut told = Vec::new();
    for rtt_ms in ["45.5", "41", "NaN"] {
        let header = format!("{FAR_UUID}={rtt_ms}");
        let answer = candidates(&world, &tier1, &key(1), Some(&header)).await;
        told.push(answer.json()[0]["RttMs"].as_f64());
    }

    assert_eq!(told, [Some(45.5), None, None]);
}

/// Three cloudlets of which nobody knows where they are.
async fn three_nowhere(world: &World) -> (Vec<Service>, Service) {
    let mut tier2s = Vec::new();
    let mut documents = Vec::new();
    for name in ["one", "two", "three"] {
        let tier2 = world.tier2(name, &[]).await;
        documents.push(nowhere(name, &tier2.url()));
        tier2s.push(tier2);
    }
    let tier1 = world.tier1(&cloudlets(&documents), &[]).await;
    (tier2s, tier1)
}

fn nowhere(name: &str, url: &str) -> String {
    format!("name: {name}\nendpoint: {url}/api/v1/deploy\n")
}

async fn tier3(world: &World, tier1: &Service, arguments: &[&str]) -> Value {
    let url = tier1.url();
    let options = ["--tier1-url", &url, "-o", "json"];
    let ran = world.tier3(&[arguments, &options].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The candidates for the device at [`DEVICE`], which tells these round trips.
async fn candidates(
    world: &World,
    tier1: &Service,
    key: &PublicKey,
    round_trips: Option<&str>,
) -> Answer {
    let request = world.request(reqwest::Method::GET, &deploy_url(&tier1.url(), key));
    let mut request = request.header("x-location", DEVICE);
    if let Some(round_trips) = round_trips {
        request = request.header("x-rtt", round_trips);
    }
    send(request).await
}

fn names(candidates: &Answer) -> Vec<String> {
    let name = |candidate: &Value| candidate["name"].as_str().unwrap().to_owned();
    candidates
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect()
}
