//! What the logs tell of a request, and what they must not tell.

use serde_json::Value;
use sinfonia_testbed::Service;

use super::support::{NEAR, World, cloudlet, eventually, key};

#[tokio::test]
async fn a_request_has_one_identity_in_the_logs_of_both_tiers() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;

    let answer = world.deploy(&tier1, &key(1)).await;

    let id = answer.header("x-request-id");
    let decided = line_of(&tier1, "deploy request decided", id).await;
    let given = line_of(&tier2, "deployment given", id).await;
    assert_eq!(answer.cloudlets(), ["cloudlet"]);
    assert_eq!(decided["client"], "127.0.0.1");
    assert_eq!(given["client"], "127.0.0.1");
    assert_eq!(trace_of(&given), trace_of(&decided));
}

#[tokio::test]
async fn logs_show_the_first_eight_characters_of_a_key() {
    let world = World::new();
    let (tier2, tier1) = tiers(&world).await;
    // Its spellings share nothing that another text would hold by chance.
    let device = key(0xa5);

    let answer = world.deploy(&tier1, &device).await;

    let id = answer.header("x-request-id");
    line_of(&tier1, "deploy request decided", id).await;
    line_of(&tier2, "deployment given", id).await;
    for service in [&tier1, &tier2] {
        let log = service.log_text();
        assert!(log.contains(&device.short()), "{log}");
        let longer = &device.to_string()[..=device.short().len()];
        assert!(!log.contains(longer), "{log}");
    }
}

async fn tiers(world: &World) -> (Service, Service) {
    let tier2 = world.tier2("cloudlet", &[]).await;
    let file = cloudlet("cloudlet", &tier2.url(), NEAR);
    let tier1 = world.tier1(&file, &[]).await;
    (tier2, tier1)
}

/// Waits for a line with this message about this request.
async fn line_of(service: &Service, message: &str, request_id: &str) -> Value {
    eventually(&format!("{message} about {request_id}"), async || {
        let log = service.log_text();
        let is_it = |line: &&str| line.contains(message) && line.contains(request_id);
        let line = log.lines().find(is_it)?;
        serde_json::from_str(line).ok()
    })
    .await
}

/// The identity of the trace in which a line was logged.
fn trace_of(line: &Value) -> &Value {
    let trace = &line["span"]["trace_id"];
    assert!(trace.is_string(), "{line}");
    trace
}
