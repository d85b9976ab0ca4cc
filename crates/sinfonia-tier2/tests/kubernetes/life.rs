//! The life of a deployment in a cluster, as those who ask for it see it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{
    Cloudlet, HOOK, OTHER, PLAIN, Tier2, WEB, eventually, name_of, namespace_path, peer_path,
    phase_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_a_namespace_a_peer_and_a_release() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;

    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;

    assert_eq!(deployment["Status"], "Deployed");
    assert_eq!(deployment["Ready"], true);
    let name = name_of(&deployment);
    assert!(cloudlet.find_namespace(name).is_some());
    assert!(cloudlet.find_peer(name).is_some());
    assert_eq!(cloudlet.release(name).as_deref(), Some("deployed"));
    cloudlet.check_invariants().await;
    assert_eq!(tier2.get(PLAIN, 1).granted().await, deployment);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gives_the_same_and_writes_nothing_while_most_of_the_lease_is_left() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let first = tier2.post_as(PLAIN, 1, "first").await;
    let before = cloudlet.record_when(1, was_ready);

    let again = tier2.post_as(PLAIN, 1, "first").await;

    assert_eq!(again, first);
    assert_eq!(cloudlet.record(1), Some(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_third_of_the_lease_extends_it() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&["--lease", "3s", "--job-interval", "1h"])
        .await;
    let first = tier2.post_as(PLAIN, 1, "first").await;
    let before = cloudlet.record_when(1, was_ready);
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let again = tier2.post_as(PLAIN, 1, "first").await;

    for field in ["DeploymentName", "Created", "TunnelConfig"] {
        assert_eq!(again[field], first[field]);
    }
    assert!(time(&again["Expires"]) > time(&first["Expires"]));
    let record = cloudlet.record(1).unwrap();
    assert_eq!(record["spec"]["renewals"], 2);
    assert!(time(&record["spec"]["renewed"]) > time(&before["spec"]["renewed"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_reclaimed_to_the_last_and_can_be_had_anew_at_once() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let old = tier2.post(PLAIN, 1).wait(60).granted().await;

    let deleted = tier2.delete(PLAIN, 1).answer().await;
    let new = tier2.post(PLAIN, 1).wait(60).granted().await;

    assert_eq!((deleted.status, &deleted.body), (204, &json!("")));
    assert_ne!(name_of(&new), name_of(&old));
    assert_eq!(new["Status"], "Deployed");
    cloudlet.until_gone(&peer_path(name_of(&old)));
    cloudlet.until_gone(&namespace_path(name_of(&old)));

    assert_eq!(tier2.delete(PLAIN, 1).answer().await.status, 204);
    assert_eq!(tier2.get(PLAIN, 1).answer().await.status, 404);
    cloudlet.until_gone(&cloudlet.record_path(1));
    cloudlet.until_gone(&peer_path(name_of(&new)));
    cloudlet.until_gone(&namespace_path(name_of(&new)));
    assert_eq!(tier2.delete(PLAIN, 1).answer().await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_carries_one_application_at_a_time() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let first = tier2.post(PLAIN, 1).wait(60).granted().await;

    let refused = tier2.post(OTHER, 1).answer().await;

    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(tier2.get(OTHER, 1).answer().await.status, 404);
    assert_eq!(tier2.delete(OTHER, 1).answer().await.status, 204);
    assert_eq!(tier2.get(PLAIN, 1).granted().await, first);
    tier2.delete(PLAIN, 1).answer().await;
    let second = tier2.post(OTHER, 1).wait(60).granted().await;
    assert_eq!(second["UUID"], OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_request_created_goes_with_it_unless_another_relies_on_it() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let alone = tier2.post_as(PLAIN, 1, "first").await;
    let shared = tier2.post_as(PLAIN, 2, "first").await;
    tier2.post_as(PLAIN, 2, "second").await;

    tier2.delete_created_by(PLAIN, 1, "second").await;
    assert_eq!(tier2.get(PLAIN, 1).answer().await.status, 200);
    tier2.delete_created_by(PLAIN, 1, "first").await;
    tier2.delete_created_by(PLAIN, 2, "first").await;
    tier2.delete_created_by(PLAIN, 3, "third").await;

    assert_eq!(tier2.get(PLAIN, 1).answer().await.status, 404);
    cloudlet.until_gone(&peer_path(name_of(&alone)));
    let spared = tier2.get(PLAIN, 2).granted().await;
    assert_eq!(name_of(&spared), name_of(&shared));
    let overtaken = tier2.post(PLAIN, 3).header("x-request-id", "third");
    assert_eq!(overtaken.answer().await.status, 409);
    assert_eq!(cloudlet.record(3), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_installed_is_ready_when_somebody_runs_it_and_as_long_as_it_runs() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(WEB, 1).wait(0).granted().await;
    let installed = until_answer(&tier2, |answer| answer["Status"] == "Deployed").await;
    assert_eq!(installed["Ready"], false);
    let name = name_of(&installed).to_owned();

    let waiting = tokio::spawn(tier2.post(WEB, 1).wait(60).granted());
    cloudlet.run_pods(&name, true);

    let ready = waiting.await.unwrap();
    assert_eq!((&ready["Ready"], name_of(&ready)), (&json!(true), &*name));
    cloudlet.run_pods(&name, false);
    let broken = until_answer(&tier2, |answer| answer["Ready"] == false).await;
    assert_eq!(broken["Status"], "Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_at_once_get_fifty_names_and_addresses() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&[
            "--helm-concurrency",
            "6",
            "--helm-queue",
            "50",
            // So few addresses that many a device cannot have the one that its key leads to.
            "--client-network",
            "10.78.0.0/26",
        ])
        .await;

    let posts = (1..=50).map(|number| tier2.post(PLAIN, number).wait(60).granted());
    let deployments = join_all(posts).await;

    let distinct = |pointer: &str| -> HashSet<String> {
        let values = deployments.iter().map(|deployment| {
            let value = deployment.pointer(pointer).unwrap();
            value.as_str().unwrap().to_owned()
        });
        values.collect()
    };
    assert_eq!(distinct("/DeploymentName").len(), 50);
    assert_eq!(distinct("/TunnelConfig/address/0").len(), 50);
    eventually(async || {
        let records = cloudlet.records();
        let deployed = records
            .iter()
            .filter(|record| phase_of(record) == "Deployed");
        match deployed.count() {
            50 => Ok(()),
            count => Err(format!("{count} are deployed")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cloudlet_takes_no_more_until_an_installation_is_cancelled() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet
        .tier2(&["--helm-concurrency", "1", "--helm-queue", "0"])
        .await;
    let hanging = tier2.post(HOOK, 1).wait(0).granted().await;
    let name = name_of(&hanging);
    let job = format!("/apis/batch/v1/namespaces/{name}/jobs/prepare");
    cloudlet.when(&job, |job| job.is_some());

    let refused = tier2.post(PLAIN, 2).answer().await;

    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.detail().contains("busy"), "{refused:?}");
    assert_eq!(cloudlet.record(2), None);
    tier2.delete(HOOK, 1).answer().await;
    cloudlet.until_gone(&cloudlet.record_path(1));
    let granted = tier2.post(PLAIN, 2).wait(60).granted().await;
    assert_eq!(granted["Status"], "Deployed");
}

/// Asks for the deployment of the first key until the answer is as wanted.
async fn until_answer(tier2: &Tier2, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(async || {
        let answer = tier2.get(WEB, 1).granted().await;
        if wanted(&answer) {
            Ok(answer)
        } else {
            Err(answer.to_string())
        }
    })
    .await
}

fn was_ready(record: &Value) -> bool {
    !record["status"]["firstReady"].is_null()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}
