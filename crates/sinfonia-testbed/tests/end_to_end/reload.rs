//! The cloudlet file changes under a running Tier 1.

use reqwest::Method;

use super::support::{
    DEVICE, FAR, HELLOWORLD, NEAR, World, cloudlet, cloudlets, deploy_url, eventually, key, logged,
    send,
};

#[tokio::test]
async fn a_cloudlet_that_is_added_to_the_file_is_used() {
    let world = World::new();
    let far = world.tier2("far", &[]).await;
    let near = world.tier2("near", &[]).await;
    let (near, far) = (
        cloudlet("near", &near.url(), NEAR),
        cloudlet("far", &far.url(), FAR),
    );
    let tier1 = world.tier1(&far, &[]).await;
    let before = world.deploy(&tier1, &key(1)).await;

    world.write("cloudlets.yaml", &cloudlets(&[far, near]));
    eventually("the new cloudlet is known", async || {
        (world.known_cloudlets(&tier1).await == ["far", "near"]).then_some(())
    })
    .await;
    let after = world.deploy(&tier1, &key(2)).await;
    let same = world.deploy(&tier1, &key(1)).await;

    let served = [&before, &after, &same].map(|answer| answer.cloudlets());
    assert_eq!(served, [["far"], ["near"], ["far"]]);
}

#[tokio::test]
async fn a_cloudlet_that_is_taken_from_the_file_is_no_longer_used() {
    let world = World::new();
    let far = world.tier2("far", &[]).await;
    let near = world.tier2("near", &[]).await;
    let (near, far) = (
        cloudlet("near", &near.url(), NEAR),
        cloudlet("far", &far.url(), FAR),
    );
    let tier1 = world.tier1(&cloudlets(&[near, far.clone()]), &[]).await;
    let before = world.deploy(&tier1, &key(1)).await;

    world.write("cloudlets.yaml", &far);
    eventually("the cloudlet is no longer known", async || {
        (world.known_cloudlets(&tier1).await == ["far"]).then_some(())
    })
    .await;
    let after = world.deploy(&tier1, &key(1)).await;

    assert_eq!([before.cloudlets(), after.cloudlets()], [["near"], ["far"]]);
}

#[tokio::test]
async fn a_bad_file_is_told_and_the_old_one_stays_until_there_is_a_good_one() {
    let world = World::new();
    let first = cloudlet("first", "https://first.example", NEAR);
    let second = cloudlet("second", "https://second.example", FAR);
    let tier1 = world.tier1(&first, &[]).await;

    let bad = cloudlets(&[
        second.clone(),
        first.replace("[40.4439, -79.9444]", "[91, 0]"),
    ]);
    world.write("cloudlets.yaml", &bad);
    logged(&tier1, "document 2, line 7").await;
    let kept = world.known_cloudlets(&tier1).await;
    let candidates = world
        .request(Method::GET, &deploy_url(&tier1.url(), &key(1)))
        .header("x-location", DEVICE);
    let candidates = send(candidates).await.json();
    world.write("cloudlets.yaml", &cloudlets(&[first, second]));
    eventually("the good file is taken", async || {
        (world.known_cloudlets(&tier1).await == ["first", "second"]).then_some(())
    })
    .await;

    assert_eq!(kept, ["first"]);
    assert_eq!(candidates[0]["name"], "first");
    let log = tier1.log_text();
    let told = log
        .lines()
        .find(|line| line.contains("document 2, line 7"))
        .unwrap();
    assert!(told.contains(r#""level":"WARN""#), "{told}");
}

#[tokio::test]
async fn a_recipe_that_is_added_to_the_folder_can_be_deployed() {
    let world = World::new();
    let tier2 = world.tier2("cloudlet", &[]).await;
    let tier1 = world
        .tier1(&cloudlet("cloudlet", &tier2.url(), NEAR), &[])
        .await;
    let new = "00000000-0000-0000-0000-00000000000a";

    world.write(
        &format!("recipes/{new}.yaml"),
        "chart: charts/new\nversion: 1.0.0\n",
    );
    let url = deploy_url(&tier1.url(), &key(1)).replace(HELLOWORLD, new);
    let answer = send(world.request(Method::POST, &url)).await;

    assert_eq!(answer.cloudlets(), ["cloudlet"]);
}
