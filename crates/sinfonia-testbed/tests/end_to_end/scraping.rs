//! Tier 1 fetches the measurements of cloudlets of its file.

use serde_json::{Value, json};
use sinfonia_testbed::{Exporter, Programs, Prometheus, Service};
use tokio::task::spawn_blocking;

use super::support::{NEAR, World, cloudlet, eventually, logged};

const BEGINS: &str = "metrics of a cloudlet cannot be fetched";
const CEASES: &str = "metrics of a cloudlet are fetched again";

#[tokio::test]
async fn numbers_are_picked_out_of_a_page() {
    let world = World::new();
    let page =
        Exporter::start("queue_length{queue=\"a\"} 3\nqueue_length{queue=\"b\"} 4\n").unwrap();
    let tier1 = world.tier1(&scraped(&page_of(&page)), &[]).await;

    let cloudlet = with_resources(&world, &tier1, &json!({"queue": 7.0})).await;
    page.set("queue_length{queue=\"b\"} 5\n");
    with_resources(&world, &tier1, &json!({"queue": 5.0})).await;

    assert!(cloudlet["last_update"].is_string(), "{cloudlet}");
    assert_eq!(cloudlet["locations"], json!([[40.4439, -79.9444]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_is_asked_for_what_cloudlets_report_and_for_queries_of_the_file() {
    let world = World::new();
    let page = Exporter::start(
        "node_memory_MemAvailable_bytes 25\nnode_memory_MemTotal_bytes 100\nDCGM_FI_DEV_GPU_UTIL 40\n\
         queue_length{queue=\"a\"} 3\nqueue_length{queue=\"b\"} 4\n",
    )
    .unwrap();
    let (folder, target) = (world.path().to_owned(), page.address());
    let prometheus = spawn_blocking(move || {
        let programs = Programs::find_or_hint().unwrap_or_else(|missing| panic!("{missing}"));
        Prometheus::start(&programs, &folder, &[target], "").unwrap()
    })
    .await
    .unwrap();

    let metrics = format!(
        "{{prometheus: \"{}\", queries: {{queue: 'sum(queue_length) # of all models'}}, interval: 1s}}",
        prometheus.url()
    );
    let tier1 = world.tier1(&scraped(&metrics), &[]).await;

    let measured = json!({"gpu_ratio": 0.4, "mem_ratio": 0.75, "queue": 7.0});
    with_resources(&world, &tier1, &measured).await;
}

#[tokio::test]
async fn it_is_told_once_when_scrapes_begin_to_fail_and_once_when_they_cease_to() {
    let world = World::new();
    let page = Exporter::start("queue_length 3\n").unwrap();
    let tier1 = world.tier1(&scraped(&page_of(&page)), &[]).await;
    with_resources(&world, &tier1, &json!({"queue": 3.0})).await;

    page.set("another 3\n");
    with_resources(&world, &tier1, &Value::Null).await;
    counted(&world, &tier1, "nothing", 3).await;
    page.set("queue_length 4\n");
    with_resources(&world, &tier1, &json!({"queue": 4.0})).await;
    logged(&tier1, CEASES).await;

    let log = tier1.log_text();
    let told = [BEGINS, CEASES].map(|text| log.matches(text).count());
    assert_eq!(told, [1, 1], "{log}");
}

#[tokio::test]
async fn a_changed_file_begins_changes_and_ends_scrapes() {
    let world = World::new();
    let first = Exporter::start("queue_length 3\n").unwrap();
    let second = Exporter::start("queue_length 4\n").unwrap();
    let plain = cloudlet("near", "http://near.example", NEAR);
    let tier1 = world.tier1(&plain, &[]).await;

    let mut seen = Vec::new();
    for (text, expected) in [
        (scraped(&page_of(&first)), json!({"queue": 3.0})),
        (scraped(&page_of(&second)), json!({"queue": 4.0})),
        (plain, Value::Null),
    ] {
        world.write("cloudlets.yaml", &text);
        seen.push(with_resources(&world, &tier1, &expected).await);
    }

    assert_eq!(seen[2].get("last_update"), None);
}

#[tokio::test]
async fn a_bad_field_is_told_with_its_line() {
    let world = World::new();
    let plain = cloudlet("near", "http://near.example", NEAR);
    let tier1 = world.tier1(&plain, &[]).await;

    world.write(
        "cloudlets.yaml",
        &scraped("{prometheus: \"http://p\", intervall: 5s}"),
    );

    logged(&tier1, "metrics: unknown field `intervall`").await;
    assert!(tier1.log_text().contains("document 1, line 4"));
}

/// A cloudlet file whose only cloudlet has this field `metrics`.
fn scraped(metrics: &str) -> String {
    let plain = cloudlet("near", "http://near.example", NEAR);
    format!("{plain}metrics: {metrics}\n")
}

fn page_of(page: &Exporter) -> String {
    format!(
        "{{endpoint: \"http://{}/metrics\", series: {{queue: queue_length}}, interval: 1s}}",
        page.address()
    )
}

/// The only cloudlet, as soon as these are its resources.
async fn with_resources(world: &World, tier1: &Service, expected: &Value) -> Value {
    eventually(&format!("the resources are {expected}"), async || {
        let url = format!("{}/api/v1/cloudlets/", tier1.url());
        let mut known = world.get(&url).await.json();
        let cloudlet = known[0].take();
        (cloudlet["resources"] == *expected).then_some(cloudlet)
    })
    .await
}

/// Waits until so many scrapes had this outcome.
async fn counted(world: &World, tier1: &Service, outcome: &str, most: u32) {
    let series = format!("sinfonia_tier1_scrapes_total{{outcome=\"{outcome}\"}} ");
    eventually(
        &format!("{most} scrapes are counted as {outcome}"),
        async || {
            let page = world
                .get(&format!("http://{}/metrics", tier1.admin()))
                .await;
            let value = page
                .text
                .lines()
                .find_map(|line| line.strip_prefix(&series))?;
            (value.parse::<u32>().unwrap() >= most).then_some(())
        },
    )
    .await;
}
